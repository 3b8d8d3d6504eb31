"""Shards: records as text, JSON Lines, Avro or Parquet. Equal records give equal bytes, whoever writes them and how often.

A shard is written under a temporary name and renamed, so that a unit that runs twice leaves the same file once. Avro's
sync marker is random by default; here it is a hash of the schema and the shard's name. Parquet is zstd, in row groups of a
fixed number of rows; its bytes are those of one version of pyarrow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import fastavro

from linesmith.core.artifacts.files import atomic_path
from linesmith.core.errors import ParameterError
from linesmith.records.output.column_types import json_value
from linesmith.records.output.layout import Record, RecordLayout
from linesmith.records.output.partitions import group_by_partition, partition_directory

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_SUFFIXES = {"text": "txt", "jsonl": "jsonl", "avro": "avro", "parquet": "parquet", "iceberg": "parquet"}
# Rows of a Parquet row group: large enough to compress well, small enough to hold.
ROW_GROUP = 65_536
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


def shard_name(number: int, total: int, output_format: str) -> str:
    """The file name of a shard.

    Example:
        >>> shard_name(0, 7, "text")
        'part-00000-of-00007.txt'
    """
    return f"part-{number:05d}-of-{total:05d}.{FORMAT_SUFFIXES[output_format]}"


def write_shard(
    directory: Path,
    name: str,
    output_format: str,
    records: Iterable[Record],
    layout: RecordLayout,
    partition_by: str | None = None,
) -> list[tuple[Path, int]]:
    """Write a shard, or one file for each value of a column. Returns the files, in order, with their numbers of records.

    Args:
        records: in the order in which they are written; with `partition_by` it must be possible to iterate them again.
        partition_by: a column. Its values stand in the directories' names and not in the files; text files keep whole
            records, and Iceberg wants the column in both.

    Raises:
        ValueError: a text record holds a line end, or a record does not fit the layout.
        DataError: LS212, too many values.
    """
    if partition_by is None:
        return [(directory / name, write_records(directory / name, output_format, records, layout))]
    without = None if output_format in ("text", "iceberg") else partition_by
    written = []
    for value, own in group_by_partition(records, layout, partition_by):
        path = directory / partition_directory(partition_by, value) / name
        written.append((path, write_records(path, output_format, own, layout, without)))
    return written


def write_records(
    path: Path, output_format: str, records: Iterable[Record], layout: RecordLayout, without: str | None = None
) -> int:
    """Write a file of records, in the order given, without a column where one is named. Returns their number.

    Raises:
        ValueError: a text record holds a line end, or a record does not fit the layout.
    """
    counted = _Counted(records)
    # The sync marker must not depend on where the directory lies, but differ between files of one name.
    identity = path.name if without is None else f"{path.parent.name}/{path.name}"
    with atomic_path(path) as temporary, open(temporary, "wb") as shard:
        _FORMATS[output_format](shard, counted, layout, identity, without)
    return counted.number


def write_invalid(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a shard of invalid records (`INVALID_SCHEMA`)."""
    with atomic_path(path) as temporary, open(temporary, "wb") as shard:
        write_avro(shard, INVALID_SCHEMA, rows, path.name)


def keep_first_invalid(path: Path, count: int) -> None:
    """Cut a shard of invalid records to its first `count`."""
    with open(path, "rb") as shard:
        rows: list[Any] = [row for row, _ in zip(fastavro.reader(shard), range(count), strict=False)]
    write_invalid(path, rows)


def write_avro(shard: IO[bytes], schema: dict[str, Any], rows: Iterable[dict[str, Any]], identity: str) -> None:
    """An Avro file, deflate, whose sync marker is a hash of schema and identity."""
    marker = hashlib.sha256(json.dumps([schema, identity], sort_keys=True).encode("utf-8")).digest()[:16]
    fastavro.writer(
        shard, fastavro.parse_schema(schema), rows, codec="deflate", codec_compression_level=6, sync_marker=marker
    )


def parquet_schema(layout: RecordLayout, without: str | None = None, micros: bool = False) -> pa.Schema:
    """The columns of a layout in Parquet; with `micros` all points in time are microseconds, as Iceberg knows them."""
    pa = _pyarrow()
    fields = []
    for name, kind in zip(layout.names, layout.column_types, strict=True):
        arrow = kind.arrow
        if micros and pa.types.is_timestamp(arrow):
            arrow = pa.timestamp("us", tz=arrow.tz)
        if name != without:
            fields.append(pa.field(name, arrow, kind.nullable))
    return pa.schema(fields)


class _Counted:
    """Iterates once, and knows how many there were."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = records
        self.number = 0

    def __iter__(self) -> Iterator[Record]:
        for record in self._records:
            self.number += 1
            yield record


def _text(shard: IO[bytes], records: Iterable[Record], layout: RecordLayout, name: str, without: str | None) -> None:
    for record in records:
        if "\n" in record.text:
            raise ValueError("a record of a text file cannot hold a line end")
        shard.write(record.text.encode("utf-8") + b"\n")


def _jsonl(shard: IO[bytes], records: Iterable[Record], layout: RecordLayout, name: str, without: str | None) -> None:
    keys = [json.dumps(name, ensure_ascii=False) for name in layout.names]
    left_out = None if without is None else layout.names.index(without)
    for record in records:
        parts = [
            f"{key}: {_json(value)}"
            for number, (key, value) in enumerate(zip(keys, layout.values(record), strict=True))
            if number != left_out
        ]
        shard.write(("{" + ", ".join(parts) + "}\n").encode("utf-8"))


def _json(value: Any) -> str:
    # A decimal is written digit by digit: a float would round it.
    return str(json_value(value)) if isinstance(value, Decimal) else json.dumps(json_value(value), ensure_ascii=False)


def _avro(shard: IO[bytes], records: Iterable[Record], layout: RecordLayout, name: str, without: str | None) -> None:
    schema = layout.avro_schema(without)
    names = [field["name"] for field in layout.avro_schema()["fields"]]
    rows = (dict(zip(names, layout.values(record), strict=True)) for record in records)
    write_avro(shard, schema, rows, name)


def _parquet(
    shard: IO[bytes],
    records: Iterable[Record],
    layout: RecordLayout,
    name: str,
    without: str | None,
    micros: bool = False,
) -> None:
    pa = _pyarrow()
    import pyarrow.parquet as pq

    schema = parquet_schema(layout, without, micros)
    places = [number for number, column in enumerate(layout.names) if column != without]
    with pq.ParquetWriter(shard, schema, compression="zstd", version="2.6") as writer:
        rows = map(layout.values, records)
        while batch := list(islice(rows, ROW_GROUP)):
            columns = [
                pa.array([row[place] for row in batch], field.type) for place, field in zip(places, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), ROW_GROUP)


def _iceberg(shard: IO[bytes], records: Iterable[Record], layout: RecordLayout, name: str, without: str | None) -> None:
    _parquet(shard, records, layout, name, without, micros=True)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise ParameterError(
            "LS106: writing Parquet needs pyarrow: pip install 'linesmith[lake]'.", code="LS106"
        ) from None
    return pyarrow


_FORMATS: dict[str, Callable[[IO[bytes], Iterable[Record], RecordLayout, str, str | None], None]] = {
    "text": _text,
    "jsonl": _jsonl,
    "avro": _avro,
    "parquet": _parquet,
    "iceberg": _iceberg,
}
