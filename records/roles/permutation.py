"""A keyed permutation of 0 … n − 1 for any n, one value at a time: keys that are unique, whoever makes which.

A Feistel network over Z_a × Z_b, where a·b is the smallest such product that holds n; a value that falls outside of 0 … n − 1
is sent through it again ("cycle walking"; Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains). The round function is
keyed BLAKE2b. `linesmith.model.training.permutation` permutes ranges of up to 2^62 numbers much faster; keys such as UUIDs need
more of them. The key is made of the run seed, which is public: the permutation makes keys unique, and keeps no secret.
"""

from __future__ import annotations

import hashlib
from math import isqrt

_ROUNDS = 10  # half rounds: each changes one of the two parts
_SPARE_BYTES = 8  # more than a part has, so that the remainder is nearly uniform


class DomainPermutation:
    """Permutation of `range(count)`; a pure function of its arguments.

    Args:
        count: n, at least 1, of any size.
        key: at most 64 bytes.

    Example:
        >>> permutation = DomainPermutation(5, b"seed")
        >>> sorted(permutation(position) for position in range(5))
        [0, 1, 2, 3, 4]
    """

    def __init__(self, count: int, key: bytes) -> None:
        self.count = count
        first = isqrt(count - 1) + 1
        self._parts = (first, -(-count // first))
        self._size = min(64, (first.bit_length() + 7) // 8 + _SPARE_BYTES)
        self._keyed = [hashlib.blake2b(bytes([number]), key=key, digest_size=self._size) for number in range(_ROUNDS)]

    def __call__(self, position: int) -> int:
        """Return the value at a position.

        Raises:
            IndexError: the position is outside of the range.
        """
        if not 0 <= position < self.count:
            raise IndexError(position)
        value = self._encipher(position)
        while value >= self.count:
            value = self._encipher(value)
        return value

    def _encipher(self, value: int) -> int:
        first, second = self._parts
        left, right = divmod(value, second)
        for number in range(0, _ROUNDS, 2):
            left = (left + self._mixed(number, right)) % first
            right = (right + self._mixed(number + 1, left)) % second
        return left * second + right

    def _mixed(self, number: int, value: int) -> int:
        state = self._keyed[number].copy()
        state.update(value.to_bytes(self._size, "big"))
        return int.from_bytes(state.digest(), "big")
