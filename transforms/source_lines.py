"""Read the rows of a range of a source that is not lines of text, each as the line that it is learned as."""

from __future__ import annotations

from collections.abc import Iterator


from linesmith.core.errors import DataError
from linesmith.records.input.input_files import InputFile
from linesmith.records.input.input_ranges import FileRange
from linesmith.records.input.record_format import RecordFormat
from linesmith.records.input.typed_files import TypedFileError
from linesmith.records.sources.column_facts import SourceFacts
from linesmith.records.sources.parquet_rows import add_parquet_facts, parquet_rows
from linesmith.records.sources.rows import SourceRow, learned_fields
from linesmith.records.table_format import TableFormat
from linesmith.transforms.find_inputs import open_raw
from linesmith.transforms.range_lines import Line


class SourceLines:
    """Iterator over the rows of a range, as `RangeLines` is over lines.

    Args:
        source: the range.
        table: how rows are written.
        records: how lines become records.

    Attributes:
        damaged: never set: a file that is cut off or broken is an error.
        reason: why the current row is rejected, or None.
    """

    def __init__(self, source: FileRange, table: TableFormat, records: RecordFormat) -> None:
        self.damaged = False
        self.reason: str | None = None
        self._fields = records.fields
        self._names = table.field_names
        self._rows = _rows(source, table)

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        row = next(self._rows)
        if row.fields is None:
            self.reason = row.reason
            return row.position, row.content, row.length
        self.reason = None
        # A single empty field is a pair of quotes: no record is empty.
        content = (self._fields.join(learned_fields(self._names, row.fields)) or '""').encode()
        return row.position, content, len(content)

    def below(self, line: Line) -> Iterator[Line]:
        """Yield nothing: a row never goes on below."""
        return iter(())


def _rows(source: FileRange, table: TableFormat) -> Iterator[SourceRow]:
    with open_raw(source.file.path) as stream:
        try:
            yield from parquet_rows(stream, table, source.start)
        except TypedFileError as error:
            raise damaged_source_error(source.file, str(error)) from None


def add_facts(facts: SourceFacts, source: FileRange, table: TableFormat) -> None:
    """Add the rows of a range to what is known of the columns.

    Raises:
        DataError: LS206, the file is damaged.
    """
    with open_raw(source.file.path) as stream:
        try:
            add_parquet_facts(facts, stream, table, source.start)
        except TypedFileError as error:
            raise damaged_source_error(source.file, str(error)) from None


def damaged_source_error(file: InputFile, found: str) -> DataError:
    """Return the error of a file that ends too early or is damaged; `found` says how it is, and quotes no record."""
    return DataError("LS206", f"--input '{file.name}'", found, "Copy or write the file again.")
