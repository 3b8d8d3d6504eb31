"""One step of the LSTM layers as sampling runs it: padded, fused weights and the gates between two products.

Every width is padded to a multiple of 16. The first layer's input projection is a table with one row per token; in a network
that knows fields, with one for each row of its table, of which each step adds up a few. XLA may round in one way only
(`draw.rounded`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from linesmith.model.sampling.draw import PAD_MULTIPLE, rounded
from linesmith.model.sampling.input_table import InputTable
from linesmith.model.sampling.matmul import MatMul, make_matmul


def round_up(width: int) -> int:
    """Round a width up to a multiple of 16.

    Example:
        >>> round_up(24), round_up(32)
        (32, 32)
    """
    return -(-width // PAD_MULTIPLE) * PAD_MULTIPLE


# The sigmoids' gates are halved: `_sigmoid_of_twice` takes the half, and halving a float is exact. Order: i, f, c, o.
_HALVES = np.array([0.5, 0.5, 1.0, 0.5], np.float32)[:, None]


def _gate_columns(matrix: np.ndarray, units: int) -> np.ndarray:
    """Pad the four gates of a [.., 4u] array to a multiple of 16 units each, and halve the three sigmoids' gates."""
    gates = matrix.reshape(*matrix.shape[:-1], 4, units) * _HALVES
    widths = [(0, 0)] * (gates.ndim - 1) + [(0, round_up(units) - units)]
    return np.pad(gates, widths).reshape(*matrix.shape[:-1], 4 * round_up(units))


class LSTMStep:
    """The LSTM layers of a network.

    Args:
        weights: trained variables by path, without the network's name.
        layers: number of layers.
        precision: of the products.
        sums_rows: the first layer's input is a sum of rows of a table.

    Attributes:
        units: units of a layer, padded.
        products: matrix product of each layer. The first one multiplies only the layer's own state; each other one multiplies
            the layer's input and its state.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], layers: int, precision: str, sums_rows: bool) -> None:
        u = weights["lstm_0/recurrent_kernel"].shape[0]
        pad_rows = ((0, round_up(u) - u), (0, 0))
        self.units = round_up(u)
        table = weights["embedding/embeddings"] @ weights["lstm_0/kernel"]
        # Every step looks up one token, whatever else it looks up.
        table[: weights["logits/bias"].shape[0]] += weights["lstm_0/bias"]
        # A plain network's sum is a single row.
        self._table = InputTable(_gate_columns(table, u), sums_rows and precision == "int8")
        self.products: list[MatMul] = []
        self._biases = []
        for i in range(layers):
            recurrent = np.pad(_gate_columns(weights[f"lstm_{i}/recurrent_kernel"], u), pad_rows)
            if i > 0:
                below = np.pad(_gate_columns(weights[f"lstm_{i}/kernel"], u), pad_rows)
                recurrent = np.concatenate([below, recurrent])
            self.products.append(make_matmul(recurrent, precision))
            self._biases.append(tf.split(tf.constant(_gate_columns(weights[f"lstm_{i}/bias"], u)), 4))

    def gates(self, layer, multiplied, looked_up, fresh, c, h_above):  # type: ignore[no-untyped-def]
        """Compute a layer's gates and its new state.

        Args:
            layer: its number.
            multiplied: the result of its product.
            looked_up: rows of the table that make up the input, [R] each; of the first layer only.
            fresh: rows that begin from a zero state.
            c: the previous cell state.
            h_above: the previous h of the layer above, as an operand; None in the last layer.

        Returns:
            The operand of the layer above, or the last layer's h as float32; h as an operand; c.
        """
        product, reset = self.products[layer], fresh[:, None]
        gates = []
        for number, part in enumerate(tf.split(multiplied, 4, axis=1)):
            value = product.to_float32(part, slice(number * self.units, (number + 1) * self.units))
            if layer == 0:
                gates.append(tf.where(reset, 0.0, value) + self._table.sum_of_rows(number, looked_up))
            else:
                # No reset here: in fresh rows the layer below has put zeros into the operand already.
                gates.append(value + self._biases[layer][number])
        gate_i, gate_f, gate_c, gate_o = gates
        added = rounded(_sigmoid_of_twice(gate_i) * tf.tanh(gate_c))
        c = _sigmoid_of_twice(gate_f) * tf.where(reset, 0.0, c) + added
        wide = _sigmoid_of_twice(gate_o) * tf.tanh(c)
        h = product.to_operand(wide)
        if h_above is None:
            return wide, h, c
        return tf.concat([h, tf.where(reset, product.zero, h_above)], axis=1), h, c


def _sigmoid_of_twice(x: tf.Tensor) -> tf.Tensor:
    """Compute sigmoid(2x) by tanh, so that all four gates use the same function."""
    return 0.5 * tf.tanh(x) + 0.5
