"""Object stores by way of Beam's clients of them: list, copy in, copy out, delete; and what goes wrong there, in words.

Every copy is streamed, so that memory does not grow with an object. What a store fails to do for a moment is tried again
for some minutes; what it refuses is told at once. An object appears whole or not at all, since that is how stores write.
Credentials and endpoints come from where the store's own tools look for them, and are never repeated in a message.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shutil
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from model.errors import ParameterError
from transforms.store_errors import patiently

# What an address needs: a package, the extra that brings it, and what the store is called.
_NEEDED = {
    "s3": ("boto3", "aws", "S3"),
    "gs": ("google.cloud.storage", "gcp", "Google Cloud Storage"),
}
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CONNECT_WAITS = (1, 2, 4, 8, 15)
_CONNECT_SECONDS = 10
_CHUNK = 4 << 20
_AT_ONCE = 8  # objects copied side by side


@dataclass(frozen=True)
class Stored:
    """An object as a listing shows it; two stamps differ where it was written in between."""

    size: int
    updated: float

    @property
    def stamp(self) -> str:
        return f"{self.size}:{int(self.updated)}"


def is_remote(path: str | Path) -> bool:
    """Whether a path is the address of something that no local path reaches.

    Example:
        >>> is_remote("s3://bucket/run"), is_remote("out/run"), is_remote("C:/run")
        (True, False, False)
    """
    return _ADDRESS.match(str(path)) is not None


def is_bucket(path: str | Path) -> bool:
    """Whether a path is in an object store that we know."""
    found = _ADDRESS.match(str(path))
    return found is not None and found[1].lower() in _NEEDED


def check_address(address: str, option: str) -> None:
    """Refuse an address that no installed file system can reach.

    Raises:
        ParameterError: LS213, LS106; the message names the option.
    """
    found = _ADDRESS.match(address)
    scheme = "" if found is None else found[1].lower()
    if scheme not in _NEEDED:
        raise ParameterError(
            f"LS213: {option} '{address}' is of a kind that is not known; give a path, s3://BUCKET/… or gs://BUCKET/….",
            code="LS213",
        )
    package, extra, name = _NEEDED[scheme]
    if not _installed(package):
        raise ParameterError(
            f"LS106: {option} '{address}' is in {name}, whose library is not installed: pip install 'linesmith[{extra}]'.",
            code="LS106",
        )
    if not re.match(r"[^/]+(/|$)", address.partition("://")[2]):
        raise ParameterError(f"LS213: {option} '{address}' names no bucket; give {scheme}://BUCKET/….", code="LS213")


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def check_reachable(address: str) -> None:
    """Find out soon that a store's address is wrong; the store's own library would try for many minutes.

    Raises:
        DataError: LS213, nothing answers there.
    """
    endpoint = patiently(lambda: _endpoint(address), address, "reached")
    if endpoint is None or endpoint.hostname is None or urllib.request.getproxies().get(endpoint.scheme):
        return  # by way of a proxy, only the proxy can tell
    port = endpoint.port or {"http": 80}.get(endpoint.scheme, 443)
    host = endpoint.hostname

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise ConnectionError(f"{host}:{port}") from error

    patiently(connect, address, "reached", _CONNECT_WAITS)


def _endpoint(address: str) -> urllib.parse.SplitResult | None:
    """Where a store's library would connect to."""
    if address.lower().startswith("s3://"):
        with _client(address) as beams:
            client = beams.client.client
        return urllib.parse.urlsplit(str(client.meta.endpoint_url))
    given = os.environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com")
    return urllib.parse.urlsplit(given if "://" in given else f"http://{given}")


def join(root: str, *names: str) -> str:
    """An address below another.

    Example:
        >>> join("s3://bucket/run/", "model", "manifest.json")
        's3://bucket/run/model/manifest.json'
    """
    return "/".join([root.rstrip("/"), *names])


def list_below(root: str) -> dict[str, Stored]:
    """Every object below an address, by the rest of its name; empty where there is none.

    Raises:
        DataError: LS213, the bucket is missing or may not be listed, or the store cannot be reached.
    """
    base = join(root) + "/"

    def listing() -> dict[str, Stored]:
        found = {}
        with _client(base) as client:
            for path, (size, updated) in client.list_files(base, with_metadata=True):
                name = path[len(base) :]
                if name and not name.endswith("/"):
                    found[name] = Stored(int(size), float(updated or 0))
        return found

    return patiently(listing, base, "listed")


def fetch(address: str, path: Path) -> None:
    """Copy an object to a file, which appears when it is whole.

    Raises:
        DataError: LS213, it is not there, may not be read, or the store cannot be reached.
    """
    from model.files import atomic_path

    def copy() -> None:
        with (
            _client(address) as client,
            atomic_path(path) as part,
            client.open(address, "r") as content,
            open(part, "wb") as out,
        ):
            shutil.copyfileobj(content, out, _CHUNK)

    patiently(copy, address, "read")


