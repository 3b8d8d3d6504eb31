"""The manifest of a stage: written last, it marks the stage complete and records what went in and came out."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import read_json, write_json
from linesmith.core.artifacts.shapes import ManifestShape
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
    """Return the versions of Python, the architecture, and of those packages that affect the output and are installed."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": sys.platform}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_manifest(directory: str | Path, stage: str, body: Mapping[str, Any]) -> None:
    """Write the manifest, which marks the directory of a stage complete; call it last.

    Args:
        directory: of the stage.
        stage: name of the stage.
        body: further entries, plain JSON types.
    """
    write_json(
        Path(directory) / MANIFEST, {"format_version": FORMAT_VERSION, "stage": stage, "versions": versions(), **body}
    )


def read_manifest(directory: str | Path, shape: type[ManifestShape] = ManifestShape) -> dict[str, Any] | None:
    """Return the manifest of a stage; None where there is none, so that the stage is not complete.

    Args:
        directory: of the stage.
        shape: entries that it must have, and of which types.

    Raises:
        DataError: LS201, the manifest is damaged; LS202, a newer Linesmith wrote it.
    """
    path = Path(directory) / MANIFEST
    if not path.is_file():
        return None
    body: dict[str, Any] = read_json(path, "a manifest", shape)
    check_format_version(body.get("format_version"), str(path))
    return body


def check_format_version(found: Any, where: str) -> None:
    """Refuse a file that a newer Linesmith wrote.

    Args:
        found: the version that the file holds.
        where: name of the file, for the message.

    Raises:
        DataError: LS202, the version is newer than `FORMAT_VERSION`, or is not an integer.
    """
    if not isinstance(found, int) or isinstance(found, bool) or found > FORMAT_VERSION:
        raise DataError(
            "LS202",
            None,
            f"'{where}' has format_version {found!r}; this Linesmith reads up to {FORMAT_VERSION}",
            "Upgrade Linesmith.",
        )
