"""Masks of a table's columns: types and patterns that steer the sampler, so that most of what it writes can be decoded."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from linesmith.records.output.column_types import ColumnType
from linesmith.records.table_columns import TableColumn, integer_range

_MOST_PATTERN = 4000  # characters; a pattern of more categories would cost more than the attempts that it saves
_TEXT_PATTERN = r"([^\\]|\\[\\nr])+|\\e"
_FLOAT_PATTERN = "-?[0-9]{1,17}(\\.[0-9]{1,20})?(e[+-]?[0-9]{1,2})?|nan|-?inf"
_NUMBER_PATTERN = "-?[0-9]{1,19}(\\.[0-9]{1,20})?(e[+-]?[0-9]{1,2})?"
_YEAR_PATTERN = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DATE_PATTERN = f"{_YEAR_PATTERN}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME_PATTERN = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
Mask = tuple[ColumnType, dict[str, Any]]


def column_mask(column: TableColumn) -> Mask:
    """Return a type, and limits as keys of an Avro field, that allow every text of the column.

    Example:
        >>> column_mask(TableColumn("n", "integer", nullable=False, bits=8))[1]
        {'minimum': -128, 'maximum': 127}
    """
    if column.most_items is not None or column.omitted == "marked":
        return _string(column), {}
    if column.categories is not None:
        pattern = "|".join(re.sub(r"[()\[\]{}|?*+.^$\\]", r"\\\g<0>", text) for text in column.categories)
        return _string(column), {"pattern": pattern} if 0 < len(pattern) <= _MOST_PATTERN else {}
    return _MASKS[column.kind](column)


def _string(column: TableColumn) -> ColumnType:
    return ColumnType(nullable=column.nullable)


def _integer(column: TableColumn) -> Mask:
    least, most = integer_range(column.bits, column.signed)
    if most >= 1 << 63:  # beyond an Avro long
        return _string(column), {"pattern": "[0-9]{1,20}"}
    return ColumnType("long", column.nullable), {"minimum": least, "maximum": most}


def _decimal(column: TableColumn) -> Mask:
    if column.precision > 38:  # beyond an Avro decimal that Linesmith reads
        return _string(column), {"pattern": "-?[0-9]+(\\.[0-9]+)?"}
    return ColumnType("decimal", column.nullable, column.precision, column.scale), {}


def _clock(column: TableColumn) -> Mask:
    if column.kind == "timestamp" and column.digits is None:
        return ColumnType("date", column.nullable), {}
    fraction = f"\\.[0-9]{{{column.digits}}}" if column.digits else ""
    day = f"{_DATE_PATTERN}T" if column.kind == "timestamp" else ""
    return _string(column), {"pattern": f"{day}{_TIME_PATTERN}{fraction}{'Z' if column.zoned else ''}"}


_MASKS: dict[str, Callable[[TableColumn], Mask]] = {
    "text": lambda column: (_string(column), {"pattern": _TEXT_PATTERN}),
    "integer": _integer,
    "float": lambda column: (_string(column), {"pattern": _FLOAT_PATTERN}),
    "boolean": lambda column: (ColumnType("boolean", column.nullable), {}),
    "decimal": _decimal,
    "date": lambda column: (ColumnType("date", column.nullable), {}),
    "time": _clock,
    "timestamp": _clock,
    "binary": lambda column: (
        _string(column),
        {"pattern": "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?|\\\\e"},
    ),
    "number": lambda column: (_string(column), {"pattern": _NUMBER_PATTERN}),
    "json": lambda column: (_string(column), {}),
    "null": lambda column: (ColumnType(), {"pattern": ""}),
}
