"""A batch of records as columns: fields of ragged rows, the kind of every value, and its number where it has one.

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


class RecordColumns:
    """The fields of a batch of records, which may have different numbers of fields.

    Args:
        text: records with FIELD_BREAK between fields; no nulls.

    Attributes:
        text: the records.
        field_counts: number of fields of each record.
    """

    def __init__(self, text: pa.Array) -> None:
        self.text = text.cast(pa.large_string())
        fields = pc.split_pattern(self.text, FIELD_BREAK)
        self.field_counts: npt.NDArray[np.int64] = fields.value_lengths().to_numpy().astype(np.int64)
        self._values = fields.flatten()
        self._starts = np.cumsum(self.field_counts) - self.field_counts

    def __len__(self) -> int:
        return len(self.text)

    def rows_with(self, column: int) -> npt.NDArray[np.int64]:
        """Return the indices of the records that have a field with this number (from 0)."""
        return np.flatnonzero(self.field_counts > column)

    def column(self, column: int) -> FieldColumn:
        """Return the values of a field, in order; records without this field are left out."""
        return FieldColumn(self._values.take(pa.array(self._starts[self.rows_with(column)] + column)))


class FieldColumn:
    """Values of one field.

    Args:
        values: strings, no nulls.

    Example:
        >>> FieldColumn(pa.array(["7", "-1.5", "", "2020-01-02", "x"])).kinds.tolist()
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
        if (kinds == TIME).any():  # 2021-02-30 matches the pattern but is not a date
            kinds[(kinds == TIME) & ~np.isfinite(self._parse_numbers(kinds))] = TEXT
        return kinds

    @cached_property
    def numbers(self) -> npt.NDArray[np.float64]:
        """The number of each value, seconds since 1970 for times; NaN where there is none or it is not finite."""
        return self._parse_numbers(self.kinds)

    def _parse_numbers(self, kinds: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
        """Return `numbers` for kinds that may still be corrected; `kinds` itself calls this."""
        numbers = np.full(len(self.values), np.nan)
        numeric = (kinds == INTEGER) | (kinds == DECIMAL)
        if numeric.any():
            unsigned = pc.utf8_ltrim(self.values.filter(pa.array(numeric)), "+")  # Arrow does not parse a plus sign
            numbers[numeric] = pc.cast(unsigned, pa.float64()).to_numpy()
        times = kinds == TIME
        if times.any():
            numbers[times] = _seconds(self.values.filter(pa.array(times)))
        numbers[np.isinf(numbers)] = np.nan
        return numbers

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Length of each value in characters."""
        return pc.utf8_length(self.values).to_numpy().astype(np.int64)


def _matches(values: pa.Array, pattern: str) -> npt.NDArray[np.bool_]:
    return pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False).astype(bool)


def _seconds(values: pa.Array) -> npt.NDArray[np.float64]:
    """Return seconds since 1970 for ISO dates and times; NaN for a day that does not exist."""
    day = pc.utf8_slice_codeunits(values, 0, 10).cast(pa.string())
    clock = pc.utf8_rtrim(pc.utf8_slice_codeunits(values, 11, 19), "Z").cast(pa.string())
    # The time of day may be missing or lack its seconds; strptime accepts one format only.
    padded = pc.binary_join_element_wise(clock, pc.if_else(pc.equal(clock, ""), "00:00:00", ":00"), "")
    complete = pc.if_else(pc.equal(pc.utf8_length(clock), 8), clock, padded)
    joined = pc.binary_join_element_wise(day, complete, " ")
    parsed = pc.strptime(joined, format="%Y-%m-%d %H:%M:%S", unit="s", error_is_null=True)
    # strptime may accept February 30 as March 1: a day is real only if it is formatted as it was written.
    same = pc.fill_null(pc.equal(pc.strftime(parsed, format="%Y-%m-%d"), day), False)
    seconds = pc.if_else(same, parsed.cast(pa.int64()), pa.scalar(None, pa.int64()))
    return seconds.cast(pa.float64()).to_numpy(zero_copy_only=False)
