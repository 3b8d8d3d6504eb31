"""Uniform numbers that are a function of identity: (seed, record index, attempt, step), and of nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.core.splitmix64 import INCREMENT, Bits64, mix64

_INCREMENT = np.uint64(INCREMENT)


def stream_keys(seed: int, index: npt.ArrayLike, attempt: npt.ArrayLike) -> Bits64:
    """Compute the 64-bit key of each attempt's stream of uniform numbers.

    Args:
        seed: seed of the run, 0 … 2⁶⁴ − 1.
        index: record indices, [N].
        attempt: attempt numbers, [N].

    Returns:
        One key for each (seed, index, attempt), [N].
    """
    with np.errstate(over="ignore"):  # arithmetic is modulo 2⁶⁴ on purpose
        key = mix64(np.full(np.shape(index), seed, np.uint64) + _INCREMENT)
        key = mix64(key ^ (np.asarray(index, np.uint64) * _INCREMENT + np.uint64(1)))
        return mix64(key ^ (np.asarray(attempt, np.uint64) * _INCREMENT + np.uint64(2)))


def uniforms(keys: Bits64, first_step: npt.ArrayLike, steps: int) -> npt.NDArray[np.float32]:
    """Compute uniform numbers in [0, 1), multiples of 2⁻²⁴.

    Args:
        keys: stream keys, [N].
        first_step: step of each stream at which to begin, [N].
        steps: how many consecutive steps.

    Returns:
        [steps, N]; row k holds the numbers of step `first_step + k`.

    Example:
        >>> keys = stream_keys(7, [0, 1], [0, 0])
        >>> bool((uniforms(keys, [3, 5], 4)[2] == uniforms(keys, [5, 7], 1)[0]).all())
        True
    """
    with np.errstate(over="ignore"):
        counter = np.asarray(first_step, np.uint64)[None, :] + np.arange(1, steps + 1, dtype=np.uint64)[:, None]
        bits = mix64(keys[None, :] + counter * _INCREMENT) >> np.uint64(
            40
        )  # 24 bits: all that a float32 below 1 can hold
    return bits.astype(np.float32) * np.float32(2.0**-24)
