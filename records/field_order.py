"""The order in which the fields of a record are given to the model, where it is not that of the input.

A model draws a record from left to right, so what is to be given must come first. With `condition_on`, those fields are
written first. There is one place that writes this order (`RecordFormat.mark_fields` and `TokenFormat.split_record`) and one
that reads it (`TokenFormat`, when ids become text): token ids and masks are in the order of the model, everything else is in
the order of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from linesmith.records.fields import FIELD_BREAK

_T = TypeVar("_T")


@dataclass(frozen=True)
class FieldOrder:
    """A permutation of the fields of a record.

    A record with fewer fields keeps the order of those that it has; surplus fields stay at the end. So every record has
    exactly one form in each order.

    Attributes:
        positions: for each field in the order of the model its position in the input, from 0.

    Example:
        >>> order = FieldOrder.first(["country"], ["id", "name", "country"])
        >>> order.to_model(["7", "Rome", "IT"]), order.to_input(["IT", "7", "Rome"])
        (['IT', '7', 'Rome'], ['7', 'Rome', 'IT'])
        >>> order.to_model(["7", "Rome"]), order.to_model(["7", "Rome", "IT", "x"])
        (['7', 'Rome'], ['IT', '7', 'Rome', 'x'])
    """

    positions: tuple[int, ...]

    @classmethod
    def first(cls, names: Sequence[str], columns: Sequence[str]) -> FieldOrder:
        """Return the order that puts some columns first, in the order of `names`, and keeps that of the others.

        Args:
            names: columns that come first.
            columns: all columns, in the order of the input.

        Raises:
            ValueError: a name is not a column.
        """
        chosen = [list(columns).index(name) for name in names]
        return cls((*chosen, *(number for number in range(len(columns)) if number not in chosen)))

    def for_count(self, count: int) -> tuple[int, ...]:
        """Return the positions for a record of `count` fields."""
        return _positions_for(self.positions, count)

    def to_model(self, fields: Sequence[_T]) -> list[_T]:
        """Return fields in the order of the model, given in that of the input."""
        return [fields[position] for position in self.for_count(len(fields))]

    def to_input(self, fields: Sequence[_T]) -> list[_T]:
        """Return fields in the order of the input, given in that of the model."""
        return [fields[number] for number in _inverse_for(self.positions, len(fields))]

    def mark_for_model(self, marked: str) -> str:
        """Return a record with FIELD_BREAK between its fields in the order of the model."""
        return FIELD_BREAK.join(self.to_model(marked.split(FIELD_BREAK)))

    def mark_for_input(self, marked: str) -> str:
        """Return a record with FIELD_BREAK between its fields in the order of the input."""
        return FIELD_BREAK.join(self.to_input(marked.split(FIELD_BREAK)))


@lru_cache(maxsize=256)
def _positions_for(positions: tuple[int, ...], count: int) -> tuple[int, ...]:
    return (*(position for position in positions if position < count), *range(len(positions), count))


@lru_cache(maxsize=256)
def _inverse_for(positions: tuple[int, ...], count: int) -> tuple[int, ...]:
    order = _positions_for(positions, count)
    inverse = [0] * count
    for number, position in enumerate(order):
        inverse[position] = number
    return tuple(inverse)
