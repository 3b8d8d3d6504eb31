"""Rows that are objects of Python, as JSON and Avro give them, as texts of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linesmith.records.sources.shape import PRESENT, Node
from linesmith.records.table_columns import OMITTED, TableColumn
from linesmith.records.table_format import TableFormat


class RowError(ValueError):
    """A value that its column cannot hold.

    Args:
        column: name of the column.
    """

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def object_texts(table: TableFormat, row: Mapping[str, Any]) -> list[str]:
    """Return the texts of the columns of a row.

    Args:
        table: how values are written; it has a source.
        row: its fields, structs as mappings.

    Raises:
        RowError: a column cannot hold its value. Fields of which the table knows nothing are left out.
    """
    texts = [""] * len(table.columns)
    _add_texts(() if table.source is None else table.source.nodes, table.columns, row, texts, "")
    return texts


def _add_texts(
    nodes: Sequence[Node], columns: Sequence[TableColumn], row: Mapping[str, Any], texts: list[str], above: str
) -> None:
    for node in nodes:
        value = row.get(node.name, OMITTED)
        if node.column is not None:
            texts[node.column] = _text(columns[node.column], value)
        elif isinstance(value, Mapping):
            if node.presence is not None:
                texts[node.presence] = PRESENT
            _add_texts(node.children, columns, value, texts, f"{above}{node.name}.")
        elif value is not None and value is not OMITTED:
            raise RowError(f"{above}{node.name}")
        elif node.presence is not None:
            texts[node.presence] = _text(columns[node.presence], value)
        elif node.absence == "never":
            raise RowError(f"{above}{node.name}")


def _text(column: TableColumn, value: Any) -> str:
    try:
        return column.encode(value)
    except ValueError:
        raise RowError(column.name) from None
