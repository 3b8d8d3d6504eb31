"""Write Parquet files byte by byte, those that no library would write included."""

from __future__ import annotations


def varint(number: int) -> bytes:
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def _element(name: bytes, children: int | None = None) -> bytes:
    """Return a SchemaElement: a group, or an optional column of 32-bit integers."""
    kind = b"" if children is not None else b"\x15\x02"
    repetition = (b"\x35" if children is not None else b"\x25") + b"\x02"
    text = b"\x18" + varint(len(name)) + name
    return kind + repetition + text + (b"" if children is None else b"\x15" + varint(2 * children)) + b"\0"


def nested_columns(levels: int) -> bytes:
    """Return a Parquet file without records, whose one column lies in so many groups."""
    elements = [_element(b"a", 1)] * (levels + 1) + [_element(b"x")]
    schema = b"\xfc" + varint(len(elements)) + b"".join(elements)
    footer = b"\x15\x02" + b"\x19" + schema + b"\x16\x00" + b"\x19\x0c" + b"\0"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
