"""Shards: a unit's records as text, JSON Lines or Avro. Equal records give equal bytes, whoever writes them and how often.

A shard is written under a temporary name and renamed, so that a unit that runs twice leaves the same file once. Avro's
sync marker is random by default; here it is a hash of the schema and the shard's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import fastavro

from model.files import atomic_path
from model.record_layout import RecordLayout

SUFFIXES = {"text": "txt", "jsonl": "jsonl", "avro": "avro"}
INVALID_SCHEMA = {
    "type": "record",
    "name": "Invalid",
    "namespace": "linesmith",
    "fields": [
        {"name": "index", "type": "long", "doc": "number of the record in the run, from 0"},
        {"name": "attempt", "type": "int", "doc": "number of the try at this record, from 0"},
        {"name": "text", "type": "string"},
        {"name": "reason", "type": "string"},
        {"name": "explain", "type": ["null", "string"]},
    ],
}

Record = tuple[str, str]  # text, start string


def shard_name(number: int, total: int, output_format: str) -> str:
    """The file name of a shard.

    Example:
        >>> shard_name(0, 7, "text")
        'part-00000-of-00007.txt'
    """
    return f"part-{number:05d}-of-{total:05d}.{SUFFIXES[output_format]}"


def write_records(path: Path, output_format: str, records: Iterable[Record], layout: RecordLayout) -> None:
    """Write a shard of records, in the order given.

    Raises:
        ValueError: a text record holds a line end, or a record does not fit the layout.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as shard:
        _FORMATS[output_format](shard, records, layout, path.name)


def write_invalid(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a shard of invalid records (`INVALID_SCHEMA`)."""
    with atomic_path(path) as temporary, open(temporary, "wb") as shard:
        _write_avro(shard, INVALID_SCHEMA, rows, path.name)


def keep_first_invalid(path: Path, count: int) -> None:
    """Cut a shard of invalid records to its first `count`."""
    with open(path, "rb") as shard:
        rows: list[Any] = [row for row, _ in zip(fastavro.reader(shard), range(count), strict=False)]
    write_invalid(path, rows)


def _text(shard: IO[bytes], records: Iterable[Record], layout: RecordLayout, name: str) -> None:
    for text, _ in records:
        if "\n" in text:
            raise ValueError("a record of a text file cannot hold a line end")
        shard.write(text.encode("utf-8") + b"\n")


def _jsonl(shard: IO[bytes], records: Iterable[Record], layout: RecordLayout, name: str) -> None:
    names = layout.names
    for text, start in records:
        row = dict(zip(names, layout.values(text, start), strict=True))
        shard.write(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n")


def _avro(shard: IO[bytes], records: Iterable[Record], layout: RecordLayout, name: str) -> None:
    schema = layout.avro_schema()
    names = [field["name"] for field in schema["fields"]]
    rows = (dict(zip(names, layout.values(text, start), strict=True)) for text, start in records)
    _write_avro(shard, schema, rows, name)


def _write_avro(shard: IO[bytes], schema: dict[str, Any], rows: Iterable[dict[str, Any]], name: str) -> None:
    marker = hashlib.sha256(json.dumps([schema, name], sort_keys=True).encode("utf-8")).digest()[:16]
    fastavro.writer(
        shard, fastavro.parse_schema(schema), rows, codec="deflate", codec_compression_level=6, sync_marker=marker
    )


_FORMATS: dict[str, Callable[[IO[bytes], Iterable[Record], RecordLayout, str], None]] = {
    "text": _text,
    "jsonl": _jsonl,
    "avro": _avro,
}
