"""The trained network as sampling wants it: weights padded and fused, many steps for a block of rows in one graph call.

A row of the block is a slot. Within a call, a slot that ends its record takes the next request of a table and begins it at
once, from a zero state, without the host. Every width is padded to a multiple of 16: then a row's numbers do not depend on
how many rows stand beside it, so text is the same for any block size. The first layer's input projection is a table, one
row a token. Products are TensorFlow's; what is done to each element is fused by XLA, whose products would be slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from linesmith.core.errors import DataError
from linesmith.model.sampling.draw import PAD_MULTIPLE
from linesmith.model.sampling.matmul import Product, make_matmul
from linesmith.model.sampling.row_state import Limits, RowState, Rule, TokenSampler, assign_requests, force, idle_rows
from linesmith.model.tf_function import fused, graph

Tensor = Any


class StepOutputs(NamedTuple):
    """What a call leaves, step by step, [steps, R] each.

    Attributes:
        tokens: the token of each row, with `END_FLAG` set where it ends the record.
        steps: its position in the record.
        owners: number of the request; −1 where the row is idle.
        acceptance_probabilities: ∏ Zₜ up to here; None without masks.
    """

    tokens: npt.NDArray[np.int32]
    steps: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int32]
    acceptance_probabilities: npt.NDArray[np.float32] | None


def up(width: int) -> int:
    """The next multiple of 16."""
    return -(-width // PAD_MULTIPLE) * PAD_MULTIPLE


# Of what sigmoid is taken of: half is enough (`_sigmoid_of_twice`), and halving a float is exact.
_HALVES = np.array([0.5, 0.5, 1.0, 0.5], np.float32)[:, None]


def _gate_columns(matrix: np.ndarray, units: int) -> np.ndarray:
    """The four gates of a [.., 4u] array, each padded to a multiple of 16 units, the three sigmoids' halved."""
    gates = matrix.reshape(*matrix.shape[:-1], 4, units) * _HALVES
    widths = [(0, 0)] * (gates.ndim - 1) + [(0, up(units) - units)]
    return np.pad(gates, widths).reshape(*matrix.shape[:-1], 4 * up(units))


