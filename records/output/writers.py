"""Write shards of records as text, CSV, JSON Lines, Avro or Parquet. Equal records give equal bytes, on every run and worker.

A shard is written under a temporary name and renamed, so a unit that runs twice leaves the same file once. The sync marker
of Avro, which is random by default, is a hash of the schema and the shard's name. Parquet is compressed with zstd in row
groups of a fixed number of rows; its bytes are those of one version of pyarrow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import fastavro

from linesmith.core.artifacts.files import atomic_path
from linesmith.records.output.column_types import json_value
from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from linesmith.records.output.partitions import group_by_partition, partition_directory
from linesmith.records.output.source_output import csv_lines, source_avro, source_json, source_schema, source_tables

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_SUFFIXES = {
    "text": "txt",
    "csv": "csv",
    "jsonl": "jsonl",
    "avro": "avro",
    "parquet": "parquet",
    "iceberg": "parquet",
}
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
    """Return the file name of a shard.

    Example:
        >>> shard_name(0, 7, "text")
        'part-00000-of-00007.txt'
    """
    return f"{shard_stem(number, total)}.{FORMAT_SUFFIXES[output_format]}"


def shard_stem(number: int, total: int) -> str:
    """Return the file name of a shard without its suffix. The names of an output are in the order of their numbers.

    Example:
        >>> shard_stem(7, 12), shard_stem(99_999, 100_001)
        ('part-00007-of-00012', 'part-099999-of-100001')
    """
    digits = max(5, len(str(total)))
    return f"part-{number:0{digits}d}-of-{total:0{digits}d}"


def write_shard(
    directory: Path,
    name: str,
    output_format: str,
    records: Iterable[GeneratedRecord],
    layout: RecordLayout,
    partition_by: str | None = None,
    ignores_case: bool = False,
) -> list[tuple[Path, int]]:
    """Write a shard, as one file or as one file for each value of a column.

    Args:
        directory: where the shard goes.
        name: file name of the shard.
        output_format: a key of FORMAT_SUFFIXES.
        records: in the order in which they are written; with `partition_by` they must be iterable several times.
        layout: how a record becomes a row.
        partition_by: a column. Its values are the names of directories and are left out of the files, except of text
            and CSV files, which keep whole records, and of those of Iceberg, which needs the column in both places.
        ignores_case: the file system takes capitals and small letters for the same.

    Returns:
        The files, in order, each with its number of records.

    Raises:
        ValueError: a text record holds a line end, or a record does not fit the layout.
        DataError: LS212, the column has too many values.
    """
    if partition_by is None:
        return [(directory / name, write_records(directory / name, output_format, records, layout))]
    exclude_column = None if output_format in ("text", "csv", "iceberg") else partition_by
    written = []
    for value, group in group_by_partition(records, layout, partition_by):
        path = directory / partition_directory(partition_by, value, ignores_case) / name
        written.append((path, write_records(path, output_format, group, layout, exclude_column)))
    return written


def write_records(
    path: Path,
    output_format: str,
    records: Iterable[GeneratedRecord],
    layout: RecordLayout,
    exclude_column: str | None = None,
) -> int:
    """Write a file of records in the order given, and return how many there were.

    Args:
        path: the file, which appears when it is complete.
        output_format: a key of FORMAT_SUFFIXES.
        records: iterated once.
        layout: how a record becomes a row.
        exclude_column: a column to leave out, or None.

    Raises:
        ValueError: a text record holds a line end, or a record does not fit the layout.
    """
    counted = _CountingIterable(records)
    # The sync marker must not depend on where the directory is, but must differ between files of one name.
    identity = path.name if exclude_column is None else f"{path.parent.name}/{path.name}"
    with atomic_path(path) as temporary, open(temporary, "wb") as shard:
        _FORMATS[output_format](shard, counted, layout, identity, exclude_column)
    return counted.number


def write_invalid(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a shard of invalid records, rows of INVALID_SCHEMA."""
    with atomic_path(path) as temporary, open(temporary, "wb") as shard:
        write_avro(shard, INVALID_SCHEMA, rows, path.name)


def keep_first_invalid(path: Path, count: int) -> None:
    """Cut a shard of invalid records to its first `count` rows."""
    with open(path, "rb") as shard:
        rows: list[Any] = list(islice(fastavro.reader(shard), count))
    write_invalid(path, rows)


def write_avro(shard: IO[bytes], schema: dict[str, Any], rows: Iterable[dict[str, Any]], identity: str) -> None:
    """Write an Avro file, compressed with deflate, whose sync marker is a hash of the schema and `identity`."""
    marker = hashlib.sha256(json.dumps([schema, identity], sort_keys=True).encode("utf-8")).digest()[:16]
    fastavro.writer(
        shard, fastavro.parse_schema(schema), rows, codec="deflate", codec_compression_level=6, sync_marker=marker
    )


