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

from model.dp_norms import affine_norms, embedding_norms
from model.lstm import backward, forward

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


class _Trace(NamedTuple):
    """What norms and gradients are made of, batch first.

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

    Returns:
        The sum and its counts. Padding changes neither.
    """
    variables = [tf.convert_to_tensor(variable) for variable in variables]
    trace = _trace(variables, rows, masks, seq_length)
    tokens = tf.transpose(rows["inputs"])
    squared = tf.add_n([affine_norms(a, delta) for a, delta in trace.layers])
    squared += embedding_norms(tokens, trace.embedding, variables[0].shape[0])
    finite = tf.math.is_finite(squared)
    norms = tf.sqrt(squared)
    bound = tf.cast(clip, norms.dtype)
    factors = tf.minimum(tf.ones_like(norms), tf.math.divide_no_nan(bound * (1 - MARGIN), norms))
    factors = tf.where(finite, tf.where(norms > 0, factors, tf.ones_like(norms)), tf.zeros_like(norms))
    # 0 · NaN is not 0: where a record is broken, its numbers are replaced before they meet a matmul.
    trace = tf.cond(tf.reduce_all(finite), lambda: trace, lambda: _without(trace, finite))
    real = tf.reduce_any(rows["weights"] > 0, axis=0)
    return ClippedSum(
        gradients=_summed(variables, trace, tokens, factors),
        whole=tf.reduce_sum(tf.cast(real & finite & (norms <= bound), tf.int32)),
        broken=tf.reduce_sum(tf.cast(real & ~finite, tf.int32)),
        norms=norms,
    )


def _trace(
    variables: Sequence[Tensor], rows: dict[str, Tensor], masks: Sequence[Tensor | None], seq_length: int
) -> _Trace:
    """One forward and one backward pass."""
    embedding, *recurrent, dense, dense_bias = variables
    cells = [recurrent[i : i + 3] for i in range(0, len(recurrent), 3)]
    x = tf.gather(embedding, rows["inputs"])
    kept = []
    for (kernel, inner, bias), mask in zip(cells, masks, strict=True):
        hs, gates, cs = forward(tf.tensordot(x, kernel, 1) + bias, inner)
        kept.append((x, hs, gates, cs))
        x = hs if mask is None else hs * mask
    logits = tf.tensordot(x, dense, 1) + dense_bias
    wanted = tf.one_hot(rows["targets"], dense.shape[1], dtype=logits.dtype)
    weights = tf.cast(rows["weights"], logits.dtype) / seq_length
    delta = (tf.nn.softmax(logits) - wanted) * weights[:, :, None]
    layers = [(_batch_first(x), _batch_first(delta))]
    dx = tf.tensordot(delta, tf.transpose(dense), 1)
    for (kernel, inner, _), mask, (x, hs, gates, cs) in reversed(list(zip(cells, masks, kept, strict=True))):
        delta = backward(dx if mask is None else dx * mask, inner, gates, cs)
        previous = tf.concat([tf.zeros_like(hs[:1]), hs[:-1]], axis=0)
        layers.append((_batch_first(tf.concat([x, previous], axis=2)), _batch_first(delta)))
        dx = tf.tensordot(delta, tf.transpose(kernel), 1)
    return _Trace(layers[::-1], _batch_first(dx))


def _batch_first(tensor: Tensor) -> Tensor:
    return tf.transpose(tensor, [1, 0, 2])


def _without(trace: _Trace, finite: Tensor) -> _Trace:
    """The trace with zeros in the place of broken records."""

    def clean(tensor: Tensor) -> Tensor:
        return tf.where(finite[:, None, None], tensor, tf.zeros_like(tensor))

    return _Trace([(clean(a), clean(delta)) for a, delta in trace.layers], clean(trace.embedding))


def _summed(variables: Sequence[Tensor], trace: _Trace, tokens: Tensor, factors: Tensor) -> list[Tensor]:
    """The summed gradient of every variable: one matmul a weight, over all records and steps."""
    scale = factors[:, None, None]
    table = variables[0]
    scaled = tf.reshape(trace.embedding * scale, [-1, table.shape[1]])
    gradients = [tf.math.unsorted_segment_sum(scaled, tf.reshape(tokens, [-1]), table.shape[0])]
    # The factor of each record at each of its steps: as a row, it sums δ over both in one product.
    row = tf.reshape(tf.ones_like(tokens, scale.dtype) * factors[:, None], [1, -1])
    for a, delta in trace.layers:
        # Scaling the narrower operand is scaling δ: (f·a)ᵀδ = aᵀ(f·δ).
        narrow = tf.reshape(a * scale, [-1, a.shape[2]])
        flat = tf.reshape(delta, [-1, delta.shape[2]])
        weight = tf.matmul(narrow, flat, transpose_a=True)
        inputs = variables[len(gradients)].shape[0]
        # An LSTM's rows are its kernel's, then its recurrent kernel's; a dense layer's are all its kernel's.
        gradients += [weight] if a.shape[2] == inputs else [weight[:inputs], weight[inputs:]]
        gradients.append(tf.matmul(row, flat)[0])
    return gradients
