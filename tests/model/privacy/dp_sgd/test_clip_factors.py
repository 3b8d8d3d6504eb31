"""Clip factors, where rounding the operands of a sum can make a record's gradient too long."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.privacy.dp_sgd import clip_factors as clip_factors_module
from linesmith.model.privacy.dp_sgd.clip_factors import clip_factors
from linesmith.model.privacy.dp_sgd.gradient_norms import GramNorms, LayerOperands, direct_norms
from linesmith.model.privacy.dp_sgd.weighted_sums import scale_operand, truncate_to_bfloat16

pytestmark = pytest.mark.integration

MAX_NORM = 0.3


def _cancelling(records: int, width: int = 3) -> list[LayerOperands]:
    """Return records whose two steps nearly cancel: only the last bits of the inputs, which rounding moves, make the gradient."""
    random = np.random.default_rng(4)
    size = random.uniform(1, 2, (records, 1, width))
    inputs = tf.cast(np.concatenate([size, size * (1 + 1 / 100)], axis=1), tf.bfloat16)
    delta = tf.cast(random.uniform(20, 30, (records, 1, 1)) * np.array([1, -1])[None, :, None], tf.bfloat16)
    return [LayerOperands(inputs, None, delta)]


def _exact_norms(layers: list[LayerOperands], factors: tf.Tensor) -> np.ndarray:
    """Compute the norms of records scaled by factors, from their gradients in float64."""
    (layer,) = layers
    a = tf.cast(scale_operand(layer.inputs, factors[:, None, None]), tf.float64).numpy()
    delta = tf.cast(layer.delta, tf.float64).numpy()
    of_kernel, of_bias = np.einsum("btd,btk->bdk", a, delta), factors.numpy()[:, None] * delta.sum(axis=1)
    return np.sqrt((of_kernel**2).sum(axis=(1, 2)) + (of_bias**2).sum(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("norm_function", [lambda layers: partial(direct_norms, layers), GramNorms])
def test_a_gradient_that_rounding_made_longer_gets_a_smaller_factor(norm_function, monkeypatch):
    layers = _cancelling(records=200)
    arguments = norm_function(layers), tf.zeros(200), tf.constant(MAX_NORM), tf.bfloat16
    norms, factors = clip_factors(*arguments)
    np.testing.assert_allclose(norms, _exact_norms(layers, tf.ones(200)), rtol=1e-3)
    assert np.all(factors < 1)
    assert np.all(_exact_norms(layers, factors) <= MAX_NORM * (1 + 1e-6))
    np.testing.assert_array_equal(truncate_to_bfloat16(factors), factors)
    # Without taking the norms again, some would be too long; the factors of the others stay as they were.
    monkeypatch.setattr(clip_factors_module, "_lower_until_within", lambda *arguments: arguments[-1])
    _, first = clip_factors(*arguments)
    too_long = _exact_norms(layers, first) > MAX_NORM
    assert 0 < too_long.sum() < 200
    np.testing.assert_array_equal(factors.numpy()[~too_long], first.numpy()[~too_long])


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_factors_of_short_long_and_non_finite_records(dtype):
    squared = tf.constant([0.0, 0.01, 0.0899, 4.0, np.inf, np.nan])

    def norm_function(factors=None):
        return squared if factors is None else squared * factors * factors

    found, factors = clip_factors(norm_function, tf.constant([0.0, 0, 0, 5, 0, 0]), tf.constant(MAX_NORM), dtype)
    np.testing.assert_allclose(found, np.sqrt([0, 0.01, 0.0899, 9, np.inf, np.nan]), rtol=1e-6)
    assert factors[:3].numpy().tolist() == [1, 1, 1]
    assert 0.1 * (1 - 1 / 128) < factors[3] <= np.float32(0.1)
    assert factors[4:].numpy().tolist() == [0, 0]


def test_a_record_that_truncation_makes_many_times_too_long_takes_few_rounds():
    calls = []

    def norm_function(factors=None):
        if factors is None:
            return tf.ones(2)
        calls.append(factors.numpy())
        return tf.constant([1.0, 100.0**2]) * factors * factors

    _, factors = clip_factors(norm_function, tf.zeros(2), tf.constant(MAX_NORM), tf.bfloat16)
    assert MAX_NORM * (1 - 1 / 128) < factors[0] <= MAX_NORM
    assert MAX_NORM * (1 - 2 / 128) < 100 * factors[1] <= MAX_NORM
    assert len(calls) <= 3
