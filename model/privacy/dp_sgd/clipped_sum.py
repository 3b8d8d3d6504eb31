"""DP-SGD at the price of SGD: the sum of per-record clipped gradients from one forward and one backward pass.

Method. The backward pass keeps δ of every layer; per-record norms over all parameters follow in closed form
(`gradient_norms`); each record's clip factor then scales one operand, and the summed gradient of a weight is one product over
the batch, as in plain training. No tensor holds a gradient per record, and there is no second backward pass: ghost clipping
(Li et al. 2022, arXiv 2110.05679) with book-keeping (Bu et al. 2023, arXiv 2210.00038).

Guarantee. A record's contribution depends on that record, its dropout mask and the weights only: its loss is the sum over
its own tokens divided by the public `seq_length`, no operation mixes rows of a batch, and the state before its first token
is zero. The norm of its contribution over all parameters is at most `clip`: norm and sum are computed of the same operands,
in float32 or exactly (`clip_factors`, `weighted_sums`). So adding or removing a record moves the sum by at most `clip`. A
record whose gradient is not finite contributes exactly zero; so do rows of padding.

This must hold to the last bit, since a recurrence can amplify a bit to anything. Numbers of steps depend on a record's own length
(`batches.padded_steps`), and only numbers of rows are used for which every record's operands, norm and factor were proven to have
the same bits in every row (`proven_rows`). What remains is the order in which the sum adds up the records: rounding of the sum
itself, which nothing amplifies, and which the margin below covers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from linesmith.model.privacy.dp_sgd.batch_clipping import GradientOperands, norms_and_factors
from linesmith.model.privacy.dp_sgd.weighted_sums import exact_products, make_weighted_sums
from linesmith.model.training.backpropagation import forward_backward, uses_projected_table
from linesmith.model.training.halves import split_in_halves
from linesmith.model.training.lstm import materialized_transpose

# Gradients are clipped to (1 − CLIP_MARGIN) times the claimed norm; the rounding errors of norm and sum stay below the rest.
CLIP_MARGIN = 1e-3


class ClippedSum(NamedTuple):
    """Sum of clipped gradients, and counts that depend on single records; not to be released without noise.

    Attributes:
        gradients: in the order of the variables, each of its variable's shape.
        unclipped: number of records, padding apart, whose gradient was within the clipping norm.
        non_finite: number of records that were left out because their gradient was not finite.
        norms: gradient norm of each row before clipping, [B].
    """

    gradients: list[tf.Tensor]
    unclipped: tf.Tensor
    non_finite: tf.Tensor
    norms: tf.Tensor


def clipped_sum(
    variables: Sequence[tf.Tensor],
    batch: Mapping[str, tf.Tensor],
    masks_of: Callable[[int, tf.Tensor], Sequence[tf.Tensor | None]],
    *,
    clip: tf.Tensor | float,
    seq_length: int,
    dtype: tf.DType | None = None,
) -> ClippedSum:
    """Sum the gradients of records, each scaled to a norm of at most `clip` over all parameters.

    Args:
        variables: embedding, then kernel, recurrent kernel and bias of each LSTM, then kernel and bias of the dense
            layer: `LanguageModel.trainable_variables`.
        batch: inputs, targets [T, B] int32 and weights [T, B], 1 at a token to predict and 0 at padding; one record per
            row, from its first token on. A row without weight is padding. With rows [T, B, slots], the network is one that knows
            fields, and its slots share no rows of the table.
        masks_of: gives the dropout masks of a half, [T, rows, units] for each LSTM, from the half's index and its number of
            rows; None for no dropout.
        clip: clipping norm C that is claimed.
        seq_length: public divisor of a record's loss.
        dtype: type of the operands of the passes, norms and sums; None: that of the variables. Norms and sums themselves are
            float32 or wider.

    Returns:
        The sum and its counts. Padding changes neither.
    """
    variables = [tf.convert_to_tensor(variable) for variable in variables]
    dtype = variables[0].dtype if dtype is None else dtype
    found = []
    for index, part in enumerate(split_in_halves(list(batch.values()))):
        half = dict(zip(batch, part, strict=True))
        masks = masks_of(index, tf.shape(half["inputs"])[1])
        found.append(_clipped_half(variables, half, masks, clip, seq_length, dtype))
    first, second = found
    return ClippedSum(
        gradients=[one + other for one, other in zip(first.gradients, second.gradients, strict=True)],
        unclipped=first.unclipped + second.unclipped,
        non_finite=first.non_finite + second.non_finite,
        # Without the rows that the halves were padded with.
        norms=tf.concat([first.norms, second.norms], axis=0)[: tf.shape(batch["inputs"])[1]],
    )


def operands_and_factors(
    variables: Sequence[tf.Tensor],
    batch: Mapping[str, tf.Tensor],
    masks: Sequence[tf.Tensor | None],
    clip: tf.Tensor | float,
    seq_length: int,
    dtype: tf.DType,
) -> tuple[GradientOperands, tf.Tensor, tf.Tensor]:
    """Run both passes over a half of a batch, and compute the gradient norm and the clip factor of each record, [B] both.

    Everything about a record that goes into the sum is computed here. Arguments are those of `clipped_sum`, of one half.
    """
    loss_scale = tf.constant(1 / seq_length, variables[0].dtype)
    result = forward_backward(variables, batch, masks, dtype, loss_scale, row_invariant=True)
    deltas = [*result.deltas, tf.cast(result.logits_delta, dtype)]
    table, kernel = (tf.cast(variable, dtype) for variable in variables[:2])
    embedding_delta = exact_products(deltas[0], materialized_transpose(kernel))
    embedded = () if result.embedded is None else (result.embedded,)
    operands = GradientOperands(table, kernel, embedding_delta, result.inputs, result.hidden, deltas, embedded)
    max_norm = tf.cast(clip, variables[0].dtype) * (1 - CLIP_MARGIN)
    return operands, *norms_and_factors(batch.get("rows", batch["inputs"]), operands, max_norm)


def _clipped_half(
    variables: Sequence[tf.Tensor],
    batch: Mapping[str, tf.Tensor],
    masks: Sequence[tf.Tensor | None],
    clip: tf.Tensor | float,
    seq_length: int,
    dtype: tf.DType,
) -> ClippedSum:
    operands, norms, factors = operands_and_factors(variables, batch, masks, clip, seq_length, dtype)
    finite = tf.math.is_finite(norms)
    # A factor of 0 is not enough, since 0 · NaN is NaN: numbers of such a record are replaced before they meet a product.
    operands = tf.cond(tf.reduce_all(finite), lambda: operands, lambda: _zero_where_not(finite, operands))
    real = tf.reduce_any(batch["weights"] > 0, axis=0)
    return ClippedSum(
        gradients=_sum_gradients(batch.get("rows", batch["inputs"]), operands, factors),
        unclipped=tf.reduce_sum(tf.cast(real & finite & (norms <= tf.cast(clip, norms.dtype)), tf.int32)),
        non_finite=tf.reduce_sum(tf.cast(real & ~finite, tf.int32)),
        norms=norms,
    )


def _zero_where_not(finite: tf.Tensor, operands: GradientOperands) -> GradientOperands:
    """Return the operands with zeros for the records whose gradient is not finite."""
    of_records = ("embedding_delta", "inputs", "hidden", "deltas", "embedded")
    by_record = {name: getattr(operands, name) for name in of_records}
    finite = finite[None, :, None]
    return operands._replace(**tf.nest.map_structure(lambda x: tf.where(finite, x, tf.zeros_like(x)), by_record))


def _sum_gradients(tokens: tf.Tensor, operands: GradientOperands, factors: tf.Tensor) -> list[tf.Tensor]:
    """Compute the summed gradient of every variable, by one product per weight over all records and steps."""
    # A table row that is not finite belongs only to records whose δ is zero by now; as zeros it cannot make a NaN of 0 · NaN.
    table = tf.where(tf.math.is_finite(operands.table), operands.table, tf.zeros_like(operands.table))
    sums = make_weighted_sums(factors, table.dtype)
    first = operands.deltas[0]
    vocab_size = table.shape[0]  # or the number of the table's rows
    if operands.embedded:
        gradients = [sums.sum_by_row(tokens, operands.embedding_delta, vocab_size)]
        inputs = [*operands.embedded]
    elif uses_projected_table(table):
        # δ summed by token id serves both embedding and kernel, with products of vocabulary size.
        kernel = tf.cast(operands.kernel, factors.dtype)
        delta_by_token = sums.sum_by_token(tokens, first, vocab_size)
        gradients = [
            tf.matmul(delta_by_token, kernel, transpose_b=True),
            tf.matmul(tf.cast(table, kernel.dtype), delta_by_token, transpose_a=True),
        ]
        inputs = []
    else:
        gradients = [sums.sum_by_token(tokens, operands.embedding_delta, vocab_size)]
        inputs = [tf.gather(table, tokens)]
    # Not strict: the last δ is the dense layer's, which has no hidden states.
    for layer, (hidden, delta) in enumerate(zip(operands.hidden, operands.deltas, strict=False)):
        if layer > 0:
            inputs = [operands.inputs[layer - 1]]
        weights, bias = sums.layer_gradients(delta, inputs, hidden)
        gradients += [*weights, bias]
    weights, bias = sums.layer_gradients(operands.deltas[-1], [operands.inputs[-1]])
    return [*gradients, *weights, bias]
