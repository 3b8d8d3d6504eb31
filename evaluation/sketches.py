"""Mergeable sketches from the library datasketches, and an exact sample by hash: they bound the memory of a profile.

All can be pickled between workers (as the library's own bytes) and merged in any grouping. The quantile sketch draws random
bits when it grows beyond its size: two runs over more than 4,096 values may then differ by about 0.1 % in rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import datasketches
import numpy as np
import numpy.typing as npt

from linesmith.evaluation.hashing import Hashes

QUANTILE_SIZE = 4096  # up to this many values are kept exactly; beyond, the rank error is about 0.07 %
DISTINCT_LG_SIZE = 12  # standard error 1.6 %
FREQUENT_LG_SIZE = 11  # a value that makes up more than 1/1536 of all is certain to be kept


class QuantileSketch:
    """KLL sketch of the quantiles of finite numbers (Karnin, Lang, Liberty 2016, arXiv 1603.05346)."""

    def __init__(self) -> None:
        self._sketch = datasketches.kll_doubles_sketch(QUANTILE_SIZE)

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Add numbers; those that are not finite are ignored."""
        finite = values[np.isfinite(values)]
        if finite.size:
            self._sketch.update(np.ascontiguousarray(finite, np.float64))

    def merge(self, other: Self) -> None:
        """Add everything that another sketch has seen."""
        self._sketch.merge(other._sketch)

    @property
    def count(self) -> int:
        """Number of values added."""
        return int(self._sketch.n)

    def quantiles(self, ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the values at ascending ranks from 0 to 1; an empty array where nothing was added."""
        if not self.count:
            return np.empty(0)
        return np.asarray(self._sketch.get_quantiles(ranks), np.float64)

    def cdf(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the share of values at or below each of the distinct, ascending points; 0 where nothing was added."""
        if not self.count:
            return np.zeros(len(points))
        return np.asarray(self._sketch.get_cdf(points, True), np.float64)[:-1]

    def __getstate__(self) -> bytes:
        return bytes(self._sketch.serialize())

    def __setstate__(self, state: bytes) -> None:
        self._sketch = datasketches.kll_doubles_sketch.deserialize(state)


class DistinctCount:
    """HyperLogLog sketch: about how many different hashes were added."""

    def __init__(self) -> None:
        self._sketch = datasketches.hll_sketch(DISTINCT_LG_SIZE, datasketches.HLL_8)

    def add(self, hashes: Hashes) -> None:
        """Add hashes of items."""
        update = self._sketch.update
        for value in hashes.view(np.int64).tolist():
            update(value)

    def merge(self, other: Self) -> None:
        """Add everything that another sketch has seen."""
        union = datasketches.hll_union(DISTINCT_LG_SIZE)
        union.update(self._sketch)
        union.update(other._sketch)
        self._sketch = union.get_result(datasketches.HLL_8)

    @property
    def estimate(self) -> float:
        """Estimated number of different hashes."""
        return float(self._sketch.get_estimate())

    def __getstate__(self) -> bytes:
        return bytes(self._sketch.serialize_compact())

    def __setstate__(self, state: bytes) -> None:
        # A deserialized compact sketch is read-only: a union gives one that can be updated.
        union = datasketches.hll_union(DISTINCT_LG_SIZE)
        union.update(datasketches.hll_sketch.deserialize(state))
        self._sketch = union.get_result(datasketches.HLL_8)


class FrequentItems:
    """Sketch of the most frequent strings (Misra–Gries): counts are upper bounds, and exact while nothing was dropped."""

    def __init__(self) -> None:
        self._sketch = datasketches.frequent_strings_sketch(FREQUENT_LG_SIZE)

    def add(self, values: Iterable[str], counts: Iterable[int]) -> None:
        """Add strings, each with its number of occurrences."""
        update = self._sketch.update
        for value, count in zip(values, counts, strict=True):
            update(value, count)

    def merge(self, other: Self) -> None:
        """Add everything that another sketch has seen."""
        self._sketch.merge(other._sketch)

    def top(self, limit: int) -> list[tuple[str, int]]:
        """Return at most `limit` strings with their estimated counts, the most frequent first, ties in string order."""
        rows = self._sketch.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES, 0)
        return sorted(((str(row[0]), int(row[1])) for row in rows), key=lambda row: (-row[1], row[0]))[:limit]

    @property
    def exact(self) -> bool:
        """Whether nothing was dropped: every string is kept with its exact count."""
        # A string that was never added has an upper bound of 0 only while the sketch has dropped nothing.
        return self._sketch.get_upper_bound("\x00 not a value \x00") == 0

    def __getstate__(self) -> bytes:
        return bytes(self._sketch.serialize())

    def __setstate__(self, state: bytes) -> None:
        self._sketch = datasketches.frequent_strings_sketch.deserialize(state)


class BottomKSample:
    """The items with the `size` smallest hashes: a uniform sample of the distinct items, each with its exact count.

    The sample depends neither on the order of the items nor on batches and merging: an item that was dropped has a hash above
    the limit and is never taken again, so no count misses an occurrence.

    Args:
        size: largest number of items to keep.

    Example:
        >>> sample = BottomKSample(2)
        >>> sample.add(np.array([9, 3, 5, 3], np.uint64), lambda i: "abcb"[i])
        >>> sample.items()
        [(3, 'b', 2), (5, 'c', 1)]
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: dict[int, tuple[Any, int]] = {}
        self._limit: int | None = None  # largest hash that is still taken; None: all are

    def add(self, hashes: Hashes, item: Callable[[int], Any]) -> None:
        """Add items by their hashes.

        Args:
            hashes: one hash per item.
            item: returns the i-th item; called for only those that enter the sample.
        """
        rows = np.arange(len(hashes)) if self._limit is None else np.flatnonzero(hashes <= np.uint64(self._limit))
        if rows.size > self.size:
            distinct = np.unique(hashes[rows])
            if (
                distinct.size > self.size
            ):  # this batch alone fills the sample: do not fetch what would be dropped at once
                self._lower_limit(int(distinct[self.size - 1]))
                rows = rows[hashes[rows] <= distinct[self.size - 1]]
        for row, key in zip(rows.tolist(), hashes[rows].tolist(), strict=True):
            known = self._kept.get(key)
            self._kept[key] = (item(row), 1) if known is None else (known[0], known[1] + 1)
        self._trim(2 * self.size)

    def merge(self, other: Self) -> None:
        """Add everything that another sample has seen."""
        for key, (item, count) in other._kept.items():
            known = self._kept.get(key)
            self._kept[key] = (item, count) if known is None else (known[0], known[1] + count)
        if other._limit is not None:
            self._lower_limit(other._limit)
        if self._limit is not None:  # above either side's limit the counts are incomplete: drop those items
            self._lower_limit(self._limit)
        self._trim(self.size)

    def items(self) -> list[tuple[int, Any, int]]:
        """Return (hash, item, count) by ascending hash."""
        self._trim(self.size)
        return [(key, *self._kept[key]) for key in sorted(self._kept)]

    @property
    def complete(self) -> bool:
        """Whether every distinct item is in the sample."""
        self._trim(self.size)
        return self._limit is None

    def _trim(self, tolerated: int) -> None:
        """Cut the sample to its size if it holds more than `tolerated` items; sorting at every batch would be slow."""
        if len(self._kept) <= tolerated or len(self._kept) <= self.size:
            return
        self._lower_limit(sorted(self._kept)[self.size - 1])

    def _lower_limit(self, limit: int) -> None:
        self._limit = limit if self._limit is None else min(limit, self._limit)
        self._kept = {key: kept for key, kept in self._kept.items() if key <= self._limit}
