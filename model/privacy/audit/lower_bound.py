"""Lower bound on epsilon from guesses about canaries in one training, with exposure and a plain membership attack.

Setting. Each of m canaries was included by its own fair coin, and training happened once. An attacker gives every canary a
score, larger where it looks included, and guesses: included for the highest, excluded for the lowest, nothing for those between.
If training is (epsilon, delta)-private under adding or removing one canary, the number of right guesses is, up to a term in
delta, stochastically no larger than with guesses that are each right with probability e^epsilon / (1 + e^epsilon)
(Steinke, Nasr, Jagielski 2023, arXiv 2305.08846, theorem 5.2). Many right guesses therefore refute small epsilons, whatever
the attacker did.

Exposure (Carlini et al. 2019, arXiv 1802.08232): the number of bits that the model saves in guessing an included canary, by
its rank among the excluded ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, binomtest

CONFIDENCE = 0.95
# Fractions of the canaries to guess about, half of them as included. Fixed in advance; each is a test of its own.
GUESSED_FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)
MAX_EPSILON = 64.0  # larger bounds are not told apart
_BISECTIONS = 40

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LowerBound:
    """Result of the attack that proves most; the attributes are also keys in `audit.json`.

    Attributes:
        epsilon: no smaller epsilon holds, at 95 % confidence; 0: nothing is proved.
        guesses, right: number of guesses of the best test, and of the right ones among them.
        statistic: name of the attack whose scores they were.
    """

    epsilon: float
    guesses: int
    right: int
    statistic: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return asdict(self)


def p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float = 0.0) -> float:
    """Bound the probability of at least this many right guesses under an (epsilon, delta)-private training.

    Args:
        canaries: m, each included by its own fair coin.
        guesses: number of guesses; fixed before looking at the coins.
        right: number of right guesses.
        epsilon: epsilon of the claim to be tested, for one canary added or removed.
        delta: delta of that claim.

    Returns:
        The p-value of the claim, at most 1.

    Raises:
        ValueError: not 0 <= right <= guesses <= canaries.

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
    # Failures of probability delta each can add i right guesses at a price proportional to i: the worst i counts.
    below = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, fair))
    worst = float(np.max(below / np.arange(1, right + 1)))
    return min(tail + 2 * canaries * delta * worst, 1.0)


def epsilon_bound(canaries: int, guesses: int, right: int, delta: float, level: float = 1 - CONFIDENCE) -> float:
    """Find the largest epsilon that this many right guesses refute.

    Args:
        canaries: m, each included by its own fair coin.
        guesses: number of guesses; fixed before looking at the coins.
        right: number of right guesses.
        delta: delta of the claim.
        level: significance level.

    Returns:
        Epsilon, rounded down, at most `MAX_EPSILON`; 0 where none is refuted.

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
    scores: dict[str, Floats], included: Bools, delta: float, fractions: Sequence[float] = GUESSED_FRACTIONS
) -> LowerBound:
    """Return the best lower bound of several attacks with several numbers of guesses, at 95 % confidence for all together.

    Each attack with each number of guesses is one test; the significance level is divided by the number of tests, so that
    choosing the best one costs no confidence.

    Args:
        scores: for each attack one score per canary, [m], larger where it looks included. NaN counts as the lowest score.
        included: whether each canary was included, [m].
        delta: delta of the claim.
        fractions: fractions of the canaries to guess about.
    """
    m = len(included)
    counts = sorted({2 * max(1, round(fraction * m / 2)) for fraction in fractions if m >= 2})
    counts = [count for count in counts if count <= m]
    level = (1 - CONFIDENCE) / max(1, len(counts) * len(scores))
    best = LowerBound(0.0, 0, 0, next(iter(scores), ""))
    for name, values in scores.items():
        order = _by_falling_score(values)
        for guesses in counts:
            right = int(included[order[: guesses // 2]].sum() + (~included[order[m - guesses // 2 :]]).sum())
            bound = LowerBound(epsilon_bound(m, guesses, right, delta, level), guesses, right, name)
            if not best.guesses or bound.epsilon > best.epsilon:
                best = bound
    return best


def _by_falling_score(scores: Floats) -> npt.NDArray[np.int64]:
    """Return the canaries by falling score. Equal scores are in a random order that does not depend on the coins."""
    finite = np.where(np.isnan(scores), -np.inf, scores)
    shuffled = np.random.Generator(np.random.Philox(len(scores))).permutation(len(scores))
    return shuffled[np.argsort(-finite[shuffled], kind="stable")]


def canary_exposures(scores: Floats, included: Bools) -> Floats:
    """Compute the exposure of each included canary: log2 of (excluded canaries + 1) less log2 of its rank among them.

    It is 1.44 bits on average by chance, and at most log2 of the number of excluded canaries plus one. Of equal scores half
    count as higher.

    Args:
        scores: one score per canary, [m], larger where it looks included.
        included: whether each canary was included, [m].

    Returns:
        Bits, [included canaries].

    Example:
        >>> canary_exposures(np.array([9.0, 1.0, 2.0, 3.0]), np.array([True, False, False, False])).tolist()
        [2.0]
    """
    others = np.sort(scores[~included])
    above = len(others) - np.searchsorted(others, scores[included], side="right")
    equal = len(others) - np.searchsorted(others, scores[included], side="left") - above
    return np.log2(len(others) + 1) - np.log2(above + equal / 2 + 1)


def membership_attack(scores: Floats, included: Bools, false_alarms: float = 0.01) -> dict[str, float | int | None]:
    """Measure how well scores tell included from excluded canaries.

    Args:
        scores: one score per canary, [m], larger where it looks included.
        included: whether each canary was included, [m].
        false_alarms: fraction of excluded canaries that may be called included.

    Returns:
        The area under the ROC curve `auc`; the fraction of included canaries found at that false alarm rate, `hits`, with its
        95 % Clopper-Pearson interval; and `false_alarms`. All but the last are None where either group is empty.
    """
    inside, outside = np.sort(scores[included]), np.sort(scores[~included])
    if not len(inside) or not len(outside):
        return {"auc": None, "hits": None, "hits_low": None, "hits_high": None, "false_alarms": false_alarms}
    # Twice the number of excluded canaries below each included one: equal ones count as half.
    below = np.searchsorted(outside, inside, side="left") + np.searchsorted(outside, inside, side="right")
    limit = outside[len(outside) - 1 - int(false_alarms * len(outside))]
    hits = int((inside > limit).sum())
    interval = binomtest(hits, len(inside)).proportion_ci(CONFIDENCE)
    return {
        "auc": float(below.sum() / (2 * len(inside) * len(outside))),
        "hits": hits / len(inside),
        "hits_low": float(interval.low),
        "hits_high": float(interval.high),
        "false_alarms": false_alarms,
    }
