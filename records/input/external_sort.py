"""Sort a file of fixed-size rows by a 64-bit key, in memory that does not grow with the number of rows.

This is a radix sort, least significant digit first: four passes over the file, each of which moves every row to the place
that the next 16 bits of its key give it, from one memory-mapped file into another. Every pass is stable, so rows of equal
keys keep their order, and the cost does not depend on the keys: no bucket overflows if half of all keys are equal.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

BLOCK_ROWS = 1 << 16  # rows handled at once; a few MB
_DIGITS = 4  # of 16 bits each


def sort_rows(path: Path, dtype: np.dtype, key: str) -> None:
    """Sort a file of rows in place, ascending by a signed 64-bit field; rows of equal keys keep their order.

    Needs a second file of the same size beside it, which it removes.

    Args:
        path: file of rows and nothing else; may be empty.
        dtype: structured dtype of a row.
        key: name of an int64 field of `dtype`.
    """
    count = path.stat().st_size // dtype.itemsize
    if count < 2:
        return
    scratch = path.with_name(path.name + ".scratch")
    source, target = path, scratch
    try:
        for digit, histogram in enumerate(_histograms(np.memmap(path, dtype, "r"), key)):
            if histogram.max() == count:  # all keys have the same digit: no row would move
                continue
            _allocate(target, count * dtype.itemsize)
            rows, out = np.memmap(source, dtype, "r"), np.memmap(target, dtype, "r+", shape=(count,))
            _sort_by_digit(rows, out, key, digit, histogram)
            source, target = target, source
        if source != path:
            source.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _allocate(path: Path, size: int) -> None:
    """Give a file its blocks: writing to a map of a file without them would kill the process on a full disk.

    Raises:
        OSError: there is not enough room.
    """
    with open(path, "ab") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _sort_by_digit(rows: np.ndarray, out: np.ndarray, key: str, digit: int, histogram: npt.NDArray[np.int64]) -> None:
    """Copy all rows to `out`, ordered by one digit of their key and otherwise as before."""
    next_place = np.cumsum(histogram) - histogram  # where the next row of each digit goes
    for start in range(0, len(rows), BLOCK_ROWS):
        block = np.array(rows[start : start + BLOCK_ROWS])
        digits = _digit(block[key], digit)
        order = np.argsort(digits, kind="stable")
        digits = digits[order]
        counts = np.bincount(digits, minlength=len(next_place))
        # Rows of one digit are neighbors now: a row's rank among them is its position minus that of the first.
        first_of_digit = np.cumsum(counts) - counts
        out[next_place[digits] + np.arange(len(block)) - first_of_digit[digits]] = block[order]
        next_place += counts


def _histograms(rows: np.ndarray, key: str) -> list[npt.NDArray[np.int64]]:
    """Count how often each value of each digit occurs, in one pass."""
    histograms = [np.zeros(1 << 16, np.int64) for _ in range(_DIGITS)]
    for start in range(0, len(rows), BLOCK_ROWS):
        keys = rows[start : start + BLOCK_ROWS][key]
        for digit, histogram in enumerate(histograms):
            np.add(histogram, np.bincount(_digit(keys, digit), minlength=1 << 16), out=histogram)
    return histograms


def _digit(keys: npt.NDArray[np.int64], digit: int) -> npt.NDArray[np.uint16]:
    """Return 16 bits of each key; digit 0 is the least significant."""
    unsigned = keys.view(np.uint64) ^ np.uint64(1 << 63)  # flips the sign bit, so that negative keys come first
    return (unsigned >> np.uint64(16 * digit)).astype(np.uint16)
