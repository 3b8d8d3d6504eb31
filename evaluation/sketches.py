"""Mergeable sketches of the library datasketches, and an exact sample by hash: what bounds the memory of a survey.

Each can be pickled between workers (their bytes are the library's own) and merged in any grouping. The quantile sketch
flips coins when it grows beyond its size: two runs over more than 4,096 values may then differ by about 0.1 % in rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import datasketches
import numpy as np
import numpy.typing as npt

from linesmith.evaluation.hashing import Hashes

QUANTILE_SIZE = 4096  # every value is kept up to so many; beyond, ranks are right to about 0.07 %
DISTINCT_LG_SIZE = 12  # 1.6 % standard error
FREQUENT_LG_SIZE = 11  # values above 1/1536 of all are certain to be kept


class Quantiles:
    """Quantiles of finite numbers: a KLL sketch (Karnin, Lang, Liberty 2016, arXiv 1603.05346) with mean and variance."""

    def __init__(self) -> None:
        self._sketch = datasketches.kll_doubles_sketch(QUANTILE_SIZE)

    def add(self, values: npt.NDArray[np.float64]) -> None:
        """Add numbers; those that are not finite are left out."""
        finite = values[np.isfinite(values)]
        if finite.size:
            self._sketch.update(np.ascontiguousarray(finite, np.float64))

    def merge(self, other: Self) -> None:
        self._sketch.merge(other._sketch)

    @property
    def count(self) -> int:
        return int(self._sketch.n)

    def at(self, ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Values at ranks in [0, 1], rising; empty where nothing was added."""
        if not self.count:
            return np.empty(0)
        return np.asarray(self._sketch.get_quantiles(ranks), np.float64)

    def below(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The share of values at or below each of the distinct, rising points."""
        if not self.count:
            return np.zeros(len(points))
        return np.asarray(self._sketch.get_cdf(points, True), np.float64)[:-1]

    def __getstate__(self) -> bytes:
        return bytes(self._sketch.serialize())

    def __setstate__(self, state: bytes) -> None:
        self._sketch = datasketches.kll_doubles_sketch.deserialize(state)


class DistinctCount:
    """About how many different hashes there are: HyperLogLog."""

    def __init__(self) -> None:
        self._sketch = datasketches.hll_sketch(DISTINCT_LG_SIZE, datasketches.HLL_8)

    def add(self, hashes: Hashes) -> None:
        update = self._sketch.update
        for value in hashes.view(np.int64).tolist():
            update(value)

    def merge(self, other: Self) -> None:
        union = datasketches.hll_union(DISTINCT_LG_SIZE)
        union.update(self._sketch)
        union.update(other._sketch)
        self._sketch = union.get_result(datasketches.HLL_8)

    @property
    def estimate(self) -> float:
        return float(self._sketch.get_estimate())

    def __getstate__(self) -> bytes:
        return bytes(self._sketch.serialize_compact())

    def __setstate__(self, state: bytes) -> None:
        union = datasketches.hll_union(DISTINCT_LG_SIZE)
        union.update(datasketches.hll_sketch.deserialize(state))
        self._sketch = union.get_result(datasketches.HLL_8)


class FrequentItems:
    """The most frequent strings (Misra–Gries, as datasketches has it): counts are upper bounds, exact while few are there."""

    def __init__(self) -> None:
        self._sketch = datasketches.frequent_strings_sketch(FREQUENT_LG_SIZE)

    def add(self, values: Iterable[str], counts: Iterable[int]) -> None:
        update = self._sketch.update
        for value, count in zip(values, counts, strict=True):
            update(value, count)

    def merge(self, other: Self) -> None:
        self._sketch.merge(other._sketch)

    def top(self, most: int) -> list[tuple[str, int]]:
        """Strings and estimated counts, the most frequent first, ties in the order of the strings."""
        rows = self._sketch.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES, 0)
        return sorted(((str(row[0]), int(row[1])) for row in rows), key=lambda row: (-row[1], row[0]))[:most]

    @property
    def exact(self) -> bool:
        """Nothing was dropped: all strings are there, with their exact counts."""
        return self._sketch.get_upper_bound("\x00 not a value \x00") == 0

    def __getstate__(self) -> bytes:
        return bytes(self._sketch.serialize())

    def __setstate__(self, state: bytes) -> None:
        self._sketch = datasketches.frequent_strings_sketch.deserialize(state)


class BottomKSample:
    """The items of the `size` smallest hashes: a uniform sample of the distinct items, each with how often it occurred.

    The same whatever the order, batches and merging: an item that has been dropped never comes back, so counts are exact.

    Args:
        size: most items to keep.

    Example:
        >>> sample = BottomKSample(2)
        >>> sample.add(np.array([9, 3, 5, 3], np.uint64), lambda i: "abcb"[i])
        >>> sample.items()
        [(3, 'b', 2), (5, 'c', 1)]
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: dict[int, tuple[Any, int]] = {}
        self._limit: int | None = None

    def add(self, hashes: Hashes, item: Callable[[int], Any]) -> None:
        """Add items by hash; `item(i)` gives the i-th, and is asked for few of them."""
        rows = np.arange(len(hashes)) if self._limit is None else np.flatnonzero(hashes <= np.uint64(self._limit))
        if rows.size > self.size:
            distinct = np.unique(hashes[rows])
            if distinct.size > self.size:
                self._lower_limit(int(distinct[self.size - 1]))
                rows = rows[hashes[rows] <= distinct[self.size - 1]]
        for row, key in zip(rows.tolist(), hashes[rows].tolist(), strict=True):
            known = self._kept.get(key)
            self._kept[key] = (item(row), 1) if known is None else (known[0], known[1] + 1)
        self._trim(2 * self.size)

    def merge(self, other: Self) -> None:
        for key, (item, count) in other._kept.items():
            known = self._kept.get(key)
            self._kept[key] = (item, count) if known is None else (known[0], known[1] + count)
        if other._limit is not None:
            self._lower_limit(other._limit)
        if self._limit is not None:  # what one side had dropped, the other counted in part only
            self._lower_limit(self._limit)
        self._trim(self.size)

    def items(self) -> list[tuple[int, Any, int]]:
        """(hash, item, count), by rising hash."""
        self._trim(self.size)
        return [(key, *self._kept[key]) for key in sorted(self._kept)]

    @property
    def complete(self) -> bool:
        """Every distinct item is in the sample."""
        self._trim(self.size)
        return self._limit is None

    def _trim(self, tolerated: int) -> None:
        if len(self._kept) <= tolerated or len(self._kept) <= self.size:
            return
        self._lower_limit(sorted(self._kept)[self.size - 1])

    def _lower_limit(self, limit: int) -> None:
        self._limit = limit if self._limit is None else min(limit, self._limit)
        self._kept = {key: kept for key, kept in self._kept.items() if key <= self._limit}
