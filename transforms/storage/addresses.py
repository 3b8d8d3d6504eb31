"""Addresses of object stores: which schemes are known, and which packages they need. No store is contacted here."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from linesmith.core.addresses import redact_address
from linesmith.core.errors import ParameterError

# By scheme: the package that is needed, the extra that installs it, and the name of the store.
_STORES = {
    "s3": ("boto3", "aws", "S3"),
    "gs": ("google.cloud.storage", "gcp", "Google Cloud Storage"),
}
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def is_remote(path: str | Path) -> bool:
    """Return whether a path is an address (`scheme://…`) rather than a local path.

    Example:
        >>> is_remote("s3://bucket/run"), is_remote("out/run"), is_remote("C:/run")
        (True, False, False)
    """
    return _ADDRESS.match(str(path)) is not None


def is_bucket(path: str | Path) -> bool:
    """Return whether a path is an address in an object store of a known scheme."""
    found = _ADDRESS.match(str(path))
    return found is not None and found[1].lower() in _STORES


def check_address(address: str, option: str) -> None:
    """Refuse an address that no installed library can reach.

    Args:
        address: the address.
        option: the option that gave it, for the message.

    Raises:
        ParameterError: LS127, the address is malformed or holds a password or a query; LS106, its library is not installed.
    """
    found = _ADDRESS.match(address)
    scheme = "" if found is None else found[1].lower()
    if scheme not in _STORES:
        raise ParameterError(
            "LS127",
            f"{option} '{address}'",
            "of a scheme that is not known",
            "Give a path, s3://BUCKET/… or gs://BUCKET/….",
        )
    package, extra, name = _STORES[scheme]
    if not _installed(package):
        raise ParameterError(
            "LS106",
            f"{option} '{address}'",
            f"in {name}, whose library is not installed",
            f"Install it: pip install 'linesmith[{extra}]'.",
        )
    if not re.match(r"[^/]+(/|$)", address.partition("://")[2]):
        raise ParameterError("LS127", f"{option} '{address}'", "names no bucket", f"Give {scheme}://BUCKET/….")
    if redact_address(address) != address:
        raise ParameterError(
            "LS127",
            f"{option} '{redact_address(address)}'",
            f"had a user, a password or a query, which an address in {name} does not have",
            "Leave it out; credentials are found where the store's own tools look for them (docs/buckets.md).",
        )


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def join(root: str, *names: str) -> str:
    """Return an address below another one.

    Example:
        >>> join("s3://bucket/run/", "model", "manifest.json")
        's3://bucket/run/model/manifest.json'
    """
    return "/".join([root.rstrip("/"), *names])
