"""Paths that TensorFlow and Beam take literally.

TensorFlow reads `*`, `?`, `[` and the backslash in a path as a pattern, and takes no name that is not UTF-8. A directory with
such a path is reached through a symbolic link in the system's directory for temporary files.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PATTERN = re.compile(r"[*?\[\]{}\\]")


def is_plain_path(path: str | Path) -> bool:
    r"""Return whether TensorFlow and Beam take a path literally.

    Example:
        >>> is_plain_path("/data/a b"), is_plain_path("/data/a[1]"), is_plain_path("/data/\udcff")
        (True, False, False)
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:  # a name that is not UTF-8, in which Python replaces bytes by surrogates
        return False
    return _PATTERN.search(str(path)) is None


@contextlib.contextmanager
def plain_alias(directory: Path) -> Iterator[Path]:
    """Yield a path of a directory that TensorFlow and Beam take literally: its own, or a link that is removed after the block.

    Args:
        directory: a directory that exists.
    """
    if is_plain_path(directory):
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="linesmith-", dir=_temporary_root()) as folder:
        alias = Path(folder) / "directory"
        alias.symlink_to(directory.absolute(), target_is_directory=True)
        yield alias


def _temporary_root() -> str | None:
    """Return a directory for temporary files whose own path is plain, or None for the default."""
    default = tempfile.gettempdir()
    if is_plain_path(default):
        return default
    return next((root for root in ("/tmp", "/var/tmp", "/dev/shm") if os.access(root, os.W_OK)), None)