def put(path: Path, address: str, content: bytes | None = None) -> Stored:
    """Copy a file to an object, and see that it arrived.

    Args:
        content: what to write instead of what the file holds.

    Returns:
        The object as the store has it now.

    Raises:
        DataError: LS213, it may not be written, or the store cannot be reached.
    """
    size = path.stat().st_size if content is None else len(content)

    def copy() -> Stored:
        with create_object(address) as out, _source(path, content) as source:
            if size == 0:
                _begin_empty(out)
            shutil.copyfileobj(source, out, _CHUNK)
        there = stat(address)
        if there.size != size:
            raise ConnectionError(f"{there.size} of {size} bytes arrived")
        return there

    return patiently(copy, address, "written")


def stat(address: str) -> Stored:
    """Size and time of an object."""
    with _client(address) as client:
        for path, (size, updated) in client.list_files(address, with_metadata=True):
            if path == address:
                return Stored(int(size), float(updated or 0))
    raise FileNotFoundError(address)


def find(address: str) -> Stored | None:
    """Size and time of an object; None where it is not there.

    Raises:
        DataError: LS213, the store says no or cannot be reached.
    """

    def look() -> Stored | None:
        with contextlib.suppress(FileNotFoundError):
            return stat(address)
        return None

    return patiently(look, address, "read")


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
        with _client(address) as client:
            if not client.exists(address):
                return None
            with client.open(address, "r") as content:
                return bytes(content.read())

    return patiently(read, address, "read")


def delete(addresses: Iterable[str]) -> None:
    """Delete objects; one that is gone already is no error.

    Raises:
        DataError: LS213, one may not be deleted, or the store cannot be reached.
    """
    side_by_side(_delete, sorted(addresses))


def _delete(address: str) -> None:
    def remove() -> None:
        with _client(address) as client:
            client.delete(address)

    patiently(remove, address, "deleted")


@contextlib.contextmanager
def _client(address: str) -> Iterator[Any]:
    """Beam's client of a store. One is made for each thread that needs one at a time, since making one takes a while."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    options = FileSystems._pipeline_options or PipelineOptions([])
    made_of = str(options.get_all_options(drop_default=True))
    idle = _idle.setdefault((address[:2].lower(), made_of, *_environment()), [])
    client = idle.pop() if idle else _new_client(address, options)
    yield client
    idle.append(client)  # only here: one that failed is not used again


_idle: dict[tuple[Any, ...], list[Any]] = {}


def _environment() -> tuple[str, ...]:
    """What a client was made from, besides options."""
    return tuple(
        value for name, value in sorted(os.environ.items()) if name.startswith(("AWS_", "GOOGLE_", "STORAGE_"))
    )


def _new_client(address: str, options: Any) -> Any:
    if address.lower().startswith("s3://"):
        from apache_beam.io.aws.s3io import S3IO

        return S3IO(options=options)
    from apache_beam.io.gcp.gcsio import GcsIO

    return GcsIO(pipeline_options=options)


def open_object(address: str) -> IO[bytes]:
    """The bytes of an object, seekable, as they are stored. A store that breaks off is asked again from there on."""
    return io.BufferedReader(_PatientStream(address), _CHUNK)


class _PatientStream(io.RawIOBase):
    """An object that is opened anew, at the place it was at, where reading fails for a moment.

    Raises:
        DataError: LS213, from any of its methods.
    """

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address
        self._position = 0
        self._stream: IO[bytes] | None = None
        patiently(self._open, address, "read")

    def _open(self) -> IO[bytes]:
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        if self._stream is None:
            stream: IO[bytes] = FileSystems.open(self._address, compression_type=CompressionTypes.UNCOMPRESSED)
            stream.seek(self._position)
            self._stream = stream
        return self._stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        def read() -> bytes:
            try:
                return self._open().read(len(buffer))
            except Exception:
                self._stream = None
                raise

        content = patiently(read, self._address, "read")
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        def move() -> int:
            try:
                return self._open().seek(offset, whence)
            except Exception:
                self._stream = None
                raise

        self._position = patiently(move, self._address, "read")
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(Exception):  # nothing is lost by a reader that does not close
                self._stream.close()
            self._stream = None
        super().close()


@contextlib.contextmanager
def create_object(address: str) -> Iterator[Any]:
    """A writer of an object; where the block fails the object is not finished."""
    with _client(address) as client:
        out = client.open(address, "w")
        yield out
        out.close()  # only here: closing completes the object, which a block that failed must not do


def side_by_side(work: Callable[[Any], None], items: Sequence[Any]) -> None:
    """Do something for each of many objects, several at once; the first failure is raised when the others are done."""
    if len(items) < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()
