"""Texts for comparison: equal values have equal texts, whichever format they were read from.

A comparison of records must not depend on spelling: `5249.10` in a text file, the decimal 5249.10 of Parquet and the number
5249.1 of a JSON file are one value. A column's kind says what its values are; every reader of evaluation sets writes a value in
the spelling of the column's kind, which is that of the training records where these have one in common. What is not a value of
the kind keeps its text, and a column without a kind is text: there `3.10` and `3.1` differ.

| kind    | values                                                              | without a spelling in common            |
|---------|---------------------------------------------------------------------|-----------------------------------------|
| number  | numbers, exact, or as a float of 32 or 64 bits where a file has one | plain notation without trailing zeros   |
| boolean | true, false                                                         | true, false                             |
| date    | days                                                                | 2016-10-31                              |
| time    | points in time; UTC where there is no offset                        | 2016-10-31 12:34:56.5, Z if it has one  |
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from linesmith.records.fields import FIELD_BREAK
from linesmith.records.input.value_text import plain_text
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.spellings import MAX_PRECISION, spelled_type, spelling, write_timestamp

NUMBER, BOOLEAN, DATE, TIME = "number", "boolean", "date", "time"
_BREAK_INSIDE = "\u2028"  # replaces a line end inside a value of a typed file
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,3})?", re.ASCII)
_TIMESTAMP_TYPE, _DATE_TYPE = ColumnType("timestamp"), ColumnType("date")
_FLOAT_BITS = {"float": 32, "double": 64}
_KINDS = {"boolean": BOOLEAN, "date": DATE, "timestamp": TIME, "local_timestamp": TIME}
_KINDS |= dict.fromkeys(("int", "long", "float", "double", "decimal"), NUMBER)


@dataclass(frozen=True)
class ComparisonKind:
    """What the values of a column are, and how they are written for comparison.

    Attributes:
        name: NUMBER, BOOLEAN, DATE or TIME.
        spelling: name of a spelling (`linesmith.records.output.spellings`) in which values are written where that keeps them;
            None: see the table above.
        bits: 32 or 64 if numbers are compared as such floats; 0: exactly.
        offset: points in time have an offset, so that they are written with a Z.

    Example:
        >>> kind = ComparisonKind(NUMBER, "decimal:2")
        >>> [kind.text(value) for value in ("5249.1", Decimal("5249.10"), 5249.1, "x", None)]
        ['5249.10', '5249.10', '5249.10', 'x', '']
    """

    name: str
    spelling: str | None = None
    bits: int = 0
    offset: bool = False

    def text(self, value: Any) -> str:
        """Return the text of a value, typed or text."""
        if value is None or value == "":
            return ""
        found = _WRITERS[self.name](self, value)
        return value_text(value) if found is None else found


def value_text(value: Any) -> str:
    """Return a value of a typed record as one field of a record of evaluation, where the kind of its column is not known.

    Example:
        >>> value_text("a\\nb") == "a\\u2028b"
        True
    """
    return plain_text(value).replace(FIELD_BREAK, _BREAK_INSIDE)


def kind_of_type(column_type: ColumnType) -> ComparisonKind | None:
    """Return the kind of a column that a typed file declares; None for text."""
    name = _KINDS.get(column_type.type_name)
    if name is None:
        return None
    if name != NUMBER:
        return ComparisonKind(name, offset=column_type.type_name == "timestamp")
    found: str | None = {"int": "long", "float": "double"}.get(column_type.type_name, column_type.type_name)
    if column_type.type_name == "decimal":  # Arrow has scales below 0, too
        found = f"decimal:{column_type.scale}" if 0 <= column_type.scale <= MAX_PRECISION else None
    return ComparisonKind(NUMBER, found, _FLOAT_BITS.get(column_type.type_name, 0))


def kind_of_spellings(spellings: Iterable[str]) -> ComparisonKind | None:
    """Return the kind of a column whose texts have these spellings in common; None for text."""
    names = sorted(spellings)
    column_type = spelled_type(names, 0)
    if column_type is None:
        return None
    found = next(name for name in names if spelling(name).column_type.type_name == column_type.type_name)
    bits = _FLOAT_BITS.get(column_type.type_name, 0)
    return ComparisonKind(_KINDS[column_type.type_name], found, bits, column_type.type_name == "timestamp")


def common_kind(kinds: Sequence[ComparisonKind | None]) -> ComparisonKind | None:
    """Return the kind in which a column is compared.

    Args:
        kinds: of the column in each set, the training set first, whose spelling counts; None where a set has text.

    Returns:
        The kind; None where the sets have kinds that cannot be compared: then texts are.
    """
    known = [kind for kind in kinds if kind is not None]
    names = {kind.name for kind in known}
    if names == {DATE, TIME}:
        return ComparisonKind(TIME, offset=any(kind.offset for kind in known))
    if len(names) != 1:
        return None
    bits = min((kind.bits for kind in known if kind.bits), default=0)
    found = next((kind.spelling for kind in known if kind.spelling is not None), None)
    return ComparisonKind(names.pop(), found, bits, any(kind.offset for kind in known))


def _number_text(kind: ComparisonKind, value: Any) -> str | None:
    exact = _exact_number(value)
    if exact is None:
        return None
    if kind.bits:
        with np.errstate(over="ignore"):
            rounded = np.float32(exact) if kind.bits == 32 else np.float64(exact)
        if not np.isfinite(rounded):
            return None
        exact = Decimal(str(rounded))
    if exact.is_zero():
        exact = abs(exact)
    plain = f"{exact:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    if kind.spelling is None or kind.spelling == "long":
        return plain
    if kind.spelling == "double":
        shortest = str(np.float32(exact)) if kind.bits == 32 else repr(float(exact))
        return shortest if math.isfinite(float(shortest)) and Decimal(shortest) == exact else plain
    scale = int(kind.spelling.partition(":")[2])
    return f"{exact:.{scale}f}" if len(plain.partition(".")[2]) <= scale else plain


def _exact_number(value: Any) -> Decimal | None:
    """Return the number that a value or its text is; None if it is none, or is too large to be written out."""
    if isinstance(value, str):
        exact = Decimal(value) if _NUMBER.fullmatch(value) is not None else None
    elif isinstance(value, Decimal):
        exact = value
    elif isinstance(value, bool) or not isinstance(value, int | float):
        exact = None
    else:
        exact = Decimal(value) if isinstance(value, int) else Decimal(repr(float(value)))
    if exact is None or not exact.is_finite() or (exact and abs(exact.adjusted()) > 400):
        return None
    return exact


def _boolean_text(kind: ComparisonKind, value: Any) -> str | None:
    text = value_text(value).lower()
    return text if text in ("true", "false") else None


def _date_text(kind: ComparisonKind, value: Any) -> str | None:
    if isinstance(value, datetime):
        return None
    return value.isoformat() if isinstance(value, date) else None


def _time_text(kind: ComparisonKind, value: Any) -> str | None:
    moment = _moment(value)
    if moment is None:
        return None
    suffix = "Z" if kind.offset else ""
    separator = " "
    if kind.spelling is not None:
        separator, digits, suffix = kind.spelling.removeprefix("timestamp:").split(":", 2)
        text = write_timestamp(moment, separator, digits, suffix)
        if _moment(text) == moment:
            return text
    return moment.replace(tzinfo=None).isoformat(separator) + suffix


def _moment(value: Any) -> datetime | None:
    """Return the point in time that a value or its text is, in UTC; a day is its beginning."""
    if isinstance(value, str):
        for column_type in (_TIMESTAMP_TYPE, _DATE_TYPE):
            try:
                value = column_type.parse(value)
                break
            except ValueError:
                continue
    if isinstance(value, datetime):
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            return None
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


_WRITERS = {NUMBER: _number_text, BOOLEAN: _boolean_text, DATE: _date_text, TIME: _time_text}
