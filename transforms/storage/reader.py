"""Read an object as a file-like stream."""

from __future__ import annotations

import contextlib
import io
import os
from typing import IO, Any

from linesmith.transforms.storage.retries import with_retries

_CHUNK = 4 << 20


def open_object(address: str) -> IO[bytes]:
    """Open the bytes of an object as they are stored; seekable. After a broken connection, reading continues where it was."""
    return io.BufferedReader(_RetryingStream(address), _CHUNK)


class _RetryingStream(io.RawIOBase):
    """Stream of an object that is opened again, at the same position, if reading fails for a while.

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
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer and return the number of bytes; 0 at the end."""

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
        """Change the position and return it."""

        def move() -> int:
            try:
                return self._open().seek(offset, whence)
            except Exception:
                self._stream = None
                raise

        self._position = with_retries(move, self._address, "read")
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def close(self) -> None:
        """Close the stream; errors of the store are ignored."""
        if self._stream is not None:
            with contextlib.suppress(Exception):  # a reader that fails to close loses nothing
                self._stream.close()
            self._stream = None
        super().close()
