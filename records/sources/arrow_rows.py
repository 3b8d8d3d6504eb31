"""Rows of Arrow batches as texts of columns, and texts as Arrow tables, for schemas with structs."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from linesmith.core.config.input_format import InputFormat
from linesmith.core.errors import DataError
from linesmith.records.sources.arrow_texts import decode_texts, encode_texts
from linesmith.records.sources.arrow_types import arrow_type, describe_values
from linesmith.records.sources.chosen_columns import checked_columns, cut_column, is_wanted, type_error
from linesmith.records.sources.shape import PRESENT, Absence, Node, TableSource
from linesmith.records.table_columns import TableColumn
from linesmith.records.table_format import TableFormat

if TYPE_CHECKING:
    import pyarrow as pa

ANY_NUMBER = 1 << 30  # of items of a list, before the values were looked at


def presence_column(name: str) -> TableColumn:
    """Return the column that says whether a struct is there."""
    return TableColumn(name, "text", categories=(PRESENT,), arrow="string")


@dataclass
class SchemaColumns:
    """The columns of a schema, while they are gathered.

    Attributes:
        marks: give nullable structs a column of presence.
        cut: names of columns that are not learned: whatever their types, nothing but their place is needed.
        found: the columns so far.
    """

    marks: bool = True
    cut: Container[str] = ()
    found: list[TableColumn] = field(default_factory=list)


def describe_schema(
    schema: pa.Schema, format_name: InputFormat, wanted: Sequence[str] | None = None, cut: Container[str] = ()
) -> TableFormat:
    """Return how the rows of a schema are written, with all that it allows.

    Every nullable struct has a column of presence. Where columns are chosen, none has: a struct without a value in any of them is
    missing then.

    Args:
        schema: the schema.
        format_name: format of the files that have it.
        wanted: names of the columns to learn; None: all.
        cut: names of columns, or of structs, that are not learned.

    Raises:
        DataError: LS235, a column is of a type that cannot be learned, or has the name of another; `wanted` names none.
    """
    columns = SchemaColumns(wanted is None, cut)
    fields = [field for field in schema if is_wanted(field.name, wanted)]
    nodes = tuple(_describe_field(field, (), True, columns) for field in fields)
    table = TableFormat("arrow", tuple(columns.found), TableSource(format_name, nodes))
    return checked_columns(table, wanted, schema.names)


def _describe_field(field: pa.Field, above: tuple[str, ...], outer: bool, columns: SchemaColumns) -> Node:
    """Return the node of a field, and append the columns of its values.

    Args:
        field: the field.
        above: names of the structs that it is in.
        outer: whether no struct that it is in can be missing.
        columns: of the table so far.
    """
    import pyarrow as pa

    path = (*above, field.name)
    name, number = ".".join(path), len(columns.found)
    nullable = field.nullable or not outer
    if name in columns.cut:
        columns.found.append(cut_column(name, lambda: _describe_column(name, field.type, nullable)))
        return Node(field.name, number, field.nullable)
    if pa.types.is_struct(field.type):
        if not field.type.num_fields:
            raise type_error(name, "a struct without fields")
        if field.nullable and columns.marks:
            columns.found.append(presence_column(name))
        children = [field.type.field(position) for position in range(field.type.num_fields)]
        nodes = tuple(_describe_field(child, path, not nullable, columns) for child in children)
        return struct_node(field.name, field.nullable, nodes, number if columns.marks else None)
    columns.found.append(_describe_column(name, field.type, nullable))
    return Node(field.name, number, field.nullable)


def struct_node(name: str, nullable: bool, children: tuple[Node, ...], presence: int | None) -> Node:
    """Return the node of a struct, by its schema alone.

    Args:
        name: its name.
        nullable: whether the schema allows a null.
        children: its fields.
        presence: number of the column that says whether it is there, if it is nullable; None: there is no such column.
    """
    absence: Absence = "null" if nullable and presence is None else "never"
    return Node(name, None, nullable, children, presence if nullable else None, absence)


def _describe_column(name: str, arrow: pa.DataType, nullable: bool) -> TableColumn:
    from pyarrow import types

    kind, found = arrow, {}
    if types.is_list(arrow) or types.is_large_list(arrow) or types.is_fixed_size_list(arrow):
        kind, word = arrow.value_type, "large_list" if types.is_large_list(arrow) else "list"
        if types.is_fixed_size_list(arrow):
            word = f"fixed_size_list {arrow.list_size}"
        found = {"most_items": ANY_NUMBER, "list_arrow": word, "item_nullable": arrow.value_field.nullable}
    words = ""
    if types.is_dictionary(kind):
        if found or not _can_be_category(kind.value_type):
            raise type_error(name, f"values of type {str(arrow)[:100]}, which cannot be learned")
        words = f"dictionary {kind.index_type} {'ordered' if kind.ordered else 'plain'} "
        kind = kind.value_type
    try:
        column = describe_values(name, kind, nullable)
    except DataError:
        raise type_error(name, f"values of type {str(arrow)[:100]}, which cannot be learned") from None
    return replace(column, arrow=words + column.arrow, **found)


def _can_be_category(arrow: pa.DataType) -> bool:
    from pyarrow import types

    return not (types.is_temporal(arrow) or types.is_null(arrow) or types.is_nested(arrow))


def arrow_schema(table: TableFormat) -> pa.Schema:
    """Return the Arrow schema of a source's rows."""
    import pyarrow as pa

    nodes = () if table.source is None else table.source.nodes
    return pa.schema([_field(node, table.columns) for node in nodes])


