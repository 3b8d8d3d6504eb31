"""Dropout masks as a function of a seed: plain training repeats them, private training keeps them secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

Tensor = Any


def dropout_mask(shape: Sequence[Tensor], rate: float, seed: Tensor, kind: tf.DType = tf.float32) -> Tensor | None:
    """What multiplies a layer's output in dropout: 0 with probability `rate`, otherwise one over the rest.

    In private training the seed is a secret one. Rows of a batch shift when a record is added, so with masks known to be this
    row's or that row's, one record would change all others' gradients; with secret, independent masks it does not matter
    which row got which.

    Args:
        shape: [T, B, units].
        rate: to the nearest 65,536th, which is also what the scaling takes it to be.
        seed: two integers.
        kind: type of the mask.

    Returns:
        The mask; None for a rate of 0.
    """
    threshold = round(rate * 2**16)
    if threshold == 0:
        return None
    steps, rows, units = shape
    # Two 16-bit numbers from each 32 random bits: half the cost, and a rate needs no more.
    half = tf.cast((units + 1) // 2, tf.int32)
    bits = tf.random.stateless_uniform(
        [steps, rows, half], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    numbers = tf.reshape(tf.bitcast(bits, tf.uint16), [steps, rows, 2 * half])[:, :, :units]
    kept = numbers >= tf.constant(threshold, tf.uint16)
    return tf.where(kept, tf.constant(2**16 / (2**16 - threshold), kind), tf.zeros([], kind))
