"""The tally: what a second pass over a set counts against the schema, in bounded memory and exactly.

Probes are hashes of sampled records and identifiers; how often each occurs in every set tells copies from coincidences.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.evaluation.columns import Column, Columns
from linesmith.evaluation.dataset_profile import RARE_LENGTH, identifier_hashes, record_hashes, value_hashes
from linesmith.evaluation.hashing import Hashes
from linesmith.evaluation.identifiers import identifiers
from linesmith.evaluation.schema import CATEGORY, COARSE_CODES, MAX_CATEGORIES, Schema
from linesmith.evaluation.sketches import Quantiles

_EARTH_KM = 6371.0


@dataclass(frozen=True)
class Probes:
    """Hashes to look for, sorted and distinct.

    Attributes:
        records: of whole records.
        identifiers: of identifiers, and of values of the fields in `columns`.
        columns: fields whose values are among the identifiers.
    """

    records: Hashes
    identifiers: Hashes
    columns: tuple[int, ...]


@dataclass(frozen=True)
class CountPlan:
    """What to count."""

    schema: Schema
    probes: Probes


@dataclass
class SchemaCounts:
    """Counts over a set of records.

    Attributes:
        records: all of them; `usable`: with the right number of fields, only these enter what follows.
        invalid: records by the first reason why they cannot be real ones.
        fine: fields × codes of categories.
        pairs: coarse codes of all pairs of fields at once: fields·COARSE_CODES squared.
        differences, distances: quantiles of the relations that the schema names.
        record_hits, identifier_hits: occurrences of each probe.
    """

    plan: CountPlan
    records: int = 0
    usable: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    fine: npt.NDArray[np.int64] = field(init=False)
    pairs: npt.NDArray[np.int64] = field(init=False)
    differences: list[Quantiles] = field(init=False)
    distances: list[Quantiles] = field(init=False)
    record_hits: npt.NDArray[np.int64] = field(init=False)
    identifier_hits: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        schema, probes = self.plan.schema, self.plan.probes
        width = len(schema.fields)
        self.fine = np.zeros((width, MAX_CATEGORIES + 2), np.int64)
        self.pairs = np.zeros((width * COARSE_CODES, width * COARSE_CODES), np.int64)
        self.differences = [Quantiles() for _ in schema.differences]
        self.distances = [Quantiles() for _ in schema.distances]
        self.record_hits = np.zeros(len(probes.records), np.int64)
        self.identifier_hits = np.zeros(len(probes.identifiers), np.int64)

    def add(self, text: pa.Array) -> None:
        """Add records, with field breaks."""
        if not len(text):
            return
        self.records += len(text)
        _count(self.plan.probes.records, record_hashes(text), self.record_hits)
        found, _, _ = identifiers(text)
        if found:
            _count(self.plan.probes.identifiers, identifier_hashes(found), self.identifier_hits)
        columns = Columns(text)
        right = columns.counts == self.plan.schema.field_count
        self._add_invalid("wrong number of fields", int((~right).sum()))
        if not right.all():
            columns = Columns(text.filter(pa.array(right)))
        if len(columns):
            self._add_fields([columns.column(number) for number in range(len(self.plan.schema.fields))])

    def _add_fields(self, columns: list[Column]) -> None:
        fields = self.plan.schema.fields
        self.usable += len(columns[0])
        good = np.ones(len(columns[0]), bool)
        codes = np.empty((len(columns[0]), len(fields)), np.int64)
        for number, (one, column) in enumerate(zip(fields, columns, strict=True)):
            valid = one.valid(column)
            self._add_invalid(f"{one.name}: not {_or(one.kinds)}", int((good & ~valid).sum()))
            good &= valid
            codes[:, number] = one.coarse(column)
            if one.role == CATEGORY:
                self.fine[number] += np.bincount(one.fine(column), minlength=self.fine.shape[1])
            if number in self.plan.probes.columns:
                self._add_values(column, number)
        self._add_pairs(codes)
        self._add_relations(columns)

    def _add_values(self, column: Column, number: int) -> None:
        long = column.values.filter(pa.array(column.lengths >= RARE_LENGTH))
        _count(self.plan.probes.identifiers, value_hashes(long, number), self.identifier_hits)

    def _add_pairs(self, codes: npt.NDArray[np.int64]) -> None:
        rows, width = codes.shape
        hot = np.zeros((rows, width * COARSE_CODES), np.float32)
        hot[np.arange(rows)[:, None], codes + COARSE_CODES * np.arange(width)] = 1
        self.pairs += np.rint(hot.T @ hot).astype(np.int64)  # exact below 2^24 rows

    def _add_relations(self, columns: list[Column]) -> None:
        for (i, j), sketch in zip(self.plan.schema.differences, self.differences, strict=True):
            sketch.add(columns[j].numbers - columns[i].numbers)
        for (a, b), sketch in zip(self.plan.schema.distances, self.distances, strict=True):
            sketch.add(kilometres(*(columns[number].numbers for number in (*a, *b))))

    def _add_invalid(self, reason: str, count: int) -> None:
        if count:
            self.invalid[reason] += count

    def merge(self, other: Self) -> None:
        self.records += other.records
        self.usable += other.usable
        self.invalid.update(other.invalid)
        self.fine += other.fine
        self.pairs += other.pairs
        for mine, theirs in zip(self.differences + self.distances, other.differences + other.distances, strict=True):
            mine.merge(theirs)
        self.record_hits += other.record_hits
        self.identifier_hits += other.identifier_hits

    def table(self, first: int, second: int) -> npt.NDArray[np.int64]:
        """Counts of the coarse codes of two fields: COARSE_CODES × COARSE_CODES."""
        rows, columns = (
            slice(first * COARSE_CODES, (first + 1) * COARSE_CODES),
            slice(second * COARSE_CODES, (second + 1) * COARSE_CODES),
        )
        return self.pairs[rows, columns]


def kilometres(
    lat1: npt.NDArray[np.float64],
    lon1: npt.NDArray[np.float64],
    lat2: npt.NDArray[np.float64],
    lon2: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Great-circle distances between places in degrees.

    Example:
        >>> paris, rome = np.array([48.8566, 2.3522]), np.array([41.9028, 12.4964])
        >>> round(float(kilometres(*paris, *rome)))
        1105
    """
    phi1, phi2 = np.radians(lat1), np.radians(lat2)
    half = np.sin((phi2 - phi1) / 2) ** 2
    half = half + np.cos(phi1) * np.cos(phi2) * np.sin(np.radians(np.subtract(lon2, lon1)) / 2) ** 2
    distance: npt.NDArray[np.float64] = 2 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
    return distance


def _count(probes: Hashes, hashes: Hashes, hits: npt.NDArray[np.int64]) -> None:
    """Add to each probe how often it is among the hashes."""
    if not len(probes) or not len(hashes):
        return
    at = np.minimum(np.searchsorted(probes, hashes), len(probes) - 1)
    hits += np.bincount(at[probes[at] == hashes], minlength=len(probes))


def _or(kinds: tuple[str, ...]) -> str:
    return " or ".join(kind for kind in kinds if kind != "empty") or "empty"
