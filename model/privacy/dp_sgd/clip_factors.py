"""The factor that multiplies each record's gradient, so that its norm is at most a bound (Abadi et al. 2016).

In float32 the factor is bound / norm. For sums of bfloat16 operands, factors are truncated to eight bits, and so is what they
multiply (`weighted_sums.scale_operand`). The norm is then taken again, of exactly the values that the sum adds up, and the
factor of a record that is still too long is lowered until it is not. Truncation makes numbers smaller, mostly by less than
1 %; it makes a record's gradient longer only where its numbers nearly cancel.
"""

from __future__ import annotations

import tensorflow as tf

from linesmith.model.privacy.dp_sgd.gradient_norms import NormFunction
from linesmith.model.privacy.dp_sgd.weighted_sums import truncate_to_bfloat16
from linesmith.model.tf_function import fused

# Multiplies a factor that was too large: a few units in the last place of a number of eight bits.
SHRINK_FACTOR = 63 / 64


def clip_factors(
    norm_function: NormFunction, other_squared_norms: tf.Tensor, max_norm: tf.Tensor, dtype: tf.DType
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute the gradient norms of some records, and their clip factors.

    Args:
        norm_function: gives the squared norms of the gradients of weight matrices and biases.
        other_squared_norms: squared norm of each record's other gradients, which factors multiply exactly, [B].
        max_norm: bound of a gradient's norm after clipping.
        dtype: type of the operands of the sum.

    Returns:
        Both [B]. A factor is at most 1; 1 where the norm is within the bound; 0 where the norm is not finite. Where `dtype`
        is bfloat16, it has the eight bits of one.
    """
    norms, factors = _norms_and_factors(norm_function() + other_squared_norms, max_norm)
    if dtype != tf.bfloat16:
        return norms, factors
    return norms, _lower_until_within(norm_function, other_squared_norms, max_norm, truncate_to_bfloat16(factors))


# By XLA, whose roots and quotients are rounded correctly. TensorFlow's own may differ in the last bit between the rows that fill
# a vector register and those left over; truncated to eight bits, the factors of such rows could differ by 1 in 128.
@fused
def _norms_and_factors(squared: tf.Tensor, max_norm: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    norms = tf.sqrt(squared)
    factors = tf.where(norms <= max_norm, tf.ones_like(norms), tf.math.divide_no_nan(max_norm, norms))
    return norms, tf.where(tf.math.is_finite(squared), factors, tf.zeros_like(factors))


def _lower_until_within(
    norm_function: NormFunction, other_squared_norms: tf.Tensor, max_norm: tf.Tensor, factors: tf.Tensor
) -> tf.Tensor:
    """Lower factors until no record, scaled as sums scale it, is above the bound."""

    def lower(factors: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _lowered(norm_function(factors), other_squared_norms, max_norm, factors)

    start = factors, tf.ones_like(factors, tf.bool)
    return tf.while_loop(lambda _, above: tf.reduce_any(above), lower, start, parallel_iterations=1)[0]


@fused
def _lowered(
    squared: tf.Tensor, other_squared_norms: tf.Tensor, max_norm: tf.Tensor, factors: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return lower factors for the records above the bound, and which those are."""
    # A record that is not finite has factor 0, and a NaN norm compares as not above.
    norms = tf.sqrt(squared + other_squared_norms * factors * factors)
    above = norms > max_norm
    # Where numbers cancel, the norm can be many times the bound: steps of 1/64 alone would take hundreds of rounds.
    lowered = truncate_to_bfloat16(factors * tf.minimum(SHRINK_FACTOR, max_norm / norms))
    return tf.where(above, lowered, factors), above
