"""The 64-bit hashes of all records that the model learned from, which the rule `not_in_training_set` looks up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linesmith.records.input.record_format import record_digest


class TrainingHashes:
    """Set of record texts, held as a file of their sorted int64 hashes.

    The file is memory-mapped, so all workers of a machine share it.

    Args:
        path: an `.npy` file of sorted int64 hashes.
    """

    def __init__(self, path: str | Path) -> None:
        self._hashes = np.load(path, mmap_mode="r", allow_pickle=False)

    def __contains__(self, text: object) -> bool:
        """Return whether a record's text is in the set, but for a collision of 64-bit hashes."""
        if not isinstance(text, str) or not len(self._hashes):
            return False
        text_hash = record_digest(text.encode()).text_hash
        position = int(np.searchsorted(self._hashes, text_hash))
        return position < len(self._hashes) and int(self._hashes[position]) == text_hash

    def __len__(self) -> int:
        """Return the number of hashes."""
        return len(self._hashes)
