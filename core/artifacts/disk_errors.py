"""Errors of a disk, as one paragraph that names the place: it is full, its quota is used up, or it may not be written.

The same fault arrives in several forms: an `OSError` with or without the name of a file, an error of TensorFlow, the text that
Beam makes of what a worker raised, and NumPy's count of what it could not write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from linesmith.core.errors import DataError, LinesmithError, exception_chain

_ROOM = "Make room and run the same command again, or choose another place"
_RIGHTS = "Choose a place that you may write to"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "Allow larger files (ulimit -f), or choose another place",
    errno.EROFS: _RIGHTS,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "Check the disk",
    errno.ESTALE: "See that the disk is mounted, and run the same command again",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.EMFILE: "Allow more open files (ulimit -n)",
    errno.ENFILE: "Close other programs",
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.ELOOP), "Remove what lies where a file or a directory belongs"),
}
_NOT_ONLY_WRITTEN = {
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ESTALE,
    errno.EMFILE,
    errno.ENFILE,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
}
# Errors without a number say what the system said.
_TEXTS = {os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)}
_IN_TEXT = re.compile(r"\[Errno (\d+)\] [^\n\[]*?(?:: '([^'\n]*)')?(?=$|\n| \[while running)")
_NUMPY = re.compile(r"\d+ requested and \d+ written")
_FULL_BYTES = 1 << 20  # a disk with less free than this counts as full


def disk_error(failure: BaseException, place: str | Path | None = None, option: str | None = None) -> DataError | None:
    """Return the error that describes a fault of a disk, or None for any other failure.

    Args:
        failure: what was raised.
        place: where the files are written, for faults that do not name a file.
        option: the option that names that place, as typed.
    """
    found = next((fault for error in exception_chain(failure) if (fault := _fault(error)) is not None), None)
    if found is None:
        return None
    number, file = found
    may_be_read = number in _NOT_ONLY_WRITTEN
    place_named = _full_place(place) if file is None else file
    if place is None or not _lies_in(place_named, place):
        option = None
    verb = "used" if may_be_read else "written"
    # A fault that is not of writing alone may be of an input, whose name is not known here.
    subject = f"a file that is needed for '{place_named}'" if file is None and may_be_read else f"'{place_named}'"
    return DataError(
        "LS209",
        option,
        f"{subject} cannot be {verb}: {os.strerror(number)}",
        f"{_REMEDIES[number]}. Nothing unfinished was put in place.",
    )


@contextlib.contextmanager
def disk_errors_named(place: str | Path) -> Iterator[None]:
    """Raise a DataError in place of a fault of a disk that a block raises.

    Args:
        place: where the block writes; the value of `--output`.

    Raises:
        DataError: LS209.
    """
    try:
        yield
    except LinesmithError:
        raise
    except Exception as failure:
        described = disk_error(failure, place, f"--output '{place}'")
        if described is None:
            raise
        raise described from None


def _fault(error: BaseException) -> tuple[int, str | None] | None:
    """Return the number of a disk's fault and the name of the file, if that is known; None for another error."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno not in _REMEDIES:
            return None
        name = error.filename2 if error.filename2 is not None else error.filename
        return error.errno, os.fsdecode(name) if isinstance(name, str | bytes) else None
    text = str(error)
    if isinstance(error, OSError) and _NUMPY.search(text):
        return errno.ENOSPC, None
    wrapped = type(error).__module__.startswith(("tensorflow", "apache_beam", "grpc"))
    if not wrapped and not isinstance(error, RuntimeError | OSError):
        return None  # the text of another error may be that of a record
    for found in _IN_TEXT.finditer(text):
        if int(found[1]) in _REMEDIES:
            return int(found[1]), found[2]
    return next(((number, None) for said, number in _TEXTS.items() if said in text), None)


def _full_place(place: str | Path | None) -> str:
    """Return the place that is full: the given one, unless it has room and the directory of temporary files has none."""
    temporary = tempfile.gettempdir()
    if place is None or (_free_bytes(place) >= _FULL_BYTES > _free_bytes(temporary)):
        return temporary
    return str(place)


def _free_bytes(place: str | Path) -> int:
    try:
        disk = os.statvfs(place)
    except OSError:
        return _FULL_BYTES
    return disk.f_bavail * disk.f_frsize


def _lies_in(file: str, place: str | Path) -> bool:
    return Path(file).absolute().is_relative_to(Path(place).absolute())
