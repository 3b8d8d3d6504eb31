"""The manifest: written last, it says that a stage is complete and what went in and came out."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.errors import DataError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_PACKAGES = (
    "linesmith",
    "apache-beam",
    "tensorflow",
    "keras",
    "tensorflow-transform",
    "sentencepiece",
    "numpy",
    "fastavro",
)


def versions() -> dict[str, str]:
    """Versions of Python, the machine's architecture and the packages that shape the output; absent ones left out."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": sys.platform}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_manifest(directory: str | Path, stage: str, body: Mapping[str, Any]) -> None:
    """Mark a stage's directory complete. Call it last."""
    write_json(
        Path(directory) / MANIFEST, {"format_version": FORMAT_VERSION, "stage": stage, "versions": versions(), **body}
    )


def read_manifest(directory: str | Path) -> dict[str, Any] | None:
    """The manifest of a complete stage, or None where there is none.

    Raises:
        DataError: it is damaged, or a newer Linesmith wrote it.
    """
    path = Path(directory) / MANIFEST
    if not path.is_file():
        return None
    body = read_json(path, "a manifest")
    if not isinstance(body, dict):
        raise DataError(f"LS201: '{path}' is damaged: it is not a JSON object. Run the stage again with --overwrite.")
    check_format_version(body.get("format_version"), str(path))
    return body


def check_format_version(found: Any, where: str) -> None:
    """Refuse what a newer Linesmith wrote.

    Raises:
        DataError: the version is newer than this one, or no number.
    """
    if not isinstance(found, int) or isinstance(found, bool) or found > FORMAT_VERSION:
        raise DataError(
            f"LS202: '{where}' has format_version {found!r}; this Linesmith reads up to {FORMAT_VERSION}. Upgrade Linesmith."
        )
