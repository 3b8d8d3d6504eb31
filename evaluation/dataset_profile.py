"""The profile of a set: what one pass collects about its records and fields, in bounded memory.

Nothing depends on how records are grouped into batches, except the last digits of quantiles of more than 4,096 values.
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

from linesmith.evaluation.columns import DECIMAL, EMPTY, INTEGER, KINDS, TIME, FieldColumn, RecordColumns
from linesmith.evaluation.hashing import Hashes, hash_strings, ngram_buckets, splitmix64, text_bytes
from linesmith.evaluation.identifiers import find_identifiers
from linesmith.evaluation.sketches import BottomKSample, DistinctCount, FrequentItems, QuantileSketch
from linesmith.records.fields import FIELD_BREAK

MAX_FIELDS = 64  # later fields of a record are counted, not compared
SAMPLE = 20_000
NGRAM_ORDER = 3
NGRAM_BUCKETS = 4096
RARE_LENGTH = 4  # a shorter value identifies nobody
MAX_VALUE_LENGTH = 200  # a longer value is cut to this length before it is counted as a category
_RECORD_SALT, _IDENTIFIER_SALT, _VALUE_SALT = 1, 2, 1000


def record_hashes(text: pa.Array) -> Hashes:
    """Return the hashes under which the texts of records are sampled and tracked."""
    return hash_strings(text, _RECORD_SALT)


def identifier_hashes(identifiers: Iterable[str]) -> Hashes:
    """Return the hashes under which identifiers are sampled and tracked, in whatever field they occur."""
    return hash_strings(pa.array(list(identifiers), pa.large_string()), _IDENTIFIER_SALT)


def value_hashes(values: pa.Array, column: int) -> Hashes:
    """Return the hashes under which the values of one field are sampled and tracked."""
    return hash_strings(values, _VALUE_SALT + column)


@dataclass
class FieldProfile:
    """Profile of the values of one field.

    Attributes:
        kinds: number of values of each kind, in the order of KINDS.
        numbers: quantiles of the numeric values.
        times: quantiles of the times, in seconds since 1970.
        lengths: quantiles of the lengths of all values, in characters.
        distinct: estimates the number of different values.
        frequent: the most frequent values.
        ngrams: number of n-grams of three bytes in each hash bucket.
    """

    kinds: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(KINDS), np.int64))
    numbers: QuantileSketch = field(default_factory=QuantileSketch)
    times: QuantileSketch = field(default_factory=QuantileSketch)
    lengths: QuantileSketch = field(default_factory=QuantileSketch)
    distinct: DistinctCount = field(default_factory=DistinctCount)
    frequent: FrequentItems = field(default_factory=FrequentItems)
    ngrams: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(NGRAM_BUCKETS, np.int64))

    def add(self, column: FieldColumn) -> None:
        """Add the values of a batch."""
        kinds = column.kinds
        self.kinds += np.bincount(kinds, minlength=len(KINDS))
        numeric = (kinds == INTEGER) | (kinds == DECIMAL)
        if numeric.any():
            self.numbers.add(column.numbers[numeric])
        if (kinds == TIME).any():
            self.times.add(column.numbers[kinds == TIME])
        self.lengths.add(column.lengths.astype(np.float64))
        counted = pc.value_counts(pc.utf8_slice_codeunits(column.values, 0, MAX_VALUE_LENGTH))
        distinct = counted.field("values")
        self.distinct.add(hash_strings(distinct))
        self.frequent.add(distinct.to_pylist(), counted.field("counts").to_pylist())
        self.ngrams += ngram_counts(column.values)

    def merge(self, other: Self) -> None:
        """Add everything that another profile of this field has seen."""
        self.kinds += other.kinds
        self.numbers.merge(other.numbers)
        self.times.merge(other.times)
        self.lengths.merge(other.lengths)
        self.distinct.merge(other.distinct)
        self.frequent.merge(other.frequent)
        self.ngrams += other.ngrams

    @property
    def count(self) -> int:
        """Number of values, empty ones included."""
        return int(self.kinds.sum())

    @property
    def empty(self) -> int:
        """Number of empty values."""
        return int(self.kinds[EMPTY])


class DatasetProfile:
    """Profile of a set of records.

    Args:
        sample: largest number of items in each of the three samples.

    Attributes:
        records: number of records.
        field_counts: number of records by their number of fields.
        lengths: quantiles of the records' lengths in characters.
        fields: one profile per field, for at most MAX_FIELDS fields.
        distinct: estimates the number of different records.
        frequent: the most frequent records.
        distinct_sample: distinct records, each with its count.
        row_sample: records as they occur; a record that occurs several times may be in it several times.
        identifier_sample: (text, kind) of identifiers; for the value of a field, `kind` is the field's number.
    """

    def __init__(self, sample: int = SAMPLE) -> None:
        self.records = 0
        self.field_counts: Counter[int] = Counter()
        self.lengths = QuantileSketch()
        self.fields: list[FieldProfile] = []
        self.distinct = DistinctCount()
        self.frequent = FrequentItems()
        self.distinct_sample = BottomKSample(sample)
        self.row_sample = BottomKSample(sample)
        self.identifier_sample = BottomKSample(sample)

    def add(self, text: pa.Array, first_row: int) -> None:
        """Add a batch of records.

        Args:
            text: records with field breaks; no nulls.
            first_row: number of the first record; the numbers of the set's records must all differ.
        """
        if not len(text):
            return
        columns = RecordColumns(text)
        self.records += len(text)
        self.lengths.add(pc.utf8_length(text).to_numpy().astype(np.float64))
        values, counts = np.unique(columns.field_counts, return_counts=True)
        self.field_counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        for number in range(min(int(columns.field_counts.max()), MAX_FIELDS)):
            if number == len(self.fields):
                self.fields.append(FieldProfile())
            column = columns.column(number)
            self.fields[number].add(column)
            self._sample_values(column, number)
        self._sample_records(text, first_row)

    def _sample_records(self, text: pa.Array, first_row: int) -> None:
        hashes = record_hashes(text)
        self.distinct_sample.add(hashes, lambda row: text[row].as_py())
        row_hashes = splitmix64(np.arange(first_row, first_row + len(text), dtype=np.uint64))
        self.row_sample.add(row_hashes, lambda row: text[row].as_py())
        distinct, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        self.distinct.add(distinct)
        self.frequent.add(text.take(pa.array(first)).to_pylist(), counts.tolist())
        found, kinds, _ = find_identifiers(text)
        if found:
            self.identifier_sample.add(identifier_hashes(found), lambda row: (found[row], kinds[row]))

    def _sample_values(self, column: FieldColumn, number: int) -> None:
        """Sample values that are long enough to identify someone; only their counts will tell which occur once."""
        long = column.lengths >= RARE_LENGTH
        if long.any():
            values = column.values if long.all() else column.values.filter(pa.array(long))
            self.identifier_sample.add(value_hashes(values, number), lambda row: (values[row].as_py(), number))

    def merge(self, other: Self) -> None:
        """Add everything that another profile of the same set has seen."""
        self.records += other.records
        self.field_counts.update(other.field_counts)
        self.lengths.merge(other.lengths)
        while len(self.fields) < len(other.fields):
            self.fields.append(FieldProfile())
        for mine, theirs in zip(self.fields, other.fields, strict=False):
            mine.merge(theirs)
        self.distinct.merge(other.distinct)
        self.frequent.merge(other.frequent)
        self.distinct_sample.merge(other.distinct_sample)
        self.row_sample.merge(other.row_sample)
        self.identifier_sample.merge(other.identifier_sample)

    @property
    def field_count(self) -> int:
        """Number of fields that most records have; the smaller one where two are equally common, 0 without records."""
        return min(self.field_counts, key=lambda count: (-self.field_counts[count], count), default=0)


def ngram_counts(values: pa.Array) -> npt.NDArray[np.int64]:
    """Count the n-grams of three bytes by hash bucket.

    Args:
        values: strings; each gets a field break before and after it, so that its ends count too.

    Returns:
        NGRAM_BUCKETS counts; no n-gram spans two strings.
    """
    edge, nothing = (pa.scalar(text, pa.large_string()) for text in (FIELD_BREAK, ""))
    content, offsets = text_bytes(pc.binary_join_element_wise(edge, values.cast(pa.large_string()), edge, nothing))
    # An n-gram that begins in the last bytes of a string would span two strings.
    inside = np.ones(len(content), bool)
    for step in range(1, NGRAM_ORDER):
        inside[np.maximum(offsets[1:] - step, 0)] = False
    buckets = ngram_buckets(content, NGRAM_ORDER, NGRAM_BUCKETS)
    return np.bincount(buckets[inside[: len(buckets)]], minlength=NGRAM_BUCKETS)
