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
    row_norms,
)
from linesmith.model.tf_function import cached_by_tensor
from linesmith.model.training.backpropagation import uses_projected_table

# Tokens whose norms are computed at a time, at most: δ of a layer of 256 units is then 8 MB, which stays in a processor's cache.
TOKENS_PER_GROUP = 2_000
# Records whose norms are computed at a time. Divisors of 24, as the rows of a half are multiples of it: all groups of a batch are
# then of one shape, which depends on the number of steps only, and no norm depends on how many records there are.
_GROUP_SIZES = (24, 12, 8, 6, 4, 3, 2, 1)


class GradientOperands(NamedTuple):
    """Operands of a batch's gradients, time first, in the products' type; norms and sums are computed of the same numbers.

    Attributes:
        table: embedding, [vocab, d]; the inputs of the first LSTM's kernel are looked up in it where they are needed.
        kernel: kernel of the first LSTM, [d, 4 units], through which δ goes back to the embedding.
        embedding_delta: loss gradient of the embeddings, [T, B, d], float32 or wider.
        inputs: inputs of the kernels above that one, [T, B, units] each; the last is the dense layer's.
        hidden: hidden states of each LSTM, [T, B, units].
        deltas: loss gradient of each LSTM's gates before activation, then of the logits, [T, B, k].
        embedded: input of the first LSTM's kernel, [T, B, d], in a network that knows fields, where it is a sum of rows of the
            table; nothing in a plain one.
    """

    table: tf.Tensor
    kernel: tf.Tensor
    embedding_delta: tf.Tensor
    inputs: list[tf.Tensor]
    hidden: list[tf.Tensor]
    deltas: list[tf.Tensor]
    embedded: tuple[tf.Tensor, ...] = ()


def norms_and_factors(
    tokens: tf.Tensor, operands: GradientOperands, max_norm: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute the gradient norm of each record over all parameters, and its clip factor.

    Args:
        tokens: ids, [T, B] int32; in a network that knows fields, the rows of the table, [T, B, slots].
        operands: of the same records.
        max_norm: bound of a gradient's norm after clipping.

    Returns:
        Both [B], as `clip_factors` returns them.
    """
    steps, count = tf.shape(tokens)[0], tf.shape(tokens)[1]
    # In groups, so that Gram matrices [B, T, T] stay small whatever the batch.
    fitting = [tf.where(size * steps <= TOKENS_PER_GROUP, size, 1) for size in _GROUP_SIZES]
    size = tf.reduce_max(fitting)

    def group(start: tf.Tensor) -> tf.Tensor:
        rows = tf.range(start, tf.minimum(start + size, count))
        return tf.stack(_rows_norms_and_factors(tokens, operands, max_norm, rows), axis=1)

    results = tf.TensorArray(max_norm.dtype, (count + size - 1) // size, infer_shape=False, element_shape=[None, 2])
    _, results = tf.while_loop(
        lambda i, _: i * size < count,
        lambda i, results: (i + 1, results.write(i, group(i * size))),
        (tf.constant(0), results),
        parallel_iterations=1,  # one group's Gram matrices in memory at a time
    )
    return tf.unstack(results.concat(), axis=1)


def _rows_norms_and_factors(
    tokens: tf.Tensor, operands: GradientOperands, max_norm: tf.Tensor, rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute `norms_and_factors` of some rows of the batch."""
    steps, count = tf.shape(tokens)[0], tf.shape(tokens)[1]
    # Norms want the record first. Gathering whole vectors of [T·B, k] is faster than a slice and a transpose.
    where = rows[:, None] + count * tf.range(steps)
    batch_first = cached_by_tensor(lambda x: tf.gather(tf.reshape(x, [-1, x.shape[2]]), where))
    ids = tf.gather(tf.reshape(tokens, [-1, *tokens.shape[2:]]), where)
    embedding_delta, table_rows = batch_first(operands.embedding_delta), operands.table.shape[0]
    if operands.embedded:
        first, of_table = batch_first(operands.embedded[0]), row_norms(ids, embedding_delta, table_rows)
    else:
        first, of_table = tf.gather(operands.table, ids), embedding_norms(ids, embedding_delta, table_rows)
    inputs = [first, *map(batch_first, operands.inputs)]
    states = [*map(batch_first, operands.hidden), None]  # the dense layer is not recurrent
    layers = list(map(LayerOperands, inputs, states, map(batch_first, operands.deltas)))
    projected = not operands.embedded and uses_projected_table(operands.table)
    layers[0] = layers[0]._replace(uses_projected_table=projected)
    clip = partial(
        clip_factors,
        other_squared_norms=of_table,
        max_norm=max_norm,
        dtype=operands.table.dtype,
    )
    return tf.cond(
        direct_is_cheaper(layers), lambda: clip(partial(direct_norms, layers)), lambda: clip(GramNorms(layers))
    )
