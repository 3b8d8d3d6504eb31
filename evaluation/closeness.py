"""How close a set is to the training records, figure by figure; the holdout's figure is the best that can be expected.

Every result is a list or dictionary of plain JSON. `distance` holds one number for the synthetic and one for the holdout set,
None where it could not be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from linesmith.evaluation.dataset_profile import NGRAM_BUCKETS, DatasetProfile, FieldProfile
from linesmith.evaluation.distances import (
    Counts,
    cramers_v,
    kolmogorov_smirnov,
    rank_correlation,
    total_variation,
    wasserstein,
)
from linesmith.evaluation.schema import CATEGORY, DATETIME, FREE_TEXT, NUMBER, DatasetSchema, value_sketch
from linesmith.evaluation.schema_counts import SchemaCounts
from linesmith.evaluation.sketches import QuantileSketch

SETS = ("training", "holdout", "synthetic")
REAL = ("training", "holdout")
COMPARED = ("synthetic", "holdout")  # each is compared with training
Item = TypeVar("Item")
# Below this mean strength, the association between the fields is mostly noise and no basis for a ratio.
_MIN_ASSOCIATION = 0.05


@dataclass(frozen=True)
class EvaluationData:
    """What the two passes collected, by set; a set without records is absent.

    Attributes:
        schema: fields and relations of the training records.
        profiles: result of the first pass.
        counts: result of the second pass.
    """

    schema: DatasetSchema
    profiles: dict[str, DatasetProfile]
    counts: dict[str, SchemaCounts]

    def field_profiles(self, number: int) -> dict[str, FieldProfile]:
        """Return each set's profile of a field; an empty one where no record of the set has that field."""
        return {
            name: profile.fields[number] if number < len(profile.fields) else FieldProfile()
            for name, profile in self.profiles.items()
        }


def compare_with_training(
    items: Mapping[str, Item], measure: Callable[[Item, Item], float | None]
) -> dict[str, float | None]:
    """Measure the distance of each compared set's item from the training set's; None for a set that is absent."""
    return {name: measure(items["training"], items[name]) if name in items else None for name in COMPARED}


def compare_fields(data: EvaluationData) -> list[dict[str, Any]]:
    """Compare each field on its own.

    The distance of a category is the total variation. That of a number or time is the larger of Kolmogorov–Smirnov and the
    difference between the shares of missing values. That of a text is the mean of Kolmogorov–Smirnov of its length and
    total variation of its n-grams of three bytes.

    Returns:
        One entry per field: `name`, `role`, `distance`, its `parts` by name, and the number of `distinct` values.
    """
    found = []
    for number, schema in enumerate(data.schema.fields):
        profiles = data.field_profiles(number)
        categories = {name: counts.category_counts[number] for name, counts in data.counts.items()}
        parts = _field_parts(schema.role, profiles, categories)
        found.append(
            {
                "name": schema.name,
                "role": schema.role,
                "distance": {name: _field_distance(schema.role, parts, name) for name in COMPARED},
                "parts": parts,
                "distinct": {name: round(profile.distinct.estimate) for name, profile in profiles.items()},
            }
        )
    return found


Parts = dict[str, dict[str, float | None]]


def _field_parts(role: str, profiles: dict[str, FieldProfile], categories: dict[str, Counts]) -> Parts:
    """Return the distances of a field by name; which ones depends on its role."""
    missing = compare_with_training(profiles, lambda one, other: abs(_empty_share(one) - _empty_share(other)))
    parts: Parts = {"missing": missing}
    sketches = {name: value_sketch(profile, role) for name, profile in profiles.items()}
    if role == CATEGORY:
        parts["total variation"] = compare_with_training(categories, total_variation)
    elif role in (NUMBER, DATETIME):
        spread = _interquartile_range(sketches["training"])
        parts["Kolmogorov-Smirnov"] = compare_with_training(sketches, _none_is_one(kolmogorov_smirnov))
        parts["Wasserstein"] = moved = compare_with_training(sketches, wasserstein)
        parts["Wasserstein in training spreads"] = {
            name: None if value is None or not spread else value / spread for name, value in moved.items()
        }
    elif role == FREE_TEXT:
        ngrams = {name: profile.ngrams for name, profile in profiles.items()}
        parts["length, Kolmogorov-Smirnov"] = compare_with_training(sketches, _none_is_one(kolmogorov_smirnov))
        parts["runs of three bytes, total variation"] = compare_with_training(ngrams, _none_is_one(total_variation))
    return parts


def _field_distance(role: str, parts: Parts, name: str) -> float | None:
    """Return the one distance of a field that its parts amount to."""
    if role == CATEGORY:
        return parts["total variation"][name]
    if role in (NUMBER, DATETIME):
        values = [parts["Kolmogorov-Smirnov"][name], parts["missing"][name]]
        return max((v for v in values if v is not None), default=None)
    if role == FREE_TEXT:
        return mean_of_known(
            [parts["length, Kolmogorov-Smirnov"][name], parts["runs of three bytes, total variation"][name]]
        )
    return parts["missing"][name]


