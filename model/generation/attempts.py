"""Counts the outcomes of a unit in canonical order, whatever order they arrive in, and says when the unit is done.

Two limits are counted by index instead, because their result must be the one that a patient worker would get who settles
index 0, then index 1, and so on: the ceiling on invalid records, and which invalid records are kept.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from linesmith.model.sampling.sample_types import DrawSettings

# The rate is that of a unit's last so many attempts, and is judged once there have been so many.
RATE_WINDOW = 10_000
THINNED = "thinned"  # valid, but left out by `linesmith.model.generation.rejection_sampling`


@dataclass(frozen=True)
class AttemptSettings:
    """What decides about attempts.

    Attributes:
        seed: seed of the run.
        temperature: sampling temperature; 0: the likeliest token.
        gen_chars: a record is cut after so many characters; 0: never.
        max_attempts: attempts at one index before it counts as missing.
        min_valid_rate: a unit stops when of its last 10,000 attempts a smaller share was valid, while most of its indices have no
            record yet.
        max_invalid: a unit stops at the first invalid record beyond so many, in index order; None: never.
        keep_invalid: how many invalid outcomes are kept, the first by index; None: all.
        top_k, top_p: as in `DrawSettings`.
        exact: thin the records so that they have the distribution of the unmasked model (`rejection_sampling`).
    """

    seed: int = 0
    temperature: float = 1.0
    gen_chars: int = 0
    max_attempts: int = 1000
    min_valid_rate: float = 0.001
    max_invalid: int | None = None
    keep_invalid: int | None = 10_000
    top_k: int = 0
    top_p: float = 1.0
    exact: bool = False

    @property
    def draw(self) -> DrawSettings:
        """How tokens are drawn."""
        return DrawSettings(self.seed, self.temperature, self.gen_chars, self.top_k, self.top_p)


@dataclass(frozen=True)
class Outcome:
    """An attempt with its verdict; `reason` is None exactly where it is accepted (`valid` True or None).

    `survival` is that of its sample.
    """

    index: int
    attempt: int
    text: str
    valid: bool | None
    reason: str | None = None
    explain: str | None = None
    survival: float = 1.0


class AttemptCounter:
    """The books of one unit, for indices `start` … `end` − 1."""

    def __init__(self, start: int, end: int, settings: AttemptSettings) -> None:
        self._range = range(start, end)
        self._settings = settings
        self._round = list(self._range)  # the indices whose attempt number `_attempt` counts, in order
        self._position = 0
        self._next: list[int] = []
        self._attempt = 0
        self._waiting: dict[tuple[int, int], Outcome] = {}
        self._accepted: dict[int, Outcome] = {}
        self._attempts = 0
        self._reasons: Counter[str] = Counter()
        self._reasons_at: dict[int, list[str]] = {}  # only under a ceiling, which bounds it
        self._kept: dict[int, list[Outcome]] = {}
        self._ceiling = _Ceiling(start, end, settings.max_invalid)
        keep = settings.keep_invalid
        self._keep = _Ceiling(start, end, None if keep is None else keep - 1)
        self._rate = _Rate(settings.min_valid_rate)
        self._hopeless = False
        self.survival = 0.0  # sum of ∏ Zₜ over the attempts that gave a record, thinned ones included

    @property
    def last_index(self) -> int:
        """Indices after this one can no longer change the result."""
        return self._ceiling.last

    @property
    def stopped(self) -> str | None:
        """Why the unit ended early: 'rate', 'max_invalid', or None."""
        if self._ceiling.crossed:
            return "max_invalid"
        return "rate" if self._hopeless else None

    def offer(self, outcome: Outcome) -> bool:
        """Take an outcome, in any order; True when the unit is done."""
        if outcome.index not in self._accepted:  # else it was sampled ahead of need
            self._waiting[outcome.attempt, outcome.index] = outcome
        while not self._hopeless:
            index = self._awaited()
            if index is None:
                return True
            found = self._waiting.pop((self._attempt, index), None)
            if found is None:
                return False
            self._position += 1
            self._count(found)
        return True

    def accepted(self) -> list[Outcome]:
        """The records, by index; under a crossed ceiling only those before it."""
        return [
            self._accepted[index]
            for index in self._range
            if index in self._accepted and (not self._ceiling.crossed or index < self._ceiling.last)
        ]

    def kept(self) -> list[Outcome]:
        """The first invalid outcomes by (index, attempt), as many as are to be kept."""
        return [
            outcome
            for index in sorted(self._kept)
            for outcome in self._kept[index]
            if self._keep.holds(index, outcome.attempt) and self._ceiling.holds(index, outcome.attempt)
        ]

    def missing(self) -> list[int]:
        """The indices without a record."""
        there = {outcome.index for outcome in self.accepted()}
        return [index for index in self._range if index not in there]

    def reasons(self) -> Counter[str]:
        """All invalid outcomes by reason; under a crossed ceiling those up to the one that crossed it."""
        if not self._ceiling.crossed:
            return self._reasons
        return Counter(
            reason
            for index, reasons in self._reasons_at.items()
            for attempt, reason in enumerate(reasons)
            if self._ceiling.holds(index, attempt)
        )

    def _awaited(self) -> int | None:
        """The index whose outcome comes next in canonical order; None when there is none."""
        while True:
            while self._position < len(self._round):
                index = self._round[self._position]
                if not self._beyond(index):
                    return index
                self._position += 1
            if not self._next:
                return None
            self._round, self._next, self._position = self._next, [], 0
            self._attempt += 1

    def _beyond(self, index: int) -> bool:
        # The index at which the ceiling is crossed has already failed often enough.
        return self._ceiling.crossed and index >= self._ceiling.last

    def _count(self, outcome: Outcome) -> None:
        index = outcome.index
        self._attempts += 1
        if outcome.reason in (None, THINNED):
            self.survival += outcome.survival
        if outcome.reason is None:
            self._accepted[index] = outcome
        else:
            self._reasons[outcome.reason] += 1
            self._keep_invalid(outcome)
            self._count_under_ceiling(index, outcome.reason)
            if outcome.attempt + 1 < self._settings.max_attempts and not self._beyond(index):
                self._next.append(index)
        self._rate.add(outcome.reason is None)
        # A few indices that keep failing, such as impossible start strings, make no run hopeless: `max_attempts` bounds them.
        self._hopeless = self._rate.is_low and 2 * len(self._accepted) < len(self._range)

    def _keep_invalid(self, outcome: Outcome) -> None:
        before = self._keep.last
        self._keep.add(outcome.index)
        if outcome.index <= self._keep.last:
            self._kept.setdefault(outcome.index, []).append(outcome)
        for dropped in range(self._keep.last + 1, before + 1):
            self._kept.pop(dropped, None)

    def _count_under_ceiling(self, index: int, reason: str) -> None:
        if self._settings.max_invalid is None:
            return
        before = self._ceiling.last
        self._ceiling.add(index)
        if index <= self._ceiling.last:
            self._reasons_at.setdefault(index, []).append(reason)
        for dropped in range(self._ceiling.last + 1, before + 1):
            self._reasons_at.pop(dropped, None)


class _Rate:
    """The share of valid ones among the last `RATE_WINDOW` attempts.

    Example:
        >>> rate = _Rate(least=0.001)
        >>> for number in range(RATE_WINDOW + 10):
        ...     rate.add(number < 10)
        >>> rate.is_low  # ten of the last 10,000, and one more is too many
        True
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self._attempts = 0
        self._valid: deque[int] = deque()  # numbers of the valid attempts in the window

    @property
    def is_low(self) -> bool:
        """Too few are valid; never before the window is full."""
        return self._attempts >= RATE_WINDOW and len(self._valid) < self._least * RATE_WINDOW

    def add(self, valid: bool) -> None:
        """Count an attempt."""
        if valid:
            self._valid.append(self._attempts)
        self._attempts += 1
        while self._valid and self._valid[0] < self._attempts - RATE_WINDOW:
            self._valid.popleft()


