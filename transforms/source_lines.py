"""Read the rows of a range of a source that is not lines of text, each as the line that it is learned as."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from itertools import islice

from linesmith.core.config.input_format import AVRO, CSV, ICEBERG, JSONL, PARQUET
from linesmith.core.errors import DataError
from linesmith.records.fields import FieldFormat
from linesmith.records.input.input_files import InputFile, damaged_file_error
from linesmith.records.input.input_ranges import FileRange
from linesmith.records.input.record_format import RecordFormat
from linesmith.records.input.typed_files import TypedFileError
from linesmith.records.roles.column_cut import ColumnCut
from linesmith.records.sources import csv_rows, jsonl_rows
from linesmith.records.sources.avro_rows import avro_objects, avro_rows
from linesmith.records.sources.column_facts import SourceFacts
from linesmith.records.sources.csv_rows import CsvRecord, CsvRecords, csv_row
from linesmith.records.sources.iceberg_rows import iceberg_batches, iceberg_rows
from linesmith.records.sources.jsonl_rows import JsonFacts, jsonl_row, parse_row
from linesmith.records.sources.parquet_rows import add_parquet_facts, parquet_rows
from linesmith.records.sources.rows import SourceRow
from linesmith.records.table_format import TableFormat
from linesmith.transforms.find_inputs import open_raw
from linesmith.transforms.range_lines import Line, RangeLines


class SourceLines:
    """Iterator over the rows of a range, as `RangeLines` is over lines.

    Args:
        source: the range.
        table: how rows are written.
        records: how lines become records.
        cut: columns of the file that the table leaves out; None: there are none. They are not read where a format allows that,
            and no rejected row is shown.

    Attributes:
        damaged: never set: a file that is cut off or broken is an error.
        reason: why the current row is rejected, or None.
    """

    def __init__(
        self, source: FileRange, table: TableFormat, records: RecordFormat, cut: ColumnCut | None = None
    ) -> None:
        self.damaged = False
        self.reason: str | None = None
        self._fields = records.fields
        self._encoding = records.encoding  # in which the record will be decoded
        self._rows = source_rows(source, table, records, cut)

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        row = next(self._rows)
        if row.fields is None:
            self.reason = row.reason
            return row.position, row.content, row.length
        self.reason = None
        # A single empty field is a pair of quotes: no record is empty.
        content = (self._fields.join(row.fields) or '""').encode(self._encoding)
        return row.position, content, len(content)

    def below(self, line: Line) -> Iterator[Line]:
        """Yield nothing: a row never goes on below."""
        return iter(())


def _parquet(
    source: FileRange, table: TableFormat, records: RecordFormat, cut: ColumnCut | None
) -> Iterator[SourceRow]:
    with open_raw(source.file.path) as stream:
        yield from parquet_rows(stream, table, source.start)


def _iceberg(
    source: FileRange, table: TableFormat, records: RecordFormat, cut: ColumnCut | None
) -> Iterator[SourceRow]:
    return iceberg_rows(source.file, table)


def _avro(source: FileRange, table: TableFormat, records: RecordFormat, cut: ColumnCut | None) -> Iterator[SourceRow]:
    with open_raw(source.file.path) as stream:
        yield from avro_rows(stream, table, source.start, source.end)


def _jsonl(source: FileRange, table: TableFormat, records: RecordFormat, cut: ColumnCut | None) -> Iterator[SourceRow]:
    for position, content, length in _lines(source, jsonl_rows.MOST_BYTES):
        yield jsonl_row(table, position, content, length)


def _csv(source: FileRange, table: TableFormat, records: RecordFormat, cut: ColumnCut | None) -> Iterator[SourceRow]:
    for record in csv_records(source, records.fields):
        yield csv_row(record, len(table.columns), records.fields, cut)


def csv_records(source: FileRange, fields: FieldFormat, header: bool = False) -> Iterator[CsvRecord]:
    """Yield the records of a range of a CSV file.

    Args:
        source: the range.
        fields: how a record is split.
        header: yield the header, too, where the file has one.
    """
    lines = _lines(source, csv_rows.MOST_BYTES)
    records = CsvRecords(lines, fields, source.file.encoding, source.file.newline)
    if source.starts_file and source.file.header and not header:
        next(records, None)
    return records


def _lines(source: FileRange, most_bytes: int) -> Iterator[Line]:
    """Yield the lines of a range; a compressed file that ends too early is an error.

    Raises:
        DataError: LS206.
    """
    lines = RangeLines(source, most_bytes)
    yield from lines
    if lines.damaged:
        raise damaged_file_error(source.file.name, str(source.file.compression))


_ROWS: dict[str, Callable[[FileRange, TableFormat, RecordFormat, ColumnCut | None], Iterator[SourceRow]]] = {
    CSV: _csv,
    JSONL: _jsonl,
    AVRO: _avro,
    ICEBERG: _iceberg,
    PARQUET: _parquet,
}


def source_rows(
    source: FileRange, table: TableFormat, records: RecordFormat, cut: ColumnCut | None = None
) -> Iterator[SourceRow]:
    """Yield the rows of a range.

    Args:
        source: the range.
        table: how rows are written.
        records: how lines become records.
        cut: columns of the file that the table leaves out.

    Raises:
        DataError: LS206, the file is damaged.
    """
    try:
        yield from _ROWS[source.file.format_name](source, table, records, cut)
    except TypedFileError as error:
        raise damaged_source_error(source.file, str(error)) from None


def add_facts(facts: SourceFacts, source: FileRange, table: TableFormat) -> None:
    """Add the rows of a range of Parquet, Avro or Iceberg to what is known of the columns.

    Raises:
        DataError: LS206, the file is damaged.
    """
    try:
        if source.file.format_name == ICEBERG:
            for batch in iceberg_batches(source.file, table):
                facts.add_batch(table, batch)
            return
        with open_raw(source.file.path) as stream:
            if source.file.format_name == PARQUET:
                add_parquet_facts(facts, stream, table, source.start)
            else:
                for row in avro_objects(stream, table, source.start, source.end):
                    facts.add_object(table, row)
    except TypedFileError as error:
        raise damaged_source_error(source.file, str(error)) from None


def add_json_facts(
    facts: JsonFacts, source: FileRange, cut: Collection[str] = (), most_rows: int | None = None
) -> None:
    """Add the rows of a range of JSON Lines to what is known of them.

    Args:
        facts: what is known.
        source: the range.
        cut: names of places of which the kinds of values are noted, and nothing else.
        most_rows: add so many at most; None: all.

    Raises:
        DataError: LS206, the file is compressed and damaged.
    """
    for _, content, length in islice(_lines(source, jsonl_rows.MOST_BYTES), most_rows):
        row, _ = parse_row(content, length)
        if row is not None:
            facts.add(row, jsonl_rows.MOST_ROOT_KEYS, cut)


def damaged_source_error(file: InputFile, found: str) -> DataError:
    """Return the error of a file that ends too early or is damaged; `found` says how it is, and quotes no record."""
    return DataError("LS206", f"--input '{file.name}'", found, "Copy or write the file again.")
