"""An object as a stream, for readers that want a file."""

from __future__ import annotations

import contextlib
import io
import os
from typing import IO, Any

from linesmith.transforms.storage.retries import with_retries

_CHUNK = 4 << 20


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
        with_retries(self._open, address, "read")

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

        content = with_retries(read, self._address, "read")
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

        self._position = with_retries(move, self._address, "read")
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(Exception):  # nothing is lost by a reader that does not close
                self._stream.close()
            self._stream = None
        super().close()
