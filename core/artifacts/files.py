"""Atomic files: written under a temporary name, flushed to disk, and renamed, so that a reader never sees half a file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ValidationError

from linesmith.core.errors import DataError, LinesmithError
from linesmith.core.parsing import parse_json

MAX_JSON_BYTES = 128 << 20  # of a file that may come from somebody else


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename the file to `path` when the block ends, remove it when the block raises.

    The directory of `path` is created where it is missing. The file is flushed to disk before it is renamed.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    # Not the process number: processes in containers that share a disk may have the same one.
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporary_files(directory: str | Path) -> None:
    """Delete the temporary files of killed writers from a directory to which no other process writes."""
    for path in Path(directory).glob(".*.tmp"):
        # Earlier versions named the file after the number of the process: digits.
        if re.fullmatch(r"\..+\.([0-9a-f]{32}|\d+)\.tmp", path.name) and path.is_file():
            path.unlink()


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | Path, content: Any) -> None:
    r"""Write JSON atomically, indented, keys in the order given.

    Half of a surrogate pair, which stands for a byte in the name of a file that is not UTF-8, is written as JSON's `\uDCxx`.
    """
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def read_json(path: str | Path, what: str, shape: type[BaseModel] | None = None, *, limited: bool = True) -> Any:
    """Read a JSON file that Linesmith wrote.

    Args:
        path: of the file.
        what: what the file holds, for the message of an error, such as 'the manifest'.
        shape: entries that it must have, and of which types; None: the caller checks them.
        limited: apply the limits of `linesmith.core.parsing`; off only where the running command itself wrote the file.

    Raises:
        DataError: LS201, the file is missing, is not JSON of that shape, or exceeds the limits.
    """
    try:
        if not limited:
            return json.loads(Path(path).read_text("utf-8"))
        with open_regular(path) as stored:
            if os.fstat(stored.fileno()).st_size > MAX_JSON_BYTES:
                raise ValueError("too long")
            content = stored.read()
        value = parse_json(content.decode())
        if shape is not None:
            shape.model_validate(value)
        return value
    except FileNotFoundError:
        raise DataError(
            "LS201", None, f"{what} is missing: '{path}' does not exist", "Run the stage that writes it."
        ) from None
    except ValidationError:
        raise DataError(
            "LS201",
            None,
            f"{what} is damaged: '{path}' lacks an entry, or has one of another type",
            "Run the stage that writes it again.",
        ) from None
    except (OSError, ValueError):
        raise DataError(
            "LS201", None, f"{what} is damaged: '{path}' is not readable JSON", "Run the stage that writes it again."
        ) from None


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a file of a run directory, which may come from somebody else.

    Raises:
        OSError: it cannot be opened, or is something else than a file, such as a pipe, which could be read without end.
    """
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "not a file", str(path))
    return stream


@contextlib.contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Refuse a file whose entries turn out not to be those that Linesmith writes, while a block uses them.

    Args:
        path: of the file.
        what: what the file holds, for the message.

    Raises:
        DataError: LS201, the block raised what Python raises for a missing entry or one of another type.
    """
    try:
        yield
    except LinesmithError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise DataError(
            "LS201",
            None,
            f"{what} is damaged: '{path}' lacks an entry, or has one of another type",
            "Run the stage that writes it again.",
        ) from None


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits, computed in constant memory."""
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sha256_tree(directory: str | Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the SHA-256 of every file below a directory, by relative name, in sorted order.

    Args:
        directory: the root.
        known: digests by relative name that are known already; these files are not read.
    """
    root, known = Path(directory), {} if known is None else known
    files = {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: known[name] if name in known else sha256_file(path) for name, path in files.items()}


def replace_directory(new: str | Path, final: str | Path) -> None:
    """Rename directory `new` to `final`. A directory that has this name is renamed first, and removed last."""
    new, final = Path(new), Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    aside = final.with_name(f".{final.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if final.exists():
        os.replace(final, aside)
    os.replace(new, final)
    shutil.rmtree(aside, ignore_errors=True)


def remove_path(path: str | Path) -> None:
    """Delete a file, or a directory with all that is in it; a link is deleted and not followed, nothing is no error."""
    path = Path(path)
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def make_owner_only(directory: str | Path) -> None:
    """Create a directory that only its owner may read or enter; one that exists keeps its permissions."""
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


def open_lock_file(path: str | Path) -> IO[str]:
    """Open a file to be locked, which is created where it is missing and keeps its content.

    Raises:
        OSError: the file cannot be opened, or is a symbolic link: whoever may write to the directory could have it lead to a
            file of somebody else.
    """
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "r+")
