"""Physical lines of a byte stream, in memory that does not grow with a line's length.

A line ends at the encoding's newline, or at the end of the file. A byte range of a file owns the lines whose first byte
lies in it, so neighbouring ranges together see every line exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

CHUNK_BYTES = 1 << 20


def scan_lines(
    stream: IO[bytes], *, offset: int, end: int | None, newline: bytes, keep: int
) -> Iterator[tuple[int, bytes, int]]:
    r"""Lines that begin in [offset, end), as (byte offset, first `keep` bytes without newline, length in bytes).

    Args:
        stream: stands at `offset`, which must be the beginning of a line.
        end: no line at or past it is given; None: all.
        newline: one to four bytes; where it is wider than one byte, only newlines at a multiple of its width count.
        keep: must be a multiple of the newline's width. A length above it tells that the line was cut.

    Example:
        >>> import io
        >>> list(scan_lines(io.BytesIO(b"ab\n\nc"), offset=0, end=None, newline=b"\n", keep=9))
        [(0, b'ab', 2), (3, b'', 0), (4, b'c', 1)]
    """
    width = len(newline)
    carry, cut = b"", 0  # the unfinished line: what is kept of it, and how many bytes were not
    while chunk := _read_chunk(stream):
        pieces = _split(carry + chunk, newline)
        carry = pieces.pop()
        for piece in pieces:
            if end is not None and offset >= end:
                return
            length = len(piece) + cut
            yield offset, piece if length <= keep else piece[:keep], length
            offset += length + width
            cut = 0
        if len(carry) > keep:
            cut += len(carry) - keep
            carry = carry[:keep]
        if end is not None and offset >= end:
            return
    if (carry or cut) and (end is None or offset < end):
        yield offset, carry[:keep], len(carry) + cut


def next_line(stream: IO[bytes], *, start: int, end: int, newline: bytes = b"\n") -> int | None:
    r"""Offset of the first line that begins in [start, end); None where none does. The newline is one byte.

    The stream is left there. Never looks past `end`, so that a gigantic line costs each range its own bytes only.

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


def _read_chunk(stream: IO[bytes]) -> bytes:
    """A full chunk unless the stream ends: decompressors return less, which would break the alignment of wide newlines."""
    data = stream.read(CHUNK_BYTES)
    if len(data) == CHUNK_BYTES or not data:
        return data
    parts, missing = [data], CHUNK_BYTES - len(data)
    while missing and (more := stream.read(missing)):
        parts.append(more)
        missing -= len(more)
    return b"".join(parts)


def _split(data: bytes, newline: bytes) -> list[bytes]:
    if len(newline) == 1:
        return data.split(newline)
    pieces, begin, found = [], 0, data.find(newline)
    while found >= 0:
        if found % len(newline):
            found = data.find(newline, found + 1)
            continue
        pieces.append(data[begin:found])
        begin = found + len(newline)
        found = data.find(newline, begin)
    pieces.append(data[begin:])
    return pieces
