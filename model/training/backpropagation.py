"""One forward and one backward pass through the language model, and the gradients that follow from what they leave.

Written out rather than left to a tape, because the parts are needed: δ of every layer gives each weight gradient in one
product over all steps (plain training), and each record's gradient norm without its gradient (`clipped_sum`).

Two halves of the rows are passed through the network side by side, without waiting for each other: the element-wise work
of one fills the cores that the products of the other leave idle. How rows are split depends on their number alone, so that
results do not depend on the number of cores.

A small vocabulary is looked up, not multiplied: the first layer sees `table[token]`, one product a token id and not a step,
and its kernel's gradient is formed from the sums of δ by token id. Same results, a quarter of the operations less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from linesmith.model.training.lstm import States, backward, forward, project, transposed, weight_gradient

Tensor = Any
NUM_HALVES = 2
GRID = 16  # rows are padded to a multiple of it: few shapes to compile for, and halves of equal size


class Trace(NamedTuple):
    """What the two passes over some rows leave; time first.

    Attributes:
        tokens: input ids, [T, B].
        inputs: what the kernels above the first LSTM's were multiplied with, [T, B, units]; the last is the dense layer's.
        hidden: hidden states of each LSTM, [T, B, units].
        deltas: loss gradient of each LSTM's gates before activation, [T, B, 4 units].
        logits_delta: loss gradient of the logits, [T, B, vocab], float32.
        loss, right: sums over the real tokens: nats, and right predictions.
    """

    tokens: Tensor
    inputs: list[Tensor]
    hidden: list[Tensor]
    deltas: list[Tensor]
    logits_delta: Tensor
    loss: Tensor
    right: Tensor


def lstm_weights(variables: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """Kernel, recurrent kernel and bias of each LSTM, from `LanguageModel.trainable_variables`."""
    recurrent = variables[1:-2]
    return [recurrent[i : i + 3] for i in range(0, len(recurrent), 3)]


def forward_backward(
    variables: Sequence[Tensor],
    rows: dict[str, Tensor],
    masks: Sequence[Tensor | None],
    kind: tf.DType,
    loss_scale: Tensor,
) -> Trace:
    """Forward and backward.

    Args:
        variables: embedding, then kernel, recurrent kernel and bias of each LSTM, then kernel and bias of the dense layer.
        rows: inputs, targets [T, B] int32 and weights [T, B], 1 at a token to predict and 0 at padding; one record a row.
        masks: for each LSTM what multiplies its output in dropout, [T, B, units]; None for no dropout.
        kind: type of the products.
        loss_scale: what multiplies the loss of every token, before gradients are taken.
    """
    done = _forward_pass(variables, rows["inputs"], masks, kind)
    wide = done.logits.dtype
    losses, slope = _cross_entropy(done.logits, rows["targets"])
    weights = tf.cast(rows["weights"], wide)
    logits_delta = slope * (weights * tf.cast(loss_scale, wide))[:, :, None]
    return Trace(
        tokens=rows["inputs"],
        inputs=done.inputs,
        hidden=[states.hs for states in done.states],
        deltas=_backward(variables, masks, done.states, tf.cast(logits_delta, kind), kind),
        logits_delta=logits_delta,
        loss=tf.reduce_sum(losses * weights),
        right=tf.reduce_sum(_right(done.logits, rows["targets"]) * weights),
    )


def sum_token_losses_on_cpu(
    variables: Sequence[Tensor], rows: dict[str, Tensor], kind: tf.DType
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss in nats, right predictions and tokens, summed over the real tokens; without dropout, and without a gradient."""
    loss = right = tf.zeros([])
    for part in split_in_halves(list(rows.values())):
        half = dict(zip(rows, part, strict=True))
        logits = _forward_pass(variables, half["inputs"], [None] * len(lstm_weights(variables)), kind).logits
        loss += tf.reduce_sum(_cross_entropy(logits, half["targets"])[0] * half["weights"])
        right += tf.reduce_sum(_right(logits, half["targets"]) * half["weights"])
    return loss, right, tf.reduce_sum(rows["weights"])


