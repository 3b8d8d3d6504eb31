"""What all texts of a field have in common, learned from non-private training data, where they are not numbers.

A few records in ten thousand would otherwise have an empty text in a field that is never empty, or a time such as 2024-05-50.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from linesmith.core.artifacts.model_info import TEXT_TYPES
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.schema import ValueLimits
from linesmith.records.output.spellings import spelled_type
from linesmith.records.patterns.automaton import ByteAutomaton, build_automaton
from linesmith.records.patterns.pattern_compiler import compile_pattern
from linesmith.records.patterns.pattern_tree import optional
from linesmith.records.patterns.schema_automata import type_pattern


def text_limits(field: dict[str, Any]) -> dict[str, Any] | None:
    """Return what all texts of a field have in common.

    Args:
        field: statistics of the field, as `linesmith.records.input.field_statistics` writes them.

    Returns:
        Plain JSON: `type` (one of `TEXT_TYPES`) and `empty` (whether the field may be empty). None where the field may hold any
        text.

    Example:
        >>> text_limits({"kinds": {"text": 9}, "spellings": {"names": ["date"], "empty": False, "whole_digits": 0}})
        {'type': 'date', 'empty': False}
        >>> text_limits({"kinds": {"text": 8, "empty": 1}, "spellings": None}) is None
        True
    """
    empty, spelled = bool(field["kinds"].get("empty")), field.get("spellings")
    found = None if spelled is None else spelled_type(spelled["names"], spelled["whole_digits"])
    if spelled is not None and found is not None and found.type_name in TEXT_TYPES:
        return {"type": found.type_name, "empty": empty or spelled["empty"]}
    return None if empty else {"type": None, "empty": False}


def text_automaton(limits: dict[str, Any]) -> ByteAutomaton:
    """Return the automaton of the texts within limits.

    Args:
        limits: what `text_limits` returned.

    Example:
        >>> machine = text_automaton({"type": "date", "empty": False})
        >>> [machine.accepts_text(text) for text in (b"2024-02-29", b"2024-05-50", b"")]
        [True, False, False]
    """
    return _automaton(limits["type"], limits["empty"])


@cache  # equal fields share an automaton
def _automaton(type_name: str | None, empty: bool) -> ByteAutomaton:
    if type_name is None:  # a state is whether there is any text yet
        return build_automaton(False, lambda _: [True] * 256, bool)
    pattern = type_pattern(ColumnType(type_name), ValueLimits())
    if pattern is None:
        raise ValueError(f"texts of type {type_name} have no pattern")
    return compile_pattern(optional(pattern) if empty else pattern)
