"""What a rule may ask of one text: type, range, enum, length, regex. Each builder checks its argument and gives a test.

A builder raises ValueError where its argument cannot be meant; a test returns None, or what is wrong with the text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linesmith.records.output.column_types import ColumnType
from linesmith.records.validation.expressions import as_number

_TYPES = {
    "integer": ColumnType("long"),
    "number": ColumnType("double"),
    "boolean": ColumnType("boolean"),
    "date": ColumnType("date"),
    "timestamp": ColumnType("timestamp"),
}

Test = Callable[[str], str | None]


def _type(kind: Any) -> Test:
    if kind not in _TYPES:
        raise ValueError(f"type is one of {', '.join(_TYPES)}")
    expected = _TYPES[kind]

    def test(value: str) -> str | None:
        try:
            expected.parse(value)
        except ValueError as error:
            return str(error)
        return None

    return test


def _range(ends: Any) -> Test:
    if not isinstance(ends, list) or len(ends) != 2 or ends == [None, None]:
        raise ValueError("range is a list of the least and the greatest value; null leaves an end open")
    if all(end is None or (isinstance(end, int | float) and not isinstance(end, bool)) for end in ends):
        return _between(ends, as_number)
    if not all(end is None or isinstance(end, str) for end in ends):
        raise ValueError("both ends of a range are numbers, or both are dates")
    kind = next(
        (
            _TYPES[name]
            for name in ("date", "timestamp")
            if all(end is None or _fits(_TYPES[name], end) for end in ends)
        ),
        None,
    )
    if kind is None:
        raise ValueError("the ends of a range are numbers, dates or points in time")
    return _between([None if end is None else kind.parse(end) for end in ends], kind.parse)


def _between(ends: list[Any], read: Callable[[str], Any]) -> Test:
    least, most = ends

    def test(value: str) -> str | None:
        try:
            found = read(value)
        except ValueError as error:
            return str(error)
        if (least is not None and found < least) or (most is not None and found > most):
            return f"outside {least} to {most}"
        return None

    return test


def _fits(kind: ColumnType, text: str) -> bool:
    try:
        kind.parse(text)
    except ValueError:
        return False
    return True


def _enum(values: Any) -> Test:
    if not isinstance(values, list) or not values:
        raise ValueError("enum is a list of texts")
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
        # YAML reads NO as false and 1.10 as 1.1: what was meant can only be quoted.
        raise ValueError("an enum's values are texts or whole numbers; put others in quotes")
    allowed = {str(value) for value in values}
    return lambda value: None if value in allowed else "not one of the values of the enum"


def _length(ends: Any) -> Test:
    whole = isinstance(ends, list) and all(
        end is None or (isinstance(end, int) and not isinstance(end, bool) and end >= 0) for end in ends
    )
    if not whole or len(ends) != 2 or ends == [None, None]:
        raise ValueError("length is a list of the fewest and the most characters; null leaves an end open")
    least, most = ends[0] or 0, ends[1]

    def test(value: str) -> str | None:
        if len(value) < least or (most is not None and len(value) > most):
            return f"{len(value)} characters"
        return None

    return test


def _regex(pattern: Any) -> Test:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(pattern, str):
        raise ValueError("regex is a text")
    whole = rf"\A(?:{pattern})\z"
    try:
        pc.match_substring_regex(pa.array([""]), whole)
    except pa.ArrowInvalid:
        raise ValueError("regex is not one of RE2 (which has no look-around and no back-references)") from None
    options = pc.MatchSubstringOptions(whole)

    def test(value: str) -> str | None:
        # RE2 takes time in proportion to the text, whatever the pattern is.
        found = pc.call_function("match_substring_regex", [pa.array([value])], options)
        return None if found[0].as_py() else "does not match the regex"

    return test


TESTS: dict[str, Callable[[Any], Test]] = {
    "type": _type,
    "range": _range,
    "enum": _enum,
    "length": _length,
    "regex": _regex,
}
