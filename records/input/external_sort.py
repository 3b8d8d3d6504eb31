"""A stable sort of fixed-size rows on disk by a 64-bit key, in memory that does not grow with their number.

Least significant digit first: four passes over the file, each moving whole rows to where their next 16 bits belong, from
one memory-mapped file into another. Every pass is stable, so rows of equal keys keep their order, and it costs the same
whatever the keys are: a text that occurs in every second line makes no bucket too large.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

BLOCK = 1 << 16  # rows handled at once; a few MB
_DIGITS = 4  # of 16 bits each


def sort_rows(path: Path, dtype: np.dtype, key: str) -> None:
    """Sort a file of rows in place, ascending by a signed 64-bit field; rows of equal keys keep their order.

    Needs a second file of the same size beside it, which it removes.

    Args:
        path: rows and nothing else; may be empty.
        dtype: of a row.
        key: name of an int64 field.
    """
    count = path.stat().st_size // dtype.itemsize
    if count < 2:
        return
    scratch = path.with_name(path.name + ".scratch")
    source, target = path, scratch
    try:
        for digit, histogram in enumerate(_histograms(np.memmap(path, dtype, "r"), key)):
            if histogram.max() == count:  # all alike: nothing would move
                continue
            _pass(np.memmap(source, dtype, "r"), np.memmap(target, dtype, "w+", shape=(count,)), key, digit, histogram)
            source, target = target, source
        if source != path:
            source.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _pass(rows: np.ndarray, out: np.ndarray, key: str, digit: int, histogram: npt.NDArray[np.int64]) -> None:
    """Copy all rows, ordered by one digit of their key and otherwise as before."""
    free = np.cumsum(histogram) - histogram  # where the next row of each digit goes
    for start in range(0, len(rows), BLOCK):
        block = np.array(rows[start : start + BLOCK])
        digits = _digit(block[key], digit)
        order = np.argsort(digits, kind="stable")
        digits = digits[order]
        counts = np.bincount(digits, minlength=len(free))
        before = np.cumsum(counts) - counts
        out[free[digits] + np.arange(len(block)) - before[digits]] = block[order]
        free += counts


def _histograms(rows: np.ndarray, key: str) -> list[npt.NDArray[np.int64]]:
    """How often each value of each digit occurs."""
    found = [np.zeros(1 << 16, np.int64) for _ in range(_DIGITS)]
    for start in range(0, len(rows), BLOCK):
        keys = rows[start : start + BLOCK][key]
        for digit, histogram in enumerate(found):
            np.add(histogram, np.bincount(_digit(keys, digit), minlength=1 << 16), out=histogram)
    return found


def _digit(keys: npt.NDArray[np.int64], digit: int) -> npt.NDArray[np.uint16]:
    """16 bits of each key, the least significant ones first. The sign bit is turned, so that negative keys come first."""
    turned = keys.view(np.uint64) ^ np.uint64(1 << 63)
    return (turned >> np.uint64(16 * digit)).astype(np.uint16)
