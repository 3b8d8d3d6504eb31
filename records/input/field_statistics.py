"""What the fields of the records look like: counts, kinds, lengths, few-valued fields, ranges, and the tokens seen in each.

Mergeable and vectorised over batches. Nothing depends on how records fall into batches.
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

from linesmith.records.fields import DELIMITER_ID, FIELD_BREAK

MAX_FIELDS = 256  # later fields of a record are counted, not described
MAX_VALUES = 64
_LONGEST_VALUE = 256
_BINS = 128
_INTEGER = r"^[+-]?[0-9]+$"
_DECIMAL = r"^[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+[eE][+-]?[0-9]+|[0-9]+\.[0-9]*[eE][+-]?[0-9]+)$"
_KINDS = ("text", "decimal", "integer", "empty")  # a field is of the first kind that occurs in it
# Shapes say whether a value survives being typed: only numbers that are spelt as a program would spell them are counted.
_WHOLE = r"^(0|-?[1-9][0-9]{0,17})$"
_POINT = r"^-?(0|[1-9][0-9]*)\.[0-9]+$"
_EXPONENT = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?[eE][+-]?[0-9]{1,3}$"
_CLOCK = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_WORDS = {
    "boolean": r"^(true|false)$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "local_timestamp": _CLOCK + "$",
    "timestamp": _CLOCK + r"(Z|[+-][0-9]{2}:[0-9]{2})$",
}


@dataclass
class FieldAccumulator:
    """One field's tallies. `values` is None once there are too many of them, or one is too long to keep."""

    kinds: Counter[str] = field(default_factory=Counter)
    max_chars: int = 0
    values: Counter[str] | None = field(default_factory=Counter)
    least: float = math.inf
    most: float = -math.inf
    shapes: Counter[str] = field(default_factory=Counter)
    whole_digits: int = 0
    scale: int = 0

    def add(self, values: pa.Array) -> None:
        integer = pc.match_substring_regex(values, _INTEGER)
        decimal = pc.match_substring_regex(values, _DECIMAL)
        lengths = pc.utf8_length(values)
        tally = {
            "integer": _true(integer),
            "decimal": _true(decimal),
            "empty": _true(pc.equal(lengths, 0)),
        }
        self.kinds.update({**tally, "text": len(values) - sum(tally.values())})
        longest = pc.max(lengths).as_py()
        self.max_chars = max(self.max_chars, longest)
        self._add_numbers(values.filter(pc.or_(integer, decimal)))
        self._add_shapes(values, tally)
        if self.values is None or longest > _LONGEST_VALUE:
            self.values = None
            return
        counted = pc.value_counts(values)
        self._add_values(
            dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
        )

    def _add_shapes(self, values: pa.Array, tally: dict[str, int]) -> None:
        if tally["integer"]:
            self.shapes["whole"] += _true(pc.match_substring_regex(values, _WHOLE))
        if tally["decimal"]:
            self.shapes["exponent"] += _true(pc.match_substring_regex(values, _EXPONENT))
            point = values.filter(pc.match_substring_regex(values, _POINT))
            self.shapes["decimal"] += len(point)
            whole = pc.utf8_length(pc.replace_substring_regex(point, r"^-|\..*$", ""))
            self.whole_digits = max(self.whole_digits, pc.max(whole).as_py() or 0)
            self.scale = max(
                self.scale, pc.max(pc.utf8_length(pc.replace_substring_regex(point, r"^.*\.", ""))).as_py() or 0
            )
        if tally["integer"]:
            self.whole_digits = max(self.whole_digits, self._longest_integer(values))
        if sum(tally.values()) < len(values):
            for shape, pattern in _WORDS.items():
                self.shapes[shape] += _true(pc.match_substring_regex(values, pattern))

    @staticmethod
    def _longest_integer(values: pa.Array) -> int:
        whole = values.filter(pc.match_substring_regex(values, _WHOLE))
        return pc.max(pc.utf8_length(pc.replace_substring_regex(whole, "^-", ""))).as_py() or 0

    def _add_numbers(self, values: pa.Array) -> None:
        if not len(values):
            return
        try:
            numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:  # a leading plus, or more than a float can hold
            numbers = np.array(values.to_pylist(), dtype=np.float64)
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            self.least, self.most = min(self.least, float(finite.min())), max(self.most, float(finite.max()))

    def _add_values(self, counts: dict[str, int] | None) -> None:
        if self.values is None or counts is None or len(counts) > MAX_VALUES:
            self.values = None
            return
        self.values.update(counts)
        if len(self.values) > MAX_VALUES:
            self.values = None

    def merge(self, other: FieldAccumulator) -> None:
        self.kinds.update(other.kinds)
        self.max_chars = max(self.max_chars, other.max_chars)
        self._add_values(other.values)
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.shapes.update(other.shapes)
        self.whole_digits = max(self.whole_digits, other.whole_digits)
        self.scale = max(self.scale, other.scale)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; 'min' and 'max' are over the numeric values, None where there are none."""
        numeric = self.least <= self.most
        return {
            "kind": next((kind for kind in _KINDS if self.kinds[kind]), "empty"),
            "kinds": {kind: self.kinds[kind] for kind in _KINDS if self.kinds[kind]},
            "max_chars": self.max_chars,
            "values": None if self.values is None else dict(sorted(self.values.items(), key=lambda v: (-v[1], v[0]))),
            "min": self.least if numeric else None,
            "max": self.most if numeric else None,
            "shapes": {shape: number for shape, number in sorted(self.shapes.items()) if number},
            "whole_digits": self.whole_digits,
            "scale": self.scale,
        }


class FieldStatistics:
    """Statistics of a set of records.

    Args:
        vocab_size: ids are below it.
        reserved: ids below it are structure and belong to no field.
    """

    def __init__(self, vocab_size: int, reserved: int) -> None:
        self._vocab_size = vocab_size
        self._reserved = reserved
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
            ids: their token ids, record after record, each `<n> … <n>`.
            lengths: number of ids of each record.
        """
        if not batch.num_rows:
            return
        self._records += batch.num_rows
        _tally(self._chars, batch["num_chars"].to_numpy())
        _tally(self._tokens, lengths - 1)
        fields = pc.split_pattern(batch["text"], FIELD_BREAK)
        counts = fields.value_lengths().to_numpy()
        _tally(self._field_counts, counts)
        column = _position_in_row(counts)
        values = fields.flatten()
        for number in range(min(int(counts.max()), MAX_FIELDS)):
            self._field(number).add(values.filter(pa.array(column == number)))
        self._add_tokens(ids, lengths)

    def _field(self, number: int) -> FieldAccumulator:
        while len(self._fields) <= number:
            self._fields.append(FieldAccumulator())
            self._seen.append(np.zeros(self._vocab_size, np.bool_))
        return self._fields[number]

    def _add_tokens(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        delimiters = np.cumsum(ids == DELIMITER_ID)
        first = np.cumsum(lengths) - lengths
        column = delimiters - np.repeat(delimiters[first], lengths)
        text = (ids >= self._reserved) & (column < MAX_FIELDS)
        if not text.any():
            return
        # Marked in a table instead of sorted: a batch has a hundred thousand tokens, and few that differ.
        marked = np.zeros((int(column[text].max()) + 1, self._vocab_size), np.bool_)
        marked[column[text], ids[text]] = True
        for number, row in enumerate(marked):
            self._field(number)
            self._seen[number] |= row

    def empty(self) -> FieldStatistics:
        """Statistics of no records, for the same tokenizer."""
        return FieldStatistics(self._vocab_size, self._reserved)

    def merge(self, other: FieldStatistics) -> None:
        """Add the statistics of other records of the same tokenizer."""
        self._records += other._records
        self._field_counts.update(other._field_counts)
        self._chars.update(other._chars)
        self._tokens.update(other._tokens)
        for number, (one, seen) in enumerate(zip(other._fields, other._seen, strict=True)):
            self._field(number).merge(one)
            self._seen[number] |= seen

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON. Token lengths count what a model must emit: the final `<n>` but not the first."""
        fields = [
            {"index": number, **one.as_dict(), "tokens": np.flatnonzero(seen).tolist()}
            for number, (one, seen) in enumerate(zip(self._fields, self._seen, strict=True))
        ]
        return {
            "records_described": self._records,
            "field_counts": {str(count): number for count, number in sorted(self._field_counts.items())},
            "length_chars": _histogram(self._chars),
            "length_tokens": _histogram(self._tokens),
            "fields": fields,
        }


def _true(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0


def _tally(counter: Counter[int], numbers: npt.NDArray[Any]) -> None:
    values, counts = np.unique(numbers, return_counts=True)
    counter.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _position_in_row(counts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """0, 1, … within each row."""
    first = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) - np.repeat(first, counts)


def _histogram(lengths: Counter[int]) -> dict[str, Any]:
    """At most 128 bins of equal width, each with the largest length it holds and its count; empty ones left out."""
    most = max(lengths, default=0)
    width = most // _BINS + 1
    bins: Counter[int] = Counter()
    for length, count in lengths.items():
        bins[length // width] += count
    total = sum(lengths.values())
    return {
        "max": most,
        "mean": sum(length * count for length, count in lengths.items()) / total if total else 0.0,
        "histogram": [[number * width + width - 1, bins[number]] for number in sorted(bins)],
    }
