"""An LSTM layer at the machine's speed.

The loop over time does only what must be sequential: one product `h·U`, and the gates, fused by XLA. The input projection
of the whole sequence is one product before the loop. Backward, the loop yields δ, the gradient of the gates'
pre-activations; every weight gradient is then one product over all steps: `dW = Xᵀδ`, `dU = Hᵀδ` with H the previous
states. Weights, gate order (i, f, c, o) and results are those of `keras.layers.LSTM`.

Precision. What a product takes and gives has the type of the recurrent weights passed in, float32 or bfloat16; the gates'
arithmetic and the cell state are float32 in either (float64 where the products are, for tests).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from linesmith.model.tf_function import fused

Tensor = Any


class States(NamedTuple):
    """What a run of the recurrence leaves for its gradient.

    Attributes:
        hs: hidden states [T, B, u], in the products' type.
        gates: one activated [B, 4u] a step, in the products' type; a TensorArray, read step by step.
        cells: cell states [B, u], float32; entry 0 is the zero state before the first step.
    """

    hs: Tensor
    gates: tf.TensorArray
    cells: tf.TensorArray


# The element-wise part of a step is one kernel each way. XLA compiles it once for each number of rows, not of steps; the
# products stay outside, where TensorFlow's are faster than XLA's.
@fused
def _forward_step(z: Tensor, product: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden state and activated gates, in the products' type, and the next cell state."""
    units = c.shape[-1]
    # sigmoid(x) is (1 + tanh(x/2)) / 2: one tanh serves all four gates.
    slope = tf.constant(np.repeat([0.5, 0.5, 1.0, 0.5], units), c.dtype)
    gates = tf.tanh((tf.cast(z, c.dtype) + tf.cast(product, c.dtype)) * slope) * slope + (1 - slope)
    i, f, g, o = tf.split(gates, 4, axis=1)
    c = f * c + i * g
    return tf.cast(o * tf.tanh(c), z.dtype), tf.cast(gates, z.dtype), c


@fused
def _backward_step(
    dh: Tensor, product: Tensor, dc: Tensor, gates: Tensor, c_before: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """δ of a step, in the products' type, and the gradient of the cell state before it."""
    i, f, g, o = tf.split(tf.cast(gates, c.dtype), 4, axis=1)
    tanh_c = tf.tanh(c)
    dh = tf.cast(dh, c.dtype) + tf.cast(product, c.dtype)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    delta = [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)]
    return tf.cast(tf.concat(delta, axis=1), gates.dtype), dc * f


def forward(inputs: Callable[[Tensor], Tensor], steps: Tensor, rows: Tensor, recurrent: Tensor) -> States:
    """Run the recurrence from a zero state.

    Args:
        inputs: the projected input of a step, bias included, [B, 4u], in the type of `recurrent`.
        steps, rows: T and B, scalars.
        recurrent: [u, 4u].
    """
    units, kind = recurrent.shape[0], recurrent.dtype

    def array(width: int, dtype: Any, size: Tensor) -> tf.TensorArray:
        return tf.TensorArray(dtype, size, element_shape=[None, width], clear_after_read=False)

    def step(t: Tensor, h: Tensor, c: Tensor, hs: Any, gates: Any, cells: Any) -> tuple:
        h, activated, c = _forward_step(inputs(t), tf.matmul(h, recurrent), c)
        return t + 1, h, c, hs.write(t, h), gates.write(t, activated), cells.write(t + 1, c)

    zero = tf.zeros([rows, units], _state_type(kind))
    cells = array(units, zero.dtype, steps + 1).write(0, zero)
    start = (tf.constant(0), tf.cast(zero, kind), zero, array(units, kind, steps), array(4 * units, kind, steps), cells)
    _, _, _, hs, gates, cells = tf.while_loop(lambda t, *_: t < steps, step, start, parallel_iterations=1)
    return States(hs.stack(), gates, cells)


def backward(dhs: Tensor, recurrent: Tensor, states: States) -> Tensor:
    """δ, the loss gradient with respect to the gates' pre-activations, [T, B, 4u].

    Args:
        dhs: loss gradient of the hidden states, [T, B, u].
        recurrent: [u, 4u], as it was passed to `forward`.
        states: from `forward`.
    """
    steps, rows = tf.shape(dhs)[0], tf.shape(dhs)[1]
    units, kind = recurrent.shape[0], recurrent.dtype
    recurrent_t = tf.transpose(recurrent)

    def step(t: Tensor, product: Tensor, dc: Tensor, deltas: Any) -> tuple:
        kept = states.gates.read(t), states.cells.read(t), states.cells.read(t + 1)
        delta, dc = _backward_step(dhs[t], product, dc, *kept)
        return t - 1, tf.matmul(delta, recurrent_t), dc, deltas.write(t, delta)

    zero = tf.zeros([rows, units], _state_type(kind))
    deltas = tf.TensorArray(kind, steps, element_shape=[None, 4 * units])
    start = (steps - 1, tf.cast(zero, kind), zero, deltas)
    return tf.while_loop(lambda t, *_: t >= 0, step, start, parallel_iterations=1)[3].stack()


