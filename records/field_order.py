"""The order in which the fields of a record are given to the model, where it is not that of the input.

A model draws a record from left to right, so what is to be given must come first. With `condition_on`, those fields are
written first. It is part of the form in which the model is given records (`linesmith.records.model_form`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

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

    def before(self, field: int) -> tuple[int, ...]:
        """Return the fields that the model is given before a field of a whole record, by their positions in the input.

        Example:
            >>> FieldOrder((2, 0, 1)).before(0)
            (2,)
        """
        order = self.for_count(max(len(self.positions), field + 1))
        return order[: order.index(field)]

    def to_model(self, fields: Sequence[_T]) -> list[_T]:
        """Return fields in the order of the model, given in that of the input."""
        return [fields[position] for position in self.for_count(len(fields))]

    def to_input(self, fields: Sequence[_T]) -> list[_T]:
        """Return fields in the order of the input, given in that of the model."""
        return [fields[number] for number in _inverse_for(self.positions, len(fields))]


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
