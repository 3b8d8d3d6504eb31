"""The LSTM compared with that of Keras, and a batch compared with its records one at a time."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.training import batches as batching
from linesmith.model.training.language_model import LanguageModel, sum_token_losses
from linesmith.model.training.lstm import LSTM, keras_lstm, lstm
from tests.helpers.token_stores import random_records, store_of

pytestmark = pytest.mark.integration

T, B, D, U = 11, 5, 12, 20


def _gradients(function, sources):
    with tf.GradientTape() as tape:
        tape.watch(sources)
        loss = function()
    return [loss, *tape.gradient(loss, sources)]


@pytest.fixture(scope="module")
def layers():
    reference = keras.layers.LSTM(U, return_sequences=True)
    reference.build((B, T, D))
    ours = LSTM(U, seed=1)
    ours.build((T, B, D))
    reference.set_weights([w + 0.1 * np.random.default_rng(3).normal(size=w.shape) for w in reference.get_weights()])
    ours.set_weights(reference.get_weights())
    return reference, ours


def test_equals_keras_forward_and_gradient(layers):
    reference, ours = layers
    random = np.random.default_rng(0)
    x = tf.constant(random.normal(size=(B, T, D)), tf.float32)
    weigh = tf.constant(random.normal(size=(B, T, U)), tf.float32)
    expected = _gradients(
        lambda: tf.reduce_sum(reference(x) * weigh), [x, *[w.value for w in reference.trainable_weights]]
    )
    found = _gradients(
        lambda: tf.reduce_sum(tf.transpose(ours(tf.transpose(x, [1, 0, 2])), [1, 0, 2]) * weigh),
        [x, *[w.value for w in ours.trainable_weights]],
    )
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_a_batch_has_the_loss_of_its_records_one_by_one():
    """Padding adds nothing, and no record's state reaches another."""
    model = LanguageModel(9, embedding_dim=8, units=16, layers=2, seed=5)
    store = store_of(random_records(30, 9, 12))
    together, alone = np.zeros(3), np.zeros(3)
    batches = batching.EpochBatches(store, batch_size=7, seq_length=20, seed=1, epoch=0)
    for total, parts in ((together, batches), (alone, [[rank] for rank in range(len(store))])):
        for batch in parts:
            tensors = batching.make_batch(store, batch).to_tensors()
            total += [float(part) for part in sum_token_losses(model, tensors)]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert together[2] == store.tokens


def test_the_same_seed_gives_the_same_initial_weights():
    first, second, other = (LanguageModel(9, 8, 8, 1, seed=seed) for seed in (4, 4, 5))
    for one, two in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


def test_the_layer_for_gpus_equals_ours(layers):
    """`keras_lstm` is what a GPU runs; on a CPU it computes the same."""
    weights = [w.value for w in layers[1].trainable_weights]
    x = tf.constant(np.random.default_rng(1).normal(size=(T, B, D)), tf.float32)
    expected = _gradients(lambda: tf.reduce_sum(lstm(x, *weights) ** 2), [x, *weights])
    found = _gradients(lambda: tf.reduce_sum(keras_lstm(x, *weights) ** 2), [x, *weights])
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
