"""Generation of units: each record index of a unit is tried until it is valid or its attempts are used up.

Terms:
    index     number of a record in the whole run, from 0.
    attempt   number of an attempt at one index, from 0. The text of (seed, index, attempt) never depends on anything else.
    outcome   an attempt with its verdict. The record of an index is its first attempt that is not invalid.
    canonical order   by attempt, then by index: all first attempts, then all second ones, …

The sampler finishes attempts in an order that depends on its speed. Outcomes are therefore held back and counted in
canonical order (`attempts`), and attempts that were sampled ahead but turn out not to be needed are dropped. So a
unit's result is a function of the unit, the settings, the model and the validator, and of nothing else.
"""

from __future__ import annotations

import time
from bisect import bisect_right, insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from linesmith.core.errors import GenerationError
from linesmith.model.generation.attempts import AttemptCounter, AttemptOutcome, AttemptSettings
from linesmith.model.generation.rejection_sampling import NOT_ACCEPTED_VERDICT, is_accepted
from linesmith.model.generation.work_units import WorkUnit, WorkUnitResult
from linesmith.model.sampling.candidates import chosen_batches
from linesmith.model.sampling.sample_types import DrawSettings, Sample, SampleRequest, is_whole_record
from linesmith.records.validation.record_validator import RecordValidator, ValidationResult

# With fewer waiting requests than this, rows of the sampler are about to become idle.
_LOW_WATER = 256
# Units are opened until so many requests wait (about twice the largest block) or so many indices are at work.
_ENOUGH_REQUESTS = 8192
_MOST_INDICES = 1 << 16
_PROGRESS_EVERY = 1.0  # seconds


class SampleSource(Protocol):
    """The part of `linesmith.model.sampling.sampler.Sampler` that generation uses.

    Attributes:
    """

    def batches(self, requests: deque[SampleRequest], settings: DrawSettings) -> Iterator[list[Sample]]:
        """Yield samples as they finish, some at a time, until the queue is empty. The consumer may append to the queue."""
        ...


def generate_unit(
    sampler: SampleSource,
    unit: WorkUnit,
    settings: AttemptSettings,
    record_validator: RecordValidator,
    clock: Callable[[], float] = time.perf_counter,
) -> WorkUnitResult:
    """Generate the records of one unit; arguments as for `generate_units`."""
    return next(generate_units(sampler, [unit], settings, record_validator, clock))


