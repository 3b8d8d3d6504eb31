"""Read records of typed files, Avro or Parquet, as dictionaries. The one reader of evaluation sets and of start strings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from linesmith.records.input.avro_files import AvroFile
from linesmith.records.input.parquet_files import ParquetRecords
from linesmith.records.output.column_types import ColumnType

LINES, JSONL, AVRO, PARQUET = "lines", "jsonl", "avro", "parquet"
_SUFFIX_FORMATS = {".avro": AVRO, ".parquet": PARQUET, ".pq": PARQUET, ".jsonl": JSONL, ".ndjson": JSONL}
_COUNTED_ROWS = 10_000
_BATCH_BYTES = 64 << 20  # of the Avro blocks whose records are in one list


class TypedFileError(Exception):
    """A file is damaged, or is not of the format that its name says. The message quotes no record."""


def file_format(path: str) -> str:
    """Return the format that the suffix of a file name stands for: LINES, JSONL, AVRO or PARQUET.

    Example:
        >>> file_format("a/B.PQ"), file_format("a.csv")
        ('parquet', 'lines')
    """
    return _SUFFIX_FORMATS.get(Path(path).suffix.lower(), LINES)


class TypedFile:
    """An open Avro or Parquet file.

    Args:
        stream: the bytes of the file, at their beginning; for Parquet it must be seekable.
        format_name: AVRO or PARQUET.

    Attributes:
        columns: names of the columns, in the order of the file.
        types: types of the columns that are not text, by name; others are left out.
        num_parts: parts that can be read by themselves: row groups of a Parquet file, 1 for Avro.

    Raises:
        TypedFileError: the file is damaged or of another format.
    """

    def __init__(self, stream: IO[bytes], format_name: str) -> None:
        self._parquet: ParquetRecords | None = None
        self._avro: AvroFile | None = None
        self.num_parts = 1
        with format_errors(format_name):
            if format_name == PARQUET:
                self._parquet = ParquetRecords(stream)
                self.columns = self._parquet.columns
                self.types = _arrow_types(self._parquet.schema)
                self.num_parts = self._parquet.num_parts
            else:
                self._avro = AvroFile(stream)
                self.columns = self._avro.columns
                self.types = self._avro.types

    def batches(
        self, size: int, columns: Sequence[str] | None = None, part: int | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield records in order, as lists of at most `size` dictionaries from column name to value.

        An Avro file can be read once only; its records have all columns.

        Args:
            size: most records per list.
            columns: columns of a Parquet file to read; None: all.
            part: the row group of a Parquet file to read; None: all.

        Raises:
            TypedFileError: the file is damaged.
        """
        if self._parquet is not None:
            with format_errors(PARQUET):
                yield from self._parquet.batches(size, columns, part)
            return
        if self._avro is not None:
            with format_errors(AVRO):
                yield from self._avro_batches(self._avro, size)

    def count_rows(self, part: int) -> int:
        """Return the number of records of a row group, or of an Avro file, which cannot be read any more then.

        Raises:
            TypedFileError: the file is damaged.
        """
        if self._parquet is not None:
            with format_errors(PARQUET):
                return self._parquet.first_row(part + 1) - self._parquet.first_row(part)
        return sum(len(rows) for rows in self.batches(_COUNTED_ROWS))

    @staticmethod
    def _avro_batches(file: AvroFile, size: int) -> Iterator[list[dict[str, Any]]]:
        size = min(size, file.rows_at_once)
        rows: list[dict[str, Any]] = []
        size_bytes = 0
        for block, block_bytes in file.blocks():
            for row in block:
                rows.append(row)
                if len(rows) == size:
                    yield rows
                    rows, size_bytes = [], 0
            size_bytes += block_bytes
            if rows and size_bytes > _BATCH_BYTES:
                yield rows
                rows, size_bytes = [], 0
        if rows:
            yield rows


def _arrow_types(schema: Any) -> dict[str, ColumnType]:
    """Return the types of the columns of an Arrow schema that are not text."""
    from pyarrow import types

    found = {}
    for field in schema:
        arrow = field.type
        if types.is_boolean(arrow):
            found[field.name] = ColumnType("boolean")
        elif types.is_integer(arrow):
            found[field.name] = ColumnType("long")
        elif types.is_floating(arrow):
            found[field.name] = ColumnType("double" if arrow.bit_width == 64 else "float")
        elif types.is_decimal(arrow):
            found[field.name] = ColumnType("decimal", precision=arrow.precision, scale=arrow.scale)
        elif types.is_date(arrow):
            found[field.name] = ColumnType("date")
        elif types.is_timestamp(arrow):
            found[field.name] = ColumnType("local_timestamp" if arrow.tz is None else "timestamp")
    return found


@contextmanager
def format_errors(format_name: str) -> Iterator[None]:
    """Raise TypedFileError in place of what the libraries raise; errors of the operating system and of memory pass unchanged."""
    try:
        yield
    except Exception as error:
        # fastavro and pyarrow raise what they meet in damaged bytes: ValueError, OverflowError, struct.error and a dozen more.
        # pyarrow also raises OSError for them, without a number.
        if (isinstance(error, OSError) and error.errno is not None) or type(error) is MemoryError:
            raise
        expected = {AVRO: "an Avro file", PARQUET: "a Parquet file"}[format_name]
        raise TypedFileError(f"it is cut off or not {expected}, or it is larger than its bytes account for") from None
