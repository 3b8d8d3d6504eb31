"""Clip factors, where rounding what a sum is made of can make a record longer than it should be."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.privacy.dp_sgd import clip_factors as dp_clipping
from linesmith.model.privacy.dp_sgd.clip_factors import clip_factors
from linesmith.model.privacy.dp_sgd.gradient_norms import GramNorms, LayerOperands, direct_norms
from linesmith.model.privacy.dp_sgd.weighted_sums import cut, scaled

LIMIT = 0.3


def _cancelling(records: int, width: int = 3) -> list[LayerOperands]:
    """Records whose two steps nearly cancel: their gradient is the last bit of their inputs, which rounding moves."""
    random = np.random.default_rng(4)
    size = random.uniform(1, 2, (records, 1, width))
    inputs = tf.cast(np.concatenate([size, size * (1 + 1 / 100)], axis=1), tf.bfloat16)
    delta = tf.cast(random.uniform(20, 30, (records, 1, 1)) * np.array([1, -1])[None, :, None], tf.bfloat16)
    return [LayerOperands(inputs, None, delta)]


def _lengths(layers: list[LayerOperands], factors: tf.Tensor) -> np.ndarray:
    """Norms of records so scaled, by their gradients in float64."""
    (layer,) = layers
    a = tf.cast(scaled(layer.inputs, factors[:, None, None]), tf.float64).numpy()
    delta = tf.cast(layer.delta, tf.float64).numpy()
    of_kernel, of_bias = np.einsum("btd,btk->bdk", a, delta), factors.numpy()[:, None] * delta.sum(axis=1)
    return np.sqrt((of_kernel**2).sum(axis=(1, 2)) + (of_bias**2).sum(axis=1))


@pytest.mark.parametrize("norms_of", [lambda layers: partial(direct_norms, layers), GramNorms])
def test_what_rounding_made_longer_is_made_shorter(norms_of, monkeypatch):
    layers = _cancelling(records=200)
    arguments = norms_of(layers), tf.zeros(200), tf.constant(LIMIT), tf.bfloat16
    squared, factors = clip_factors(*arguments)
    np.testing.assert_allclose(np.sqrt(squared), _lengths(layers, tf.ones(200)), rtol=1e-3)
    assert np.all(factors < 1)
    assert np.all(_lengths(layers, factors) <= LIMIT * (1 + 1e-6))
    np.testing.assert_array_equal(cut(factors), factors)
    # Had the norms not been taken again, some would be too long; and the others are left as they were.
    monkeypatch.setattr(dp_clipping, "_until_short", lambda norms_of, others, limit, factors: factors)
    _, first = clip_factors(*arguments)
    too_long = _lengths(layers, first) > LIMIT
    assert 0 < too_long.sum() < 200
    np.testing.assert_array_equal(factors.numpy()[~too_long], first.numpy()[~too_long])


@pytest.mark.parametrize("kind", [tf.float32, tf.bfloat16])
def test_factors_of_short_long_and_broken_records(kind):
    squared = tf.constant([0.0, 0.01, 0.0899, 4.0, np.inf, np.nan])

    def norms_of(factors=None):
        return squared if factors is None else squared * factors * factors

    found, factors = clip_factors(norms_of, tf.constant([0.0, 0, 0, 5, 0, 0]), tf.constant(LIMIT), kind)
    np.testing.assert_allclose(found, [0, 0.01, 0.0899, 9, np.inf, np.nan])
    assert factors[:3].numpy().tolist() == [1, 1, 1]
    assert 0.1 * (1 - 1 / 128) < factors[3] <= np.float32(0.1)
    assert factors[4:].numpy().tolist() == [0, 0]


def test_a_record_that_cutting_makes_many_times_too_long_takes_few_rounds():
    asked = []

    def norms_of(factors=None):
        if factors is None:
            return tf.ones(2)
        asked.append(factors.numpy())
        return tf.constant([1.0, 100.0**2]) * factors * factors

    _, factors = clip_factors(norms_of, tf.zeros(2), tf.constant(LIMIT), tf.bfloat16)
    assert LIMIT * (1 - 1 / 128) < factors[0] <= LIMIT
    assert LIMIT * (1 - 2 / 128) < 100 * factors[1] <= LIMIT
    assert len(asked) <= 3
