"""Numbers for the report's plots: shares by category or range, with the same ranges for every set; and sample records."""

from __future__ import annotations

from typing import Any

import numpy as np

from linesmith.evaluation.closeness import EvaluationData
from linesmith.evaluation.distances import Counts
from linesmith.evaluation.schema import CATEGORY, FREE_TEXT, value_sketch
from linesmith.evaluation.sketches import QuantileSketch
from linesmith.records.fields import FIELD_BREAK

_BARS = 12
_RANGES = 40
_SAMPLES = 8
_SAMPLE_LENGTH = 400


def field_histograms(data: EvaluationData) -> list[dict[str, Any]]:
    """Return a histogram of each field.

    Returns:
        One entry per field: `name`, `role`, `labels` of categories or `edges` and `unit` of ranges, and by set the `shares`
        of its values. The shares of a set add up to 1.
    """
    found = []
    for number, field in enumerate(data.schema.fields):
        entry: dict[str, Any] = {"name": field.name, "role": field.role}
        if field.role == CATEGORY:
            categories = field.categories[:_BARS]
            entry["labels"] = [*(value[:24] for value in categories), "(others)", "(none)"]
            entry["shares"] = {
                name: _category_shares(counts.category_counts[number], len(categories))
                for name, counts in data.counts.items()
            }
        else:
            sketches = {name: value_sketch(one, field.role) for name, one in data.field_profiles(number).items()}
            entry["unit"] = "length in characters" if field.role == FREE_TEXT else ""
            entry |= _range_shares(sketches)
        found.append(entry)
    return found


def _category_shares(counts: Counts, shown: int) -> list[float]:
    """Return the shares of the first categories, of all others, and of missing values (category code 0)."""
    total = max(int(counts.sum()), 1)
    first, missing = counts[1 : shown + 1] / total, float(counts[0] / total)
    return [*first.tolist(), 1 - float(first.sum()) - missing, missing]


def _range_shares(sketches: dict[str, QuantileSketch]) -> dict[str, Any]:
    """Return shares in ranges of equal width that span 99 % of the training values; the outer ranges hold the tails."""
    training = sketches["training"]
    if not training.count:
        return {"edges": [], "shares": {}}
    low, high = training.quantiles(np.array([0.005, 0.995])).tolist()
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _RANGES + 1)
    inner = np.unique(edges[1:-1])
    if len(inner) < len(edges) - 2:  # the edges are too close to differ as float64
        return {"edges": [], "shares": {}}
    shares = {
        name: np.diff(np.concatenate([[0.0], sketch.cdf(inner), [1.0]])).tolist()
        for name, sketch in sketches.items()
        if sketch.count
    }
    return {"edges": edges.tolist(), "shares": shares}


def sample_records(data: EvaluationData) -> dict[str, list[list[str]]]:
    """Return by set a few records, chosen by hash, as lists of fields; long records are cut."""
    return {
        name: [text[:_SAMPLE_LENGTH].split(FIELD_BREAK) for _, text, _ in profile.row_sample.items()[:_SAMPLES]]
        for name, profile in data.profiles.items()
    }
