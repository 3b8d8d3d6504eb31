"""List, read, write and delete objects in a bucket, with Beam's clients.

Every copy is streamed, so memory does not grow with an object. Operations that fail because a store is away are tried again
for some minutes; what a store refuses is reported at once. An object appears complete or not at all: stores write that way.
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
_MAX_THREADS = 8  # objects copied at the same time


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it.

    Attributes:
        size: in bytes.
        updated: time of the last write, in seconds since 1970.
    """

    size: int
    updated: float

    @property
    def stamp(self) -> str:
        """Size and time; two stamps differ if the object was written in between."""
        return f"{self.size}:{int(self.updated)}"


def list_below(root: str) -> dict[str, StoredObject]:
    """Return every object below an address, by its name relative to the address; may be empty.

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
    """Copy an object to a file, which appears when it is complete.

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
    """Copy a file to an object, and check that it arrived.

    Args:
        path: the file.
        address: the object.
        content: what to write instead of the content of the file.

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
        written = stat(address)
        if written.size != size:
            raise ConnectionError(f"{written.size} of {size} bytes arrived")
        return written

    return with_retries(copy, address, "written")


def stat(address: str) -> StoredObject:
    """Return size and time of an object, without retries.

    Raises:
        FileNotFoundError: there is none.
    """
    with store_client(address) as client:
        for path, (size, updated) in client.list_files(address, with_metadata=True):
            if path == address:
                return StoredObject(int(size), float(updated or 0))
    raise FileNotFoundError(address)


def find(address: str) -> StoredObject | None:
    """Return size and time of an object; None if it does not exist.

    Raises:
        DataError: LS213, the store refuses or cannot be reached.
    """

    def look() -> StoredObject | None:
        with contextlib.suppress(FileNotFoundError):
            return stat(address)
        return None

    return with_retries(look, address, "read")


def _source(path: Path, content: bytes | None) -> IO[bytes]:
    return open(path, "rb") if content is None else io.BytesIO(content)


def _begin_empty(out: Any) -> None:
    """Send one empty part. Beam's writer for S3 would otherwise complete an upload without parts, which the store refuses."""
    uploader = getattr(getattr(out, "raw", None), "_uploader", None)
    if uploader is not None and hasattr(uploader, "upload_id"):
        uploader._write_to_s3(b"")


def read_bytes(address: str) -> bytes | None:
    """Return the content of a small object; None if it does not exist.

    Raises:
        DataError: LS213, it may not be read, or the store cannot be reached.
    """

    def read() -> bytes | None:
        with store_client(address) as client:
            if not client.exists(address):
                return None
            with client.open(address, "r") as content:
                return bytes(content.read())

    return with_retries(read, address, "read")


def delete(addresses: Iterable[str]) -> None:
    """Delete objects. One that does not exist is no error.

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
    """Provide a writer of an object. If the block fails, the object is not created."""
    with store_client(address) as client:
        out = client.open(address, "w")
        yield out
        out.close()  # not in a `finally` block: closing completes the object, which must not happen after an error


def run_in_parallel(work: Callable[[Any], None], items: Sequence[Any]) -> None:
    """Call `work` for every item, several at the same time. The first error is raised after the others are done."""
    if len(items) < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(min(_MAX_THREADS, len(items))) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()
