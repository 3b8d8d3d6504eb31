"""Addresses of object stores: which are known, what they need, and how they are put together. Nothing is asked of a store."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from linesmith.core.errors import ParameterError

# What an address needs: a package, the extra that brings it, and what the store is called.
_NEEDED = {
    "s3": ("boto3", "aws", "S3"),
    "gs": ("google.cloud.storage", "gcp", "Google Cloud Storage"),
}
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def is_remote(path: str | Path) -> bool:
    """Whether a path is the address of something that no local path reaches.

    Example:
        >>> is_remote("s3://bucket/run"), is_remote("out/run"), is_remote("C:/run")
        (True, False, False)
    """
    return _ADDRESS.match(str(path)) is not None


def is_bucket(path: str | Path) -> bool:
    """Whether a path is in an object store that we know."""
    found = _ADDRESS.match(str(path))
    return found is not None and found[1].lower() in _NEEDED


def check_address(address: str, option: str) -> None:
    """Refuse an address that no installed file system can reach.

    Raises:
        ParameterError: LS213, LS106; the message names the option.
    """
    found = _ADDRESS.match(address)
    scheme = "" if found is None else found[1].lower()
    if scheme not in _NEEDED:
        raise ParameterError(
            f"LS213: {option} '{address}' is of a kind that is not known; give a path, s3://BUCKET/… or gs://BUCKET/….",
            code="LS213",
        )
    package, extra, name = _NEEDED[scheme]
    if not _installed(package):
        raise ParameterError(
            f"LS106: {option} '{address}' is in {name}, whose library is not installed: pip install 'linesmith[{extra}]'.",
            code="LS106",
        )
    if not re.match(r"[^/]+(/|$)", address.partition("://")[2]):
        raise ParameterError(f"LS213: {option} '{address}' names no bucket; give {scheme}://BUCKET/….", code="LS213")


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def join(root: str, *names: str) -> str:
    """An address below another.

    Example:
        >>> join("s3://bucket/run/", "model", "manifest.json")
        's3://bucket/run/model/manifest.json'
    """
    return "/".join([root.rstrip("/"), *names])
