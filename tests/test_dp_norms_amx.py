"""Clip factors by the matrix unit against XLA's, which tests of `dp_sgd` hold against one record at a time in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from model import dp_factors, dp_norms_amx
from model.dp_factors import Operands, norms_and_factors

needs_unit = pytest.mark.skipif(not dp_norms_amx.available(layers=3), reason="no AMX here, or no C compiler")


def _operands(steps, records, vocab, width, units, lstms, seed=0):
    """Random ones, ragged: every other record's δ ends earlier."""
    random = np.random.default_rng(seed)

    def some(*shape):
        return tf.cast(tf.constant(random.normal(size=shape), tf.float32), tf.bfloat16)

    real = np.ones((steps, records, 1))
    real[(steps + 1) // 2 :, ::2] = 0
    of_layers = [(steps, records, units)] * lstms
    return tf.constant(random.integers(0, vocab, (steps, records)), tf.int32), Operands(
        some(vocab, width),
        some(width, 4 * units),
        [some(*shape) for shape in of_layers],
        [some(*shape) for shape in of_layers],
        [tf.cast(real, tf.bfloat16) * some(steps, records, k) for k in [4 * units] * lstms + [vocab]],
    )


def _middle(tokens, operands):
    """A limit that half of the records are above."""
    squared, _ = dp_factors._in_groups(tokens, operands, tf.constant(1e9))
    return tf.constant(np.median(np.sqrt(squared)), tf.float32)


# Widths and lengths that fill tiles and that do not; a vocabulary that is looked up, and not.
SHAPES = [
    (100, 6, 64, 256, 256, 2),
    (1, 3, 30, 8, 16, 1),
    (33, 9, 300, 20, 12, 2),
    (65, 4, 40, 24, 8, 3),
    (5, 5, 7, 6, 5, 2),
]


@needs_unit
@pytest.mark.parametrize("shape", SHAPES)
def test_norms_and_factors_are_those_of_xla(shape):
    tokens, operands = _operands(*shape)
    limit = _middle(tokens, operands)
    squared, factors = dp_factors._in_groups(tokens, operands, limit)
    found = dp_norms_amx.clip_factors(
        tokens, *operands, limit=limit, looks_up=dp_factors.looks_up(operands.table)
    ).numpy()
    assert np.all(found[1] > 0)
    np.testing.assert_allclose(found[0], squared, rtol=2e-5)
    # A norm that differs in its last bit may be cut to the next eight bits.
    np.testing.assert_allclose(found[1], factors, rtol=1 / 64)
    assert np.mean(found[1] == factors.numpy()) > 0.5
    assert 0 < np.sum(found[1] < 1) < len(found[1])


@needs_unit
def test_what_takes_more_than_float32_is_left_to_xla():
    tokens, operands = _operands(*SHAPES[-1])
    tokens = tf.zeros_like(tokens)
    of_dense, of_logits = operands.inputs[-1].numpy(), operands.deltas[-1].numpy()
    # Record 1 cancels: equal inputs, δ of opposite signs; record 2 is not finite, record 3 is padding.
    of_dense[:, 1], of_logits[:, 1] = of_dense[:1, 1], 0
    of_logits[0, 1], of_logits[1, 1] = 1, -1
    of_logits[1, 2] = np.nan
    deltas = [delta.numpy() for delta in operands.deltas[:-1]] + [of_logits]
    for delta in deltas:
        delta[:, 3] = 0
    operands = operands._replace(
        inputs=[operands.inputs[0], tf.constant(of_dense)], deltas=[tf.constant(delta) for delta in deltas]
    )
    limit = tf.constant(2.0)
    found = dp_norms_amx.clip_factors(tokens, *operands, limit=limit, looks_up=True).numpy()
    assert (found[1] < 0).tolist() == [False, True, True, False, False]
    assert found[:, 3].tolist() == [0, 1]
    squared, factors = norms_and_factors(tokens, operands, limit)
    wanted, wanted_factors = dp_factors._in_groups(tokens, operands, limit)
    np.testing.assert_allclose(squared, wanted, rtol=2e-5)
    np.testing.assert_allclose(factors, wanted_factors, rtol=1 / 64)
    assert factors[2] == 0


@needs_unit
def test_a_record_that_rounding_makes_too_long_is_left_to_xla():
    """Records whose gradient is the last bit of their inputs, which a factor moves."""
    tokens, operands = _operands(2, 40, 7, 6, 5, 1)
    random = np.random.default_rng(4)
    size = random.uniform(1, 2, (1, 40, 5))
    inputs = tf.cast(np.concatenate([size, size * 1.1]), tf.bfloat16)
    of_logits = tf.cast(random.uniform(20, 30, (1, 40, 7)) * np.array([1, -1])[:, None, None], tf.bfloat16)
    operands = operands._replace(inputs=[inputs], deltas=[tf.zeros_like(operands.deltas[0]), of_logits])
    limit = tf.constant(3.0)
    found = dp_norms_amx.clip_factors(tokens, *operands, limit=limit, looks_up=True)[1].numpy()
    assert 0 < np.sum(found < 0) < 40
    _, factors = norms_and_factors(tokens, operands, limit)
    assert np.all(factors > 0)
    np.testing.assert_array_equal(factors.numpy()[found > 0], found[found > 0])


@needs_unit
def test_results_do_not_depend_on_how_records_are_shared_out(monkeypatch):
    tokens, operands = _operands(*SHAPES[2])
    arguments = {"limit": _middle(tokens, operands), "looks_up": False}
    one = dp_norms_amx.clip_factors(tokens, *operands, **arguments).numpy()
    monkeypatch.setattr(dp_norms_amx.os, "cpu_count", lambda: 8)
    np.testing.assert_array_equal(dp_norms_amx.clip_factors(tokens, *operands, **arguments), one)


@needs_unit
def test_tensorflow_finds_the_unit_as_it_left_it():
    tokens, operands = _operands(*SHAPES[0])
    left, right = operands.deltas[0][0], tf.transpose(operands.deltas[0][1])
    before = tf.matmul(left, right).numpy()
    for _ in range(20):
        dp_norms_amx.clip_factors(tokens, *operands, limit=tf.constant(1.0), looks_up=True)
        np.testing.assert_array_equal(tf.matmul(left, right), before)


@needs_unit
def test_long_rows_are_left_to_xla(monkeypatch):
    tokens, operands = _operands(*SHAPES[-1])
    limit = _middle(tokens, operands)
    monkeypatch.setattr(dp_norms_amx, "LONGEST", 4)
    monkeypatch.setattr(dp_norms_amx, "_clip", None)  # so that it would fail
    found = norms_and_factors(tokens, operands, limit)
    np.testing.assert_array_equal(found, dp_factors._in_groups(tokens, operands, limit))


@pytest.mark.parametrize("compiler", [None, "/bin/false", "/nowhere/cc"])
def test_without_a_compiler_xla_does_it_all(compiler, monkeypatch):
    monkeypatch.setattr(dp_norms_amx.shutil, "which", lambda name: compiler)
    dp_norms_amx.library.cache_clear()
    try:
        assert not dp_norms_amx.available(layers=3)
        tokens, operands = _operands(*SHAPES[-1])
        found = norms_and_factors(tokens, operands, tf.constant(1.0))
        np.testing.assert_array_equal(found, dp_factors._in_groups(tokens, operands, tf.constant(1.0)))
    finally:
        dp_norms_amx.library.cache_clear()


def test_networks_of_many_layers_are_left_to_xla():
    assert not dp_norms_amx.available(layers=17)
