"""The key of everything secret in private training: which records a step draws, its dropout and its noise."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NoReturn

KEY_BYTES = 16


class SecretKey:
    """A 128-bit key from which seeds are derived by name.

    Seeds of different names are unrelated to whoever does not know the key (HMAC-SHA256). The key is never shown and cannot be
    pickled. A key lives as long as its process: a resumed training takes a fresh one, so no draw is ever used twice,
    and there is nothing on disk to protect or to delete.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, found {len(key)}")
        self._key = key

    @classmethod
    def fresh(cls) -> SecretKey:
        """A key from the operating system's entropy."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def unsafe(cls, digits: str) -> SecretKey:
        """A key that somebody chose, of up to 32 hex digits: for tests; whoever knows it can undo the noise."""
        return cls(int(digits, 16).to_bytes(KEY_BYTES, "big"))

    def seed(self, purpose: str, *where: int) -> tuple[int, int]:
        """128 bits for one use, as two signed 64-bit integers.

        Args:
            purpose: 'sample', 'dropout', 'noise', …
            where: step, variable and the like; at most 64 bits each.
        """
        name = purpose.encode() + b"\0" + b"".join(number.to_bytes(8, "big") for number in where)
        digest = hmac.digest(self._key, name, hashlib.sha256)
        return int.from_bytes(digest[:8], "big", signed=True), int.from_bytes(digest[8:16], "big", signed=True)

    def __repr__(self) -> str:
        return "SecretKey(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not to be pickled")
