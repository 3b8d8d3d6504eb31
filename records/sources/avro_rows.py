"""Rows of Avro files: the schema's types as columns, and the records of a range of bytes, block by block."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import IO, Any

from linesmith.core.config.input_format import AVRO
from linesmith.core.parsing import parse_json
from linesmith.records.input.avro_files import AvroFile
from linesmith.records.input.typed_files import format_errors
from linesmith.records.sources.arrow_rows import ANY_NUMBER, SchemaColumns, presence_column, struct_node
from linesmith.records.sources.chosen_columns import checked_columns, cut_column, is_wanted, type_error
from linesmith.records.sources.object_rows import RowError, object_texts
from linesmith.records.sources.rows import VALUE, SourceRow
from linesmith.records.sources.shape import Node, TableSource
from linesmith.records.table_columns import TableColumn
from linesmith.records.table_format import TableFormat, row_text

_PLAIN: dict[str, dict[str, Any]] = {
    "string": {"kind": "text", "arrow": "string"},
    "bytes": {"kind": "binary", "arrow": "binary"},
    "int": {"kind": "integer", "bits": 32, "arrow": "int32"},
    "long": {"kind": "integer", "bits": 64, "arrow": "int64"},
    "float": {"kind": "float", "bits": 32, "arrow": "float"},
    "double": {"kind": "float", "bits": 64, "arrow": "double"},
    "boolean": {"kind": "boolean", "arrow": "bool"},
    "null": {"kind": "null", "arrow": "null"},
}
_LOGICAL: dict[tuple[str, str], dict[str, Any]] = {
    ("int", "date"): {"kind": "date", "arrow": "date32"},
    ("int", "time-millis"): {"kind": "time", "unit": "ms", "digits": 3, "arrow": "time"},
    ("long", "time-micros"): {"kind": "time", "unit": "us", "digits": 6, "arrow": "time"},
}
for _unit, _word, _digits in (("ms", "millis", 3), ("us", "micros", 6), ("ns", "nanos", 9)):
    _time = {"kind": "timestamp", "unit": _unit, "digits": _digits}
    _LOGICAL["long", f"timestamp-{_word}"] = {**_time, "zoned": True, "arrow": "timestamp UTC"}
    _LOGICAL["long", f"local-timestamp-{_word}"] = {**_time, "arrow": "timestamp"}
_EPOCH = 719_163  # ordinal of 1970-01-01


def avro_table(stream: IO[bytes], wanted: Sequence[str] | None = None, cut: Container[str] = ()) -> TableFormat:
    """Return how the rows of an Avro file are written, by its schema alone.

    Args:
        stream: the bytes of the file.
        wanted: names of the columns to learn, with which others are not looked at; None: all.
        cut: names of columns, or of records in the rows, that are not learned.

    Raises:
        TypedFileError: the file is damaged.
        DataError: LS235, a column cannot be learned.
    """
    with format_errors(AVRO):
        schema = parse_json(AvroFile(stream).schema_bytes)
    columns = SchemaColumns(wanted is None, cut)
    names = [field["name"] for field in schema["fields"]]
    chosen = {**schema, "fields": [field for field in schema["fields"] if is_wanted(field["name"], wanted)]}
    named: dict[str, Any] = {}
    _remember_all(schema, named)  # those, too, that are declared in what is left out
    nodes = _record_nodes(chosen, (), True, columns, named)
    # A projection has no schema of its own: named types may be declared in what is left out.
    declared = "" if wanted is not None else json.dumps(schema, ensure_ascii=False)
    return checked_columns(
        TableFormat("arrow", tuple(columns.found), TableSource(AVRO, nodes, declared)), wanted, names
    )


def _record_nodes(
    record: Mapping[str, Any],
    above: tuple[str, ...],
    outer: bool,
    columns: SchemaColumns,
    named: dict[str, Any],
) -> tuple[Node, ...]:
    """Return the nodes of a record's fields, and append their columns.

    Args:
        record: its schema.
        above: names of the fields that it is in.
        outer: whether no record that it is in can be missing.
        columns: of the table so far.
        named: schemas by their names.
    """
    _remember(record, named)
    return tuple(_field_node(field, above, outer, columns, named) for field in record["fields"])


def _remember(schema: Mapping[str, Any], named: dict[str, Any]) -> None:
    name, space = schema["name"], schema.get("namespace", "")
    for known in (name, f"{space}.{name}", name.rpartition(".")[2]):
        named[known] = schema


def _remember_all(declared: Any, named: dict[str, Any]) -> None:
    """Note every type with a name that a schema declares, at any depth."""
    if isinstance(declared, list):
        for part in declared:
            _remember_all(part, named)
    elif isinstance(declared, dict):
        if "name" in declared and "type" in declared:
            _remember(declared, named)
        for part in (declared.get("type"), declared.get("items"), declared.get("values")):
            _remember_all(part, named)
        for field in declared.get("fields", ()):
            _remember_all(field["type"], named)


def _field_node(
    field: Mapping[str, Any],
    above: tuple[str, ...],
    outer: bool,
    columns: SchemaColumns,
    named: dict[str, Any],
) -> Node:
    path, name = (*above, field["name"]), ".".join((*above, field["name"]))
    number = len(columns.found)
    if name in columns.cut:
        columns.found.append(cut_column(name, lambda: _column(field["type"], name, outer, named)))
        return Node(field["name"], number, isinstance(field["type"], list) and "null" in field["type"])
    declared, nullable = _without_null(field["type"], name, named)
    if isinstance(declared, dict) and declared["type"] in ("record", "error"):
        if nullable and columns.marks:
            columns.found.append(presence_column(name))
        children = _record_nodes(declared, path, outer and not nullable, columns, named)
        return struct_node(field["name"], nullable, children, number if columns.marks else None)
    column = _column(field["type"], name, outer, named)
    columns.found.append(column)
    return Node(field["name"], number, nullable or column.kind == "null")


def _column(declared: Any, name: str, outer: bool, named: dict[str, Any]) -> TableColumn:
    """Return the column of a type, which may be a union with null."""
    plain, nullable = _without_null(declared, name, named)
    column = _describe(plain, name, named)
    return TableColumn(name=name, **{"nullable": nullable or not outer or column["kind"] == "null", **column})


def _without_null(declared: Any, name: str, named: dict[str, Any]) -> tuple[Any, bool]:
    """Return a type without null, and whether it had that; a name is resolved."""
    nullable = False
    if isinstance(declared, list):
        others = [part for part in declared if part != "null"]
        nullable = len(others) < len(declared)
        if len(others) != 1:
            raise type_error(name, "a union of several types, which cannot be learned")
        declared = others[0]
    if isinstance(declared, str):
        return named.get(declared, declared), nullable
    return declared, nullable


def _describe(declared: Any, name: str, named: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a column of a type."""
    kind = declared if isinstance(declared, str) else declared["type"]
    if isinstance(kind, dict | list):  # {"type": {"type": "int"}}
        return _describe(_without_null(kind, name, named)[0], name, named)
    if kind == "array":
        items, nullable = _without_null(declared["items"], name, named)
        described = _describe(items, name, named)
        if "most_items" in described:
            raise type_error(name, "lists of lists, which cannot be learned")
        return {**described, "most_items": ANY_NUMBER, "item_nullable": nullable}
    if kind in ("enum", "fixed"):
        _remember(declared, named)
    if kind == "enum":
        return {"kind": "text", "arrow": "string", "categories": tuple(declared["symbols"])}
    logical = None if isinstance(declared, str) else declared.get("logicalType")
    found = _described_decimal(declared) if logical == "decimal" and kind in ("bytes", "fixed") else None
    if found is None and kind == "fixed":
        found = {"kind": "binary", "arrow": f"fixed_size_binary {declared['size']}"}
    found = found or _LOGICAL.get((kind, str(logical))) or _PLAIN.get(kind)
    if found is None:
        raise type_error(name, f"values of type {str(kind)[:100]}, which cannot be learned")
    return found


