"""Resolve a path or a glob on this machine: the same rules wherever files are named."""

from __future__ import annotations

import glob
import os


def has_wildcard(pattern: str) -> bool:
    """Return whether a path holds a character that globs give a meaning."""
    return any(character in pattern for character in "*?[")


def match_local_files(pattern: str) -> list[str]:
    """Return the files that a path or a glob names, sorted by name; none is no error.

    A path that exists is taken literally, even with glob characters in its name, and even if it is a directory.
    A glob may hold `**`; the directories that it matches are left out.
    """
    if os.path.exists(pattern):
        return [pattern]
    return sorted(path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path))
