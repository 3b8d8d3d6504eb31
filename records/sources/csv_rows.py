r"""Records of CSV by RFC 4180, which may span lines: a line end inside quotes belongs to its field.

A line with a quote too many must not swallow the records below it. A quoted field that is not closed as one must be, by a quote
before a delimiter or a line end, within `MOST_BYTES`, makes its first line a reject; the lines below it are read anew.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from linesmith.core.config.input_format import CSV
from linesmith.records.fields import FieldFormat
from linesmith.records.input.record_format import EMPTY, ENCODING, FIELD_COUNT, OPEN_QUOTE, REJECT_BYTES, TOO_LONG
from linesmith.records.roles.column_cut import ColumnCut
from linesmith.records.sources.rows import SourceRow
from linesmith.records.sources.shape import Node, TableSource
from linesmith.records.table_columns import TableColumn, escape_text
from linesmith.records.table_format import TableFormat

MOST_BYTES = 10 << 20  # of a record
Line = tuple[int, bytes, int]  # as `scan_lines` yields them


class CsvRecord(NamedTuple):
    """A record, or a line that is none.

    Attributes:
        offset: byte at which it begins.
        text: its text, with the line ends that it holds; None: it is rejected.
        reason: of the rejection.
        content: its bytes, or the first of them.
        length: number of its bytes.
    """

    offset: int
    text: str | None
    reason: str
    content: bytes
    length: int


class CsvRecords:
    """Iterator over the records of lines.

    Args:
        lines: as `scan_lines` yields them, of at most MOST_BYTES each.
        fields: how a record is split; quoted.
        encoding: codec of the lines.
        newline: the bytes that end a line.
    """

    def __init__(self, lines: Iterator[Line], fields: FieldFormat, encoding: str, newline: bytes) -> None:
        self._lines = lines
        self._fields = fields
        self._encoding = encoding
        self._newline = newline
        self._ahead: deque[Line] = deque()  # lines that were looked at, and are yet to come

    def __iter__(self) -> Iterator[CsvRecord]:
        return self

    def __next__(self) -> CsvRecord:
        line = self._ahead.popleft() if self._ahead else next(self._lines)
        offset, content, length = line
        text, reason = self._decoded(line)
        if text is None:
            return CsvRecord(offset, None, reason, content[:REJECT_BYTES], length)
        if '"' in text and self._fields.ends_inside_quotes(text):
            below = self._below(text)
            if below is None:
                return CsvRecord(offset, None, OPEN_QUOTE, content[:REJECT_BYTES], length)
            taken = [self._ahead.popleft() for _ in range(below)]
            content = self._newline.join([content, *(part for _, part, _ in taken)])
            return CsvRecord(offset, content.decode(self._encoding).rstrip("\r"), "", content, len(content))
        text = text.rstrip("\r")
        return CsvRecord(offset, text or None, "" if text else EMPTY, content, length)

    def _decoded(self, line: Line) -> tuple[str | None, str]:
        _, content, length = line
        if length > MOST_BYTES:
            return None, TOO_LONG
        try:
            return content.decode(self._encoding), ""
        except UnicodeError:
            return None, ENCODING

    def _below(self, text: str) -> int | None:
        """Return how many lines below belong to a record whose first line ends inside quotes; None: a quote is too many."""
        size = len(text)
        for number, line in enumerate(self._following()):
            size += line[2]
            text_below, _ = self._decoded(line)
            if text_below is None or size > MOST_BYTES:
                return None
            rest = text_below.rstrip("\r").replace('""', "")  # doubled quotes are text
            end = rest.find('"')
            if end < 0:
                continue
            delimiter = self._fields.delimiter or ","
            if end + 1 != len(rest) and not rest.startswith(delimiter, end + 1):
                return None
            if not self._fields.ends_inside_quotes(rest[end + 2 :]):
                return number + 1
        return None

    def _following(self) -> Iterator[Line]:
        for position in range(len(self._ahead)):
            yield self._ahead[position]
        for line in self._lines:
            self._ahead.append(line)
            yield line


def split_record(text: str, fields: FieldFormat) -> list[str] | None:
    """Return the fields of a record that may hold line ends; None where one is longer than the csv module reads."""
    try:
        if "\n" not in text and "\r" not in text:
            return fields.split(text)
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=fields.delimiter or ","), None)
    except csv.Error:
        return None


def csv_table(names: Sequence[str], fields: FieldFormat) -> TableFormat:
    """Return how rows of CSV become records: every column is text, and an empty one is missing."""
    columns = tuple(TableColumn(name, "text", arrow="string") for name in names)
    nodes = tuple(Node(name, number) for number, name in enumerate(names))
    return TableFormat("arrow", columns, TableSource(CSV, nodes, delimiter=fields.delimiter or ","))


def csv_row(record: CsvRecord, columns: int, fields: FieldFormat, cut: ColumnCut | None = None) -> SourceRow:
    """Return the row of a record.

    Args:
        record: the record.
        columns: number of columns of the table.
        fields: how a record is split; one of another number of fields than the file has columns is rejected.
        cut: columns of the file that the table leaves out; None: there are none.
    """
    values = None if record.text is None else split_record(record.text, fields)
    if values is None or len(values) != (columns if cut is None else cut.count):
        reason = record.reason or (TOO_LONG if values is None else FIELD_COUNT)
        return SourceRow(record.offset, None, reason, record.content[:REJECT_BYTES], record.length)
    kept = values if cut is None else cut.keep(values)
    return SourceRow(record.offset, [escape_text(value) if value else "" for value in kept])
