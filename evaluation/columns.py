"""A batch of records as columns: ragged rows, the kind of every value, and its number where it has one.

Kinds: `integer`, `decimal`, `time` (ISO 8601 date or date and time), `text`, and `empty`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linesmith.records.fields import FIELD_BREAK

KINDS = ("empty", "integer", "decimal", "time", "text")
EMPTY, INTEGER, DECIMAL, TIME, TEXT = range(len(KINDS))
_INTEGER = r"^[+-]?[0-9]{1,18}$"
_DECIMAL = r"^[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]{1,3})$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?Z?)?$"


class Columns:
    """The fields of a batch.

    Args:
        text: records with FIELD_BREAK between fields; no nulls.
    """

    def __init__(self, text: pa.Array) -> None:
        self.text = text.cast(pa.large_string())
        fields = pc.split_pattern(self.text, FIELD_BREAK)
        self.counts: npt.NDArray[np.int64] = fields.value_lengths().to_numpy().astype(np.int64)
        self._values = fields.flatten()
        self._starts = np.cumsum(self.counts) - self.counts

    def __len__(self) -> int:
        return len(self.text)

    def rows_with(self, column: int) -> npt.NDArray[np.int64]:
        """Numbers of the records that have a field there."""
        return np.flatnonzero(self.counts > column)

    def column(self, column: int) -> Column:
        """The field of the records that have it, in order."""
        return Column(self._values.take(pa.array(self._starts[self.rows_with(column)] + column)))


class Column:
    """Values of one field.

    Example:
        >>> Column(pa.array(["7", "-1.5", "", "2020-01-02", "x"])).kinds.tolist()
        [1, 2, 0, 3, 4]
    """

    def __init__(self, values: pa.Array) -> None:
        self.values = values.cast(pa.large_string())

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def kinds(self) -> npt.NDArray[np.int8]:
        """The kind of each value, as an index of KINDS."""
        kinds = np.full(len(self.values), TEXT, np.int8)
        kinds[_matches(self.values, _TIME)] = TIME
        kinds[_matches(self.values, _DECIMAL)] = DECIMAL
        kinds[_matches(self.values, _INTEGER)] = INTEGER
        kinds[pc.equal(self.values, "").to_numpy(zero_copy_only=False)] = EMPTY
        if (kinds == TIME).any():  # 2021-02-30 has the form, but is no day
            kinds[(kinds == TIME) & ~np.isfinite(self.numbers_of(kinds))] = TEXT
        return kinds

    @cached_property
    def numbers(self) -> npt.NDArray[np.float64]:
        """The number of each value, seconds since 1970 for times; NaN where it has none or it is not finite."""
        return self.numbers_of(self.kinds)

    def numbers_of(self, kinds: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
        numbers = np.full(len(self.values), np.nan)
        numeric = (kinds == INTEGER) | (kinds == DECIMAL)
        if numeric.any():
            plain = pc.utf8_ltrim(self.values.filter(pa.array(numeric)), "+")
            numbers[numeric] = pc.cast(plain, pa.float64()).to_numpy()
        times = kinds == TIME
        if times.any():
            numbers[times] = _seconds(self.values.filter(pa.array(times)))
        numbers[np.isinf(numbers)] = np.nan
        return numbers

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Characters of each value."""
        return pc.utf8_length(self.values).to_numpy().astype(np.int64)


def _matches(values: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    return pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False).astype(bool)


def _seconds(values: pa.Array) -> npt.NDArray[np.float64]:
    """Seconds since 1970 of ISO dates and times; NaN for a day that does not exist."""
    day = pc.utf8_slice_codeunits(values, 0, 10).cast(pa.string())
    clock = pc.utf8_rtrim(pc.utf8_slice_codeunits(values, 11, 19), "Z").cast(pa.string())
    filled = pc.binary_join_element_wise(clock, pc.if_else(pc.equal(clock, ""), "00:00:00", ":00"), "")
    whole = pc.if_else(pc.equal(pc.utf8_length(clock), 8), clock, filled)
    joined = pc.binary_join_element_wise(day, whole, " ")
    parsed = pc.strptime(joined, format="%Y-%m-%d %H:%M:%S", unit="s", error_is_null=True)
    # strptime may let 30 February through as 1 March: only what prints as itself is a day.
    same = pc.fill_null(pc.equal(pc.strftime(parsed, format="%Y-%m-%d"), day), False)
    seconds = pc.if_else(same, parsed.cast(pa.int64()), pa.scalar(None, pa.int64()))
    return seconds.cast(pa.float64()).to_numpy(zero_copy_only=False)
