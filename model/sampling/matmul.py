"""The matrix products of the recurrence in sampling: a hidden state times a constant kernel, in one of three precisions.

Each says how a hidden state, numbers in [−1, 1], becomes an operand, multiplies operands, and makes float32 of a product. What
is done to each element is left to the caller's XLA; the product is TensorFlow's.

Products of 8-bit integers. A column of the kernel is w ≈ s·q, with q in −127…127 and a scale s of its own; a hidden state is
h ≈ (u − 128)/127, with u in 1…255. Then h·w = s/127 · (Σ u·q − 128 Σ q). The sums are exact: they depend neither on the rows
beside a row, nor on threads, nor on the processor. Only above 2²⁴, which takes more than 500 units, may one be rounded to
float32 at the end. (Jacob et al. 2018, arXiv 1712.05877, section 2, with the range of h known in advance.)
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from linesmith.core.hardware import has_int8_instructions

Tensor = Any
Matrix = npt.NDArray[np.float32]
ALL = slice(None)
_ZERO = 128  # what stands for 0 in an operand of integers
_STEPS = 127  # of them up to 1, either way
_EXACT = 1 << 24  # whole numbers up to here are float32's


class FloatMatMul:
    """Products in float32 or bfloat16; what bfloat16 products give is rounded to it.

    Args:
        kernel: [k, n].
        kind: TensorFlow's type.
    """

    def __init__(self, kernel: Matrix, kind: Any) -> None:
        self.kind, self.zero = kind, tf.zeros([], kind)
        self._kernel = tf.cast(tf.constant(kernel), kind)

    def operand(self, hidden: Tensor) -> Tensor:
        """A hidden state as `times` takes it, of type `kind`."""
        return tf.cast(hidden, self.kind)

    def times(self, operand: Tensor) -> Tensor:
        """[R, k] times the kernel, [R, n]."""
        return tf.matmul(operand, self._kernel)

    def value(self, product: Tensor, columns: slice = ALL) -> Tensor:
        """What `times` gave, as float32; or of that, some columns."""
        return tf.cast(product, tf.float32)


class Int8MatMul:
    """Products of 8-bit integers, fast where the processor has instructions for them.

    Args:
        kernel: [k, n].
        native: multiply integers, not floats that hold them; None: where that is fast.
    """

    def __init__(self, kernel: Matrix, native: bool | None = None) -> None:
        self.kind, self.zero = tf.uint8, tf.constant(_ZERO, tf.uint8)
        self._native = _native() if native is None else native
        most = np.abs(kernel).max(axis=0)
        scale = np.where(most > 0, most, 1).astype(np.float32) / np.float32(_STEPS)
        whole = np.rint(kernel / scale).astype(np.int8)
        self._scale = tf.constant(scale / np.float32(_STEPS))
        if self._native:
            self._whole = whole.astype(tf.qint8.as_numpy_dtype)
            self._offset = (-_ZERO * whole.sum(axis=0, dtype=np.int32)).astype(tf.qint32.as_numpy_dtype)
        else:
            largest = _STEPS * int(np.abs(whole.astype(np.int64)).sum(axis=0).max(initial=0))
            self._kernel = tf.constant(whole, tf.float32 if largest <= _EXACT else tf.float64)

    def operand(self, hidden: Tensor) -> Tensor:
        """A hidden state as `times` takes it, of type `kind`."""
        return tf.cast(tf.cast(tf.round(hidden * _STEPS), tf.int32) + _ZERO, tf.uint8)

    def times(self, operand: Tensor) -> Tensor:
        """[R, k] times the kernel, [R, n], whole numbers."""
        if not self._native:
            return tf.matmul(tf.cast(operand, self._kernel.dtype) - _ZERO, self._kernel)
        # Constants of the graph itself: a loop cannot hand quantized tensors on, and oneDNN packs a constant kernel once. The
        # ranges say only what the result is scaled by, and that is left to `value`.
        whole, _, _ = tf.raw_ops.QuantizedMatMulWithBias(
            a=tf.bitcast(operand, tf.quint8),
            b=tf.constant(self._whole),
            bias=tf.constant(self._offset),
            min_a=0.0,
            max_a=255.0,
            min_b=-127.0,
            max_b=127.0,
            Toutput=tf.qint32,
            input_quant_mode="SCALED",
        )
        return tf.bitcast(whole, tf.int32)

    def value(self, product: Tensor, columns: slice = ALL) -> Tensor:
        """What `times` gave, as float32; or of that, some columns."""
        return tf.cast(product, tf.float32) * self._scale[columns]


Product = FloatMatMul | Int8MatMul


def make_matmul(kernel: Matrix, precision: str) -> Product:
    """Products with a kernel, in 'float32', 'bfloat16' or 'int8'."""
    return Int8MatMul(kernel) if precision == "int8" else FloatMatMul(kernel, tf.as_dtype(precision))


def _native() -> bool:
    """TensorFlow's integer kernels are oneDNN's: they need it on, and on processors without VNNI their sums overflow."""
    return (
        has_int8_instructions()
        and os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0"
        and not tf.config.list_physical_devices("GPU")
    )