class SamplingNetwork:
    """Steps a block of rows through the network.

    Args:
        weights: trained variables by path, as training saved them.
        layers: LSTM layers.
        forbidden: ids that are never drawn.
        precision: of the recurrence's products, 'float32', 'bfloat16' or 'int8'; cell state, gates and logits are float32.
        moves: the masks' automaton, [S, vocab] int32: the next state for each state and token, or ~ of it where the token
            may not be drawn (but a start string may hold it). State 0 begins a record. None: no masks.
        chars: characters that each token begins, [vocab]; needed for limits in characters.
    """

    def __init__(
        self,
        weights: dict[str, np.ndarray],
        layers: int,
        forbidden: Sequence[int],
        precision: str = "float32",
        moves: npt.NDArray[np.int32] | None = None,
        chars: npt.NDArray[np.int32] | None = None,
    ) -> None:
        self.layers = layers
        self.masked = moves is not None
        try:
            self._prepare({path.split("/", 1)[-1]: array for path, array in weights.items()}, forbidden, precision)
        except (KeyError, ValueError) as error:
            raise DataError(f"LS206: the model's weights do not fit its description ({error}); train again.") from None
        width = self._logits_bias.shape[0]
        if moves is not None:
            # A padding token has no weight in any case.
            moves = np.pad(moves, ((0, 0), (0, width - moves.shape[1])), constant_values=-1)
        chars = np.zeros(width, np.int32) if chars is None else np.pad(chars, (0, width - len(chars)))
        self._draw = TokenSampler(self._logits_bias, None if moves is None else tf.constant(moves), tf.constant(chars))
        self._graphs: dict[tuple[int, Rule], Any] = {}

    def _prepare(self, weights: dict[str, np.ndarray], forbidden: Sequence[int], precision: str) -> None:
        u = weights["lstm_0/recurrent_kernel"].shape[0]
        pad_rows = ((0, up(u) - u), (0, 0))
        self.units = up(u)
        table = weights["embedding/embeddings"] @ weights["lstm_0/kernel"] + weights["lstm_0/bias"]
        # A table for each gate: the look-up is then part of the loop over the gate's elements, not a loop of its own.
        self._tables = tf.split(tf.constant(_gate_columns(table, u)), 4, axis=1)
        # Layer 0 sees only its own state; the others their input and their state, in one product.
        self._products: list[Product] = []
        self._biases = []
        for i in range(self.layers):
            recurrent = np.pad(_gate_columns(weights[f"lstm_{i}/recurrent_kernel"], u), pad_rows)
            if i > 0:
                below = np.pad(_gate_columns(weights[f"lstm_{i}/kernel"], u), pad_rows)
                recurrent = np.concatenate([below, recurrent])
            self._products.append(make_matmul(recurrent, precision))
            self._biases.append(tf.split(tf.constant(_gate_columns(weights[f"lstm_{i}/bias"], u)), 4))
        kernel, bias = weights["logits/kernel"], weights["logits/bias"]
        vocab = bias.shape[0]
        bias = np.pad(bias, (0, up(vocab) - vocab), constant_values=-np.inf)
        bias[list(forbidden)] = -np.inf
        # Rounded to bfloat16, logits would move probabilities by a percent or two; they stay float32.
        self._logits_kernel = tf.constant(np.pad(kernel, (pad_rows[0], (0, up(vocab) - vocab))))
        self._logits_bias = tf.constant(bias.astype(np.float32))

    def idle_block(self, rows: int) -> list[Tensor]:
        """The state of a block in which no row is at work. A list of tensors whose first axis is the row."""
        kinds = [kind for product in self._products for kind in (product.kind, tf.float32)]
        return [*idle_rows(rows), *[tf.zeros([rows, self.units], kind) for kind in kinds]]

    def run(
        self,
        block: list[Tensor],
        table: npt.NDArray[np.int64],
        prefixes: tuple[npt.NDArray[np.int32], int],
        rule: Rule,
        limits: tuple[float, int, int, float],
        steps: int,
    ) -> tuple[list[Tensor], int, StepOutputs]:
        """Run some steps.

        Args:
            block: from `idle_block` or the former call.
            table: requests, [REQUESTS_PER_ROW · R + 1, COLUMNS], from `table_of`.
            prefixes: ids of the start strings of all unfinished records, end to end, at least one; and the address of the first.
            rule: how tokens are drawn.
            limits: temperature, most characters of a record, top_k, top_p.
            steps: how many, at least one.

        Returns:
            The new block, how many requests of the table were taken, and what was drawn.
        """
        temperature, gen_chars, top_k, top_p = limits
        numbers = Limits(
            tf.constant(1.0 if rule.greedy else 1.0 / temperature, tf.float32),
            tf.constant(gen_chars, tf.int32),
            tf.constant(top_k, tf.int32),
            tf.constant(top_p, tf.float32),
        )
        starts = (tf.constant(prefixes[0]), tf.constant(prefixes[1], tf.int64))
        given = (block, tf.constant(table), starts, numbers, tf.constant(steps))
        after, taken, emitted = self._graph(given, rule)(*given)
        tokens, positions, owners, *bits = np.moveaxis(emitted.numpy(), 1, 0)
        return after, int(taken), StepOutputs(tokens, positions, owners, bits[0].view(np.float32) if bits else None)

    def _graph(self, given: tuple[Any, ...], rule: Rule) -> Any:
        """The steps of such a block as a graph. It takes any number of start strings' ids: whatever else is traced again has to
        be compiled again, for seconds, and never leaves memory."""
        block = given[0]
        key = (block[0].shape[0], rule)
        if key not in self._graphs:
            specs = tf.nest.map_structure(lambda part: tf.TensorSpec(part.shape, part.dtype), list(given))
            specs[2] = (tf.TensorSpec([None], tf.int32), specs[2][1])
            # Lanes may ask at once; all must get the same one.
            self._graphs.setdefault(key, graph(partial(self._steps, rule), input_signature=specs))
        return self._graphs[key]

    def _steps(self, rule, block, table, starts, limits, steps):  # type: ignore[no-untyped-def]
        lines = 4 if self.masked else 3
        array = tf.TensorArray(tf.int32, steps, element_shape=[lines, block[0].shape[0]])

        def body(k, taken, block, array):  # type: ignore[no-untyped-def]
            taken, block, emitted = self._step(rule, limits, table, starts, taken, block)
            return k + 1, taken, block, array.write(k, emitted)

        zero = tf.constant(0)
        _, taken, block, array = tf.while_loop(
            lambda k, *_: k < steps, body, (zero, zero, block, array), parallel_iterations=1
        )
        return block, taken, array.stack()

    def _step(self, rule, limits, table, starts, taken, block):  # type: ignore[no-untyped-def]
        """The requests taken and the block after a step, and what it emits. Between two products there is one kernel; only
        start strings are looked up outside, since what XLA compiles cannot grow with them."""
        size = len(RowState._fields)
        marks, state = RowState(*block[:size]), block[size:]
        multiplied = self._products[0].times(state[0])
        taken, marks, first = fused(self._begin)(taken, marks, table, multiplied, state[1], _above(state, 0))
        state, logits = self._layers_above(first, state, marks.token, marks.done)
        if rule.prefixed:
            drawn, share = fused(partial(self._draw.draw, rule, limits))(logits, marks)
            token, forced = force(drawn, marks, *starts)
            marks, emitted = fused(partial(self._draw.end, rule, limits))(marks, token, forced, share)
        else:
            marks, emitted = fused(partial(self._finish, rule, limits))(logits, marks)
        return taken, [*marks, *state], emitted

    def _begin(self, taken, marks, table, multiplied, c, h_above):  # type: ignore[no-untyped-def]
        """Rows that are done take requests; then the first layer's gates, which begin from a zero state there."""
        taken, marks = assign_requests(taken, marks, table)
        return taken, marks, self._gates(0, multiplied, marks.token, marks.done, c, h_above)

    def _layers_above(self, first, state, token, fresh):  # type: ignore[no-untyped-def]
        """New state and logits, from what the first layer's gates gave."""
        out, *new = first
        for layer in range(1, self.layers):
            gates, multiplied = fused(partial(self._gates, layer)), self._products[layer].times(out)
            out, *more = gates(multiplied, token, fresh, state[2 * layer + 1], _above(state, layer))
            new += more
        return new, tf.matmul(out, self._logits_kernel)

    def _finish(self, rule, limits, logits, marks):  # type: ignore[no-untyped-def]
        token, share = self._draw.draw(rule, limits, logits, marks)
        return self._draw.end(rule, limits, marks, token, None, share)

    def _gates(self, layer, multiplied, token, fresh, c, h_above):  # type: ignore[no-untyped-def]
        """What the layer above multiplies, or the last layer's h as float32; h as products take it; c.

        Args:
            layer: its number.
            multiplied: what its product gave.
            token: of each row.
            fresh: rows that begin from a zero state.
            c: the cell state before.
            h_above: the former h of the layer above; None in the last layer.
        """
        product, again = self._products[layer], fresh[:, None]
        gates = []
        for number, part in enumerate(tf.split(multiplied, 4, axis=1)):
            value = product.value(part, slice(number * self.units, (number + 1) * self.units))
            if layer == 0:
                gates.append(tf.where(again, 0.0, value) + tf.gather(self._tables[number], token))
            else:
                gates.append(value + self._biases[layer][number])
        gate_i, gate_f, gate_c, gate_o = gates
        c = _sigmoid_of_twice(gate_f) * tf.where(again, 0.0, c) + _sigmoid_of_twice(gate_i) * tf.tanh(gate_c)
        wide = _sigmoid_of_twice(gate_o) * tf.tanh(c)
        h = product.operand(wide)
        if h_above is None:
            return wide, h, c
        return tf.concat([h, tf.where(again, product.zero, h_above)], axis=1), h, c


def _above(state: list[Tensor], layer: int) -> Tensor | None:
    """The former h of the layer above; None above the last."""
    return state[2 * layer + 2] if 2 * layer + 2 < len(state) else None


def _sigmoid_of_twice(x: Tensor) -> Tensor:
    return 0.5 * tf.tanh(x) + 0.5
