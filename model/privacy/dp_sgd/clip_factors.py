"""The factor that each record's gradient is multiplied with, so that its norm is at most a limit.

In float32 the factor is limit/norm. Where sums are of bfloat16s, factors are cut to eight bits, and so is what they multiply
(`weighted_sums.scaled`): the norm is then taken again, of exactly what the sum is made of, and a record that is still too
long is made shorter until it is not. Cutting makes numbers smaller, mostly by less than 1 %; a record is longer for it only
where its numbers nearly cancel.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from linesmith.model.privacy.dp_sgd.gradient_norms import NormFunction
from linesmith.model.privacy.dp_sgd.weighted_sums import cut

Tensor = Any

SHRINK_FACTOR = 63 / 64  # what a factor is multiplied with, or less, where it was too large: a bit or two of eight


def clip_factors(norms_of: NormFunction, others: Tensor, limit: Tensor, kind: tf.DType) -> tuple[Tensor, Tensor]:
    """Squared norms of some records' gradients, and what to multiply them with.

    Args:
        norms_of: squared norms of the gradients of weight matrices and biases.
        others: squared norm of each record's other gradients, which factors multiply exactly, [B].
        limit: of a norm, after clipping.
        kind: type of the operands of the sum.

    Returns:
        Both [B]. A factor is at most 1; 1 where the norm is within the limit; 0 where it is not finite. If the operands are
        bfloat16s, it is from `cut`.
    """
    squared = norms_of() + others
    norms = tf.sqrt(squared)
    factors = tf.where(norms <= limit, tf.ones_like(norms), tf.math.divide_no_nan(limit, norms))
    factors = tf.where(tf.math.is_finite(squared), factors, tf.zeros_like(factors))
    return squared, _until_short(norms_of, others, limit, cut(factors)) if kind == tf.bfloat16 else factors


def _until_short(norms_of: NormFunction, others: Tensor, limit: Tensor, factors: Tensor) -> Tensor:
    """Factors for which no record is above the limit, of what sums of so scaled records are made of."""

    def shorten(factors: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        # What is not finite is not above the limit: its factor is 0.
        norms = tf.sqrt(norms_of(factors) + others * factors * factors)
        above = norms > limit
        # Where numbers cancel, a norm can be many times what was aimed at: by steps of 1/64 that would take hundreds.
        return tf.where(above, cut(factors * tf.minimum(SHRINK_FACTOR, limit / norms)), factors), above

    start = factors, tf.ones_like(factors, tf.bool)
    return tf.while_loop(lambda _, above: tf.reduce_any(above), shorten, start, parallel_iterations=1)[0]
