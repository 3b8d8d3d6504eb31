"""Compute the squared gradient norm and the clip factor of every record in a batch, by XLA, a few records at a time."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from linesmith.model.privacy.dp_sgd.clip_factors import clip_factors
from linesmith.model.privacy.dp_sgd.gradient_norms import LayerOperands, affine_norms, embedding_norms
from linesmith.model.tf_function import once
from linesmith.model.training.backpropagation import looks_up

Tensor = Any

TOKENS_PER_GROUP = 1_600  # tokens whose norms are taken at a time: δ of a layer of 256 units is then 6.5 MB


class GradientOperands(NamedTuple):
    """What norms and gradients are made of, time first, in the products' type.

    Norms and sums are computed in float32 or as exactly, and of the same numbers.

    Attributes:
        table: embedding, [vocab, d]; what the first LSTM's kernel is multiplied with is looked up in it where it is needed.
        kernel: the first LSTM's, [d, 4 units], which δ goes back through to the embedding.
        inputs: what the kernels above that one, the dense layer's last, are multiplied with, [T, B, units].
        hidden: hidden states of each LSTM, [T, B, units].
        deltas: gradient of each LSTM's gates before activation, then of the logits, [T, B, k].
    """

    table: Tensor
    kernel: Tensor
    inputs: list[Tensor]
    hidden: list[Tensor]
    deltas: list[Tensor]


def norms_and_factors(tokens: Tensor, operands: GradientOperands, limit: Tensor) -> tuple[Tensor, Tensor]:
    """Squared gradient norm of each record, and what to multiply the gradient with.

    Args:
        tokens: ids, [T, B] int32.
        operands: what norms and gradients are made of.
        limit: of a norm, after clipping.

    Returns:
        Both [B], as `linesmith.model.privacy.dp_sgd.clip_factors.clip_factors` gives them.
    """
    back = tf.transpose(operands.kernel)
    steps, count = tf.shape(tokens)[0], tf.shape(tokens)[1]
    size = tf.maximum(1, TOKENS_PER_GROUP // steps)

    def some(start: Tensor) -> Tensor:
        rows = tf.range(start, tf.minimum(start + size, count))
        where = rows[:, None] + count * tf.range(steps)
        # Whole vectors are fetched: faster than a slice and a transpose.
        batch_first = once(lambda x: tf.gather(tf.reshape(x, [-1, x.shape[2]]), where))
        ids = tf.gather(tf.reshape(tokens, [-1]), where)
        inputs = [tf.gather(operands.table, ids), *map(batch_first, operands.inputs)]
        states = [*map(batch_first, operands.hidden), None]  # the dense layer has none
        layers = list(map(LayerOperands, inputs, states, map(batch_first, operands.deltas)))
        layers[0] = layers[0]._replace(looked_up=looks_up(operands.table))
        of_table = embedding_norms(ids, layers[0].delta, back)
        clipped = partial(clip_factors, others=of_table, limit=limit, kind=operands.table.dtype)
        return tf.stack(affine_norms(layers, clipped), axis=1)

    parts = tf.TensorArray(limit.dtype, (count + size - 1) // size, infer_shape=False, element_shape=[None, 2])
    _, parts = tf.while_loop(
        lambda i, _: i * size < count,
        lambda i, parts: (i + 1, parts.write(i, some(i * size))),
        (tf.constant(0), parts),
        parallel_iterations=1,
    )
    return tf.unstack(parts.concat(), axis=1)
