"""Squared norms of per-record gradients in closed form, without the gradients.

A weight matrix that multiplies `a` [T, d] and whose output has loss gradient `δ` [T, k] has, for one record, the gradient
`aᵀδ`; with a bias, `[a, 1]ᵀδ`. Its squared norm is the sum of `(aaᵀ + 1) ∘ δδᵀ`, over two T×T Gram matrices per record,
exactly. Goodfellow (2015, arXiv 1510.01799) gave this for T = 1, Lee and Kifer (2021, arXiv 2009.03106) for recurrent layers,
Li et al. (2022, arXiv 2110.05679, "ghost norm") for sequences in general.

An LSTM is one such matrix: `a` is its input beside its *previous* hidden state, zero before the first step, and `δ` the
gradient of its gates' pre-activations. `aaᵀ` is then the Gram matrix of the inputs plus that of the states, one step later.
The Gram matrix of the states serves the layer above too, whose inputs they are.

Every sum is float32 or wider: sums of T² signed terms cancel, and lower precision does not survive that. Operands that are
bfloat16 may be passed as such: their Gram matrices are float32, as exact, and computed in half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from linesmith.model.privacy.dp_sgd.weighted_sums import scale_operand
from linesmith.model.tf_function import cached_by_tensor, fused
from linesmith.model.training.lstm import at_least_float32
from linesmith.model.training.wide_rows import pad_wide_rows

# A Gram sum below this share of the sum of its terms' absolute values has lost too many of float32's digits.
CANCELLATION_THRESHOLD = 1e-3


class LayerOperands(NamedTuple):
    """Operands of the gradient of a weight matrix and its bias, for some records.

    Attributes:
        inputs: what the matrix, or its upper part, multiplies, [B, T, d].
        states: hidden states that its lower, recurrent part multiplies one step later, [B, T, u]; None without recurrence.
        delta: loss gradient of the product, 0 at padding, [B, T, k].
        uses_projected_table: whether the inputs are embeddings and δ is summed by token before it is multiplied with the
            table: factors then multiply δ in float32, and no scaled input is truncated.
    """

    inputs: tf.Tensor
    states: tf.Tensor | None
    delta: tf.Tensor
    uses_projected_table: bool = False


# Called without arguments, gives the squared norms of some records' gradients, [B]; with clip factors [B], the squared norms
# of what a sum adds up when it scales by them (`weighted_sums.scale_operand`). Norms are at least 0, and not finite where the
# record's own numbers are not. Their relative error is below 1e-3.
NormFunction = Callable[..., tf.Tensor]


def direct_is_cheaper(layers: Sequence[LayerOperands]) -> tf.Tensor:
    """Return whether forming each record's gradients takes fewer operations than its Gram matrices; a boolean scalar.

    The same choice as in mixed ghost clipping (Bu et al. 2022, arXiv 2205.10683), made for all layers together: the Gram
    matrix of hidden states is shared between two of them.

    Args:
        layers: all layers whose norms are taken together.
    """
    steps = tf.shape(layers[0].delta)[1]
    # By id: hidden states that are also the inputs of the layer above count once.
    widths = {id(x): x.shape[2] for layer in layers for x in layer[:3] if x is not None}
    gradient_size = sum(_input_width(layer) * layer.delta.shape[2] for layer in layers)
    return gradient_size <= steps * sum(widths.values())


def direct_norms(layers: Sequence[LayerOperands], factors: tf.Tensor | None = None) -> tf.Tensor:
    """Compute squared norms by forming each record's gradients; nothing cancels. A `NormFunction` once layers are bound.

    Args:
        layers: of the same records.
        factors: clip factors, [B]; None: norms before clipping.
    """
    operand = cached_by_tensor(lambda x: x if factors is None else scale_operand(x, factors[:, None, None]))
    # Gradients that factors multiply after they are formed, and gradients formed of operands already scaled (and truncated).
    scaled_later, scaled_before = [], []
    for layer in layers:
        wide_delta = tf.cast(layer.delta, at_least_float32(layer.delta.dtype))
        scaled_later.append(tf.reduce_sum(wide_delta, axis=1, keepdims=True))
        if layer.uses_projected_table:
            scaled_later.append(_product(layer.inputs, layer.delta))
        else:
            scaled_before.append(_product(operand(layer.inputs), layer.delta))
        if layer.states is not None:
            # A state meets the δ of the step after it.
            scaled_before.append(_product(operand(layer.states)[:, :-1], layer.delta[:, 1:]))
    later, before = (tf.add_n(list(map(_sums_of_squares, gradients))) for gradients in (scaled_later, scaled_before))
    return before + (later if factors is None else later * factors * factors)


def _sums_of_squares(gradients: tf.Tensor) -> tf.Tensor:
    """Sum the squares of each record's gradient, [B, k, n] to [B]."""
    squares = tf.reshape(gradients * gradients, [-1, gradients.shape[1] * gradients.shape[2]])
    return tf.reduce_sum(pad_wide_rows(squares), axis=1)