def parquet_schema(layout: RecordLayout, exclude_column: str | None = None, microseconds: bool = False) -> pa.Schema:
    """Return the schema of a layout in Parquet.

    Args:
        layout: the columns.
        exclude_column: a column to leave out, or None.
        microseconds: write all timestamps in microseconds, the only unit of Iceberg.
    """
    import pyarrow as pa

    fields = []
    if layout.source_table is not None:
        return source_schema(layout, layout.source_table, exclude_column, microseconds)
    for name, column_type in zip(layout.names, layout.column_types, strict=True):
        arrow = column_type.arrow
        if microseconds and pa.types.is_timestamp(arrow):
            arrow = pa.timestamp("us", tz=arrow.tz)
        if name != exclude_column:
            fields.append(pa.field(name, arrow, column_type.nullable))
    return pa.schema(fields)


class _CountingIterable:
    """Iterable that counts what it has yielded, as `number`."""

    def __init__(self, records: Iterable[GeneratedRecord]) -> None:
        self._records = records
        self.number = 0

    def __iter__(self) -> Iterator[GeneratedRecord]:
        for record in self._records:
            self.number += 1
            yield record


def _write_text(
    shard: IO[bytes],
    records: Iterable[GeneratedRecord],
    layout: RecordLayout,
    identity: str,
    exclude_column: str | None,
) -> None:
    if layout.header is not None:
        shard.write(layout.header.encode("utf-8") + b"\n")
    for record in records:
        if "\n" in record.text:
            raise ValueError("a record of a text file cannot hold a line end")
        shard.write(record.text.encode("utf-8") + b"\n")


def _write_csv(
    shard: IO[bytes],
    records: Iterable[GeneratedRecord],
    layout: RecordLayout,
    identity: str,
    exclude_column: str | None,
) -> None:
    if layout.header is not None:
        shard.write(layout.header.encode("utf-8") + b"\n")
    for line in csv_lines(records, layout):
        shard.write(line.encode("utf-8") + b"\n")


def _write_jsonl(
    shard: IO[bytes],
    records: Iterable[GeneratedRecord],
    layout: RecordLayout,
    identity: str,
    exclude_column: str | None,
) -> None:
    table = layout.source_table
    if table is not None:
        for record in records:
            shard.write((source_json(record, layout, table, exclude_column) + "\n").encode("utf-8"))
        return
    keys = [json.dumps(name, ensure_ascii=False) for name in layout.names]
    excluded = None if exclude_column is None else layout.names.index(exclude_column)
    for record in records:
        parts = [
            f"{key}: {_json_text(value)}"
            for number, (key, value) in enumerate(zip(keys, layout.values(record), strict=True))
            if number != excluded
        ]
        shard.write(("{" + ", ".join(parts) + "}\n").encode("utf-8"))


def _json_text(value: Any) -> str:
    # A decimal is written digit by digit: a float would round it.
    return str(json_value(value)) if isinstance(value, Decimal) else json.dumps(json_value(value), ensure_ascii=False)


def _write_avro(
    shard: IO[bytes],
    records: Iterable[GeneratedRecord],
    layout: RecordLayout,
    identity: str,
    exclude_column: str | None,
) -> None:
    if layout.source_table is not None:
        write_avro(shard, *source_avro(records, layout, layout.source_table, exclude_column), identity)
        return
    schema = layout.avro_schema(exclude_column)
    names = [field["name"] for field in layout.avro_schema()["fields"]]
    # Rows keep the excluded column: fastavro writes the fields of the schema only.
    rows = (dict(zip(names, layout.values(record), strict=True)) for record in records)
    write_avro(shard, schema, rows, identity)


def _write_parquet(
    shard: IO[bytes],
    records: Iterable[GeneratedRecord],
    layout: RecordLayout,
    identity: str,
    exclude_column: str | None,
    microseconds: bool = False,
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = parquet_schema(layout, exclude_column, microseconds)
    if layout.source_table is not None:
        with pq.ParquetWriter(shard, schema, compression="zstd", version="2.6") as writer:
            for some in source_tables(records, layout, layout.source_table, schema, ROW_GROUP):
                writer.write_table(some, ROW_GROUP)
        return
    positions = [number for number, column in enumerate(layout.names) if column != exclude_column]
    with pq.ParquetWriter(shard, schema, compression="zstd", version="2.6") as writer:
        rows = map(layout.values, records)
        while batch := list(islice(rows, ROW_GROUP)):
            columns = [
                pa.array([row[position] for row in batch], field.type)
                for position, field in zip(positions, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), ROW_GROUP)


_FORMATS: dict[str, Callable[[IO[bytes], Iterable[GeneratedRecord], RecordLayout, str, str | None], None]] = {
    "text": _write_text,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "avro": _write_avro,
    "parquet": _write_parquet,
    "iceberg": partial(_write_parquet, microseconds=True),
}
