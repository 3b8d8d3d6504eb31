"""Arrow columns as columns of a table format, and back: types, encoded texts, and arrays of decoded texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from linesmith.core.errors import DataError, ParameterError
from linesmith.records.table_columns import OMITTED, UNIT_DIGITS, TableColumn

if TYPE_CHECKING:
    import pyarrow as pa

_INTEGER = re.compile(r"u?int(8|16|32|64)")
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


def describe_column(name: str, array: pa.ChunkedArray, private: bool) -> TableColumn:
    """Return how the values of an Arrow column are written.

    Args:
        name: its name.
        array: its values.
        private: differential privacy: the description depends on the type alone, and of values on categories only.

    Raises:
        DataError: LS232, its values are of a type that cannot be learned.
    """
    import pyarrow as pa

    nullable = private or array.null_count > 0
    if pa.types.is_dictionary(array.type):
        return _describe_categories(name, array, nullable)
    column = describe_values(name, array.type, nullable)
    if column.kind in ("time", "timestamp") and not private:
        needed = needed_digits(column, array)
        column = column if needed is None else replace(column, digits=None if needed == MIDNIGHTS else needed)
    return column


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
    if _is_binary(arrow):
        return replace(plain, kind="binary", arrow=_binary_words(arrow))
    if types.is_boolean(arrow) or types.is_null(arrow):
        return replace(plain, kind="boolean") if types.is_boolean(arrow) else replace(plain, nullable=True)
    return _describe_times(plain, arrow)


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


def _describe_categories(name: str, array: pa.ChunkedArray, nullable: bool) -> TableColumn:
    import pyarrow as pa

    arrow = array.type
    plain = describe_values(name, arrow.value_type, True)
    if plain.kind in ("time", "timestamp", "null"):
        raise column_error(name, f"categories of type {arrow.value_type}", "Convert it to the type of its values.")
    known: dict[str, None] = {}
    for chunk in array.chunks:
        known.update(dict.fromkeys(encode_values(plain, pa.chunked_array([chunk.dictionary]))))
    if "" in known:
        raise column_error(name, "a missing value among its categories", "Remove that category.")
    words = f"dictionary {arrow.index_type} {'ordered' if arrow.ordered else 'plain'} {plain.arrow}"
    return TableColumn(
        name, plain.kind, nullable, plain.bits, plain.signed, plain.precision, plain.scale, plain.unit, plain.digits,
        categories=tuple(known), arrow=words,
    )  # fmt: skip


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
    values = pc.unique(array.cast(_ticks_type(array.type))).drop_null()
    full = UNIT_DIGITS[column.unit]

    def all_multiples(step: int) -> bool:
        return bool(pc.all(pc.equal(pc.multiply(pc.divide(values, step), step), values)).as_py())

    if not len(values):
        return None
    if column.kind == "timestamp" and not column.zoned and all_multiples(86_400 * 10**full):
        return MIDNIGHTS
    return next(digits for digits in (0, 3, 6, 9) if digits >= full or all_multiples(10 ** (full - digits)))


def _ticks_type(arrow: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return pa.int32() if pa.types.is_time32(arrow) else pa.int64()


def encode_values(column: TableColumn, array: pa.ChunkedArray) -> list[str]:
    """Return the texts of the values of a column.

    Raises:
        DataError: LS232, the column cannot hold one of them.
    """
    try:
        return encode_texts(column, array)
    except ValueError as error:
        raise column_error(column.name, str(error), "Change the values, or leave the column out.") from None


def encode_texts(column: TableColumn, array: pa.ChunkedArray | pa.Array) -> list[str]:
    """Return the texts of the values of a column.

    Raises:
        ValueError: the column cannot hold one of them. The message quotes none.
    """
    import pyarrow as pa

    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    if column.most_items is not None:
        return [text for chunk in chunks for text in _encode_lists(column, chunk)]
    if pa.types.is_dictionary(array.type):
        return [text for chunk in chunks for text in _encode_dictionary(column, chunk)]
    if _INTEGER.fullmatch(column.arrow) or column.arrow == "bool":  # the same texts, without Python per value
        return _cast_texts(column, array)
    if pa.types.is_duration(array.type) or column.kind in ("time", "timestamp"):
        array = array.cast(_ticks_type(array.type))
    return [column.encode(value) for value in array.to_pylist()]


def _cast_texts(column: TableColumn, array: pa.ChunkedArray | pa.Array) -> list[str]:
    import pyarrow as pa

    if not array.null_count:
        return array.cast(pa.string()).to_pylist()
    if not column.nullable:
        raise ValueError("the column has no missing values")
    return ["" if text is None else text for text in array.cast(pa.string()).to_pylist()]


def _encode_dictionary(column: TableColumn, chunk: pa.DictionaryArray) -> list[str]:
    import pyarrow as pa

    texts = encode_texts(column, pa.chunked_array([chunk.dictionary]))
    indices = chunk.indices.to_pylist()
    if None in indices and not column.nullable:
        raise ValueError("a missing value, and the data that the model was trained on had none here")
    return ["" if index is None else texts[index] for index in indices]


def _encode_lists(column: TableColumn, chunk: pa.Array) -> list[str]:
    import pyarrow.compute as pc

    items = iter(encode_texts(column.item, chunk.flatten()))
    lengths = pc.list_value_length(chunk).to_pylist()
    return [
        column.encode(None) if length is None else column.join_items([next(items) for _ in range(length)])
        for length in lengths
    ]


def encode_scalar(column: TableColumn, value: Any) -> str:
    """Return the text of one value of a column, given as Python, pandas or Arrow have it.

    Raises:
        ParameterError: LS132, the column cannot hold it.
    """
    import pyarrow as pa

    arrow = arrow_type(column)
    plain = arrow.value_type if pa.types.is_dictionary(arrow) else arrow
    try:
        array = pa.array([value], plain, from_pandas=column.kind != "float")
        return encode_values(column, pa.chunked_array([array]))[0]
    except (pa.ArrowException, DataError, TypeError, ValueError, OverflowError):
        raise ParameterError(
            "LS132",
            f"where {column.name!r}",
            f"its value is none that the column can hold ({arrow})",
            "Give another value.",
        ) from None


def decode_texts(column: TableColumn, texts: Sequence[str]) -> pa.Array:
    """Return the values of texts as an array of the column's Arrow type.

    Raises:
        ValueError: a text is no value of the column.
    """
    import pyarrow as pa

    if column.most_items is not None:
        return _decode_lists(column, texts)
    if column.arrow.startswith("dictionary "):
        return _decode_dictionary(column, texts)
    values = [None if (value := column.decode(text)) is OMITTED else value for text in texts]
    if column.kind == "json":
        values = [None if value is None else text for value, text in zip(values, texts, strict=True)]
    if column.kind in ("time", "timestamp") or column.arrow == "duration":
        arrow = arrow_type(column)
        return pa.array(values, _ticks_type(arrow)).cast(arrow)
    return pa.array(values, arrow_type(column))


def _decode_lists(column: TableColumn, texts: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    lists = [column.split_items(text) for text in texts]
    items = decode_texts(column.item, [item for some in lists for item in some or ()])
    offsets, end = [0], 0
    for some in lists:
        end += len(some or ())
        offsets.append(end)
    missing = pa.array([some is None for some in lists], pa.bool_())
    arrow = arrow_type(column)
    if column.list_arrow == "large_list":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), items, arrow, mask=missing)
    made = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items, pa.list_(arrow.value_field), mask=missing)
    return made if column.list_arrow == "list" else made.cast(arrow)


def _decode_dictionary(column: TableColumn, texts: Sequence[str]) -> pa.DictionaryArray:
    import pyarrow as pa

    categories = dict.fromkeys(text for text in texts if text) if column.categories is None else column.categories
    numbers = {text: number for number, text in enumerate(categories)}
    numbers_of_texts = [None if column.decode(text) is None else numbers[text] for text in texts]
    arrow = arrow_type(column)
    values = pa.array([column.decode(text) for text in categories], arrow.value_type)
    indices = pa.array(numbers_of_texts, arrow.index_type)
    return pa.DictionaryArray.from_arrays(indices, values, ordered=arrow.ordered)


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
        **{name: getattr(pa, name) for name in ("string", "large_string", "date32", "date64", "null", "binary", "large_binary")},
        "string_view": pa.large_string,
        "bool": pa.bool_,
        "float": pa.float32,
        "double": pa.float64,
    }
    if _INTEGER.fullmatch(word):
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
