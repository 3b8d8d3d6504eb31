"""The range of a field's numbers, learned from non-private training data, so that a surplus digit cannot make a latitude of 377.

One such record in a thousand changes a mean, or a regression, more than all others together, and every model of characters
generates a few of them. The limits are those of the data, rounded outward to two digits of the range, so that they reveal
little about the single record at the edge.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np

from linesmith.records.patterns.automaton import DEAD, ByteAutomaton
from linesmith.records.patterns.pattern_compiler import compile_pattern
from linesmith.records.patterns.pattern_tree import Pattern, any_of, decimals, integers, literal

_MAX_DIGITS = 15  # digits that a float, as the statistics hold it, represents exactly


def number_range(field: dict[str, Any]) -> dict[str, Any] | None:
    """Return the range of a field's numbers, rounded outward.

    Args:
        field: statistics of the field, as `linesmith.records.input.field_statistics` writes them.

    Returns:
        Plain JSON: `least` and `most` (decimal numbers as text), `scale` (digits after the point), `empty` (whether the field
        may be empty). None if a value is neither empty nor a number as programs write it, or if numbers have more than 15 digits.

    Example:
        >>> number_range({"kinds": {"decimal": 9, "integer": 1}, "shapes": {"decimal": 9, "whole": 1}, "scale": 2,
        ...                "whole_digits": 3, "min": -7.25, "max": 112.5})
        {'least': '-10', 'most': '120', 'scale': 2, 'empty': False}
    """
    kinds, shapes = field["kinds"], field["shapes"]
    numbers = kinds.get("integer", 0) + kinds.get("decimal", 0)
    plain_numbers = shapes.get("whole", 0) + shapes.get("decimal", 0)
    others = set(kinds) - {"integer", "decimal", "empty"}
    if not numbers or others or plain_numbers != numbers or field["scale"] + field["whole_digits"] > _MAX_DIGITS:
        return None
    least, most = Decimal(repr(field["min"])), Decimal(repr(field["max"]))
    # Two significant digits of the width of the range.
    step = Decimal(10) ** ((most - least).adjusted() - 1) if most > least else Decimal(1)
    if not kinds.get("decimal"):
        step = max(step, Decimal(1))
    low, high = math.floor(least / step) * step, math.ceil(most / step) * step
    return {
        "least": f"{low:f}",
        "most": f"{high:f}",
        "scale": field["scale"] if kinds.get("decimal") else 0,
        "empty": bool(kinds.get("empty")),
    }


def signed(machine: ByteAutomaton) -> ByteAutomaton:
    """Return the automaton of the same numbers with a plus sign before those that have no minus sign.

    Example:
        >>> machine = signed(number_automaton({"least": "-10", "most": "120", "scale": 2, "empty": True}))
        >>> [machine.accepts_text(text) for text in (b"-7.25", b"+119", b"119", b"+-7", b"+", b"")]
        [True, True, False, False, False, True]
    """
    first = 1  # of the numbers; a start of its own stands before them
    states = len(machine.transitions)
    table = np.full((first + states, 256), DEAD, np.int32)
    table[first:] = np.where(machine.transitions == DEAD, DEAD, machine.transitions + first)
    table[0, ord("-")], table[0, ord("+")] = table[first, ord("-")], first
    table[first, ord("-")] = DEAD
    accepting = np.concatenate([machine.accepting[:1], [False], machine.accepting[1:]])
    return ByteAutomaton(table, accepting)


def number_automaton(limits: dict[str, Any]) -> ByteAutomaton:
    """Return the automaton of the numbers within limits.

    Args:
        limits: what `number_range` returned.

    Returns:
        An automaton that accepts numbers in plain decimal notation, with at most `scale` digits after the point.

    Example:
        >>> machine = number_automaton({"least": "-10", "most": "120", "scale": 2, "empty": False})
        >>> [machine.accepts_text(text) for text in (b"-7.25", b"119", b"377.1", b"1.234", b"")]
        [True, True, False, False, False]
    """
    least, most, scale = Decimal(limits["least"]), Decimal(limits["most"]), limits["scale"]
    parts: list[Pattern] = [literal("")] if limits["empty"] else []
    if scale:
        parts.append(decimals(scale, least, most, 10 ** (_MAX_DIGITS + 1)))
    else:
        parts.append(integers(int(least), int(most)))
    return compile_pattern(any_of(parts))
