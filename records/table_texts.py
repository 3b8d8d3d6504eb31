"""Texts of the values of a table's columns, and back: a function each way for every kind of `linesmith.records.table_columns`."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from linesmith.core.parsing import DocumentError, parse_json
from linesmith.records.output.column_types import parse_date

if TYPE_CHECKING:
    from linesmith.records.table_columns import TableColumn

UNIT_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}  # digits of a second that a unit stands for
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_UNESCAPES = {escape: character for character, escape in _ESCAPES.items()}
NO_CHARACTERS = "\\e"
_TO_ESCAPE = re.compile(r"[\\\n\r]")
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?|nan|[+-]?inf", re.ASCII)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,76}(?:\.([0-9]{1,76}))?", re.ASCII)
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?", re.ASCII)
_LARGEST = {32: 3.4028235e38, 64: float(np.finfo(np.float64).max)}  # 32 bits: as their shortest digits
_EPOCH = date(1970, 1, 1).toordinal()
_DAY = 86_400


def integer_range(bits: int, signed: bool) -> tuple[int, int]:
    """Return the smallest and the largest integer of a width."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def escape_text(text: str) -> str:
    r"""Return a text without line ends, from which `unescape_text` restores it; no text becomes the empty one.

    Example:
        >>> print(escape_text("a\nb\\c"), escape_text(""))
        a\nb\\c \e
    """
    return _TO_ESCAPE.sub(lambda match: _ESCAPES[match[0]], text) if text else NO_CHARACTERS


def unescape_text(text: str) -> str:
    """Return the text that `escape_text` was given.

    Raises:
        ValueError: it returns no such text.
    """
    if text == NO_CHARACTERS:
        return ""
    if not text or any(end in text for end in "\n\r"):
        raise ValueError("an empty text or a line end, which are written as escapes")
    return _ESCAPED.sub(_unescaped, text) if "\\" in text else text


def _unescaped(match: re.Match[str]) -> str:
    try:
        return _UNESCAPES[match[0]]
    except KeyError:
        raise ValueError("a backslash that begins no escape") from None


