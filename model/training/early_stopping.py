"""Which epoch is the best one, and how long ago the metric last improved."""

from __future__ import annotations

import math
from collections.abc import Iterator

from linesmith.core.artifacts.history import EpochState


def better(entry: EpochState, best: EpochState | None, metric: str) -> bool:
    """Whether an epoch is better than the best one so far, by unrounded values; the first one always is."""
    value = entry.metric(metric)
    if best is None:
        return True
    if value is None or math.isnan(value):
        return False
    reference = best.metric(metric)
    if reference is None or math.isnan(reference):
        return True
    return value > reference if metric.endswith("accuracy") else value < reference


def stale(values: list[float | None], metric: str, min_delta: float) -> int:
    """Epochs since the metric last improved by at least `min_delta`. An epoch that was not measured counts as one without.

    Example:
        >>> stale([2.0, 1.5, 1.4999, 1.6], "val_loss", 0.001)
        2
    """
    waited = 0
    for improved in _improvements(values, metric, min_delta):
        waited = 0 if improved else waited + 1
    return waited


def epochs_without_improvement(values: list[float | None], metric: str, min_delta: float) -> int:
    """Epochs, of all, in which the metric did not improve by at least `min_delta`.

    Example:
        >>> epochs_without_improvement([2.0, 1.5, 1.4999, 1.2, 1.6], "val_loss", 0.001)
        2
    """
    return sum(not improved for improved in _improvements(values, metric, min_delta))


def _improvements(values: list[float | None], metric: str, min_delta: float) -> Iterator[bool]:
    sign = 1.0 if metric.endswith("accuracy") else -1.0
    best = -math.inf
    for value in values:
        gain = sign * value if value is not None else -math.inf
        improved = gain > best + min_delta or best == -math.inf
        best = gain if improved else best
        yield improved
