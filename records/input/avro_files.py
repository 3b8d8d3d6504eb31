"""Read the records of an Avro file, which may be hostile, block by block within limits; fastavro decodes what has passed them.

A block is decompressed here, up to a limit, and given to fastavro as an uncompressed file of one block. A schema is refused if a
record of it could cost time or memory that its bytes do not account for: fastavro would follow a type that contains itself until
the stack ends, and would read values without bytes as often as a file says.
"""

from __future__ import annotations

import bz2
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import IO, Any

from linesmith.core.parsing import parse_json
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.schema import parse_type

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16
_CHUNK_BYTES = 1 << 20
_MAX_HEADER_BYTES = 16 << 20  # of a key or a value of the header; the schema is one
_MAX_BLOCK_BYTES = 64 << 20  # compressed or not; writers cut blocks of 16 kB to a few MB
_MAX_MEMORY = 512 << 20  # of the values of a block that are in one record, and of records that are in one list
_MAX_SCHEMA_TYPES = 10_000  # of one record, named types written out
_MAX_DECIMAL_BYTES = 256  # Arrow's largest decimal has 32; converting a long one takes quadratic time
# Least number of bytes of a value.
_PRIMITIVES = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}
_VALUE_MEMORY, _ENTRY_MEMORY = 64, 64  # of a Python value, and of its place in a dictionary or list
_CODECS_WITH_SIZE = ("snappy", "lz4")  # their data begin with the decompressed size


