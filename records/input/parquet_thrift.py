"""Read what a Parquet file says of its schema and its pages, before pyarrow follows it: nesting without end overflows its stack.

Only the parts of Thrift's compact protocol that Parquet uses are understood (parquet.thrift, "thrift-compact-protocol.md").
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

_MAGIC = b"PAR1"
_MAX_FOOTER_BYTES = 256 << 20
_MAX_DEPTH = 64  # of columns in one another, and of structures in a header
_MAX_ELEMENTS = 20_000  # columns and what is around them
_HEADER_BYTES, _MAX_HEADER_BYTES = 256, 1 << 20  # of a page; statistics in it may be texts
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_SCHEMA_FIELD, _CHILDREN_FIELD = 2, 5  # of FileMetaData and SchemaElement
DICTIONARY_PAGE, DELTA_BYTE_ARRAY = 2, 7  # values of PageType and Encoding


def check_schema(stream: IO[bytes], file_bytes: int) -> None:
    """Refuse a file whose columns are nested too deeply.

    Args:
        stream: the file.
        file_bytes: its size.

    Raises:
        ValueError, EOFError: it is so nested, or no Parquet file.
    """
    stream.seek(max(0, file_bytes - 8))
    end = stream.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or length > min(_MAX_FOOTER_BYTES, file_bytes - 8):
        raise ValueError("no Parquet file")
    stream.seek(file_bytes - 8 - length)
    footer = _Reader(stream.read(length))
    for number, kind in footer.fields():
        if number != _SCHEMA_FIELD:
            footer.value(kind)
            continue
        open_children: list[int] = []  # of the elements around the next one: how many are still to come
        for element in footer.items(kind, _MAX_ELEMENTS):
            if open_children:
                open_children[-1] -= 1
            open_children.append(max(0, element.get(_CHILDREN_FIELD, 0)))
            while open_children and not open_children[-1]:
                open_children.pop()
            if len(open_children) > _MAX_DEPTH:
                raise ValueError("columns are nested too deeply")
        return
    raise ValueError("no schema")


def page_headers(stream: IO[bytes], start: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Yield type, encoding and uncompressed size of each page of a column's chunk.

    Args:
        stream: the file.
        start: where the chunk begins.
        length: its number of bytes.

    Raises:
        ValueError, EOFError: a header is damaged.
    """
    end = start + length
    while start < end:
        stream.seek(start)
        content = stream.read(_HEADER_BYTES)
        try:
            reader = _Reader(content)
            header = reader.value(_STRUCT)
        except EOFError:
            reader = _Reader(content + stream.read(_MAX_HEADER_BYTES))
            header = reader.value(_STRUCT)
        page_type, size, packed_size = (header[number] for number in (1, 2, 3))
        if min(size, packed_size) < 0:
            raise ValueError("a page of negative size")
        details = (
            header.get(5) or header.get(8) or header.get(7) or {}
        )  # of a data page, its second version, a dictionary
        yield page_type, details.get(4 if 8 in header else 2, 0), size
        start += reader.position + packed_size


class _Reader:
    """Values of Thrift's compact protocol: numbers, bytes, lists, and structures as dictionaries by number of the field."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    @property
    def position(self) -> int:
        """Number of bytes read."""
        return self._content.tell()

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field of a structure; the caller reads the value of each before the next."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._number()
            yield number, head & 0xF

    def items(self, kind: int, most: int) -> Iterator[Any]:
        """Yield the items of a list.

        Raises:
            ValueError: it is no list, or has more items.
        """
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        if kind not in (_LIST, _SET) or count > most:
            raise ValueError("no list, or too long")
        for _ in range(count):
            yield self.value(head & 0xF, in_list=True)

    def value(self, kind: int, depth: int = 0, *, in_list: bool = False) -> Any:
        """Return a value of a type."""
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        if kind in (_TRUE, _FALSE):
            return self._byte() if in_list else kind
        if kind in (_I16, _I32, _I64):
            return self._number()
        if kind == _STRUCT:
            return {number: self.value(field, depth + 1) for number, field in self.fields()}
        if kind in (_BYTE, _DOUBLE, _BINARY):
            return self._exactly({_BYTE: 1, _DOUBLE: 8}.get(kind) or self._varint())
        if kind in (_LIST, _SET):
            head = self._byte()
            count = self._varint() if head >> 4 == 15 else head >> 4
            return [self.value(head & 0xF, depth + 1, in_list=True) for _ in range(self._bounded(count))]
        raise ValueError("a type that Parquet does not use")

    def _bounded(self, count: int) -> int:
        if count > _MAX_HEADER_BYTES:
            raise ValueError("too many items")
        return count

    def _byte(self) -> int:
        return self._exactly(1)[0]

    def _exactly(self, size: int) -> bytes:
        content = self._content.read(size)
        if len(content) < size:
            raise EOFError
        return content

    def _number(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = shift = 0
        while shift < 70:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
        raise ValueError("a number of more than 64 bits")
