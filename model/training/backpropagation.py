"""One forward and one backward pass through the language model on a CPU, and the gradients that follow from what they leave.

Written out rather than left to a tape, because the parts are needed. From δ of every layer, plain training gets each weight
gradient as one product over all steps, and private training gets each record's gradient norm without the gradient itself
(`linesmith.model.privacy.dp_sgd.clipped_sum`).

Two halves of a batch's rows pass through the network side by side (`linesmith.model.training.halves`).

With a small vocabulary, the projected embedding is looked up and not multiplied: the first layer sees `table[token]`, which
takes one product per token id and not per step, and the gradient of its kernel is formed from sums of δ by token id. The
results are the same, with a quarter fewer operations.

A `batch` here is what `linesmith.model.training.batches.Batch.to_tensors` returns: `inputs` and `targets` [T, B] int32 and
`weights` [T, B], 1 at a token to predict and 0 at padding, with one record per row. With `rows` [T, B, slots] in it, the network
is one that knows fields: its input is the sum of these rows of the table (`linesmith.model.fields.layout`), which are never
projected by a table of their own here, since there are many more of them than tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from linesmith.model.fields.embedding import summed_rows, table_gradient
from linesmith.model.training.cross_entropy import cross_entropy, is_correct
from linesmith.model.training.halves import batch_halves
from linesmith.model.training.lstm import (
    LSTMStates,
    at_least_float32,
    lstm_backward,
    lstm_forward,
    materialized_transpose,
    project,
    weight_gradient,
)

# Sums over the tokens to predict: loss in nats, correct predictions, number of tokens.
TokenSums = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class BackpropagationResult(NamedTuple):
    """What the two passes over some rows leave; time first.

    Attributes:
        tokens: input ids, [T, B].
        rows: rows of the table whose sum is the input, [T, B, slots]; None in a plain network.
        embedded: that sum after dropout, in the products' type, [T, B, d]; None in a plain network.
        input_mask: dropout mask of that sum; None for no dropout.
        inputs: inputs of the kernels above the first LSTM's, [T, B, units] each; the last is the dense layer's.
        hidden: hidden states of each LSTM, [T, B, units].
        deltas: loss gradient of each LSTM's gates before activation, [T, B, 4 units].
        logits_delta: loss gradient of the logits, [T, B, vocab], float32 or wider.
        loss: sum over the tokens to predict, in nats, not scaled.
        correct: number of tokens predicted correctly.
    """

    tokens: tf.Tensor
    rows: tf.Tensor | None
    embedded: tf.Tensor | None
    input_mask: tf.Tensor | None
    inputs: list[tf.Tensor]
    hidden: list[tf.Tensor]
    deltas: list[tf.Tensor]
    logits_delta: tf.Tensor
    loss: tf.Tensor
    correct: tf.Tensor


def lstm_weights(variables: Sequence[tf.Tensor]) -> list[Sequence[tf.Tensor]]:
    """Return kernel, recurrent kernel and bias of each LSTM, from `LanguageModel.trainable_variables`."""
    recurrent = variables[1:-2]
    return [recurrent[i : i + 3] for i in range(0, len(recurrent), 3)]


def forward_backward(
    variables: Sequence[tf.Tensor],
    batch: Mapping[str, tf.Tensor],
    masks: Sequence[tf.Tensor | None],
    dtype: tf.DType,
    loss_scale: tf.Tensor,
    *,
    row_invariant: bool = False,
) -> BackpropagationResult:
    """Run both passes over the rows of a batch. No operation mixes rows.

    Args:
        variables: embedding or table, kernel, recurrent kernel and bias of each LSTM, then kernel and bias of the dense layer.
        batch: inputs, targets and weights, as in the module's description.
        masks: dropout mask of each LSTM's output, [T, B, units]; None for no dropout. In a network that knows fields, one more
            may come before them: of its input, [T, B, d].
        dtype: type of the operands of products.
        loss_scale: multiplies the loss of every token before gradients are taken.
        row_invariant: whether the losses of a row have the same bits in every row, whatever the vocabulary.
    """
    input_mask, masks = split_masks(masks, len(lstm_weights(variables)))
    activations = _forward_pass(variables, batch, [input_mask, *masks], dtype)
    wide = activations.logits.dtype
    losses, slopes = cross_entropy(activations.logits, batch["targets"], row_invariant=row_invariant)
    weights = tf.cast(batch["weights"], wide)
    logits_delta = slopes * (weights * tf.cast(loss_scale, wide))[:, :, None]
    return BackpropagationResult(
        tokens=batch["inputs"],
        rows=batch.get("rows"),
        embedded=activations.embedded,
        input_mask=input_mask,
        inputs=activations.inputs,
        hidden=[states.hidden for states in activations.states],
        deltas=_backward_pass(variables, masks, activations.states, tf.cast(logits_delta, dtype), dtype),
        logits_delta=logits_delta,
        loss=tf.reduce_sum(losses * weights),
        correct=tf.reduce_sum(is_correct(activations.logits, batch["targets"]) * weights),
    )


def sum_token_losses_on_cpu(
    variables: Sequence[tf.Tensor], batch: Mapping[str, tf.Tensor], dtype: tf.DType
) -> TokenSums:
    """Compute loss, correct predictions and tokens of a batch, without dropout and without a gradient.

    Args:
        variables: as for `forward_backward`.
        batch: as for `forward_backward`.
        dtype: type of the operands of products.
    """
    loss = correct = tf.zeros([])
    no_masks = [None] * len(lstm_weights(variables))
    for half in batch_halves(batch):
        logits = _forward_pass(variables, half, no_masks, dtype).logits
        loss += tf.reduce_sum(cross_entropy(logits, half["targets"])[0] * half["weights"])
        correct += tf.reduce_sum(is_correct(logits, half["targets"]) * half["weights"])
    return loss, correct, tf.reduce_sum(batch["weights"])


def token_losses(variables: Sequence[tf.Tensor], batch: Mapping[str, tf.Tensor], dtype: tf.DType) -> tf.Tensor:
    """Compute the loss of each token to predict in nats, without dropout, [T, B]; 0 at padding.

    No operation mixes rows, and losses are row-invariant as in `forward_backward`.

    Args:
        variables: as for `forward_backward`.
        batch: as for `forward_backward`.
        dtype: type of the operands of products.
    """
    no_masks = [None] * len(lstm_weights(variables))
    found = []
    for half in batch_halves(batch):
        logits = _forward_pass(variables, half, no_masks, dtype).logits
        found.append(cross_entropy(logits, half["targets"], row_invariant=True)[0] * half["weights"])
    return tf.concat(found, axis=1)[:, : tf.shape(batch["inputs"])[1]]


def summed_gradients(
    variables: Sequence[tf.Tensor],
    batch: Mapping[str, tf.Tensor],
    masks_of: Callable[[int, tf.Tensor], Sequence[tf.Tensor | None]],
    dtype: tf.DType,
    loss_scale: tf.Tensor,
) -> tuple[TokenSums, list[tf.Tensor]]:
    """Compute loss and gradient of a plain training step.

    Args:
        variables: as for `forward_backward`.
        batch: as for `forward_backward`.
        masks_of: gives the dropout masks of a half, from the half's index and its number of rows.
        dtype: type of the operands of products.
        loss_scale: as for `forward_backward`.

    Returns:
        Loss before scaling, correct predictions and tokens; and the gradient of the scaled loss for every variable.
    """
    loss = correct = tf.zeros([])
    total: list[tf.Tensor] | None = None
    for index, half in enumerate(batch_halves(batch)):
        masks = masks_of(index, tf.shape(half["inputs"])[1])
        result = forward_backward(variables, half, masks, dtype, loss_scale)
        found = parameter_gradients(variables, result, dtype)
        total = found if total is None else [first + second for first, second in zip(total, found, strict=True)]
        loss, correct = loss + result.loss, correct + result.correct
    return (loss, correct, tf.reduce_sum(batch["weights"])), total or []


def parameter_gradients(
    variables: Sequence[tf.Tensor], result: BackpropagationResult, dtype: tf.DType
) -> list[tf.Tensor]:
    """Compute the gradient of every variable, by one product over all rows and steps each.

    Args:
        variables: as for `forward_backward`.
        result: from `forward_backward`.
        dtype: type of the operands of products.

    Returns:
        One gradient per variable, of its shape and type.
    """
    embedding, kernel = variables[:2]
    first = result.deltas[0]
    if result.rows is not None:
        dx = _input_gradient(embedding, kernel, first, dtype)
        if result.input_mask is not None:
            dx *= tf.cast(result.input_mask, dx.dtype)
        found = [table_gradient(dx, result.rows, embedding.shape[0]), weight_gradient(result.embedded, first)]
    elif uses_projected_table(embedding):
        one_hot = tf.one_hot(result.tokens, embedding.shape[0], dtype=dtype)
        # δ summed by token id, [vocab, 4 units]. From it both gradients follow, with products of vocabulary size.
        sums = tf.cast(weight_gradient(one_hot, first), embedding.dtype)
        found = [tf.matmul(sums, kernel, transpose_b=True), tf.matmul(embedding, sums, transpose_a=True)]
    else:
        x = tf.cast(tf.gather(embedding, result.tokens), dtype)
        dx = _input_gradient(embedding, kernel, first, dtype)
        flat = tf.reshape(dx, [-1, embedding.shape[1]])
        sums = tf.math.unsorted_segment_sum(flat, tf.reshape(result.tokens, [-1]), embedding.shape[0])
        found = [sums, weight_gradient(x, first)]
    for layer, (hidden, delta) in enumerate(zip(result.hidden, result.deltas, strict=True)):
        if layer > 0:
            found.append(weight_gradient(result.inputs[layer - 1], delta))
        # The state before the first step is zero: that step adds nothing to the recurrent weights' gradient.
        found += [weight_gradient(hidden[:-1], delta[1:]), _column_sums(delta)]
    found += [
        weight_gradient(result.inputs[-1], tf.cast(result.logits_delta, dtype)),
        _column_sums(result.logits_delta),
    ]
    return [tf.cast(gradient, variable.dtype) for gradient, variable in zip(found, variables, strict=True)]


def split_masks(masks: Sequence[tf.Tensor | None], layers: int) -> tuple[tf.Tensor | None, Sequence[tf.Tensor | None]]:
    """Return the dropout mask of the input, None where there is none, and those of the LSTM layers."""
    return (None, masks) if len(masks) == layers else (masks[0], masks[1:])


def uses_projected_table(embedding: tf.Tensor) -> bool:
    """Return whether a table of projected embeddings is cheaper than projecting every step."""
    return embedding.shape[0] <= 2 * embedding.shape[1]


class _Activations(NamedTuple):
    embedded: tf.Tensor | None
    inputs: list[tf.Tensor]
    states: list[LSTMStates]
    logits: tf.Tensor


def _forward_pass(
    variables: Sequence[tf.Tensor],
    batch: Mapping[str, tf.Tensor],
    masks: Sequence[tf.Tensor | None],
    dtype: tf.DType,
) -> _Activations:
    dense, dense_bias = variables[-2:]
    tokens, rows = batch["inputs"], batch.get("rows")
    input_mask, masks = split_masks(masks, len(lstm_weights(variables)))
    embedded = None if rows is None else tf.cast(summed_rows(variables[0], rows), dtype)
    if input_mask is not None:
        embedded *= tf.cast(input_mask, dtype)
    x, inputs, kept = embedded, [], []
    for (kernel, recurrent, bias), mask in zip(lstm_weights(variables), masks, strict=True):
        z = _first_layer_inputs(variables, tokens, dtype) if x is None else _projected(x, kernel, bias, dtype)
        states = lstm_forward(z, tf.shape(tokens)[0], tf.shape(tokens)[1], tf.cast(recurrent, dtype))
        # Dropout is on what leaves the layer, not on the recurrence: `states.hidden` itself stays without it.
        x = states.hidden if mask is None else states.hidden * tf.cast(mask, dtype)
        inputs.append(x)
        kept.append(states)
    # A softmax needs more than the 8 bits of a bfloat16; what the product itself rounds away is small beside it.
    logits = tf.cast(project(x, tf.cast(dense, dtype), tf.zeros([], dtype)), at_least_float32(dtype)) + dense_bias
    return _Activations(embedded, inputs, kept, logits)


def _backward_pass(
    variables: Sequence[tf.Tensor],
    masks: Sequence[tf.Tensor | None],
    kept: Sequence[LSTMStates],
    delta: tf.Tensor,
    dtype: tf.DType,
) -> list[tf.Tensor]:
    """Compute δ of each LSTM from that of the logits."""
    kernel_above, deltas = variables[-2], []
    for (kernel, recurrent, _), mask, states in reversed(list(zip(lstm_weights(variables), masks, kept, strict=True))):
        hidden_gradients = project(delta, materialized_transpose(tf.cast(kernel_above, dtype)), tf.zeros([], dtype))
        if mask is not None:
            hidden_gradients *= tf.cast(mask, dtype)
        delta = lstm_backward(hidden_gradients, tf.cast(recurrent, dtype), states)
        deltas.append(delta)
        kernel_above = kernel
    return deltas[::-1]


def _first_layer_inputs(
    variables: Sequence[tf.Tensor], tokens: tf.Tensor, dtype: tf.DType
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return what gives the first LSTM's projected input of a step, looked up or multiplied."""
    embedding, kernel, _, bias = variables[:4]
    if uses_projected_table(embedding):
        table = tf.cast(tf.matmul(embedding, kernel) + bias, dtype)
        return lambda t: tf.gather(table, tokens[t])
    return _projected(tf.cast(tf.gather(embedding, tokens), dtype), kernel, bias, dtype)


def _projected(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, dtype: tf.DType) -> Callable[[tf.Tensor], tf.Tensor]:
    z = project(x, tf.cast(kernel, dtype), tf.cast(bias, dtype))
    return lambda t: z[t]


def _input_gradient(embedding: tf.Tensor, kernel: tf.Tensor, delta: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Compute the loss gradient of the first layer's inputs, [T, B, d], in the type of the embedding."""
    dx = project(delta, materialized_transpose(tf.cast(kernel, dtype)), tf.zeros([], dtype))
    return tf.cast(dx, embedding.dtype)


def _column_sums(delta: tf.Tensor) -> tf.Tensor:
    """Sum over rows and steps, [T, B, k] to [k]; as a product, which adds in float32 whatever the type."""
    ones = tf.ones([1, tf.shape(delta)[0] * tf.shape(delta)[1]], delta.dtype)
    return tf.matmul(ones, tf.reshape(delta, [-1, delta.shape[2]]))[0]
