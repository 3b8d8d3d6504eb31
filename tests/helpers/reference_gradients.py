"""Reference for per-record gradients: one record at a time through a plain LSTM and a GradientTape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from linesmith.model.fields.inputs import input_rows
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.training.halves import split_in_halves


def network(vocab=7, width=6, units=5, layers=2, dtype=tf.float64, scale=0.6, seed=0, table_rows=None):
    """Return random weights in the order of `LanguageModel.trainable_variables`; `table_rows` where the network knows fields."""
    shapes = [(vocab if table_rows is None else table_rows, width)]
    for layer in range(layers):
        shapes += [(width if layer == 0 else units, 4 * units), (units, 4 * units), (4 * units,)]
    shapes += [(units, vocab), (vocab,)]
    random = np.random.default_rng(seed)
    return [tf.constant(scale * random.normal(size=shape), dtype) for shape in shapes]


def padded(
    records: Sequence[Sequence[int]],
    seq_length: int,
    extra_rows: int = 0,
    extra_steps: int = 0,
    layout: FieldLayout | None = None,
):
    """Return a batch of records `<n> … <n>`, time first, cut at `seq_length`, with padding rows and steps."""
    ids_of_records = [[0, *record, 0][: seq_length + 1] for record in records]
    shape = (max(len(ids) for ids in ids_of_records) - 1 + extra_steps, len(ids_of_records) + extra_rows)
    inputs, targets, weights = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for row, ids in enumerate(ids_of_records):
        end = len(ids) - 1
        inputs[:end, row], targets[:end, row], weights[:end, row] = ids[:-1], ids[1:], 1
    batch = {"inputs": tf.constant(inputs), "targets": tf.constant(targets), "weights": tf.constant(weights)}
    if layout is not None:
        batch["rows"] = tf.constant(np.where(weights[:, :, None] > 0, input_rows(inputs, layout), 0))
    return batch


def masks_from(masks):
    """Return the masks_of argument of `clipped_sum` that gives these masks of a batch, [T, B, units] or None for each LSTM."""
    halves = split_in_halves(masks)
    return lambda half, count: halves[half]


def _lstm(x, kernel, recurrent, bias):
    """Compute the hidden states [T, u] of inputs [T, d], one step after the other."""
    units = recurrent.shape[0]
    h = c = tf.zeros([1, units], x.dtype)
    states = []
    for t in range(x.shape[0]):
        i, f, g, o = tf.split(x[t : t + 1] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        states.append(h[0])
    return tf.stack(states)


def record_gradient(variables, batch, masks, row: int, seq_length: int):
    """Compute the gradient of one record's loss: the sum over its own tokens, divided by `seq_length`."""
    steps = int(tf.reduce_sum(batch["weights"][:, row]))
    with tf.GradientTape() as tape:
        tape.watch(variables)
        embedding, *recurrent, dense, bias = variables
        rows = batch["rows"][:steps, row] if "rows" in batch else batch["inputs"][:steps, row, None]
        x = tf.stack([tf.add_n([embedding[number] for number in step]) for step in rows.numpy()])
        for layer, mask in enumerate(masks):
            x = _lstm(x, *recurrent[3 * layer : 3 * layer + 3])
            x = x if mask is None else x * mask[:steps, row]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch["targets"][:steps, row], x @ dense + bias)
        loss = tf.reduce_sum(losses) / seq_length
    return [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]


def norm(gradients) -> float:
    """Compute the norm over all parameters, in float64."""
    return float(np.sqrt(sum(np.sum(np.asarray(g, np.float64) ** 2) for g in gradients)))


def distance(one, other) -> float:
    """Compute the norm of the difference of two gradients."""
    return norm([np.asarray(a, np.float64) - np.asarray(b, np.float64) for a, b in zip(one, other, strict=True)])
