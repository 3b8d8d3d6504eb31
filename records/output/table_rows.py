"""Generated records as the rows of the source that they were learned from: values for Arrow, JSON, Avro and CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from linesmith.core.config.input_format import TYPED_FORMATS
from linesmith.records.output.column_types import json_value
from linesmith.records.sources.shape import Node, row_object
from linesmith.records.table_columns import OMITTED, UNIT_DIGITS, TableColumn, unescape_text
from linesmith.records.table_format import TableFormat

if TYPE_CHECKING:
    import pyarrow as pa

_AS_WRITTEN = ("date", "time", "timestamp")  # in JSON: their texts


def typed_table(table: TableFormat | None) -> TableFormat | None:
    """Return the table if its source has types, so that output has them, too; None for lines, CSV and tables in memory."""
    if table is None or table.source is None or table.source.format_name not in TYPED_FORMATS:
        return None
    return table


def plain_texts(table: TableFormat, fields: Sequence[str]) -> list[str | None]:
    """Return the values of a record as the cells of CSV; None for those that are missing.

    Args:
        table: how rows are written.
        fields: of the record.
    """
    cells: list[str | None] = []
    for column, text in zip(table.columns, fields, strict=True):
        if text == "" or (column.omitted == "marked" and column.decode(text) is None):
            cells.append(None)
        elif column.kind == "text" and column.most_items is None:
            cells.append(unescape_text(text))
        else:
            cells.append(text)
    return cells


def json_row(table: TableFormat, fields: Sequence[str], exclude_column: str | None = None) -> str:
    """Return a record as an object of JSON, nested as the rows of the source are.

    Args:
        table: how rows are written; it has a source.
        fields: of the record.
        exclude_column: a field of the rows to leave out, or None.
    """
    values = [_json_value(column, text) for column, text in zip(table.columns, fields, strict=True)]
    return _json_text(row_object([node for node in _nodes(table) if node.name != exclude_column], values))


def _json_value(column: TableColumn, text: str) -> Any:
    value = column.decode(text)
    if value is None or value is OMITTED:
        return value
    if isinstance(value, list) and column.most_items is not None:
        return [_json_value(column.item, item) for item in column.split_items(text) or ()]
    if column.kind == "binary":
        return text if value else ""
    return text if column.kind in _AS_WRITTEN else value


def _json_text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json_text(key)}: {_json_text(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json_text, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "null"  # JSON has no such number
    # A decimal is written digit by digit: a float would round it.
    return str(json_value(value)) if isinstance(value, Decimal) else json.dumps(json_value(value), ensure_ascii=False)


def _nodes(table: TableFormat) -> tuple[Node, ...]:
    return () if table.source is None else table.source.nodes


def avro_row(table: TableFormat, fields: Sequence[str]) -> dict[str, Any]:
    """Return a record as fastavro writes it by `avro_schema`.

    Args:
        table: how rows are written; it has a source.
        fields: of the record.
    """
    values = [_avro_value(column, column.decode(text)) for column, text in zip(table.columns, fields, strict=True)]
    return _with_avro_names(_nodes(table), row_object(_nodes(table), values))


def _avro_value(column: TableColumn, value: Any) -> Any:
    if isinstance(value, list) and column.most_items is not None:
        return [_avro_value(column.item, item) for item in value]
    if isinstance(value, int) and column.kind in ("time", "timestamp") and column.unit == "s":
        return value * 1000
    if isinstance(value, int) and _is_beyond_long(column):
        return Decimal(value)
    if column.kind == "number" and isinstance(value, int):
        return float(value)
    if column.kind == "json" and not isinstance(value, str) and value is not None:
        return column.encode(value)
    return value


def _is_beyond_long(column: TableColumn) -> bool:
    return column.kind == "integer" and column.bits == 64 and not column.signed


def _with_avro_names(nodes: Sequence[Node], row: dict[str, Any]) -> dict[str, Any]:
    from linesmith.records.output.avro_names import unique_avro_names

    named = {}
    for node, name in zip(nodes, unique_avro_names([node.name for node in nodes]), strict=True):
        value = row.get(node.name)
        named[name] = _with_avro_names(node.children, value) if isinstance(value, dict) and node.children else value
    return named


def avro_schema(table: TableFormat) -> dict[str, Any]:
    """Return the Avro schema of a source's rows: that of its files, if they are Avro."""
    if table.source is not None and table.source.avro_schema:
        declared: dict[str, Any] = json.loads(table.source.avro_schema)
        return declared
    return _avro_record(_nodes(table), table.columns, "Record")


