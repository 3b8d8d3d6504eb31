"""Cut columns out of a record before anything else looks at it. `linesmith.records.roles.filler` puts others in their place."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from linesmith.records.fields import FIELD_BREAK, FieldFormat

_T = TypeVar("_T")


@dataclass(frozen=True)
class ColumnCut:
    """Columns that a model is not given.

    Attributes:
        kept: positions of the other columns in the source, from 0, in order.
        count: number of columns in the source.

    Example:
        >>> cut = ColumnCut.of({"email"}, ["id", "email", "town"])
        >>> cut.keep(["7", "a@b.org", "Rome"]), cut.keep_text('7,"a,b",Rome', FieldFormat(",", quoted=True))
        (['7', 'Rome'], '7,Rome')
        >>> cut.keep_text("7", FieldFormat(",")) is None
        True
    """

    kept: tuple[int, ...]
    count: int

    @classmethod
    def of(cls, cut: Collection[str], columns: Sequence[str]) -> ColumnCut:
        """Return the cut of the columns of some names."""
        return cls(tuple(number for number, name in enumerate(columns) if name not in cut), len(columns))

    def keep(self, fields: Sequence[_T]) -> list[_T]:
        """Return what is kept of the fields of a record, or of the names of the columns."""
        return [fields[number] for number in self.kept]

    def keep_text(self, text: str, fields: FieldFormat) -> str | None:
        """Return a record without the fields that are cut; the others keep their quotes. None: it has not as many fields."""
        parts = fields.mark_breaks(text).split(FIELD_BREAK)
        if len(parts) != self.count:
            return None
        return (fields.delimiter or "").join(self.keep(parts))