def _field(node: Node, columns: Sequence[TableColumn]) -> pa.Field:
    import pyarrow as pa

    if node.column is not None:
        return pa.field(node.name, arrow_type(columns[node.column]), node.nullable)
    return pa.field(node.name, pa.struct([_field(child, columns) for child in node.children]), node.nullable)


def column_arrays(nodes: Sequence[Node], arrays: Sequence[pa.Array]) -> Iterator[tuple[int, pa.Array]]:
    """Yield the number and the values of each column, those of structs that are missing as nulls.

    Args:
        nodes: fields.
        arrays: their values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for node, array in zip(nodes, arrays, strict=True):
        if node.column is not None:
            yield node.column, array
            continue
        if node.presence is not None:
            yield node.presence, pc.if_else(array.is_valid(), PRESENT, pa.scalar(None, pa.string()))
        if node.children:
            yield from column_arrays(node.children, array.flatten())


def encode_batch(table: TableFormat, batch: pa.RecordBatch) -> tuple[list[tuple[str, ...]], dict[int, str]]:
    """Return the texts of each row's columns, and for rows that cannot be written the name of the first such column.

    Args:
        table: how values are written; it has a source.
        batch: columns in the order of the source's nodes.
    """
    nodes = () if table.source is None else table.source.nodes
    texts: list[list[str]] = [[]] * len(table.columns)
    faults: dict[int, str] = {}
    for number, array in column_arrays(nodes, batch.columns):
        column = table.columns[number]
        try:
            texts[number] = encode_texts(column, array)
        except ValueError:
            texts[number] = _encode_one_by_one(column, array, faults)
    return list(zip(*texts, strict=True)), faults


def _encode_one_by_one(column: TableColumn, array: pa.Array, faults: dict[int, str]) -> list[str]:
    """Return the texts of values, with empty ones for those that cannot be written, whose rows become faults."""
    texts = []
    for row in range(len(array)):
        try:
            texts += encode_texts(column, array.slice(row, 1))
        except ValueError:
            faults.setdefault(row, column.name)
            texts.append("")
    return texts


def decode_rows(table: TableFormat, rows: Sequence[Sequence[str]]) -> pa.Table:
    """Return the texts of rows as an Arrow table of the source's schema.

    Raises:
        ValueError: a text is no value of its column.
    """
    import pyarrow as pa

    nodes = () if table.source is None else table.source.nodes
    fields: Sequence[Sequence[str]] = list(zip(*rows, strict=True)) if rows else [()] * len(table.columns)
    arrays = [_decode_node(node, table, fields, len(rows)) for node in nodes]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(table))


def _decode_node(node: Node, table: TableFormat, fields: Sequence[Sequence[str]], rows: int) -> pa.Array:
    import pyarrow as pa

    if node.column is not None:
        return decode_texts(table.columns[node.column], fields[node.column])
    children = [_decode_node(child, table, fields, rows) for child in node.children]
    mask = pa.array(_absent(node, table, fields, rows), pa.bool_())
    return pa.StructArray.from_arrays(
        children, fields=[_field(child, table.columns) for child in node.children], mask=mask
    )


def _absent(node: Node, table: TableFormat, fields: Sequence[Sequence[str]], rows: int) -> list[bool]:
    """Return for each row whether a struct is missing."""
    if node.presence is not None:
        return [text != PRESENT for text in fields[node.presence]]
    if node.absence == "never":
        return [False] * rows
    numbers = list(node.columns())
    return [all(_is_missing(table.columns[n], fields[n][row]) for n in numbers) for row in range(rows)]


def _is_missing(column: TableColumn, text: str) -> bool:
    return not text or (column.omitted == "marked" and column.decode(text) is None)
