"""Units of work, which are ranges of record indices, and their results. Nothing here samples.

How a run is cut into units never changes a record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from linesmith.model.generation.attempts import AttemptOutcome


@dataclass(frozen=True)
class StartString:
    """The beginning of a record.

    Attributes:
        text: its text; empty: the record begins freely.
        ids: its ids, without the leading `<n>`; as `SampleRequest.prefix`.
        fault: reason why no record can have it; None: some can.
    """

    text: str = ""
    ids: tuple[int, ...] = ()
    fault: str | None = None


@dataclass(frozen=True)
class WorkUnit:
    """Indices `start` … `end` − 1 of a run, small enough for one worker and one shard.

    Attributes:
        number: position of the unit in the run.
        start, end: its range of indices.
        start_strings: nothing (records begin freely), one start string for all, or exactly one for each index.
    """

    number: int
    start: int
    end: int
    start_strings: tuple[StartString, ...] = ()

    def start_string_of(self, index: int) -> StartString:
        """Return the start string of an index of the unit."""
        if not self.start_strings:
            return StartString()
        return self.start_strings[0] if len(self.start_strings) == 1 else self.start_strings[index - self.start]


@dataclass(frozen=True)
class WorkUnitResult:
    """Result of a unit.

    Attributes:
        unit: the unit.
        valid: the records, by index.
        invalid: the first `keep_invalid` invalid outcomes, by (index, attempt).
        missing: the indices without a record.
        reasons: all invalid outcomes, by reason.
        stopped: None, 'rate' (hopeless) or 'max_invalid' (the ceiling was crossed).
        seconds: wall time, the only part that is not reproducible.
        acceptance_sum: sum of ∏ Zₜ over the attempts that gave a valid record, those left out by rejection sampling included.
    """

    unit: WorkUnit
    valid: list[AttemptOutcome]
    invalid: list[AttemptOutcome]
    missing: list[int]
    reasons: Counter[str]
    stopped: str | None
    seconds: float
    acceptance_sum: float = 0.0

    @property
    def invalid_count(self) -> int:
        """Return the number of all invalid outcomes."""
        return sum(self.reasons.values())

    @property
    def attempts(self) -> int:
        """Return the number of all outcomes."""
        return len(self.valid) + self.invalid_count

    @property
    def characters(self) -> int:
        """Return the characters of the valid records."""
        return sum(len(outcome.text) for outcome in self.valid)


def plan_work_units(
    count: int, unit_size: int, start_strings: tuple[StartString, ...] = (), start_string_per_record: bool = False
) -> list[WorkUnit]:
    """Cut a run into units.

    Args:
        count: records of the run.
        unit_size: records of each unit but the last, which may be smaller.
        start_strings: none, one for all records, or with `start_string_per_record` one for each.
        start_string_per_record: each record has a start string of its own.

    Example:
        >>> [(unit.start, unit.end) for unit in plan_work_units(5, 2)]
        [(0, 2), (2, 4), (4, 5)]
    """
    return [
        WorkUnit(
            number,
            start,
            min(start + unit_size, count),
            start_strings[start : start + unit_size] if start_string_per_record else start_strings,
        )
        for number, start in enumerate(range(0, count, unit_size))
    ]
