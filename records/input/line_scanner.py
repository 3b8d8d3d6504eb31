"""Split a byte stream into lines, in memory that does not grow with the length of a line.

A line ends at the newline of the encoding, or at the end of the file. The newline is a line feed, or a carriage return where a
file has no line feed; a carriage return before a line feed is left to the record's format. A byte range of a file owns the lines
whose first byte lies in it, so adjacent ranges together see every line exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

CHUNK_BYTES = 1 << 20


def scan_lines(
    stream: IO[bytes], *, offset: int, end: int | None, newline: bytes, keep_bytes: int
) -> Iterator[tuple[int, bytes, int]]:
    r"""Yield the lines that begin in [offset, end).

    Args:
        stream: positioned at `offset`, which must be the beginning of a line.
        offset: position of the stream in its file.
        end: no line that begins at or after it is read; None: all lines are.
        newline: one to four bytes. If it has more than one, only newlines at a multiple of its width count.
        keep_bytes: most bytes of a line to keep; a multiple of the width of the newline.

    Yields:
        Byte offset, the first `keep_bytes` bytes without the newline, and length in bytes. A length above `keep_bytes` means
        that the line was cut.

    Example:
        >>> import io
        >>> list(scan_lines(io.BytesIO(b"ab\n\nc"), offset=0, end=None, newline=b"\n", keep_bytes=9))
        [(0, b'ab', 2), (3, b'', 0), (4, b'c', 1)]
    """
    width = len(newline)
    carry, dropped = b"", 0  # the unfinished line: its kept bytes, and how many bytes of it were dropped
    while chunk := _read_chunk(stream):
        pieces = _split(carry + chunk, newline)
        carry = pieces.pop()
        for piece in pieces:
            if end is not None and offset >= end:
                return
            length = len(piece) + dropped
            yield offset, piece if length <= keep_bytes else piece[:keep_bytes], length
            offset += length + width
            dropped = 0
        if len(carry) > keep_bytes:
            dropped += len(carry) - keep_bytes
            carry = carry[:keep_bytes]
        if end is not None and offset >= end:
            return
    if (carry or dropped) and (end is None or offset < end):
        yield offset, carry[:keep_bytes], len(carry) + dropped


def next_line(stream: IO[bytes], *, start: int, end: int, newline: bytes = b"\n") -> int | None:
    r"""Move a stream to the first line that begins in [start, end), and return its offset; None if there is none.

    Never reads past `end`, so a gigantic line costs each range no more than its own bytes.

    Args:
        stream: seekable.
        start: at least 1.
        end: the offset after the range.
        newline: a single byte.

    Example:
        >>> import io
        >>> next_line(io.BytesIO(b"abc\ndef\n"), start=2, end=8)
        4
    """
    position = start - 1  # a newline just before `start` means that a line begins exactly there
    stream.seek(position)
    while position < end - 1:
        chunk = stream.read(min(CHUNK_BYTES, end - 1 - position))
        if not chunk:
            return None
        found = chunk.find(newline)
        if found >= 0:
            stream.seek(position + found + 1)
            return position + found + 1
        position += len(chunk)
    return None


def has_only_carriage_returns(stream: IO[bytes], encoding: str) -> bool:
    r"""Return whether lines end with a carriage return alone: the stream has one, and no line feed.

    Reads up to the first line feed, which nearly always is in the first chunk.

    Args:
        stream: at its beginning.
        encoding: a codec without a byte-order mark of its own.

    Example:
        >>> import io
        >>> [has_only_carriage_returns(io.BytesIO(text), "utf-8") for text in (b"a\rb", b"a\r\nb\r", b"a")]
        [True, False, False]
    """
    line_feed, carriage_return = "\n".encode(encoding), "\r".encode(encoding)
    found = False
    while chunk := _read_chunk(stream):  # whole characters: a chunk's size is a multiple of every newline's width
        if _holds(chunk, line_feed):
            return False
        found = found or _holds(chunk, carriage_return)
    return found


def _holds(data: bytes, newline: bytes) -> bool:
    return newline in data and (len(newline) == 1 or len(_split(data, newline)) > 1)


def _read_chunk(stream: IO[bytes]) -> bytes:
    """Return a full chunk unless the stream ends. Decompressors return less, which would misalign wide newlines."""
    data = stream.read(CHUNK_BYTES)
    if len(data) == CHUNK_BYTES or not data:
        return data
    parts, missing = [data], CHUNK_BYTES - len(data)
    while missing and (more := stream.read(missing)):
        parts.append(more)
        missing -= len(more)
    return b"".join(parts)


def _split(data: bytes, newline: bytes) -> list[bytes]:
    """Split at newlines that are aligned to their width; `data` must begin at an aligned byte."""
    if len(newline) == 1:
        return data.split(newline)
    pieces, begin, found = [], 0, data.find(newline)
    while found >= 0:
        if found % len(newline):  # the end of one character and the beginning of the next
            found = data.find(newline, found + 1)
            continue
        pieces.append(data[begin:found])
        begin = found + len(newline)
        found = data.find(newline, begin)
    pieces.append(data[begin:])
    return pieces
