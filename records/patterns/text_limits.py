"""What all texts of a field have in common, learned from non-private training data, where they are not numbers.

A few records in ten thousand would otherwise have an empty text in a field that is never empty, a time such as 2024-05-50, a
category that does not exist, or six letters where a vehicle has three letters and three digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from linesmith.core.artifacts.model_info import MAX_PATTERN_CHARS, TEXT_TYPES
from linesmith.core.errors import ParameterError
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.schema import ValueLimits
from linesmith.records.output.spellings import spelled_type
from linesmith.records.patterns.automaton import ByteAutomaton, build_automaton
from linesmith.records.patterns.pattern_compiler import compile_pattern
from linesmith.records.patterns.pattern_tree import optional
from linesmith.records.patterns.regex_parser import parse_regex
from linesmith.records.patterns.schema_automata import type_pattern
from linesmith.records.patterns.shapes import any_pattern, shape_pattern, text_pattern

# Most texts that may be new among as many others of the same source, by the share of those that were seen once (Good, "The
# population frequencies of species and the estimation of population parameters", Biometrika 40, 1953). Of fewer texts than the
# second number, that share says too little.
_MOST_UNSEEN, _LEAST_SEEN = 1 / 1000, 100
_MAX_DISTINCT = 256


def text_limits(field: dict[str, Any]) -> dict[str, Any] | None:
    """Return what all texts of a field have in common.

    Args:
        field: statistics of the field, as `linesmith.records.input.field_statistics` writes them.

    Returns:
        Plain JSON: `type` (one of `TEXT_TYPES`), `empty` (whether the field may be empty), and where hardly any text is expected
        to be another one, `pattern`, of the values or else of the shapes that were seen. None where the field may hold any text.

    Example:
        >>> text_limits({"kinds": {"text": 9}, "spellings": {"names": ["date"], "empty": False, "whole_digits": 0}})
        {'type': 'date', 'empty': False}
        >>> text_limits({"kinds": {"text": 9}, "spellings": None, "values": {"red": 40, "blue": 60}})
        {'type': None, 'empty': False, 'pattern': '(?:blue|red)'}
        >>> text_limits({"kinds": {"text": 8, "empty": 1}, "spellings": None}) is None
        True
    """
    empty, spelled = bool(field["kinds"].get("empty")), field.get("spellings")
    found = None if spelled is None else spelled_type(spelled["names"], spelled["whole_digits"])
    if spelled is not None and found is not None and found.type_name in TEXT_TYPES:
        return {"type": found.type_name, "empty": empty or spelled["empty"]}
    pattern = _seen_pattern(field, empty)
    if pattern is not None:
        return {"type": None, "empty": empty, "pattern": pattern}
    return None if empty else {"type": None, "empty": False}


def _seen_pattern(field: dict[str, Any], empty: bool) -> str | None:
    """Return the pattern of the values, or else of the shapes, that were seen, where they are few and others hardly occur."""
    if "original" in field:  # of differences, whose statistics are without their plus sign
        return None
    for name, pattern_of in (("values", text_pattern), ("text_shapes", shape_pattern)):
        counts = {text: count for text, count in (field.get(name) or {}).items() if text}
        enough = sum(counts.values()) >= _LEAST_SEEN and len(counts) <= _MAX_DISTINCT
        if enough and _expected_unseen(counts) <= _MOST_UNSEEN:
            pattern = any_pattern(map(pattern_of, sorted(counts)))
            if len(pattern) <= MAX_PATTERN_CHARS and _is_small(pattern, empty):
                return pattern
    return None


def _expected_unseen(counts: Mapping[str, int]) -> float:
    """Return the expected share of texts, in as many others of the same source, that are none of these."""
    return sum(count == 1 for count in counts.values()) / sum(counts.values())


def _is_small(pattern: str, empty: bool) -> bool:
    """Return whether generation can have the mask of a pattern: else it would stop there."""
    try:
        _automaton(None, empty, pattern)
    except (ValueError, ParameterError):
        return False
    return True


def text_automaton(limits: dict[str, Any]) -> ByteAutomaton:
    """Return the automaton of the texts within limits.

    Args:
        limits: what `text_limits` returned.

    Raises:
        ValueError: the pattern is none.
        ParameterError: LS125, it is too large.

    Example:
        >>> machine = text_automaton({"type": "date", "empty": False})
        >>> [machine.accepts_text(text) for text in (b"2024-02-29", b"2024-05-50", b"")]
        [True, False, False]
    """
    return _automaton(limits["type"], limits["empty"], limits.get("pattern"))


@cache  # equal fields share an automaton
def _automaton(type_name: str | None, empty: bool, seen: str | None) -> ByteAutomaton:
    if seen is not None:
        pattern = parse_regex(seen)
        return compile_pattern(optional(pattern) if empty else pattern)
    if type_name is None:  # a state is whether there is any text yet
        return build_automaton(False, lambda _: [True] * 256, bool)
    of_type = type_pattern(ColumnType(type_name), ValueLimits())
    if of_type is None:
        raise ValueError(f"texts of type {type_name} have no pattern")
    return compile_pattern(optional(of_type) if empty else of_type)
