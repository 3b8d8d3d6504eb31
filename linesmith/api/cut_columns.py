"""Columns of a table that no model is given: they are not described by their values, and most are not even written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from linesmith.api.columns import describe_column
from linesmith.core.config.column_roles import ColumnRole, parse_column_roles, parse_role
from linesmith.core.config.key_pattern import parse_pattern
from linesmith.core.config.setting_field import shortened
from linesmith.core.errors import ParameterError
from linesmith.records.sources.arrow_types import column_error
from linesmith.records.table_columns import TableColumn

if TYPE_CHECKING:
    import pyarrow as pa

_MOST = 10**18  # numbers from here on do not fit into 64 bits with all of their digits free


def roles_of(value: Any) -> dict[str, str]:
    """Return the setting `column_role` as a mapping from column to text; empty where it is not given.

    Raises:
        ParameterError: LS101, it is none.
    """
    if value is None:
        return {}
    try:
        roles = parse_column_roles(value)
    except ValueError as error:
        raise ParameterError(
            "LS101", f"column_role {shortened(repr(value))}", str(error), "Give another value."
        ) from None
    if not isinstance(roles, Mapping):
        raise ParameterError(
            "LS101", f"column_role {shortened(repr(value))}", "no mapping from columns to roles", "Give one."
        )
    return dict(roles)


def cut_roles(roles: Mapping[str, str]) -> dict[str, ColumnRole]:
    """Return the roles of the columns that are not learned."""
    parsed = {name: parse_role(text) for name, text in roles.items()}
    return {name: role for name, role in parsed.items() if role.kind != "learn"}


def describe_cut_column(
    name: str, array: pa.ChunkedArray, dtype: str, role: ColumnRole, private: bool
) -> tuple[TableColumn, pa.ChunkedArray]:
    """Return how a column with a role is written in the output, and what tokenize is given of it.

    Only keys are given: of the others nothing is needed. A key is a text or a whole number; generated numbers have 64 bits.

    Args:
        name: of the column.
        array: its values.
        dtype: its type in its frame, in the words of `linesmith.api.frames`.
        role: its role.
        private: as for `describe_column`.

    Raises:
        DataError: LS232, a key is neither text nor a whole number.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    text = TableColumn(name, "text", arrow="string", dtype=_text_dtype(dtype))
    if role.kind != "key":
        return text, pa.chunked_array([pa.nulls(len(array), pa.string())])
    if pa.types.is_dictionary(array.type):
        array = pa.chunked_array([chunk.dictionary_decode() for chunk in array.chunks], array.type.value_type)
        dtype = dtype.removeprefix("category ")
    plain = describe_column(name, array, private)
    if plain.kind == "text":
        return replace(plain, dtype=_text_dtype(dtype)), array
    if plain.kind != "integer" or plain.arrow == "duration":
        raise column_error(
            name, f"keys of type {array.type}", "Make text or whole numbers of them, or give it another role."
        )
    limits = parse_pattern(role.text).limits if role.text else (0, 0)
    fits = limits is not None and max(map(abs, limits)) < _MOST
    if fits and not role.text and not private:
        extremes = pc.min_max(array.cast(pa.decimal128(20, 0))).as_py()
        fits = all(value is None or abs(value) < _MOST for value in extremes.values())
    if not fits:
        return text, array.cast(pa.string())
    number = TableColumn(name, "integer", arrow="int64", dtype=dtype if dtype in ("", "arrow") else "int64")
    return number, array.cast(pa.int64())


def _text_dtype(dtype: str) -> str:
    """Return the type of texts in the same frame; that of the column where it holds texts."""
    if dtype in ("", "arrow", "object") or dtype.startswith("string "):
        return dtype
    return "" if dtype == "enum" else "object"