def summed_gradients(
    variables: Sequence[Tensor],
    rows: dict[str, Tensor],
    masks_of: Callable[[int, Tensor], Sequence[Tensor | None]],
    kind: tf.DType,
    loss_scale: Tensor,
) -> tuple[tuple[Tensor, Tensor, Tensor], list[Tensor]]:
    """A plain training step's loss and gradient.

    Args:
        variables, rows, kind, loss_scale: as `forward_backward` takes them.
        masks_of: dropout masks of a half, from its number and how many rows it has.

    Returns:
        (loss in nats before scaling, right predictions, tokens), summed over the real tokens; and the gradient of the
        scaled loss for every variable.
    """
    loss = right = tf.zeros([])
    total: list[Tensor] | None = None
    for number, part in enumerate(split_in_halves(list(rows.values()))):
        half = dict(zip(rows, part, strict=True))
        masks = masks_of(number, tf.shape(half["inputs"])[1])
        trace = forward_backward(variables, half, masks, kind, loss_scale)
        found = gradients(variables, trace, kind)
        total = found if total is None else [one + other for one, other in zip(total, found, strict=True)]
        loss, right = loss + trace.loss, right + trace.right
    return (loss, right, tf.reduce_sum(rows["weights"])), total or []


class _Forward(NamedTuple):
    inputs: list[Tensor]
    states: list[States]
    logits: Tensor


def _forward_pass(
    variables: Sequence[Tensor], tokens: Tensor, masks: Sequence[Tensor | None], kind: tf.DType
) -> _Forward:
    dense, dense_bias = variables[-2:]
    x, inputs, kept = None, [], []
    for (kernel, recurrent, bias), mask in zip(lstm_weights(variables), masks, strict=True):
        z = _looked_up(variables, tokens, kind) if x is None else _projected(x, kernel, bias, kind)
        states = forward(z, tf.shape(tokens)[0], tf.shape(tokens)[1], tf.cast(recurrent, kind))
        x = states.hs if mask is None else states.hs * tf.cast(mask, kind)
        inputs.append(x)
        kept.append(states)
    # A softmax needs more than the 8 bits of a bfloat16; what the product itself rounds away is small beside it.
    logits = tf.cast(project(x, tf.cast(dense, kind), tf.zeros([], kind)), _wide(kind)) + dense_bias
    return _Forward(inputs, kept, logits)


def _backward(variables: Sequence[Tensor], masks: Sequence, kept: list, delta: Tensor, kind: tf.DType) -> list[Tensor]:
    """δ of each LSTM, from that of the logits."""
    above, deltas = variables[-2], []
    for (kernel, recurrent, _), mask, states in reversed(list(zip(lstm_weights(variables), masks, kept, strict=True))):
        dhs = project(delta, transposed(tf.cast(above, kind)), tf.zeros([], kind))
        delta = backward(dhs if mask is None else dhs * tf.cast(mask, kind), tf.cast(recurrent, kind), states)
        deltas.append(delta)
        above = kernel
    return deltas[::-1]


def gradients(variables: Sequence[Tensor], trace: Trace, kind: tf.DType) -> list[Tensor]:
    """The gradient of every variable, one product over all rows and steps each."""
    embedding, kernel = variables[:2]
    first = trace.deltas[0]
    if looks_up(embedding):
        ids = tf.one_hot(trace.tokens, embedding.shape[0], dtype=kind)
        sums = tf.cast(weight_gradient(ids, first), embedding.dtype)  # of δ by token id, [vocab, 4 units]
        found = [tf.matmul(sums, kernel, transpose_b=True), tf.matmul(embedding, sums, transpose_a=True)]
    else:
        x = tf.cast(tf.gather(embedding, trace.tokens), kind)
        found = [_embedding_gradient(embedding, kernel, trace, kind), weight_gradient(x, first)]
    for number, (hs, delta) in enumerate(zip(trace.hidden, trace.deltas, strict=True)):
        if number > 0:
            found.append(weight_gradient(trace.inputs[number - 1], delta))
        # The state before the first step is zero, so that step adds nothing to the recurrent weights' gradient.
        found += [weight_gradient(hs[:-1], delta[1:]), _column_sums(delta)]
    found += [weight_gradient(trace.inputs[-1], tf.cast(trace.logits_delta, kind)), _column_sums(trace.logits_delta)]
    return [tf.cast(gradient, variable.dtype) for gradient, variable in zip(found, variables, strict=True)]


