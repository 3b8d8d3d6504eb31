"""Types of columns: which texts of a field are values of a type, and what the value is called in Avro, Arrow and JSON.

| kind             | text that fits                                    | value    | Avro                  | Arrow             |
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

A timestamp without an offset is taken as UTC. Where a type is nullable an empty text is null. Whatever fits gives back an
equal value when it is read from any format (`float` as near as 32 bits come).
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

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_PLAIN = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.([0-9]{1,6}))?)?)(Z|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)
_BITS = {"int": 31, "long": 63}
_LARGEST_FLOAT = 3.4028235e38


@dataclass(frozen=True)
class ColumnType:
    """A type.

    Attributes:
        kind: a word of the table above.
        nullable: an empty text is null.
        precision, scale: digits of a decimal, and how many of them stand after the point.
        unit: 'ms' or 'us', for timestamps.
        symbols: the values of an enum.
    """

    kind: str = "string"
    nullable: bool = False
    precision: int = 0
    scale: int = 0
    unit: str = "us"
    symbols: tuple[str, ...] = ()

    def parse(self, text: str) -> Any:
        """The value of a text.

        Raises:
            ValueError: the text is no value of this type; the message says what it should be, and does not quote it.

        Example:
            >>> ColumnType("decimal", precision=5, scale=2).parse("9.5"), ColumnType("long", nullable=True).parse("")
            (Decimal('9.5'), None)
        """
        if self.nullable and text == "":
            return None
        return _PARSERS[self.kind](self, text)

    @property
    def is_number(self) -> bool:
        """Its values can be compared with a number."""
        return self.kind in ("int", "long", "float", "double", "decimal")

    @property
    def avro(self) -> Any:
        """The type in an Avro schema."""
        plain: Any = self.kind
        if self.kind == "decimal":
            plain = {"type": "bytes", "logicalType": "decimal", "precision": self.precision, "scale": self.scale}
        elif self.kind == "date":
            plain = {"type": "int", "logicalType": "date"}
        elif self.kind in ("timestamp", "local_timestamp"):
            unit = {"ms": "millis", "us": "micros"}[self.unit]
            plain = {"type": "long", "logicalType": f"{self.kind.replace('_', '-')}-{unit}"}
        return ["null", plain] if self.nullable else plain

    @property
    def arrow(self) -> pa.DataType:
        """The type in Arrow and Parquet."""
        import pyarrow as pa

        if self.kind == "decimal":
            return pa.decimal128(self.precision, self.scale)
        if self.kind == "timestamp":
            return pa.timestamp(self.unit, tz="UTC")
        if self.kind == "local_timestamp":
            return pa.timestamp(self.unit)
        names = {"int": "int32", "long": "int64", "float": "float32", "double": "float64", "boolean": "bool_"}
        return getattr(pa, {**names, "date": "date32"}.get(self.kind, "string"))()


def json_value(value: Any) -> str | int | float | bool | None:
    """What JSON says for a value; decimals are kept as text here, since a JSON library would round them.

    Example:
        >>> json_value(date(2016, 10, 31)), json_value(None), json_value(True)
        ('2016-10-31', None, True)
    """
    if isinstance(value, datetime | date):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else value


def _whole(kind: ColumnType, text: str) -> int:
    limit = 1 << _BITS[kind.kind]
    if _WHOLE.fullmatch(text) is None or not -limit <= int(text) < limit:
        raise ValueError(f"not a whole number of {_BITS[kind.kind] + 1} bits")
    return int(text)


def _floating(kind: ColumnType, text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) is not None else math.nan
    if not math.isfinite(value) or (kind.kind == "float" and abs(value) > _LARGEST_FLOAT):
        raise ValueError(f"not a number that a {kind.kind} can hold")
    return value


def _boolean(kind: ColumnType, text: str) -> bool:
    value = {"true": True, "false": False}.get(text.lower())
    if value is None:
        raise ValueError("neither true nor false")
    return value


def _decimal(kind: ColumnType, text: str) -> Decimal:
    if _PLAIN.fullmatch(text) is not None:
        whole, _, fraction = text.lstrip("+-").partition(".")
        if len(fraction) <= kind.scale and len(whole.lstrip("0")) <= kind.precision - kind.scale:
            return Decimal(text)
    raise ValueError(
        f"not a number of at most {kind.precision - kind.scale} digits before the point and {kind.scale} after"
    )


def _date(kind: ColumnType, text: str) -> date:
    if _DATE.fullmatch(text) is None:
        raise ValueError("not a date such as 2016-10-31")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("not a day of the calendar") from None


def _timestamp(kind: ColumnType, text: str) -> datetime:
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise ValueError("not a point in time such as 2016-10-31 12:34:56")
    day, clock, fraction, offset = found.groups()
    if kind.unit == "ms" and fraction is not None and len(fraction) > 3:
        raise ValueError("more digits of a second than milliseconds have")
    if offset is not None and kind.kind == "local_timestamp":
        raise ValueError("a local point in time has no offset")
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{offset or ''}")
        if kind.kind == "local_timestamp":
            return moment
        return moment.replace(tzinfo=UTC) if offset is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("not a point in time of the calendar") from None


def _enum(kind: ColumnType, text: str) -> str:
    if text not in kind.symbols:
        raise ValueError("not a symbol of the enum")
    return text


_PARSERS = {
    "string": lambda kind, text: text,
    "int": _whole,
    "long": _whole,
    "float": _floating,
    "double": _floating,
    "boolean": _boolean,
    "decimal": _decimal,
    "date": _date,
    "timestamp": _timestamp,
    "local_timestamp": _timestamp,
    "enum": _enum,
}
STRING = ColumnType()
