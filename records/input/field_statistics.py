"""Statistics of the fields of records: counts, value classes, lengths, ranges, frequent values and the tokens of each field.

They can be merged, and are vectorized over batches. The result does not depend on how records fall into batches.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linesmith.records.field_order import FieldOrder
from linesmith.records.fields import DELIMITER_ID, FIELD_BREAK

MAX_FIELDS = 256  # later fields of a record are counted, not described
MAX_VALUES = 64  # a field with more distinct values has no list of them
MAX_CONDITION_VALUES = 4096  # the same for a field that records are conditioned on
_MAX_VALUE_CHARS = 256
_BINS = 128
_INTEGER = r"^[+-]?[0-9]+$"
_DECIMAL = r"^[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+[eE][+-]?[0-9]+|[0-9]+\.[0-9]*[eE][+-]?[0-9]+)$"
_CLASSES = ("text", "decimal", "integer", "empty")  # a field has the first class that occurs in it
# Shapes tell whether a value is the same after a conversion to a type and back. Numbers count only if they are spelled as
# a program would spell them: a leading zero or a plus sign would be lost.
_PLAIN_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
_PLAIN_DECIMAL = r"^-?(0|[1-9][0-9]*)\.[0-9]+$"
_PLAIN_EXPONENT = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?[eE][+-]?[0-9]{1,3}$"
_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_TEXT_SHAPES = {
    "boolean": r"^(true|false)$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "local_timestamp": _TIMESTAMP + "$",
    "timestamp": _TIMESTAMP + r"(Z|[+-][0-9]{2}:[0-9]{2})$",
}


@dataclass
class FieldAccumulator:
    """Counts of one field.

    Attributes:
        kinds: values per class (integer, decimal, empty, text).
        max_chars: characters of the longest value.
        values: values with their counts; None once there are more than `max_values`, or one is too long to keep.
        least, most: smallest and largest finite number; infinite, and least above most, if there is none.
        shapes: values per shape, see `_TEXT_SHAPES`; also whole, decimal and exponent for plainly spelled numbers.
        whole_digits: most digits before the point of a plainly spelled number.
        scale: most digits after the point.
        max_values: most distinct values to keep.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    max_chars: int = 0
    values: Counter[str] | None = field(default_factory=Counter)
    least: float = math.inf
    most: float = -math.inf
    shapes: Counter[str] = field(default_factory=Counter)
    whole_digits: int = 0
    scale: int = 0
    max_values: int = MAX_VALUES

    def add(self, values: pa.Array) -> None:
        """Add values of the field; at least one."""
        integer = pc.match_substring_regex(values, _INTEGER)
        decimal = pc.match_substring_regex(values, _DECIMAL)
        lengths = pc.utf8_length(values)
        counts = {
            "integer": _count_true(integer),
            "decimal": _count_true(decimal),
            "empty": _count_true(pc.equal(lengths, 0)),
        }
        self.kinds.update({**counts, "text": len(values) - sum(counts.values())})
        longest = pc.max(lengths).as_py()
        self.max_chars = max(self.max_chars, longest)
        self._add_range(values.filter(pc.or_(integer, decimal)))
        self._add_shapes(values, counts)
        if self.values is None or longest > _MAX_VALUE_CHARS:
            self.values = None
            return
        counted = pc.value_counts(values)
        self._add_values(
            dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
        )

    def _add_shapes(self, values: pa.Array, counts: dict[str, int]) -> None:
        # Each pattern is a pass over the values, so those that cannot match are skipped.
        if counts["integer"]:
            self.shapes["whole"] += _count_true(pc.match_substring_regex(values, _PLAIN_INTEGER))
        if counts["decimal"]:
            self.shapes["exponent"] += _count_true(pc.match_substring_regex(values, _PLAIN_EXPONENT))
            plain = values.filter(pc.match_substring_regex(values, _PLAIN_DECIMAL))
            self.shapes["decimal"] += len(plain)
            self.whole_digits = max(self.whole_digits, _longest_without(plain, r"^-|\..*$"))
            self.scale = max(self.scale, _longest_without(plain, r"^.*\."))
        if counts["integer"]:
            plain = values.filter(pc.match_substring_regex(values, _PLAIN_INTEGER))
            self.whole_digits = max(self.whole_digits, _longest_without(plain, "^-"))
        if sum(counts.values()) < len(values):
            for shape, pattern in _TEXT_SHAPES.items():
                self.shapes[shape] += _count_true(pc.match_substring_regex(values, pattern))

    def _add_range(self, values: pa.Array) -> None:
        if not len(values):
            return
        try:
            numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:  # a leading plus sign, or more than a float can hold
            numbers = np.array(values.to_pylist(), dtype=np.float64)
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            self.least, self.most = min(self.least, float(finite.min())), max(self.most, float(finite.max()))

    def _add_values(self, counts: dict[str, int] | None) -> None:
        if self.values is None or counts is None or len(counts) > self.max_values:
            self.values = None
            return
        self.values.update(counts)
        if len(self.values) > self.max_values:
            self.values = None

    def merge(self, other: FieldAccumulator) -> None:
        """Add the counts of other records."""
        self.kinds.update(other.kinds)
        self.max_chars = max(self.max_chars, other.max_chars)
        self._add_values(other.values)
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.shapes.update(other.shapes)
        self.whole_digits = max(self.whole_digits, other.whole_digits)
        self.scale = max(self.scale, other.scale)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON; 'min' and 'max' are over the numeric values, None if there are none."""
        numeric = self.least <= self.most
        few = self.values if self.values is None or len(self.values) <= MAX_VALUES else None
        known = {"known_values": None if self.values is None else sorted(self.values)}
        return {
            "kind": next((name for name in _CLASSES if self.kinds[name]), "empty"),
            "kinds": {name: self.kinds[name] for name in _CLASSES if self.kinds[name]},
            "max_chars": self.max_chars,
            "values": None if few is None else dict(sorted(few.items(), key=lambda v: (-v[1], v[0]))),
            "min": self.least if numeric else None,
            "max": self.most if numeric else None,
            "shapes": {shape: number for shape, number in sorted(self.shapes.items()) if number},
            "whole_digits": self.whole_digits,
            "scale": self.scale,
            **(known if self.max_values > MAX_VALUES else {}),
        }


class FieldStatistics:
    """Statistics of a set of records.

    Args:
        vocab_size: all token ids are below it.
        reserved: ids below it separate records and fields, and belong to no field.
        order: order of the fields in texts and ids, where it is not that of the input; statistics have that of the input.
        conditions: number of fields, from the first of that order, that records are conditioned on: more of their values are
            kept.
    """

    def __init__(self, vocab_size: int, reserved: int, order: FieldOrder | None = None, conditions: int = 0) -> None:
        self._vocab_size = vocab_size
        self._reserved = reserved
        self._order = order
        self._conditions = conditions
        self._records = 0
        self._field_counts: Counter[int] = Counter()
        self._chars: Counter[int] = Counter()
        self._tokens: Counter[int] = Counter()
        self._fields: list[FieldAccumulator] = []
        self._seen: list[npt.NDArray[np.bool_]] = []

    def add(self, batch: pa.RecordBatch, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        """Add records.

        Args:
            batch: columns `text`, with field breaks, and `num_chars`.
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
        values = fields.flatten()
        for number in range(min(int(counts.max()), MAX_FIELDS)):
            self._field(number).add(values.filter(pa.array(column == number)))
        self._add_tokens(ids, lengths, counts)

    def _field(self, number: int) -> FieldAccumulator:
        while len(self._fields) <= number:
            first = () if self._order is None else self._order.positions[: self._conditions]
            conditioned = len(self._fields) in first
            self._fields.append(FieldAccumulator(max_values=MAX_CONDITION_VALUES if conditioned else MAX_VALUES))
            self._seen.append(np.zeros(self._vocab_size, np.bool_))
        return self._fields[number]

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
        return FieldStatistics(self._vocab_size, self._reserved, self._order, self._conditions)

    def merge(self, other: FieldStatistics) -> None:
        """Add the statistics of other records of the same tokenizer."""
        self._records += other._records
        self._field_counts.update(other._field_counts)
        self._chars.update(other._chars)
        self._tokens.update(other._tokens)
        for number, (accumulator, seen) in enumerate(zip(other._fields, other._seen, strict=True)):
            self._field(number).merge(accumulator)
            self._seen[number] |= seen

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON. Token lengths count what a model must generate: the final `<n>`, but not the first."""
        fields = [
            {"index": number, **accumulator.as_dict(), "tokens": np.flatnonzero(seen).tolist()}
            for number, (accumulator, seen) in enumerate(zip(self._fields, self._seen, strict=True))
        ]
        return {
            "records_described": self._records,
            "field_counts": {str(count): number for count, number in sorted(self._field_counts.items())},
            "length_chars": _histogram(self._chars),
            "length_tokens": _histogram(self._tokens),
            "fields": fields,
        }


def _count_true(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0


def _longest_without(values: pa.Array, pattern: str) -> int:
    """Return the characters of the longest value after a pattern is removed; 0 if there are no values."""
    return pc.max(pc.utf8_length(pc.replace_substring_regex(values, pattern, ""))).as_py() or 0


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
