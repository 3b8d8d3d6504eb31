"""How close a set is to the training records, figure by figure; the holdout's figure is the best that can be expected.

Every part is a list or dictionary of plain JSON. `distance` holds one number for the synthetic and one for the holdout set,
None where it could not be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from linesmith.evaluation.dataset_profile import NGRAM_BUCKETS, FieldProfile, Survey
from linesmith.evaluation.distances import (
    Counts,
    cramers_v,
    kolmogorov_smirnov,
    rank_correlation,
    total_variation,
    wasserstein,
)
from linesmith.evaluation.schema import CATEGORY, DATETIME, FREE_TEXT, NUMBER, Schema
from linesmith.evaluation.schema_counts import SchemaCounts

SETS = ("training", "holdout", "synthetic")
COMPARED = ("synthetic", "holdout")
Item = TypeVar("Item")
# A sum of associations smaller than this a pair is mostly noise, and no base for a ratio.
_LEAST_ASSOCIATION = 0.05


@dataclass(frozen=True)
class Evidence:
    """What the two passes gathered, by set; a set without records is absent."""

    schema: Schema
    surveys: dict[str, Survey]
    tallies: dict[str, SchemaCounts]


def between(items: Mapping[str, Item], measure: Callable[[Item, Item], float | None]) -> dict[str, float | None]:
    """A measure of the training set's item and each compared set's; None for a set that is not there."""
    return {name: measure(items["training"], items[name]) if name in items else None for name in COMPARED}


def compare_fields(evidence: Evidence) -> list[dict[str, Any]]:
    """Each field on its own.

    A category's distance is the total variation; a number's or time's the largest of Kolmogorov–Smirnov and the difference
    in the shares of missing values; a text's the mean of Kolmogorov–Smirnov on its length and total variation of its runs of
    three bytes.
    """
    found = []
    for number, one in enumerate(evidence.schema.fields):
        surveys = {name: _field(survey, number) for name, survey in evidence.surveys.items()}
        fine = {name: tally.fine[number] for name, tally in evidence.tallies.items()}
        parts = _field_parts(one.role, surveys, fine)
        found.append(
            {
                "name": one.name,
                "role": one.role,
                "distance": {name: _field_distance(one.role, parts, name) for name in COMPARED},
                "parts": parts,
                "distinct": {name: round(survey.distinct.estimate) for name, survey in surveys.items()},
            }
        )
    return found


Parts = dict[str, dict[str, float | None]]


def _field_parts(role: str, surveys: dict[str, FieldProfile], fine: dict[str, Counts]) -> Parts:
    """The distances of a field by name."""
    parts: Parts = {"missing": between(surveys, lambda one, other: abs(_empty(one) - _empty(other)))}
    if role == CATEGORY:
        parts["total variation"] = between(fine, total_variation)
    elif role in (NUMBER, DATETIME):
        sketches = {name: survey.numbers if role == NUMBER else survey.times for name, survey in surveys.items()}
        spread = _spread(sketches["training"])
        parts["Kolmogorov-Smirnov"] = between(sketches, _whole(kolmogorov_smirnov))
        parts["Wasserstein"] = moved = between(sketches, wasserstein)
        parts["Wasserstein in training spreads"] = {
            name: None if value is None or not spread else value / spread for name, value in moved.items()
        }
    elif role == FREE_TEXT:
        lengths = {name: survey.lengths for name, survey in surveys.items()}
        ngrams = {name: survey.ngrams for name, survey in surveys.items()}
        parts["length, Kolmogorov-Smirnov"] = between(lengths, _whole(kolmogorov_smirnov))
        parts["runs of three bytes, total variation"] = between(ngrams, _whole(total_variation))
    return parts


def _field_distance(role: str, parts: Parts, name: str) -> float | None:
    if role == CATEGORY:
        return parts["total variation"][name]
    if role in (NUMBER, DATETIME):
        values = [parts["Kolmogorov-Smirnov"][name], parts["missing"][name]]
        return max((v for v in values if v is not None), default=None)
    if role == FREE_TEXT:
        values = [parts["length, Kolmogorov-Smirnov"][name], parts["runs of three bytes, total variation"][name]]
        known = [v for v in values if v is not None]
        return sum(known) / len(known) if known else None
    return parts["missing"][name]


def compare_pairs(evidence: Evidence) -> list[dict[str, Any]]:
    """Association of every pair of fields: Cramér's V of coarse codes, and for two ordered fields rank correlation too."""
    schema, found = evidence.schema, []
    for i, first in enumerate(schema.fields):
        for j in range(i + 1, len(schema.fields)):
            second = schema.fields[j]
            ordered = all(one.role in (NUMBER, DATETIME) for one in (first, second))
            tables = {name: tally.table(i, j) for name, tally in evidence.tallies.items()}
            strength = {name: cramers_v(table) for name, table in tables.items()}
            rank = {name: rank_correlation(table) if ordered else None for name, table in tables.items()}
            if strength["training"] is None:
                continue
            found.append(
                {
                    "fields": [first.name, second.name],
                    "strength": strength,
                    "rank_correlation": rank if ordered else None,
                    "distance": {
                        name: _association_distance(strength, rank, name) if name in tables else None
                        for name in COMPARED
                    },
                    "joint": between(tables, _whole(total_variation)),
                }
            )
    return found