def split_in_halves(parts: Sequence[Tensor | None]) -> list[list[Tensor | None]]:
    """Tensors [T, B, …] padded with rows of zeros to the grid, as two halves of their rows; None stays None."""
    halves: list[list[Tensor | None]] = [[] for _ in range(NUM_HALVES)]
    for part in parts:
        if part is None:
            whole = [None] * NUM_HALVES
        else:
            extra = -tf.shape(part)[1] % GRID
            padded = tf.pad(part, [[0, 0], [0, extra], *[[0, 0]] * (len(part.shape) - 2)])
            whole = tf.split(padded, NUM_HALVES, axis=1)
        for half, piece in zip(halves, whole, strict=True):
            half.append(piece)
    return halves


def looks_up(embedding: Tensor) -> bool:
    """Whether a table of projected embeddings is cheaper than projecting every step."""
    return embedding.shape[0] <= 2 * embedding.shape[1]


def _looked_up(variables: Sequence[Tensor], tokens: Tensor, kind: tf.DType) -> Callable[[Tensor], Tensor]:
    embedding, kernel, _, bias = variables[:4]
    if looks_up(embedding):
        table = tf.cast(tf.matmul(embedding, kernel) + bias, kind)
        return lambda t: tf.gather(table, tokens[t])
    return _projected(tf.cast(tf.gather(embedding, tokens), kind), kernel, bias, kind)


def _projected(x: Tensor, kernel: Tensor, bias: Tensor, kind: tf.DType) -> Callable[[Tensor], Tensor]:
    z = project(x, tf.cast(kernel, kind), tf.cast(bias, kind))
    return lambda t: z[t]


def _embedding_gradient(embedding: Tensor, kernel: Tensor, trace: Trace, kind: tf.DType) -> Tensor:
    dx = project(trace.deltas[0], transposed(tf.cast(kernel, kind)), tf.zeros([], kind))
    flat = tf.reshape(tf.cast(dx, embedding.dtype), [-1, embedding.shape[1]])
    return tf.math.unsorted_segment_sum(flat, tf.reshape(trace.tokens, [-1]), embedding.shape[0])


def _cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of every token and its gradient with respect to the logits, in one pass."""
    flat = tf.reshape(logits, [-1, logits.shape[2]])
    losses, slope = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=flat, labels=tf.reshape(targets, [-1]))
    return tf.reshape(losses, tf.shape(targets)), tf.reshape(slope, tf.shape(logits))


def _right(logits: Tensor, targets: Tensor) -> Tensor:
    """1 where the target has the largest logit, [T, B]."""
    of_target = tf.gather(logits, targets, axis=2, batch_dims=2)
    return tf.cast(of_target >= tf.reduce_max(logits, axis=2), logits.dtype)


def _column_sums(delta: Tensor) -> Tensor:
    """Sum over rows and steps, [k]; as a product, which adds in float32 whatever the type."""
    ones = tf.ones([1, tf.shape(delta)[0] * tf.shape(delta)[1]], delta.dtype)
    return tf.matmul(ones, tf.reshape(delta, [-1, delta.shape[2]]))[0]


def _wide(kind: tf.DType) -> tf.DType:
    return tf.float64 if kind == tf.float64 else tf.float32
