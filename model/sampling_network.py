"""The trained network as sampling wants it: weights padded and fused, some steps for a block of rows in one graph call.

Every width is padded to a multiple of 16: then a row's numbers do not depend on how many rows stand beside it, so text is
the same for any block size. The first layer's input projection is a table, one row a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from model.errors import DataError

STEPS = 16  # of one graph call; a row that ends in between waits for the call to end
_LANE = 16
Tensor = Any


def _up(width: int) -> int:
    return -(-width // _LANE) * _LANE


def _pad_units(matrix: np.ndarray, units: int) -> np.ndarray:
    """Pad the four gates of a [.., 4u] array, each on its own, to a multiple of 16 units."""
    gates = matrix.reshape(*matrix.shape[:-1], 4, units)
    widths = [(0, 0)] * (gates.ndim - 1) + [(0, _up(units) - units)]
    return np.pad(gates, widths).reshape(*matrix.shape[:-1], 4 * _up(units))


class SamplingNetwork:
    """Steps a block of rows through the network.

    Args:
        weights: trained variables by path, as training saved them.
        layers: LSTM layers.
        forbidden: ids that are never drawn.
    """

    def __init__(self, weights: dict[str, np.ndarray], layers: int, forbidden: Sequence[int]) -> None:
        try:
            self._prepare({path.split("/", 1)[-1]: array for path, array in weights.items()}, layers, forbidden)
        except (KeyError, ValueError) as error:
            raise DataError(f"LS206: the model's weights do not fit its description ({error}); train again.") from None
        self._advance = tf.function(self._steps, reduce_retracing=False)

    def _prepare(self, weights: dict[str, np.ndarray], layers: int, forbidden: Sequence[int]) -> None:
        u = weights["lstm_0/recurrent_kernel"].shape[0]
        pad_rows = ((0, _up(u) - u), (0, 0))
        self.units = _up(u)
        table = weights["embedding/embeddings"] @ weights["lstm_0/kernel"] + weights["lstm_0/bias"]
        self._table = tf.constant(_pad_units(table, u))
        # Layer 0 sees only its own state; the others their input and their state, in one matmul.
        self._kernels, self._biases = [], []
        for i in range(layers):
            recurrent = np.pad(_pad_units(weights[f"lstm_{i}/recurrent_kernel"], u), pad_rows)
            if i > 0:
                below = np.pad(_pad_units(weights[f"lstm_{i}/kernel"], u), pad_rows)
                recurrent = np.concatenate([below, recurrent])
            self._kernels.append(tf.constant(recurrent))
            self._biases.append(tf.constant(_pad_units(weights[f"lstm_{i}/bias"], u)))
        kernel, bias = weights["logits/kernel"], weights["logits/bias"]
        vocab = bias.shape[0]
        bias = np.pad(bias, (0, _up(vocab) - vocab), constant_values=-np.inf)
        bias[list(forbidden)] = -np.inf
        self._logits_kernel = tf.constant(np.pad(kernel, (pad_rows[0], (0, _up(vocab) - vocab))))
        self._logits_bias = tf.constant(bias.astype(np.float32))
        self.layers = layers

    def zero_state(self, rows: int) -> list[Tensor]:
        """h and c of each layer, [rows, units], all zero."""
        return [tf.zeros([rows, self.units]) for _ in range(2 * self.layers)]

    def advance(
        self,
        state: list[Tensor],
        tokens: npt.NDArray[np.int32],
        fresh: npt.NDArray[np.bool_],
        forced: npt.NDArray[np.int32],
        uniforms: npt.NDArray[np.float32],
        temperature: float,
    ) -> tuple[list[Tensor], npt.NDArray[np.int32]]:
        """Run `STEPS` steps.

        Args:
            state: from `zero_state` or the former call.
            tokens: last token of each row, [R].
            fresh: rows that start a record: their state and token are taken as zero, [R].
            forced: token to take at each step instead of drawing one, or −1, [STEPS, R].
            uniforms: one number in [0, 1) a step and row, [STEPS, R].
            temperature: 0 takes the likeliest token.

        Returns:
            The new state and the tokens, [STEPS, R].
        """
        greedy = temperature == 0
        scale = tf.constant(1.0 if greedy else 1.0 / temperature, tf.float32)
        tensors = [tf.constant(array) for array in (tokens, fresh, forced, uniforms)]
        state, drawn = self._advance(state, *tensors, scale, greedy)
        return state, drawn.numpy()

    def _steps(self, state, tokens, fresh, forced, uniforms, scale, greedy):  # type: ignore[no-untyped-def]
        state = [tf.where(fresh[:, None], 0.0, part) for part in state]
        tokens = tf.where(fresh, 0, tokens)
        out = []
        for k in range(STEPS):
            state, logits = self._step(state, tokens)
            drawn = tf.argmax(logits, axis=1, output_type=tf.int32) if greedy else draw(logits * scale, uniforms[k])
            tokens = tf.where(forced[k] >= 0, forced[k], drawn)
            out.append(tokens)
        return state, tf.stack(out)

    def _step(self, state: list[Tensor], tokens: Tensor) -> tuple[list[Tensor], Tensor]:
        new: list[Tensor] = []
        below = None
        for i in range(self.layers):
            h, c = state[2 * i], state[2 * i + 1]
            if below is None:
                pre = tf.gather(self._table, tokens) + tf.matmul(h, self._kernels[i])
            else:
                pre = tf.matmul(tf.concat([below, h], axis=1), self._kernels[i]) + self._biases[i]
            gate_i, gate_f, gate_c, gate_o = tf.split(pre, 4, axis=1)
            c = tf.sigmoid(gate_f) * c + tf.sigmoid(gate_i) * tf.tanh(gate_c)
            below = tf.sigmoid(gate_o) * tf.tanh(c)
            new += [below, c]
        return new, tf.matmul(below, self._logits_kernel) + self._logits_bias


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """One token a row by inverse CDF; a token of probability 0 cannot be drawn.

    The threshold is u × total, kept below the total: the first token whose running sum exceeds it has a weight above 0.

    Args:
        logits: [R, V]; −inf forbids a token.
        uniform: in [0, 1), [R].
    """
    weights = tf.exp(logits - tf.reduce_max(logits, axis=1, keepdims=True))
    running = tf.cumsum(weights, axis=1)
    total = running[:, -1]
    threshold = tf.minimum(uniform * total, tf.math.nextafter(total, tf.zeros_like(total)))
    return tf.reduce_sum(tf.cast(running <= threshold[:, None], tf.int32), axis=1)