class AvroFile:
    """An open Avro file.

    Args:
        stream: the bytes of the file, at their beginning.
        plain: read values as they are stored, without their logical types: dates as numbers, decimals as bytes.

    Attributes:
        schema_bytes: the schema, as JSON.
        columns: names of the fields of its records.
        rows_at_once: how many records of empty values fit in memory.
        types: types of the fields that are not text, by name; others are left out.

    Raises:
        ValueError, EOFError: it is not an Avro file of records, or exceeds a limit. fastavro may raise more.
    """

    def __init__(self, stream: IO[bytes], plain: bool = False) -> None:
        _limit_decimals()
        self._stream = stream
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("no Avro file")
        header = self._read_header()
        self._sync = _exactly(stream, _SYNC_BYTES)
        self.schema_bytes = header["avro.schema"]
        self._codec = header.get("avro.codec", b"null").decode()
        schema = parse_json(self.schema_bytes)
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise ValueError("not a file of records")
        check = _SchemaCheck()
        record = check.cost(schema)
        if not record.least_bytes:
            raise ValueError("its records have no content")
        self._block_schema = json.dumps(_without_logical_types(schema)).encode() if plain else self.schema_bytes
        self._most_block_bytes = check.most_block_bytes
        self.rows_at_once = max(1, _MAX_MEMORY // record.memory)
        self.columns = [str(field["name"]) for field in schema["fields"]]
        self.types = _types(schema["fields"])

    def blocks(self) -> Iterator[tuple[Iterator[dict[str, Any]], int]]:
        """Yield the records of each block and its number of bytes. The file can be read once only."""
        while (first := self._stream.read(1)) != b"":
            yield self._block(first)

    def blocks_between(self, start: int, end: int | None) -> Iterator[tuple[Iterator[dict[str, Any]], int]]:
        """Yield the blocks whose preceding sync marker begins in a range of bytes of the file.

        Adjacent ranges together have every block once. The stream must be seekable and at the end of the header.

        Args:
            start: first byte of the range.
            end: byte after its last one; None: the end of the file.
        """
        marker = self._stream.tell() - _SYNC_BYTES
        if start > marker:
            marker = self._find_sync(start)
        while (end is None or marker < end) and (first := self._stream.read(1)) != b"":
            yield self._block(first)
            marker = self._stream.tell() - _SYNC_BYTES

    def _find_sync(self, start: int) -> int:
        """Move to the end of the first sync marker that begins at or after a byte, and return where it begins."""
        self._stream.seek(start)
        position, content = start, b""
        while chunk := self._stream.read(_CHUNK_BYTES):
            content += chunk
            found = content.find(self._sync)
            if found >= 0:
                self._stream.seek(position + found + _SYNC_BYTES)
                return position + found
            dropped = max(0, len(content) - _SYNC_BYTES + 1)
            position, content = position + dropped, content[dropped:]
        return position + len(content)

    def _block(self, first: bytes) -> tuple[Iterator[dict[str, Any]], int]:
        """Return the records of the block that begins with a byte, and its number of bytes."""
        import fastavro

        count = _read_long(self._stream, first)
        content = _exactly(self._stream, _checked_size(_read_long(self._stream), self._most_block_bytes))
        if _exactly(self._stream, _SYNC_BYTES) != self._sync:
            raise ValueError("a block ends elsewhere than it says")
        codec, content = self._decompressed(content)
        # Each record has at least one byte; compressed data of unknown size are bounded by the limit.
        if not 0 <= count <= (len(content) if codec == "null" else self._most_block_bytes):
            raise ValueError("more records than bytes")
        block = self._header(codec) + _long(count) + _long(len(content)) + content + self._sync
        return iter(fastavro.reader(io.BytesIO(block))), len(content)

    def _read_header(self) -> dict[str, bytes]:
        header: dict[str, bytes] = {}
        while count := _read_long(self._stream):
            if count < 0:  # the number of bytes follows
                _read_long(self._stream)
            for _ in range(_checked_size(abs(count), 1000)):
                key = _read_bytes(self._stream).decode()
                header[key] = _read_bytes(self._stream)
        return header

    def _header(self, codec: str) -> bytes:
        pairs = {b"avro.schema": self._block_schema, b"avro.codec": codec.encode()}
        entries = b"".join(_long(len(part)) + part for pair in pairs.items() for part in pair)
        return _MAGIC + _long(len(pairs)) + entries + _long(0) + self._sync

    def _decompressed(self, content: bytes) -> tuple[str, bytes]:
        """Return the content of a block, and the codec that is left to fastavro."""
        if self._codec in _CODECS_WITH_SIZE:
            size = int.from_bytes(content[:4], "little") if self._codec == "lz4" else _varint(io.BytesIO(content))
            _checked_size(size, self._most_block_bytes)
            return self._codec, content
        if self._codec == "null":
            return "null", content
        most = self._most_block_bytes + 1
        if self._codec == "deflate":
            found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, most)
        elif self._codec == "bzip2":
            found = bz2.BZ2Decompressor().decompress(content, most)
        elif self._codec == "xz":
            found = lzma.LZMADecompressor(memlimit=_MAX_BLOCK_BYTES * 2).decompress(content, most)
        elif self._codec == "zstandard":
            import zstandard

            found = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read(most)
        else:
            raise ValueError("a codec that is not known")
        _checked_size(len(found), self._most_block_bytes)
        return "null", found


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    return [_without_logical_types(part) for part in schema] if isinstance(schema, list) else schema


def _types(fields: list[dict[str, Any]]) -> dict[str, ColumnType]:
    found = {}
    for field in fields:
        try:
            column_type = parse_type(field["type"])
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ):  # a type that output does not have: its values are compared as text
            continue
        if column_type.type_name not in ("string", "enum"):
            found[str(field["name"])] = column_type
    return found


@dataclass(frozen=True)
class _Cost:
    """What reading a value of a type costs.

    Attributes:
        types: to visit in a value, named ones written out.
        least_bytes: of a value in the file.
        memory: of that value in Python.
    """

    types: int
    least_bytes: int
    memory: int = _VALUE_MEMORY


