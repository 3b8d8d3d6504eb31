"""Sums over records of `f·aᵀδ`, with one factor f per record: the weight gradients of clipped records, one product per layer.

There are two ways. In float32 or wider, f scales a, and TensorFlow multiplies. Where a and δ hold bfloat16 values, processors
multiply those many times as fast, and nothing is lost by it: a product of two bfloat16 values is exact in float32, the type
in which they are added up. Only f·a has more bits than a bfloat16. It is truncated to one, and the norms of clipped records
are taken of the truncated values too (`linesmith.model.privacy.dp_sgd.clip_factors`), so that norm and sum agree. XLA
compiles these sums; TensorFlow's own kernels would round their results to bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from linesmith.model.fields.embedding import table_gradient
from linesmith.model.tf_function import cached_by_tensor, fused
from linesmith.model.training.lstm import project, weight_gradient

# Up to this vocabulary, a product with one-hot vectors is faster than a segment sum by token.
MAX_ONE_HOT_VOCABULARY = 128


def truncate_to_bfloat16(x: tf.Tensor) -> tf.Tensor:
    """Round float32 values toward zero to the eight significant bits of a bfloat16; the result is still float32.

    Example:
        >>> truncate_to_bfloat16(tf.constant([1.0, 0.3, -0.3])).numpy().tolist()
        [1.0, 0.298828125, -0.298828125]
    """
    # By a mask on the bits, not by a cast there and back: XLA is free to leave out both casts.
    return tf.bitcast(tf.bitwise.bitwise_and(tf.bitcast(x, tf.uint32), tf.constant(0xFFFF0000, tf.uint32)), tf.float32)


def scale_operand(x: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Multiply the operand of a sum by clip factors, in the type of x.

    No result is farther from zero than the exact product: bfloat16 results are truncated, not rounded to nearest.

    Args:
        x: operand.
        factors: in [0, 1], of a shape that broadcasts; where x is bfloat16, from `truncate_to_bfloat16`.
    """
    if x.dtype != tf.bfloat16:
        return x * factors
    return tf.cast(truncate_to_bfloat16(tf.cast(x, tf.float32) * factors), tf.bfloat16)


def make_weighted_sums(factors: tf.Tensor, dtype: tf.DType) -> FloatSums | BFloat16Sums:
    """Return the object that sums the gradients of layers over records and steps.

    Args:
        factors: clip factor of each record, [B]; where `dtype` is bfloat16, from `truncate_to_bfloat16`.
        dtype: type of the operands.
    """
    return BFloat16Sums(factors) if dtype == tf.bfloat16 else FloatSums(factors)


