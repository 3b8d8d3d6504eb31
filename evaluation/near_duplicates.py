"""Near copies, found by MinHash (Broder 1997) and locality-sensitive hashing, and the longest runs shared with another set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.evaluation.hashing import Hashes, splitmix64, text_bytes
from linesmith.records.fields import FIELD_BREAK

NGRAM_LENGTH = 4
MIN_SIMILARITY = 0.8  # Jaccard similarity of the sets of four-character n-grams from which a record is a near copy
PERMUTATIONS = 96
# Lengths in bytes that shared runs are classified by. Each but the first is the sum of two earlier lengths, from whose hashes
# its own are computed.
RUN_LENGTHS = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_PARTS = {8: (4, 4), 12: (8, 4), 16: (8, 8), 24: (16, 8), 32: (16, 16), 48: (32, 16), 64: (32, 32), 96: (64, 32),
          128: (64, 64)}  # fmt: skip


def character_ngrams(text: str) -> set[bytes]:
    """Return the set of four-character n-grams of a record, with a field break before and after it."""
    padded = f"{FIELD_BREAK}{text}{FIELD_BREAK}"
    return {padded[i : i + NGRAM_LENGTH].encode() for i in range(max(len(padded) - NGRAM_LENGTH + 1, 1))}


def find_near_duplicates(records: Sequence[str], synthetic: Sequence[str]) -> list[bool]:
    """Tell for each record whether some synthetic record is a near copy of it.

    Candidates come from MinHash and are then compared exactly: every near copy reported is one, and a pair at the threshold
    is found with a probability above 0.9.

    Args:
        records: real records.
        synthetic: synthetic records.

    Returns:
        One flag per real record.
    """
    from datasketch import MinHash, MinHashLSH

    if not records or not synthetic:
        return [False] * len(records)
    theirs = [character_ngrams(text) for text in synthetic]
    mine = [character_ngrams(text) for text in records]
    # A lower threshold than the exact one, so that few pairs above it are missed.
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


def longest_shared_runs(synthetic: Sequence[str], source: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return for each synthetic record the longest run of bytes that it shares with some source record.

    Takes time proportional to the text: runs are compared by 64-bit hashes, and the hashes of long runs are computed from
    those of shorter ones.

    Args:
        synthetic: records to classify.
        source: records to compare with; a run does not reach from one into the next.

    Returns:
        One of RUN_LENGTHS per synthetic record, or 0 where it shares no run of the smallest length.
    """
    if not synthetic or not source:
        return np.zeros(len(synthetic), np.int64)
    theirs, mine = _RunHashes(source), _RunHashes(synthetic)
    longest = np.zeros(len(synthetic), np.int64)
    for length in RUN_LENGTHS:
        owners = mine.owners_of(length, theirs.distinct(length))
        if not owners.size:
            break
        longest[owners] = length
    return longest


class _RunHashes:
    """Hashes of the runs of bytes in a set of texts, by length."""

    def __init__(self, texts: Sequence[str]) -> None:
        content, offsets = text_bytes(pa.array(texts, pa.large_string()))
        self._owner = np.repeat(np.arange(len(texts)), np.diff(offsets))  # index of the text that a byte belongs to
        self._left = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(content))  # bytes left in the text
        four = content.astype(np.uint64)
        for step in (1, 2):  # runs of one byte, then two, then four
            four = _join(four, four, step)
        self._hashes = {4: four}

    def _at(self, length: int) -> Hashes:
        """Return the hash of the run of this length at every byte, across the ends of texts."""
        if length not in self._hashes:
            first, second = _PARTS[length]
            self._hashes[length] = _join(self._at(first), self._at(second), first)
        return self._hashes[length]

    def _starts(self, length: int) -> npt.NDArray[np.int64]:
        """Return the positions at which a run of this length lies within one text."""
        hashes = self._at(length)
        return np.flatnonzero(self._left[: len(hashes)] >= length)

    def distinct(self, length: int) -> Hashes:
        """Return the distinct hashes of all runs of this length, ascending."""
        return np.unique(self._at(length)[self._starts(length)])

    def owners_of(self, length: int, hashes: Hashes) -> npt.NDArray[np.int64]:
        """Return the indices of the texts with a run of this length whose hash is among `hashes` (ascending)."""
        starts = self._starts(length)
        if not len(hashes) or not len(starts):
            return np.empty(0, np.int64)
        own = self._at(length)[starts]
        at = np.minimum(np.searchsorted(hashes, own), len(hashes) - 1)
        return np.unique(self._owner[starts[hashes[at] == own]])


def _join(first: Hashes, second: Hashes, step: int) -> Hashes:
    """Return the hashes of runs that consist of a run of `step` bytes and the run that follows it."""
    count = max(min(len(first), len(second) - step), 0)
    return splitmix64(first[:count] * np.uint64(0xD6E8FEB86659FD93) + second[step : step + count])
