"""Counts of one field over records: value classes, lengths, ranges, frequent values, and the spellings that all values share.

They can be merged, and are vectorized over batches. The result does not depend on how records fall into batches.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from linesmith.records.output.spellings import common_spellings
from linesmith.records.patterns.shapes import FIRST_OF_CLASS

MAX_VALUES = 1024  # a field with more distinct values has no list of them
_MAX_VALUE_CHARS = 256
_MAX_SHAPES, _MAX_SHAPE_CHARS = 256, 64
_INTEGER = r"^[+-]?[0-9]+$"
_DECIMAL = r"^[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+[eE][+-]?[0-9]+|[0-9]+\.[0-9]*[eE][+-]?[0-9]+)$"
_CLASSES = ("text", "decimal", "integer", "empty")  # a field has the first class that occurs in it
# Numbers spelled as a program would spell them: a leading zero or a plus sign would be lost. They decide about ranges of
# numbers; types are decided by spellings, that is, by the parser of the types.
_PLAIN_INTEGER = r"^(0|-?[1-9][0-9]{0,17})$"
_PLAIN_DECIMAL = r"^-?(0|[1-9][0-9]*)\.[0-9]+$"
_IN_QUOTES = r'^"([^"]*)"$'
_NO_SPELLING: frozenset[str] = frozenset()
# Of bytes: those of UTF-8 below 128 are always characters of their own.
_FIRST_OF_CLASS = np.array([FIRST_OF_CLASS.get(code, code) for code in range(256)], np.uint8)


@dataclass
class FieldAccumulator:
    """Counts of one field.

    Attributes:
        kinds: values per class (integer, decimal, empty, text).
        max_chars: characters of the longest value.
        values: values with their counts; None once there are more than `max_values`, or one is too long to keep.
        least, most: smallest and largest finite number; infinite, and least above most, if there is none.
        shapes: plainly spelled numbers: whole and decimal.
        whole_digits: most digits before the point of a plainly spelled number.
        scale: most digits after the point.
        text_shapes: shapes (`linesmith.records.patterns.shapes`) of all values that are not empty, with their counts; None once
            there are more than 256, or one is longer than 64 characters.
        spellings: the spellings (`linesmith.records.output.spellings`) that all values have which are not empty; None: there
            were none.
        spelled_empty: whether a value was empty, or a pair of quotes with nothing inside.
        spelled_digits: most characters before the point, where all values are decimals.
        max_values: most distinct values to keep; more than MAX_VALUES for a field that records are conditioned on.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    max_chars: int = 0
    values: Counter[str] | None = field(default_factory=Counter)
    least: float = math.inf
    most: float = -math.inf
    shapes: Counter[str] = field(default_factory=Counter)
    whole_digits: int = 0
    scale: int = 0
    text_shapes: Counter[str] | None = field(default_factory=Counter)
    spellings: frozenset[str] | None = None
    spelled_empty: bool = False
    spelled_digits: int = 0
    max_values: int = MAX_VALUES

    def add(self, values: pa.Array, quoted: bool = False) -> None:
        """Add values of the field; at least one.

        Args:
            values: as they stand in the record.
            quoted: quotes around a value are no part of it.
        """
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
        self._add_spellings(values, quoted)
        self._add_text_shapes(None if longest > _MAX_SHAPE_CHARS else values)
        if self.values is None or longest > _MAX_VALUE_CHARS:
            self.values = None
            return
        self._add_values(_count_distinct(values))

    def _add_shapes(self, values: pa.Array, counts: dict[str, int]) -> None:
        # Each pattern is a pass over the values, so those that cannot match are skipped.
        if counts["integer"]:
            self.shapes["whole"] += _count_true(pc.match_substring_regex(values, _PLAIN_INTEGER))
        if counts["decimal"]:
            plain = values.filter(pc.match_substring_regex(values, _PLAIN_DECIMAL))
            self.shapes["decimal"] += len(plain)
            self.whole_digits = max(self.whole_digits, _longest_without(plain, r"^-|\..*$"))
            self.scale = max(self.scale, _longest_without(plain, r"^.*\."))
        if counts["integer"]:
            plain = values.filter(pc.match_substring_regex(values, _PLAIN_INTEGER))
            self.whole_digits = max(self.whole_digits, _longest_without(plain, "^-"))

    def _add_text_shapes(self, values: pa.Array | None) -> None:
        """Count the shapes of values; None: of values that are too long."""
        if self.text_shapes is not None:
            self._merge_text_shapes(None if values is None else _count_distinct(_shapes(values)))

    def _merge_text_shapes(self, counts: dict[str, int] | None) -> None:
        if self.text_shapes is None or counts is None:
            self.text_shapes = None
            return
        self.text_shapes.update({shape: number for shape, number in counts.items() if shape})
        if len(self.text_shapes) > _MAX_SHAPES:
            self.text_shapes = None

    def _add_spellings(self, values: pa.Array, quoted: bool) -> None:
        if self.spellings == _NO_SPELLING:  # some value is text already
            return
        distinct = values.unique()
        if quoted:
            distinct = pc.replace_substring_regex(distinct, _IN_QUOTES, r"\1")
        texts = distinct.to_pylist()
        # The same parser as for validation and output, so that no type is inferred that would then refuse a value.
        self.spellings = common_spellings(filter(None, texts), self.spellings)
        self.spelled_empty = self.spelled_empty or "" in texts
        if any(name.startswith("decimal") for name in self.spellings or ()):
            self.spelled_digits = max(self.spelled_digits, _longest_without(distinct, r"^-|\..*$"))

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
        self._merge_text_shapes(other.text_shapes)
        self.whole_digits = max(self.whole_digits, other.whole_digits)
        self.scale = max(self.scale, other.scale)
        if self.spellings is None or other.spellings is None:
            self.spellings = other.spellings if self.spellings is None else self.spellings
        else:
            self.spellings &= other.spellings
        self.spelled_empty = self.spelled_empty or other.spelled_empty
        self.spelled_digits = max(self.spelled_digits, other.spelled_digits)

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
            "text_shapes": None if self.text_shapes is None else dict(sorted(self.text_shapes.items())),
            "spellings": self._described_spellings(),
            **(known if self.max_values > MAX_VALUES else {}),
        }

    def _described_spellings(self) -> dict[str, Any] | None:
        """Return what types are inferred from; None where the field has no type but text.

        What was counted before the first text was found depends on the order of the values, so it is left out.
        """
        if not self.spellings:
            return None
        is_decimal = any(name.startswith("decimal") for name in self.spellings)
        digits = self.spelled_digits if is_decimal else 0
        return {"names": sorted(self.spellings), "empty": self.spelled_empty, "whole_digits": digits}


def _count_true(mask: pa.Array) -> int:
    return pc.sum(mask).as_py() or 0


def _count_distinct(values: pa.Array) -> dict[str, int]:
    counted = pc.value_counts(values)
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _shapes(values: pa.Array) -> pa.Array:
    """Return the shapes of values without nulls. All their bytes are mapped at once: a regular expression takes far longer."""
    values = values.cast(pa.large_string())
    _, starts, held = values.buffers()
    offsets = np.frombuffer(starts, np.int64)[values.offset : values.offset + len(values) + 1]
    mapped = _FIRST_OF_CLASS[np.frombuffer(held or b"", np.uint8)[offsets[0] : offsets[-1]]]
    buffers = [None, pa.py_buffer(offsets - offsets[0]), pa.py_buffer(mapped)]
    return pa.Array.from_buffers(pa.large_string(), len(values), buffers)


def _longest_without(values: pa.Array, pattern: str) -> int:
    """Return the characters of the longest value after a pattern is removed; 0 if there are no values."""
    return pc.max(pc.utf8_length(pc.replace_substring_regex(values, pattern, ""))).as_py() or 0
