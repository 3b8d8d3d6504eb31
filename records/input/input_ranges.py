"""Cut the input into units of work. Only file sizes matter, so the same input gives the same units everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from linesmith.records.input.input_files import InputFile

if TYPE_CHECKING:
    from linesmith.records.input.row_sample import RowSample

# Below the minimum, opening and verifying the shards of a unit costs more than balance between workers gains.
_MIN_UNIT_BYTES, _MAX_UNIT_BYTES = 4 << 20, 16 << 20
_TARGET_UNITS = 64  # enough that workers end at about the same time
_MAX_UNITS = 50_000  # each writes up to three shards: more files than this are slow to list everywhere


def input_unit_bytes(total: int) -> int:
    """Return the bytes per unit of work for an input of `total` bytes.

    The number of workers plays no part: the output must not depend on it.

    Example:
        >>> [input_unit_bytes(n) >> 20 for n in (1 << 20, 1 << 28, 1 << 40, 1 << 46)]
        [4, 4, 20, 1342]
    """
    return max(min(max(total // _TARGET_UNITS, _MIN_UNIT_BYTES), _MAX_UNIT_BYTES), total // _MAX_UNITS)


@dataclass(frozen=True)
class FileRange:
    """The lines of a file that begin in a range of its bytes, or the rows of some of its row groups.

    Attributes:
        file: the file.
        start: first byte. A line is sure to begin there only if it is the first of the file, after the byte-order mark.
        end: byte after the last one, or None for the rest of the file.
        first_line: number of the first line of the range, from 1; 0 if it is not known yet.
        limit: accepted records to take at most, or None for all.
        frequent: hash of each text whose occurrences are shared out, and the number of its occurrences before this range.
        sample: which rows are read; None: all.
    """

    file: InputFile
    start: int
    end: int | None
    first_line: int = 0
    limit: int | None = None
    frequent: tuple[tuple[int, int], ...] = ()
    sample: RowSample | None = None

    @property
    def starts_file(self) -> bool:
        """Whether the range begins with the first line of its file."""
        return self.start == (self.file.bom_length if self.file.cuts is None else self.file.cuts[0])


@dataclass(frozen=True)
class InputUnit:
    """Ranges that one worker reads and writes together, in the order of the input.

    Attributes:
        index: number of the unit, from 0; it names the shards that the unit writes.
        ranges: what to read.
    """

    index: int
    ranges: tuple[FileRange, ...]


def plan_input_units(files: Iterable[InputFile], unit_bytes: int | None = None) -> list[InputUnit]:
    """Cut files into units, in order of (file, byte offset).

    Large files that can be split are cut and small files are put together. Compressed files, and those in UTF-16 or
    UTF-32, are not cut.

    Args:
        files: the input, in order.
        unit_bytes: approximate bytes per unit; None: `input_unit_bytes` of the input.
    """
    files = list(files)
    limit = input_unit_bytes(sum(file.size for file in files)) if unit_bytes is None else unit_bytes
    units: list[InputUnit] = []
    pending: list[FileRange] = []
    size = 0
    for file in files:
        for piece in _cut(file, limit):
            pending.append(piece)
            size += _stored_bytes(piece)
            if size >= limit:
                units.append(InputUnit(len(units), tuple(pending)))
                pending, size = [], 0
    if pending:
        units.append(InputUnit(len(units), tuple(pending)))
    return units


def _stored_bytes(piece: FileRange) -> int:
    """Return about how many bytes a range has."""
    if piece.file.cuts is not None:
        return piece.file.size // len(piece.file.cuts)
    return piece.file.size if piece.end is None else piece.end - piece.start


def _cut(file: InputFile, unit_bytes: int) -> list[FileRange]:
    if file.cuts is not None:
        return [FileRange(file, start, end) for start, end in zip_longest(file.cuts, file.cuts[1:])]
    if not file.splittable:
        return [FileRange(file, file.bom_length, None)]
    starts = range(file.bom_length, file.size, unit_bytes)
    return [FileRange(file, start, min(start + unit_bytes, file.size)) for start in starts]


def replace_ranges(units: Iterable[InputUnit], ranges: Iterable[FileRange]) -> list[InputUnit]:
    """Return the units with their ranges replaced, one by one in order. Units for which no range is left are dropped."""
    replaced, remaining = [], iter(ranges)
    for unit in units:
        new_ranges = tuple(new for _, new in zip(unit.ranges, remaining, strict=False))
        if new_ranges:
            replaced.append(InputUnit(unit.index, new_ranges))
    return replaced
