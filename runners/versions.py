"""Versions that driver and workers must share: of Python, of Beam, of what computes, and of Linesmith itself."""

from __future__ import annotations

import json
import platform
from importlib import metadata

DRIVER_VERSIONS = "LINESMITH_DRIVER_VERSIONS"  # environment variable of a worker
DRIVER_DIRECTORY = "LINESMITH_DRIVER_DIRECTORY"  # likewise; where the driver's relative paths begin
_SHARED = ("linesmith", "apache-beam", "tensorflow", "numpy")


def versions() -> dict[str, str | None]:
    """Versions of this machine; None for a package that is not installed.

    Example:
        >>> versions()["python"].count(".")
        1
    """
    found: dict[str, str | None] = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _SHARED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def differences(theirs: str) -> str:
    """What differs between the versions of another machine, as JSON, and those of this one; empty if nothing does.

    Example:
        >>> differences('{"python": "2.7"}').partition(" here")[0] == f"python {versions()['python']}"
        True
        >>> differences("{}")
        ''
    """
    here = versions()
    wanted: dict[str, str | None] = json.loads(theirs)
    return "; ".join(
        f"{name} {here.get(name) or 'missing'} here, {version or 'missing'} there"
        for name, version in wanted.items()
        if here.get(name) != version
    )
