"""The survey: what one pass over a set gathers about its records and fields, in bounded memory.

Nothing depends on how records fall into batches, but for the last digits of quantiles of more than 4,096 values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linesmith.evaluation.columns import DECIMAL, EMPTY, INTEGER, KINDS, TIME, Column, Columns
from linesmith.evaluation.hashing import Hashes, hash_strings, mix64, ngram_buckets, text_bytes
from linesmith.evaluation.identifiers import identifiers
from linesmith.evaluation.sketches import BottomKSample, DistinctCount, FrequentItems, Quantiles
from linesmith.records.fields import FIELD_BREAK

MAX_FIELDS = 64  # later fields of a record are counted, not compared
SAMPLE = 20_000
NGRAM_ORDER = 3
NGRAM_BUCKETS = 4096
RARE_LENGTH = 4  # a shorter value names nobody
_LONGEST_VALUE = 200  # of a longer one only the beginning is kept as a category
_RECORD_SALT, _IDENTIFIER_SALT, _VALUE_SALT = 1, 2, 1000


def record_hashes(text: pa.Array) -> Hashes:
    """The hash by which a record's text is sampled and probed for."""
    return hash_strings(text, _RECORD_SALT)


def identifier_hashes(found: Iterable[str]) -> Hashes:
    """The same for an identifier, wherever it stands."""
    return hash_strings(pa.array(list(found), pa.large_string()), _IDENTIFIER_SALT)


def value_hashes(values: pa.Array, column: int) -> Hashes:
    """The same for the value of a field."""
    return hash_strings(values, _VALUE_SALT + column)


@dataclass
class FieldProfile:
    """What the values of one field are.

    Attributes:
        kinds: number of values of each kind of KINDS.
        numbers: quantiles of numeric values, `times` of points in time, `lengths` of characters of all values.
        distinct: about how many different values there are.
        frequent: the most frequent values.
        ngrams: runs of three bytes, by hash bucket.
    """

    kinds: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(KINDS), np.int64))
    numbers: Quantiles = field(default_factory=Quantiles)
    times: Quantiles = field(default_factory=Quantiles)
    lengths: Quantiles = field(default_factory=Quantiles)
    distinct: DistinctCount = field(default_factory=DistinctCount)
    frequent: FrequentItems = field(default_factory=FrequentItems)
    ngrams: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(NGRAM_BUCKETS, np.int64))

    def add(self, column: Column) -> None:
        kinds = column.kinds
        self.kinds += np.bincount(kinds, minlength=len(KINDS))
        numeric = (kinds == INTEGER) | (kinds == DECIMAL)
        if numeric.any():
            self.numbers.add(column.numbers[numeric])
        if (kinds == TIME).any():
            self.times.add(column.numbers[kinds == TIME])
        self.lengths.add(column.lengths.astype(np.float64))
        counted = pc.value_counts(pc.utf8_slice_codeunits(column.values, 0, _LONGEST_VALUE))
        distinct = counted.field("values")
        self.distinct.add(hash_strings(distinct))
        self.frequent.add(distinct.to_pylist(), counted.field("counts").to_pylist())
        self.ngrams += ngram_counts(column.values)

    def merge(self, other: Self) -> None:
        self.kinds += other.kinds
        self.numbers.merge(other.numbers)
        self.times.merge(other.times)
        self.lengths.merge(other.lengths)
        self.distinct.merge(other.distinct)
        self.frequent.merge(other.frequent)
        self.ngrams += other.ngrams

    @property
    def count(self) -> int:
        return int(self.kinds.sum())

    @property
    def empty(self) -> int:
        return int(self.kinds[EMPTY])


class Survey:
    """A survey of a set.

    Args:
        sample: most records, texts and identifiers to keep of each kind.
    """

    def __init__(self, sample: int = SAMPLE) -> None:
        self.records = 0
        self.field_counts: Counter[int] = Counter()
        self.lengths = Quantiles()
        self.fields: list[FieldProfile] = []
        self.distinct = DistinctCount()
        self.frequent = FrequentItems()
        self.texts = BottomKSample(sample)  # distinct records, each with its count
        self.rows = BottomKSample(sample)  # records as they occur, a repeated one several times
        self.identifiers = BottomKSample(sample)  # (text, kind); the kind of a field's value is the field's number
        self._sample = sample

    def add(self, text: pa.Array, first_row: int) -> None:
        """Add records.

        Args:
            text: records with field breaks.
            first_row: number of the first one; each record of the set must have another number.
        """
        if not len(text):
            return
        columns = Columns(text)
        self.records += len(text)
        self.lengths.add(pc.utf8_length(text).to_numpy().astype(np.float64))
        values, counts = np.unique(columns.counts, return_counts=True)
        self.field_counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        for number in range(min(int(columns.counts.max()), MAX_FIELDS)):
            if number == len(self.fields):
                self.fields.append(FieldProfile())
            column = columns.column(number)
            self.fields[number].add(column)
            self._add_rare(column, number)
        self._add_samples(text, first_row)

    def _add_samples(self, text: pa.Array, first_row: int) -> None:
        hashes = record_hashes(text)
        self.texts.add(hashes, lambda row: text[row].as_py())
        rows = mix64(np.arange(first_row, first_row + len(text), dtype=np.uint64))
        self.rows.add(rows, lambda row: text[row].as_py())
        distinct, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        self.distinct.add(distinct)
        self.frequent.add(text.take(pa.array(first)).to_pylist(), counts.tolist())
        found, kinds, _ = identifiers(text)
        if found:
            self.identifiers.add(identifier_hashes(found), lambda row: (found[row], kinds[row]))

    def _add_rare(self, column: Column, number: int) -> None:
        """Values long enough to name someone; which of them occur once only the counts will tell."""
        long = column.lengths >= RARE_LENGTH
        if long.any():
            values = column.values if long.all() else column.values.filter(pa.array(long))
            self.identifiers.add(value_hashes(values, number), lambda row: (values[row].as_py(), number))

    def merge(self, other: Self) -> None:
        self.records += other.records
        self.field_counts.update(other.field_counts)
        self.lengths.merge(other.lengths)
        while len(self.fields) < len(other.fields):
            self.fields.append(FieldProfile())
        for mine, theirs in zip(self.fields, other.fields, strict=False):
            mine.merge(theirs)
        self.distinct.merge(other.distinct)
        self.frequent.merge(other.frequent)
        self.texts.merge(other.texts)
        self.rows.merge(other.rows)
        self.identifiers.merge(other.identifiers)

    @property
    def field_count(self) -> int:
        """How many fields most records have; the smaller number where two are as common."""
        return min(self.field_counts, key=lambda count: (-self.field_counts[count], count), default=0)


def ngram_counts(values: pa.Array) -> npt.NDArray[np.int64]:
    """Runs of three bytes by hash bucket; each string has a break before and after it, and no run reaches into the next."""
    edge, nothing = (pa.scalar(text, pa.large_string()) for text in (FIELD_BREAK, ""))
    content, offsets = text_bytes(pc.binary_join_element_wise(edge, values.cast(pa.large_string()), edge, nothing))
    inside = np.ones(len(content), bool)
    for step in range(1, NGRAM_ORDER):
        inside[np.maximum(offsets[1:] - step, 0)] = False
    buckets = ngram_buckets(content, NGRAM_ORDER, NGRAM_BUCKETS)
    return np.bincount(buckets[inside[: len(buckets)]], minlength=NGRAM_BUCKETS)
