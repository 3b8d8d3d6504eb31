"""Uniform random numbers: a function of their identity, uniformly distributed, and independent between streams and steps."""

from __future__ import annotations

import numpy as np

from linesmith.model.sampling.uniform_random import stream_keys, uniforms

# Each test below has a false-alarm rate of about 1e-6 for a correct generator; the seed is fixed, so results are reproducible.
BINS = 256


def _chi_square(values: np.ndarray) -> float:
    """Return the standard score of the bin counts' chi-square statistic."""
    counts = np.histogram(values, BINS, (0.0, 1.0))[0]
    expected = len(values) / BINS
    statistic = ((counts - expected) ** 2 / expected).sum()
    return (statistic - (BINS - 1)) / np.sqrt(2 * (BINS - 1))


def test_range_and_resolution():
    draws = uniforms(stream_keys(0, np.arange(4096), np.zeros(4096)), np.zeros(4096), 64)
    assert draws.dtype == np.float32
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.array_equal(draws * 2**24, np.round(draws * 2**24))
    assert len(np.unique(draws)) > 0.99 * draws.size * (1 - draws.size / 2**25)


def test_flat_along_every_part_of_the_identity():
    n = 2**18
    along_step = uniforms(stream_keys(5, [3], [0]), [0], n)[:, 0]
    along_index = uniforms(stream_keys(5, np.arange(n), np.zeros(n)), np.zeros(n), 1)[0]
    along_attempt = uniforms(stream_keys(5, np.zeros(n), np.arange(n)), np.zeros(n), 1)[0]
    along_seed = np.concatenate([uniforms(stream_keys(seed, [0], [0]), [0], 1)[0] for seed in range(2**12)])
    for values in (along_step, along_index, along_attempt, along_seed):
        assert abs(_chi_square(values)) < 5
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 5 / np.sqrt(len(values))
    # Negative controls: a slightly non-uniform sequence and a serially dependent one are rejected.
    assert abs(_chi_square(along_step**1.1)) > 5
    smooth = (along_step[:-1] + along_step[1:]) / 2
    assert abs(np.corrcoef(smooth[:-1], smooth[1:])[0, 1]) > 5 / np.sqrt(n)


def test_every_part_of_the_identity_matters():
    base = uniforms(stream_keys(1, [2], [3]), [4], 1)
    for other in (
        uniforms(stream_keys(2, [2], [3]), [4], 1),
        uniforms(stream_keys(1, [3], [3]), [4], 1),
        uniforms(stream_keys(1, [2], [4]), [4], 1),
        uniforms(stream_keys(1, [2], [3]), [5], 1),
        uniforms(stream_keys(1, [3], [2]), [4], 1),
    ):
        assert base != other


def test_golden_values():
    """Published records must be reproducible by later versions."""
    draws = uniforms(stream_keys(2**63 - 1, [0, 2**40], [0, 999]), [0, 7], 2) * 2**24
    assert draws.astype(int).tolist() == GOLDEN


GOLDEN = [[2597117, 6231757], [4356120, 14746145]]
