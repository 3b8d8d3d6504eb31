"""One unit of generation: a range of record indices, each tried until it is valid or its attempts are used up.

Words:
    index     number of a record in the whole run, from 0.
    attempt   number of a try at one index, from 0. The text of (seed, index, attempt) never depends on anything else.
    outcome   an attempt with its verdict. The record of an index is its first attempt that is not invalid.
    canonical order   attempt by attempt, and by index within an attempt: all first attempts, then all second ones, …

The sampler finishes attempts in an order that depends on its speed. Outcomes are therefore held back and counted in
canonical order (`attempts`), and attempts that were sampled ahead but turn out not to be needed are forgotten. So a
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
from linesmith.model.generation.attempts import AttemptCounter, AttemptSettings, Outcome
from linesmith.model.generation.rejection_sampling import NOT_ACCEPTED_VERDICT, survives
from linesmith.model.generation.work_units import UnitResult, WorkUnit
from linesmith.model.sampling.sample_types import DrawSettings, Sample, SampleRequest
from linesmith.records.validation.record_validator import Judge, Verdict

# With fewer requests than this waiting, rows of the sampler are about to stand idle.
_LOW_WATER = 256
# Units are opened until so many requests wait, twice the largest block, but never with more indices than that at work.
_ENOUGH = 8192
_MOST_INDICES = 1 << 16
_PROGRESS_EVERY = 1.0  # seconds


class SampleSource(Protocol):
    """What generation needs of `linesmith.model.sampling.sampler.Sampler`."""

    def batches(self, requests: deque[SampleRequest], settings: DrawSettings) -> Iterator[list[Sample]]:
        """Samples as they finish, some at a time, until the queue, to which the consumer may append, is empty."""
        ...


def generate_unit(
    sampler: SampleSource,
    unit: WorkUnit,
    settings: AttemptSettings,
    judge: Judge,
    clock: Callable[[], float] = time.perf_counter,
) -> UnitResult:
    """`generate_units` for a single unit."""
    return next(generate_units(sampler, [unit], settings, judge, clock))


def generate_units(
    sampler: SampleSource,
    units: Iterable[WorkUnit],
    settings: AttemptSettings,
    judge: Judge,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[UnitResult]:
    """Generate the records of several units side by side, so that no row stands idle while a unit ends.

    Results come as they are complete. Guarantees: each is that of `generate_unit`; never more than `max_attempts` attempts an
    index count; ends for every model and validator that end; some units are open at a time, however many there are. After a
    unit that was stopped, those behind it are abandoned, since they would not be published.

    Args:
        sampler: a loaded model.
        units: in ascending order; taken as rows come free.
        settings: what decides about attempts.
        judge: decides about samples.
        clock: for tests. A unit's seconds are those since the former result.
        progress: told about once a second how many records and attempts there have been so far.

    Raises:
        GenerationError: the sampler left requests unanswered.
    """
    desk = _Desk(iter(units), settings)
    began = told = clock()
    batches: Iterator[list[Sample]] = iter(())
    try:
        desk.open_units()
        batches = sampler.batches(desk.queue, settings.draw)
        while True:
            for done in desk.closed():
                yield _result(done, clock() - began)
                began = clock()
            if not desk.open:
                return
            batch = next(batches, None)
            if batch is None:
                unsettled = min(desk.open.values(), key=lambda one: one.unit.start).unit
                raise GenerationError(
                    f"The sampler ended before records {unsettled.start} to {unsettled.end - 1} were settled."
                )
            desk.take(batch, judge)
            if progress is not None and clock() - told >= _PROGRESS_EVERY:
                progress(desk.records, desk.attempts)
                told = clock()
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


@dataclass
class _Open:
    """A unit at work."""

    unit: WorkUnit
    ledger: AttemptCounter
    requests: _Requests


class _Desk:
    """The open units, and one queue of requests for all of them."""

    def __init__(self, units: Iterator[WorkUnit], settings: AttemptSettings) -> None:
        self.queue: deque[SampleRequest] = deque()
        self.open: dict[int, _Open] = {}  # by first index
        self._starts: list[int] = []  # the same, sorted
        self._units = units
        self._more = True
        self._settings = settings
        self._closed: list[_Open] = []
        self.records = self.attempts = 0

    def open_units(self) -> None:
        """Open units until the queue is long enough."""
        while self._more and len(self.queue) < _ENOUGH and self._indices() < _MOST_INDICES:
            unit = next(self._units, None)
            if unit is None:
                self._more = False
                return
            one = _Open(
                unit, AttemptCounter(unit.start, unit.end, self._settings), _Requests(unit, self._settings, self.queue)
            )
            if unit.start == unit.end:
                self._closed.append(one)
                continue
            self.open[unit.start] = one
            insort(self._starts, unit.start)

    def take(self, samples: Sequence[Sample], judge: Judge) -> None:
        """Judge samples, all at once, and enter them in the books of their units."""
        wanted = [sample for sample in samples if self._unit_of(sample) is not None]
        for sample, verdict in zip(wanted, judge.many(wanted), strict=True):
            self._enter(sample, verdict)

    def _unit_of(self, sample: Sample) -> _Open | None:
        """The open unit that a sample is for; None where it was sampled ahead for one that has been settled meanwhile."""
        index = sample.request.index
        at = bisect_right(self._starts, index) - 1
        one = self.open.get(self._starts[at]) if at >= 0 else None
        return None if one is None or index >= one.unit.end else one

    def _enter(self, sample: Sample, verdict: Verdict) -> None:
        asked, one = sample.request, self._unit_of(sample)
        if one is None:
            return
        self.attempts += 1
        self.records += verdict.reason is None
        if self._settings.exact and verdict.reason is None and not survives(sample, self._settings.seed):
            verdict = NOT_ACCEPTED_VERDICT
        outcome = Outcome(
            asked.index, asked.attempt, sample.text, verdict.valid, verdict.reason, verdict.explain, sample.survival
        )
        # Ask again before counting: rows must not wait for a slow neighbour's turn in canonical order.
        one.requests.answer(outcome, one.ledger.last_index)
        if one.ledger.offer(outcome):
            self._close(one)
        self.open_units()

    def _close(self, one: _Open) -> None:
        self._closed.append(one)
        gone = [one]
        if one.ledger.stopped is not None:
            self._more = False
            gone += [other for start, other in self.open.items() if start > one.unit.start]
        for unit in gone:
            del self.open[unit.unit.start]
            self._starts.remove(unit.unit.start)
        if one.requests.asks_ahead or one.ledger.stopped is not None:
            ranges = [range(unit.unit.start, unit.unit.end) for unit in gone]
            kept = [request for request in self.queue if not any(request.index in indices for indices in ranges)]
            self.queue.clear()
            self.queue.extend(kept)

    def closed(self) -> list[_Open]:
        """The units that were settled since the last call."""
        closed, self._closed = self._closed, []
        return closed

    def _indices(self) -> int:
        return sum(one.unit.end - one.unit.start for one in self.open.values())


def _result(done: _Open, seconds: float) -> UnitResult:
    ledger = done.ledger
    return UnitResult(
        unit=done.unit,
        valid=ledger.accepted(),
        invalid=ledger.kept(),
        missing=ledger.missing(),
        reasons=ledger.reasons(),
        stopped=ledger.stopped,
        seconds=seconds,
        survival=ledger.survival,
    )


class _Requests:
    """A unit's part of the queue. Retries at once; when the queue runs low, also tries ahead at the indices that keep failing.

    Trying ahead turns a tail of up to `max_attempts` sequential tries on an idle block of rows into a logarithmic number
    of rounds, for at most half as many attempts again. It cannot change a result: see canonical order.
    """

    def __init__(self, unit: WorkUnit, settings: AttemptSettings, queue: deque[SampleRequest]) -> None:
        self._unit = unit
        self._max_attempts = settings.max_attempts
        self._asked = dict.fromkeys(range(unit.start, unit.end), 1)
        self._failed: Counter[int] = Counter()
        self._done: set[int] = set()
        self._queue = queue
        self.asks_ahead = False  # some requests may turn out not to be needed
        queue.extend(self._request(index, 0) for index in self._asked)

    def answer(self, outcome: Outcome, last_index: int) -> None:
        """Note an outcome, and ask for what it calls for. Indices after `last_index` no longer matter."""
        index = outcome.index
        if outcome.reason is None:
            self._done.add(index)
            return
        self._failed[index] += 1
        if index in self._done or index > last_index:
            return
        failed = self._failed[index]
        ahead = failed // 2 if len(self._queue) < _LOW_WATER else 0
        wanted = min(failed + 1 + ahead, self._max_attempts)
        self.asks_ahead |= ahead > 0
        self._queue.extend(self._request(index, attempt) for attempt in range(self._asked[index], wanted))
        self._asked[index] = max(self._asked[index], wanted)

    def _request(self, index: int, attempt: int) -> SampleRequest:
        return SampleRequest(index, attempt, self._unit.start_string_of(index).ids)