def _association_distance(strength: dict[str, float | None], rank: dict[str, float | None], name: str) -> float | None:
    """The larger of the differences in strength and in rank correlation; no variation left is no association left."""
    differences = [abs((strength[name] or 0.0) - (strength["training"] or 0.0))]
    if rank["training"] is not None:
        differences.append(abs((rank[name] or 0.0) - rank["training"]))
    return min(1.0, max(differences))


def association_distance(pairs: list[dict[str, Any]], name: str) -> float | None:
    """Share of all association that is lost or invented: the sum of the distances over the sum of the strengths."""
    if not pairs or any(pair["distance"][name] is None for pair in pairs):
        return None
    lost, there = 0.0, 0.0
    for pair in pairs:
        strengths = [abs(pair[key][side] or 0.0) for key in ("strength", "rank_correlation") if pair[key] is not None
                     for side in ("training", name)]  # fmt: skip
        lost += pair["distance"][name]
        there += max(strengths)
    return min(1.0, lost / max(there, _LEAST_ASSOCIATION * len(pairs)))


def compare_relations(evidence: Evidence) -> list[dict[str, Any]]:
    """Differences between numeric fields and distances between places: Kolmogorov–Smirnov, and Wasserstein in their unit."""
    fields, tallies = evidence.schema.fields, evidence.tallies
    named = [(f"{fields[j].name} − {fields[i].name}", "difference") for i, j in evidence.schema.differences]
    named += [
        (f"distance from ({fields[a].name}, {fields[b].name}) to ({fields[c].name}, {fields[d].name})", "kilometres")
        for (a, b), (c, d) in evidence.schema.distances
    ]
    found = []
    for number, (name, unit) in enumerate(named):
        sketches = {key: [*tally.differences, *tally.distances][number] for key, tally in tallies.items()}
        found.append(
            {
                "name": name,
                "unit": unit,
                "distance": between(sketches, _whole(kolmogorov_smirnov)),
                "wasserstein": between(sketches, wasserstein),
            }
        )
    return found


def compare_text(evidence: Evidence) -> dict[str, dict[str, float | None]]:
    """Length of the whole record in characters, and the runs of three bytes of all fields together."""
    surveys = evidence.surveys
    ngrams = {
        name: sum((one.ngrams for one in survey.fields), np.zeros(NGRAM_BUCKETS, np.int64))
        for name, survey in surveys.items()
    }
    return {
        "length": between({name: survey.lengths for name, survey in surveys.items()}, kolmogorov_smirnov),
        "runs of three bytes": between(ngrams, total_variation),
    }


def compare_validity(evidence: Evidence) -> dict[str, Any]:
    """Share of records with the usual number of fields, each of a kind that the training data have there; and why not."""
    tallies = evidence.tallies
    return {
        "share": {name: 1 - sum(t.invalid.values()) / t.records if t.records else None for name, t in tallies.items()},
        "reasons": {name: dict(tally.invalid.most_common(20)) for name, tally in tallies.items()},
        "field_counts": {
            name: {str(k): v for k, v in sorted(survey.field_counts.items(), key=lambda item: -item[1])[:10]}
            for name, survey in evidence.surveys.items()
        },
    }


def _field(survey: Survey, number: int) -> FieldProfile:
    return survey.fields[number] if number < len(survey.fields) else FieldProfile()


def _empty(survey: FieldProfile) -> float:
    return survey.empty / survey.count if survey.count else 1.0


def _spread(sketch: Any) -> float:
    """The distance between the quarter and the three-quarter point."""
    if not sketch.count:
        return 0.0
    low, high = sketch.at(np.array([0.25, 0.75])).tolist()
    return float(high - low)


def _whole(measure: Callable[[Item, Item], float | None]) -> Callable[[Item, Item], float]:
    """A side without a single value is as far as can be."""

    def measured(one: Item, other: Item) -> float:
        distance = measure(one, other)
        return 1.0 if distance is None else distance

    return measured
