"""Poisson samples: each record independently, in every step anew; and the batches in which a sample is computed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from linesmith.model.privacy.poisson_sampling import poisson_sample
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.training.batches import padded_steps, physical_batches, steps_in_use
from tests.helpers.token_stores import random_records, store_of

RECORDS, RATE, STEPS = 60, 0.15, 3000
# Each check is a mean of many draws against its expectation, refused beyond 5 standard errors: a correct sampler fails
# one of the 123 once in 14,000 keys. The key is fixed, so it does not.
LIMIT = 5.0


def faults(samples: list[np.ndarray], records: int = RECORDS, rate: float = RATE) -> set[str]:
    """Return what speaks against samples being Poisson: 'rate', 'size', 'pairs' within a step, 'memory' between steps."""
    chosen = np.zeros((len(samples), records))
    for step, ranks in enumerate(samples):
        chosen[step, ranks] += 1
    found = set()
    if chosen.max() > 1:
        found.add("twice")
    centred = (chosen - rate) / np.sqrt(rate * (1 - rate))

    def far(values: np.ndarray) -> bool:
        return bool(np.abs(np.mean(values, axis=0) * np.sqrt(len(values))).max() > LIMIT)

    if far(centred):
        found.add("rate")
    # With independent draws, the squared deviation of the size from its mean has a known mean, records · q(1-q), and spread.
    squares = centred.sum(axis=1) ** 2 / records
    kurtosis = (1 - 6 * rate * (1 - rate)) / (rate * (1 - rate) * records)
    if far((squares - 1) / np.sqrt(2 + kurtosis)):
        found.add("size")
    if far(centred[:, :-1] * centred[:, 1:]):
        found.add("pairs")
    if far((centred[:-1] * centred[1:]).sum(axis=1)[:, None] / np.sqrt(records)):
        found.add("memory")
    return found


def _poisson(records=RECORDS, rate=RATE, steps=STEPS):
    key = SecretKey.unsafe("5eed")
    return [poisson_sample(records, rate, key.seed("sample", step)) for step in range(steps)]


def test_every_record_is_drawn_independently_at_the_rate():
    assert faults(_poisson()) == set()


@pytest.mark.parametrize(("records", "rate"), [(1, 0.3), (7, 0.9), (40, 0.02)])
def test_small_and_large_rates(records, rate):
    samples = _poisson(records, rate)
    sizes = np.array([len(ranks) for ranks in samples])
    assert abs(sizes.mean() - records * rate) < LIMIT * np.sqrt(records * rate * (1 - rate) / STEPS)
    assert (sizes == 0).any() == ((1 - rate) ** records > 0.01)
    assert all(np.all(np.diff(ranks) > 0) for ranks in samples)
    assert all(ranks.min(initial=0) >= 0 and ranks.max(initial=0) < records for ranks in samples)


def _shuffled() -> list[np.ndarray]:
    """Draw batches of a shuffle, as most trainers do."""
    random, size = np.random.default_rng(0), round(RECORDS * RATE)
    epochs = (
        np.array_split(random.permutation(RECORDS)[: RECORDS // size * size], RECORDS // size)
        for _ in itertools.count()
    )
    return list(itertools.islice(itertools.chain.from_iterable(epochs), STEPS))


def _fixed_size() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.choice(RECORDS, round(RECORDS * RATE), replace=False) for _ in range(STEPS)]


def _truncated() -> list[np.ndarray]:
    return [ranks[:10] for ranks in _poisson()]


def _never_adjacent() -> list[np.ndarray]:
    """Draw with gaps that are one too long."""
    return [ranks[np.diff(ranks, prepend=-9) > 1] for ranks in _poisson()]


def _the_same_each_time() -> list[np.ndarray]:
    return _poisson(steps=1) * STEPS


@pytest.mark.parametrize(
    ("sampler", "fault"),
    [
        (_shuffled, "memory"),
        (_fixed_size, "size"),
        (_truncated, "size"),
        (_never_adjacent, "pairs"),
        (_the_same_each_time, "memory"),
        (lambda: _poisson(rate=RATE * 1.2), "rate"),
    ],
)
def test_another_sampler_is_detected(sampler, fault):
    assert fault in faults(sampler())


def test_a_sample_is_a_function_of_its_seed():
    key = SecretKey.unsafe("1")
    one, same, other = (poisson_sample(1000, 0.1, key.seed("sample", step)) for step in (3, 3, 4))
    assert one.tolist() == same.tolist() != other.tolist()


def test_a_tiny_rate_over_many_records_does_not_overflow():
    sizes = [len(poisson_sample(2**40, 2.0**-38, (1, step))) for step in range(200)]
    assert 3 < np.mean(sizes) < 5
    assert poisson_sample(5, 1.0, (0, 0)).tolist() == [0, 1, 2, 3, 4]
    assert poisson_sample(0, 0.5, (0, 0)).size == 0
    for rate in (0.0, 1.5, -1.0):
        with pytest.raises(ValueError, match="rate"):
            poisson_sample(5, rate, (0, 0))


def test_batches_hold_every_drawn_record_once_cut_and_padded():
    records = [*random_records(50, 9, 30), [5] * 100, []]
    store = store_of(records)
    ranks = np.array([0, 3, 4, *range(10, 52)])
    asked: list[int] = []

    def counts_of(steps: int) -> tuple[int, int]:
        asked.append(steps)
        return (5, 20) if steps == 16 else (20,)

    found = []
    for places, batch in physical_batches(store, ranks, counts_of=counts_of, seq_length=25):
        steps, rows = batch.inputs.shape
        assert steps == asked[-1] and rows in counts_of(steps) and rows >= len(places)
        for row, place in enumerate(places):
            length = int(batch.weights[:, row].sum())
            # Steps that depend on no other record.
            assert steps == padded_steps(np.array([length]), 25)[0]
            assert length == min(len(records[ranks[place]]) + 1, 25)
            assert np.all(batch.weights[:length, row] == 1)  # padding only at the end
            found.append((tuple(batch.inputs[:length, row]), tuple(batch.targets[:length, row])))
    whole = [tuple([0, *records[rank], 0][:26]) for rank in ranks]
    assert sorted(found) == sorted((ids[:-1], ids[1:]) for ids in whole)
    assert set(asked) == steps_in_use(store, 25) == {16, 25}
    assert list(physical_batches(store, ranks[:0], counts_of=counts_of, seq_length=25)) == []


def test_steps_are_close_to_the_length_and_few():
    tokens = np.arange(1, 5000)
    steps = padded_steps(tokens, 4000)
    assert np.all((steps >= np.minimum(tokens, 4000)) & (steps <= 4000))
    assert np.all((steps < tokens + 16) | (steps < 1.25 * tokens))
    assert len(np.unique(steps)) < 32
