"""Rows of single files of Avro and Parquet, and of Iceberg tables by their metadata, read one by one as texts of columns.

They are what is given beside a model: partial records, start strings, lists of values. The readers are those of the input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO

from linesmith.core.config.input_format import AVRO, ICEBERG, PARQUET, InputFormat
from linesmith.core.errors import LinesmithError
from linesmith.records.input.typed_files import TypedFileError, format_errors
from linesmith.records.sources.avro_rows import avro_rows, avro_table
from linesmith.records.sources.chosen_columns import is_wanted
from linesmith.records.sources.parquet_rows import parquet_parts, parquet_rows, parquet_table
from linesmith.records.sources.rows import SourceRow
from linesmith.records.sources.shape import PRESENT
from linesmith.records.table_columns import TableColumn, unescape_text
from linesmith.records.table_format import TableFormat

METADATA_SUFFIX = ".metadata.json"  # of Iceberg tables
_FORMATS: dict[str, InputFormat] = {".avro": AVRO, ".parquet": PARQUET, ".pq": PARQUET, METADATA_SUFFIX: ICEBERG}


def row_format(path: str) -> InputFormat | None:
    """Return the format with types that the name of a file stands for; None for another.

    Example:
        >>> row_format("a.PQ"), row_format("t/metadata/v3.metadata.json"), row_format("a.csv")
        ('parquet', 'iceberg', None)
    """
    return next((kind for suffix, kind in _FORMATS.items() if path.lower().endswith(suffix)), None)


class FileRows:
    """Rows of a file.

    Args:
        path: of the file; its suffix gives the format.
        content: its bytes, seekable.
        wanted: names of the columns to read, of those inside of structs with points.

    Attributes:
        table: the wanted columns that the file has, in its order, and those of presence of the structs that they are in.
        others: names of the file's other columns.

    Raises:
        TypedFileError: the file is damaged, not of its format, or one of the columns is of a type that cannot be read.
    """

    def __init__(self, path: str, content: IO[bytes], wanted: Sequence[str]) -> None:
        found = row_format(path)
        if found is None:
            raise TypedFileError("its name says no format with types")
        self._path, self._content, self._format = path, content, found
        others = _Others(wanted)
        try:
            with format_errors(AVRO if found == AVRO else PARQUET):
                described = self._describe(others)
                names = {column.name for column in described.columns if column.categories != (PRESENT,)}
                self.others = sorted(names - set(wanted))
                left_out = {name for name in described.field_names if name not in wanted and name in names}
                self.table = described.without(left_out)
        except LinesmithError:
            raise TypedFileError("it cannot be read, or a column of it is of a type that cannot be given") from None

    def _describe(self, others: _Others) -> TableFormat:
        if self._format == PARQUET:
            return parquet_table(self._content, cut=others)
        if self._format == AVRO:
            self._content.seek(0)  # it may have been read before
            return avro_table(self._content, cut=others)
        from linesmith.records.sources.iceberg_rows import iceberg_files, iceberg_table

        self._files = iceberg_files([self._path], None, None)
        return iceberg_table(self._files[0], cut=others)

    def __iter__(self) -> Iterator[Sequence[str]]:
        """Yield the texts of each row.

        Raises:
            TypedFileError: the file is damaged, or a value is none of its type.
        """
        for number, row in enumerate(self._rows(), 1):
            if row.fields is None:
                raise TypedFileError(f"row {number} has a value that no record can have ({row.reason})")
            yield row.fields

    def _rows(self) -> Iterator[SourceRow]:
        if self._format == PARQUET:
            for part in range(parquet_parts(self._content)):
                yield from parquet_rows(self._content, self.table, part)
        elif self._format == AVRO:
            self._content.seek(0)
            yield from avro_rows(self._content, self.table, 0, None)
        else:
            from linesmith.records.sources.iceberg_rows import iceberg_rows

            for file in self._files:
                yield from iceberg_rows(file, self.table)


class _Others:
    """The names of all columns and structs but those that are wanted, and those that hold a wanted one."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted

    def __contains__(self, name: object) -> bool:
        return not is_wanted(str(name), self._wanted)


def plain_value(column: TableColumn, text: str) -> str | None:
    """Return the value of a text or a whole number of a column as a line would hold it; None for a value of another kind.

    Args:
        column: the column.
        text: of the value, as the column writes it; empty: there is no value.
    """
    if not text or column.most_items is not None:
        return None if text else ""
    if column.kind == "text":
        return unescape_text(text)
    is_whole = (column.kind == "integer" and column.arrow != "duration") or (
        column.kind == "decimal" and not column.scale
    )
    return text if is_whole else None
