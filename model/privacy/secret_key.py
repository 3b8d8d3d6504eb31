"""Secret key from which private training derives its samples, its dropout and its noise, and the generator of a seed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NoReturn

import numpy as np

KEY_BYTES = 16
Seed = tuple[int, int]  # 128 bits as two signed 64-bit integers


class SecretKey:
    """128-bit key from which seeds are derived by name.

    Without the key, seeds of different names cannot be related to one another (HMAC-SHA256). The key is never shown and
    cannot be pickled. It lives as long as its process: a resumed training takes a fresh one, so that no draw is used twice
    and there is nothing on disk to protect or to delete.

    Args:
        key: 16 bytes.

    Raises:
        ValueError: another number of bytes.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, found {len(key)}")
        self._key = key

    @classmethod
    def fresh(cls) -> SecretKey:
        """Make a key from the entropy of the operating system."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def unsafe(cls, digits: str) -> SecretKey:
        """Make a key from up to 32 hexadecimal digits: for tests only, since whoever knows them can remove the noise."""
        return cls(int(digits, 16).to_bytes(KEY_BYTES, "big"))

    def seed(self, purpose: str, *where: int) -> Seed:
        """Derive the 128-bit seed of one use, as two signed 64-bit integers.

        Args:
            purpose: 'sample', 'dropout', 'noise', 'count', 'validation', 'vocabulary' or 'discriminator'.
            where: step, variable and the like, which name the use; non-negative, at most 64 bits each.
        """
        name = purpose.encode() + b"\0" + b"".join(number.to_bytes(8, "big") for number in where)
        digest = hmac.digest(self._key, name, hashlib.sha256)
        return int.from_bytes(digest[:8], "big", signed=True), int.from_bytes(digest[8:16], "big", signed=True)

    def __repr__(self) -> str:
        return "SecretKey(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not to be pickled")


def random_generator(seed: Seed) -> np.random.Generator:
    """Return numpy's generator (Philox 4x64, counter-based) at the beginning of the stream that a seed determines."""
    # As unsigned 64-bit integers: a list of small and large ones would become floats, and lose bits of the secret.
    key = np.array([part % 2**64 for part in seed], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
