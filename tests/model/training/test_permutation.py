"""A permutation computed in pieces: a bijection, the same for any pieces, and mixed as well as a shuffle."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from linesmith.model.training.permutation import Permutation

N, DRAWS = 40, 1000
# Standard errors. Each of the two checks refuses a perfect shuffle once in a million keys, and the keys are fixed.
LIMIT = 5.0


@given(st.integers(0, 600), st.integers(0, 2**63 - 1), st.integers(0, 2**70), st.integers(1, 50))
def test_every_number_once_whatever_the_pieces(count, seed, epoch, piece):
    order = Permutation(count, (seed, epoch))
    pieces = [order.values_at(start, start + piece) for start in range(0, count, piece)]
    complete = order.values_at(0, count)
    assert sorted(complete.tolist()) == list(range(count))
    assert [rank for part in pieces for rank in part] == complete.tolist()
    assert order.values_at(count, count + 5).size == 0


def test_large_numbers():
    drawn = Permutation(2**40 + 3, (1, 2)).values_at(2**39, 2**39 + 20_000)
    assert len(set(drawn.tolist())) == 20_000
    assert drawn.min() >= 0 and drawn.max() < 2**40 + 3
    assert abs(drawn.mean() / 2**39 - 1) < LIMIT / np.sqrt(3 * 20_000)


def faults(orders: np.ndarray) -> set[str]:
    """Return how orders differ from shuffles: 'places' that a number prefers, 'neighbors' that stay together."""
    found = set()
    draws = len(orders)
    seen = np.zeros((N, N))
    for order in orders:
        seen[np.arange(N), order] += 1
    freedom = (N - 1) ** 2
    places = ((seen - draws / N) ** 2 / (draws / N)).sum()
    if abs(places - freedom) > LIMIT * np.sqrt(2 * freedom):
        found.add("places")
    steps = np.zeros(N)
    for order in orders:
        steps += np.bincount(np.diff(order) % N, minlength=N)
    expected = draws * (N - 1) / (N - 1)
    neighbors = ((steps[1:] - expected) ** 2 / expected).sum()
    if abs(neighbors - (N - 2)) > LIMIT * np.sqrt(2 * (N - 2)):
        found.add("neighbors")
    return found


def test_orders_of_epochs_look_like_shuffles():
    orders = np.array([Permutation(N, (7, epoch)).values_at(0, N) for epoch in range(DRAWS)])
    assert faults(orders) == set()


def test_worse_orders_are_detected():
    random = np.random.default_rng(0)
    rotated = np.array([(np.arange(N) + random.integers(N)) % N for _ in range(DRAWS)])
    assert "neighbors" in faults(rotated)
    half = np.array([np.concatenate([random.permutation(N // 2), N // 2 + random.permutation(N // 2)])] * DRAWS)
    assert "places" in faults(half)