def generate_units(
    sampler: SampleSource,
    units: Iterable[WorkUnit],
    settings: AttemptSettings,
    record_validator: RecordValidator,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[WorkUnitResult]:
    """Generate the records of several units side by side, so that no row is idle while a unit ends.

    Guarantees: each result is that of `generate_unit`; at most `max_attempts` attempts per index count; it ends for every model
    and validator that end; only some units are open at a time, however many there are. After a unit that was stopped, later
    ones are abandoned, since they would not be published.

    Args:
        sampler: a loaded model.
        units: in ascending order; taken as rows become free.
        settings: draw settings and limits of attempts.
        record_validator: decides which samples are valid.
        clock: time in seconds. A unit's seconds are those since the previous result.
        progress: called about once a second with the records and attempts so far.

    Yields:
        Results as they are complete, in any order.

    Raises:
        GenerationError: the sampler left requests unanswered.
    """
    scheduler = _RequestScheduler(iter(units), settings)
    started = last_report = clock()
    batches: Iterator[list[Sample]] = iter(())
    try:
        scheduler.open_units()
        if settings.draw_settings.candidates > 1:
            batches = chosen_batches(sampler, scheduler.queue, settings.draw_settings, record_validator.fields)
        else:
            batches = sampler.batches(scheduler.queue, settings.draw_settings)
        while True:
            for done in scheduler.closed():
                yield _result(done, clock() - started)
                started = clock()
            if not scheduler.open:
                return
            batch = next(batches, None)
            if batch is None:
                unsettled = min(scheduler.open.values(), key=lambda open_unit: open_unit.unit.start).unit
                raise GenerationError(
                    "LS505",
                    None,
                    f"the sampler ended before records {unsettled.start} to {unsettled.end - 1} were settled",
                    "Run the same command again, and report it if it happens again.",
                )
            scheduler.record_samples(batch, record_validator)
            if progress is not None and clock() - last_report >= _PROGRESS_EVERY:
                progress(scheduler.records, scheduler.attempts)
                last_report = clock()
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


@dataclass
class _OpenUnit:
    """A unit at work, its counter of attempts, and its requests."""

    unit: WorkUnit
    counter: AttemptCounter
    requests: _UnitRequests


class _RequestScheduler:
    """Scheduler of requests: keeps units open, and one queue of requests for all of them.

    Args:
        units: in ascending order.
        settings: draw settings and limits of attempts.

    Attributes:
        queue: requests for the sampler.
        open: units at work, by first index.
        records, attempts: valid records and attempts so far.
    """

    def __init__(self, units: Iterator[WorkUnit], settings: AttemptSettings) -> None:
        self.queue: deque[SampleRequest] = deque()
        self.open: dict[int, _OpenUnit] = {}
        self._starts: list[int] = []  # the keys of `open`, sorted
        self._units = units
        self._more = True
        self._settings = settings
        self._closed: list[_OpenUnit] = []
        self.records = self.attempts = 0

    def open_units(self) -> None:
        """Open units until the queue is long enough."""
        while self._more and len(self.queue) < _ENOUGH_REQUESTS and self._indices() < _MOST_INDICES:
            unit = next(self._units, None)
            if unit is None:
                self._more = False
                return
            counter = AttemptCounter(unit.start, unit.end, self._settings)
            open_unit = _OpenUnit(unit, counter, _UnitRequests(unit, self._settings, self.queue))
            if unit.start == unit.end:
                self._closed.append(open_unit)
                continue
            self.open[unit.start] = open_unit
            insort(self._starts, unit.start)
            self._count_refused(open_unit)

    def _count_refused(self, open_unit: _OpenUnit) -> None:
        """Count the indices of a new unit whose start strings no record can have: each has one attempt, and fails."""
        refused = open_unit.requests.refused
        self.attempts += len(refused)
        done = [open_unit.counter.add(outcome) for outcome in refused]
        if any(done):
            self._close(open_unit)

    def record_samples(self, samples: Sequence[Sample], record_validator: RecordValidator) -> None:
        """Judge samples, all at once, and enter them in the books of their units."""
        needed = [sample for sample in samples if self._unit_of(sample) is not None]
        for sample, verdict in zip(needed, record_validator.validate_batch(needed), strict=True):
            self._count(sample, verdict)

    def _unit_of(self, sample: Sample) -> _OpenUnit | None:
        """Return the open unit of a sample; None where it was sampled ahead for a unit that has been closed meanwhile."""
        index = sample.request.index
        position = bisect_right(self._starts, index) - 1
        found = self.open[self._starts[position]] if position >= 0 else None
        return None if found is None or index >= found.unit.end else found

    def _count(self, sample: Sample, verdict: ValidationResult) -> None:
        request, open_unit = sample.request, self._unit_of(sample)
        if open_unit is None:  # an earlier sample of the batch has closed it
            return
        self.attempts += 1
        self.records += verdict.reason is None
        if (
            self._settings.exact_distribution
            and verdict.reason is None
            and not is_accepted(sample, self._settings.draw_settings.seed)
        ):
            verdict = NOT_ACCEPTED_VERDICT
        outcome = AttemptOutcome(
            request.index,
            request.attempt,
            sample.text,
            verdict.valid,
            verdict.reason,
            verdict.explain,
            sample.acceptance_probability,
            fault=verdict.fault,
            final=is_whole_record(request.prefix),
        )
        # Request the next attempt before counting: rows must not wait until slower indices are counted in canonical order.
        open_unit.requests.answer(outcome, open_unit.counter.last_index)
        if open_unit.counter.add(outcome):
            self._close(open_unit)
        self.open_units()

    def _close(self, done: _OpenUnit) -> None:
        """Close a unit; where it was stopped, abandon those after it."""
        self._closed.append(done)
        removed = [done]
        if done.counter.stopped is not None:
            self._more = False
            removed += [other for start, other in self.open.items() if start > done.unit.start]
        for open_unit in removed:
            del self.open[open_unit.unit.start]
            self._starts.remove(open_unit.unit.start)
        if done.requests.asks_ahead or done.counter.stopped is not None:
            # Only then can requests of the removed units still wait in the queue.
            ranges = [range(open_unit.unit.start, open_unit.unit.end) for open_unit in removed]
            kept = [request for request in self.queue if not any(request.index in indices for indices in ranges)]
            self.queue.clear()
            self.queue.extend(kept)

    def closed(self) -> list[_OpenUnit]:
        """Return the units that were closed since the last call."""
        closed, self._closed = self._closed, []
        return closed

    def _indices(self) -> int:
        """Return the number of indices at work."""
        return sum(one.unit.end - one.unit.start for one in self.open.values())


def _result(done: _OpenUnit, seconds: float) -> WorkUnitResult:
    counter = done.counter
    return WorkUnitResult(
        unit=done.unit,
        valid=counter.accepted(),
        invalid=counter.kept_invalid(),
        missing=counter.missing(),
        reasons=counter.reasons(),
        stopped=counter.stopped,
        seconds=seconds,
        acceptance_sum=counter.acceptance_sum,
    )


class _UnitRequests:
    """A unit's requests. Retries at once; when the queue runs low, also requests attempts ahead at indices that keep failing.

    Attempts ahead turn a tail of up to `max_attempts` sequential attempts on a nearly idle block of rows into a logarithmic
    number of rounds, for at most half as many attempts more. They cannot change a result: see canonical order.

    Args:
        unit: the unit; its first attempts are requested at once.
        settings: limits of attempts.
        queue: where requests go.

    Attributes:
        asks_ahead: some requests may turn out not to be needed.
        refused: outcomes of the indices whose start strings no record can have, which are not requested.
    """

    def __init__(self, unit: WorkUnit, settings: AttemptSettings, queue: deque[SampleRequest]) -> None:
        self._unit = unit
        self._max_attempts = settings.max_attempts
        self._requested = dict.fromkeys(range(unit.start, unit.end), 1)
        self._failed: Counter[int] = Counter()
        self._done: set[int] = set()
        self._queue = queue
        self.asks_ahead = False
        self.refused = [
            self._refused(index) for index in self._requested if unit.start_string_of(index).fault is not None
        ]
        skipped = {outcome.index for outcome in self.refused}
        queue.extend(self._request(index, 0) for index in self._requested if index not in skipped)

    def answer(self, outcome: AttemptOutcome, last_index: int) -> None:
        """Note an outcome, and request further attempts where they are needed.

        Args:
            outcome: of one of the unit's attempts.
            last_index: the last index that still matters.
        """
        index = outcome.index
        if outcome.reason is None:
            self._done.add(index)
            return
        self._failed[index] += 1
        if index in self._done or index > last_index or outcome.final:
            return
        failed = self._failed[index]
        ahead = failed // 2 if len(self._queue) < _LOW_WATER else 0
        target = min(failed + 1 + ahead, self._max_attempts)
        self.asks_ahead |= ahead > 0
        self._queue.extend(self._request(index, attempt) for attempt in range(self._requested[index], target))
        self._requested[index] = max(self._requested[index], target)

    def _refused(self, index: int) -> AttemptOutcome:
        start = self._unit.start_string_of(index)
        explain = "what is given cannot be part of a record"
        return AttemptOutcome(index, 0, start.text, False, start.fault, explain, final=True)

    def _request(self, index: int, attempt: int) -> SampleRequest:
        return SampleRequest(index, attempt, self._unit.start_string_of(index).ids)
