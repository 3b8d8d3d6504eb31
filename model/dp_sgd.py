"""DP-SGD at the price of SGD: the sum of per-record clipped gradients from one forward and one backward pass.

Book-keeping (Bu et al. 2023, arXiv 2210.00038): the backward pass keeps every layer's δ; per-record norms over all
parameters follow in closed form (`model.dp_norms`); each record's clip factor multiplies its δ, and the summed
gradient of a weight is then one matmul over the batch, as in plain training. No tensor holds a gradient a record.

Guarantee. A record's contribution depends on that record, its dropout mask and the weights only: its loss is the sum over
its own tokens divided by the public `seq_length`, no operation mixes rows of a batch, and the state before its first
token is zero. Its norm over all parameters is at most `clip`. So adding or removing a record moves the sum by at most
`clip`. A record whose gradient is not finite contributes exactly zero; so do rows of padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from model.backpropagation import Trace, in_halves, looks_up, pass_through
from model.dp_norms import affine_norms, embedding_norms
from model.lstm import project

Tensor = Any

MARGIN = 1e-3  # clipped to (1 - MARGIN) of the norm that is claimed: rounding of norm and sum stays below it


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


class _Operands(NamedTuple):
    """What norms and gradients are made of, batch first, float32: both must be made of the same numbers.

    `layers` holds (a, δ) of each LSTM and of the dense layer: inputs beside previous states, and the gradient of what
    they are multiplied into. `embedding` is the gradient of the looked-up vectors.
    """

    layers: list[tuple[Tensor, Tensor]]
    embedding: Tensor


def clipped_sum(
    variables: Sequence[Tensor],
    rows: dict[str, Tensor],
    masks: Sequence[Tensor | None],
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
        masks: for each LSTM what multiplies its output, [T, B, units]; None for no dropout.
        clip: C, the norm that is claimed.
        seq_length: public divisor of a record's loss.
        kind: type of the products of the forward and backward pass; None: the variables'. Norms and sums are float32.

    Returns:
        The sum and its counts. Padding changes neither.
    """
    variables = [tf.convert_to_tensor(variable) for variable in variables]
    kind = variables[0].dtype if kind is None else kind
    first, second = (
        _clipped_half(variables, dict(zip(rows, part, strict=False)), part[len(rows) :], clip, seq_length, kind)
        for part in in_halves([*rows.values(), *masks])
    )
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
    scale = tf.constant(1 / seq_length, variables[0].dtype)
    operands = _operands(variables, pass_through(variables, rows, masks, kind, scale), kind)
    tokens = tf.transpose(rows["inputs"])
    squared = tf.add_n([affine_norms(a, delta) for a, delta in operands.layers])
    squared += embedding_norms(tokens, operands.embedding, variables[0].shape[0])
    finite = tf.math.is_finite(squared)
    norms = tf.sqrt(squared)
    bound = tf.cast(clip, norms.dtype)
    factors = tf.minimum(tf.ones_like(norms), tf.math.divide_no_nan(bound * (1 - MARGIN), norms))
    factors = tf.where(finite, tf.where(norms > 0, factors, tf.ones_like(norms)), tf.zeros_like(norms))
    # 0 · NaN is not 0: where a record is broken, its numbers are replaced before they meet a matmul.
    operands = tf.cond(tf.reduce_all(finite), lambda: operands, lambda: _without(operands, finite))
    real = tf.reduce_any(rows["weights"] > 0, axis=0)
    return ClippedSum(
        gradients=_summed(variables, operands, tokens, factors),
        whole=tf.reduce_sum(tf.cast(real & finite & (norms <= bound), tf.int32)),
        broken=tf.reduce_sum(tf.cast(real & ~finite, tf.int32)),
        norms=norms,
    )


def _operands(variables: Sequence[Tensor], trace: Trace, kind: tf.DType) -> _Operands:
    wide = variables[0].dtype

    def ready(tensor: Tensor) -> Tensor:
        return tf.cast(tf.transpose(tensor, [1, 0, 2]), wide)

    # The first layer's own input is the embedding as it is, not its rounded product.
    below = [tf.gather(variables[0], tf.transpose(trace.tokens)), *map(ready, trace.inputs)]
    layers = []
    for x, hs, delta in zip(below, trace.hidden, trace.deltas, strict=False):
        previous = tf.pad(ready(hs[:-1]), [[0, 0], [1, 0], [0, 0]])
        layers.append((tf.concat([x, previous], axis=2), ready(delta)))
    layers.append((below[-1], tf.transpose(trace.logits_delta, [1, 0, 2])))
    dx = project(trace.deltas[0], tf.transpose(tf.cast(variables[1], kind)), tf.zeros([], kind))
    return _Operands(layers, ready(dx))


def _without(operands: _Operands, finite: Tensor) -> _Operands:
    """The operands with zeros in the place of broken records."""

    def clean(tensor: Tensor) -> Tensor:
        return tf.where(finite[:, None, None], tensor, tf.zeros_like(tensor))

    return _Operands([(clean(a), clean(delta)) for a, delta in operands.layers], clean(operands.embedding))


def _summed(variables: Sequence[Tensor], operands: _Operands, tokens: Tensor, factors: Tensor) -> list[Tensor]:
    """The summed gradient of every variable: one matmul a weight, over all records and steps."""
    scale = factors[:, None, None]
    table = variables[0]
    scaled = tf.reshape(operands.embedding * scale, [-1, table.shape[1]])
    gradients = [tf.math.unsorted_segment_sum(scaled, tf.reshape(tokens, [-1]), table.shape[0])]
    # The factor of each record at each of its steps: as a row, it sums δ over both in one product.
    row = tf.reshape(tf.ones_like(tokens, scale.dtype) * factors[:, None], [1, -1])
    for a, delta in operands.layers:
        inputs = variables[len(gradients)].shape[0]
        if len(gradients) == 1 and looks_up(table):
            gradients += _first_layer(table, tokens, a[:, :, inputs:], delta, scale)
            continue
        # Scaling the narrower operand is scaling δ: (f·a)ᵀδ = aᵀ(f·δ).
        flat = tf.reshape(delta, [-1, delta.shape[2]])
        weight = tf.matmul(tf.reshape(a * scale, [-1, a.shape[2]]), flat, transpose_a=True)
        # An LSTM's rows are its kernel's, then its recurrent kernel's; a dense layer's are all its kernel's.
        gradients += [weight] if a.shape[2] == inputs else [weight[:inputs], weight[inputs:]]
        gradients.append(tf.matmul(row, flat)[0])
    return gradients


def _first_layer(table: Tensor, tokens: Tensor, previous: Tensor, delta: Tensor, scale: Tensor) -> list[Tensor]:
    """Kernel, recurrent kernel and bias of the first LSTM: its input is a row of the table, so δ is summed by token id, and
    meets the table once instead of at every step."""
    a = tf.concat([tf.one_hot(tokens, table.shape[0], dtype=delta.dtype), previous], axis=2) * scale
    flat = tf.reshape(delta, [-1, delta.shape[2]])
    weight = tf.matmul(tf.reshape(a, [-1, a.shape[2]]), flat, transpose_a=True)
    by_token, inner = weight[: table.shape[0]], weight[table.shape[0] :]
    # A row that is not finite belongs to broken records alone, whose δ is zero here; and 0 · NaN is not 0.
    table = tf.where(tf.math.is_finite(table), table, tf.zeros_like(table))
    return [tf.matmul(table, by_token, transpose_a=True), inner, tf.reduce_sum(by_token, axis=0)]
