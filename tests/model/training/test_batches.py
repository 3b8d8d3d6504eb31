"""Each record exactly once per epoch, whole, within bounds, and in an order that only seed and epoch decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesmith.model.training import batches as batching
from tests.helpers.token_stores import random_records, store_of

records = st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=30), min_size=1, max_size=60)


@given(records, st.integers(1, 6), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_holds_every_record_once_and_keeps_to_its_bounds(data, batch_size, seq_length, epoch):
    store = store_of(data)
    batches = batching.EpochBatches(store, batch_size=batch_size, seq_length=seq_length, seed=3, epoch=epoch)
    assert sorted(rank for batch in batches for rank in batch) == list(range(len(data)))
    for batch in batches:
        longest = max(len(data[rank]) + 1 for rank in batch)
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * longest <= batch_size * seq_length


@given(records, st.integers(1, 6), st.integers(1, 40))
def test_a_batch_holds_the_tokens_of_its_records(data, batch_size, seq_length):
    store = store_of(data)
    for batch in batching.EpochBatches(store, batch_size=batch_size, seq_length=seq_length, seed=0, epoch=0):
        arrays = batching.make_batch(store, batch)
        for row, rank in enumerate(batch):
            tokens = len(data[rank]) + 1
            assert arrays.inputs[:tokens, row].tolist() == [0, *data[rank]]
            assert arrays.targets[:tokens, row].tolist() == [*data[rank], 0]
            assert arrays.weights[:, row].tolist() == [1.0] * tokens + [0.0] * (len(arrays.weights) - tokens)


def test_evaluation_reads_every_record_once():
    store = store_of(random_records(77, 9, 40))
    seen = [rank for batch in batching.evaluation_batches(store, batch_size=8, seq_length=10) for rank in batch]
    assert sorted(seen) == list(range(77))


def test_epochs_differ_and_repeat():
    store = store_of(random_records(200, 9, 12))

    def order(seed: int, epoch: int) -> list:
        batches = batching.EpochBatches(store, batch_size=8, seq_length=20, seed=seed, epoch=epoch)
        return [batch.tolist() for batch in batches]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_little_padding_on_records_of_any_length():
    random = np.random.default_rng(0)
    store = store_of([[1] * int(length) for length in random.integers(1, 100, 4096)])
    real = padded = 0
    for batch in batching.EpochBatches(store, batch_size=64, seq_length=100, seed=0, epoch=0):
        arrays = batching.make_batch(store, batch)
        real += arrays.weights.sum()
        padded += arrays.weights.size
    assert real / padded > 0.95


@given(records, st.integers(1, 4), st.integers(1, 40))
def test_any_batch_can_be_had_without_those_before_it(data, batch_size, seq_length):
    store = store_of(data * 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "_POOL_BATCHES", 3)  # several pools
        arguments = {"batch_size": batch_size, "seq_length": seq_length, "seed": 5, "epoch": 2}
        in_order = [batch.tolist() for batch in batching.EpochBatches(store, **arguments)]
        assert len(in_order) == len(batching.EpochBatches(store, **arguments))
        backwards = batching.EpochBatches(store, **arguments)
        assert [backwards[i].tolist() for i in reversed(range(len(backwards)))] == in_order[::-1]
        assert sorted(rank for batch in in_order for rank in batch) == list(range(len(store)))


def _one_by_one(store, ranks, steps, columns):
    """Return inputs, targets and weights, filled one record at a time."""
    inputs, targets = np.zeros((steps, columns), np.int32), np.zeros((steps, columns), np.int32)
    weights = np.zeros((steps, columns), np.float32)
    for column, rank in enumerate(ranks):
        ids = store.record(rank)[: steps + 1]
        end = len(ids) - 1
        inputs[:end, column], targets[:end, column], weights[:end, column] = ids[:-1], ids[1:], 1
    return inputs, targets, weights


@given(records, st.integers(1, 40), st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_padded_batch_is_the_same_as_one_record_at_a_time(data, steps, padding, random):
    store = store_of(data)
    ranks = np.array([random.randrange(len(data)) for _ in range(random.randrange(1, 9))])
    batch = batching.make_padded_batch(store, ranks, steps=steps, columns=len(ranks) + padding)
    expected = _one_by_one(store, ranks, steps, len(ranks) + padding)
    for found, array in zip((batch.inputs, batch.targets, batch.weights), expected, strict=True):
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)
