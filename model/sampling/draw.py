"""Drawing one token per row in a TensorFlow graph: uniform number, mask, truncation, inverse of the distribution.

The uniform numbers are those of `uniform_random`, bit for bit. A row's token does not depend on the rows beside it: XLA adds up
a row in an order that changes with the number of rows, so weights are rounded to whole numbers, whose sums are exact.
"""

from __future__ import annotations

import tensorflow as tf

from linesmith.core.splitmix64 import INCREMENT, MULTIPLIERS, SHIFTS

PAD_MULTIPLE = 16  # widths are padded to multiples of it, the width of an AVX-512 register in float32
_ONE = 2.0**32  # the whole number that a weight of 1 is rounded to; float64 adds up 2²⁰ of them exactly
_LARGEST = 1e37  # no number that matters is larger


def rounded(product: tf.Tensor) -> tf.Tensor:
    """Keep a product from being fused with an addition that follows; return it, at most 1e37.

    Of a·b + c·d, a compiler may round both products or only one, which one as it likes, and so in another way for another number
    of rows. The minimum stands between.
    """
    return tf.minimum(product, _LARGEST)


def log_sum_of_exponentials(logits: tf.Tensor) -> tf.Tensor:
    """Compute log Σ exp of each row, [R], of [R, V] with a finite largest element; to about 1e-6."""
    largest = tf.reduce_max(logits, axis=1)
    total = tf.reduce_sum(_whole(tf.exp(logits - largest[:, None])), axis=1)
    return largest + tf.math.log(tf.cast(total / _ONE, tf.float32))


def _uint64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)


def _mix(bits: tf.Tensor) -> tf.Tensor:
    """Return SplitMix64's finalizer of 64-bit words, as `splitmix64.mix64` computes it in NumPy."""
    shift, xor = tf.bitwise.right_shift, tf.bitwise.bitwise_xor
    first, second, third = SHIFTS
    bits = xor(bits, shift(bits, _uint64(first))) * _uint64(MULTIPLIERS[0])
    bits = xor(bits, shift(bits, _uint64(second))) * _uint64(MULTIPLIERS[1])
    return xor(bits, shift(bits, _uint64(third)))


def uniform(keys: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Compute uniform numbers in [0, 1), multiples of 2⁻²⁴, equal to `uniform_random.uniforms(keys, steps, 1)[0]`.

    Args:
        keys: stream keys, their bits as int64, [R].
        steps: step of each stream, int32, [R].

    Returns:
        float32, [R].
    """
    counter = tf.cast(steps, tf.uint64) + _uint64(1)
    bits = _mix(tf.bitcast(keys, tf.uint64) + counter * _uint64(INCREMENT))
    # 24 bits fit an int32; every processor converts int32 to float32, few convert uint64.
    mantissa = tf.cast(tf.bitwise.right_shift(bits, _uint64(40)), tf.int32)
    return tf.cast(mantissa, tf.float32) * 2.0**-24


def chunk_width(width: int) -> int:
    """Return the number of tokens in a chunk of the two-level draw.

    Args:
        width: padded vocabulary size, a multiple of 16.

    Returns:
        A multiple of 16 that divides `width` and is near its square root.

    Example:
        >>> chunk_width(64), chunk_width(256), chunk_width(20000)
        (16, 16, 160)
    """
    parts = width // PAD_MULTIPLE
    fit = [
        n for n in range(1, parts + 1) if parts % n == 0 and (n * PAD_MULTIPLE) ** 2 <= max(width * 2, PAD_MULTIPLE**2)
    ]
    return PAD_MULTIPLE * max(fit, default=1)


def draw_tokens(weights: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Draw one token per row by the inverse of its cumulative distribution. A token of weight 0 cannot be drawn.

    Two levels, since XLA's running sums cost the square of their length: first the chunk of tokens in which the running sum
    passes u × total, then the token in it.

    Args:
        weights: [R, V] in [0, 1], V a multiple of 16; at least one in each row is 1.
        uniforms: numbers in [0, 1), multiples of 2⁻²⁴, [R].

    Returns:
        Token ids, int32, [R].
    """
    width = weights.shape[1]
    chunk = chunk_width(width)
    chunks = tf.reshape(_whole(weights), [-1, width // chunk, chunk])
    running = tf.cumsum(tf.reduce_sum(chunks, axis=2), axis=1)
    # A whole number below the total, since u ≤ 1 − 2⁻²⁴; so the first running sum above it has grown by a weight above 0.
    threshold = tf.floor(tf.cast(uniforms, tf.float64) * running[:, -1])
    chosen = tf.reduce_sum(tf.cast(running <= threshold[:, None], tf.int32), axis=1)
    before = tf.gather(tf.pad(running, [[0, 0], [1, 0]]), chosen, batch_dims=1)
    inside = tf.cumsum(tf.gather(chunks, chosen, batch_dims=1), axis=1)
    return chosen * chunk + tf.reduce_sum(tf.cast(inside <= (threshold - before)[:, None], tf.int32), axis=1)


def _whole(weights: tf.Tensor) -> tf.Tensor:
    """Round weights in [0, 1] to whole numbers, float64."""
    return tf.cast(tf.round(weights * _ONE), tf.float64)


def masked_weights(logits: tf.Tensor, allowed: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Compute the weights of the tokens that may be drawn, and the share of all probability that they hold.

    Args:
        logits: [R, V]; −inf: never drawn.
        allowed: [R, V] bool, at least one token per row; None: all.

    Returns:
        Weights, [R, V], the largest of each row 1; and the share Zₜ, [R], or None without a mask.
    """
    logits = rounded(logits)
    if allowed is None:
        return tf.exp(logits - tf.reduce_max(logits, axis=1, keepdims=True)), None
    best = tf.reduce_max(tf.where(allowed, logits, -_LARGEST), axis=1, keepdims=True)
    best_forbidden = tf.reduce_max(tf.where(allowed, -_LARGEST, logits), axis=1, keepdims=True)
    # Relative to the best of their own kind, no weight is above 1.
    weights = tf.exp(logits - tf.where(allowed, best, best_forbidden))
    sums = tf.reduce_sum(_whole(tf.where(allowed, weights, 0.0)), axis=1)
    forbidden = tf.reduce_sum(_whole(tf.where(allowed, 0.0, weights)), axis=1)
    ratio = tf.cast(forbidden / sums, tf.float32) * tf.exp(best_forbidden - best)[:, 0]
    return tf.where(allowed, weights, 0.0), 1.0 / (1.0 + rounded(ratio))


def truncate(weights: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor) -> tf.Tensor:
    """Set the unlikely tail of the weights to 0: all but the k likeliest, then all but the fewest that hold the share p.

    Tokens as likely as the last one kept are kept, too: the order of equals must not matter.

    Args:
        weights: [R, V].
        top_k: scalar; 0: no such limit.
        top_p: scalar; 1: no such limit.

    Returns:
        [R, V].
    """
    falling = -tf.sort(-weights, axis=1)
    width = weights.shape[1]
    k = tf.where(top_k > 0, tf.minimum(top_k, width), width)
    falling = tf.where(tf.range(width)[None, :] < k, falling, 0.0)
    whole = _whole(falling)
    running = tf.cumsum(whole, axis=1)
    # A token is kept while the sum of those before it is below the share.
    kept = (running - whole < tf.cast(top_p, tf.float64) * running[:, -1:]) & (falling > 0)
    least = tf.reduce_min(tf.where(kept, falling, float("inf")), axis=1, keepdims=True)
    return tf.where(weights >= least, weights, 0.0)