def _input_width(layer: LayerOperands) -> int:
    """Return the number of rows of the layer's weight matrix, recurrent ones included."""
    return layer.inputs.shape[2] + (0 if layer.states is None else layer.states.shape[2])


def _product(x: tf.Tensor, delta: tf.Tensor) -> tf.Tensor:
    """Compute `xᵀδ` of each record, in float32 or wider."""
    if x.dtype != tf.bfloat16:
        return tf.matmul(x, delta, transpose_a=True)
    # Transposed outside of XLA, whose transpose would be many times as slow.
    return _bfloat16_product(tf.transpose(x, [0, 2, 1]), delta)


@fused
def _bfloat16_product(columns: tf.Tensor, delta: tf.Tensor) -> tf.Tensor:
    return tf.matmul(columns, delta, output_type=tf.float32)


class GramNorms:
    """`NormFunction` by Gram matrices; a record in which the sum of a layer cancels is computed directly, one at a time.

    Args:
        layers: of the same records.
    """

    def __init__(self, layers: Sequence[LayerOperands]) -> None:
        self._layers = layers
        self._bfloat16 = layers[0].delta.dtype == tf.bfloat16
        # Factors never touch δ, so its Gram matrices are computed once for all calls.
        grams = (_bfloat16_grams if self._bfloat16 else _grams)([layer.delta for layer in layers])
        self._with_delta_grams = [layer._replace(delta=gram) for layer, gram in zip(layers, grams, strict=True)]

    def __call__(self, factors: tf.Tensor | None = None) -> tf.Tensor:
        """Return squared norms, [B], as a `NormFunction` does."""
        norms, cancelled = (_bfloat16_gram_sums if self._bfloat16 else _gram_sums)(self._with_delta_grams, factors)

        def repaired() -> tf.Tensor:
            which = tf.where(cancelled)

            def exact(i: tf.Tensor) -> tf.Tensor:
                record = [_record(layer, i) for layer in self._layers]
                return direct_norms(record, None if factors is None else factors[i : i + 1])[0]

            found = tf.map_fn(exact, which[:, 0], fn_output_signature=norms.dtype)
            return tf.tensor_scatter_nd_update(norms, which, found)

        norms = tf.cond(tf.reduce_any(cancelled), repaired, lambda: norms)
        # What rounding left below 0 is 0. Not tf.maximum, so that a NaN stays one.
        return tf.where(norms < 0, tf.zeros_like(norms), norms)


def _record(layer: LayerOperands, i: tf.Tensor) -> LayerOperands:
    """Return the operands of one record."""
    inputs, states, delta = (None if x is None else x[i : i + 1] for x in layer[:3])
    return LayerOperands(inputs, states, delta, layer.uses_projected_table)


def _gram(x: tf.Tensor) -> tf.Tensor:
    x = pad_wide_rows(x)
    return tf.matmul(x, x, transpose_b=True)


def _bfloat16_gram(x: tf.Tensor) -> tf.Tensor:
    """Return the Gram matrix in float32; only within `fused`, since TensorFlow's own kernels would round it to bfloat16."""
    x = pad_wide_rows(x)
    return tf.matmul(x, x, transpose_b=True, output_type=tf.float32)


