"""Batches of Arrow that a file gave, as rows of a table's columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from linesmith.records.sources.arrow_rows import encode_batch
from linesmith.records.sources.rows import VALUE, SourceRow
from linesmith.records.sources.shape import Node
from linesmith.records.table_format import TableFormat, row_text

if TYPE_CHECKING:
    import pyarrow as pa


def batch_rows(table: TableFormat, batch: pa.RecordBatch, position: int) -> Iterator[SourceRow]:
    """Yield the rows of a batch.

    Args:
        table: how they are written.
        batch: with the columns of the table in their order.
        position: of the first row.
    """
    rows, faults = encode_batch(table, batch)
    for number, fields in enumerate(rows):
        if number in faults:
            content = row_text(fields).encode()
            yield SourceRow(position + number, None, f"{VALUE}:{faults[number]}", content, len(content))
        else:
            yield SourceRow(position + number, fields)


def with_columns_of(table: TableFormat, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with the columns of a table in their order."""
    import pyarrow as pa

    nodes = () if table.source is None else table.source.nodes
    arrays = [_with_fields_of(node, batch.column(batch.schema.get_field_index(node.name))) for node in nodes]
    return pa.RecordBatch.from_arrays(arrays, [node.name for node in nodes])


def _with_fields_of(node: Node, array: pa.Array) -> pa.Array:
    """Return a struct with the fields of a node only; another value, or a struct of which no field is needed, as it is."""
    import pyarrow as pa

    if node.column is not None or not node.children:
        return array
    numbers = [array.type.get_field_index(child.name) for child in node.children]
    children = array.flatten()
    chosen = [_with_fields_of(child, children[number]) for child, number in zip(node.children, numbers, strict=True)]
    return pa.StructArray.from_arrays(chosen, names=[child.name for child in node.children], mask=array.is_null())
