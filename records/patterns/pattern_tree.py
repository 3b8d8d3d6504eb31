"""Patterns of texts as trees: literals, numbers in a range, and combinations of them.

A tree is made of tuples: `('set', ranges of code points)`, `('seq', parts)`, `('any', parts)` and
`('repeat', part, least, most)`, where `most` is None for no limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

Pattern = tuple[Any, ...]


def literal(text: str) -> Pattern:
    """Return the pattern of a single text."""
    return sequence([("set", ((ord(c), ord(c)),)) for c in text])


def sequence(parts: Iterable[Pattern]) -> Pattern:
    """Return the pattern of one part after the other."""
    return ("seq", tuple(parts))


def any_of(parts: Iterable[Pattern]) -> Pattern:
    """Return the pattern of any one of the parts."""
    return ("any", tuple(parts))


def optional(part: Pattern) -> Pattern:
    """Return the pattern of a part or the empty text."""
    return ("repeat", part, 0, 1)


def written_out_size(pattern: Pattern) -> int:
    """Return the number of characters that a pattern matches one by one, once every repetition is written out.

    Example:
        >>> written_out_size(("repeat", ("repeat", literal("ab"), 3, 5), 0, 10))
        100
    """
    node_type = pattern[0]
    if node_type in ("seq", "any"):
        return sum(map(written_out_size, pattern[1]))
    if node_type == "repeat":
        # Repeating an empty part takes time, too.
        return max(written_out_size(pattern[1]), 1) * max(pattern[2], pattern[3] or 1)
    return len(pattern[1])


def integers(least: int, most: int) -> Pattern:
    """Return the pattern of the whole numbers in a range, without leading zeros, −0 or a plus sign.

    Args:
        least: the smallest number.
        most: the largest number, included.

    Raises:
        ValueError: there is no number in the range.

    Example:
        >>> from linesmith.records.patterns.pattern_compiler import compile_pattern
        >>> machine = compile_pattern(integers(-5, 120))
        >>> [machine.accepts_text(text) for text in (b"-5", b"120", b"07", b"121", b"-0")]
        [True, True, False, False, False]
    """
    if least > most:
        raise ValueError(f"no number lies between {least} and {most}")
    parts = (
        [sequence(map(_DIGIT_SETS.__getitem__, digits)) for digits in _digit_ranges(max(least, 0), most)]
        if most >= 0
        else []
    )
    if least < 0:
        below = _digit_ranges(max(-most, 1), -least)
        parts += [sequence([literal("-"), *map(_DIGIT_SETS.__getitem__, digits)]) for digits in below]
    return any_of(parts)


def decimals(scale: int, least: Any, most: Any, bound: int) -> Pattern:
    """Return the pattern of the numbers in a range, in plain decimal notation.

    Args:
        scale: most digits after the point.
        least: the smallest number (a number or Decimal).
        most: the largest number, included.
        bound: absolute values must be below it, a power of ten.

    Raises:
        ValueError: there is no such number.

    Example:
        >>> from linesmith.records.patterns.pattern_compiler import compile_pattern
        >>> machine = compile_pattern(decimals(2, Decimal("-0.5"), 12, 1000))
        >>> [machine.accepts_text(text) for text in (b"-0.5", b"12.00", b"3.1", b"-0.51", b"12.01", b"3.")]
        [True, True, True, False, False, False]
    """
    low, high = Decimal(str(least)), Decimal(str(most))
    parts: list[Pattern] = []
    for places in range(scale + 1):
        # Numbers with so many digits after the point are whole numbers of this unit.
        unit = Decimal(10) ** places
        first, last = math.ceil(low * unit), math.floor(high * unit)
        limit = bound * 10**places - 1
        first, last = max(first, -limit), min(last, limit)
        if last >= 0 and first <= last:
            parts += [_with_point([], digits, places) for digits in _digit_ranges(max(first, 0), last, places + 1)]
        if first < 0 and first <= last:
            below = _digit_ranges(max(-last, 1), -first, places + 1)
            parts += [_with_point([literal("-")], digits, places) for digits in below]
    if not parts:
        raise ValueError(f"no number lies between {least} and {most}")
    return any_of(parts)


# A wide schema asks for millions of them.
_DIGIT_SETS: dict[tuple[int, int], Pattern] = {
    (first, last): ("set", ((0x30 + first, 0x30 + last),)) for first in range(10) for last in range(first, 10)
}
_POINT = literal(".")


def _with_point(sign: list[Pattern], digits: Sequence[tuple[int, int]], places: int) -> Pattern:
    """Return the pattern of a sign and digits, with a decimal point before the last `places` digits."""
    sets = [_DIGIT_SETS[digit] for digit in digits]
    if not places:
        return sequence([*sign, *sets])
    return sequence([*sign, *sets[:-places], _POINT, *sets[-places:]])


def _digit_ranges(least: int, most: int, width: int = 1) -> list[list[tuple[int, int]]]:
    """Return sequences of digit ranges for a range of non-negative numbers, padded with zeros to a minimum width.

    Example:
        >>> _digit_ranges(8, 12)
        [[(8, 9)], [(1, 1), (0, 2)]]
    """
    found: list[list[tuple[int, int]]] = []
    length = max(len(str(least)), width)
    while least <= most:
        end = min(most, 10**length - 1)
        found += _same_length_ranges(str(least).zfill(length), str(end).zfill(length))
        least, length = end + 1, length + 1
    return found


def _same_length_ranges(low: str, high: str) -> list[list[tuple[int, int]]]:
    """Return as few sequences of digit ranges as possible for the numbers between two of equal length."""
    if not low:
        return [[]]
    a, b = int(low[0]), int(high[0])
    rest = len(low) - 1
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        return [[(a, b), *[(0, 9)] * rest]]
    if a == b:
        return [[(a, a), *tail] for tail in _same_length_ranges(low[1:], high[1:])]
    found = [[(a, a), *tail] for tail in _same_length_ranges(low[1:], "9" * rest)]
    if a + 1 <= b - 1:
        found.append([(a + 1, b - 1), *[(0, 9)] * rest])
    return found + [[(b, b), *tail] for tail in _same_length_ranges("0" * rest, high[1:])]
