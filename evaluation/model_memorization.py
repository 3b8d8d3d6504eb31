"""What the model itself has memorized: are records it was trained on easier for it than records it never saw?

Copies in the output are only one way in which training records leak, and the rarest; a model that copies none may still know
them. Its loss shows this: if it memorized nothing about single records, those it saw and those it did not are exchangeable
and have equal losses on average (Yeom et al. 2018, arXiv 1709.01604). This concerns the model: whoever has only its output
cannot query its loss. So it decides no verdict on the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from linesmith.evaluation.closeness import EvaluationData
from linesmith.evaluation.leakage_candidates import unique_records

CONFIDENCE = 0.95
MAX_RECORDS = 4000  # of each side
_MIN_RECORDS = 30
Floats = npt.NDArray[np.float64]


def measure_memorization(data: EvaluationData, losses: Callable[[Sequence[str]], Floats]) -> dict[str, Any] | None:
    """Compare the model's loss on training records with that on holdout records.

    Args:
        data: both passes' results; only records that occur once in the two real sets together are used.
        losses: returns the model's loss of each text in nats per token; not finite for a text that it cannot represent.

    Returns:
        Plain JSON: `units`, the number of records of each side; `bits` per token of `training` and `holdout`; their `gap`
        (holdout − training) with `low` and `high`; and `auc`, the probability that a record the model saw has a lower loss
        than one it did not, with `auc_low` and `auc_high`. None where a side has fewer than 30 records.
    """
    records = unique_records(data)
    sides = {name: losses([one.text for one in some[:MAX_RECORDS]]) / np.log(2) for name, some in records.items()}
    sides = {name: values[np.isfinite(values)] for name, values in sides.items()}
    seen, unseen = sides["training"], sides["holdout"]
    if min(len(seen), len(unseen)) < _MIN_RECORDS:
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
    """Return by how much the mean of `right` exceeds that of `left`, and the ends of Welch's interval.

    Example:
        >>> mean_difference_interval(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
        (1.0, (1.0, 1.0))
    """
    difference = float(right.mean() - left.mean())
    if not left.var() and not right.var():  # Welch's degrees of freedom would be 0 / 0
        return difference, (difference, difference)
    interval = stats.ttest_ind(right, left, equal_var=False).confidence_interval(CONFIDENCE)
    return difference, (float(interval.low), float(interval.high))


def auc_interval(left: Floats, right: Floats) -> tuple[float, tuple[float, float]]:
    """Return the probability that one of `left` is less than one of `right`, and its interval (DeLong et al. 1988).

    Ties count half.

    Example:
        >>> auc_interval(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
        (1.0, (1.0, 1.0))
    """
    less = _share_above(left, right), 1 - _share_above(right, left)
    auc = float(less[0].mean())
    reach = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(sum(one.var(ddof=1) / len(one) for one in less))
    return auc, (max(0.0, float(auc - reach)), min(1.0, float(auc + reach)))


def _share_above(values: Floats, others: Floats) -> Floats:
    """Return for each value the share of the others that are larger, ties counted half."""
    ordered = np.sort(others)
    ends = [np.searchsorted(ordered, values, side=side) for side in ("left", "right")]
    return 1 - (ends[0] + ends[1]) / (2 * len(ordered))
