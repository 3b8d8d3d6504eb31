"""Small token stores for tests, without files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linesmith.model.training.token_store import TokenStore


def store_of(records: Sequence[Sequence[int]]) -> TokenStore:
    """A store of records given as token ids without the surrounding `<n>`."""
    whole = [np.array([0, *record, 0], np.uint16) for record in records]
    lengths = np.array([len(ids) for ids in whole], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if whole else np.empty(0, np.int64)
    ids = np.concatenate(whole) if whole else np.empty(0, np.uint16)
    return TokenStore(ids, starts, lengths, chars=int(lengths.sum()) - len(whole))


def random_records(count: int, vocab: int, longest: int, seed: int = 0) -> list[list[int]]:
    """Records with some structure to learn: each token is followed by its successor three times out of four."""
    random = np.random.default_rng(seed)
    records = []
    for _ in range(count):
        record = [int(random.integers(1, vocab))]
        for _ in range(int(random.integers(1, longest))):
            follow = random.random() < 0.75
            record.append(record[-1] % (vocab - 1) + 1 if follow else int(random.integers(1, vocab)))
        records.append(record)
    return records
