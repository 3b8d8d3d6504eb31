"""What the numbers of a field look like, learnt from non-private training data: a digit too many must not make a latitude of 377.

One such record in a thousand moves a mean, and a regression, by more than all others together, and no model of characters is
ever quite free of them. The limits are those of the data, rounded outwards to two digits of the range, so that they tell little
of the one record that is at the edge.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from linesmith.records.patterns.automaton import ByteAutomaton
from linesmith.records.patterns.pattern_compiler import compile_pattern
from linesmith.records.patterns.pattern_tree import Pattern, any_of, decimals, integers, literal

_LONGEST = 15  # digits that the statistics, which are floats, hold exactly


def number_range(field: dict[str, Any]) -> dict[str, Any] | None:
    """The limits of a field's numbers as plain JSON; None where not every value is a number as programs spell them, or empty, and
    where they have more digits than can be trusted.

    Args:
        field: statistics of the field, as `linesmith.records.input.field_statistics` leaves them.

    Example:
        >>> number_range({"kinds": {"decimal": 9, "integer": 1}, "shapes": {"decimal": 9, "whole": 1}, "scale": 2,
        ...                "whole_digits": 3, "min": -7.25, "max": 112.5})
        {'least': '-10', 'most': '120', 'scale': 2, 'empty': False}
    """
    kinds, shapes = field["kinds"], field["shapes"]
    numbers = kinds.get("integer", 0) + kinds.get("decimal", 0)
    spelt = shapes.get("whole", 0) + shapes.get("decimal", 0)
    others = set(kinds) - {"integer", "decimal", "empty"}
    if not numbers or others or spelt != numbers or field["scale"] + field["whole_digits"] > _LONGEST:
        return None
    least, most = Decimal(repr(field["min"])), Decimal(repr(field["max"]))
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


def number_automaton(limits: dict[str, Any]) -> ByteAutomaton:
    """The automaton of the numbers within limits.

    Example:
        >>> machine = number_automaton({"least": "-10", "most": "120", "scale": 2, "empty": False})
        >>> [machine.accepts_text(text) for text in (b"-7.25", b"119", b"377.1", b"1.234", b"")]
        [True, True, False, False, False]
    """
    least, most, scale = Decimal(limits["least"]), Decimal(limits["most"]), limits["scale"]
    parts: list[Pattern] = [literal("")] if limits["empty"] else []
    if scale:
        parts.append(decimals(scale, least, most, 10 ** (_LONGEST + 1)))
    else:
        parts.append(integers(int(least), int(most)))
    return compile_pattern(any_of(parts))
