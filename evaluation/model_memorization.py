"""What the model itself has kept: does it find records that it learnt from easier than records that it never saw?

Copies in the output are one way in which training records get out, and the rarest; a model that has learnt none by heart may
still know them. Its loss tells: if it kept nothing of single records, those it saw and those it did not are exchangeable and
cost it the same (Yeom et al. 2018, arXiv 1709.01604). This is about the model, whose loss whoever has only its output cannot
ask for; so it decides no verdict on the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from linesmith.evaluation.closeness import Evidence
from linesmith.evaluation.leakage import unique_records

CONFIDENCE = 0.95
UNITS = 4000  # of each side at most
_FEWEST = 30
Floats = npt.NDArray[np.float64]


def measure_memorization(evidence: Evidence, losses: Callable[[Sequence[str]], Floats]) -> dict[str, Any] | None:
    """Loss on records of both real sets, each of which occurs once in them together.

    Args:
        losses: nats a token of each text, by the model; not finite for a text that it cannot write.

    Returns:
        Plain JSON: `units` of each side, `bits` a token of `training` and `holdout`, their `gap` (holdout − training) with
        `low` and `high`, and `auc`, the chance that a record it saw costs less than one it did not, with its own two ends.
        None where a side has fewer than 30 records.
    """
    found = unique_records(evidence)
    sides = {name: losses([unit.text for unit in units[:UNITS]]) / np.log(2) for name, units in found.items()}
    sides = {name: values[np.isfinite(values)] for name, values in sides.items()}
    seen, unseen = sides["training"], sides["holdout"]
    if min(len(seen), len(unseen)) < _FEWEST:
        return None
    gap, gap_ends = mean_difference_interval(seen, unseen)
    auc, auc_ends = auc_interval(seen, unseen)
    return {
        "units": {name: len(values) for name, values in sides.items()},
        "bits": {"training": float(seen.mean()), "holdout": float(unseen.mean())},
        "gap": gap,
        "low": gap_ends[0],
        "high": gap_ends[1],
        "auc": auc,
        "auc_low": auc_ends[0],
        "auc_high": auc_ends[1],
        "confidence": CONFIDENCE,
        "kept": gap_ends[0] > 0,
    }


def mean_difference_interval(left: Floats, right: Floats) -> tuple[float, tuple[float, float]]:
    """By how much the mean of `right` exceeds that of `left`, and the ends of its interval (Welch).

    Example:
        >>> mean_difference_interval(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
        (1.0, (1.0, 1.0))
    """
    gap = float(right.mean() - left.mean())
    parts = np.array([left.var(ddof=1) / len(left), right.var(ddof=1) / len(right)])
    if not parts.sum():
        return gap, (gap, gap)
    freedom = parts.sum() ** 2 / (parts**2 / np.array([len(left) - 1, len(right) - 1])).sum()
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(parts.sum()))
    return gap, (gap - reach, gap + reach)


def auc_interval(left: Floats, right: Floats) -> tuple[float, tuple[float, float]]:
    """The chance that one of `left` is less than one of `right`, ties counted half, and its interval (DeLong et al. 1988).

    Example:
        >>> auc_interval(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
        (1.0, (1.0, 1.0))
    """
    less = _shares_above(left, right), 1 - _shares_above(right, left)
    auc = float(less[0].mean())
    reach = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(sum(one.var(ddof=1) / len(one) for one in less))
    return auc, (max(0.0, float(auc - reach)), min(1.0, float(auc + reach)))


def _shares_above(values: Floats, others: Floats) -> Floats:
    """For each value the share of the others that are more, ties counted half."""
    ordered = np.sort(others)
    ends = [np.searchsorted(ordered, values, side=side) for side in ("left", "right")]
    return 1 - (ends[0] + ends[1]) / (2 * len(ordered))
