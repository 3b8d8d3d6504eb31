"""Names in a run directory: which of them are published, which manifest answers for which, and in what order they go."""

from __future__ import annotations

import re
from collections.abc import Iterable

from linesmith.core.artifacts.lease import LEASE_FILE
from linesmith.core.artifacts.manifest import MANIFEST

WRITER = ".writer.json"
INPUTS = ".inputs"  # small files that settings name, fetched
_NOT_PUBLISHED = re.compile(
    rf"\.lock|{re.escape(LEASE_FILE)}(\.lock)?|(.*/)?\.tmp/.*|{re.escape(INPUTS)}/.*|(.*/)?\.[^/]*\.(tmp|old|part)(/.*)?|{re.escape(WRITER)}"
)
_ORDER = ("training_data", "rejects", "model", "invalid", "synthetic", "report")  # of manifests, as stages follow


def is_published(name: str) -> bool:
    """Whether a file belongs to what a run leaves, and not to how a stage works."""
    return _NOT_PUBLISHED.fullmatch(name) is None


def is_safe(name: str) -> bool:
    """No name may lead out of the folder."""
    return not name.startswith("/") and not any(part in ("", ".", "..") for part in name.split("/"))


def groups_of(names: Iterable[str]) -> set[str]:
    """Directories that have a manifest."""
    return {name.rpartition("/")[0] for name in names if name.rpartition("/")[2] == MANIFEST}


def group_of(name: str, groups: set[str]) -> str | None:
    """The innermost directory with a manifest that a file lies in; None where there is none.

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
    return f"{group}/{MANIFEST}"


def rank(name: str) -> tuple[int, str]:
    """The order in which manifests are written: what comes later in a run, later."""
    stage = name.split("/")[-2]
    return (_ORDER.index(stage) if stage in _ORDER else len(_ORDER), name)
