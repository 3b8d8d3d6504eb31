"""The local folder of a remote run directory: readable by its owner only, and used by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from linesmith.core.errors import DataError


def folder_of(address: str) -> Path:
    """Return the folder for an address, below the directory for temporary files (TMPDIR).

    The parent directory is created with mode 0700; the folder itself is not created. Equal addresses give equal folders.

    Args:
        address: bucket address of a run directory.

    Raises:
        DataError: LS222, other users could read the folder.
    """
    root = Path(tempfile.gettempdir()) / f"linesmith-{os.getuid()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = root.lstat()
    # Another user may have made the directory first, to read what is put there or to redirect it by a link.
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or root.is_symlink():
        raise DataError(
            "LS222",
            None,
            f"'{root}', where a run directory in a bucket is worked on, belongs to somebody else or can be read by others",
            "Remove it, or set TMPDIR to a place of your own.",
        )
    return root / hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:16]


@contextlib.contextmanager
def exclusive_lock(folder: Path, address: str) -> Iterator[None]:
    """Keep other processes of this machine out of a folder while the block runs.

    Args:
        folder: as `folder_of` gives it; the lock file lies beside it.
        address: the run directory, for the message.

    Raises:
        DataError: LS203, another process holds the lock.
    """
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(
                "LS203",
                f"--output '{address}'",
                "another process on this machine is writing to this run directory",
                "Wait for it or choose another --output.",
            ) from None
        yield