def _avro_record(nodes: Sequence[Node], columns: Sequence[TableColumn], name: str) -> dict[str, Any]:
    from linesmith.records.output.avro_names import unique_avro_names

    fields = []
    for node, avro in zip(nodes, unique_avro_names([node.name for node in nodes]), strict=True):
        if node.column is not None:
            plain, missing = avro_type(columns[node.column]), node.nullable
        else:
            plain, missing = _avro_record(node.children, columns, f"{name}_{avro}"), node.nullable
        field = {"name": avro, "type": ["null", plain] if missing and plain != "null" else plain}
        fields.append(field if avro == node.name else {**field, "doc": node.name})
    return {"type": "record", "name": name, "namespace": "linesmith", "fields": fields}


def avro_type(column: TableColumn) -> Any:
    """Return the Avro type of a column's values, without null."""
    if column.most_items is None:
        return _AVRO_TYPES[column.kind](column)
    item = avro_type(column.item)
    return {"type": "array", "items": ["null", item] if column.item_nullable else item}


def _avro_decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def _avro_integer(column: TableColumn) -> Any:
    if _is_beyond_long(column):
        return _avro_decimal(20, 0)
    return "int" if column.bits < 32 or (column.bits == 32 and column.signed) else "long"


def _avro_time(column: TableColumn) -> Any:
    word = {0: "millis", 3: "millis", 6: "micros", 9: "nanos"}[UNIT_DIGITS[column.unit]]
    if column.kind == "timestamp":
        return {"type": "long", "logicalType": f"{'' if column.zoned else 'local-'}timestamp-{word}"}
    if word == "nanos":
        return "long"  # Avro has no time of day in nanoseconds
    return {"type": "int" if word == "millis" else "long", "logicalType": f"time-{word}"}


_AVRO_TYPES: dict[str, Callable[[TableColumn], Any]] = {
    "text": lambda column: "string",
    "json": lambda column: "string",
    "number": lambda column: "double",
    "boolean": lambda column: "boolean",
    "binary": lambda column: "bytes",
    "null": lambda column: "null",
    "date": lambda column: {"type": "int", "logicalType": "date"},
    "time": _avro_time,
    "timestamp": _avro_time,
    "float": lambda column: "float" if column.bits == 32 else "double",
    "decimal": lambda column: _avro_decimal(column.precision, column.scale),
    "integer": _avro_integer,
}


def arrow_rows(table: TableFormat, rows: Sequence[Sequence[str]]) -> pa.Table:
    """Return records as an Arrow table of the source's schema.

    Args:
        table: how rows are written; it has a source.
        rows: fields of each record.
    """
    from linesmith.records.sources.arrow_rows import decode_rows

    return decode_rows(table, rows)


def iceberg_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema with the nearest types that Iceberg has: values keep their meaning, and times microseconds."""
    import pyarrow as pa

    return pa.schema([pa.field(field.name, _iceberg_type(field.type), field.nullable) for field in schema])


def _iceberg_type(arrow: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(arrow):
        return _iceberg_type(arrow.value_type)
    if types.is_unsigned_integer(arrow):
        return pa.decimal128(20, 0) if arrow.bit_width == 64 else pa.int64() if arrow.bit_width == 32 else pa.int32()
    if types.is_integer(arrow):
        return pa.int64() if arrow.bit_width == 64 else pa.int32()
    if types.is_timestamp(arrow):
        return pa.timestamp("us", None if arrow.tz is None else "UTC")
    simple = {
        types.is_time: pa.time64("us"),
        types.is_date: pa.date32(),
        types.is_duration: pa.int64(),
        types.is_null: pa.string(),
    }
    return next((wanted for test, wanted in simple.items() if test(arrow)), arrow)
