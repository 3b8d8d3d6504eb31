"""Sums over records of `f·aᵀδ`, f a factor a record: the weight gradients of clipped records, one product a layer.

Two ways. In float32 (or wider) f scales a, and TensorFlow multiplies. Where a and δ hold bfloat16 values, processors multiply
those many times as fast, and lose nothing by it: a product of two is exact in float32, which they are added up in. Only
f·a is wider than a bfloat16; it is cut to one, and that is what the norms of clipped records are taken of, too
(`linesmith.model.privacy.dp_sgd.clip_factors`). XLA compiles these sums; TensorFlow's own kernels would round them to bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from linesmith.model.tf_function import fused, once
from linesmith.model.training.lstm import weight_gradient

Tensor = Any

MAX_ONE_HOT_VOCABULARY = (
    128  # tokens of a vocabulary up to which a product with one-hot vectors is the faster sum by token
)


def cut(x: Tensor) -> Tensor:
    """Float32 numbers toward zero to a bfloat16's eight bits, as float32.

    By their bits: where numbers are converted to bfloat16 and back, XLA may leave out both.

    Example:
        >>> cut(tf.constant([1.0, 0.3, -0.3])).numpy().tolist()
        [1.0, 0.298828125, -0.298828125]
    """
    return tf.bitcast(tf.bitwise.bitwise_and(tf.bitcast(x, tf.uint32), tf.constant(0xFFFF0000, tf.uint32)), tf.float32)


def scaled(x: Tensor, factors: Tensor) -> Tensor:
    """What a sum of x times factors is made of, in the type of x; never farther from zero than their product.

    Args:
        x: operands.
        factors: in [0, 1], of a shape that broadcasts; where x is bfloat16, from `cut`.
    """
    if x.dtype != tf.bfloat16:
        return x * factors
    return tf.cast(cut(tf.cast(x, tf.float32) * factors), tf.bfloat16)


def weighted_sums(factors: Tensor, kind: tf.DType) -> FloatSums | BFloat16Sums:
    """What sums a layer's gradients over records and steps.

    Args:
        factors: one a record, [B]; where `kind` is bfloat16, from `cut`.
        kind: type of the operands.
    """
    return BFloat16Sums(factors) if kind == tf.bfloat16 else FloatSums(factors)


class FloatSums:
    """Sums in the type of the factors, which is the operands'."""

    def __init__(self, factors: Tensor) -> None:
        self._factors = factors
        self._scaled = once(lambda x: scaled(x, factors[None, :, None]))

    def layer(
        self, delta: Tensor, inputs: Sequence[Tensor], states: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Sums of `(f·a)ᵀδ` for one layer.

        Args:
            delta: loss gradient of what the layer's weights give, [T, B, k].
            inputs: what its weights meet, [T, B, d] each.
            states: what more they meet, one step later; nothing at the first step.

        Returns:
            One sum for each of the inputs and then the states, [d, k]; and that of f·δ, [k].
        """
        # Scaling the narrower operand is scaling δ: (f·a)ᵀδ = aᵀ(f·δ).
        found = [weight_gradient(self._scaled(x), delta) for x in inputs]
        if states is not None:
            found.append(weight_gradient(self._scaled(states)[:-1], delta[1:]))
        # As a row, the factors of all steps sum δ over records and steps in one product.
        return found, tf.matmul(_each_step(self._factors, delta)[None], _flat(delta))[0]

    def sum_by_token(self, tokens: Tensor, x: Tensor, vocab_size: int) -> Tensor:
        """Sums of f·x by token id, [vocab_size, k], for tokens [T, B] and x [T, B, k]."""
        scale = self._factors[None, :, None]
        if vocab_size <= MAX_ONE_HOT_VOCABULARY:
            return weight_gradient(tf.one_hot(tokens, vocab_size, dtype=x.dtype) * scale, x)
        return tf.math.unsorted_segment_sum(_flat(x * scale), tf.reshape(tokens, [-1]), vocab_size)


class BFloat16Sums:
    """`FloatSums` of bfloat16 operands, in float32; of `scaled` ones, and otherwise as exact."""

    def __init__(self, factors: Tensor) -> None:
        self._factors = factors
        self._float = FloatSums(factors)

    def layer(
        self, delta: Tensor, inputs: Sequence[Tensor], states: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """As `FloatSums.layer`."""
        # Here and not in XLA, which would be many times as slow.
        before = [] if states is None else [tf.pad(states[:-1], [[1, 0], [0, 0], [0, 0]])]
        return _short_layer([_columns(x) for x in [*inputs, *before]], _flat(delta), _each_step(self._factors, delta))

    def sum_by_token(self, tokens: Tensor, x: Tensor, vocab_size: int) -> Tensor:
        """As `FloatSums.sum_by_token`, of f·x that are not cut; x may be float32."""
        if x.dtype != tf.bfloat16 or vocab_size > MAX_ONE_HOT_VOCABULARY:
            return self._float.sum_by_token(tokens, tf.cast(x, tf.float32), vocab_size)
        return _short_by_token(tf.reshape(tokens, [-1]), _flat(x), _each_step(self._factors, x), tf.range(vocab_size))


@fused
def _short_layer(columns: Sequence[Tensor], delta: Tensor, factors: Tensor) -> tuple[list[Tensor], Tensor]:
    """Sums of `(f·a)ᵀδ` for several a as columns [d, T·B], and of f·δ."""
    rows = tf.concat([*(scaled(x, factors) for x in columns), tf.cast(factors, tf.bfloat16)[None]], axis=0)
    found = tf.matmul(rows, delta, output_type=tf.float32)
    *parts, row = tf.split(found, [*(x.shape[0] for x in columns), 1], axis=0)
    return parts, row[0]


@fused
def _short_by_token(tokens: Tensor, x: Tensor, factors: Tensor, vocabulary: Tensor) -> Tensor:
    marks = tf.where(tokens[None] == vocabulary[:, None], factors, 0.0)
    return tf.matmul(tf.cast(marks, tf.bfloat16), x, output_type=tf.float32)


def _each_step(factors: Tensor, x: Tensor) -> Tensor:
    """The factor of each record at each step of x [T, B, k], [T·B]."""
    return tf.reshape(tf.ones(tf.shape(x)[:2], factors.dtype) * factors, [-1])


def _columns(x: Tensor) -> Tensor:
    return tf.transpose(_flat(x))


def _flat(x: Tensor) -> Tensor:
    return tf.reshape(x, [-1, x.shape[2]])
