"""What guesses about canaries prove: a lower bound on epsilon from one training, exposure, and a plain membership attack.

Setting. Each of m canaries was included by its own fair coin, and training happened once. An attacker gives every canary a
score, larger where it looks included, and guesses: included for the highest, excluded for the lowest, nothing for those between.
If training is (epsilon, delta)-private under adding or removing one canary, its right guesses are, up to a term in delta, no
more than those of a fair judge who is right with probability e^epsilon / (1 + e^epsilon) each time (Steinke, Nasr,
Jagielski 2023, arXiv 2305.08846, theorem 5.2). So many right guesses refute small epsilons, whatever the attacker did.

Exposure (Carlini et al. 2019, arXiv 1802.08232): how many bits of guessing a model saves who looks for an included canary
among those that were excluded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, binom

CONFIDENCE = 0.95
# Shares of the canaries that are guessed about, half of them as included. Chosen before looking; each is a test of its own.
GUESSED_FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)
MAX_EPSILON = 64.0  # an epsilon beyond it says no more
_BISECTIONS = 40

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LowerBound:
    """What one attack proves.

    Attributes:
        epsilon: no smaller epsilon is true, at the stated confidence; 0: nothing is proved.
        guesses, right: of the number of guesses that proved most.
        statistic: the attack whose scores they were.
    """

    epsilon: float
    guesses: int
    right: int
    statistic: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float = 0.0) -> float:
    """Most probability of at least so many right guesses, if training were (epsilon, delta)-private.

    Args:
        canaries: m, each included by its own fair coin.
        guesses: how many were guessed about; fixed before looking at the coins.
        right: how many of the guesses were right.
        epsilon, delta: the claim to be tested, for one canary added or removed.

    Example:
        >>> round(p_value(10, 10, 10, 0.0), 6), p_value(10, 10, 0, 0.0)  # 2^-10; nothing right proves nothing
        (0.000977, 1.0)
    """
    if not 0 <= right <= guesses <= canaries:
        raise ValueError(f"right guesses {right}, guesses {guesses} and canaries {canaries} are not in order")
    fair = 1 / (1 + math.exp(-epsilon))
    tail = float(binom.sf(right - 1, guesses, fair))
    if not delta or not right:
        return min(tail, 1.0)
    # The privacy failures of delta may add up to i right guesses at the price of i of them: the worst i is charged.
    below = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, fair))
    worst = float(np.max(below / np.arange(1, right + 1)))
    return min(tail + 2 * canaries * delta * worst, 1.0)


def epsilon_bound(canaries: int, guesses: int, right: int, delta: float, level: float = 1 - CONFIDENCE) -> float:
    """The largest epsilon that so many right guesses refute at `level`; rounded down. 0 where none is refuted.

    Example:
        >>> epsilon_bound(100, 100, 50, 1e-5), round(epsilon_bound(1000, 1000, 1000, 0.0), 2)
        (0.0, 5.81)
    """
    low, high = 0.0, MAX_EPSILON
    if p_value(canaries, guesses, right, low, delta) >= level:
        return 0.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if p_value(canaries, guesses, right, middle, delta) < level:
            low = middle
        else:
            high = middle
    return low


def lower_bound(
    scores: dict[str, Floats], included: Bools, delta: float, shares: Sequence[float] = GUESSED_FRACTIONS
) -> LowerBound:
    """The best of several attacks at several numbers of guesses, all of them together at 95 % confidence.

    Each attack and each number of guesses is one test; the level is divided by how many there are, so that choosing the best
    costs nothing of the confidence.

    Args:
        scores: by attack, one score a canary; larger where it looks included. What is no number is guessed last.
        included: how the coins fell.
        delta: of the claim.
        shares: of the canaries that are guessed about.
    """
    m = len(included)
    counts = sorted({2 * max(1, round(share * m / 2)) for share in shares if m >= 2})
    counts = [count for count in counts if count <= m]
    level = (1 - CONFIDENCE) / max(1, len(counts) * len(scores))
    best = LowerBound(0.0, 0, 0, next(iter(scores), ""))
    for name, values in scores.items():
        order = _order(values)
        for guesses in counts:
            right = int(included[order[: guesses // 2]].sum() + (~included[order[m - guesses // 2 :]]).sum())
            found = LowerBound(epsilon_bound(m, guesses, right, delta, level), guesses, right, name)
            if not best.guesses or found.epsilon > best.epsilon:
                best = found
    return best


def _order(scores: Floats) -> npt.NDArray[np.int64]:
    """Canaries by falling score. Equal scores are ordered by a hash of their place, never by whether they were included."""
    finite = np.where(np.isnan(scores), -np.inf, scores)
    shuffled = np.random.Generator(np.random.Philox(len(scores))).permutation(len(scores))
    return shuffled[np.argsort(-finite[shuffled], kind="stable")]


def canary_exposures(scores: Floats, included: Bools) -> Floats:
    """Exposure in bits of each included canary: log2 of how many excluded ones there are, less log2 of its rank among them.

    By chance it is 1.44 bits on average; it is at most log2 of the number of excluded canaries plus one. Equal scores rank in
    the middle of each other.

    Example:
        >>> canary_exposures(np.array([9.0, 1.0, 2.0, 3.0]), np.array([True, False, False, False])).tolist()
        [2.0]
    """
    others = np.sort(scores[~included])
    above = len(others) - np.searchsorted(others, scores[included], side="right")
    equal = len(others) - np.searchsorted(others, scores[included], side="left") - above
    return np.log2(len(others) + 1) - np.log2(above + equal / 2 + 1)


def membership(scores: Floats, included: Bools, false_alarms: float = 0.01) -> dict[str, float | int | None]:
    """How well scores tell included from excluded: the area under the curve, and hits at few false alarms with their interval.

    Args:
        scores: larger where a canary looks included.
        included: how the coins fell.
        false_alarms: share of excluded canaries that may be called included.
    """
    inside, outside = np.sort(scores[included]), np.sort(scores[~included])
    if not len(inside) or not len(outside):
        return {"auc": None, "hits": None, "hits_low": None, "hits_high": None, "false_alarms": false_alarms}
    below = np.searchsorted(outside, inside, side="left") + np.searchsorted(outside, inside, side="right")
    limit = outside[len(outside) - 1 - int(false_alarms * len(outside))]
    hits, n = int((inside > limit).sum()), len(inside)
    low = float(beta.ppf(0.025, hits, n - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, n - hits)) if hits < n else 1.0
    auc = float(below.sum() / (2 * n * len(outside)))
    return {"auc": auc, "hits": hits / n, "hits_low": low, "hits_high": high, "false_alarms": false_alarms}
