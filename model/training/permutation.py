"""A keyed permutation of 0 … n − 1 that is computed where it is needed: an epoch's order without an array of n numbers.

A Feistel network permutes the smallest power of two that holds n; a value that falls outside of 0 … n − 1 is sent through it
again until it falls inside ("cycle walking"; Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains). It is a
bijection whatever the round function. That function is a good integer hash and not a cipher: the order serves training, and
keeps no secrets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.core.splitmix64 import INCREMENT, mix64

_ROUNDS = 10
_MIN_BITS = 12  # halves of few bits mix badly


class Permutation:
    """Permutation of `range(count)`; a pure function of its arguments.

    Args:
        count: n, at most 2^62.
        key: two integers below 2^64, such as a seed and an epoch.

    Example:
        >>> sorted(Permutation(5, (0, 0)).values_at(0, 5).tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, count: int, key: tuple[int, int]) -> None:
        self.count = count
        bits = max(_MIN_BITS, (count - 1).bit_length())
        self._low, self._high = np.uint64(bits // 2), np.uint64(bits - bits // 2)
        raw_keys = np.random.Philox(key=np.array([part % 2**64 for part in key], np.uint64)).random_raw(_ROUNDS)
        self._round_keys: list[np.uint64] = list(raw_keys.astype(np.uint64))
        self._all: npt.NDArray[np.uint64] | None = None
        if count <= 1 << _MIN_BITS:
            # A few values in a large domain would walk for long: the whole domain is permuted, and what falls outside dropped.
            domain = self._encipher(np.arange(1 << _MIN_BITS, dtype=np.uint64))
            self._all = domain[domain < count]

    def values_at(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return the values at positions from `start` up to `stop`, exclusive; positions past the end give none."""
        if self._all is not None:
            return self._all[start:stop].astype(np.int64)
        values = self._encipher(np.arange(start, max(start, min(stop, self.count)), dtype=np.uint64))
        outside = np.flatnonzero(values >= self.count)
        while outside.size:
            values[outside] = self._encipher(values[outside])
            outside = outside[values[outside] >= self.count]
        return values.astype(np.int64)

    def _encipher(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Permute all numbers of the network's width once."""
        low, high = self._low, self._high
        for key in self._round_keys:
            right = values & ((np.uint64(1) << low) - np.uint64(1))
            left = values >> low
            values = (right << high) | (left ^ (_mixed(right, key) & ((np.uint64(1) << high) - np.uint64(1))))
            low, high = high, low  # the halves trade places, and with an odd number of bits their widths
        return values


def _mixed(values: npt.NDArray[np.uint64], key: np.uint64) -> npt.NDArray[np.uint64]:
    """Hash values and key, so that every bit depends on all of theirs."""
    return mix64((values + key) * np.uint64(INCREMENT))
