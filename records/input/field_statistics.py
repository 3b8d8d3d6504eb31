"""Statistics of the fields of records: counts, value classes, lengths, ranges, frequent values and the tokens of each field.

They can be merged, and are vectorized over batches. The result does not depend on how records fall into batches.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linesmith.records.fields import DELIMITER_ID, FIELD_BREAK
from linesmith.records.input.aligned_information import informative_parents
from linesmith.records.input.field_accumulator import MAX_VALUES, FieldAccumulator
from linesmith.records.input.record_sample import RecordSample
from linesmith.records.model_form import AS_IN_THE_INPUT, ModelForm

MAX_FIELDS = 4096  # later fields are counted, not described: memory and the model description stay bounded
_KEPT_VALUE_CHARS, _KEPT_TOKENS = 4 << 20, 1 << 20  # of all fields together, in the description
MAX_CONDITION_VALUES = 4096  # most distinct values that are kept of a field that records are conditioned on
_BINS = 128


class FieldStatistics:
    """Statistics of a set of records.

    Args:
        vocab_size: all token ids are below it.
        reserved: ids below it separate records and fields, and belong to no field.
        quoted: quotes around a value are no part of it.
        form: in which texts and ids hold the fields; statistics are listed in the order of the input. Those of a field that is
            given as a difference describe the differences, and beside them (`original`) the numbers themselves.
        conditions: number of fields, from the first of that order, that records are conditioned on: more of their values are
            kept.
        finds_parents: find out which earlier fields tell the most about a field of wide records; never of private ones.
    """

    def __init__(
        self,
        vocab_size: int,
        reserved: int,
        quoted: bool = False,
        form: ModelForm | None = None,
        conditions: int = 0,
        finds_parents: bool = False,
    ) -> None:
        self._vocab_size = vocab_size
        self._reserved = reserved
        self._quoted = quoted
        self._form = AS_IN_THE_INPUT if form is None else form
        self._order = self._form.order
        differences = self._form.differences
        self._originals = {
            one.field: FieldAccumulator() for one in (() if differences is None else differences.differences)
        }
        self._conditions = conditions
        self._records = 0
        self._field_counts: Counter[int] = Counter()
        self._chars: Counter[int] = Counter()
        self._tokens: Counter[int] = Counter()
        self._fields: list[FieldAccumulator] = []
        self._seen: list[npt.NDArray[np.bool_]] = []
        self._sample = RecordSample(reserved) if finds_parents else None

    def add(self, batch: pa.RecordBatch, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        """Add records.

        Args:
            batch: columns `text`, with field breaks, `num_chars`, and where parents are found `record_hash`.
            ids: token ids of all records, one record after the other, each `<n> … <n>`.
            lengths: number of ids of each record.
        """
        if not batch.num_rows:
            return
        self._records += batch.num_rows
        _count_values(self._chars, batch["num_chars"].to_numpy())
        _count_values(self._tokens, lengths - 1)
        fields = pc.split_pattern(batch["text"], FIELD_BREAK)
        counts = fields.value_lengths().to_numpy()
        _count_values(self._field_counts, counts)
        column = self._input_columns(_position_in_row(counts), np.repeat(counts, counts))
        # Sorted once: a filter per field would take a pass over all values for each of thousands of fields.
        values = fields.flatten().take(pa.array(np.argsort(column, kind="stable")))
        ends = np.cumsum(np.bincount(column)).tolist()
        for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            if number < MAX_FIELDS:
                self._field(number).add(self._without_plus(number, values[start:end]), self._quoted)
        if self._originals:
            self._add_originals(batch["text"].to_pylist())
        self._add_tokens(ids, lengths, counts)
        if self._sample is not None:
            self._sample.add(batch["record_hash"].to_numpy(), ids, lengths)

    def _field(self, number: int) -> FieldAccumulator:
        while len(self._fields) <= number:
            first = () if self._order is None else self._order.positions[: self._conditions]
            conditioned = len(self._fields) in first
            self._fields.append(FieldAccumulator(max_values=MAX_CONDITION_VALUES if conditioned else MAX_VALUES))
            self._seen.append(np.zeros(self._vocab_size, np.bool_))
        return self._fields[number]

    def _without_plus(self, number: int, values: pa.Array) -> pa.Array:
        """Return the values of a field; differences without the plus sign, which is no part of a number as programs print it."""
        return pc.replace_substring_regex(values, r"^\+", "") if number in self._originals else values

    def _add_originals(self, texts: list[str]) -> None:
        """Add the fields that are given as differences as they stand in the input."""
        records = [self._form.to_input(text.split(FIELD_BREAK)) for text in texts]
        for number, accumulator in self._originals.items():
            values = [record[number] for record in records if number < len(record)]
            if values:
                accumulator.add(pa.array(values, pa.large_string()), self._quoted)

    def _input_columns(self, column: npt.NDArray[np.int64], counts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the number of a field in the input, given that in the order of the model and the fields of its record."""
        if self._order is None:
            return column
        found = column.copy()
        for count in np.unique(counts).tolist():
            records = counts == count
            found[records] = np.array(self._order.for_count(count))[column[records]]
        return found

    def _add_tokens(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], counts: npt.NDArray[Any]) -> None:
        """Mark the tokens that occur in each field."""
        # The field of a token is the number of delimiters before it in its record.
        delimiters = np.cumsum(ids == DELIMITER_ID)
        first = np.cumsum(lengths) - lengths
        column = self._input_columns(delimiters - np.repeat(delimiters[first], lengths), np.repeat(counts, lengths))
        text = (ids >= self._reserved) & (column < MAX_FIELDS)
        if not text.any():
            return
        # A table of flags instead of a sort: a batch has a hundred thousand tokens, but few distinct ones.
        occurs = np.zeros((int(column[text].max()) + 1, self._vocab_size), np.bool_)
        occurs[column[text], ids[text]] = True
        for number, row in enumerate(occurs):
            self._field(number)
            self._seen[number] |= row

    def new_empty(self) -> FieldStatistics:
        """Return statistics of no records, for the same tokenizer."""
        sampled = self._sample is not None
        return FieldStatistics(self._vocab_size, self._reserved, self._quoted, self._form, self._conditions, sampled)

    def merge(self, other: FieldStatistics) -> None:
        """Add the statistics of other records of the same tokenizer."""
        self._records += other._records
        self._field_counts.update(other._field_counts)
        self._chars.update(other._chars)
        self._tokens.update(other._tokens)
        for number, (accumulator, seen) in enumerate(zip(other._fields, other._seen, strict=True)):
            self._field(number).merge(accumulator)
            self._seen[number] |= seen
        for number, accumulator in other._originals.items():
            self._originals[number].merge(accumulator)
        if self._sample is not None and other._sample is not None:
            self._sample.merge(other._sample)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON. Token lengths count what a model must generate: the final `<n>`, but not the first."""
        fields = []
        value_chars = tokens = 0
        for number, (accumulator, seen) in enumerate(zip(self._fields, self._seen, strict=True)):
            described = {"index": number, **accumulator.as_dict(), "tokens": np.flatnonzero(seen).tolist()}
            value_chars += sum(map(len, described["values"] or ())) + sum(map(len, described["text_shapes"] or ()))
            tokens += len(described["tokens"])
            if value_chars > _KEPT_VALUE_CHARS:
                described["values"] = described["text_shapes"] = None
            if tokens > _KEPT_TOKENS:
                described["tokens"] = None
            if number in self._originals:
                described["original"] = {**self._originals[number].as_dict(), "values": None, "text_shapes": None}
            fields.append(described)
        sampled = [] if self._sample is None else self._sample.records()
        return {
            "records_described": self._records,
            "field_counts": {str(count): number for count, number in sorted(self._field_counts.items())},
            "length_chars": _histogram(self._chars),
            "length_tokens": _histogram(self._tokens),
            "fields": fields,
            # By number in the order of the model, unlike `fields`; empty for narrow records.
            "parents": informative_parents(sampled),
        }


def description_gaps(statistics: dict[str, Any]) -> list[str]:
    """Return sentences on what the statistics of a table of very many fields leave out.

    Args:
        statistics: what `FieldStatistics.as_dict` returned.
    """
    most = max(map(int, statistics.get("field_counts", {})), default=0)
    gaps = []
    if most > MAX_FIELDS:
        gaps.append(
            f"the records have {most:,} fields: those after the first {MAX_FIELDS:,} are text without limits in typed output"
        )
    kept = sum(field["tokens"] is not None for field in statistics.get("fields", []))
    if kept < len(statistics.get("fields", [])):
        gaps.append(
            f"after the first {kept:,} fields it is not kept which tokens occur in a field, so that all may be generated there"
        )
    return gaps


def _count_values(counter: Counter[int], numbers: npt.NDArray[Any]) -> None:
    values, counts = np.unique(numbers, return_counts=True)
    counter.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _position_in_row(counts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return 0, 1, … within each row, for rows of the given lengths."""
    first = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) - np.repeat(first, counts)


def _histogram(lengths: Counter[int]) -> dict[str, Any]:
    """Return at most 128 bins of equal width, each as its largest length and its count; empty ones are left out."""
    longest = max(lengths, default=0)
    width = longest // _BINS + 1
    bins: Counter[int] = Counter()
    for length, count in lengths.items():
        bins[length // width] += count
    total = sum(lengths.values())
    return {
        "max": longest,
        "mean": sum(length * count for length, count in lengths.items()) / total if total else 0.0,
        "histogram": [[number * width + width - 1, bins[number]] for number in sorted(bins)],
    }
