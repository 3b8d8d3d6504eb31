"""Counting of a unit's attempts in canonical order, whatever order they arrive in, until the unit is done.

Two limits are counted by index instead: the ceiling on invalid records, and which invalid records are kept. Their result must
be that of a worker who finishes index 0 before it begins index 1, and so on.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from linesmith.model.sampling.sample_types import DrawSettings

# The valid rate is that of a unit's last attempts, so many of them; before that it is not judged.
RATE_WINDOW = 10_000
NOT_ACCEPTED = "thinned"  # reason of a valid record that `linesmith.model.generation.rejection_sampling` left out


@dataclass(frozen=True)
class AttemptSettings:
    """Settings of the attempts at the indices of a unit.

    Attributes:
        draw_settings: how tokens are drawn.
        max_attempts: attempts at one index before it counts as missing.
        min_valid_rate: a unit stops when a smaller share of its last 10,000 attempts was valid, while most of its indices have
            no record yet.
        max_invalid: a unit stops at the first invalid record beyond so many, in index order; None: never.
        keep_invalid: how many invalid outcomes are kept, the first by index; None: all.
        exact_distribution: leave records out so that the rest has the distribution of the unmasked model
            (`rejection_sampling`).
    """

    draw_settings: DrawSettings = field(default_factory=DrawSettings)
    max_attempts: int = 1000
    min_valid_rate: float = 0.001
    max_invalid: int | None = None
    keep_invalid: int | None = 10_000
    exact_distribution: bool = False


@dataclass(frozen=True)
class AttemptOutcome:
    """An attempt with its verdict.

    Attributes:
        index, attempt, text: those of its sample.
        valid: the validator's verdict; None: it was not asked.
        reason: why the attempt is invalid; None exactly where it is accepted (`valid` True or None).
        explain: the reason in words, or None.
        acceptance_probability: that of its sample.
        fault: what the validator raised, without a word of the record, or None.
        final: a further attempt would give the same.
    """

    index: int
    attempt: int
    text: str
    valid: bool | None
    reason: str | None = None
    explain: str | None = None
    acceptance_probability: float = 1.0
    fault: str | None = None
    final: bool = False


class AttemptCounter:
    """Counter of one unit's attempts, for indices `start` … `end` − 1.

    Args:
        start, end: range of the unit's indices.
        settings: its limits.

    Attributes:
        acceptance_sum: sum of ∏ Zₜ over the attempts that gave a valid record, those left out by rejection sampling included.
    """

    def __init__(self, start: int, end: int, settings: AttemptSettings) -> None:
        self._range = range(start, end)
        self._settings = settings
        self._round = list(self._range)  # the indices whose attempt number `_attempt` counts, in order
        self._position = 0
        self._next: list[int] = []
        self._attempt = 0
        self._waiting: dict[tuple[int, int], AttemptOutcome] = {}
        self._accepted: dict[int, AttemptOutcome] = {}
        self._attempts = 0
        self._reasons: Counter[str] = Counter()
        self._reasons_at: dict[int, list[str]] = {}  # only under a ceiling, which bounds it
        self._kept: dict[int, list[AttemptOutcome]] = {}
        self._ceiling = _Ceiling(start, end, settings.max_invalid)
        keep = settings.keep_invalid
        self._keep = _Ceiling(start, end, None if keep is None else keep - 1)
        self._rate = _ValidRate(settings.min_valid_rate)
        self._hopeless = False
        self.acceptance_sum = 0.0

    @property
    def last_index(self) -> int:
        """Return the last index that can still change the result."""
        return self._ceiling.last

    @property
    def stopped(self) -> str | None:
        """Return why the unit ended early: 'rate', 'max_invalid', or None."""
        if self._ceiling.crossed:
            return "max_invalid"
        return "rate" if self._hopeless else None

    def add(self, outcome: AttemptOutcome) -> bool:
        """Add an outcome; they may come in any order. Returns whether the unit is done."""
        if outcome.index not in self._accepted:  # else it was sampled ahead and is not needed
            self._waiting[outcome.attempt, outcome.index] = outcome
        while not self._hopeless:
            index = self._next_index()
            if index is None:
                return True
            waiting = self._waiting.pop((self._attempt, index), None)
            if waiting is None:
                return False
            self._position += 1
            self._count(waiting)
        return True

    def accepted(self) -> list[AttemptOutcome]:
        """Return the accepted outcomes by index; where the ceiling was crossed, only those before it."""
        return [
            self._accepted[index]
            for index in self._range
            if index in self._accepted and (not self._ceiling.crossed or index < self._ceiling.last)
        ]

    def kept_invalid(self) -> list[AttemptOutcome]:
        """Return the first invalid outcomes by (index, attempt), as many as are to be kept."""
        return [
            outcome
            for index in sorted(self._kept)
            for outcome in self._kept[index]
            if self._keep.holds(index, outcome.attempt) and self._ceiling.holds(index, outcome.attempt)
        ]

    def missing(self) -> list[int]:
        """Return the indices without a record."""
        accepted = {outcome.index for outcome in self.accepted()}
        return [index for index in self._range if index not in accepted]

    def reasons(self) -> Counter[str]:
        """Count the invalid outcomes by reason; where the ceiling was crossed, those up to the one that crossed it."""
        if not self._ceiling.crossed:
            return self._reasons
        return Counter(
            reason
            for index, reasons in self._reasons_at.items()
            for attempt, reason in enumerate(reasons)
            if self._ceiling.holds(index, attempt)
        )

    def _next_index(self) -> int | None:
        """Return the index whose outcome comes next in canonical order; None when there is none."""
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
        # At the index at which the ceiling is crossed no further attempt is needed either.
        return self._ceiling.crossed and index >= self._ceiling.last

    def _count(self, outcome: AttemptOutcome) -> None:
        index = outcome.index
        self._attempts += 1
        if outcome.reason in (None, NOT_ACCEPTED):
            self.acceptance_sum += outcome.acceptance_probability
        if outcome.reason is None:
            self._accepted[index] = outcome
        else:
            self._reasons[outcome.reason] += 1
            self._keep_invalid(outcome)
            self._count_under_ceiling(index, outcome.reason)
            again = not outcome.final and outcome.attempt + 1 < self._settings.max_attempts
            if again and not self._beyond(index):
                self._next.append(index)
        self._rate.add(outcome.reason is None)
        # A few indices that keep failing, such as impossible start strings, do not end a run: `max_attempts` bounds them.
        self._hopeless = self._rate.is_low and 2 * len(self._accepted) < len(self._range)

    def _keep_invalid(self, outcome: AttemptOutcome) -> None:
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


class _ValidRate:
    """The share of valid attempts among the last `RATE_WINDOW`.

    Args:
        least: the share below which the rate is low.

    Example:
        >>> rate = _ValidRate(least=0.001)
        >>> for number in range(RATE_WINDOW + 10):
        ...     rate.add(number < 10)
        >>> rate.is_low  # ten of the first 10,000 were valid, but the window has moved on
        True
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self._attempts = 0
        self._valid: deque[int] = deque()  # numbers of the valid attempts in the window

    @property
    def is_low(self) -> bool:
        """Return whether too few attempts are valid; never before the window is full."""
        return self._attempts >= RATE_WINDOW and len(self._valid) < self._least * RATE_WINDOW

    def add(self, valid: bool) -> None:
        """Count an attempt and drop those that have left the window."""
        if valid:
            self._valid.append(self._attempts)
        self._attempts += 1
        while self._valid and self._valid[0] < self._attempts - RATE_WINDOW:
            self._valid.popleft()


class _Ceiling:
    """Finds the index at which more than `limit` failed attempts were counted by index, although they come in any order.

    Args:
        start, end: range of indices.
        limit: None: no limit.

    Attributes:
        last: the index at which the limit is crossed, or the last of the range.

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
        self._counts: Counter[int] = Counter()
        self._total = 0  # of the indices up to `last`

    @property
    def crossed(self) -> bool:
        """Return whether there were more than `limit`."""
        return self._limit is not None and self._total > self._limit

    def add(self, index: int) -> None:
        """Count a failed attempt. `last` only ever falls, so all calls together cost one pass over the range."""
        if self._limit is None or index > self.last:
            return
        self._counts[index] += 1
        self._total += 1
        while self.last > self._start and self._total - self._counts[self.last] > self._limit:
            self._total -= self._counts.pop(self.last, 0)
            self.last -= 1

    def holds(self, index: int, attempt: int) -> bool:
        """Return whether a failed attempt is among the first limit + 1."""
        if not self.crossed or self._limit is None:
            return True
        before = self._total - self._counts[self.last]
        return index < self.last or (index == self.last and attempt <= self._limit - before)