def _state_type(kind: tf.DType) -> tf.DType:
    """States are never narrower than float32."""
    return kind if kind == tf.float64 else tf.float32


def project(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """`x·kernel + bias` for all steps in one product, [T, B, d] to [T, B, k]."""
    flat = tf.matmul(tf.reshape(x, [-1, x.shape[2]]), kernel) + bias
    return tf.reshape(flat, [tf.shape(x)[0], tf.shape(x)[1], kernel.shape[1]])


def transposed(kernel: Tensor) -> Tensor:
    """The transpose, in memory: a plain one would be folded into the product it goes to, which is slower by a quarter."""
    return tf.raw_ops.Einsum(inputs=[kernel], equation="ij->ji")


def weight_gradient(x: Tensor, delta: Tensor) -> Tensor:
    """`xᵀδ` summed over steps and rows: a weight's gradient, [d, k]."""
    return tf.matmul(tf.reshape(x, [-1, x.shape[2]]), tf.reshape(delta, [-1, delta.shape[2]]), transpose_a=True)


@tf.custom_gradient
def lstm(x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, Any]:
    """Hidden states of an LSTM over a whole sequence, from a zero state.

    Args:
        x: inputs, time first, [T, B, d].
        kernel: [d, 4u]; gate order i, f, c, o.
        recurrent: [u, 4u].
        bias: [4u].

    Returns:
        Hidden states [T, B, u]. The gradient equals `keras.layers.LSTM`'s.
    """
    z = project(x, kernel, bias)
    states = forward(lambda t: z[t], tf.shape(x)[0], tf.shape(x)[1], recurrent)

    def gradient(dhs: Tensor) -> tuple:
        delta = backward(dhs, recurrent, states)
        # The state before the first step is zero, so that step adds nothing to the recurrent weights' gradient.
        drecurrent = weight_gradient(states.hs[:-1], delta[1:])
        dx = project(delta, transposed(kernel), tf.zeros([], x.dtype))
        return dx, weight_gradient(x, delta), drecurrent, tf.reduce_sum(delta, axis=[0, 1])

    return states.hs, gradient


@keras.saving.register_keras_serializable("linesmith")
class LSTM(keras.layers.Layer):
    """`keras.layers.LSTM(units, return_sequences=True)`, time first: [T, B, d] to [T, B, units].

    Variables have Keras' names,
    shapes, order and initial values: kernel, recurrent_kernel, bias (forget gate 1).

    Args:
        units: width of the state.
        recurrent_initializer: Keras initializer of the recurrent weights.
        seed: makes the initial weights repeatable.
    """

    def __init__(
        self, units: int, recurrent_initializer: str = "glorot_uniform", seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.units = units
        self.recurrent_initializer = recurrent_initializer
        self.seed = seed

    def build(self, x_shape: Any) -> None:
        u = self.units
        self.kernel = self.add_weight(
            shape=(x_shape[-1], 4 * u), initializer=keras.initializers.GlorotUniform(self.seed), name="kernel"
        )
        recurrent = keras.initializers.get(
            {"class_name": self.recurrent_initializer, "config": {}}
            if self.seed is None
            else seeded_initializer(self.recurrent_initializer, self.seed + 1)
        )
        self.recurrent_kernel = self.add_weight(shape=(u, 4 * u), initializer=recurrent, name="recurrent_kernel")
        self.bias = self.add_weight(shape=(4 * u,), initializer="zeros", name="bias")
        self.bias.assign(tf.concat([tf.zeros(u), tf.ones(u), tf.zeros(2 * u)], axis=0))

    def call(self, x: Tensor) -> Tensor:
        weights = [tf.convert_to_tensor(w) for w in (self.kernel, self.recurrent_kernel, self.bias)]
        return keras_lstm(x, *weights) if on_gpu() else lstm(x, *weights)


def on_gpu() -> bool:
    """Whether this process computes on a GPU, where Keras' own layer runs on cuDNN and nothing here is faster."""
    return bool(tf.config.list_physical_devices("GPU"))


def keras_lstm(x: Tensor, kernel: Tensor, recurrent: Tensor, bias: Tensor) -> Tensor:
    """`lstm` by `keras.layers.LSTM` itself, which takes cuDNN where there is one."""
    layer = keras.layers.LSTM(recurrent.shape[0], return_sequences=True)
    layer.build((None, None, x.shape[2]))
    state = [variable.value for variable in layer.non_trainable_variables]
    hs, _ = layer.stateless_call([kernel, recurrent, bias], state, tf.transpose(x, [1, 0, 2]))
    return tf.transpose(hs, [1, 0, 2])


def seeded_initializer(name: str, seed: int) -> Any:
    """A Keras initializer by name, seeded where it is a random one."""
    initializer = keras.initializers.get(name)
    settings = initializer.get_config()
    return type(initializer).from_config({**settings, "seed": seed}) if "seed" in settings else initializer
