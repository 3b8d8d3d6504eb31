"""The keyed permutation of any domain."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.config.key_pattern import parse_pattern
from linesmith.records.roles.permutation import DomainPermutation
from linesmith.records.roles.value_sources import KeySource


@settings(deadline=None)
@given(st.integers(1, 400), st.binary(max_size=64))
def test_small_domains_are_permuted_whole(count: int, key: bytes) -> None:
    permutation = DomainPermutation(count, key)
    assert sorted(map(permutation, range(count))) == list(range(count))


@settings(deadline=None)
@given(st.integers(1, 2**200), st.data())
def test_values_of_large_domains_lie_inside_and_differ(count: int, data: st.DataObject) -> None:
    permutation = DomainPermutation(count, b"key")
    positions = data.draw(st.sets(st.integers(0, count - 1), max_size=20))
    values = [permutation(position) for position in positions]
    assert all(0 <= value < count for value in values)
    assert len(set(values)) == len(positions)


@pytest.mark.parametrize("position", [-1, 10, 11])
def test_a_position_outside_is_refused(position: int) -> None:
    with pytest.raises(IndexError):
        DomainPermutation(10, b"key")(position)


def test_another_key_gives_another_order_and_the_order_looks_random() -> None:
    count, taken = 10_000, 2_000
    first, second = (np.array([DomainPermutation(count, key)(i) for i in range(taken)]) for key in (b"a", b"b"))
    assert (first == second).mean() < 0.01
    # Neighbors are unrelated: with 2,000 pairs a correlation beyond 0.09 has a probability of about 1 in 20,000.
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.09
    assert abs(np.mean(first) / (count / 2) - 1) < 0.06


def _share(arguments: tuple[KeySource, int, int]) -> list[str]:
    source, start, stop = arguments
    return [source.value(index) for index in range(start, stop)]


@pytest.mark.slow
def test_a_million_keys_of_four_processes_are_unique_after_a_retry() -> None:
    source = KeySource("id", parse_pattern("AA-0000"), seed=7)  # hardly more keys than records
    shares = [(source, start, start + 125_000) for start in range(0, 1_000_000, 125_000)]
    with multiprocessing.get_context("spawn").Pool(4) as workers:
        parts = workers.map(_share, shares, chunksize=1)
        again = workers.apply(_share, (shares[3],))  # as a worker that was killed and replaced
    assert again == parts[3]
    keys = {key for part in parts for key in part}
    assert len(keys) == 1_000_000
    assert all(len(key) == 7 and key[2] == "-" for key in keys)
