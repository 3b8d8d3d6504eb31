"""Rules over the history of a metric: which epoch is best, and how long ago the metric last improved."""

from __future__ import annotations

import math
from collections.abc import Iterator

from linesmith.core.artifacts.history import EpochState


def is_better(entry: EpochState, best: EpochState | None, metric: str) -> bool:
    """Return whether an epoch is better than the best one so far.

    Values are compared unrounded, and a tie keeps the earlier epoch. The first epoch is always better; a missing or NaN
    value never is, unless the best epoch's value is missing or NaN itself.

    Args:
        entry: the epoch that has just ended.
        best: the best epoch before it; None where there is none.
        metric: a name that ends in 'accuracy' is maximized, any other one minimized.
    """
    value = entry.metric(metric)
    if best is None:
        return True
    if value is None or math.isnan(value):
        return False
    reference = best.metric(metric)
    if reference is None or math.isnan(reference):
        return True
    return value > reference if metric.endswith("accuracy") else value < reference


def epochs_since_improvement(values: list[float | None], metric: str, min_delta: float) -> int:
    """Count the epochs since the metric last improved by more than `min_delta`; an unmeasured epoch did not improve.

    Example:
        >>> epochs_since_improvement([2.0, 1.5, 1.4999, 1.6], "val_loss", 0.001)
        2
    """
    waited = 0
    for improved in _improvements(values, metric, min_delta):
        waited = 0 if improved else waited + 1
    return waited


def epochs_without_improvement(values: list[float | None], metric: str, min_delta: float) -> int:
    """Count, over the whole history, the epochs in which the metric did not improve by more than `min_delta`.

    Example:
        >>> epochs_without_improvement([2.0, 1.5, 1.4999, 1.2, 1.6], "val_loss", 0.001)
        2
    """
    return sum(not improved for improved in _improvements(values, metric, min_delta))


def _improvements(values: list[float | None], metric: str, min_delta: float) -> Iterator[bool]:
    """Yield for each epoch whether it improved on the last one that did."""
    sign = 1.0 if metric.endswith("accuracy") else -1.0
    best = -math.inf
    for value in values:
        gain = sign * value if value is not None else -math.inf
        # `best` stays at -inf until an epoch is measured, so the epochs up to the first measured one count as improvements.
        improved = gain > best + min_delta or best == -math.inf
        best = gain if improved else best
        yield improved
