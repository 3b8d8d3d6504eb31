"""An LSTM layer over whole sequences (Hochreiter and Schmidhuber 1997), with its gradient written out.

The loop over time does only what must be sequential: one product `h·U`, and the gates, which XLA fuses. The input projection
of the whole sequence is one product before the loop. Backward, the loop yields δ, the loss gradient with respect to the
gates' pre-activations; every weight gradient is then one product over all steps: `dW = Xᵀδ`, `dU = Hᵀδ`, with H the hidden
states of the step before. Weights, gate order (i, f, c, o) and results are those of `keras.layers.LSTM`.

Precision. The operands and results of products have the type of the recurrent weights passed in, float32 or bfloat16. Gate
arithmetic and cell states are float32 with either (float64 where the products are, for tests).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from linesmith.model.tf_function import fused


class LSTMStates(NamedTuple):
    """What a forward pass leaves for its gradient.

    Attributes:
        hidden: hidden states [T, B, u], in the products' type.
        gates: activated gates, one [B, 4u] per step, in the products' type; a TensorArray, read step by step.
        cells: cell states, T + 1 of [B, u], float32; entry 0 is the zero state before the first step.
    """

    hidden: tf.Tensor
    gates: tf.TensorArray
    cells: tf.TensorArray


# The element-wise part of a step is one XLA kernel each way. XLA compiles it once for each number of rows, not of steps. The
# products stay outside of it: TensorFlow's are faster than XLA's on a CPU.
@fused
def _forward_step(z: tf.Tensor, product: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compute the hidden state and the activated gates, in the products' type, and the next cell state."""
    units = c.shape[-1]
    # sigmoid(x) = (1 + tanh(x/2)) / 2: with a slope of 1/2 for i, f and o, one tanh serves all four gates.
    slope = tf.constant(np.repeat([0.5, 0.5, 1.0, 0.5], units), c.dtype)
    gates = tf.tanh((tf.cast(z, c.dtype) + tf.cast(product, c.dtype)) * slope) * slope + (1 - slope)
    i, f, g, o = tf.split(gates, 4, axis=1)
    c = f * c + i * g
    return tf.cast(o * tf.tanh(c), z.dtype), tf.cast(gates, z.dtype), c


@fused
def _backward_step(
    dh: tf.Tensor, product: tf.Tensor, dc: tf.Tensor, gates: tf.Tensor, c_before: tf.Tensor, c: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute δ of a step, in the products' type, and the gradient of the cell state before it.

    `dh` is the gradient of the hidden state from the layer above, `product` that from the next step.
    """
    i, f, g, o = tf.split(tf.cast(gates, c.dtype), 4, axis=1)
    tanh_c = tf.tanh(c)
    dh = tf.cast(dh, c.dtype) + tf.cast(product, c.dtype)
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    # σ' = σ(1 − σ) and tanh' = 1 − tanh², from the activated gates alone: the pre-activations need not be kept.
    delta = [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)]
    return tf.cast(tf.concat(delta, axis=1), gates.dtype), dc * f


def lstm_forward(
    inputs: Callable[[tf.Tensor], tf.Tensor], steps: tf.Tensor, rows: tf.Tensor, recurrent: tf.Tensor
) -> LSTMStates:
    """Run the recurrence from a zero state.

    Args:
        inputs: gives the projected input of a step, bias included, [B, 4u], in the type of `recurrent`.
        steps: T, a scalar.
        rows: B, a scalar.
        recurrent: recurrent kernel, [u, 4u].
    """
    units, dtype = recurrent.shape[0], recurrent.dtype

    def array(width: int, dtype: tf.DType, size: tf.Tensor) -> tf.TensorArray:
        # Not cleared after a read: the backward pass reads each cell state twice.
        return tf.TensorArray(dtype, size, element_shape=[None, width], clear_after_read=False)

    def step(
        t: tf.Tensor, h: tf.Tensor, c: tf.Tensor, hidden: tf.TensorArray, gates: tf.TensorArray, cells: tf.TensorArray
    ) -> tuple:
        h, activated, c = _forward_step(inputs(t), tf.matmul(h, recurrent), c)
        return t + 1, h, c, hidden.write(t, h), gates.write(t, activated), cells.write(t + 1, c)

    zero = tf.zeros([rows, units], at_least_float32(dtype))
    cells = array(units, zero.dtype, steps + 1).write(0, zero)
    arrays = array(units, dtype, steps), array(4 * units, dtype, steps), cells
    start = (tf.constant(0), tf.cast(zero, dtype), zero, *arrays)
    _, _, _, hidden, gates, cells = tf.while_loop(lambda t, *_: t < steps, step, start, parallel_iterations=1)
    return LSTMStates(hidden.stack(), gates, cells)


def lstm_backward(hidden_gradients: tf.Tensor, recurrent: tf.Tensor, states: LSTMStates) -> tf.Tensor:
    """Compute δ, the loss gradient with respect to the gates' pre-activations, [T, B, 4u], in the products' type.

    Args:
        hidden_gradients: loss gradient of the hidden states, [T, B, u].
        recurrent: recurrent kernel, [u, 4u], as it was passed to `lstm_forward`.
        states: from `lstm_forward`.
    """
    steps, rows = tf.shape(hidden_gradients)[0], tf.shape(hidden_gradients)[1]
    units, dtype = recurrent.shape[0], recurrent.dtype
    recurrent_t = tf.transpose(recurrent)  # once, before the loop

    def step(t: tf.Tensor, product: tf.Tensor, dc: tf.Tensor, deltas: tf.TensorArray) -> tuple:
        # Entry t of the cells is the state before step t, entry t + 1 the one after it.
        kept = states.gates.read(t), states.cells.read(t), states.cells.read(t + 1)
        delta, dc = _backward_step(hidden_gradients[t], product, dc, *kept)
        return t - 1, tf.matmul(delta, recurrent_t), dc, deltas.write(t, delta)

    zero = tf.zeros([rows, units], at_least_float32(dtype))
    deltas = tf.TensorArray(dtype, steps, element_shape=[None, 4 * units])
    start = (steps - 1, tf.cast(zero, dtype), zero, deltas)
    return tf.while_loop(lambda t, *_: t >= 0, step, start, parallel_iterations=1)[3].stack()


def at_least_float32(dtype: tf.DType) -> tf.DType:
    """Return the type of what must not be rounded to bfloat16: float64 for float64, otherwise float32."""
    return dtype if dtype == tf.float64 else tf.float32


def project(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Compute `x·kernel + bias` for all steps in one product, [T, B, d] to [T, B, k]."""
    flat = tf.matmul(tf.reshape(x, [-1, x.shape[2]]), kernel) + bias
    return tf.reshape(flat, [tf.shape(x)[0], tf.shape(x)[1], kernel.shape[1]])


def materialized_transpose(kernel: tf.Tensor) -> tf.Tensor:
    """Return the transpose of a matrix as a tensor of its own.

    TensorFlow folds a plain transpose into the product that takes it, which makes that product slower by a quarter.
    """
    return tf.raw_ops.Einsum(inputs=[kernel], equation="ij->ji")


def weight_gradient(x: tf.Tensor, delta: tf.Tensor) -> tf.Tensor:
    """Compute `xᵀδ` summed over steps and rows, the gradient of a weight: [T, B, d] and [T, B, k] to [d, k]."""
    return tf.matmul(tf.reshape(x, [-1, x.shape[2]]), tf.reshape(delta, [-1, delta.shape[2]]), transpose_a=True)


@tf.custom_gradient
def lstm(
    x: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple]]:
    """Compute the hidden states of an LSTM over whole sequences, from a zero state.

    Args:
        x: inputs, time first, [T, B, d].
        kernel: [d, 4u]; gate order i, f, c, o.
        recurrent: [u, 4u].
        bias: [4u].

    Returns:
        Hidden states [T, B, u]. Their gradient equals that of `keras.layers.LSTM`.
    """
    z = project(x, kernel, bias)
    states = lstm_forward(lambda t: z[t], tf.shape(x)[0], tf.shape(x)[1], recurrent)

    def gradient(hidden_gradients: tf.Tensor) -> tuple:
        delta = lstm_backward(hidden_gradients, recurrent, states)
        # The state before the first step is zero: that step adds nothing to the recurrent weights' gradient.
        recurrent_gradient = weight_gradient(states.hidden[:-1], delta[1:])
        dx = project(delta, materialized_transpose(kernel), tf.zeros([], x.dtype))
        return dx, weight_gradient(x, delta), recurrent_gradient, tf.reduce_sum(delta, axis=[0, 1])

    return states.hidden, gradient


