"""The fields and their roles, inferred from the training set or given, and how values become codes that can be counted.

A field is a `category` (few values, or a few that cover most records), a `number`, a `time`, or `text`; `empty` where it
never has a value. Category codes count the values of a category; coarse codes, at most 12 per field, count pairs of fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linesmith.core.errors import ParameterError
from linesmith.evaluation.columns import DECIMAL, EMPTY, INTEGER, KINDS, TEXT, TIME, FieldColumn
from linesmith.evaluation.dataset_profile import MAX_FIELDS, MAX_VALUE_LENGTH, DatasetProfile, FieldProfile
from linesmith.evaluation.sketches import QuantileSketch

CATEGORY, NUMBER, DATETIME, FREE_TEXT, NO_VALUES = "category", "number", "time", "text", "empty"
ROLES = (CATEGORY, NUMBER, DATETIME, FREE_TEXT, NO_VALUES)
MAX_CATEGORIES = 254
COARSE_CODES = 12  # codes of a field in pairs: 0 for no value, then at most ten values or ranges, then all others
_BINS = 10
_MAX_NUMERIC_CATEGORIES = 64  # a field with at most so many values is a category even where they are numbers
_MIN_KIND_SHARE = 0.99  # share of a field's values that must be of a kind to make it a number or a time
_MIN_VALID_SHARE = 0.002  # a kind with a smaller share of a field's values is taken for a mistake in the data
_MAX_DIFFERENCES = 45
_MAX_PLACES = 6


@dataclass(frozen=True)
class FieldSchema:
    """One field: its role, what values are valid, and how they are coded.

    Attributes:
        name: name as in the header, or `field 3`.
        role: one of ROLES.
        kinds: kinds of values (KINDS) that count as valid.
        categories: values with a category code of their own, the most frequent first.
        edges: upper ends of ranges, ascending, that divide the training values (lengths for text) into about equal parts.
        low: smallest training value of a number or time.
        high: largest training value of a number or time.
    """

    name: str
    role: str
    kinds: tuple[str, ...] = KINDS
    categories: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None

    @cached_property
    def _category_set(self) -> pa.Array:
        return pa.array(self.categories, pa.large_string())

    def valid(self, column: FieldColumn) -> npt.NDArray[np.bool_]:
        """Tell which values are of a kind that the training data have in this field."""
        allowed = np.array([kind in self.kinds for kind in KINDS])
        return allowed[column.kinds]

    def category_codes(self, column: FieldColumn) -> npt.NDArray[np.int64]:
        """Return a code for each value: 0 for no value, 1 … n for the categories, n + 1 for any other value."""
        values = pc.utf8_slice_codeunits(column.values, 0, MAX_VALUE_LENGTH)
        position = pc.index_in(values, value_set=self._category_set)
        codes = pc.fill_null(position, len(self.categories)).to_numpy().astype(np.int64) + 1
        codes[column.kinds == EMPTY] = 0
        return codes

    def coarse_codes(self, column: FieldColumn) -> npt.NDArray[np.int64]:
        """Return a code below COARSE_CODES for each value; 0 where there is no value, or none of the right kind."""
        if self.role == CATEGORY:
            return np.minimum(self.category_codes(column), COARSE_CODES - 1)
        if self.role in (NUMBER, DATETIME):
            numbers = column.numbers
            codes = np.searchsorted(np.asarray(self.edges), numbers, side="left") + 1
            codes[~np.isfinite(numbers)] = 0
            return codes
        codes = np.searchsorted(np.asarray(self.edges), column.lengths, side="left") + 1
        codes[column.kinds == EMPTY] = 0
        return codes


@dataclass(frozen=True)
class DatasetSchema:
    """All fields, and the relations between them that are measured.

    Attributes:
        fields: at most MAX_FIELDS fields.
        field_count: number of fields that most training records have.
        differences: pairs of fields whose difference is measured.
        places: pairs of fields that are a latitude and a longitude.
    """

    fields: tuple[FieldSchema, ...]
    field_count: int
    differences: tuple[tuple[int, int], ...] = field(default=())
    places: tuple[tuple[int, int], ...] = field(default=())

    @property
    def distances(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Pairs of places whose distance is measured."""
        return [(a, b) for n, a in enumerate(self.places) for b in self.places[n + 1 :]]


