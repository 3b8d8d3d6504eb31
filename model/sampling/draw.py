"""Drawing one token a row, in the graph: the uniform number, the mask, truncation and the inverse of the distribution.

The uniform numbers are those of `uniform_random`, bit for bit. Every sum runs over a row of fixed width in a fixed order,
so that a row's token does not depend on the rows beside it.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

Tensor = Any
PAD_MULTIPLE = 16
_BELOW_ONE = 1 - 2.0**-23  # a float32 times this is smaller, unless it is denormal


def _word(value: int) -> Tensor:
    return tf.constant(value, tf.uint64)


def _mix(words: Tensor) -> Tensor:
    shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor
    words = xor(words, shift(words, _word(30))) * _word(0xBF58476D1CE4E5B9)
    words = xor(words, shift(words, _word(27))) * _word(0x94D049BB133111EB)
    return xor(words, shift(words, _word(31)))


def uniform(keys: Tensor, steps: Tensor) -> Tensor:
    """Numbers in [0, 1), multiples of 2⁻²⁴: `linesmith.model.sampling.uniform_random.uniforms(keys, steps, 1)[0]`.

    Args:
        keys: stream keys, their bits as int64, [R].
        steps: step of each stream, int32, [R].
    """
    counter = tf.cast(steps, tf.uint64) + _word(1)
    words = _mix(tf.bitcast(keys, tf.uint64) + counter * _word(0x9E3779B97F4A7C15))
    # 24 bits fit an int32, whose conversion to float32 every processor has.
    bits = tf.cast(tf.bitwise.right_shift(words, _word(40)), tf.int32)
    return tf.cast(bits, tf.float32) * 2.0**-24


def chunk_width(width: int) -> int:
    """Tokens in a chunk of the two-level draw: a divisor of the padded width that is near its square root.

    Example:
        >>> chunk_width(64), chunk_width(256), chunk_width(20000)
        (16, 16, 160)
    """
    lanes = width // PAD_MULTIPLE
    fit = [
        n for n in range(1, lanes + 1) if lanes % n == 0 and (n * PAD_MULTIPLE) ** 2 <= max(width * 2, PAD_MULTIPLE**2)
    ]
    return PAD_MULTIPLE * max(fit, default=1)


def draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """One token a row by inverse CDF; a token of weight 0 cannot be drawn.

    Two levels: the chunk of tokens in which the running sum passes u × total, then the token in it. Thresholds are kept
    below the sum they are compared with, so the first running sum that exceeds one has grown by a weight above 0.

    Args:
        weights: [R, V], V a multiple of 16; at least one in each row is 1, none is negative or infinite.
        uniforms: in [0, 1), [R].
    """
    width = weights.shape[1]
    chunk = chunk_width(width)
    chunks = tf.reshape(weights, [-1, width // chunk, chunk])
    running = tf.cumsum(tf.reduce_sum(chunks, axis=2), axis=1)
    total = running[:, -1]
    threshold = tf.minimum(uniforms * total, total * _BELOW_ONE)
    at = tf.reduce_sum(tf.cast(running <= threshold[:, None], tf.int32), axis=1)
    before = tf.gather(tf.pad(running, [[0, 0], [1, 0]]), at, batch_dims=1)
    inside = tf.cumsum(tf.gather(chunks, at, batch_dims=1), axis=1)
    # Rounding may leave the rest of the threshold outside the chunk by a hair.
    rest = tf.minimum(threshold - before, inside[:, -1] * _BELOW_ONE)
    return at * chunk + tf.reduce_sum(tf.cast(inside <= rest[:, None], tf.int32), axis=1)


def weigh(logits: Tensor, allowed: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Weights of the tokens that may be drawn, the largest 1; and the share of all probability that they have.

    Args:
        logits: [R, V]; −inf: never.
        allowed: [R, V] bool, at least one token a row; None: all.
    """
    if allowed is None:
        return tf.exp(logits - tf.reduce_max(logits, axis=1, keepdims=True)), None
    most = tf.reduce_max(tf.where(allowed, logits, -float("inf")), axis=1, keepdims=True)
    every = tf.exp(logits - most)  # infinite where a forbidden token is far likelier than all others
    weights = tf.where(allowed, every, 0.0)
    return weights, tf.reduce_sum(weights, axis=1) / tf.reduce_sum(every, axis=1)


def truncate(weights: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Weights with the unlikely tail set to 0: all but the k likeliest, then all but the fewest that hold the share p.

    Tokens as likely as the last one kept are kept, too: which of equals comes first must not matter.

    Args:
        weights: [R, V].
        top_k: scalar; 0: no such limit.
        top_p: scalar; 1: no such limit.
    """
    falling = -tf.sort(-weights, axis=1)
    width = weights.shape[1]
    k = tf.where(top_k > 0, tf.minimum(top_k, width), width)
    falling = tf.where(tf.range(width)[None, :] < k, falling, 0.0)
    running = tf.cumsum(falling, axis=1)
    # Kept while what comes before is less than the share.
    kept = (running - falling < top_p * running[:, -1:]) & (falling > 0)
    least = tf.reduce_min(tf.where(kept, falling, float("inf")), axis=1, keepdims=True)
    return tf.where(weights >= least, weights, 0.0)
