"""What the second pass over a set counts against the schema, in bounded memory and exactly.

Tracked hashes are those of sampled records and identifiers; how often each occurs in every set tells copies from coincidences.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.evaluation.columns import FieldColumn, RecordColumns
from linesmith.evaluation.dataset_profile import RARE_LENGTH, identifier_hashes, record_hashes, value_hashes
from linesmith.evaluation.hashing import Hashes
from linesmith.evaluation.identifiers import find_identifiers
from linesmith.evaluation.schema import CATEGORY, COARSE_CODES, MAX_CATEGORIES, DatasetSchema
from linesmith.evaluation.sketches import QuantileSketch

_EARTH_KM = 6371.0


@dataclass(frozen=True)
class TrackedHashes:
    """Hashes whose occurrences are counted in every set, ascending and distinct.

    Attributes:
        records: hashes of whole records.
        identifiers: hashes of identifiers, and of values of the fields in `columns`.
        columns: numbers of the fields whose values are among the identifiers.
    """

    records: Hashes
    identifiers: Hashes
    columns: tuple[int, ...]


@dataclass(frozen=True)
class CountPlan:
    """What the second pass counts: the fields and relations of a schema, and tracked hashes."""

    schema: DatasetSchema
    tracked: TrackedHashes


@dataclass
class SchemaCounts:
    """Counts over a set of records.

    Attributes:
        plan: what is counted.
        records: number of all records.
        usable: number of records with the right number of fields; everything below but `invalid`, `record_hits` and
            the hits of identifiers is counted over these.
        invalid: number of invalid records by the first reason.
        category_counts: fields × category codes (`FieldSchema.category_codes`).
        pair_counts: coarse codes of all pairs of fields at once, (fields · COARSE_CODES) squared.
        differences: quantiles of the differences between fields that the schema names.
        distances: quantiles of the distances between places that the schema names, in kilometers.
        record_hits: occurrences of each tracked record.
        identifier_hits: occurrences of each tracked identifier.
    """

    plan: CountPlan
    records: int = 0
    usable: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    category_counts: npt.NDArray[np.int64] = field(init=False)
    pair_counts: npt.NDArray[np.int64] = field(init=False)
    differences: list[QuantileSketch] = field(init=False)
    distances: list[QuantileSketch] = field(init=False)
    record_hits: npt.NDArray[np.int64] = field(init=False)
    identifier_hits: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        schema, tracked = self.plan.schema, self.plan.tracked
        width = len(schema.fields)
        self.category_counts = np.zeros((width, MAX_CATEGORIES + 2), np.int64)
        self.pair_counts = np.zeros((width * COARSE_CODES, width * COARSE_CODES), np.int64)
        self.differences = [QuantileSketch() for _ in schema.differences]
        self.distances = [QuantileSketch() for _ in schema.distances]
        self.record_hits = np.zeros(len(tracked.records), np.int64)
        self.identifier_hits = np.zeros(len(tracked.identifiers), np.int64)

    def add(self, text: pa.Array) -> None:
        """Add a batch of records with field breaks; no nulls."""
        if not len(text):
            return
        self.records += len(text)
        _count_hits(self.plan.tracked.records, record_hashes(text), self.record_hits)
        found, _, _ = find_identifiers(text)
        if found:
            _count_hits(self.plan.tracked.identifiers, identifier_hashes(found), self.identifier_hits)
        columns = RecordColumns(text)
        right = columns.field_counts == self.plan.schema.field_count
        self._add_invalid("wrong number of fields", int((~right).sum()))
        if not right.all():
            columns = RecordColumns(text.filter(pa.array(right)))
        if len(columns):
            self._add_fields([columns.column(number) for number in range(len(self.plan.schema.fields))])

    def _add_fields(self, columns: list[FieldColumn]) -> None:
        fields = self.plan.schema.fields
        self.usable += len(columns[0])
        good = np.ones(len(columns[0]), bool)
        codes = np.empty((len(columns[0]), len(fields)), np.int64)
        for number, (schema, column) in enumerate(zip(fields, columns, strict=True)):
            valid = schema.valid(column)
            self._add_invalid(f"{schema.name}: not {_join_kinds(schema.kinds)}", int((good & ~valid).sum()))
            good &= valid
            codes[:, number] = schema.coarse_codes(column)
            if schema.role == CATEGORY:
                category_codes = schema.category_codes(column)
                self.category_counts[number] += np.bincount(category_codes, minlength=self.category_counts.shape[1])
            if number in self.plan.tracked.columns:
                self._add_values(column, number)
        self._add_pairs(codes)
        self._add_relations(columns)

    def _add_values(self, column: FieldColumn, number: int) -> None:
        long = column.values.filter(pa.array(column.lengths >= RARE_LENGTH))
        _count_hits(self.plan.tracked.identifiers, value_hashes(long, number), self.identifier_hits)

    def _add_pairs(self, codes: npt.NDArray[np.int64]) -> None:
        """Count all pairs of codes with one matrix product of the one-hot codes."""
        rows, width = codes.shape
        hot = np.zeros((rows, width * COARSE_CODES), np.float32)
        hot[np.arange(rows)[:, None], codes + COARSE_CODES * np.arange(width)] = 1
        self.pair_counts += np.rint(hot.T @ hot).astype(np.int64)  # float32 is exact below 2^24 rows

    def _add_relations(self, columns: list[FieldColumn]) -> None:
        for (i, j), sketch in zip(self.plan.schema.differences, self.differences, strict=True):
            sketch.add(columns[j].numbers - columns[i].numbers)
        for (a, b), sketch in zip(self.plan.schema.distances, self.distances, strict=True):
            sketch.add(great_circle_km(*(columns[number].numbers for number in (*a, *b))))

    def _add_invalid(self, reason: str, count: int) -> None:
        if count:
            self.invalid[reason] += count

    def merge(self, other: Self) -> None:
        """Add everything that other counts of the same plan have seen."""
        self.records += other.records
        self.usable += other.usable
        self.invalid.update(other.invalid)
        self.category_counts += other.category_counts
        self.pair_counts += other.pair_counts
        for mine, theirs in zip(self.differences + self.distances, other.differences + other.distances, strict=True):
            mine.merge(theirs)
        self.record_hits += other.record_hits
        self.identifier_hits += other.identifier_hits

    def table(self, first: int, second: int) -> npt.NDArray[np.int64]:
        """Return the contingency table of the coarse codes of two fields, COARSE_CODES × COARSE_CODES."""
        rows, columns = (slice(number * COARSE_CODES, (number + 1) * COARSE_CODES) for number in (first, second))
        return self.pair_counts[rows, columns]


def great_circle_km(
    lat1: npt.NDArray[np.float64],
    lon1: npt.NDArray[np.float64],
    lat2: npt.NDArray[np.float64],
    lon2: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return great-circle distances in kilometers between places given in degrees (haversine formula).

    Example:
        >>> paris, rome = np.array([48.8566, 2.3522]), np.array([41.9028, 12.4964])
        >>> round(float(great_circle_km(*paris, *rome)))
        1105
    """
    phi1, phi2 = np.radians(lat1), np.radians(lat2)
    half = np.sin((phi2 - phi1) / 2) ** 2
    half = half + np.cos(phi1) * np.cos(phi2) * np.sin(np.radians(np.subtract(lon2, lon1)) / 2) ** 2
    distance: npt.NDArray[np.float64] = 2 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return distance


def _count_hits(tracked: Hashes, hashes: Hashes, hits: npt.NDArray[np.int64]) -> None:
    """Add to `hits` how often each tracked hash is among the hashes."""
    if not len(tracked) or not len(hashes):
        return
    at = np.minimum(np.searchsorted(tracked, hashes), len(tracked) - 1)
    hits += np.bincount(at[tracked[at] == hashes], minlength=len(tracked))


def _join_kinds(kinds: tuple[str, ...]) -> str:
    return " or ".join(kind for kind in kinds if kind != "empty") or "empty"
