"""Distances between distributions, strength of association, and intervals for differences of shares.

All distances are 0 for equal and at most 1; None where one side has nothing to compare.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from linesmith.evaluation.sketches import Quantiles

Counts = npt.NDArray[np.int64]
_POINTS = np.linspace(0.0, 1.0, 1025)


def total_variation(left: Counts, right: Counts) -> float | None:
    """Half the sum of the absolute differences of two distributions over the same cells, given as counts.

    Example:
        >>> total_variation(np.array([1, 1]), np.array([2, 0]))
        0.5
    """
    if not left.sum() or not right.sum():
        return None
    return float(np.abs(left / left.sum() - right / right.sum()).sum() / 2)


def _grid(left: Quantiles, right: Quantiles) -> npt.NDArray[np.float64]:
    return np.unique(np.concatenate([left.at(_POINTS), right.at(_POINTS)]))


def kolmogorov_smirnov(left: Quantiles, right: Quantiles) -> float | None:
    """The largest difference of the two cumulative shares, looked for at 1,025 quantiles of either."""
    if not left.count or not right.count:
        return None
    points = _grid(left, right)
    return float(np.abs(left.below(points) - right.below(points)).max())


def wasserstein(left: Quantiles, right: Quantiles) -> float | None:
    """The area between the cumulative shares: how far, in the field's own unit, values must move to become the others."""
    if not left.count or not right.count:
        return None
    points = _grid(left, right)
    if len(points) == 1:
        return 0.0
    gap = np.abs(left.below(points) - right.below(points))
    return float((gap[:-1] * np.diff(points)).sum())


def cramers_v(table: Counts) -> float | None:
    """Strength of association of two coded fields, 0 to 1, corrected for bias (Bergsma 2013).

    None where a field has one code only: there is nothing to be associated.

    Example:
        >>> cramers_v(np.array([[50, 0], [0, 50]])), cramers_v(np.array([[25, 25], [25, 25]]))
        (1.0, 0.0)
    """
    kept = table[table.sum(1) > 0][:, table.sum(0) > 0]
    count, (rows, columns) = kept.sum(), kept.shape
    if rows < 2 or columns < 2 or count < 2:
        return None
    expected = kept.sum(1, keepdims=True) * kept.sum(0, keepdims=True) / count
    phi2 = float((((kept - expected) ** 2) / expected).sum() / count)
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (count - 1))
    fewest = min(rows - (rows - 1) ** 2 / (count - 1), columns - (columns - 1) ** 2 / (count - 1)) - 1
    return 0.0 if fewest <= 0 else min(1.0, math.sqrt(phi2 / fewest))


def rank_correlation(table: Counts) -> float | None:
    """Spearman's correlation of two ordered codes; code 0 (no value) is left out."""
    counts = table[1:, 1:].astype(np.float64)
    total = counts.sum()
    if total < 2:
        return None
    rows, columns = _mid_ranks(counts.sum(1)), _mid_ranks(counts.sum(0))
    x = rows - (counts.sum(1) * rows).sum() / total
    y = columns - (counts.sum(0) * columns).sum() / total
    spread = math.sqrt((counts.sum(1) * x**2).sum() * (counts.sum(0) * y**2).sum())
    return None if spread == 0 else float((counts * np.outer(x, y)).sum() / spread)


def _mid_ranks(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.cumsum(counts) - counts / 2


def wilson(hits: int, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval for a share.

    Example:
        >>> [round(end, 3) for end in wilson(0, 100, 0.95)]
        [0.0, 0.037]
    """
    if not trials:
        return 0.0, 1.0
    z = float(stats.norm.ppf((1 + confidence) / 2))
    share = hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe_interval(hits: tuple[int, int], trials: tuple[int, int], confidence: float) -> tuple[float, float]:
    """Newcombe's hybrid interval (1998, method 10) for the first share less the second; no trials give [-1, 1].

    Example:
        >>> [round(end, 3) for end in newcombe_interval((56, 48), (70, 80), 0.95)]
        [0.052, 0.334]
    """
    if not all(trials):
        return -1.0, 1.0
    (low1, high1), (low2, high2) = (wilson(h, t, confidence) for h, t in zip(hits, trials, strict=True))
    first, second = hits[0] / trials[0], hits[1] / trials[1]
    gap = first - second
    return (
        gap - math.sqrt((first - low1) ** 2 + (high2 - second) ** 2),
        gap + math.sqrt((high1 - first) ** 2 + (second - low2) ** 2),
    )
