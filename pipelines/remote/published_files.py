"""Names of files in a run directory: which are published, which manifest covers which file, and the order of manifests.

A group is a directory that holds a manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from linesmith.core.artifacts.lease import LEASE_FILE
from linesmith.core.artifacts.manifest import MANIFEST

WRITER = ".writer.json"  # names the process that may publish
INPUTS = ".inputs"  # local copies of small files that settings name
_NOT_PUBLISHED = re.compile(
    rf"\.lock|{re.escape(LEASE_FILE)}(\.lock)?|(.*/)?\.tmp/.*|{re.escape(INPUTS)}/.*|(.*/)?\.[^/]*\.(tmp|old|part)(/.*)?|{re.escape(WRITER)}"
)
_ORDER = ("training_data", "rejects", "model", "invalid", "synthetic", "report")  # of groups, as stages write them


def is_published(name: str) -> bool:
    """Return whether a file is part of a run's result, and not a lock, a lease or temporary.

    Args:
        name: path of the file relative to the run directory, with forward slashes.
    """
    return _NOT_PUBLISHED.fullmatch(name) is None


def is_safe(name: str) -> bool:
    """Return whether a relative name stays inside the folder it is joined to.

    Args:
        name: name of an object below a run directory, chosen by whoever wrote to the bucket.
    """
    return not name.startswith("/") and not any(part in ("", ".", "..") for part in name.split("/"))


def groups_of(names: Iterable[str]) -> set[str]:
    """Return the directories that hold a manifest.

    Args:
        names: all files of a run directory.
    """
    return {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] == MANIFEST}


def group_of(name: str, groups: set[str]) -> str | None:
    """Return the innermost group that a file lies in, or None.

    Args:
        name: path of the file relative to the run directory.
        groups: as `groups_of` gives them.

    Example:
        >>> group_of("model/checkpoints/best", {"model"}), group_of("tokenizer/x", {"model"})
        ('model', None)
    """
    directory = name.rpartition("/")[0]
    while directory:
        if directory in groups:
            return directory
        directory = directory.rpartition("/")[0]
    return None


def manifest_of(group: str) -> str:
    """Return the name of a group's manifest."""
    return f"{group}/{MANIFEST}"


def publish_order(manifest: str) -> tuple[int, str]:
    """Return the sort key of a manifest: stages that run later come later, other groups last.

    Args:
        manifest: its name, as `manifest_of` gives it.
    """
    stage = manifest.split("/")[-2]
    return (_ORDER.index(stage) if stage in _ORDER else len(_ORDER), manifest)
