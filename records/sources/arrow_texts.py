"""Values of Arrow columns as texts of a table's columns, and texts as arrays of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from linesmith.core.errors import DataError, ParameterError
from linesmith.records.sources.arrow_types import INTEGER, arrow_type, column_error, ticks_type
from linesmith.records.table_columns import OMITTED, TableColumn

if TYPE_CHECKING:
    import pyarrow as pa


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
    if INTEGER.fullmatch(column.arrow) or column.arrow == "bool":  # the same texts, without Python per value
        return _cast_texts(column, array)
    if pa.types.is_duration(array.type) or column.kind in ("time", "timestamp"):
        array = array.cast(ticks_type(array.type))
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
        return pa.array(values, ticks_type(arrow)).cast(arrow)
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
