"""Records as rows with a Beam schema: names, types and values of the columns."""

from __future__ import annotations

import datetime as dt
import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Optional

import apache_beam as beam
import numpy as np
from apache_beam.typehints.row_type import RowTypeConstraint
from apache_beam.utils.timestamp import Timestamp

from linesmith.records.output.avro_names import unique_names
from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from linesmith.records.output.source_output import source_tables
from linesmith.records.output.writers import parquet_schema

if TYPE_CHECKING:
    import pyarrow as pa

RowValues = Literal["portable", "logical", "python"]
ROW_VALUES: tuple[RowValues, ...] = ("portable", "logical", "python")
_TABLE_ROWS = 4096


@dataclass(frozen=True)
class RowFormat:
    """How records become rows.

    Attributes:
        layout: names and types of the columns.
        values: portable: rows of types that every sink and every language of Beam takes, with dates, times and decimals as text;
            logical: rows with Beam's types for dates, instants and decimals; python: dictionaries of Python's own values, which
            sinks take that are given a schema.
        index_column: name of a further column with the number of the record; None: there is none.
    """

    layout: RecordLayout
    values: RowValues = "portable"
    index_column: str | None = None

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The columns with their types in Arrow; points in time are in microseconds."""
        import pyarrow as pa

        schema = parquet_schema(self.layout, microseconds=True)
        if self.index_column is not None:
            schema = schema.append(pa.field(self.index_column, pa.int64(), False))
        return schema

    @cached_property
    def element_type(self) -> Any:
        """The type of the elements, with the schema."""
        if self.values == "python":
            return dict[str, Any]
        return _row_type(self.arrow_schema, self.values == "logical")

    def rows(self, records: Sequence[tuple[int, GeneratedRecord]]) -> Iterator[Any]:
        """Yield the rows of records.

        Args:
            records: with their numbers.
        """
        rows: Iterable[dict[str, Any]] = self._python_rows([record for _, record in records])
        if self.index_column is not None:
            rows = (row | {self.index_column: index} for row, (index, _) in zip(rows, records, strict=True))
        if self.values == "python":
            yield from rows
            return
        yield from (beam.Row(**self._converter.values(row)) for row in rows)

    @cached_property
    def _converter(self) -> _Converter:
        return _Converter(self.arrow_schema, self.values == "logical")

    def _python_rows(self, records: Sequence[GeneratedRecord]) -> Iterator[dict[str, Any]]:
        layout = self.layout
        if layout.source_table is None:
            names = layout.names
            for record in records:
                yield dict(zip(names, layout.values(record), strict=True))
            return
        schema = parquet_schema(layout, microseconds=True)
        for table in source_tables(records, layout, layout.source_table, schema, _TABLE_ROWS):
            yield from table.to_pylist()


def field_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of columns as names of fields, which have to be identifiers of Python and must not begin with `_`.

    Example:
        >>> field_names(["start time", "class", "2nd", "_id", "start_time", "é"])
        ('start_time', 'class_', 'f_2nd', 'id', 'start_time_2', 'f_5')
    """
    return unique_names([_field_name(name, number) for number, name in enumerate(names)])


def _field_name(name: str, number: int) -> str:
    allowed = re.sub(r"[^A-Za-z0-9_]", "_", name).lstrip("_")
    if not allowed:
        return f"f_{number}"
    if allowed[0].isdigit():
        return f"f_{allowed}"
    return f"{allowed}_" if keyword.iskeyword(allowed) else allowed


def _row_type(fields: Iterable[pa.Field], logical: bool) -> RowTypeConstraint:
    fields = list(fields)
    names = field_names(field.name for field in fields)
    types = [_optional(field.nullable, _beam_type(field.type, logical)) for field in fields]
    return RowTypeConstraint.from_fields(list(zip(names, types, strict=True)))


def _optional(nullable: bool, plain: Any) -> Any:
    return Optional[plain] if nullable else plain  # noqa: UP045 - Beam's constraints have no operator |


