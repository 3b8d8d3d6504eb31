"""Arrow columns as columns of a table format, and back: types, encoded texts, and arrays of decoded texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from linesmith.core.errors import DataError
from linesmith.records.table_columns import UNIT_DIGITS, TableColumn

if TYPE_CHECKING:
    import pyarrow as pa

INTEGER = re.compile(r"u?int(8|16|32|64)")
MIDNIGHTS = -1  # as a number of digits: values without a time of day
_INDICES = "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"


def column_error(name: object, found: str, remedy: str) -> DataError:
    """Return the error for a column that cannot be learned.

    Args:
        name: of the column.
        found: what it holds.
        remedy: what to do, in a sentence.
    """
    return DataError("LS232", f"data: column {name!r}", found, remedy)


def describe_values(name: str, arrow: pa.DataType, nullable: bool) -> TableColumn:
    """Return the description of a column of plain values, by its type."""
    from pyarrow import types

    words = str(arrow)
    plain = TableColumn(name, "null", nullable, arrow=words)
    if types.is_string(arrow) or types.is_large_string(arrow) or words == "string_view":
        return replace(plain, kind="text")
    if types.is_integer(arrow):
        return replace(plain, kind="integer", bits=arrow.bit_width, signed=types.is_signed_integer(arrow))
    if types.is_float32(arrow) or types.is_float64(arrow):
        return replace(plain, kind="float", bits=arrow.bit_width)
    if types.is_decimal(arrow) and 0 <= arrow.scale <= arrow.precision:
        return replace(
            plain, kind="decimal", precision=arrow.precision, scale=arrow.scale, arrow=words.partition("(")[0]
        )
    other = _describe_others(plain, arrow)
    return other if other is not None else _describe_times(plain, arrow)


def _describe_others(plain: TableColumn, arrow: pa.DataType) -> TableColumn | None:
    """Return the description of a column of bytes, booleans or nothing; None for another."""
    from pyarrow import types

    if types.is_boolean(arrow):
        return replace(plain, kind="boolean")
    if types.is_null(arrow):
        return replace(plain, nullable=True)
    return replace(plain, kind="binary", arrow=_binary_words(arrow)) if _is_binary(arrow) else None


def _is_binary(arrow: pa.DataType) -> bool:
    from pyarrow import types

    return types.is_binary(arrow) or types.is_large_binary(arrow) or types.is_fixed_size_binary(arrow)


def _binary_words(arrow: pa.DataType) -> str:
    import pyarrow as pa

    return f"fixed_size_binary {arrow.byte_width}" if pa.types.is_fixed_size_binary(arrow) else str(arrow)


def _describe_times(plain: TableColumn, arrow: pa.DataType) -> TableColumn:
    """Return the description of a column of dates, times or durations.

    Raises:
        DataError: LS232, its values are none of these.
    """
    from pyarrow import types

    if types.is_date(arrow):
        return replace(plain, kind="date", arrow="date64" if types.is_date64(arrow) else "date32")
    if types.is_duration(arrow):
        return replace(plain, kind="integer", unit=arrow.unit, arrow="duration")
    if types.is_time(arrow):
        return replace(plain, kind="time", unit=arrow.unit, digits=UNIT_DIGITS[arrow.unit], arrow="time")
    if types.is_timestamp(arrow):
        words = "timestamp" if arrow.tz is None else f"timestamp {arrow.tz}"
        digits = UNIT_DIGITS[arrow.unit]
        return replace(plain, kind="timestamp", unit=arrow.unit, digits=digits, zoned=arrow.tz is not None, arrow=words)
    raise column_error(
        plain.name,
        f"values of type {plain.arrow[:100]}, which cannot be learned",
        "Leave the column out, or make text, numbers, times or categories of it.",
    )


def needed_digits(column: TableColumn, array: pa.ChunkedArray | pa.Array) -> int | None:
    """Return the fewest digits of a second, MIDNIGHTS, 0, 3, 6 or 9, that values need; None where there is no value.

    Args:
        column: a column of times or timestamps; of timestamps without a zone that are midnights only dates are written.
        array: its values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(array.type):
        return None
    values = pc.unique(array.cast(ticks_type(array.type))).drop_null()
    full = UNIT_DIGITS[column.unit]

    def all_multiples(step: int) -> bool:
        return bool(pc.all(pc.equal(pc.multiply(pc.divide(values, step), step), values)).as_py())

    if not len(values):
        return None
    if column.kind == "timestamp" and not column.zoned and all_multiples(86_400 * 10**full):
        return MIDNIGHTS
    return next(digits for digits in (0, 3, 6, 9) if digits >= full or all_multiples(10 ** (full - digits)))


def ticks_type(arrow: pa.DataType) -> pa.DataType:
    """Return the type of integers that times, timestamps and durations are stored as."""
    import pyarrow as pa

    return pa.int32() if pa.types.is_time32(arrow) else pa.int64()


def arrow_type(column: TableColumn) -> pa.DataType:
    """Return the Arrow type of a column.

    Raises:
        ValueError: the description names none.
    """
    import pyarrow as pa

    if column.most_items is not None:
        item = pa.field("item", arrow_type(column.item), column.item_nullable)
        word, _, size = column.list_arrow.partition(" ")
        return pa.large_list(item) if word == "large_list" else pa.list_(item, int(size) if size else -1)
    word, _, rest = column.arrow.partition(" ")
    makers: dict[str, Callable[[], Any]] = {
        "timestamp": lambda: pa.timestamp(column.unit, rest or None),
        "duration": lambda: pa.duration(column.unit),
        "time": lambda: pa.time32(column.unit) if column.unit in ("s", "ms") else pa.time64(column.unit),
        "decimal128": lambda: pa.decimal128(column.precision, column.scale),
        "decimal256": lambda: pa.decimal256(column.precision, column.scale),
        "dictionary": lambda: _dictionary_type(column, rest),
        "fixed_size_binary": lambda: pa.binary(int(rest)),
        **{
            name: getattr(pa, name)
            for name in ("string", "large_string", "date32", "date64", "null", "binary", "large_binary")
        },
        "string_view": pa.large_string,
        "bool": pa.bool_,
        "float": pa.float32,
        "double": pa.float64,
    }
    if INTEGER.fullmatch(word):
        return getattr(pa, word)()
    if word not in makers:
        raise ValueError("no type of a column")
    return makers[word]()


def _dictionary_type(column: TableColumn, words: str) -> pa.DictionaryType:
    import pyarrow as pa

    index, order, value = words.split(" ", 2)
    if index not in _INDICES:
        raise ValueError("no type of an index")
    return pa.dictionary(getattr(pa, index)(), arrow_type(replace(column, arrow=value)), order == "ordered")
