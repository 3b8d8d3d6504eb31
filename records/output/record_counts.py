"""Count the records of a shard on disk, whatever its writer said."""

from __future__ import annotations

from pathlib import Path

import fastavro

from linesmith.core.errors import DataError

_CHUNK_BYTES = 1 << 20


def count_records(path: Path, output_format: str, has_header: bool = False) -> int:
    """Return the number of records of a file.

    Args:
        path: the file.
        output_format: text, csv, jsonl, avro, parquet or iceberg.
        has_header: the first line of a text or CSV file is a header.
    """
    if output_format == "avro":
        with open(path, "rb") as shard:
            return sum(block.num_records for block in fastavro.block_reader(shard))
    if output_format in ("parquet", "iceberg"):
        import pyarrow.parquet as pq

        with open(path, "rb") as shard:
            return int(pq.ParquetFile(shard).metadata.num_rows)
    if output_format == "csv":
        return _count_quoted_lines(path) - int(has_header)
    with open(path, "rb") as shard:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: shard.read(_CHUNK_BYTES), b""))
    return lines - 1 if has_header and output_format == "text" else lines


def _count_quoted_lines(path: Path) -> int:
    """Return the number of line ends outside of double quotes."""
    lines, inside = 0, False
    with open(path, "rb") as shard:
        for chunk in iter(lambda: shard.read(_CHUNK_BYTES), b""):
            parts = chunk.split(b'"')
            lines += sum(part.count(b"\n") for part in parts[int(inside) :: 2])
            inside ^= len(parts) % 2 == 0
    return lines


def check_record_count(path: Path, output_format: str, expected: int, has_header: bool = False) -> None:
    """Refuse a shard that holds another number of records than were written to it.

    Args:
        path: the file.
        output_format: as `count_records` takes it.
        expected: the number.
        has_header: as `count_records` takes it.

    Raises:
        DataError: LS209.
    """
    found = count_records(path, output_format, has_header)
    if found != expected:
        raise DataError(
            "LS209",
            "--output",
            f"'{path}' holds {found:,} records after {expected:,} were written to it",
            "Check the disk and run the same command again.",
        )
