"""What the fields are, from the whole training set or as given; and how a value becomes a code that can be counted.

A field is a `category` (few values, or a few that cover most), a `number`, a `time`, or `text`; `empty` where it never has
a value. Fine codes count categories; coarse codes, at most 12 a field, count pairs of fields.
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
from linesmith.evaluation.columns import DECIMAL, EMPTY, INTEGER, KINDS, TEXT, TIME, Column
from linesmith.evaluation.dataset_profile import MAX_FIELDS, FieldProfile, Survey

CATEGORY, NUMBER, DATETIME, FREE_TEXT, NO_VALUES = "category", "number", "time", "text", "empty"
ROLES = (CATEGORY, NUMBER, DATETIME, FREE_TEXT, NO_VALUES)
MAX_CATEGORIES = 254
COARSE_CODES = 12  # codes of a field in pairs: 0 for no value, then at most ten values or ranges, then all others
_BINS = 10
_FEW = 64  # so few values are categories even where they are numbers
_PURE = 0.99  # share of values of a kind that makes a field one of it
_USUAL = 0.002  # share of a kind below which it is taken for a mistake in the data


@dataclass(frozen=True)
class FieldSchema:
    """One field.

    Attributes:
        name: as in the header, or `field 3`.
        role: one of ROLES.
        kinds: kinds of values (KINDS) that count as valid.
        categories: the values with a fine code of their own, the most frequent first.
        edges: upper ends of ranges, rising, that cut the training values into parts of about equal size.
        low, high: the training values' range, where they are numbers or times.
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

    def valid(self, column: Column) -> npt.NDArray[np.bool_]:
        """Which values are of a kind that the training data have there."""
        allowed = np.array([kind in self.kinds for kind in KINDS])
        return allowed[column.kinds]

    def fine(self, column: Column) -> npt.NDArray[np.int64]:
        """0 for no value, 1 … n for the categories, n + 1 for any other value."""
        position = pc.index_in(pc.utf8_slice_codeunits(column.values, 0, 200), value_set=self._category_set)
        codes = pc.fill_null(position, len(self.categories)).to_numpy().astype(np.int64) + 1
        codes[column.kinds == EMPTY] = 0
        return codes

    def coarse(self, column: Column) -> npt.NDArray[np.int64]:
        """A code below COARSE_CODES; 0 where there is no value, or none of the right kind."""
        if self.role == CATEGORY:
            return np.minimum(self.fine(column), COARSE_CODES - 1)
        if self.role in (NUMBER, DATETIME):
            numbers = column.numbers
            codes = np.searchsorted(np.asarray(self.edges), numbers, side="left") + 1
            codes[~np.isfinite(numbers)] = 0
            return codes
        codes = np.searchsorted(np.asarray(self.edges), column.lengths, side="left") + 1
        codes[column.kinds == EMPTY] = 0
        return codes


