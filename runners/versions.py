"""Compare the versions that driver and workers must share: of Python, Beam, TensorFlow, NumPy and Linesmith."""

from __future__ import annotations

import json
import platform
from importlib import metadata

DRIVER_VERSIONS = "LINESMITH_DRIVER_VERSIONS"  # environment variable of a worker
DRIVER_DIRECTORY = "LINESMITH_DRIVER_DIRECTORY"  # likewise: the directory that relative paths of the driver start from
_PACKAGES = ("linesmith", "apache-beam", "tensorflow", "numpy")


def installed_versions() -> dict[str, str | None]:
    """Return the versions on this machine, by package; None for a package that is not installed.

    Example:
        >>> installed_versions()["python"].count(".")
        1
    """
    found: dict[str, str | None] = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def version_differences(other_versions: str) -> str:
    """Return the differences between the versions on another machine and those on this one; empty if there are none.

    Args:
        other_versions: `installed_versions` of the other machine, as JSON.

    Example:
        >>> version_differences('{"python": "2.7"}').partition(" here")[0] == f"python {installed_versions()['python']}"
        True
        >>> version_differences("{}")
        ''
    """
    own = installed_versions()
    other: dict[str, str | None] = json.loads(other_versions)
    return "; ".join(
        f"{name} {own.get(name) or 'missing'} here, {version or 'missing'} there"
        for name, version in other.items()
        if own.get(name) != version
    )
