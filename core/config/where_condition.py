"""Parse the condition of `--where`: values of columns, as a mapping or as text such as `country=IT,"town=Rome, Lazio"`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def parse_where(value: Any) -> Any:
    r"""Return a condition as a mapping from column to value; a value of another type unchanged.

    Text is `column=value`, several of them with commas between. As in CSV, a value, a name or both together may stand in double
    quotes, and quotes in them are doubled. Several texts are one condition: all of them must hold.

    Raises:
        ValueError: a text is not of that form, or a column is given twice.

    Example:
        >>> parse_where(['country=IT,"town=Rome, Lazio"', 'note="a ""b"" c"'])
        {'country': 'IT', 'town': 'Rome, Lazio', 'note': 'a "b" c'}
        >>> parse_where("elevation="), parse_where({"elevation": 12})
        ({'elevation': ''}, {'elevation': '12'})
    """
    if isinstance(value, Mapping):
        return {name: _plain(text) for name, text in value.items()}
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        return value
    condition: dict[str, str] = {}
    for text in value:
        for name, given in _pairs(text):
            if name in condition:
                raise ValueError(f"gives column '{name}' twice")
            condition[name] = given
    return condition


def _plain(value: Any) -> Any:
    """Return a number as text; YAML and JSON have numbers where a flag has characters."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of one text."""
    position = 0
    while True:
        name, position = _part(text, position, "=,")
        if position < len(text) and text[position] == "=":
            value, position = _part(text, position + 1, ",")
        else:  # name and value together in quotes
            name, equals, value = name.partition("=")
            if not equals:
                raise ValueError("is not of the form COLUMN=VALUE, several with commas between")
        yield name, value
        if position >= len(text):
            return
        position += 1  # the comma


def _part(text: str, position: int, ends: str) -> tuple[str, int]:
    """Return the text up to one of `ends`, without quotes, and the position of that end."""
    if text[position : position + 1] != '"':
        end = min((found for found in (text.find(mark, position) for mark in ends) if found >= 0), default=len(text))
        return text[position:end], end
    content, position = "", position + 1
    while (end := text.find('"', position)) >= 0:
        content += text[position:end]
        if text[end + 1 : end + 2] != '"':
            if end + 1 < len(text) and text[end + 1] not in ends:
                raise ValueError("has characters after a closing quote")
            return content, end + 1
        content, position = content + '"', end + 2
    raise ValueError("has a quote that is not closed")
