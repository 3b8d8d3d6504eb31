"""Files that are either wholly there or not there at all: write beside, flush, rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from linesmith.core.errors import DataError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`; on success it is flushed to disk and renamed, otherwise removed.

    No other writer has that name: the number of a process would not do, since containers that share a disk count alike.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporary_files(directory: str | Path) -> None:
    """Delete the temporary names that writers which were killed have left in a directory that nobody else writes to."""
    for path in Path(directory).glob(".*.tmp"):
        # Digits: the number of a process, in the names of earlier versions.
        if re.fullmatch(r"\..+\.([0-9a-f]{32}|\d+)\.tmp", path.name) and path.is_file():
            path.unlink()


def write_bytes(path: str | Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically, keys in the order given, readable by a person."""
    write_bytes(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode("utf-8"))


def read_json(path: str | Path, what: str) -> Any:
    """Read JSON that we wrote.

    Raises:
        DataError: it is missing or damaged; the message names `what` it is.
    """
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"LS201: {what} is missing: '{path}' does not exist. Run the stage that writes it.") from None
    except (OSError, ValueError, UnicodeDecodeError):
        raise DataError(
            f"LS201: {what} is damaged: '{path}' is not readable JSON. Run the stage that writes it again."
        ) from None


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file, in constant memory."""
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sha256_tree(directory: str | Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """SHA-256 of every file below a directory, by its relative name, in sorted order.

    Args:
        directory: the root.
        known: digests that whoever wrote the files took already; those are not read.
    """
    root, known = Path(directory), {} if known is None else known
    files = {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}
    return {name: known[name] if name in known else sha256_file(path) for name, path in files.items()}


def replace_directory(new: str | Path, final: str | Path) -> None:
    """Put directory `new` in the place of `final`. What stood there is set aside first and removed last."""
    new, final = Path(new), Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    aside = final.with_name(f".{final.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if final.exists():
        os.replace(final, aside)
    os.replace(new, final)
    shutil.rmtree(aside, ignore_errors=True)
