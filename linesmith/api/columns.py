"""Columns of tables in memory, by their types and their values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from linesmith.records.sources.arrow_texts import encode_values
from linesmith.records.sources.arrow_types import MIDNIGHTS, column_error, describe_values, needed_digits
from linesmith.records.table_columns import TableColumn

if TYPE_CHECKING:
    import pyarrow as pa


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