class FloatSums:
    """Sums of float32 or float64 operands, in the type of the factors, which is that of the operands.

    Args:
        factors: clip factor of each record, [B].
    """

    def __init__(self, factors: tf.Tensor) -> None:
        self._factors = factors
        # An LSTM's hidden states are operands of two layers: scaled once.
        self._scaled = cached_by_tensor(lambda x: scale_operand(x, factors[None, :, None]))

    def layer_gradients(
        self, delta: tf.Tensor, inputs: Sequence[tf.Tensor], states: tf.Tensor | None = None
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Compute the summed gradients `(f·a)ᵀδ` of one layer.

        Args:
            delta: loss gradient of the layer's output before activation, [T, B, k].
            inputs: operands that the layer's weights multiply at the same step, [T, B, d] each.
            states: hidden states that its recurrent weights multiply one step later, [T, B, u]; None for no recurrence.

        Returns:
            One sum for each of the inputs, then for the states, [d, k] each; and that of f·δ for the bias, [k].
        """
        # (f·a)ᵀδ = aᵀ(f·δ); a is the narrower of the two, so a is scaled.
        found = [weight_gradient(self._scaled(x), delta) for x in inputs]
        if states is not None:
            found.append(weight_gradient(self._scaled(states)[:-1], delta[1:]))
        # As a row, the factors of all steps sum δ over records and steps in one product.
        return found, tf.matmul(_factor_per_step(self._factors, delta)[None], _flat(delta))[0]

    def sum_by_token(self, tokens: tf.Tensor, x: tf.Tensor, vocab_size: int) -> tf.Tensor:
        """Sum f·x by token id: tokens [T, B] and x [T, B, k] give [vocab_size, k]."""
        scale = self._factors[None, :, None]
        if vocab_size <= MAX_ONE_HOT_VOCABULARY:
            return weight_gradient(tf.one_hot(tokens, vocab_size, dtype=x.dtype) * scale, x)
        return tf.math.unsorted_segment_sum(_flat(x * scale), tf.reshape(tokens, [-1]), vocab_size)

    def sum_by_row(self, rows: tf.Tensor, x: tf.Tensor, table_rows: int) -> tf.Tensor:
        """Sum f·x by each of a step's rows: rows [T, B, slots] and x [T, B, k] give [table_rows, k]."""
        return table_gradient(x * self._factors[None, :, None], rows, table_rows)


class BFloat16Sums:
    """Sums of bfloat16 operands, in float32: exact products of what `scale_operand` returns, added up in float32.

    Args:
        factors: clip factor of each record, [B], from `truncate_to_bfloat16`.
    """

    def __init__(self, factors: tf.Tensor) -> None:
        self._factors = factors
        self._float = FloatSums(factors)

    def layer_gradients(
        self, delta: tf.Tensor, inputs: Sequence[tf.Tensor], states: tf.Tensor | None = None
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Compute what `FloatSums.layer_gradients` computes."""
        # The states are moved on by one step, so that they meet the same δ as the inputs: one product for both.
        before = [] if states is None else [tf.pad(states[:-1], [[1, 0], [0, 0], [0, 0]])]
        # Transposed outside of XLA, whose transpose would be many times as slow.
        columns = [_columns(x) for x in [*inputs, *before]]
        return _bfloat16_layer(columns, _flat(delta), _factor_per_step(self._factors, delta))

    def sum_by_token(self, tokens: tf.Tensor, x: tf.Tensor, vocab_size: int) -> tf.Tensor:
        """Compute what `FloatSums.sum_by_token` computes, of f·x that are not truncated; x may be float32."""
        if x.dtype != tf.bfloat16 or vocab_size > MAX_ONE_HOT_VOCABULARY:
            return self._float.sum_by_token(tokens, tf.cast(x, tf.float32), vocab_size)
        factors = _factor_per_step(self._factors, x)
        return _bfloat16_by_token(tf.reshape(tokens, [-1]), _flat(x), factors, tf.range(vocab_size))

    def sum_by_row(self, rows: tf.Tensor, x: tf.Tensor, table_rows: int) -> tf.Tensor:
        """Compute what `FloatSums.sum_by_row` computes, of float32 x."""
        return self._float.sum_by_row(rows, x, table_rows)


@fused
def _bfloat16_layer(
    columns: Sequence[tf.Tensor], delta: tf.Tensor, factors: tf.Tensor
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Sum `(f·a)ᵀδ` for several a given as columns [d, T·B], and f·δ."""
    # The factors are a row of the product themselves: 1·f needs no truncation, since f has eight bits already.
    rows = tf.concat([*(scale_operand(x, factors) for x in columns), tf.cast(factors, tf.bfloat16)[None]], axis=0)
    found = tf.matmul(rows, delta, output_type=tf.float32)
    *sums, bias = tf.split(found, [*(x.shape[0] for x in columns), 1], axis=0)
    return sums, bias[0]


@fused
def _bfloat16_by_token(tokens: tf.Tensor, x: tf.Tensor, factors: tf.Tensor, vocabulary: tf.Tensor) -> tf.Tensor:
    """Sum f·x by token id, as a product with the factors at the places of each token, [vocab, T·B]."""
    factors_by_token = tf.where(tokens[None] == vocabulary[:, None], factors, 0.0)
    return tf.matmul(tf.cast(factors_by_token, tf.bfloat16), x, output_type=tf.float32)


def exact_products(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Compute `x·kernel` for all steps: [T, B, d] and [d, k] to [T, B, k], in float32 where the operands are bfloat16.

    Products of bfloat16 values are then exact, and added up in float32.
    """
    if x.dtype != tf.bfloat16:
        return project(x, kernel, tf.zeros([], x.dtype))
    return tf.reshape(_bfloat16_products(_flat(x), kernel), [tf.shape(x)[0], tf.shape(x)[1], kernel.shape[1]])


@fused
def _bfloat16_products(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.matmul(x, kernel, output_type=tf.float32)


def _factor_per_step(factors: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Repeat the factor of each record for each step of x [T, B, k], [T·B]."""
    return tf.reshape(tf.ones(tf.shape(x)[:2], factors.dtype) * factors, [-1])


def _columns(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(_flat(x))


def _flat(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [-1, x.shape[2]])
