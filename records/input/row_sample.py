"""Uniform sample of the rows of an input: a row is in it if the hash of its place is low enough.

The place of a row is its file, by number, and where it is in that. Neither its content nor the seed of the run plays a part:
equal rows are drawn one by one, and the same input gives the same sample for any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from linesmith.core.config.input_format import AVRO
from linesmith.core.splitmix64 import INCREMENT, Bits64, mix64, mix64_word
from linesmith.records.input.input_files import InputFile
from linesmith.records.input.input_ranges import FileRange, InputUnit, replace_ranges

ALL_ROWS = 1 << 64  # more than any hash


@dataclass(frozen=True)
class RowSample:
    """Which rows of a file, or of a part of it, are in the sample.

    Attributes:
        file: number of the file, from 0, in the order of the input.
        part: where the part begins within which rows are numbered; 0 where they are numbered within the file.
        below: rows with a lower hash are in the sample.

    Example:
        >>> half = RowSample(0, below=1 << 63)
        >>> [position for position in range(10) if half.takes(position)]
        [0, 3, 4, 5, 7, 8]
    """

    file: int
    part: int = 0
    below: int = ALL_ROWS

    def takes(self, position: int) -> bool:
        """Return whether the row with this number, or at this byte, is in the sample."""
        return mix64_word(self._key ^ (position * INCREMENT)) < self.below

    def hashes(self, positions: Iterable[int]) -> Bits64:
        """Return the hashes of rows; those below `below` are in the sample.

        Args:
            positions: numbers of the rows, or the bytes at which they begin.
        """
        places = np.fromiter(positions, np.uint64)
        return mix64(places * np.uint64(INCREMENT) ^ np.uint64(self._key & (ALL_ROWS - 1)))

    @cached_property
    def _key(self) -> int:
        return mix64_word(mix64_word((self.file + 1) * INCREMENT) ^ (self.part * INCREMENT))


def sampled_ranges(units: Iterable[InputUnit], below: int = ALL_ROWS) -> list[InputUnit]:
    """Return units of which only the rows of a sample are read.

    Args:
        units: the whole input.
        below: rows with a lower hash are in the sample.
    """
    units = list(units)
    files: dict[InputFile, int] = {}
    ranges = [
        replace(source, sample=RowSample(files.setdefault(source.file, len(files)), _part(source), below))
        for unit in units
        for source in unit.ranges
    ]
    return replace_ranges(units, ranges)


def _part(source: FileRange) -> int:
    """Return where the part of a file begins within which rows are numbered: of Avro, it is a range."""
    return source.start if source.file.format_name == AVRO else 0
