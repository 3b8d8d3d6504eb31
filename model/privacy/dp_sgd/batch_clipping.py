"""Compute the gradient norm and the clip factor of every record in a batch, a few records at a time."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import tensorflow as tf

from linesmith.model.privacy.dp_sgd.clip_factors import clip_factors
from linesmith.model.privacy.dp_sgd.gradient_norms import (
    GramNorms,
    LayerOperands,
    direct_is_cheaper,
    direct_norms,
    embedding_norms,
)
from linesmith.model.tf_function import cached_by_tensor
from linesmith.model.training.backpropagation import uses_projected_table

# Tokens whose norms are computed at a time: δ of a layer of 256 units is then 6.5 MB, which stays in a processor's cache.
TOKENS_PER_GROUP = 1_600


class GradientOperands(NamedTuple):
    """Operands of a batch's gradients, time first, in the products' type; norms and sums are computed of the same numbers.

    Attributes:
        table: embedding, [vocab, d]; the inputs of the first LSTM's kernel are looked up in it where they are needed.
        kernel: kernel of the first LSTM, [d, 4 units], through which δ goes back to the embedding.
        inputs: inputs of the kernels above that one, [T, B, units] each; the last is the dense layer's.
        hidden: hidden states of each LSTM, [T, B, units].
        deltas: loss gradient of each LSTM's gates before activation, then of the logits, [T, B, k].
    """

    table: tf.Tensor
    kernel: tf.Tensor
    inputs: list[tf.Tensor]
    hidden: list[tf.Tensor]
    deltas: list[tf.Tensor]


def norms_and_factors(
    tokens: tf.Tensor, operands: GradientOperands, max_norm: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute the squared gradient norm of each record over all parameters, and its clip factor.

    Args:
        tokens: ids, [T, B] int32.
        operands: of the same records.
        max_norm: bound of a gradient's norm after clipping.

    Returns:
        Both [B], as `clip_factors` returns them.
    """
    kernel_transposed = tf.transpose(operands.kernel)
    steps, count = tf.shape(tokens)[0], tf.shape(tokens)[1]
    # In groups, so that Gram matrices [B, T, T] stay small whatever the batch.
    size = tf.maximum(1, TOKENS_PER_GROUP // steps)

    def group(start: tf.Tensor) -> tf.Tensor:
        rows = tf.range(start, tf.minimum(start + size, count))
        return tf.stack(_rows_norms_and_factors(tokens, operands, kernel_transposed, max_norm, rows), axis=1)

    results = tf.TensorArray(max_norm.dtype, (count + size - 1) // size, infer_shape=False, element_shape=[None, 2])
    _, results = tf.while_loop(
        lambda i, _: i * size < count,
        lambda i, results: (i + 1, results.write(i, group(i * size))),
        (tf.constant(0), results),
        parallel_iterations=1,  # one group's Gram matrices in memory at a time
    )
    return tf.unstack(results.concat(), axis=1)


def _rows_norms_and_factors(
    tokens: tf.Tensor, operands: GradientOperands, kernel_transposed: tf.Tensor, max_norm: tf.Tensor, rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute `norms_and_factors` of some rows of the batch."""
    steps, count = tf.shape(tokens)[0], tf.shape(tokens)[1]
    # Norms want the record first. Gathering whole vectors of [T·B, k] is faster than a slice and a transpose.
    where = rows[:, None] + count * tf.range(steps)
    batch_first = cached_by_tensor(lambda x: tf.gather(tf.reshape(x, [-1, x.shape[2]]), where))
    ids = tf.gather(tf.reshape(tokens, [-1]), where)
    inputs = [tf.gather(operands.table, ids), *map(batch_first, operands.inputs)]
    states = [*map(batch_first, operands.hidden), None]  # the dense layer is not recurrent
    layers = list(map(LayerOperands, inputs, states, map(batch_first, operands.deltas)))
    layers[0] = layers[0]._replace(uses_projected_table=uses_projected_table(operands.table))
    clip = partial(
        clip_factors,
        other_squared_norms=embedding_norms(ids, layers[0].delta, kernel_transposed),
        max_norm=max_norm,
        dtype=operands.table.dtype,
    )
    return tf.cond(
        direct_is_cheaper(layers), lambda: clip(partial(direct_norms, layers)), lambda: clip(GramNorms(layers))
    )
