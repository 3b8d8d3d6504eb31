"""Near copies by MinHash (Broder 1997) and locality-sensitive hashing, and the longest run copied from another set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.evaluation.hashing import mix64, text_bytes
from linesmith.records.fields import FIELD_BREAK

NGRAM_LENGTH = 4
MIN_SIMILARITY = 0.8  # Jaccard similarity of the sets of runs of four characters from which a record is a near copy
PERMUTATIONS = 96
# Lengths at which copied runs are told apart; each is a sum of two earlier ones or double one of them.
RUN_LENGTHS = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_PARTS = {8: (4, 4), 12: (8, 4), 16: (8, 8), 24: (16, 8), 32: (16, 16), 48: (32, 16), 64: (32, 32), 96: (64, 32),
          128: (64, 64)}  # fmt: skip


def grams(text: str) -> set[bytes]:
    """Runs of four characters of a record, its ends included."""
    padded = f"{FIELD_BREAK}{text}{FIELD_BREAK}"
    return {padded[i : i + NGRAM_LENGTH].encode() for i in range(max(len(padded) - NGRAM_LENGTH + 1, 1))}


def find_near_duplicates(records: Sequence[str], synthetic: Sequence[str]) -> list[bool]:
    """For each record whether some synthetic one is a near copy.

    Candidates come from MinHash, each is then compared exactly: what is found is true, and a pair at the threshold is found
    with a chance above 0.9.
    """
    from datasketch import MinHash, MinHashLSH

    if not records or not synthetic:
        return [False] * len(records)
    theirs = [grams(text) for text in synthetic]
    mine = [grams(text) for text in records]
    index = MinHashLSH(threshold=MIN_SIMILARITY - 0.1, num_perm=PERMUTATIONS)
    with index.insertion_session() as session:
        for number, sketch in enumerate(MinHash.generator(theirs, num_perm=PERMUTATIONS)):
            session.insert(number, sketch)
    found = []
    for own, sketch in zip(mine, MinHash.generator(mine, num_perm=PERMUTATIONS), strict=True):
        found.append(any(_jaccard(own, theirs[int(candidate)]) >= MIN_SIMILARITY for candidate in index.query(sketch)))
    return found


def _jaccard(left: set[bytes], right: set[bytes]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def longest_runs(synthetic: Sequence[str], source: Sequence[str]) -> npt.NDArray[np.int64]:
    """For each synthetic record the longest of RUN_LENGTHS at which it shares a run of so many bytes with the source; 0 for none.

    Runs do not reach across records. Linear in the text: 64-bit hashes of runs are doubled, from one length to the next.
    """
    if not synthetic or not source:
        return np.zeros(len(synthetic), np.int64)
    theirs, mine = _Runs(source), _Runs(synthetic)
    longest = np.zeros(len(synthetic), np.int64)
    for length in RUN_LENGTHS:
        known = theirs.distinct(length)
        owners = mine.owners_of(length, known)
        if not owners.size:
            break
        longest[owners] = length
    return longest


class _Runs:
    """Hashes of the runs of a set of texts, by length."""

    def __init__(self, texts: Sequence[str]) -> None:
        content, offsets = text_bytes(pa.array(texts, pa.large_string()))
        self._owner = np.repeat(np.arange(len(texts)), np.diff(offsets))
        self._left = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(content))  # bytes left in the record
        base = content.astype(np.uint64)
        four = base
        for step in (1, 2):  # one byte, two, four
            four = _join(four, four, step)
        self._hashes = {4: four}

    def _at(self, length: int) -> npt.NDArray[np.uint64]:
        if length not in self._hashes:
            first, second = _PARTS[length]
            self._hashes[length] = _join(self._at(first), self._at(second), first)
        return self._hashes[length]

    def _starts(self, length: int) -> npt.NDArray[np.int64]:
        hashes = self._at(length)
        return np.flatnonzero(self._left[: len(hashes)] >= length)

    def distinct(self, length: int) -> npt.NDArray[np.uint64]:
        return np.unique(self._at(length)[self._starts(length)])

    def owners_of(self, length: int, known: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Texts that hold a run of this length whose hash is known."""
        starts = self._starts(length)
        if not len(known) or not len(starts):
            return np.empty(0, np.int64)
        hashes = self._at(length)[starts]
        at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        return np.unique(self._owner[starts[known[at] == hashes]])


def _join(first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64], step: int) -> npt.NDArray[np.uint64]:
    """Hashes of runs that consist of a run of `step` bytes and the run behind it."""
    count = max(min(len(first), len(second) - step), 0)
    return mix64(first[:count] * np.uint64(0xD6E8FEB86659FD93) + second[step : step + count])
