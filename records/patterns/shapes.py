"""Shapes of texts: digits, capital and small letters of ASCII as classes, every other character as itself."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

_CLASSES = (("0", "9"), ("A", "Z"), ("a", "z"))
FIRST_OF_CLASS = {code: ord(first) for first, last in _CLASSES for code in range(ord(first), ord(last) + 1)}


def shape_of(text: str) -> str:
    """Return a text with the first character of its class in place of each digit and letter of ASCII.

    Example:
        >>> shape_of("HRN405, Üb")
        'AAA000, Üa'
    """
    return text.translate(FIRST_OF_CLASS)


def shape_pattern(shape: str) -> str:
    r"""Return the pattern of the texts of a shape, for `parse_regex`.

    Example:
        >>> shape_pattern("AAA-00")
        '[A-Z]{3}\\-[0-9]{2}'
    """
    classes = {first: f"[{first}-{last}]" for first, last in _CLASSES}
    runs = [(char, len(list(run))) for char, run in groupby(shape)]
    return "".join(
        (classes[char] if char in classes else text_pattern(char)) + (f"{{{count}}}" if count > 1 else "")
        for char, count in runs
    )


def text_pattern(text: str) -> str:
    """Return the pattern of one text; `parse_regex` knows no escapes of letters and digits but its own."""
    return "".join(char if char.isalnum() or not char.isascii() else f"\\{char}" for char in text)


def any_pattern(patterns: Iterable[str]) -> str:
    """Return the pattern of the texts of any of some patterns.

    Example:
        >>> any_pattern(["a", "b"])
        '(?:a|b)'
    """
    return f"(?:{'|'.join(patterns)})"
