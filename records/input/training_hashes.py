"""Which records the model has learned from, as a sorted array of their 64-bit hashes: what `not_in_training_set` asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linesmith.records.input.record_format import digest_of


class TrainingHashes:
    """The hashes in a file of sorted int64 hashes, memory-mapped and so shared by all workers of a machine."""

    def __init__(self, path: str | Path) -> None:
        self._hashes = np.load(path, mmap_mode="r", allow_pickle=False)

    def __contains__(self, text: object) -> bool:
        if not isinstance(text, str) or not len(self._hashes):
            return False
        wanted = digest_of(text.encode()).record
        place = int(np.searchsorted(self._hashes, wanted))
        return place < len(self._hashes) and int(self._hashes[place]) == wanted

    def __len__(self) -> int:
        return len(self._hashes)
