"""Matrix products of the recurrence in sampling: a hidden state times a constant kernel, in one of three precisions.

Each class converts a hidden state, numbers in [−1, 1], to an operand, multiplies operands, and converts a product to
float32. Element-wise work is left to the caller's XLA; the product itself is TensorFlow's.

Products of 8-bit integers. A column of the kernel is w ≈ s·q, with q in −127…127 and a scale s of its own; a hidden state is
h ≈ (u − 128)/127, with u in 1…255. Then h·w = s/127 · (Σ u·q − 128 Σ q). The sums are exact: they depend neither on the rows
beside a row, nor on threads, nor on the processor. Only above 2²⁴, which takes more than 500 units, may one be rounded to
float32 at the end.

Source: Jacob et al. 2018, arXiv 1712.05877, section 2, with the range of h known in advance.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from linesmith.core.hardware import has_int8_instructions

Matrix = npt.NDArray[np.float32]
ALL_COLUMNS = slice(None)
_ZERO_POINT = 128  # the operand that stands for 0
_STEPS = 127  # quantization steps from 0 to 1, on either side
_EXACT_LIMIT = 1 << 24  # float32 holds all integers up to here


class FloatMatMul:
    """Matrix product in float32 or bfloat16. Products of bfloat16 operands are rounded to bfloat16.

    Args:
        kernel: [k, n].
        dtype: TensorFlow's type of operands and products.

    Attributes:
        dtype: type of an operand.
        zero: the operand of a hidden state of 0, a scalar.
    """

    def __init__(self, kernel: Matrix, dtype: tf.DType) -> None:
        self.dtype, self.zero = dtype, tf.zeros([], dtype)
        self._kernel = tf.cast(tf.constant(kernel), dtype)

    def to_operand(self, hidden: tf.Tensor) -> tf.Tensor:
        """Convert a hidden state, float32, to the operand of `multiply`, of type `dtype`."""
        return tf.cast(hidden, self.dtype)

    def multiply(self, operand: tf.Tensor) -> tf.Tensor:
        """Multiply an operand, [R, k], by the kernel; returns [R, n]."""
        return tf.matmul(operand, self._kernel)

    def to_float32(self, product: tf.Tensor, columns: slice = ALL_COLUMNS) -> tf.Tensor:
        """Convert `multiply`'s result, or the given columns of it, to float32."""
        return tf.cast(product, tf.float32)


class Int8MatMul:
    """Matrix product of 8-bit integers, fast where the processor has instructions for it.

    Args:
        kernel: [k, n].
        native: multiply integers, not floats that hold integers; None: wherever that is fast.

    Attributes:
        dtype: type of an operand, uint8.
        zero: the operand of a hidden state of 0, a scalar.
    """

    def __init__(self, kernel: Matrix, native: bool | None = None) -> None:
        self.dtype, self.zero = tf.uint8, tf.constant(_ZERO_POINT, tf.uint8)
        self._native = _has_native_products() if native is None else native
        largest = np.abs(kernel).max(axis=0)
        scale = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(_STEPS)
        quantized = np.rint(kernel / scale).astype(np.int8)
        self._scale = tf.constant(scale / np.float32(_STEPS))
        if self._native:
            self._quantized = quantized.astype(tf.qint8.as_numpy_dtype)
            self._offset = (-_ZERO_POINT * quantized.sum(axis=0, dtype=np.int32)).astype(tf.qint32.as_numpy_dtype)
        else:
            # Floats that hold integers add exactly while every sum stays below what the type can hold.
            largest_sum = _STEPS * int(np.abs(quantized.astype(np.int64)).sum(axis=0).max(initial=0))
            self._kernel = tf.constant(quantized, tf.float32 if largest_sum <= _EXACT_LIMIT else tf.float64)

    def to_operand(self, hidden: tf.Tensor) -> tf.Tensor:
        """Quantize a hidden state, float32 in [−1, 1], to the operand of `multiply`, uint8 in 1…255."""
        return tf.cast(tf.cast(tf.round(hidden * _STEPS), tf.int32) + _ZERO_POINT, tf.uint8)

    def multiply(self, operand: tf.Tensor) -> tf.Tensor:
        """Multiply an operand, [R, k], by the kernel; returns whole numbers, [R, n], int32 or a float type."""
        if not self._native:
            return tf.matmul(tf.cast(operand, self._kernel.dtype) - _ZERO_POINT, self._kernel)
        # The kernel must be a constant of the graph itself: a loop cannot pass quantized tensors on, and oneDNN packs a
        # constant kernel only once. The ranges only say how the result would be scaled, which `to_float32` does.
        sums, _, _ = tf.raw_ops.QuantizedMatMulWithBias(
            a=tf.bitcast(operand, tf.quint8),
            b=tf.constant(self._quantized),
            bias=tf.constant(self._offset),
            min_a=0.0,
            max_a=255.0,
            min_b=-127.0,
            max_b=127.0,
            Toutput=tf.qint32,
            input_quant_mode="SCALED",
        )
        return tf.bitcast(sums, tf.int32)

    def to_float32(self, product: tf.Tensor, columns: slice = ALL_COLUMNS) -> tf.Tensor:
        """Convert `multiply`'s result, or the given columns of it, to float32.

        Args:
            product: `multiply`'s result, already cut to `columns`.
            columns: which of the kernel's columns it has.
        """
        return tf.cast(product, tf.float32) * self._scale[columns]


MatMul = FloatMatMul | Int8MatMul


def make_matmul(kernel: Matrix, precision: str) -> MatMul:
    """Return the product with a kernel, [k, n], in a precision: 'float32', 'bfloat16' or 'int8'."""
    return Int8MatMul(kernel) if precision == "int8" else FloatMatMul(kernel, tf.as_dtype(precision))


def _has_native_products() -> bool:
    """Return whether TensorFlow multiplies integers fast and exactly.

    Its integer kernels are oneDNN's, which must be turned on; on processors without VNNI their sums overflow.
    """
    return (
        has_int8_instructions()
        and os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"
        and not tf.config.list_physical_devices("GPU")
    )
