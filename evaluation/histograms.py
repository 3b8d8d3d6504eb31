"""The numbers behind the page's pictures: shares by category or range, the same ranges for every set; and sample records."""

from __future__ import annotations

from typing import Any

import numpy as np

from linesmith.evaluation.closeness import Evidence
from linesmith.evaluation.dataset_profile import FieldProfile
from linesmith.evaluation.schema import CATEGORY, DATETIME, FREE_TEXT, NUMBER
from linesmith.evaluation.sketches import Quantiles
from linesmith.records.fields import FIELD_BREAK

_BARS = 12
_RANGES = 40
_SHOWN = 8
_LONGEST = 400


def pictures(evidence: Evidence) -> list[dict[str, Any]]:
    """For each field labels or range ends, and the share of each set there."""
    drawn = []
    for number, one in enumerate(evidence.schema.fields):
        if one.role == CATEGORY:
            shown = one.categories[:_BARS]
            shares = {}
            for name, tally in evidence.tallies.items():
                counts = tally.fine[number]
                total = max(int(counts.sum()), 1)
                head = counts[1 : len(shown) + 1] / total
                shares[name] = [
                    *head.tolist(),
                    1 - float(head.sum()) - float(counts[0] / total),
                    float(counts[0] / total),
                ]
            labels = [*(value[:24] for value in shown), "(others)", "(none)"]
            drawn.append({"name": one.name, "role": one.role, "labels": labels, "shares": shares})
            continue
        surveys = {
            n: s.fields[number] if number < len(s.fields) else FieldProfile() for n, s in evidence.surveys.items()
        }
        pick = {NUMBER: "numbers", DATETIME: "times"}.get(one.role, "lengths")
        sketches = {name: getattr(survey, pick) for name, survey in surveys.items()}
        unit = "length in characters" if one.role == FREE_TEXT else ""
        drawn.append({"name": one.name, "role": one.role, "unit": unit, **_histogram(sketches)})
    return drawn


def _histogram(sketches: dict[str, Quantiles]) -> dict[str, Any]:
    """Shares between common, equally wide ends that hold 99 % of the training values; tails join the outer ranges."""
    training = sketches["training"]
    if not training.count:
        return {"edges": [], "shares": {}}
    low, high = training.at(np.array([0.005, 0.995])).tolist()
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _RANGES + 1)
    inner = np.unique(edges[1:-1])
    if len(inner) < len(edges) - 2:  # ends too close for a double
        return {"edges": [], "shares": {}}
    shares = {
        name: np.diff(np.concatenate([[0.0], sketch.below(inner), [1.0]])).tolist()
        for name, sketch in sketches.items()
        if sketch.count
    }
    return {"edges": edges.tolist(), "shares": shares}


def samples(evidence: Evidence) -> dict[str, list[list[str]]]:
    """A few records of each set, chosen by hash, as fields."""
    return {
        name: [text[:_LONGEST].split(FIELD_BREAK) for _, text, _ in survey.rows.items()[:_SHOWN]]
        for name, survey in evidence.surveys.items()
    }
