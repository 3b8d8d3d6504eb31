"""Sums of rows against NumPy's, in float32 and as 16-bit integers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.sampling.input_table import GATES, InputTable

pytestmark = pytest.mark.integration


def _sums(table: np.ndarray, rows: np.ndarray, as_integers: bool) -> np.ndarray:
    lookup = InputTable(table, as_integers)
    return np.concatenate([lookup.sum_of_rows(gate, tf.unstack(rows)).numpy() for gate in range(GATES)], axis=1)


def test_integers_are_near_and_do_not_depend_on_the_order_of_rows() -> None:
    random = np.random.default_rng(0)
    table = random.normal(0, [[1], [0.01]] * 50, (100, 64)).astype(np.float32)
    table[:, 3] = 0  # a column without a scale of its own
    rows = random.integers(0, 100, (9, 40)).astype(np.int32)
    exact = table[rows].sum(axis=0)
    assert np.array_equal(_sums(table, rows, False), sum(table[rows][1:], start=table[rows][0]))
    found = _sums(table, rows, True)
    # Each of the nine rows is rounded by at most half a step, which is up to twice as large as a power of two.
    assert np.abs(found - exact).max() <= 9 * 1.01 * np.abs(table).max() / 32_767
    assert not np.array_equal(found, exact)
    assert np.array_equal(found, _sums(table, rows[::-1], True))
