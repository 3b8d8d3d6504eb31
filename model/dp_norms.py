"""Squared norms of per-record gradients in closed form, without the gradients.

A weight matrix that meets `a` [T, d] and whose output has loss gradient `δ` [T, k] has, for one record, the gradient
`aᵀδ`, and with a bias `[a, 1]ᵀδ`. Its squared norm is the sum of `(aaᵀ + 1) ∘ δδᵀ`, two T×T Gram matrices a record,
exactly (ghost norms: Li et al. 2022, arXiv 2110.05679; book-keeping: Bu et al. 2023, arXiv 2210.00038). An LSTM is one such
matrix: `a` is its input beside its *previous* state, zero before the first step, `δ` the gradient of its gates'
pre-activations. Its `aaᵀ` is then the input's Gram matrix and the states', one step later; and the states' serves the layer
above, too, whose input they are.

Every sum is float32 or wider: sums of T² signed terms cancel, and lower precision does not survive that. Numbers that are
bfloat16s already may be passed as such: their Gram matrices are float32, and as exact, and come in half the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from model.graphs import fused, once

Tensor = Any

CANCELLATION = 1e-3  # a Gram sum below this share of its terms' absolute sum has lost too many digits


class Affine(NamedTuple):
    """A weight matrix and its bias, by what they meet in some records.

    Attributes:
        inputs: what the matrix, or its upper part, is multiplied with, [B, T, d].
        states: what its lower part is multiplied with one step later, [B, T, u]; None where there is none.
        delta: loss gradient of the product, 0 at padding, [B, T, k].
    """

    inputs: Tensor
    states: Tensor | None
    delta: Tensor


def affine_norms(layers: Sequence[Affine]) -> Tensor:
    """Squared norm of the gradient of all of some weight matrices and biases, for each record.

    Returns:
        [B], at least 0; not finite where the record's own numbers are not. Relative error below 1e-3.
    """
    steps = tf.shape(layers[0].delta)[1]
    widths = {id(x): x.shape[2] for layer in layers for x in layer if x is not None}
    gradients = sum(_rows(layer) * layer.delta.shape[2] for layer in layers)
    # Directly where a record's gradients take fewer operations than its Gram matrices; nothing cancels there.
    return tf.cond(gradients <= steps * sum(widths.values()), lambda: direct_norms(layers), lambda: _gram_norms(layers))


def direct_norms(layers: Sequence[Affine]) -> Tensor:
    """`affine_norms` by forming each record's gradients."""
    norms = []
    for layer in layers:
        inputs, delta = _wide(layer.inputs), _wide(layer.delta)
        parts = [tf.reduce_sum(delta, axis=1, keepdims=True), tf.matmul(inputs, delta, transpose_a=True)]
        if layer.states is not None:
            parts.append(tf.matmul(_wide(layer.states)[:, :-1], delta[:, 1:], transpose_a=True))
        norms += [tf.reduce_sum(part * part, axis=[1, 2]) for part in parts]
    return tf.add_n(norms)


def _rows(layer: Affine) -> int:
    return layer.inputs.shape[2] + (0 if layer.states is None else layer.states.shape[2])


def _gram_norms(layers: Sequence[Affine]) -> Tensor:
    """`affine_norms` by Gram matrices; records in which a sum cancels are done directly, one at a time."""
    short = layers[0].delta.dtype == tf.bfloat16
    norms, cancelled = _short_gram_sums(layers) if short else _gram_sums(layers)

    def repaired() -> Tensor:
        which = tf.where(cancelled)

        def exact(i: Tensor) -> Tensor:
            return direct_norms([Affine(*(None if x is None else x[i : i + 1] for x in layer)) for layer in layers])[0]

        return tf.tensor_scatter_nd_update(norms, which, tf.map_fn(exact, which[:, 0], fn_output_signature=norms.dtype))

    norms = tf.cond(tf.reduce_any(cancelled), repaired, lambda: norms)
    return tf.where(norms < 0, tf.zeros_like(norms), norms)


def _gram_sums(layers: Sequence[Affine]) -> tuple[Tensor, Tensor]:
    """The sum of all terms, [B], and whether those of one layer cancel."""
    gram = once(lambda x: tf.matmul(x, x, transpose_b=True))
    return _added([_terms(*(None if x is None else gram(x) for x in layer)) for layer in layers])


@fused
def _short_gram_sums(layers: Sequence[Affine]) -> tuple[Tensor, Tensor]:
    """As `_gram_sums`, for bfloat16 numbers: TensorFlow's own kernels would round the Gram matrices to bfloat16."""
    gram = once(lambda x: tf.matmul(x, x, transpose_b=True, output_type=tf.float32))
    return _added([_terms(*(None if x is None else gram(x) for x in layer)) for layer in layers])


@fused
def _terms(inputs: Tensor, states: Tensor | None, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and absolute sum of a layer's terms, [B] each, in one pass over Gram matrices [B, T, T]."""
    if states is not None:
        inputs += tf.pad(states[:, :-1, :-1], [[0, 0], [1, 0], [1, 0]])
    terms = (inputs + 1) * delta
    return tf.reduce_sum(terms, axis=[1, 2]), tf.reduce_sum(tf.abs(terms), axis=[1, 2])


def _added(found: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    cancelled = tf.reduce_any([total < CANCELLATION * absolute for total, absolute in found], axis=0)
    return tf.add_n([total for total, _ in found]), cancelled


def embedding_norms(tokens: Tensor, delta: Tensor, back: Tensor) -> Tensor:
    """Squared gradient norm of the embedding table, for each record.

    A token that occurs several times in a record has one row in the table, so its gradients are added before they are
    squared: what an equal-token mask on the gradients' Gram matrix gives, with nothing to cancel. They are added before
    they are projected, too: a record has far fewer different tokens than tokens.

    Args:
        tokens: ids, [B, T].
        delta: loss gradient of what the looked-up vectors are projected to, 0 at padding, [B, T, k].
        back: the projection, transposed, [k, d].

    Returns:
        [B]; not finite where the record's gradient is not.
    """
    delta = _wide(delta)
    names = token_names(tokens)
    width = (tf.reduce_max(names) // 8 + 1) * 8  # few shapes
    # As a product, which takes all cores; a segment sum takes one.
    sums = tf.matmul(tf.one_hot(names, width, dtype=delta.dtype), delta, transpose_a=True)
    rows = tf.matmul(tf.reshape(sums, [-1, delta.shape[2]]), back)
    return tf.reduce_sum(tf.reshape(rows * rows, [tf.shape(tokens)[0], width * back.shape[1]]), axis=1)


@fused
def token_names(tokens: Tensor) -> Tensor:
    """Numbers a record's different tokens from 0, in the order in which they first occur, [B, T].

    Example:
        >>> token_names(tf.constant([[7, 3, 7, 9, 3]])).numpy().tolist()
        [[0, 1, 0, 2, 1]]
    """
    steps = tf.shape(tokens)[1]
    at = tf.range(steps)
    equal = tokens[:, :, None] == tokens[:, None, :]
    first = tf.reduce_min(tf.where(equal, at, steps), axis=2)
    new = first == at
    return tf.reduce_sum(tf.cast(new[:, None, :] & (at < first[:, :, None]), tf.int32), axis=2)


def _wide(x: Tensor) -> Tensor:
    return tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x
