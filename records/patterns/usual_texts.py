"""The usual texts of a field, as a pattern: what is left of many texts when the rarest spellings are left out.

Private training learns under noise, so its network gives some probability to spellings that no record had: an hour 27, a
number with two points. They are rare, each of them, and so they can be told from what was learned by the network's own
records. A field whose texts have too many rare spellings, such as names, has no usual ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from linesmith.core.errors import ParameterError
from linesmith.records.patterns.automaton import ByteAutomaton
from linesmith.records.patterns.pattern_compiler import compile_pattern
from linesmith.records.patterns.regex_parser import parse_regex
from linesmith.records.patterns.shapes import any_pattern, shape_of, shape_pattern, text_pattern

_LEAST_SHARE_OF_SHAPE, _SHAPES_COVER = 1 / 200, 0.9
_LEAST_SHARE_OF_VALUE, _VALUES_COVER = 1 / 400, 0.95
_LONGEST = 64  # characters of a usual text
_NUMBER = re.compile(r"(-?[0-9]+)\.([0-9]+)")


def usual_pattern(texts: Sequence[str]) -> str | None:
    r"""Return a pattern of the usual texts of a field.

    A shape is a text with digits, capital and small letters of ASCII as classes. Shapes of at least one text in 200 are usual, if
    they cover nine tenths of the texts. Values of at least one text in 400 are usual, if they cover 95 of 100; for numbers with
    decimals, so are integer parts.

    Args:
        texts: of one field of many records, thousands of them for these shares to mean something.

    Returns:
        A regular expression for `parse_regex`; None where no shapes are usual, or too many.

    Example:
        >>> usual_pattern(["7"] * 300 + ["12"] * 699 + ["1x"])
        '(?:12|7)'
        >>> usual_pattern([f"30.{n:04}" for n in range(999)] + ["3.0.12"])
        '(?:30)\\.(?:[0-9]{4})'
        >>> usual_pattern([f"AB{n:03}" for n in range(1000)])
        '[A-Z]{2}[0-9]{3}'
        >>> usual_pattern([chr(n) for n in range(5000, 6000)]) is None
        True
    """
    pattern = _pattern(texts)
    if pattern is not None:
        try:
            usual_automaton(pattern)
        except (ValueError, ParameterError):  # too long or too large for a mask
            return None
    return pattern


@cache  # equal fields share an automaton
def usual_automaton(pattern: str) -> ByteAutomaton:
    """Return the automaton of the usual texts.

    Args:
        pattern: what `usual_pattern` returned.

    Raises:
        ValueError: it is no pattern.
        ParameterError: LS125, it is too large.

    Example:
        >>> [usual_automaton("[0-9]{2}").accepts_text(text) for text in (b"12", b"123")]
        [True, False]
    """
    return compile_pattern(parse_regex(pattern))


def _pattern(texts: Sequence[str]) -> str | None:
    values = _frequent(texts, _LEAST_SHARE_OF_VALUE, _VALUES_COVER)
    if values is not None:
        return any_pattern(map(text_pattern, values))
    shapes = _frequent(map(shape_of, texts), _LEAST_SHARE_OF_SHAPE, _SHAPES_COVER)
    if shapes is None:
        return None
    numbers = [match for match in map(_NUMBER.fullmatch, texts) if match]
    parts = _frequent((number[1] for number in numbers), _LEAST_SHARE_OF_VALUE, _VALUES_COVER, len(texts))
    return _alternatives(map(shape_pattern, shapes) if parts is None else _with_integer_parts(shapes, parts))


def _with_integer_parts(shapes: Iterable[str], parts: Iterable[str]) -> list[str]:
    """Return the patterns of shapes in which numbers with decimals have one of some integer parts."""
    places: dict[str, list[int]] = {}  # numbers of decimals, by the shape of the integer part
    others = []
    for shape in shapes:
        number = _NUMBER.fullmatch(shape)
        if number:
            places.setdefault(number[1], []).append(len(number[2]))
        else:
            others.append(shape_pattern(shape))
    by_places: dict[tuple[int, ...], list[str]] = {}
    for part in parts:
        by_places.setdefault(tuple(places.get(shape_of(part), ())), []).append(text_pattern(part))
    decimals = [
        f"{any_pattern(some)}\\.{any_pattern(f'[0-9]{{{count}}}' for count in counts)}"
        for counts, some in by_places.items()
        if counts
    ]
    return [*decimals, *others]


def _frequent(texts: Iterable[str], least_share: float, cover: float, total: int | None = None) -> list[str] | None:
    """Return the texts with at least a share of all, in order; None where together they are less than `cover` of `total`."""
    counts = Counter(texts)
    total = counts.total() if total is None else total
    found = sorted(text for text, count in counts.items() if count >= least_share * total and len(text) <= _LONGEST)
    return found if found and sum(counts[text] for text in found) >= cover * total else None


def _alternatives(patterns: Iterable[str]) -> str:
    found = list(patterns)
    return found[0] if len(found) == 1 else any_pattern(found)
