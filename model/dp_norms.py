"""Squared norms of per-record gradients in closed form, without the gradients.

A weight matrix that meets `a` [T, d] and whose output has loss gradient `δ` [T, k] has, for one record, the gradient
`aᵀδ`, and with a bias `[a, 1]ᵀδ`. Its squared norm is the sum of `(aaᵀ + 1) ∘ δδᵀ`, two T×T Gram matrices a record,
exactly (ghost norms: Li et al. 2022, arXiv 2110.05679; book-keeping: Bu et al. 2023, arXiv 2210.00038). An LSTM is one such
matrix: `a` is its input beside its *previous* state, zero before the first step, `δ` the gradient of its gates'
pre-activations.

Everything is float32 or wider: sums of T² signed terms cancel, and lower precision does not survive that.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

Tensor = Any

CANCELLATION = 1e-3  # a Gram sum below this share of its terms' absolute sum has lost too many digits


def affine_norms(a: Tensor, delta: Tensor) -> Tensor:
    """Squared gradient norm of a weight matrix and its bias, for each record.

    Args:
        a: what the matrix was multiplied with, [B, T, d].
        delta: loss gradient of the product, 0 at padding, [B, T, k].

    Returns:
        [B], at least 0; not finite where the record's own numbers are not. Relative error below 1e-3.
    """
    size = a.shape[2] * delta.shape[2]
    # Directly where a record's gradient is no larger than its own activations: fewer operations, nothing cancels, and the
    # B gradients take no more memory than what was kept for the backward pass.
    return tf.cond(
        size <= tf.shape(a)[1] * (a.shape[2] + delta.shape[2]),
        lambda: direct_norms(a, delta),
        lambda: _gram_norms(a, delta),
    )


def direct_norms(a: Tensor, delta: Tensor) -> Tensor:
    """`affine_norms` by forming each record's gradient."""
    kernel = tf.matmul(a, delta, transpose_a=True)
    bias = tf.reduce_sum(delta, axis=1)
    return tf.reduce_sum(kernel * kernel, axis=[1, 2]) + tf.reduce_sum(bias * bias, axis=1)


def _gram_norms(a: Tensor, delta: Tensor) -> Tensor:
    """`affine_norms` by Gram matrices; records whose sum cancels are done directly, one at a time."""
    terms = (tf.matmul(a, a, transpose_b=True) + 1) * tf.matmul(delta, delta, transpose_b=True)
    norms = tf.reduce_sum(terms, axis=[1, 2])
    cancelled = norms < CANCELLATION * tf.reduce_sum(tf.abs(terms), axis=[1, 2])

    def repaired() -> Tensor:
        which = tf.where(cancelled)
        exact = tf.map_fn(
            lambda i: direct_norms(a[i : i + 1], delta[i : i + 1])[0], which[:, 0], fn_output_signature=a.dtype
        )
        return tf.tensor_scatter_nd_update(norms, which, exact)

    norms = tf.cond(tf.reduce_any(cancelled), repaired, lambda: norms)
    return tf.where(norms < 0, tf.zeros_like(norms), norms)


def embedding_norms(tokens: Tensor, gradient: Tensor, vocab_size: int) -> Tensor:
    """Squared gradient norm of the embedding table, for each record.

    A token that occurs several times in a record has one row in the table, so its gradients are added before they are
    squared: what an equal-token mask on the gradients' Gram matrix gives, with nothing to cancel.

    Args:
        tokens: ids, [B, T].
        gradient: loss gradient of the looked-up vectors, 0 at padding, [B, T, d].
        vocab_size: rows of the table.

    Returns:
        [B]; not finite where the record's gradient is not.
    """
    count, steps = tf.shape(tokens)[0], tf.shape(tokens)[1]
    # Within its record a token is known by itself, or, in a large vocabulary, by where it first occurs.
    few = vocab_size <= 2 * steps
    names = tf.cond(few, lambda: tokens, lambda: first_occurrences(tokens))
    width = tf.where(few, vocab_size, steps)
    segments = names + width * tf.range(count)[:, None]
    flat = tf.reshape(gradient, [-1, gradient.shape[2]])
    rows = tf.math.unsorted_segment_sum(flat, tf.reshape(segments, [-1]), count * width)
    return tf.reduce_sum(tf.reshape(tf.reduce_sum(rows * rows, axis=1), [count, width]), axis=1)


def first_occurrences(tokens: Tensor) -> Tensor:
    """For each token of a record, the first step at which it occurs there, [B, T].

    Example:
        >>> first_occurrences([[7, 3, 7, 3, 5]]).numpy().tolist()
        [[0, 1, 0, 1, 4]]
    """
    tokens = tf.convert_to_tensor(tokens)
    equal = tf.equal(tokens[:, :, None], tokens[:, None, :])
    return tf.argmax(tf.cast(equal, tf.int8), axis=2, output_type=tf.int32)
