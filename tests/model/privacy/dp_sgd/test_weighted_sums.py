"""Sums of `f·aᵀδ` by bfloat16 products, compared with a sum record by record in float64; and planted rounding errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.privacy.dp_sgd import weighted_sums
from linesmith.model.tf_function import fused

pytestmark = pytest.mark.integration


def _random_bfloat16(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.cast(np.random.default_rng(seed).normal(size=shape), tf.bfloat16)


def _float64(x: tf.Tensor) -> np.ndarray:
    return tf.cast(x, tf.float64).numpy()


def _factors(count: int) -> tf.Tensor:
    return weighted_sums.truncate_to_bfloat16(tf.constant(np.random.default_rng(9).uniform(0, 1, count), tf.float32))


def test_numbers_are_truncated_to_eight_bits_toward_zero():
    values = tf.constant(np.random.default_rng(2).normal(size=1000), tf.float32)
    found = weighted_sums.truncate_to_bfloat16(values)
    np.testing.assert_array_equal(tf.cast(tf.cast(found, tf.bfloat16), tf.float32), found)
    assert np.all(np.abs(found) <= np.abs(values))
    assert np.all(np.abs(found) > np.abs(values) * (1 - 1 / 128))
    assert weighted_sums.truncate_to_bfloat16(tf.constant([1.0, 0.0])).numpy().tolist() == [1, 0]


def test_products_of_bfloat16_are_added_up_in_float32():
    random = np.random.default_rng(4)
    x, kernel = (tf.cast(tf.constant(random.normal(size=size)), tf.bfloat16) for size in ((5, 6, 512), (512, 32)))
    exact = _float64(x) @ _float64(kernel)
    found = weighted_sums.exact_products(x, kernel)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-4)
    rounded = _float64(tf.matmul(tf.reshape(x, [-1, 512]), kernel)).reshape(exact.shape)
    assert np.abs(rounded - exact).max() > 1e-2  # what TensorFlow's own product would give


def test_scaled_operands_are_the_same_in_and_out_of_xla():
    """XLA may leave out casts: norm and sum could then be computed of different numbers."""
    x, factors = _random_bfloat16(40, 300), _factors(300)
    found = weighted_sums.scale_operand(x, factors)
    assert found.dtype == tf.bfloat16
    product = _float64(x) * _float64(factors)
    np.testing.assert_array_equal(
        _float64(found), _float64(weighted_sums.truncate_to_bfloat16(tf.constant(product, tf.float32)))
    )
    assert np.any(_float64(found) != product)
    np.testing.assert_array_equal(_float64(fused(weighted_sums.scale_operand)(x, factors)), _float64(found))
    gram = fused(
        lambda x, f: tf.matmul(
            weighted_sums.scale_operand(x, f),
            weighted_sums.scale_operand(x, f),
            transpose_b=True,
            output_type=tf.float32,
        )
    )
    np.testing.assert_allclose(gram(x, factors), _float64(found) @ _float64(found).T, rtol=1e-4, atol=1e-4)
    with_one = weighted_sums.scale_operand(x, tf.ones(300))
    np.testing.assert_array_equal(_float64(with_one), _float64(x))


@pytest.mark.parametrize("rows", [1, 5])
def test_sums_of_a_layer_are_exact(rows):
    steps = 9
    inputs, states, delta = (
        _random_bfloat16(steps, rows, 6),
        _random_bfloat16(steps, rows, 4, seed=1),
        _random_bfloat16(steps, rows, 12, seed=2),
    )
    factors = _factors(rows)
    (of_inputs, of_states), bias = weighted_sums.make_weighted_sums(factors, tf.bfloat16).layer_gradients(
        delta, [inputs], states
    )
    factor_per_row = factors[:, None]
    expected = np.einsum("tbd,tbk->dk", _float64(weighted_sums.scale_operand(inputs, factor_per_row)), _float64(delta))
    np.testing.assert_allclose(of_inputs, expected, rtol=1e-5, atol=1e-6)
    expected = np.einsum(
        "tbd,tbk->dk", _float64(weighted_sums.scale_operand(states, factor_per_row))[:-1], _float64(delta)[1:]
    )
    np.testing.assert_allclose(of_states, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        bias, np.sum(_float64(factor_per_row) * _float64(delta), axis=(0, 1)), rtol=1e-5, atol=1e-6
    )
    assert of_inputs.dtype == of_states.dtype == bias.dtype == tf.float32


def test_a_sum_that_cancels_keeps_its_last_bits():
    """One record is the negative of the other but for the last bits."""
    inputs = tf.ones([1, 2, 1], tf.bfloat16)
    delta = tf.constant([[[256.0], [-255.0]]], tf.bfloat16)
    factors = tf.constant([1 / 128 + 1, 1.0]) / 2
    (found,), _ = weighted_sums.make_weighted_sums(factors, tf.bfloat16).layer_gradients(delta, [inputs])
    assert found.numpy().tolist() == [[1.5]]


@pytest.mark.parametrize("vocab", [7, 300])
@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float32])
def test_sums_by_token(vocab, dtype):
    tokens = tf.constant(np.random.default_rng(3).integers(0, vocab, (8, 5)), tf.int32)
    x, factors = tf.cast(_random_bfloat16(8, 5, 6), dtype), _factors(5)
    expected = np.zeros((vocab, 6))
    np.add.at(expected, tokens.numpy(), _float64(factors)[:, None] * _float64(x))
    found = weighted_sums.make_weighted_sums(factors, dtype).sum_by_token(tokens, x, vocab)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


_HASHED = """
import sys, hashlib
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
from linesmith.model.privacy.dp_sgd import weighted_sums
normal = lambda *shape, seed: tf.cast(tf.random.stateless_normal(shape, [1, seed]), tf.bfloat16)
factors = weighted_sums.truncate_to_bfloat16(tf.random.stateless_uniform([64], [1, 9]))
sums = weighted_sums.make_weighted_sums(factors, tf.bfloat16)
found, bias = sums.layer_gradients(normal(100, 64, 512, seed=3), [normal(100, 64, 128, seed=1)], normal(100, 64, 128, seed=2))
print(hashlib.sha256(b"".join(x.numpy().tobytes() for x in [*found, bias])).hexdigest())
"""


@pytest.mark.slow
def test_sums_do_not_depend_on_the_number_of_threads():
    """XLA splits a product among threads; what each of them adds up must not change with their number."""
    found = {
        subprocess.run([sys.executable, "-c", _HASHED, threads], capture_output=True, text=True, check=True).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1