@keras.saving.register_keras_serializable("linesmith")
class LSTM(keras.layers.Layer):
    """`keras.layers.LSTM(units, return_sequences=True)` with time first: [T, B, d] to [T, B, units].

    Variables have Keras' names, shapes, order and initial values: kernel, recurrent_kernel, bias (1 for the forget gate).

    Args:
        units: width of the state.
        recurrent_initializer: Keras initializer of the recurrent weights.
        seed: makes the initial weights repeatable; None: they differ each time.
    """

    def __init__(
        self, units: int, recurrent_initializer: str = "glorot_uniform", seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.units = units
        self.recurrent_initializer = recurrent_initializer
        self.seed = seed

    def build(self, x_shape: Any) -> None:
        """Create the variables for inputs of width `x_shape[-1]`."""
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
        # A forget gate that begins open lets gradients through from the first step on (Jozefowicz et al. 2015).
        self.bias.assign(tf.concat([tf.zeros(u), tf.ones(u), tf.zeros(2 * u)], axis=0))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Return the hidden states [T, B, units] for inputs [T, B, d]."""
        weights = [tf.convert_to_tensor(w) for w in (self.kernel, self.recurrent_kernel, self.bias)]
        return keras_lstm(x, *weights) if on_gpu() else lstm(x, *weights)


def on_gpu() -> bool:
    """Return whether this process computes on a GPU, where Keras' own layer runs on cuDNN and is the fastest."""
    return bool(tf.config.list_physical_devices("GPU"))


def keras_lstm(x: tf.Tensor, kernel: tf.Tensor, recurrent: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Compute what `lstm` computes by `keras.layers.LSTM` itself, which takes cuDNN where there is one."""
    layer = keras.layers.LSTM(recurrent.shape[0], return_sequences=True)
    layer.build((None, None, x.shape[2]))
    # Stateless, so that the weights are those passed in and not the new layer's own.
    state = [variable.value for variable in layer.non_trainable_variables]
    hidden, _ = layer.stateless_call([kernel, recurrent, bias], state, tf.transpose(x, [1, 0, 2]))
    return tf.transpose(hidden, [1, 0, 2])


def seeded_initializer(name: str, seed: int) -> keras.initializers.Initializer:
    """Return a Keras initializer by name, seeded where it is a random one."""
    initializer = keras.initializers.get(name)
    settings = initializer.get_config()
    return type(initializer).from_config({**settings, "seed": seed}) if "seed" in settings else initializer
