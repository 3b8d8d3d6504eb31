"""Types of columns: which texts are values of a type, and how a value is represented in Avro, Arrow and JSON.

| type name        | text that fits                                    | value    | Avro                  | Arrow             |
|------------------|---------------------------------------------------|----------|-----------------------|-------------------|
| string           | any                                               | str      | string                | string            |
| int, long        | whole number of 32, 64 bits                       | int      | int, long             | int32, int64      |
| float, double    | number                                            | float    | float, double         | float32, float64  |
| boolean          | true, false (any case)                            | bool     | boolean               | bool              |
| decimal          | number of at most `scale` digits after the point  | Decimal  | bytes, decimal        | decimal128        |
| date             | 2016-10-31                                        | date     | int, date             | date32            |
| timestamp        | 2016-10-31 12:34:56.789, T and an offset allowed  | datetime | long, timestamp-*     | timestamp, UTC    |
| local_timestamp  | the same without an offset                        | datetime | long, local-timestamp-* | timestamp       |
| enum             | one of `symbols`                                  | str      | enum                  | string            |

A timestamp without an offset is taken as UTC. If a type is nullable, an empty text is null. A value that fits is read back
from any format as an equal value (`float` with the precision of 32 bits). Inference (`linesmith.records.output.spellings`),
validation and writers call the same `ColumnType.parse`, so that they cannot disagree about a text.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIMESTAMP = re.compile(
    # The ranges are checked here: versions of Python differ in whether they read 24:00 and an offset of +10:60.
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.([0-9]{1,6}))?)?)"
    r"(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?",
    re.ASCII,
)
_BITS = {"int": 31, "long": 63}
_LARGEST_FLOAT = 3.4028235e38


@dataclass(frozen=True)
class ColumnType:
    """A type of a column.

    Attributes:
        type_name: a name of the table above.
        nullable: an empty text is null.
        precision: digits of a decimal.
        scale: how many of them are after the point.
        unit: 'ms' or 'us', for timestamps.
        symbols: the values of an enum.
    """

    type_name: str = "string"
    nullable: bool = False
    precision: int = 0
    scale: int = 0
    unit: str = "us"
    symbols: tuple[str, ...] = ()

    def parse(self, text: str) -> Any:
        """Return the value of a text.

        Raises:
            ValueError: the text is not a value of this type. The message says what is expected, and does not quote the text.

        Example:
            >>> ColumnType("decimal", precision=5, scale=2).parse("9.5"), ColumnType("long", nullable=True).parse("")
            (Decimal('9.5'), None)
        """
        if self.nullable and text == "":
            return None
        return _PARSERS[self.type_name](self, text)

    @property
    def is_number(self) -> bool:
        """Whether its values can be compared with a number."""
        return self.type_name in ("int", "long", "float", "double", "decimal")

    @property
    def avro(self) -> Any:
        """The type in an Avro schema."""
        plain: Any = self.type_name
        if self.type_name == "decimal":
            plain = {"type": "bytes", "logicalType": "decimal", "precision": self.precision, "scale": self.scale}
        elif self.type_name == "date":
            plain = {"type": "int", "logicalType": "date"}
        elif self.type_name in ("timestamp", "local_timestamp"):
            unit = {"ms": "millis", "us": "micros"}[self.unit]
            plain = {"type": "long", "logicalType": f"{self.type_name.replace('_', '-')}-{unit}"}
        return ["null", plain] if self.nullable else plain

    @property
    def arrow(self) -> pa.DataType:
        """The type in Arrow and Parquet."""
        import pyarrow as pa

        if self.type_name == "decimal":
            return pa.decimal128(self.precision, self.scale)
        if self.type_name == "timestamp":
            return pa.timestamp(self.unit, tz="UTC")
        if self.type_name == "local_timestamp":
            return pa.timestamp(self.unit)
        arrow_names = {"int": "int32", "long": "int64", "float": "float32", "double": "float64", "boolean": "bool_"}
        return getattr(pa, {**arrow_names, "date": "date32"}.get(self.type_name, "string"))()


def json_value(value: Any) -> str | int | float | bool | None:
    """Return a value in the form that JSON can hold. Decimals become text, since a JSON library would round them.

    Example:
        >>> json_value(date(2016, 10, 31)), json_value(None), json_value(True)
        ('2016-10-31', None, True)
    """
    if isinstance(value, datetime | date):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else value


def _parse_integer(column_type: ColumnType, text: str) -> int:
    limit = 1 << _BITS[column_type.type_name]
    if _INTEGER.fullmatch(text) is None or not -limit <= int(text) < limit:
        raise ValueError(f"not a whole number of {_BITS[column_type.type_name] + 1} bits")
    return int(text)


def _parse_float(column_type: ColumnType, text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) is not None else math.nan
    if not math.isfinite(value) or (column_type.type_name == "float" and abs(value) > _LARGEST_FLOAT):
        raise ValueError(f"not a number that a {column_type.type_name} can hold")
    return value


def _parse_boolean(column_type: ColumnType, text: str) -> bool:
    value = {"true": True, "false": False}.get(text.lower())
    if value is None:
        raise ValueError("neither true nor false")
    return value


def _parse_decimal(column_type: ColumnType, text: str) -> Decimal:
    if _DECIMAL.fullmatch(text) is not None:
        whole, _, fraction = text.lstrip("+-").partition(".")
        if len(fraction) <= column_type.scale and len(whole.lstrip("0")) <= column_type.precision - column_type.scale:
            value = Decimal(text)
            return value if value else abs(value)  # no format but text keeps the sign of zero
    before = column_type.precision - column_type.scale
    raise ValueError(f"not a number of at most {before} digits before the point and {column_type.scale} after")


def parse_date(text: str) -> date:
    """Return the date of a text such as 2016-10-31.

    Raises:
        ValueError: it is none. The message does not quote it.

    Example:
        >>> parse_date("2024-02-29")
        datetime.date(2024, 2, 29)
    """
    if _DATE.fullmatch(text) is None:
        raise ValueError("not a date such as 2016-10-31")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("not a day of the calendar") from None


def _parse_date(column_type: ColumnType, text: str) -> date:
    return parse_date(text)


def _parse_timestamp(column_type: ColumnType, text: str) -> datetime:
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("not a point in time such as 2016-10-31 12:34:56")
    day, clock, fraction, offset = match.groups()
    if column_type.unit == "ms" and fraction is not None and len(fraction) > 3:
        raise ValueError("more digits of a second than milliseconds have")
    if offset is not None and column_type.type_name == "local_timestamp":
        raise ValueError("a local point in time has no offset")
    try:
        timestamp = datetime.fromisoformat(f"{day}T{clock}{offset or ''}")
        if column_type.type_name == "local_timestamp":
            return timestamp
        return timestamp.replace(tzinfo=UTC) if offset is None else timestamp.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("not a point in time of the calendar") from None


def _parse_enum(column_type: ColumnType, text: str) -> str:
    if text not in column_type.symbols:
        raise ValueError("not a symbol of the enum")
    return text


_PARSERS = {
    "string": lambda column_type, text: text,
    "int": _parse_integer,
    "long": _parse_integer,
    "float": _parse_float,
    "double": _parse_float,
    "boolean": _parse_boolean,
    "decimal": _parse_decimal,
    "date": _parse_date,
    "timestamp": _parse_timestamp,
    "local_timestamp": _parse_timestamp,
    "enum": _parse_enum,
}
STRING = ColumnType()
