"""Partial records for a model that learned a table: what is given becomes the texts that the table's columns write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from linesmith.records.input.value_text import plain_text
from linesmith.records.sources.file_rows import FileRows
from linesmith.records.sources.shape import PRESENT, Node
from linesmith.records.table_columns import TableColumn, escape_text
from linesmith.records.table_format import TableFormat

ColumnCheck = Callable[[Collection[str]], None]  # raises if a file may not have one of the columns


def table_rows(
    path: str, content: IO[bytes], table: TableFormat, columns: Sequence[str], check: ColumnCheck
) -> Iterator[dict[str, str]]:
    """Yield what is given of each record of a file of Avro, Parquet or Iceberg.

    Args:
        path: of the file.
        content: its bytes.
        table: the columns of the model.
        columns: names of those that may be given.
        check: called with the names of the file's columns.

    Raises:
        TypedFileError: the file is damaged.
    """
    rows = FileRows(path, content, columns)
    marks = {column.name for column in rows.table.columns if column.categories == (PRESENT,)} - set(columns)
    names = rows.table.field_names
    check([*(name for name in names if name not in marks), *rows.others])
    known = dict(zip(table.field_names, table.columns, strict=True))
    for row in rows:
        yield {name: column_text(known[name], text) for name, text in zip(names, row, strict=True) if name not in marks}


def column_text(column: TableColumn, text: str) -> str:
    """Return the text of a value as a column writes it; another text unchanged, which is found to be no value later.

    Args:
        column: the column.
        text: of the value, perhaps with more digits or zeros.

    Example:
        >>> column_text(TableColumn("at", "timestamp", digits=0, zoned=True), "2024-05-01T00:07:00.000Z")
        '2024-05-01T00:07:00Z'
    """
    if not text:
        return ""
    try:
        if column.kind == "decimal" and column.most_items is None:
            # Zeros at the end may be more than the column writes.
            return column.encode(Decimal(text))
        return column.encode(column.decode(text))
    except (ValueError, InvalidOperation):
        return text


def cell_text(column: TableColumn, cell: str) -> str:
    """Return the text of a cell of CSV as a column writes it; an empty cell is no value."""
    if not cell:
        return ""
    return escape_text(cell) if column.kind == "text" and column.most_items is None else column_text(column, cell)


def object_fields(table: TableFormat, row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    """Return what an object of JSON gives, by column; a key that the table does not know keeps its name.

    Args:
        table: the columns of the model.
        row: the object.
        columns: names of those that may be given; that an object is there is given only where its column is one of them.
    """
    nodes = table.source.nodes if table.source is not None else _flat(table)
    marks = {column.name for column in table.columns if column.categories == (PRESENT,)} - set(columns)
    return {name: text for name, text in _fields(nodes, table, row, "") if name not in marks}


def _flat(table: TableFormat) -> tuple[Node, ...]:
    return tuple(Node(column.name, number) for number, column in enumerate(table.columns))


def _fields(nodes: Sequence[Node], table: TableFormat, row: Mapping[str, Any], above: str) -> Iterator[tuple[str, str]]:
    known = {node.name: node for node in nodes}
    for key, value in row.items():
        node = known.get(key)
        if node is None or (node.column is None and value is not None and not isinstance(value, Mapping)):
            yield f"{above}{key}", plain_text(value)
        elif node.column is not None:
            yield table.field_names[node.column], _value_text(table.columns[node.column], value)
        elif value is not None:
            if node.presence is not None:
                yield table.field_names[node.presence], PRESENT
            yield from _fields(node.children, table, value, f"{above}{key}.")


def _value_text(column: TableColumn, value: Any) -> str:
    """Return the text of a value of JSON; of a kind that JSON has not, it is a text as the column writes it."""
    if value is None:
        return ""
    try:
        return column.encode(value)
    except ValueError:
        return column_text(column, plain_text(value))