def _beam_type(arrow: pa.DataType, logical: bool) -> Any:
    """Return the type of a column's values, without None."""
    from pyarrow import types

    if types.is_struct(arrow):
        return _row_type(arrow, logical)
    if types.is_dictionary(arrow):
        return _beam_type(arrow.value_type, logical)
    if hasattr(arrow, "value_field"):  # a list of any kind
        item = _optional(arrow.value_field.nullable, _beam_type(arrow.value_type, logical))
        return Sequence[item]  # type: ignore[valid-type]
    if logical and _logical_type(arrow) is not None:
        return _logical_type(arrow)
    return next((found for test, found in _plain_types() if test(arrow)), str)


def _plain_types() -> list[tuple[Callable[[pa.DataType], bool], type]]:
    """Return tests of Arrow types with the types of their values; those that none is for are written as text."""
    from pyarrow import types

    return [
        (types.is_boolean, bool),
        (types.is_int64, np.int64),
        (types.is_uint32, np.int64),
        (types.is_uint64, str),
        (types.is_integer, np.int32),
        (types.is_float64, np.float64),
        (types.is_floating, np.float32),
        (types.is_duration, np.int64),
        (types.is_binary, bytes),
        (types.is_large_binary, bytes),
        (types.is_fixed_size_binary, bytes),
    ]


def _logical_type(arrow: pa.DataType) -> type | None:
    """Return Beam's own type for dates, points in time and decimals; None for other types, and where Beam has none."""
    from pyarrow import types

    if types.is_decimal(arrow):
        return Decimal
    if types.is_date(arrow):
        return dt.date
    return Timestamp if types.is_timestamp(arrow) and arrow.tz is not None else None


class _Converter:
    """Converter of Python's values to those of a row.

    Args:
        fields: of the row, with their types in Arrow.
        logical: as for `RowFormat.values`.
    """

    def __init__(self, fields: Iterable[pa.Field], logical: bool) -> None:
        fields = list(fields)
        self._names = list(zip((field.name for field in fields), field_names(f.name for f in fields), strict=True))
        self._logical = logical
        self._texts = {field.name for field in fields if _leaf_type(field.type) is str}
        self._structs = {field.name: found for field in fields if (found := _struct_of(field.type, logical))}

    def values(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the values of a row by field; what it lacks is None."""
        return {field: self._value(name, row.get(name)) for name, field in self._names}

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, dict):
            # Beam turns rows into Arrow by its own way only at the top; inside, Arrow takes tuples.
            struct, make = self._structs[name]
            return make(**struct.values(value))
        if isinstance(value, list):
            return [self._value(name, item) for item in value]
        value = self._scalar(value)
        return str(value) if name in self._texts and value is not None else value

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, dt.datetime):
            if self._logical and value.tzinfo is not None:
                return Timestamp.from_utc_datetime(value.astimezone(dt.UTC))
            return value.isoformat()
        if isinstance(value, Decimal):
            return value if self._logical else format(value, "f")
        if isinstance(value, dt.date):
            return value if self._logical else value.isoformat()
        if isinstance(value, dt.timedelta):
            return value // dt.timedelta(microseconds=1)
        return value.isoformat() if isinstance(value, dt.time) else value


def _leaf_type(arrow: pa.DataType) -> Any:
    """Return the plain type of a column's values, or of the items of its lists."""
    inner = getattr(arrow, "value_type", None)
    return _beam_type(arrow, True) if inner is None or hasattr(arrow, "index_type") else _leaf_type(inner)


def _struct_of(arrow: pa.DataType, logical: bool) -> tuple[_Converter, Callable[..., Any]] | None:
    """Return the converter of the structs of a column, in a list or not, and their named tuple; None where there are none."""
    from pyarrow import types

    if types.is_struct(arrow):
        return _Converter(arrow, logical), _row_type(arrow, logical).user_type
    return _struct_of(arrow.value_type, logical) if hasattr(arrow, "value_type") else None
