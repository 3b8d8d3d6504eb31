"""DP-SGD at the price of SGD: the sum of per-record clipped gradients from one forward and one backward pass.

Book-keeping (Bu et al. 2023, arXiv 2210.00038): the backward pass keeps every layer's δ; per-record norms over all
parameters follow in closed form (`gradient_norms`); each record's clip factor multiplies its δ, and the summed
gradient of a weight is then one matmul over the batch, as in plain training. No tensor holds a gradient a record.

Guarantee. A record's contribution depends on that record, its dropout mask and the weights only: its loss is the sum over
its own tokens divided by the public `seq_length`, no operation mixes rows of a batch, and the state before its first token
is zero. Its norm over all parameters is at most `clip`: norm and sum are made of the same operands, in float32 or as
exactly (`clip_factors`, `weighted_sums`). So adding or removing a record moves the sum by at most `clip`. A
record whose gradient is not finite contributes exactly zero; so do rows of padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from linesmith.model.privacy.dp_sgd.batch_clipping import GradientOperands, norms_and_factors
from linesmith.model.privacy.dp_sgd.weighted_sums import weighted_sums
from linesmith.model.training.backpropagation import forward_backward, looks_up, split_in_halves
from linesmith.model.training.lstm import project, transposed

Tensor = Any

CLIP_MARGIN = 1e-3  # clipped to (1 - CLIP_MARGIN) of the norm that is claimed: rounding of norm and sum stays below it


class ClippedSum(NamedTuple):
    """Sum of clipped gradients, and counts that depend on single records: not to be released without noise.

    Attributes:
        gradients: in the order of the variables, each of its variable's shape.
        whole: records, padding apart, whose gradient was within the clipping norm.
        broken: records that were left out because their gradient was not finite.
        norms: gradient norm of each row before clipping, [B].
    """

    gradients: list[Tensor]
    whole: Tensor
    broken: Tensor
    norms: Tensor


def clipped_sum(
    variables: Sequence[Tensor],
    rows: dict[str, Tensor],
    masks_of: Callable[[int, Tensor], Sequence[Tensor | None]],
    *,
    clip: Tensor,
    seq_length: int,
    kind: tf.DType | None = None,
) -> ClippedSum:
    """Sum over records of their gradients, each scaled to a norm of at most `clip`.

    Args:
        variables: embedding, then kernel, recurrent kernel and bias of each LSTM, then kernel and bias of the dense
            layer: `LanguageModel.trainable_variables`.
        rows: inputs, targets [T, B] int32 and weights [T, B], 1 at a token to predict and 0 at padding; one record a
            row, from its first token on. A row without weight is padding.
        masks_of: from the number of a half and how many rows it has, what multiplies the output of each LSTM there,
            [T, rows, units]; None for no dropout.
        clip: C, the norm that is claimed.
        seq_length: public divisor of a record's loss.
        kind: type of the products of the forward and backward pass, and of what norms and sums are made of; None: the
            variables'. Norms and sums themselves are float32.

    Returns:
        The sum and its counts. Padding changes neither.
    """
    variables = [tf.convert_to_tensor(variable) for variable in variables]
    kind = variables[0].dtype if kind is None else kind
    found = []
    for number, part in enumerate(split_in_halves(list(rows.values()))):
        half = dict(zip(rows, part, strict=True))
        masks = masks_of(number, tf.shape(half["inputs"])[1])
        found.append(_clipped_half(variables, half, masks, clip, seq_length, kind))
    first, second = found
    return ClippedSum(
        gradients=[one + other for one, other in zip(first.gradients, second.gradients, strict=True)],
        whole=first.whole + second.whole,
        broken=first.broken + second.broken,
        norms=tf.concat([first.norms, second.norms], axis=0)[: tf.shape(rows["inputs"])[1]],
    )


def _clipped_half(
    variables: Sequence[Tensor],
    rows: dict[str, Tensor],
    masks: Sequence[Tensor | None],
    clip: Tensor,
    seq_length: int,
    kind: tf.DType,
) -> ClippedSum:
    trace = forward_backward(variables, rows, masks, kind, tf.constant(1 / seq_length, variables[0].dtype))
    deltas = [*trace.deltas, tf.cast(trace.logits_delta, kind)]
    table, kernel = (tf.cast(variable, kind) for variable in variables[:2])
    operands = GradientOperands(table, kernel, trace.inputs, trace.hidden, deltas)
    bound = tf.cast(clip, variables[0].dtype)
    squared, factors = norms_and_factors(rows["inputs"], operands, bound * (1 - CLIP_MARGIN))
    finite, norms = tf.math.is_finite(squared), tf.sqrt(squared)
    # 0 · NaN is not 0: where a record is broken, its numbers are replaced before they meet a matmul.
    operands = tf.cond(tf.reduce_all(finite), lambda: operands, lambda: _without(operands, finite))
    real = tf.reduce_any(rows["weights"] > 0, axis=0)
    return ClippedSum(
        gradients=_summed(rows["inputs"], operands, factors),
        whole=tf.reduce_sum(tf.cast(real & finite & (norms <= bound), tf.int32)),
        broken=tf.reduce_sum(tf.cast(real & ~finite, tf.int32)),
        norms=norms,
    )


def _without(operands: GradientOperands, finite: Tensor) -> GradientOperands:
    """The operands with zeros in the place of broken records."""
    inputs, hidden, deltas = tf.nest.map_structure(
        lambda x: tf.where(finite[None, :, None], x, tf.zeros_like(x)),
        (operands.inputs, operands.hidden, operands.deltas),
    )
    return operands._replace(inputs=inputs, hidden=hidden, deltas=deltas)


def _summed(tokens: Tensor, operands: GradientOperands, factors: Tensor) -> list[Tensor]:
    """The summed gradient of every variable: one matmul a weight, over all records and steps."""
    kernel = tf.cast(operands.kernel, factors.dtype)
    # A row that is not finite belongs to broken records alone, whose δ is zero here; and 0 · NaN is not 0.
    table = tf.where(tf.math.is_finite(operands.table), operands.table, tf.zeros_like(operands.table))
    sums = weighted_sums(factors, table.dtype)
    first = operands.deltas[0]
    vocab_size = table.shape[0]
    if looks_up(table):
        of_delta = sums.sum_by_token(tokens, first, vocab_size)
        gradients = [
            tf.matmul(of_delta, kernel, transpose_b=True),
            tf.matmul(tf.cast(table, kernel.dtype), of_delta, transpose_a=True),
        ]
        inputs = []
    else:
        dx = project(tf.cast(first, kernel.dtype), transposed(kernel), tf.zeros([], kernel.dtype))
        gradients = [sums.sum_by_token(tokens, dx, vocab_size)]
        inputs = [tf.gather(table, tokens)]
    for number, (hs, delta) in enumerate(zip(operands.hidden, operands.deltas, strict=False)):
        if number > 0:
            inputs = [operands.inputs[number - 1]]
        # The state before the first step is zero, so that step adds nothing to the recurrent weights' gradient.
        weights, bias = sums.layer(delta, inputs, hs)
        gradients += [*weights, bias]
    weights, bias = sums.layer(operands.deltas[-1], [operands.inputs[-1]])
    return [*gradients, *weights, bias]
