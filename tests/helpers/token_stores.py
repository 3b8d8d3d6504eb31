"""Small token stores for tests, without files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linesmith.model.training.token_store import TokenStore, in_memory_token_store


def store_of(records: Sequence[Sequence[int]]) -> TokenStore:
    """Return a store of records given as token ids without the surrounding `<n>`; each token stands for one character."""
    return in_memory_token_store(records, num_chars=sum(len(record) + 1 for record in records))


def random_records(count: int, vocab: int, longest: int, seed: int = 0) -> list[list[int]]:
    """Return records with some structure to learn: three times out of four, a token is followed by its successor."""
    random = np.random.default_rng(seed)
    records = []
    for _ in range(count):
        record = [int(random.integers(1, vocab))]
        for _ in range(int(random.integers(1, longest))):
            follow = random.random() < 0.75
            record.append(record[-1] % (vocab - 1) + 1 if follow else int(random.integers(1, vocab)))
        records.append(record)
    return records