@dataclass(frozen=True)
class Schema:
    """All fields, and the relations between them that are looked at."""

    fields: tuple[FieldSchema, ...]
    field_count: int
    differences: tuple[tuple[int, int], ...] = field(default=())
    places: tuple[tuple[int, int], ...] = field(default=())  # (latitude, longitude)

    @property
    def distances(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Pairs of places whose distance is looked at."""
        return [(a, b) for n, a in enumerate(self.places) for b in self.places[n + 1 :]]


def infer_schema(
    training: Survey, names: Sequence[str] | None = None, roles: Mapping[str, str] | None = None
) -> Schema:
    """The schema of the training records.

    Args:
        training: their survey.
        names: names of the fields, in order; None numbers them.
        roles: roles that are given, by name; the others are inferred.

    Raises:
        ParameterError: a role or a name is unknown.
    """
    count = training.field_count
    surveys = training.fields[: min(count, MAX_FIELDS)]
    if names is None or len(names) != count:
        names = [f"field {number}" for number in range(1, count + 1)] if count > 1 else ["text"]
    given = dict(roles or {})
    for name, role in given.items():
        if name not in names or role not in ROLES:
            known = ", ".join(names) if name not in names else ", ".join(ROLES)
            raise ParameterError(
                f"LS116: --roles gives field {name!r} the role {role!r}; known are {known}.", code="LS116"
            )
    fields = tuple(_field(name, survey, given.get(name)) for name, survey in zip(names, surveys, strict=False))
    return Schema(fields, count, tuple(_differences(fields)), tuple(_places(fields)))


def _field(name: str, survey: FieldProfile, role: str | None) -> FieldSchema:
    filled = survey.count - survey.empty
    role = role or _role(survey, filled)
    kinds = {kind for kind, number in zip(KINDS, survey.kinds.tolist(), strict=True) if number > _USUAL * survey.count}
    if "decimal" in kinds:
        kinds.add("integer")  # 2.0 may be written 2
    categories: tuple[str, ...] = ()
    edges: npt.NDArray[np.float64] = np.empty(0)
    sketch = {NUMBER: survey.numbers, DATETIME: survey.times}.get(role)
    if role == CATEGORY:
        categories = tuple(value for value, _ in survey.frequent.top(MAX_CATEGORIES + 1) if value)[:MAX_CATEGORIES]
    else:
        inner = np.arange(1, _BINS) / _BINS
        edges = np.unique((sketch or survey.lengths).at(inner))
    ends = (None, None)
    if sketch is not None and sketch.count:
        low, high = sketch.at(np.array([0.0, 1.0])).tolist()
        ends = (low, high)
    return FieldSchema(name, role, tuple(k for k in KINDS if k in kinds), categories, tuple(edges.tolist()), *ends)


def _role(survey: FieldProfile, filled: int) -> str:
    if not filled:
        return NO_VALUES
    kinds = survey.kinds
    distinct = survey.distinct.estimate
    if survey.frequent.exact and distinct <= min(_FEW, max(filled / 5, 2)):
        return CATEGORY
    if kinds[TIME] >= _PURE * filled:
        return DATETIME
    if kinds[INTEGER] + kinds[DECIMAL] >= _PURE * filled:
        return NUMBER
    covered = sum(count for value, count in survey.frequent.top(MAX_CATEGORIES) if value)
    few = distinct <= MAX_CATEGORIES and distinct <= filled / 5
    return CATEGORY if few or (kinds[TEXT] and covered >= 0.5 * filled and distinct <= filled / 5) else FREE_TEXT


_MOST_DIFFERENCES = 45


def _differences(fields: Sequence[FieldSchema]) -> list[tuple[int, int]]:
    """Pairs of numbers, and of times; the first 45."""
    pairs = [
        (i, j)
        for i, one in enumerate(fields)
        for j, other in enumerate(fields)
        if i < j and one.role == other.role and one.role in (NUMBER, DATETIME)
    ]
    return pairs[:_MOST_DIFFERENCES]


def _places(fields: Sequence[FieldSchema]) -> list[tuple[int, int]]:
    """Neighbouring fields that are a latitude and a longitude: by their names, or by their ranges."""
    found: list[tuple[int, int]] = []
    number = 0
    while number + 1 < len(fields):
        if _is_place(fields[number], fields[number + 1]):
            found.append((number, number + 1))
            number += 2
        else:
            number += 1
    return found[:6]


def _is_place(first: FieldSchema, second: FieldSchema) -> bool:
    if first.role != NUMBER or second.role != NUMBER or None in (first.low, first.high, second.low, second.high):
        return False
    if "decimal" not in first.kinds or "decimal" not in second.kinds:
        return False
    within = max(abs(first.low or 0), abs(first.high or 0)) <= 90
    wide = max(abs(second.low or 0), abs(second.high or 0))
    named = re.search("lat", first.name, re.I) and re.search("lon|lng", second.name, re.I)
    return within and wide <= 180 and (bool(named) or wide > 90)


def schema_to_json(schema: Schema) -> list[dict[str, Any]]:
    """The fields for `report.json`."""
    return [
        {
            "name": one.name,
            "role": one.role,
            "kinds": list(one.kinds),
            "categories": len(one.categories) if one.role == CATEGORY else None,
            "low": one.low,
            "high": one.high,
        }
        for one in schema.fields
    ]
