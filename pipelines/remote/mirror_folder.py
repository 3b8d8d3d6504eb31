"""The folder on this machine in which a run directory in a bucket is worked on: private, and one process's at a time."""

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
    """The folder of an address; nobody else can read it. TMPDIR says where such folders lie.

    Raises:
        DataError: LS213, others could read what is there.
    """
    root = Path(tempfile.gettempdir()) / f"linesmith-{os.getuid()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = root.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or root.is_symlink():
        raise DataError(
            f"LS213: '{root}', where a run directory in a bucket is worked on, belongs to somebody else or can be read by "
            "others; remove it, or set TMPDIR to a place of your own.",
            code="LS213",
        )
    return root / hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:16]


@contextlib.contextmanager
def alone(folder: Path, address: str) -> Iterator[None]:
    """No other process of this machine works in the folder while the block runs.

    Raises:
        DataError: LS203, one does.
    """
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(
                f"LS203: another process on this machine is writing to the run directory '{address}'; wait for it or choose "
                "another --output.",
                code="LS203",
            ) from None
        yield
