"""Uniform numbers that are a function of identity: (seed, record index, attempt, step), and of nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(words: Words) -> Words:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014): a bijection of 64-bit words that avalanches."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def stream_keys(seed: int, index: npt.ArrayLike, attempt: npt.ArrayLike) -> Words:
    """One 64-bit key for each (seed, index, attempt)."""
    with np.errstate(over="ignore"):
        key = _mix(np.full(np.shape(index), seed, np.uint64) + _GOLDEN)
        key = _mix(key ^ (np.asarray(index, np.uint64) * _GOLDEN + np.uint64(1)))
        return _mix(key ^ (np.asarray(attempt, np.uint64) * _GOLDEN + np.uint64(2)))


def uniforms(keys: Words, first_step: npt.ArrayLike, steps: int) -> npt.NDArray[np.float32]:
    """Numbers in [0, 1), multiples of 2⁻²⁴, [steps, len(keys)]; row k is for step `first_step + k` of each stream.

    Example:
        >>> keys = stream_keys(7, [0, 1], [0, 0])
        >>> bool((uniforms(keys, [3, 5], 4)[2] == uniforms(keys, [5, 7], 1)[0]).all())
        True
    """
    with np.errstate(over="ignore"):
        counter = np.asarray(first_step, np.uint64)[None, :] + np.arange(1, steps + 1, dtype=np.uint64)[:, None]
        bits = _mix(keys[None, :] + counter * _GOLDEN) >> np.uint64(40)
    return bits.astype(np.float32) * np.float32(2.0**-24)
