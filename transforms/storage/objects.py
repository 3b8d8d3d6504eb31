"""Object stores by way of Beam's clients of them: list, copy in, copy out, delete; and what goes wrong there, in words.

Every copy is streamed, so that memory does not grow with an object. What a store fails to do for a moment is tried again
for some minutes; what it refuses is told at once. An object appears whole or not at all, since that is how stores write.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from linesmith.transforms.storage.addresses import join
from linesmith.transforms.storage.clients import store_client
from linesmith.transforms.storage.retries import with_retries

_CHUNK = 4 << 20
_AT_ONCE = 8  # objects copied side by side


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it; two stamps differ where it was written in between."""

    size: int
    updated: float

    @property
    def stamp(self) -> str:
        return f"{self.size}:{int(self.updated)}"


def list_below(root: str) -> dict[str, StoredObject]:
    """Every object below an address, by the rest of its name; empty where there is none.

    Raises:
        DataError: LS213, the bucket is missing or may not be listed, or the store cannot be reached.
    """
    base = join(root) + "/"

    def listing() -> dict[str, StoredObject]:
        found = {}
        with store_client(base) as client:
            for path, (size, updated) in client.list_files(base, with_metadata=True):
                name = path[len(base) :]
                if name and not name.endswith("/"):
                    found[name] = StoredObject(int(size), float(updated or 0))
        return found

    return with_retries(listing, base, "listed")


def fetch(address: str, path: Path) -> None:
    """Copy an object to a file, which appears when it is whole.

    Raises:
        DataError: LS213, it is not there, may not be read, or the store cannot be reached.
    """
    from linesmith.core.artifacts.files import atomic_path

    def copy() -> None:
        with (
            store_client(address) as client,
            atomic_path(path) as part,
            client.open(address, "r") as content,
            open(part, "wb") as out,
        ):
            shutil.copyfileobj(content, out, _CHUNK)

    with_retries(copy, address, "read")


def put(path: Path, address: str, content: bytes | None = None) -> StoredObject:
    """Copy a file to an object, and see that it arrived.

    Args:
        content: what to write instead of what the file holds.

    Returns:
        The object as the store has it now.

    Raises:
        DataError: LS213, it may not be written, or the store cannot be reached.
    """
    size = path.stat().st_size if content is None else len(content)

    def copy() -> StoredObject:
        with create_object(address) as out, _source(path, content) as source:
            if size == 0:
                _begin_empty(out)
            shutil.copyfileobj(source, out, _CHUNK)
        there = stat(address)
        if there.size != size:
            raise ConnectionError(f"{there.size} of {size} bytes arrived")
        return there

    return with_retries(copy, address, "written")


def stat(address: str) -> StoredObject:
    """Size and time of an object."""
    with store_client(address) as client:
        for path, (size, updated) in client.list_files(address, with_metadata=True):
            if path == address:
                return StoredObject(int(size), float(updated or 0))
    raise FileNotFoundError(address)


def find(address: str) -> StoredObject | None:
    """Size and time of an object; None where it is not there.

    Raises:
        DataError: LS213, the store says no or cannot be reached.
    """

    def look() -> StoredObject | None:
        with contextlib.suppress(FileNotFoundError):
            return stat(address)
        return None

    return with_retries(look, address, "read")


def _source(path: Path, content: bytes | None) -> IO[bytes]:
    return open(path, "rb") if content is None else io.BytesIO(content)


def _begin_empty(out: Any) -> None:
    """Send one empty part: Beam's writer for S3 would otherwise complete an upload of none, which the store refuses."""
    uploader = getattr(getattr(out, "raw", None), "_uploader", None)
    if uploader is not None and hasattr(uploader, "upload_id"):
        uploader._write_to_s3(b"")


def read_bytes(address: str) -> bytes | None:
    """A small object; None where it is not there."""

    def read() -> bytes | None:
        with store_client(address) as client:
            if not client.exists(address):
                return None
            with client.open(address, "r") as content:
                return bytes(content.read())

    return with_retries(read, address, "read")


def delete(addresses: Iterable[str]) -> None:
    """Delete objects; one that is gone already is no error.

    Raises:
        DataError: LS213, one may not be deleted, or the store cannot be reached.
    """
    run_in_parallel(_delete, sorted(addresses))


def _delete(address: str) -> None:
    def remove() -> None:
        with store_client(address) as client:
            client.delete(address)

    with_retries(remove, address, "deleted")


@contextlib.contextmanager
def create_object(address: str) -> Iterator[Any]:
    """A writer of an object; where the block fails the object is not finished."""
    with store_client(address) as client:
        out = client.open(address, "w")
        yield out
        out.close()  # only here: closing completes the object, which a block that failed must not do


def run_in_parallel(work: Callable[[Any], None], items: Sequence[Any]) -> None:
    """Do something for each of many objects, several at once; the first failure is raised when the others are done."""
    if len(items) < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()