class _Ceiling:
    """Finds where more than `limit` things were counted by (index, attempt), although they come in another order.

    Example:
        >>> ceiling = _Ceiling(0, 10, limit=1)
        >>> for index in (7, 3, 5):
        ...     ceiling.add(index)
        >>> ceiling.crossed, ceiling.last  # 3 and 5 are two already
        (True, 5)
    """

    def __init__(self, start: int, end: int, limit: int | None) -> None:
        self.last = end - 1
        self._start = start
        self._limit = limit
        self._at: Counter[int] = Counter()
        self._total = 0  # of the indices up to `last`

    @property
    def crossed(self) -> bool:
        return self._limit is not None and self._total > self._limit

    def add(self, index: int) -> None:
        """Count one. Indices only ever lower `last`, so the whole costs one pass."""
        if self._limit is None or index > self.last:
            return
        self._at[index] += 1
        self._total += 1
        while self.last > self._start and self._total - self._at[self.last] > self._limit:
            self._total -= self._at.pop(self.last, 0)
            self.last -= 1

    def holds(self, index: int, attempt: int) -> bool:
        """The failed attempt is among the first limit + 1."""
        if not self.crossed or self._limit is None:
            return True
        before = self._total - self._at[self.last]
        return index < self.last or (index == self.last and attempt <= self._limit - before)
