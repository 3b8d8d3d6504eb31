"""Resolve a path or a glob on this machine: the same rules, and the same messages, wherever files are named."""

from __future__ import annotations

import errno
import glob
import os
import stat

from linesmith.core.errors import DataError

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def has_wildcard(pattern: str) -> bool:
    """Return whether a path holds a character that globs give a meaning."""
    return any(character in pattern for character in "*?[")


def match_local_files(pattern: str) -> list[str]:
    """Return the files that a path or a glob names, sorted by name; none is no error.

    A path that exists is taken literally, even with glob characters in its name, and even if it is a directory. So are the
    directories at the beginning of a glob, if there are files in them that the rest of it matches.
    A glob may hold `**`; the directories that it matches are left out.
    """
    if os.path.exists(pattern):
        return [pattern]
    if "\0" in pattern:
        return []
    folder = os.path.dirname(pattern)
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    escaped = glob.escape(folder) + pattern[len(folder) :]
    for tried in dict.fromkeys((escaped, pattern)):
        found = sorted(path for path in glob.glob(tried, recursive=True) if not os.path.isdir(path))
        if found:
            return found
    return []


def find_local_files(pattern: str, option: str) -> list[str]:
    """Return the regular, readable files that a path or a glob names, sorted by name.

    Args:
        pattern: a path, or a glob.
        option: the option that named it, as typed, for messages.

    Raises:
        DataError: LS205, there is none, or one of them is a directory, a pipe, a device or a socket, or cannot be read.
    """
    found = match_local_files(pattern)
    if not found:
        what, remedy = describe_missing(pattern)
        raise DataError("LS205", f"{option} '{pattern}'", what, remedy)
    for path in found:
        fault = describe_unreadable(path)
        if fault is not None:
            what, remedy = fault
            raise DataError("LS205", f"{option} '{path}'", what, remedy)
    return found


def describe_unreadable(path: str) -> tuple[str, str] | None:
    """Return why what exists under a name is not a file to read, and the remedy; None for a regular file that can be read.

    Args:
        path: a path that exists.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "a link to a file that does not exist", "Give an existing file."
    except OSError as error:
        return f"cannot be read ({error.strerror})", "Give a file that you may read."
    if stat.S_ISDIR(mode):
        example = os.path.join(path.rstrip("/") or "/", "*.csv")
        return "a directory", f"Give its files, for example '{example}'."
    kind = next((name for test, name in _KINDS if test(mode)), None)
    if kind is not None:
        return f"{kind}, and files are read more than once", "Save its content to a file, and give that."
    if not os.access(path, os.R_OK):
        return "cannot be read (Permission denied)", "Give a file that you may read."
    return None


def describe_missing(pattern: str) -> tuple[str, str]:
    """Return what is wrong with a path or a glob that names nothing, and the remedy.

    Args:
        pattern: as the user gave it.
    """
    if not pattern or "\0" in pattern:
        return "not the name of a file", "Give a file."
    if pattern == "-":
        return "no such file, and standard input cannot be read more than once", "Save it to a file, and give that."
    if has_wildcard(pattern):
        found = (
            "matches no file" if "*" in pattern or "?" in pattern else "no such file, and as a pattern it matches none"
        )
        return found, "Give an existing path, or a glob in quotes."
    try:
        os.stat(pattern)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            return f"cannot be read ({error.strerror})", "Give a file that you may read."
    return f"no such file{_missing_folder(pattern)}", "Give an existing file."


def _missing_folder(path: str) -> str:
    """Return a clause that names the first part of a path that is no directory; empty if only the file is missing."""
    missing = ""
    parent = os.path.dirname(os.path.abspath(path))
    while parent != os.path.dirname(parent) and not os.path.isdir(parent):
        missing, parent = parent, os.path.dirname(parent)
    if not missing:
        return ""
    return f": '{missing}' is {'not a directory' if os.path.exists(missing) else 'missing, too'}"