def _described_decimal(declared: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the attributes of a column of decimals; None where its digits make no sense, which leaves bytes."""
    precision, scale = declared.get("precision"), declared.get("scale", 0)
    if type(precision) is not int or type(scale) is not int or not 0 <= scale <= precision <= 76 or not precision:
        return None
    words = "decimal128" if precision <= 38 else "decimal256"
    return {"kind": "decimal", "precision": precision, "scale": scale, "arrow": words}


def avro_objects(stream: IO[bytes], table: TableFormat, start: int, end: int | None) -> Iterator[dict[str, Any]]:
    """Yield the records of the blocks that begin in a range of bytes, with values as `TableColumn.encode` takes them.

    Raises:
        TypedFileError: the file is damaged.
    """
    nodes = () if table.source is None else table.source.nodes
    for row in _stored_rows(stream, start, end):
        yield _with_values(nodes, table.columns, row)


def _stored_rows(stream: IO[bytes], start: int, end: int | None) -> Iterator[dict[str, Any]]:
    with format_errors(AVRO):  # of what is read: a generator does not see the errors of its caller
        for block, _ in AvroFile(stream, plain=True).blocks_between(start, end):
            yield from block


def avro_rows(stream: IO[bytes], table: TableFormat, start: int, end: int | None) -> Iterator[SourceRow]:
    """Yield the rows of the blocks that begin in a range of bytes; their positions are numbers within it.

    Raises:
        TypedFileError: the file is damaged.
    """
    for number, row in enumerate(avro_objects(stream, table, start, end)):
        try:
            yield SourceRow(number, object_texts(table, row))
        except RowError as error:
            content = row_text([str(value) for value in row.values()]).encode()
            yield SourceRow(number, None, f"{VALUE}:{error.column}", content, len(content))


def _with_values(nodes: Sequence[Node], columns: Sequence[TableColumn], row: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for node in nodes:
        value = row[node.name]
        if node.column is not None:
            value = _value(columns[node.column], value)
        elif value is not None:
            value = _with_values(node.children, columns, value)
        values[node.name] = value
    return values


def _value(column: TableColumn, value: Any) -> Any:
    if isinstance(value, list):
        return [_value(column.item, item) for item in value]
    if column.kind == "date" and value is not None and 0 < _EPOCH + value <= date.max.toordinal():
        return date.fromordinal(_EPOCH + value)  # another number is left for the column to refuse
    if column.kind == "decimal" and value is not None:
        return Decimal(f"{int.from_bytes(value, 'big', signed=True)}E-{column.scale}")
    return value
