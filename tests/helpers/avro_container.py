"""Write Avro files byte by byte, those that no library would write included."""

from __future__ import annotations

import json
from typing import Any

SYNC = b"S" * 16


def long(number: int) -> bytes:
    number = (number << 1) ^ (number >> 63)
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def container(schema: Any, data: bytes, count: int = 1, codec: bytes = b"null", size: int | None = None) -> bytes:
    """Return an Avro file of one block."""
    pairs = [(b"avro.schema", json.dumps(schema).encode()), (b"avro.codec", codec)]
    header = long(2) + b"".join(long(len(part)) + part for pair in pairs for part in pair) + long(0)
    return b"Obj\x01" + header + SYNC + long(count) + long(len(data) if size is None else size) + data + SYNC
