"""Encoded, numbered start strings on disk: as many as there are, in flat memory. Each unit reads its own range of them.

```
STORE/seeds-00000.bin   of each start string: its text in UTF-8, then its ids as 32-bit integers
STORE/seeds-00000.idx   of each start string: where it begins, bytes of text, number of ids
STORE/store.json        how many there are in each pair of files
```

The number of a start string is its position over all files. With k records a start string, record i belongs to number i // k.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import overload

import numpy as np

from linesmith.core.artifacts.files import atomic_path, read_json, write_json
from linesmith.model.generation.work_units import StartString, WorkUnit

_INDEX = np.dtype([("begin", "<u8"), ("text", "<u4"), ("ids", "<u4")])
_PART = 4096
_STORE = "store.json"


def write_start_strings(directory: str | Path, number: int, starts: Iterable[StartString]) -> int:
    """Write one pair of files. Returns how many start strings it holds."""
    content, index = _paths(directory, number)
    count = position = 0
    with (
        atomic_path(content) as content_part,
        atomic_path(index) as index_part,
        open(content_part, "wb") as out,
        open(index_part, "wb") as where,
    ):
        part: list[tuple[int, int, int]] = []
        for start in starts:
            text = start.text.encode("utf-8")
            out.write(text)
            out.write(np.array(start.ids, "<i4").tobytes())
            part.append((position, len(text), len(start.ids)))
            position += len(text) + 4 * len(start.ids)
            count += 1
            if len(part) == _PART:
                where.write(np.array(part, _INDEX).tobytes())
                part = []
        where.write(np.array(part, _INDEX).tobytes())
    return count


def write_store_counts(directory: str | Path, counts: Sequence[int]) -> int:
    """Complete a store of so many start strings in each pair of files. Returns how many there are in all."""
    write_json(Path(directory) / _STORE, {"counts": list(counts)})
    return sum(counts)


def read_start_strings_range(directory: str, first: int, last: int) -> tuple[StartString, ...]:
    """The start strings of numbers `first` … `last` − 1."""
    ends = _ends(directory)
    starts: list[StartString] = []
    number = bisect_right(ends, first)
    while first < last:
        begin = ends[number - 1] if number else 0
        until = min(last, ends[number])
        starts += _read(directory, number, first - begin, until - begin)
        first, number = max(first, until), number + 1
    return tuple(starts)


def _read(directory: str, number: int, first: int, last: int) -> Iterator[StartString]:
    if first == last:
        return
    content, index = _paths(directory, number)
    rows = np.fromfile(index, _INDEX, count=last - first, offset=first * _INDEX.itemsize)
    begin = int(rows["begin"][0])
    end = int(rows["begin"][-1]) + int(rows["text"][-1]) + 4 * int(rows["ids"][-1])
    with open(content, "rb") as stored:
        stored.seek(begin)
        part = stored.read(end - begin)
    for place, text, ids in rows.tolist():
        offset = place - begin
        values = np.frombuffer(part, "<i4", ids, offset + text)
        yield StartString(part[offset : offset + text].decode("utf-8"), tuple(values.tolist()))


@functools.lru_cache(maxsize=4)
def _ends(directory: str) -> list[int]:
    return list(accumulate(read_json(Path(directory) / _STORE, "the store of start strings")["counts"]))


@functools.lru_cache(maxsize=16)  # units that are at work side by side
def _cached_range(directory: str, first: int, last: int) -> tuple[StartString, ...]:
    return read_start_strings_range(directory, first, last)


def clear_store_cache() -> None:
    """Drop what is cached: a directory is about to be written anew."""
    _ends.cache_clear()
    _cached_range.cache_clear()


def _paths(directory: str | Path, number: int) -> tuple[Path, Path]:
    name = Path(directory) / f"seeds-{number:05d}"
    return name.with_suffix(".bin"), name.with_suffix(".idx")


@dataclass(frozen=True)
class StartStringRange(Sequence[StartString]):
    """The start strings of records `start` … `end` − 1, read when they are asked for. It travels as four short values.

    Attributes:
        directory: of the store; driver and workers see it under the same path.
        start, end: the range of records.
        copies: records of each start string.
    """

    directory: str
    start: int
    end: int
    copies: int = 1

    def __len__(self) -> int:
        return self.end - self.start

    @overload
    def __getitem__(self, place: int) -> StartString: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[StartString, ...]: ...
    def __getitem__(self, place: int | slice) -> StartString | tuple[StartString, ...]:
        if isinstance(place, slice):
            return tuple(self[number] for number in range(*place.indices(len(self))))
        if not 0 <= place < len(self):
            raise IndexError(place)
        first = self.start // self.copies
        last = (self.end - 1) // self.copies + 1
        return _cached_range(self.directory, first, last)[(self.start + place) // self.copies - first]


def plan_start_string_units(directory: str, seeds: int, copies: int, unit_size: int) -> list[WorkUnit]:
    """Cut a run of `copies` records for each of `seeds` start strings into units.

    Example:
        >>> [(unit.start, unit.end) for unit in plan_start_string_units("store", 3, 2, 4)]
        [(0, 4), (4, 6)]
    """
    count = seeds * copies
    return [
        WorkUnit(number, start, end, StartStringRange(directory, start, end, copies))  # type: ignore[arg-type]
        for number, start in enumerate(range(0, count, unit_size))
        for end in [min(start + unit_size, count)]
    ]
