"""A sample of wide records, from which tokenize finds out which earlier fields tell the most about a field.

The sample is made of the records whose texts have the smallest hashes, each text once, as many as the limits allow. So it depends
on the records alone, not on how they are divided or in which order parts are merged, and its size not on their number.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.records.fields import DELIMITER_ID

NARROW_FIELDS = 32  # up to so many, every earlier field is looked up, and no sample is needed
SAMPLED_FIELDS, SAMPLED_OFFSETS = 256, 16  # first fields of a record, and first tokens of a field, that are kept
_MOST_RECORDS, _MOST_TOKENS = 2_000, 1 << 20
_NO_LIMIT = 1 << 64

Ids = npt.NDArray[np.int32]


class RecordSample:
    """Records with the smallest hashes.

    Args:
        reserved: ids below it separate records and fields.
    """

    def __init__(self, reserved: int) -> None:
        self._reserved = reserved
        self._kept: dict[int, Ids] = {}
        self._limit = _NO_LIMIT  # no record with this hash or a larger one is in the sample, whatever is added

    def add(self, hashes: npt.NDArray[np.int64], ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        """Add records.

        Args:
            hashes: of their texts.
            ids: token ids of all records, one record after the other, each `<n> … <n>`.
            lengths: number of ids of each record.
        """
        ends = np.cumsum(lengths)
        unsigned = hashes.astype(np.int64).view(np.uint64)
        # Others of this batch cannot be in the sample.
        for number in np.argsort(unsigned, kind="stable")[:_MOST_RECORDS].tolist():
            value = int(unsigned[number])
            if value >= self._limit:
                break
            if value not in self._kept:
                record = ids[int(ends[number] - lengths[number]) : int(ends[number])]
                if np.count_nonzero(record == DELIMITER_ID) >= NARROW_FIELDS:
                    self._kept[value] = self._cut(record)
        self._trim()

    def merge(self, other: RecordSample) -> None:
        """Add the records of another sample."""
        self._limit = min(self._limit, other._limit)
        self._kept = {value: ids for value, ids in {**self._kept, **other._kept}.items() if value < self._limit}
        self._trim()

    def records(self) -> list[Ids]:
        """Return the ids of the sampled records, cut, without what marks records and columns; in the order of their hashes."""
        return [self._kept[value] for value in sorted(self._kept)]

    def _cut(self, record: npt.NDArray[np.int64]) -> Ids:
        is_break = record == DELIMITER_ID
        record = record[is_break | (record >= self._reserved)].astype(np.int32)
        is_break = record == DELIMITER_ID
        position = np.arange(len(record))
        # Of the delimiter before each token; −1 in the first field.
        start = np.maximum.accumulate(np.where(is_break, position, -1))
        kept = (np.cumsum(is_break) < SAMPLED_FIELDS) & (position - start <= SAMPLED_OFFSETS)
        return record[kept]

    def _trim(self) -> None:
        """Drop the records with the largest hashes until the limits hold: what is kept is a beginning of the order of hashes."""
        tokens = 0
        for number, value in enumerate(sorted(self._kept)):
            tokens += len(self._kept[value])
            if number == _MOST_RECORDS or tokens > _MOST_TOKENS:
                self._limit = value
                self._kept = {kept: ids for kept, ids in self._kept.items() if kept < value}
                return