def _grams(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    return list(map(_gram, tensors))


@fused
def _bfloat16_grams(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    return list(map(_bfloat16_gram, tensors))


def _gram_sums(
    layers: Sequence[LayerOperands], factors: tf.Tensor | None, gram: Callable[[tf.Tensor], tf.Tensor] = _gram
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum the terms of all layers, and tell where those of a single layer cancel; both [B].

    Args:
        layers: with the Gram matrices of δ in the place of δ.
        factors: clip factors, [B]; None: norms before clipping.
        gram: computes a Gram matrix.
    """
    if factors is None:
        squares, operand_gram = 1.0, cached_by_tensor(gram)
    else:
        squares = (factors * factors)[:, None, None]
        operand_gram = cached_by_tensor(lambda x: gram(scale_operand(x, factors[:, None, None])))
    found = []
    for layer in layers:
        inputs = (gram if layer.uses_projected_table else operand_gram)(layer.inputs)
        states = None if layer.states is None else operand_gram(layer.states)
        found.append(_terms(inputs, states, layer.delta, squares, layer.uses_projected_table))
    cancelled = tf.reduce_any([total < CANCELLATION_THRESHOLD * absolute for total, absolute in found], axis=0)
    return tf.add_n([total for total, _ in found]), cancelled


@fused
def _bfloat16_gram_sums(layers: Sequence[LayerOperands], factors: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    return _gram_sums(layers, factors, _bfloat16_gram)


@fused
def _terms(
    inputs: tf.Tensor,
    states: tf.Tensor | None,
    delta: tf.Tensor,
    squares: tf.Tensor | float,
    uses_projected_table: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute sum and absolute sum of a layer's terms, [B] each, in one pass over Gram matrices [B, T, T].

    `inputs` is the Gram matrix of scaled inputs; with a projected table, of unscaled ones. `squares` are the squared factors.
    """
    # The 1 of `aaᵀ + 1` is the bias, whose gradient factors multiply exactly.
    inputs = (inputs + 1) * squares if uses_projected_table else inputs + squares
    if states is not None:
        # Moved on by one step: a state meets the δ of the step after it, and the first step has none.
        inputs += tf.pad(states[:, :-1, :-1], [[0, 0], [1, 0], [1, 0]])
    return _sums(inputs * delta)


def _sums(terms: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute sum and absolute sum of terms [B, T, T], [B] each; only within `fused`."""
    steps = tf.shape(terms)[1]
    # A product with ones takes half the time of XLA's own sum over rows.
    rows = tf.matmul(tf.reshape(tf.stack([terms, tf.abs(terms)]), [-1, steps]), tf.ones([steps, 1], terms.dtype))
    total, absolute = tf.unstack(tf.reduce_sum(tf.reshape(rows, [2, -1, steps]), axis=2))
    return total, absolute


def embedding_norms(tokens: tf.Tensor, delta: tf.Tensor, vocab_size: int) -> tf.Tensor:
    """Compute the squared gradient norm of the embedding table, for each record.

    A token that occurs several times in a record has one row in the table, so its gradients are added before they are
    squared. The result is that of an equal-token mask on the Gram matrix of the gradients (Li et al. 2022), with nothing to
    cancel.

    Args:
        tokens: ids, [B, T].
        delta: loss gradient of the embeddings, 0 at padding, [B, T, d].
        vocab_size: rows of the table.

    Returns:
        [B]; not finite where the record's gradient is not.
    """
    steps, width = tf.shape(tokens)[1], delta.shape[2]
    # As many rows as a record of T tokens can need, and not as these records do: shapes must not depend on other records.
    rows = (tf.minimum(steps, vocab_size) + 7) // 8 * 8
    # As a product, which takes all cores; a segment sum takes one.
    sums = tf.matmul(tf.one_hot(token_indices(tokens), rows, dtype=delta.dtype), delta, transpose_a=True)
    return tf.reduce_sum(tf.reshape(sums * sums, [tf.shape(tokens)[0], rows * width]), axis=1)


def row_norms(rows: tf.Tensor, delta: tf.Tensor, table_rows: int) -> tf.Tensor:
    """Compute the squared gradient norm of a table of which every step adds up some rows, for each record.

    All rows of a step have the same gradient, and slots share no rows. So the norm is that of the Gram matrix of the gradients,
    each entry times the number of slots that look up the same row in both of its steps. Where the terms of a record cancel, the
    gradients of each row are added up instead.

    Args:
        rows: row of each slot, [B, T, slots].
        delta: loss gradient of the sum of the rows, 0 at padding, [B, T, d].
        table_rows: rows of the table.

    Returns:
        [B]; not finite where the record's gradient is not.
    """
    total, absolute = _row_terms(rows, _gram(delta))
    cancelled = total < CANCELLATION_THRESHOLD * absolute

    def repaired() -> tf.Tensor:
        direct = [embedding_norms(slot, delta, table_rows) for slot in tf.unstack(rows, axis=2)]
        return tf.where(cancelled, tf.add_n(direct), total)

    return tf.cond(tf.reduce_any(cancelled), repaired, lambda: total)


@fused
def _row_terms(rows: tf.Tensor, gram: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute sum and absolute sum of the terms of `row_norms`, [B] each."""
    slots = tf.unstack(rows, axis=2)
    shared = tf.add_n([tf.cast(slot[:, :, None] == slot[:, None, :], gram.dtype) for slot in slots])
    return _sums(shared * gram)


@fused
def token_indices(tokens: tf.Tensor) -> tf.Tensor:
    """Assign an index to each different token of a record, from 0 in the order of first occurrence, [B, T].

    Example:
        >>> token_indices(tf.constant([[7, 3, 7, 9, 3]])).numpy().tolist()
        [[0, 1, 0, 2, 1]]
    """
    steps = tf.shape(tokens)[1]
    positions = tf.range(steps)
    equal = tokens[:, :, None] == tokens[:, None, :]
    first = tf.reduce_min(tf.where(equal, positions, steps), axis=2)
    is_first = first == positions
    # The index of a token is the number of first occurrences before its own.
    return tf.reduce_sum(tf.cast(is_first[:, None, :] & (positions < first[:, :, None]), tf.int32), axis=2)
