"""The work of a run cut into units of record indices, and what became of one. Nothing here samples.

A unit is a range of indices, small enough for one worker and one shard. How a run is cut never changes a record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from linesmith.model.generation.attempts import Outcome


@dataclass(frozen=True)
class StartString:
    """How a record begins: text, and its ids without the leading `<n>`."""

    text: str = ""
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class WorkUnit:
    """Indices `start` … `end` − 1 of a run, small enough for one worker and one shard.

    Attributes:
        number: position of the unit in the run.
        start, end: its range of indices.
        starts: nothing (records begin freely), one start string for all, or exactly one for each index.
    """

    number: int
    start: int
    end: int
    starts: tuple[StartString, ...] = ()

    def start_string_of(self, index: int) -> StartString:
        """The start string of an index."""
        if not self.starts:
            return StartString()
        return self.starts[0] if len(self.starts) == 1 else self.starts[index - self.start]


@dataclass(frozen=True)
class UnitResult:
    """What became of a unit.

    Attributes:
        unit: the unit.
        valid: the records, by index.
        invalid: the first `keep_invalid` invalid outcomes, by (index, attempt).
        missing: the indices without a record.
        reasons: all invalid outcomes, by reason.
        stopped: None, 'rate' (hopeless) or 'max_invalid' (the ceiling was crossed).
        seconds: wall time; the only part that is not reproducible.
        survival: sum of ∏ Zₜ over the attempts that gave a record, thinned ones included.
    """

    unit: WorkUnit
    valid: list[Outcome]
    invalid: list[Outcome]
    missing: list[int]
    reasons: Counter[str]
    stopped: str | None
    seconds: float
    survival: float = 0.0

    @property
    def invalid_count(self) -> int:
        return sum(self.reasons.values())

    @property
    def attempts(self) -> int:
        return len(self.valid) + self.invalid_count

    @property
    def characters(self) -> int:
        """Characters of the valid records."""
        return sum(len(outcome.text) for outcome in self.valid)


def plan_units(
    count: int, unit_size: int, starts: tuple[StartString, ...] = (), paired: bool = False
) -> list[WorkUnit]:
    """Cut a run of `count` records into units; with `paired`, `starts` holds one start string for each index.

    Example:
        >>> [(unit.start, unit.end) for unit in plan_units(5, 2)]
        [(0, 2), (2, 4), (4, 5)]
    """
    return [
        WorkUnit(
            number,
            start,
            min(start + unit_size, count),
            starts[start : start + unit_size] if paired else starts,
        )
        for number, start in enumerate(range(0, count, unit_size))
    ]
