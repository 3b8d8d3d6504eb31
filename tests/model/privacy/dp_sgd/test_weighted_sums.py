"""Sums of `f·aᵀδ` in bfloat16 products against one record at a time in float64, and against rounding that would not do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.privacy.dp_sgd import weighted_sums as ws
from linesmith.model.tf_function import fused


def _short(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.cast(np.random.default_rng(seed).normal(size=shape), tf.bfloat16)


def _wide(x: tf.Tensor) -> np.ndarray:
    return tf.cast(x, tf.float64).numpy()


def _factors(count: int) -> tf.Tensor:
    return ws.cut(tf.constant(np.random.default_rng(9).uniform(0, 1, count), tf.float32))


def test_numbers_are_cut_to_eight_bits_and_never_raised():
    given = tf.constant(np.random.default_rng(2).normal(size=1000), tf.float32)
    found = ws.cut(given)
    np.testing.assert_array_equal(tf.cast(tf.cast(found, tf.bfloat16), tf.float32), found)
    assert np.all(np.abs(found) <= np.abs(given))
    assert np.all(np.abs(found) > np.abs(given) * (1 - 1 / 128))
    assert ws.cut(tf.constant([1.0, 0.0])).numpy().tolist() == [1, 0]


def test_what_sums_are_made_of_is_the_same_wherever_it_is_computed():
    """XLA may leave out conversions: of the norm and of the sum, one could be of other numbers."""
    x, factors = _short(40, 300), _factors(300)
    found = ws.scaled(x, factors)
    assert found.dtype == tf.bfloat16
    product = _wide(x) * _wide(factors)
    np.testing.assert_array_equal(_wide(found), _wide(ws.cut(tf.constant(product, tf.float32))))
    assert np.any(_wide(found) != product)
    np.testing.assert_array_equal(_wide(fused(ws.scaled)(x, factors)), _wide(found))
    gram = fused(lambda x, f: tf.matmul(ws.scaled(x, f), ws.scaled(x, f), transpose_b=True, output_type=tf.float32))
    np.testing.assert_allclose(gram(x, factors), _wide(found) @ _wide(found).T, rtol=1e-4, atol=1e-4)
    with_one = ws.scaled(x, tf.ones(300))
    np.testing.assert_array_equal(_wide(with_one), _wide(x))


@pytest.mark.parametrize("rows", [1, 5])
def test_sums_of_a_layer_are_exact(rows):
    steps = 9
    inputs, states, delta = _short(steps, rows, 6), _short(steps, rows, 4, seed=1), _short(steps, rows, 12, seed=2)
    factors = _factors(rows)
    (of_inputs, of_states), bias = ws.weighted_sums(factors, tf.bfloat16).layer(delta, [inputs], states)
    each = factors[:, None]
    wanted = np.einsum("tbd,tbk->dk", _wide(ws.scaled(inputs, each)), _wide(delta))
    np.testing.assert_allclose(of_inputs, wanted, rtol=1e-5, atol=1e-6)
    wanted = np.einsum("tbd,tbk->dk", _wide(ws.scaled(states, each))[:-1], _wide(delta)[1:])
    np.testing.assert_allclose(of_states, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bias, np.sum(_wide(each) * _wide(delta), axis=(0, 1)), rtol=1e-5, atol=1e-6)
    assert of_inputs.dtype == of_states.dtype == bias.dtype == tf.float32


def test_a_sum_that_cancels_is_not_rounded():
    """One record is another one's opposite but for its last bits."""
    inputs = tf.ones([1, 2, 1], tf.bfloat16)
    delta = tf.constant([[[256.0], [-255.0]]], tf.bfloat16)
    factors = tf.constant([1 / 128 + 1, 1.0]) / 2
    (found,), _ = ws.weighted_sums(factors, tf.bfloat16).layer(delta, [inputs])
    assert found.numpy().tolist() == [[1.5]]


@pytest.mark.parametrize("vocab", [7, 300])
@pytest.mark.parametrize("kind", [tf.bfloat16, tf.float32])
def test_sums_by_token(vocab, kind):
    tokens = tf.constant(np.random.default_rng(3).integers(0, vocab, (8, 5)), tf.int32)
    x, factors = tf.cast(_short(8, 5, 6), kind), _factors(5)
    wanted = np.zeros((vocab, 6))
    np.add.at(wanted, tokens.numpy(), _wide(factors)[:, None] * _wide(x))
    found = ws.weighted_sums(factors, kind).sum_by_token(tokens, x, vocab)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


_HASHED = """
import sys, hashlib
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
from linesmith.model.privacy.dp_sgd import weighted_sums as ws
normal = lambda *shape, seed: tf.cast(tf.random.stateless_normal(shape, [1, seed]), tf.bfloat16)
factors = ws.cut(tf.random.stateless_uniform([64], [1, 9]))
sums = ws.weighted_sums(factors, tf.bfloat16)
found, bias = sums.layer(normal(100, 64, 512, seed=3), [normal(100, 64, 128, seed=1)], normal(100, 64, 128, seed=2))
print(hashlib.sha256(b"".join(x.numpy().tobytes() for x in [*found, bias])).hexdigest())
"""


def test_sums_do_not_depend_on_the_number_of_threads():
    """XLA shares a product out among threads; what each adds up must be the same."""
    found = {
        subprocess.run([sys.executable, "-c", _HASHED, threads], capture_output=True, text=True, check=True).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1
