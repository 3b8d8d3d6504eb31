"""Dropout masks as a function of a seed: plain training repeats them, private training keeps the seeds secret."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def dropout_mask(
    shape: Sequence[tf.Tensor | int], rate: float, seed: tf.Tensor, dtype: tf.DType = tf.float32
) -> tf.Tensor | None:
    """Draw the mask that multiplies a layer's output in inverted dropout (Srivastava et al. 2014).

    An element is 0 with probability `rate`, otherwise 1 / (1 − rate). The mask is a pure function of the arguments.

    In private training the seed must be secret. When a record is added, the rows of a batch shift; with public masks tied to
    row numbers, one more record would change the masks, and so the gradients, of all records after it. With secret,
    independent masks it does not matter which row got which.

    Args:
        shape: [T, B, units].
        rate: probability of a zero, below 1; rounded to a multiple of 1/65,536, and the scale uses the rounded rate.
        seed: two integers.
        dtype: type of the mask.

    Returns:
        The mask, [T, B, units]; None where the rounded rate is 0.
    """
    threshold = round(rate * 2**16)
    if threshold == 0:
        return None
    steps, rows, units = shape
    # 16 bits are enough for a rate: each 32-bit draw gives two numbers, for half the cost. An odd count draws one too many.
    pairs = tf.cast((units + 1) // 2, tf.int32)
    bits = tf.random.stateless_uniform(
        [steps, rows, pairs], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    numbers = tf.reshape(tf.bitcast(bits, tf.uint16), [steps, rows, 2 * pairs])[:, :, :units]
    kept = numbers >= tf.constant(threshold, tf.uint16)
    return tf.where(kept, tf.constant(2**16 / (2**16 - threshold), dtype), tf.zeros([], dtype))
