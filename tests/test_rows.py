"""Every record exactly once an epoch, whole, within bounds, and in an order that only seed and epoch decide."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model import rows
from tests.token_stores import random_records, store_of

records = st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=30), min_size=1, max_size=60)


@given(records, st.integers(1, 6), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_holds_every_record_once_and_keeps_to_its_bounds(data, batch_size, seq_length, epoch):
    store = store_of(data)
    batches = rows.epoch_batches(store, batch_size=batch_size, seq_length=seq_length, seed=3, epoch=epoch)
    assert sorted(rank for batch in batches for row in batch for rank in row) == list(range(len(data)))
    for batch in batches:
        widths = [sum(len(data[rank]) + 1 for rank in row) for row in batch]
        assert len(batch) <= batch_size
        assert all(width <= seq_length or len(row) == 1 for width, row in zip(widths, batch, strict=True))
        assert len(batch) == 1 or len(batch) * max(widths) <= batch_size * max(seq_length, 1)


@given(records, st.integers(1, 6), st.integers(1, 40))
def test_a_batch_spells_its_records(data, batch_size, seq_length):
    store = store_of(data)
    for batch in rows.epoch_batches(store, batch_size=batch_size, seq_length=seq_length, seed=0, epoch=0):
        arrays = rows.materialise(store, batch)
        for b, row in enumerate(batch):
            expected_inputs = [token for rank in row for token in (0, *data[rank])]
            expected_targets = [token for rank in row for token in (*data[rank], 0)]
            width = len(expected_inputs)
            assert arrays.inputs[:width, b].tolist() == expected_inputs
            assert arrays.targets[:width, b].tolist() == expected_targets
            assert arrays.weights[:, b].sum() == width
            starts = np.flatnonzero(arrays.keep[:, b, 0] == 0).tolist()
            assert starts == np.cumsum([0, *(len(data[rank]) + 1 for rank in row)])[:-1].tolist()


def test_measuring_reads_every_record_once():
    store = store_of(random_records(77, 9, 40))
    seen = [row[0] for batch in rows.in_order_batches(store, batch_size=8, seq_length=10) for row in batch]
    assert sorted(seen) == list(range(77))


def test_epochs_differ_and_repeat():
    store = store_of(random_records(200, 9, 12))

    def order(seed: int, epoch: int) -> list:
        return rows.epoch_batches(store, batch_size=8, seq_length=20, seed=seed, epoch=epoch)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_little_padding_on_records_of_like_length():
    store = store_of([[1] * (50 + i % 12) for i in range(4000)])
    real = padded = 0
    for batch in rows.epoch_batches(store, batch_size=64, seq_length=100, seed=0, epoch=0):
        arrays = rows.materialise(store, batch)
        real += arrays.weights.sum()
        padded += arrays.weights.size
    assert real / padded > 0.95