class _SchemaCheck:
    """Bounds of what reading a record of a schema costs.

    Attributes:
        most_block_bytes: how long a block may be so that its values fit in memory: an empty list in a list has one byte.
    """

    def __init__(self) -> None:
        self.most_block_bytes = _MAX_BLOCK_BYTES
        self._named: dict[str, _Cost | None] = {}  # by full name; None while the type is being visited

    def cost(self, schema: Any, namespace: str = "") -> _Cost:
        """Return what a value costs.

        Args:
            schema: a type, parsed JSON.
            namespace: of the type around it.

        Raises:
            ValueError: a type contains itself, has too many types, or is an array of values without bytes.
        """
        if isinstance(schema, str):
            found = (
                _Cost(1, _PRIMITIVES[schema]) if schema in _PRIMITIVES else self._named[_full_name(schema, namespace)]
            )
            if found is None:
                raise ValueError("a type contains itself")
            return found
        if isinstance(schema, list):
            parts = [self.cost(part, namespace) for part in schema]
            least, memory = min(part.least_bytes for part in parts), max(part.memory for part in parts)
            return _Cost(1 + sum(part.types for part in parts), 1 + least, memory)
        kind = schema["type"]
        if kind in ("array", "map"):
            return self._cost_of_many(schema, kind, namespace)
        if kind not in ("record", "error", "fixed", "enum"):
            return self.cost(kind, namespace)
        name = _full_name(schema["name"], schema.get("namespace", namespace))
        self._named[name] = None
        found = _Cost(1, 1)
        if kind == "fixed":
            size = _checked_size(schema["size"], _MAX_BLOCK_BYTES)
            found = _Cost(1, size, _VALUE_MEMORY + size)
        elif kind != "enum":
            parts = [self.cost(field["type"], name.rpartition(".")[0]) for field in schema["fields"]]
            memory = _VALUE_MEMORY + sum(_ENTRY_MEMORY + part.memory for part in parts)
            found = _Cost(1 + sum(part.types for part in parts), sum(part.least_bytes for part in parts), memory)
        if found.types > _MAX_SCHEMA_TYPES:
            raise ValueError("too many types")
        self._named[name] = found
        return found

    def _cost_of_many(self, schema: dict[str, Any], kind: str, namespace: str) -> _Cost:
        """Return what an empty array or map costs, and note how many bytes of its items fit in memory."""
        item = self.cost(schema["items" if kind == "array" else "values"], namespace)
        if not item.least_bytes and kind == "array":
            raise ValueError("an array of values without bytes")
        least = item.least_bytes + (kind == "map")  # the length of the key
        memory = item.memory + (16 if kind == "array" else _ENTRY_MEMORY + _VALUE_MEMORY)
        self.most_block_bytes = min(self.most_block_bytes, max(1, _MAX_MEMORY * least // memory))
        return _Cost(1 + item.types, 1)


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


@cache
def _limit_decimals() -> None:
    """Replace fastavro's readers of decimals; its documentation names the table as the place for readers of logical types."""
    from fastavro.read import LOGICAL_READERS

    for name in ("bytes-decimal", "fixed-decimal"):
        LOGICAL_READERS[name] = partial(_bounded_decimal, LOGICAL_READERS[name])


def _bounded_decimal(read_decimal: Callable[..., Any], data: bytes, *schemas: Any) -> Any:
    _checked_size(len(data), _MAX_DECIMAL_BYTES)
    return read_decimal(data, *schemas)


def _checked_size(size: int, most: int) -> int:
    if not 0 <= size <= most:
        raise ValueError("a size is out of range")
    return size


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content


def _read_bytes(stream: IO[bytes]) -> bytes:
    return _exactly(stream, _checked_size(_read_long(stream), _MAX_HEADER_BYTES))


def _read_long(stream: IO[bytes], first: bytes = b"") -> int:
    """Read a number in zigzag coding (Apache Avro specification, "Binary encoding")."""
    number = _varint(stream, first)
    return (number >> 1) ^ -(number & 1)


def _varint(stream: IO[bytes], first: bytes = b"") -> int:
    number = shift = 0
    while True:
        byte = (first or _exactly(stream, 1))[0]
        first = b""
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _long(number: int) -> bytes:
    number <<= 1  # never negative here
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