def infer_dataset_schema(
    training: DatasetProfile, names: Sequence[str] | None = None, roles: Mapping[str, str] | None = None
) -> DatasetSchema:
    """Infer the schema of the training records.

    Args:
        training: their profile.
        names: names of the fields, in order; None, or another number of names than fields, numbers them.
        roles: roles of fields by name; those of the other fields are inferred.

    Returns:
        The schema of the first MAX_FIELDS fields.

    Raises:
        ParameterError: a role or a name is unknown.
    """
    count = training.field_count
    profiles = training.fields[: min(count, MAX_FIELDS)]
    if names is None or len(names) != count:
        names = [f"field {number}" for number in range(1, count + 1)] if count > 1 else ["text"]
    chosen = dict(roles or {})
    for name, role in chosen.items():
        if name not in names or role not in ROLES:
            known = ", ".join(names) if name not in names else ", ".join(ROLES)
            raise ParameterError(
                "LS116",
                f"--role '{name}={role}'",
                f"not a {'field' if name not in names else 'role'}; known are {known}",
                "Give FIELD=ROLE, for example age=number.",
            )
    fields = tuple(_field_schema(name, one, chosen.get(name)) for name, one in zip(names, profiles, strict=False))
    return DatasetSchema(fields, count, tuple(_differences(fields)), tuple(_places(fields)))


def value_sketch(profile: FieldProfile, role: str) -> QuantileSketch:
    """Return the quantiles that describe a field of this role: of numbers, of times, or of the lengths of its values."""
    return {NUMBER: profile.numbers, DATETIME: profile.times}.get(role, profile.lengths)


def _field_schema(name: str, profile: FieldProfile, role: str | None) -> FieldSchema:
    role = role or _infer_role(profile)
    fewest = _MIN_VALID_SHARE * profile.count
    kinds = {kind for kind, number in zip(KINDS, profile.kinds.tolist(), strict=True) if number > fewest}
    if "decimal" in kinds:
        kinds.add("integer")  # 2.0 may be written 2
    categories: tuple[str, ...] = ()
    edges: npt.NDArray[np.float64] = np.empty(0)
    sketch = value_sketch(profile, role)
    if role == CATEGORY:
        categories = tuple(value for value, _ in profile.frequent.top(MAX_CATEGORIES + 1) if value)[:MAX_CATEGORIES]
    else:
        edges = np.unique(sketch.quantiles(np.arange(1, _BINS) / _BINS))
    low, high = None, None
    if role in (NUMBER, DATETIME) and sketch.count:
        low, high = sketch.quantiles(np.array([0.0, 1.0])).tolist()
    return FieldSchema(name, role, tuple(k for k in KINDS if k in kinds), categories, tuple(edges.tolist()), low, high)


def _infer_role(profile: FieldProfile) -> str:
    filled = profile.count - profile.empty
    if not filled:
        return NO_VALUES
    kinds = profile.kinds
    distinct = profile.distinct.estimate
    if profile.frequent.exact and distinct <= min(_MAX_NUMERIC_CATEGORIES, max(filled / 5, 2)):
        return CATEGORY
    if kinds[TIME] >= _MIN_KIND_SHARE * filled:
        return DATETIME
    if kinds[INTEGER] + kinds[DECIMAL] >= _MIN_KIND_SHARE * filled:
        return NUMBER
    covered = sum(count for value, count in profile.frequent.top(MAX_CATEGORIES) if value)
    few = distinct <= MAX_CATEGORIES and distinct <= filled / 5
    return CATEGORY if few or (kinds[TEXT] and covered >= 0.5 * filled and distinct <= filled / 5) else FREE_TEXT


def _differences(fields: Sequence[FieldSchema]) -> list[tuple[int, int]]:
    """Return the first 45 pairs of fields that are both numbers or both times."""
    pairs = [
        (i, j)
        for i, one in enumerate(fields)
        for j, other in enumerate(fields)
        if i < j and one.role == other.role and one.role in (NUMBER, DATETIME)
    ]
    return pairs[:_MAX_DIFFERENCES]


def _places(fields: Sequence[FieldSchema]) -> list[tuple[int, int]]:
    """Return the first 6 pairs of neighboring fields that are a latitude and a longitude."""
    found: list[tuple[int, int]] = []
    number = 0
    while number + 1 < len(fields):
        if _is_place(fields[number], fields[number + 1]):
            found.append((number, number + 1))
            number += 2
        else:
            number += 1
    return found[:_MAX_PLACES]


def _is_place(first: FieldSchema, second: FieldSchema) -> bool:
    """Tell a latitude and a longitude by their ranges, and by their names where the range of the second fits both."""
    if first.role != NUMBER or second.role != NUMBER or None in (first.low, first.high, second.low, second.high):
        return False
    if "decimal" not in first.kinds or "decimal" not in second.kinds:
        return False
    within = max(abs(first.low or 0), abs(first.high or 0)) <= 90
    widest = max(abs(second.low or 0), abs(second.high or 0))
    named = re.search("lat", first.name, re.I) and re.search("lon|lng", second.name, re.I)
    return within and widest <= 180 and (bool(named) or widest > 90)


def schema_to_json(schema: DatasetSchema) -> list[dict[str, Any]]:
    """Return the fields as `report.json` lists them."""
    return [
        {
            "name": field.name,
            "role": field.role,
            "kinds": list(field.kinds),
            "categories": len(field.categories) if field.role == CATEGORY else None,
            "low": field.low,
            "high": field.high,
        }
        for field in schema.fields
    ]
