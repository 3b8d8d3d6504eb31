"""One unit of generation: a range of record indices, each tried until it is valid or its attempts are used up.

Words:
    index     number of a record in the whole run, from 0.
    attempt   number of a try at one index, from 0. The text of (seed, index, attempt) never depends on anything else.
    outcome   an attempt with its verdict. The record of an index is its first attempt that is not invalid.
    canonical order   attempt by attempt, and by index within an attempt: all first attempts, then all second ones, …

The sampler finishes attempts in an order that depends on its speed. Outcomes are therefore held back and counted in
canonical order (`model.ledger`), and attempts that were sampled ahead but turn out not to be needed are forgotten. So a
unit's result is a function of the unit, the settings, the model and the validator, and of nothing else.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from model.config import TensorFlowConfig
from model.errors import GenerationError
from model.ledger import Ledger, Outcome, UnitSettings
from model.sampling import Sample, Sampler, SampleRequest
from model.validation import Verdict

# With fewer requests than this waiting, rows of the sampler are about to stand idle.
_LOW_WATER = 256


class SampleSource(Protocol):
    """What generation needs of `model.sampling.Sampler`."""

    def stream(
        self, requests: deque[SampleRequest], *, seed: int, temperature: float = 1.0, gen_chars: int = 0
    ) -> Iterator[Sample]: ...


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

    def start_of(self, index: int) -> StartString:
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
    """

    unit: WorkUnit
    valid: list[Outcome]
    invalid: list[Outcome]
    missing: list[int]
    reasons: Counter[str]
    stopped: str | None
    seconds: float

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


def generate_unit(
    sampler: SampleSource,
    unit: WorkUnit,
    settings: UnitSettings,
    judge: Callable[[Sample], Verdict],
    clock: Callable[[], float] = time.perf_counter,
) -> UnitResult:
    """Generate the records of a unit.

    Guarantees: never more than `max_attempts` attempts an index count; ends for every model and validator that end; the
    result does not depend on the order in which the sampler finishes.

    Raises:
        GenerationError: the sampler left requests unanswered.
    """
    began = clock()
    ledger = Ledger(unit.start, unit.end, settings)
    if unit.start < unit.end:
        _drive(sampler, unit, settings, judge, ledger)
    return UnitResult(
        unit=unit,
        valid=ledger.accepted(),
        invalid=ledger.kept(),
        missing=ledger.missing(),
        reasons=ledger.reasons(),
        stopped=ledger.stopped,
        seconds=clock() - began,
    )


def _drive(
    sampler: SampleSource,
    unit: WorkUnit,
    settings: UnitSettings,
    judge: Callable[[Sample], Verdict],
    ledger: Ledger,
) -> None:
    requests = _Requests(unit, settings.max_attempts)
    stream = sampler.stream(
        requests.queue, seed=settings.seed, temperature=settings.temperature, gen_chars=settings.gen_chars
    )
    try:
        for sample in stream:
            asked, verdict = sample.request, judge(sample)
            outcome = Outcome(asked.index, asked.attempt, sample.text, verdict.valid, verdict.reason, verdict.explain)
            # Ask again before counting: rows must not wait for a slow neighbour's turn in canonical order.
            requests.answer(outcome, ledger.last_index)
            if ledger.offer(outcome):
                return
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()
    raise GenerationError(f"The sampler ended before records {unit.start} to {unit.end - 1} were settled.")


class _Requests:
    """The queue of attempts. Retries at once; when the queue runs low, also tries ahead at the indices that keep failing.

    Trying ahead turns a tail of up to `max_attempts` sequential tries on an idle block of rows into a logarithmic number
    of rounds, for at most half as many attempts again. It cannot change a result: see canonical order.
    """

    def __init__(self, unit: WorkUnit, max_attempts: int) -> None:
        self._unit = unit
        self._max_attempts = max_attempts
        self._asked = dict.fromkeys(range(unit.start, unit.end), 1)
        self._failed: Counter[int] = Counter()
        self._done: set[int] = set()
        self.queue = deque(self._request(index, 0) for index in self._asked)

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
        ahead = failed // 2 if len(self.queue) < _LOW_WATER else 0
        wanted = min(failed + 1 + ahead, self._max_attempts)
        for attempt in range(self._asked[index], wanted):
            self.queue.append(self._request(index, attempt))
        self._asked[index] = max(self._asked[index], wanted)

    def _request(self, index: int, attempt: int) -> SampleRequest:
        return SampleRequest(index, attempt, self._unit.start_of(index).ids)


def unit_settings(config: TensorFlowConfig, max_invalid: int | None, keep_invalid: int | None = 10_000) -> UnitSettings:
    """The rules about attempts in a configuration; where a run's own limits apply, they are given."""
    return UnitSettings(
        seed=config.seed,
        temperature=config.gen_temp,
        gen_chars=config.gen_chars,
        max_attempts=config.max_attempts,
        min_valid_rate=config.min_valid_rate,
        max_invalid=max_invalid,
        keep_invalid=keep_invalid,
    )


def open_sampler(run_dir: str, checkpoint: str | None = None, threads: int | None = None) -> SampleSource:
    """Load the model of a run directory; imports TensorFlow.

    Raises:
        DataError, ParameterError: as `Sampler`.
    """
    return Sampler(run_dir, checkpoint=checkpoint, threads=threads)


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