def compare_pairs(data: EvaluationData) -> list[dict[str, Any]]:
    """Compare the association of every pair of fields.

    Returns:
        One entry per pair of `fields` that has an association in training: `strength` (Cramér's V of the coarse codes) and,
        for two ordered fields, `rank_correlation`, both by set; `distance`, and the total variation of their `joint` codes.
    """
    schema, found = data.schema, []
    for i, first in enumerate(schema.fields):
        for j in range(i + 1, len(schema.fields)):
            second = schema.fields[j]
            ordered = all(one.role in (NUMBER, DATETIME) for one in (first, second))
            tables = {name: counts.table(i, j) for name, counts in data.counts.items()}
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
                        name: _association_difference(strength, rank, name) if name in tables else None
                        for name in COMPARED
                    },
                    "joint": compare_with_training(tables, _none_is_one(total_variation)),
                }
            )
    return found


def _association_difference(strength: dict[str, float | None], rank: dict[str, float | None], name: str) -> float:
    """Return the larger of the differences in strength and in rank correlation.

    A set in which a field does not vary (None) has no association left.
    """
    differences = [abs((strength[name] or 0.0) - (strength["training"] or 0.0))]
    if rank["training"] is not None:
        differences.append(abs((rank[name] or 0.0) - rank["training"]))
    return min(1.0, max(differences))


def association_distance(pairs: list[dict[str, Any]], name: str) -> float | None:
    """Return the share of all association that is lost or invented: the sum of the distances over the sum of the strengths.

    Args:
        pairs: result of `compare_pairs`.
        name: `synthetic` or `holdout`.

    Returns:
        0 to 1, or None where there are no pairs or the set is absent.
    """
    if not pairs or any(pair["distance"][name] is None for pair in pairs):
        return None
    lost, total = 0.0, 0.0
    for pair in pairs:
        strengths = [abs(pair[key][side] or 0.0) for key in ("strength", "rank_correlation") if pair[key] is not None
                     for side in ("training", name)]  # fmt: skip
        lost += pair["distance"][name]
        total += max(strengths)
    return min(1.0, lost / max(total, _MIN_ASSOCIATION * len(pairs)))


def compare_relations(data: EvaluationData) -> list[dict[str, Any]]:
    """Compare differences between numeric fields and distances between places.

    Returns:
        One entry per relation of the schema: `name`, `unit`, `distance` (Kolmogorov–Smirnov), and `wasserstein` in that unit.
    """
    fields = data.schema.fields
    relations = [(f"{fields[j].name} − {fields[i].name}", "difference") for i, j in data.schema.differences]
    relations += [
        (f"distance from ({fields[a].name}, {fields[b].name}) to ({fields[c].name}, {fields[d].name})", "kilometres")
        for (a, b), (c, d) in data.schema.distances
    ]
    found = []
    for number, (name, unit) in enumerate(relations):
        sketches = {key: [*counts.differences, *counts.distances][number] for key, counts in data.counts.items()}
        found.append(
            {
                "name": name,
                "unit": unit,
                "distance": compare_with_training(sketches, _none_is_one(kolmogorov_smirnov)),
                "wasserstein": compare_with_training(sketches, wasserstein),
            }
        )
    return found


def compare_text(data: EvaluationData) -> dict[str, dict[str, float | None]]:
    """Compare the lengths of whole records in characters, and the n-grams of three bytes of all fields together."""
    lengths = {name: profile.lengths for name, profile in data.profiles.items()}
    ngrams = {
        name: sum((field.ngrams for field in profile.fields), np.zeros(NGRAM_BUCKETS, np.int64))
        for name, profile in data.profiles.items()
    }
    return {
        "length": compare_with_training(lengths, kolmogorov_smirnov),
        "runs of three bytes": compare_with_training(ngrams, total_variation),
    }


def compare_validity(data: EvaluationData) -> dict[str, Any]:
    """Return the share of valid records of each set, and why the others are invalid.

    A record is valid if it has the usual number of fields, each of a kind that the training data have there.

    Returns:
        `share` of valid records, `reasons` with counts (the 20 most common), and records by number of fields
        (`field_counts`, the 10 most common); each by set.
    """
    return {
        "share": {
            name: 1 - sum(counts.invalid.values()) / counts.records if counts.records else None
            for name, counts in data.counts.items()
        },
        "reasons": {name: dict(counts.invalid.most_common(20)) for name, counts in data.counts.items()},
        "field_counts": {
            name: {str(k): v for k, v in sorted(profile.field_counts.items(), key=lambda item: -item[1])[:10]}
            for name, profile in data.profiles.items()
        },
    }


def mean_of_known(values: list[float | None]) -> float | None:
    """Return the mean of the values that are not None, or None where there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _empty_share(profile: FieldProfile) -> float:
    return profile.empty / profile.count if profile.count else 1.0


def _interquartile_range(sketch: QuantileSketch) -> float:
    if not sketch.count:
        return 0.0
    low, high = sketch.quantiles(np.array([0.25, 0.75])).tolist()
    return float(high - low)


def _none_is_one(measure: Callable[[Item, Item], float | None]) -> Callable[[Item, Item], float]:
    """Return the measure with distance 1 in place of None: a side without a single value is as far away as possible."""

    def wrapped(one: Item, other: Item) -> float:
        distance = measure(one, other)
        return 1.0 if distance is None else distance

    return wrapped
