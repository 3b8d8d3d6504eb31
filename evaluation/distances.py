"""Distances between distributions, strength of association, and intervals for differences of shares.

All distances are 0 for equal distributions and at most 1; None where one side has nothing to compare.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from linesmith.evaluation.sketches import QuantileSketch

Counts = npt.NDArray[np.int64]
_RANKS = np.linspace(0.0, 1.0, 1025)


def total_variation(left: Counts, right: Counts) -> float | None:
    """Return half the sum of the absolute differences of two distributions.

    Args:
        left: counts per cell.
        right: counts of the other distribution over the same cells.

    Returns:
        A distance from 0 to 1, or None where one side has no counts.

    Example:
        >>> total_variation(np.array([1, 1]), np.array([2, 0]))
        0.5
    """
    if not left.sum() or not right.sum():
        return None
    return float(np.abs(left / left.sum() - right / right.sum()).sum() / 2)


def _grid(left: QuantileSketch, right: QuantileSketch) -> npt.NDArray[np.float64]:
    """Return the distinct points, ascending, at which two distributions are compared: 1,025 quantiles of each."""
    return np.unique(np.concatenate([left.quantiles(_RANKS), right.quantiles(_RANKS)]))


def kolmogorov_smirnov(left: QuantileSketch, right: QuantileSketch) -> float | None:
    """Return the largest difference between two cumulative distribution functions.

    The difference is evaluated at 1,025 quantiles of each side. None where one side has no values.
    """
    if not left.count or not right.count:
        return None
    points = _grid(left, right)
    return float(np.abs(left.cdf(points) - right.cdf(points)).max())


def wasserstein(left: QuantileSketch, right: QuantileSketch) -> float | None:
    """Return the first Wasserstein distance: the area between two cumulative distribution functions.

    It is in the unit of the values: how far they must be moved, on average, to turn one distribution into the other. None
    where one side has no values.
    """
    if not left.count or not right.count:
        return None
    points = _grid(left, right)
    if len(points) == 1:
        return 0.0
    difference = np.abs(left.cdf(points) - right.cdf(points))
    return float((difference[:-1] * np.diff(points)).sum())


def cramers_v(table: Counts) -> float | None:
    """Return Cramér's V, corrected for bias (Bergsma 2013): the strength of association of two coded fields.

    Args:
        table: contingency table, one row per code of the first field and one column per code of the second.

    Returns:
        0 (independent) to 1, or None where a field has only one code and there is no association to measure.

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
    # Independent fields have a positive phi² by chance: its expectation is subtracted, and the number of codes reduced alike.
    phi2 = max(0.0, phi2 - (rows - 1) * (columns - 1) / (count - 1))
    fewest = min(rows - (rows - 1) ** 2 / (count - 1), columns - (columns - 1) ** 2 / (count - 1)) - 1
    return 0.0 if fewest <= 0 else min(1.0, math.sqrt(phi2 / fewest))


def rank_correlation(table: Counts) -> float | None:
    """Return Spearman's rank correlation of two ordered codes, computed from their contingency table.

    `scipy.stats.spearmanr` needs one entry per record, which a table of counts does not have.

    Args:
        table: counts of pairs of codes; code 0 means "no value" and is left out.

    Returns:
        −1 to 1, or None where fewer than two pairs are left or one of the codes does not vary.
    """
    counts = table[1:, 1:]
    rows, columns = counts.sum(1), counts.sum(0)
    if np.count_nonzero(rows) < 2 or np.count_nonzero(columns) < 2:
        return None
    # Spearman's is Pearson's correlation of the ranks; all records with one code share the middle of their ranks.
    row_ranks, column_ranks = (np.cumsum(totals) - totals / 2 for totals in (rows, columns))
    covariance = np.cov(np.repeat(row_ranks, len(columns)), np.tile(column_ranks, len(rows)), fweights=counts.ravel())
    return float(covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1]))


def newcombe_interval(hits: tuple[int, int], trials: tuple[int, int], confidence: float) -> tuple[float, float]:
    """Return Newcombe's hybrid score interval (1998, method 10) for the first share minus the second.

    Args:
        hits: number of hits of each side.
        trials: number of trials of each side.
        confidence: level of the interval, from 0 to 1.

    Returns:
        The ends of the interval; −1 and 1 where a side has no trials.

    Example:
        >>> [round(end, 3) for end in newcombe_interval((56, 48), (70, 80), 0.95)]
        [0.052, 0.334]
    """
    if not all(trials):
        return -1.0, 1.0
    (low1, high1), (low2, high2) = (
        stats.binomtest(hit, trial).proportion_ci(confidence, method="wilson")
        for hit, trial in zip(hits, trials, strict=True)
    )
    first, second = hits[0] / trials[0], hits[1] / trials[1]
    difference = first - second
    return (
        float(difference - math.sqrt((first - low1) ** 2 + (high2 - second) ** 2)),
        float(difference + math.sqrt((high1 - first) ** 2 + (second - low2) ** 2)),
    )
