"""An LSTM layer at the machine's speed, and the language model built from it.

The loop over time does only what must be sequential, `h·U`. The input projection of the whole sequence is one matmul
before the loop. Backward, the loop yields δ, the gradient of the gates' pre-activations; every weight gradient is then
one matmul over all steps: `dW = Xᵀδ`, `dU = Hᵀδ` with H the previous states. Weights, gate order (i, f, c, o) and
results are those of `keras.layers.LSTM`.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

Tensor = Any


def _gates(pre: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Activated gates [B, 4u], next cell state and its tanh."""
    i_f, g, o = tf.split(pre, [2 * c.shape[-1], c.shape[-1], c.shape[-1]], axis=1)
    i_f, g, o = tf.sigmoid(i_f), tf.tanh(g), tf.sigmoid(o)
    i, f = tf.split(i_f, 2, axis=1)
    c = f * c + i * g
    return tf.concat([i_f, g, o], axis=1), c, tf.tanh(c)


def forward(zx: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run the recurrence from a zero state.

    Args:
        zx: input projection, bias included, [T, B, 4u].
        recurrent: [u, 4u].

    Returns:
        Hidden states [T, B, u], activated gates [T, B, 4u], cell states [T, B, u].
    """
    steps = tf.shape(zx)[0]
    units = recurrent.shape[0]
    zero = tf.zeros([tf.shape(zx)[1], units], zx.dtype)

    def array(width: int) -> tf.TensorArray:
        return tf.TensorArray(zx.dtype, steps, element_shape=[None, width])

    def step(t: Tensor, h: Tensor, c: Tensor, hs: Any, gates: Any, cs: Any) -> tuple:
        activated, c, tanh_c = _gates(zx[t] + tf.matmul(h, recurrent), c)
        h = activated[:, 3 * units :] * tanh_c
        return t + 1, h, c, hs.write(t, h), gates.write(t, activated), cs.write(t, c)

    loop = (tf.constant(0), zero, zero, array(units), array(4 * units), array(units))
    _, _, _, hs, gates, cs = tf.while_loop(lambda t, *_: t < steps, step, loop, parallel_iterations=1)
    return hs.stack(), gates.stack(), cs.stack()


def backward(dh_out: Tensor, recurrent: Tensor, gates: Tensor, cs: Tensor) -> Tensor:
    """δ, the loss gradient with respect to the gates' pre-activations, [T, B, 4u]."""
    steps = tf.shape(dh_out)[0]
    units = recurrent.shape[0]
    recurrent_t = tf.transpose(recurrent)
    c_prev = tf.concat([tf.zeros_like(cs[:1]), cs[:-1]], axis=0)
    i, f, g, o = tf.split(gates, 4, axis=2)
    # All factors that do not depend on the running gradient are formed for every step at once.
    tanh_c = tf.tanh(cs)
    to_c = o * (1 - tanh_c * tanh_c)
    to_o = tanh_c * o * (1 - o)
    from_c = tf.concat([g * i * (1 - i), c_prev * f * (1 - f), i * (1 - g * g)], axis=2)

    def step(t: Tensor, dh: Tensor, dc: Tensor, deltas: Any) -> tuple:
        dh = dh + dh_out[t]
        dc = dc + dh * to_c[t]
        delta = tf.concat([tf.tile(dc, [1, 3]) * from_c[t], dh * to_o[t]], axis=1)
        return t - 1, tf.matmul(delta, recurrent_t), dc * f[t], deltas.write(t, delta)

    zero = tf.zeros_like(dh_out[0])
    deltas = tf.TensorArray(dh_out.dtype, steps, element_shape=[None, 4 * units])
    _, _, _, deltas = tf.while_loop(lambda t, *_: t >= 0, step, (steps - 1, zero, zero, deltas), parallel_iterations=1)
    return deltas.stack()


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
    hs, gates, cs = forward(tf.tensordot(x, kernel, 1) + bias, recurrent)

    def gradient(dhs: Tensor) -> tuple:
        delta = backward(dhs, recurrent, gates, cs)
        flat = tf.reshape(delta, [-1, delta.shape[2]])
        h_prev = tf.concat([tf.zeros_like(hs[:1]), hs[:-1]], axis=0)
        dkernel = tf.matmul(tf.reshape(x, [-1, x.shape[2]]), flat, transpose_a=True)
        drecurrent = tf.matmul(tf.reshape(h_prev, [-1, hs.shape[2]]), flat, transpose_a=True)
        dx = tf.tensordot(delta, tf.transpose(kernel), 1)
        return dx, dkernel, drecurrent, tf.reduce_sum(flat, axis=0)

    return hs, gradient


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
        return lstm(
            x,
            tf.convert_to_tensor(self.kernel),
            tf.convert_to_tensor(self.recurrent_kernel),
            tf.convert_to_tensor(self.bias),
        )


def seeded_initializer(name: str, seed: int) -> Any:
    """A Keras initializer by name, seeded where it is a random one."""
    initializer = keras.initializers.get(name)
    settings = initializer.get_config()
    return type(initializer).from_config({**settings, "seed": seed}) if "seed" in settings else initializer
