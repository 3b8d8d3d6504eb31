"""Encoded, numbered start strings on disk. Any number of them needs little memory: each unit reads only its own range.

```
STORE/seeds-00000.bin   for each start string its text in UTF-8, its ids as 32-bit integers, its fault
STORE/seeds-00000.idx   for each start string its offset, bytes of text, number of ids, bytes of its fault
STORE/store.json        number of start strings in each pair of files
```

The number of a start string is its position over all files. With k records per start string, record i has number i // k.
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

_INDEX = np.dtype([("begin", "<u8"), ("text", "<u4"), ("ids", "<u4"), ("fault", "<u4")])
_INDEX_ROWS = 4096  # index rows held before they are written
_STORE = "store.json"


def write_start_strings(directory: str | Path, number: int, starts: Iterable[StartString]) -> int:
    """Write one pair of files.

    Args:
        directory: of the store.
        number: number of the pair.
        starts: encoded start strings, read one by one.

    Returns:
        How many start strings there are.
    """
    content, index = _paths(directory, number)
    count = position = 0
    with (
        atomic_path(content) as content_part,
        atomic_path(index) as index_part,
        open(content_part, "wb") as out,
        open(index_part, "wb") as where,
    ):
        part: list[tuple[int, int, int, int]] = []
        for start in starts:
            text, fault = start.text.encode("utf-8", "surrogatepass"), (start.fault or "").encode("utf-8", "replace")
            out.write(text)
            out.write(np.array(start.ids, "<i4").tobytes())
            out.write(fault)
            part.append((position, len(text), len(start.ids), len(fault)))
            position += len(text) + 4 * len(start.ids) + len(fault)
            count += 1
            if len(part) == _INDEX_ROWS:
                where.write(np.array(part, _INDEX).tobytes())
                part = []
        where.write(np.array(part, _INDEX).tobytes())
    return count


def write_store_counts(directory: str | Path, counts: Sequence[int]) -> int:
    """Write the file that completes a store.

    Args:
        directory: of the store.
        counts: start strings in each pair of files.

    Returns:
        How many start strings there are in all.
    """
    write_json(Path(directory) / _STORE, {"counts": list(counts)})
    return sum(counts)


def read_start_strings_range(directory: str, first: int, last: int) -> tuple[StartString, ...]:
    """Read the start strings of numbers `first` … `last` − 1 from the store in `directory`."""
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
    """Yield start strings of one pair of files, by position in it."""
    if first == last:
        return
    content, index = _paths(directory, number)
    rows = np.fromfile(index, _INDEX, count=last - first, offset=first * _INDEX.itemsize)
    begin = int(rows["begin"][0])
    end = int(rows["begin"][-1]) + int(rows["text"][-1]) + 4 * int(rows["ids"][-1]) + int(rows["fault"][-1])
    with open(content, "rb") as stored:
        stored.seek(begin)
        part = stored.read(end - begin)
    for position, text, ids, fault in rows.tolist():
        offset = position - begin
        values = np.frombuffer(part, "<i4", ids, offset + text)
        found = part[offset + text + 4 * ids :][:fault].decode("utf-8") if fault else None
        yield StartString(part[offset : offset + text].decode("utf-8", "surrogatepass"), tuple(values.tolist()), found)


@functools.lru_cache(maxsize=4)
def _ends(directory: str) -> list[int]:
    """Return the number after the last of each pair of files."""
    return list(accumulate(read_json(Path(directory) / _STORE, "the store of start strings")["counts"]))


@functools.lru_cache(maxsize=16)  # as many as units are at work side by side
def _cached_range(directory: str, first: int, last: int) -> tuple[StartString, ...]:
    return read_start_strings_range(directory, first, last)


def clear_store_cache() -> None:
    """Clear the cache of files read: a directory is about to be written again."""
    _ends.cache_clear()
    _cached_range.cache_clear()


def _paths(directory: str | Path, number: int) -> tuple[Path, Path]:
    name = Path(directory) / f"seeds-{number:05d}"
    return name.with_suffix(".bin"), name.with_suffix(".idx")


@dataclass(frozen=True)
class StartStringRange(Sequence[StartString]):
    """The start strings of records `start` … `end` − 1, read on access. Pickled, it is only four short values.

    Attributes:
        directory: of the store; driver and workers reach it under the same path.
        start, end: the range of records.
        records_per_seed: records of each start string.
    """

    directory: str
    start: int
    end: int
    records_per_seed: int = 1

    def __len__(self) -> int:
        return self.end - self.start

    @overload
    def __getitem__(self, position: int) -> StartString: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[StartString, ...]: ...
    def __getitem__(self, position: int | slice) -> StartString | tuple[StartString, ...]:
        if isinstance(position, slice):
            return tuple(self[number] for number in range(*position.indices(len(self))))
        if not 0 <= position < len(self):
            raise IndexError(position)
        first = self.start // self.records_per_seed
        last = (self.end - 1) // self.records_per_seed + 1
        return _cached_range(self.directory, first, last)[(self.start + position) // self.records_per_seed - first]


def plan_start_string_units(
    directory: str, num_start_strings: int, records_per_seed: int, unit_size: int
) -> list[WorkUnit]:
    """Cut a run in which each start string has a number of records into units.

    Args:
        directory: store of the start strings.
        num_start_strings: how many there are.
        records_per_seed: records of each.
        unit_size: records of each unit but the last.

    Example:
        >>> [(unit.start, unit.end) for unit in plan_start_string_units("store", 3, 2, 4)]
        [(0, 4), (4, 6)]
    """
    count = num_start_strings * records_per_seed
    return [
        WorkUnit(number, start, end, StartStringRange(directory, start, end, records_per_seed))  # type: ignore[arg-type]
        for number, start in enumerate(range(0, count, unit_size))
        for end in [min(start + unit_size, count)]
    ]
