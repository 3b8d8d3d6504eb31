"""Rows of Parquet files as texts of columns, one row group at a time."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import IO, TYPE_CHECKING

from linesmith.core.config.input_format import PARQUET
from linesmith.core.errors import DataError
from linesmith.records.input.parquet_files import ParquetRecords
from linesmith.records.input.typed_files import format_errors
from linesmith.records.sources.arrow_rows import describe_schema
from linesmith.records.sources.batches import batch_rows, with_columns_of
from linesmith.records.sources.column_facts import SourceFacts
from linesmith.records.sources.rows import SourceRow
from linesmith.records.table_format import TableFormat

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 2000


def parquet_table(stream: IO[bytes], wanted: Sequence[str] | None = None, cut: Container[str] = ()) -> TableFormat:
    """Return how the rows of a Parquet file are written, by its schema alone.

    Args:
        stream: the bytes of the file.
        wanted: names of the columns to learn, with which others are not looked at; None: all.
        cut: names of columns that are not learned.

    Raises:
        TypedFileError: the file is damaged.
        DataError: LS235, it has no columns, or one that cannot be learned.
    """
    with format_errors(PARQUET):
        schema = ParquetRecords(stream).stored_schema
    if not len(schema):
        raise DataError("LS235", "--input", "the Parquet file has no columns", "Give files with columns.")
    return describe_schema(schema, PARQUET, wanted, cut)


def parquet_parts(stream: IO[bytes]) -> int:
    """Return the number of row groups of a Parquet file.

    Raises:
        TypedFileError: the file is damaged.
    """
    with format_errors(PARQUET):
        return ParquetRecords(stream).num_parts


def parquet_rows(stream: IO[bytes], table: TableFormat, part: int) -> Iterator[SourceRow]:
    """Yield the rows of a row group; their positions are numbers of rows in the file.

    Raises:
        TypedFileError: the file is damaged.
    """
    with format_errors(PARQUET):
        file = ParquetRecords(stream)
        position = file.first_row(part)
    for batch in _batches(file, table, part):
        yield from batch_rows(table, batch, position)
        position += batch.num_rows


def add_parquet_facts(facts: SourceFacts, stream: IO[bytes], table: TableFormat, part: int) -> None:
    """Add the rows of a row group to what is known of the columns.

    Raises:
        TypedFileError: the file is damaged.
    """
    with format_errors(PARQUET):
        file = ParquetRecords(stream)
    for batch in _batches(file, table, part):
        facts.add_batch(table, batch)


def _batches(file: ParquetRecords, table: TableFormat, part: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a row group, with the columns of the table in their order."""
    names = [node.name for node in (() if table.source is None else table.source.nodes)]
    with format_errors(PARQUET):  # of what is read: a generator does not see the errors of its caller
        for batch in file.arrow_batches(_BATCH_ROWS, names, part):
            yield with_columns_of(table, batch)