def _encode_text(column: TableColumn, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return escape_text(value)


def _encode_integer(column: TableColumn, value: Any) -> str:
    least, most = integer_range(column.bits, column.signed)
    if value != int(value) or not least <= value <= most:
        raise ValueError("outside the range of the column")
    return str(int(value))


def _decode_integer(column: TableColumn, text: str) -> int:
    least, most = integer_range(column.bits, column.signed)
    if _INTEGER.fullmatch(text) is None or not least <= int(text) <= most:
        raise ValueError("not a whole number in the range of the column")
    return int(text)


def _encode_float(column: TableColumn, value: Any) -> str:
    # The shortest digits of 32 bits are fewer than those of the same number in 64.
    return repr(float(str(np.float32(value)) if column.bits == 32 else value))


def _decode_float(column: TableColumn, text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("not a number")
    value = float(text)
    if abs(value) > _LARGEST[column.bits] and not text.endswith("inf"):
        raise ValueError("a number beyond the type")
    return value


def _encode_boolean(column: TableColumn, value: Any) -> str:
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return "true" if value else "false"


def _decode_boolean(column: TableColumn, text: str) -> bool:
    value = {"true": True, "false": False}.get(text.lower())
    if value is None:
        raise ValueError("neither true nor false")
    return value


def _encode_decimal(column: TableColumn, value: Any) -> str:
    number = value if isinstance(value, Decimal) else Decimal(str(value))
    if not number.is_finite():
        raise ValueError("not a finite number")
    text = format(number, "f")
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(column.scale, "0")
    if len(fraction) > column.scale or len(whole.lstrip("-0")) > column.precision - column.scale:
        raise ValueError("a number with more digits than the column has")
    plain = f"{whole}.{fraction}" if column.scale else whole
    return plain.lstrip("-") if not number else plain  # no column of decimals keeps the sign of zero


def _decode_decimal(column: TableColumn, text: str) -> Decimal:
    match = _DECIMAL.fullmatch(text)
    whole = text.lstrip("+-").partition(".")[0].lstrip("0")
    if match is None or len(match[1] or "") > column.scale or len(whole) > column.precision - column.scale:
        raise ValueError("not a number with the digits of the column")
    value = Decimal(text)
    return value if value else abs(value)


def _encode_date(column: TableColumn, value: Any) -> str:
    return date(value.year, value.month, value.day).isoformat()


def _decode_date(column: TableColumn, text: str) -> date:
    return parse_date(text)


def _clock_text(column: TableColumn, ticks: int) -> str:
    """Return the text of a number of units since midnight."""
    unit_digits, digits = UNIT_DIGITS[column.unit], column.digits or 0
    seconds, fraction = divmod(ticks, 10**unit_digits)
    dropped = 10 ** (unit_digits - digits)
    if fraction % dropped:
        raise ValueError("more digits of a second than the column has")
    tail = f".{fraction // dropped:0{digits}d}" if digits else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{tail}"


def _clock_ticks(column: TableColumn, text: str) -> int:
    """Return the number of units since midnight."""
    match = _TIME.fullmatch(text)
    unit_digits = UNIT_DIGITS[column.unit]
    if match is None or len((match[4] or "").rstrip("0")) > unit_digits:
        raise ValueError("not a time such as 12:34:56 with the digits of the column")
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
    return seconds * 10**unit_digits + int((match[4] or "").ljust(9, "0")[:unit_digits] or "0")


def _encode_time(column: TableColumn, value: Any) -> str:
    if not 0 <= value < _DAY * 10 ** UNIT_DIGITS[column.unit]:
        raise ValueError("not a time of a day")
    return _clock_text(column, int(value))


def _encode_timestamp(column: TableColumn, value: Any) -> str:
    days, ticks = divmod(int(value), _DAY * 10 ** UNIT_DIGITS[column.unit])
    try:
        day = date.fromordinal(_EPOCH + days).isoformat()
    except (ValueError, OverflowError):
        raise ValueError("a point in time outside the years 1 to 9999") from None
    if column.digits is None:
        if ticks:
            raise ValueError("not a midnight, as all times of the column are")
        return day
    return f"{day}T{_clock_text(column, ticks)}{'Z' if column.zoned else ''}"


def _decode_timestamp(column: TableColumn, text: str) -> int:
    day, _, clock = text.partition("T")
    ticks = 0
    if column.digits is not None:
        if clock.endswith("Z") != column.zoned:
            raise ValueError("not a point in time as the column has them")
        ticks = _clock_ticks(column, clock.removesuffix("Z"))
    elif "T" in text:
        raise ValueError("not a date such as 2016-10-31")
    value = (_decode_date(column, day).toordinal() - _EPOCH) * _DAY * 10 ** UNIT_DIGITS[column.unit] + ticks
    if not -(1 << 63) < value < 1 << 63:
        raise ValueError("a point in time that the column cannot hold")
    return value


def _encode_binary(column: TableColumn, value: Any) -> str:
    return base64.b64encode(value).decode("ascii") if value else NO_CHARACTERS


def _decode_binary(column: TableColumn, text: str) -> bytes:
    if text == NO_CHARACTERS:
        value = b""
    else:
        try:
            value = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("not base64") from None
        if not value or base64.b64encode(value).decode("ascii") != text:
            raise ValueError("not base64 as it is written")
    size = column.arrow.partition("fixed_size_binary ")[2]
    if size and len(value) != int(size):
        raise ValueError("not as many bytes as the column has")
    return value


def _encode_number(column: TableColumn, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return str(value) if isinstance(value, int) else repr(value)


def _decode_number(column: TableColumn, text: str) -> int | float:
    if _INTEGER.fullmatch(text) is not None and -(1 << 63) <= int(text) < 1 << 63:
        return int(text)
    value = _decode_float(column, text)
    if not np.isfinite(value):
        raise ValueError("not a finite number")
    return value


def _encode_json(column: TableColumn, value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _decode_json(column: TableColumn, text: str) -> Any:
    try:
        return parse_json(text)
    except DocumentError:
        raise ValueError("not a value of JSON") from None


def _no_value(column: TableColumn, value: Any) -> Any:
    raise ValueError("the column holds no values")


ENCODERS: dict[str, Callable[[TableColumn, Any], str]] = {
    "text": _encode_text,
    "integer": _encode_integer,
    "float": _encode_float,
    "boolean": _encode_boolean,
    "decimal": _encode_decimal,
    "date": _encode_date,
    "time": _encode_time,
    "timestamp": _encode_timestamp,
    "binary": _encode_binary,
    "number": _encode_number,
    "json": _encode_json,
    "null": _no_value,
}
DECODERS: dict[str, Callable[[TableColumn, str], Any]] = {
    "text": lambda column, text: unescape_text(text),
    "integer": _decode_integer,
    "float": _decode_float,
    "boolean": _decode_boolean,
    "decimal": _decode_decimal,
    "date": _decode_date,
    "time": _clock_ticks,
    "timestamp": _decode_timestamp,
    "binary": _decode_binary,
    "number": _decode_number,
    "json": _decode_json,
    "null": _no_value,
}
