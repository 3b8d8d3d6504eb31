"""Cutting the input into units of work: pure arithmetic over file sizes, so the same input gives the same units everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from linesmith.records.input.input_files import InputFile

_LEAST_BYTES, _MOST_BYTES = (
    4 << 20,
    16 << 20,
)  # below, opening and verifying a unit's shards costs more than balance gains
_PIECES = 64  # enough that workers end at about the same time
_MOST_UNITS = 50_000  # each writes up to three shards: more files than this are slow to list everywhere


def input_unit_bytes(total: int) -> int:
    """Bytes of a unit of work, by the size of the whole input alone: not by workers, on which nothing may depend.

    Example:
        >>> [input_unit_bytes(n) >> 20 for n in (1 << 20, 1 << 28, 1 << 40, 1 << 46)]
        [4, 4, 20, 1342]
    """
    return max(min(max(total // _PIECES, _LEAST_BYTES), _MOST_BYTES), total // _MOST_UNITS)


@dataclass(frozen=True)
class FileRange:
    """The lines of a file that begin in a range of its bytes.

    Attributes:
        file: where they are.
        start: first byte; a line begins there only where it is the file's first, after the byte-order mark.
        end: byte after the last, or None for all that follow.
        first_line: number of the first line of the range (1-based), or 0 where it is not yet known.
        limit: take only so many accepted records, or None for all.
    """

    file: InputFile
    start: int
    end: int | None
    first_line: int = 0
    limit: int | None = None

    @property
    def starts_file(self) -> bool:
        return self.start == self.file.mark


@dataclass(frozen=True)
class Unit:
    """Ranges that one worker reads and writes together, in the input's order. The index names its shards."""

    index: int
    ranges: tuple[FileRange, ...]


def plan_units(files: Iterable[InputFile], unit_bytes: int | None = None) -> list[Unit]:
    """Units of about `unit_bytes`, by default `input_unit_bytes` of the input, in order of (file name, byte offset).

    Large splittable files are cut, small files are put together, packed files and those in UTF-16 or UTF-32 stay whole.
    """
    files = list(files)
    limit = input_unit_bytes(sum(file.size for file in files)) if unit_bytes is None else unit_bytes
    units: list[Unit] = []
    waiting: list[FileRange] = []
    size = 0
    for file in files:
        for piece in _cut(file, limit):
            waiting.append(piece)
            size += file.size if piece.end is None else piece.end - piece.start
            if size >= limit:
                units.append(Unit(len(units), tuple(waiting)))
                waiting, size = [], 0
    if waiting:
        units.append(Unit(len(units), tuple(waiting)))
    return units


def _cut(file: InputFile, unit_bytes: int) -> list[FileRange]:
    if not file.splittable:
        return [FileRange(file, file.mark, None)]
    starts = range(file.mark, file.size, unit_bytes)
    return [FileRange(file, start, min(start + unit_bytes, file.size)) for start in starts]


def replace_ranges(units: Iterable[Unit], ranges: Iterable[FileRange]) -> list[Unit]:
    """The units with their ranges replaced, one for one and in order; ranges that run out leave later units out."""
    replaced, left = [], iter(ranges)
    for unit in units:
        own = tuple(new for _, new in zip(unit.ranges, left, strict=False))
        if own:
            replaced.append(Unit(unit.index, own))
    return replaced
