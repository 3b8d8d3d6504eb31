"""Tests of a single text that a rule can contain: type, range, enum, length, regex.

A builder takes the argument of a rule and returns a test; it raises ValueError if the argument is malformed. A test returns what
is wrong with a text, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linesmith.records.output.column_types import ColumnType
from linesmith.records.validation.expression_values import as_number

_TYPES = {
    "integer": ColumnType("long"),
    "number": ColumnType("double"),
    "boolean": ColumnType("boolean"),
    "date": ColumnType("date"),
    "timestamp": ColumnType("timestamp"),
}

FieldTest = Callable[[str], str | None]


def _type_test(type_name: Any) -> FieldTest:
    if not isinstance(type_name, str) or type_name not in _TYPES:
        raise ValueError(f"type is one of {', '.join(_TYPES)}")
    expected = _TYPES[type_name]

    def test(value: str) -> str | None:
        try:
            expected.parse(value)
        except ValueError as error:
            return str(error)
        return None

    return test


def _range_test(ends: Any) -> FieldTest:
    if not isinstance(ends, list) or len(ends) != 2 or ends == [None, None]:
        raise ValueError("range is a list of the least and the greatest value; null leaves an end open")
    if all(end is None or (isinstance(end, int | float) and not isinstance(end, bool)) for end in ends):
        return _between_test(ends, as_number)
    if not all(end is None or isinstance(end, str) for end in ends):
        raise ValueError("both ends of a range are numbers, or both are dates")
    for column_type in (_TYPES["date"], _TYPES["timestamp"]):
        if all(end is None or _is_value_of(column_type, end) for end in ends):
            return _between_test([None if end is None else column_type.parse(end) for end in ends], column_type.parse)
    raise ValueError("the ends of a range are numbers, dates or points in time")


def _between_test(ends: list[Any], parse: Callable[[str], Any]) -> FieldTest:
    least, most = ends

    def test(value: str) -> str | None:
        try:
            found = parse(value)
        except ValueError as error:
            return str(error)
        if (least is not None and found < least) or (most is not None and found > most):
            return f"outside {least} to {most}"
        return None

    return test


def _is_value_of(column_type: ColumnType, text: str) -> bool:
    try:
        column_type.parse(text)
    except ValueError:
        return False
    return True


def _enum_test(values: Any) -> FieldTest:
    if not isinstance(values, list) or not values:
        raise ValueError("enum is a list of texts")
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
        # YAML reads NO as false and 1.10 as 1.1; only a quoted value is what the user wrote.
        raise ValueError("an enum's values are texts or whole numbers; put others in quotes")
    allowed = {str(value) for value in values}
    return lambda value: None if value in allowed else "not one of the values of the enum"


def _length_test(ends: Any) -> FieldTest:
    are_lengths = isinstance(ends, list) and all(
        end is None or (isinstance(end, int) and not isinstance(end, bool) and end >= 0) for end in ends
    )
    if not are_lengths or len(ends) != 2 or ends == [None, None]:
        raise ValueError("length is a list of the fewest and the most characters; null leaves an end open")
    least, most = ends[0] or 0, ends[1]

    def test(value: str) -> str | None:
        if len(value) < least or (most is not None and len(value) > most):
            return f"{len(value)} characters"
        return None

    return test


def _regex_test(pattern: Any) -> FieldTest:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(pattern, str):
        raise ValueError("regex is a text")
    anchored = rf"\A(?:{pattern})\z"
    try:
        pc.match_substring_regex(pa.array([""]), anchored)
    except pa.ArrowInvalid:
        raise ValueError("regex is not one of RE2 (which has no look-around and no back-references)") from None
    options = pc.MatchSubstringOptions(anchored)

    def test(value: str) -> str | None:
        # The time that RE2 takes is proportional to the length of the text, for every pattern.
        found = pc.call_function("match_substring_regex", [pa.array([value])], options)
        return None if found[0].as_py() else "does not match the regex"

    return test


TEST_BUILDERS: dict[str, Callable[[Any], FieldTest]] = {
    "type": _type_test,
    "range": _range_test,
    "enum": _enum_test,
    "length": _length_test,
    "regex": _regex_test,
}
