"""Values of rule expressions: how texts become numbers, how values compare, and the functions that expressions can call.

A value is a number, a bool, a text constant, a field's text (`FieldText`), or a list of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)


class FieldText(str):
    """A field's text, as opposed to a text constant of the expression; it may be converted to a number."""

    __slots__ = ()


def as_number(value: Any) -> int | float:
    """Return a number, or the number that a text represents.

    Args:
        value: a number or a text.

    Returns:
        An int if it has at most 18 characters and no point or exponent, else a float.

    Raises:
        ValueError: a bool, a list, or a text that is not a number.

    Example:
        >>> as_number("-12"), as_number("1e3"), as_number(2)
        (-12, 1000.0, 2)
    """
    if isinstance(value, bool):
        raise ValueError("true or false is not a number")
    if isinstance(value, int | float):
        return value
    if not _is_number_text(value):
        raise ValueError("a value is not a number")
    return int(value) if len(value) <= 18 and value.lstrip("+-").isdigit() else float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number_text(value: Any) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _check_texts(*values: Any) -> None:
    if not all(isinstance(value, str) for value in values):
        raise ValueError("a function of text was given a number")


def check_bool(value: Any) -> bool:
    """Return a bool unchanged; numbers and texts have no truth value.

    Raises:
        ValueError: it is not a bool.
    """
    if not isinstance(value, bool):
        raise ValueError("a part is neither true nor false")
    return value


def comparable(left: Any, right: Any) -> tuple[Any, Any]:
    """Return two values converted to a common type.

    If one is a number, both become numbers; two fields become numbers if both are numbers; else both must be texts or bools.

    Args:
        left: a value.
        right: a value.

    Raises:
        ValueError: there is no common type.
    """
    if _is_number(left) or _is_number(right):
        return as_number(left), as_number(right)
    are_fields = isinstance(left, FieldText) and isinstance(right, FieldText)
    if are_fields and _is_number_text(left) and _is_number_text(right):
        return as_number(left), as_number(right)
    if type(left) in (FieldText, str) and type(right) in (FieldText, str):
        return str(left), str(right)
    if isinstance(left, bool) and isinstance(right, bool):
        return left, right
    raise ValueError("values of different kinds are compared")


def contains(left: Any, right: Any) -> bool:
    """Return whether `left` is in `right`: a text in a text, or a value in a list.

    Raises:
        ValueError: `right` is neither a text nor a list, or a value of the list cannot be compared with `left`.
    """
    if isinstance(right, str):
        _check_texts(left)
        return left in right
    if not isinstance(right, list):
        raise ValueError("'in' needs a list or a text")
    for value in right:
        if _is_number(value) and isinstance(left, str) and not _is_number_text(left):
            continue  # a text that is not a number equals no number; elsewhere that is an error
        first, second = comparable(left, value)
        if first == second:
            return True
    return False


def _of_text(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a check that its arguments are texts."""

    def checked(*values: Any) -> Any:
        _check_texts(*values)
        return function(*values)

    return checked


FUNCTIONS: Mapping[str, tuple[int, int, Callable[..., Any]]] = {  # minimum and maximum number of arguments, function
    "number": (1, 1, as_number),
    "abs": (1, 1, lambda value: abs(as_number(value))),
    "min": (2, 8, lambda *values: min(map(as_number, values))),
    "max": (2, 8, lambda *values: max(map(as_number, values))),
    "is_number": (1, 1, lambda value: _is_number(value) or _is_number_text(value)),
    "len": (1, 1, _of_text(len)),
    "lower": (1, 1, _of_text(lambda text: FieldText(text.lower()))),
    "upper": (1, 1, _of_text(lambda text: FieldText(text.upper()))),
    "strip": (1, 1, _of_text(lambda text: FieldText(text.strip()))),
    "starts_with": (2, 2, _of_text(lambda text, start: text.startswith(start))),
    "ends_with": (2, 2, _of_text(lambda text, end: text.endswith(end))),
    "contains": (2, 2, _of_text(lambda text, part: part in text)),
}
