"""A keyed permutation of 0 … n − 1 that is computed where it is asked for: an epoch's order without an array of it.

A Feistel network permutes the smallest power of two that holds n; what falls outside is sent through it again until it
falls inside ("cycle walking"; Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains). It is a bijection whatever
the round function; that function is a good integer hash, not a cipher: the order is for training, not for secrets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ROUNDS = 10
_LEAST_BITS = 12  # halves of few bits mix badly, and few numbers in a large domain would walk for long


class Permutation:
    """A permutation of `range(count)`; a pure function of its arguments.

    Args:
        count: n, at most 2^62.
        key: two integers below 2^64, such as a seed and an epoch.

    Example:
        >>> sorted(Permutation(5, (0, 0)).at(0, 5).tolist())
        [0, 1, 2, 3, 4]
    """

    def __init__(self, count: int, key: tuple[int, int]) -> None:
        self.count = count
        bits = max(_LEAST_BITS, (count - 1).bit_length())
        self._low, self._high = np.uint64(bits // 2), np.uint64(bits - bits // 2)
        words = np.random.Philox(key=np.array([part % 2**64 for part in key], np.uint64)).random_raw(_ROUNDS)
        self._round_keys: list[np.uint64] = list(words.astype(np.uint64))
        self._all: npt.NDArray[np.uint64] | None = None
        if count <= 1 << _LEAST_BITS:  # all of the smallest domain at once, less what falls outside
            whole = self._encipher(np.arange(1 << _LEAST_BITS, dtype=np.uint64))
            self._all = whole[whole < count]

    def at(self, start: int, stop: int) -> npt.NDArray[np.int64]:
        """The values at positions `start` to `stop`, the last one excluded; at most to the end."""
        if self._all is not None:
            return self._all[start:stop].astype(np.int64)
        values = self._encipher(np.arange(start, max(start, min(stop, self.count)), dtype=np.uint64))
        outside = np.flatnonzero(values >= self.count)
        while outside.size:
            values[outside] = self._encipher(values[outside])
            outside = outside[values[outside] >= self.count]
        return values.astype(np.int64)

    def _encipher(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """One walk: a bijection of all numbers of that many bits. The halves swap, and with them their widths."""
        low, high = self._low, self._high
        for key in self._round_keys:
            right = values & ((np.uint64(1) << low) - np.uint64(1))
            left = values >> low
            values = (right << high) | (left ^ (_mixed(right, key) & ((np.uint64(1) << high) - np.uint64(1))))
            low, high = high, low
        return values


def _mixed(values: npt.NDArray[np.uint64], key: np.uint64) -> npt.NDArray[np.uint64]:
    """A hash of values and key, every bit of which depends on all of theirs (the finaliser of splitmix64)."""
    mixed = (values + key) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
