"""Keys that generated ones must not be: a sorted file of 128-bit hashes of their numbers in the pattern.

The file exists while records are generated, among the temporary files of the run. Whoever has it can test whether a key is in the
source, so it is never published.
"""

from __future__ import annotations

import hashlib
import mmap
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_BYTES = 16


class SourceKeys:
    """Sorted hashes of the numbers of keys.

    Args:
        path: file that `write_source_keys` wrote.
    """

    def __init__(self, path: str) -> None:
        self._count = Path(path).stat().st_size // _BYTES
        self._hashes = b""
        if self._count:
            with open(path, "rb") as file:
                self._hashes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # type: ignore[assignment]

    def __len__(self) -> int:
        return self._count

    def rank(self, number: int) -> int | None:
        """Return a number from 0 that only this key has; None where the number is no key of the source."""
        wanted = _hash(number)
        rank = bisect_left(range(self._count), wanted, key=self._at)
        return rank if rank < self._count and self._at(rank) == wanted else None

    def _at(self, rank: int) -> bytes:
        return self._hashes[_BYTES * rank : _BYTES * (rank + 1)]


def write_source_keys(path: Path, numbers: Iterable[int]) -> int:
    """Write the file that `SourceKeys` reads, and return how many different keys it holds.

    Args:
        path: of the file.
        numbers: of the keys, in any order.
    """
    joined = b"".join(map(_hash, numbers))
    halves = np.frombuffer(joined, ">u8").reshape(-1, 2)
    distinct = np.unique(halves, axis=0)
    path.write_bytes(distinct.tobytes())
    return len(distinct)


def _hash(number: int) -> bytes:
    # No two keys of any source share a hash, as far as anybody can tell: 128 bits.
    return hashlib.blake2b(str(number).encode(), digest_size=_BYTES, person=b"linesmith.avoid").digest()
