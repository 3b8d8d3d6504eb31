"""The trained network as sampling runs it: weights padded and fused, many steps for a block of rows in one graph call.

Within a call, a row that ends its record takes the next request of a table and begins it at once, from a zero state, without
the host. Every width is padded to a multiple of 16, blocks have only certain numbers of rows (`block.BLOCK_SIZES`), and what XLA
compiles leaves it no choice of rounding (`draw`): then a row's numbers do not depend on how many rows stand beside it, so text
is the same for any block size. Products are TensorFlow's; element-wise work is fused by XLA, whose own products would be slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from linesmith.core.errors import DataError
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.sampling.field_state import FieldState, FieldTracker
from linesmith.model.sampling.lstm_step import LSTMStep, round_up
from linesmith.model.sampling.row_state import (
    DrawMode,
    DrawParameters,
    RowState,
    TokenSampler,
    assign_requests,
    force_prefix,
    idle_rows,
)
from linesmith.model.sampling.sample_types import DrawSettings
from linesmith.model.tf_function import fused, graph


class StepOutputs(NamedTuple):
    """Outputs of a call, step by step, [steps, R] each.

    Attributes:
        tokens: the token of each row, with `END_FLAG` set where it ends the record.
        steps: its position in the record.
        request_numbers: number of the row's request; −1 where the row is idle.
        acceptance_probabilities: ∏ Zₜ up to here; None without masks.
        prefix_log_probabilities: those of the start string up to here; None where they are not scored.
    """

    tokens: npt.NDArray[np.int32]
    steps: npt.NDArray[np.int32]
    request_numbers: npt.NDArray[np.int32]
    acceptance_probabilities: npt.NDArray[np.float32] | None
    prefix_log_probabilities: npt.NDArray[np.float32] | None = None


class SamplingNetwork:
    """Steps a block of rows through the network.

    Args:
        weights: trained variables by path, as training saved them.
        layers: number of LSTM layers.
        forbidden: ids that are never drawn.
        precision: precision of the recurrence's products, 'float32', 'bfloat16' or 'int8'; cell state, gates and logits are
            float32.
        transitions: the masks' automaton, [S, vocab] int32: the next state for each state and token, or ~ of it where the
            token may not be drawn (but a start string may hold it). State 0 begins a record. None: no masks.
        chars: characters that each token begins, [vocab]; needed for limits in characters.
        layout: what the network looks up beside its last token; None for a plain network.

    Attributes:
        units: units of a layer, padded.

    Raises:
        DataError: weights are missing or have other shapes.
    """

    def __init__(
        self,
        weights: dict[str, np.ndarray],
        layers: int,
        forbidden: Sequence[int],
        precision: str = "float32",
        transitions: npt.NDArray[np.int32] | None = None,
        chars: npt.NDArray[np.int32] | None = None,
        layout: FieldLayout | None = None,
    ) -> None:
        self.layers = layers
        self._fields = None if layout is None else FieldTracker(layout)
        self._state_parts = len(RowState._fields) + (0 if layout is None else len(FieldState._fields))
        self.masked = transitions is not None
        try:
            self._prepare({path.split("/", 1)[-1]: array for path, array in weights.items()}, forbidden, precision)
        except (KeyError, ValueError) as error:
            raise DataError(
                "LS214", None, f"the model's weights do not fit its description ({error})", "Train again."
            ) from None
        width = self._logits_bias.shape[0]
        if transitions is not None:
            # Padding tokens have no weight in any case; −1 forbids them.
            padding = ((0, 0), (0, width - transitions.shape[1]))
            transitions = np.pad(transitions, padding, constant_values=-1)
        chars = np.zeros(width, np.int32) if chars is None else np.pad(chars, (0, width - len(chars)))
        automaton = None if transitions is None else tf.constant(transitions)
        self._token_sampler = TokenSampler(self._logits_bias, automaton, tf.constant(chars))
        self._graphs: dict[tuple[int, DrawMode], Any] = {}

    def _prepare(self, weights: dict[str, np.ndarray], forbidden: Sequence[int], precision: str) -> None:
        """Pad and fuse the weights."""
        self._lstm = LSTMStep(weights, self.layers, precision, sums_rows=self._fields is not None)
        self.units, self._products = self._lstm.units, self._lstm.products
        kernel, bias = weights["logits/kernel"], weights["logits/bias"]
        vocab = bias.shape[0]
        bias = np.pad(bias, (0, round_up(vocab) - vocab), constant_values=-np.inf)
        bias[list(forbidden)] = -np.inf
        # Rounded to bfloat16, logits would move probabilities by a percent or two; they stay float32.
        self._logits_kernel = tf.constant(np.pad(kernel, [(0, round_up(width) - width) for width in kernel.shape]))
        self._logits_bias = tf.constant(bias.astype(np.float32))

    def idle_block(self, rows: int) -> list[tf.Tensor]:
        """Return the state of a block in which all rows are idle: a list of tensors."""
        dtypes = [dtype for product in self._products for dtype in (product.dtype, tf.float32)]
        fields = () if self._fields is None else self._fields.idle_state(rows)
        return [*idle_rows(rows), *fields, *[tf.zeros([rows, self.units], dtype) for dtype in dtypes]]

    def resized(self, block: list[tf.Tensor], order: npt.NDArray[np.int64], rows: int) -> list[tf.Tensor]:
        """Return the state of a block of another size.

        Args:
            block: of any size.
            order: numbers of the rows that are kept, which come first.
            rows: the new size, at least as many.
        """
        idle = self.idle_block(rows - len(order))
        # The state of fields has the row last.
        axes = [1 if len(RowState._fields) <= number < self._state_parts else 0 for number in range(len(block))]
        return [
            tf.concat([tf.gather(part, order, axis=axis), more], axis=axis)
            for part, more, axis in zip(block, idle, axes, strict=True)
        ]

    @property
    def product_shapes(self) -> list[tuple[int, int, str]]:
        """Widths of operand and result of each matrix product of a step, and the type of the operand."""
        widths = [self.units if layer == 0 else 2 * self.units for layer in range(self.layers)]
        found = [
            (width, 4 * self.units, product.dtype.name) for width, product in zip(widths, self._products, strict=True)
        ]
        return [*found, (*self._logits_kernel.shape, "float32")]

    def multiply_states(self, states: list[tf.Tensor]) -> list[tf.Tensor]:
        """Compute the matrix products of a step alone.

        Args:
            states: numbers in [−1, 1] for each of `product_shapes`, [R, width] float32.

        Returns:
            The products, [R, width].
        """
        *hidden, last = states
        found = [product.multiply(product.to_operand(h)) for product, h in zip(self._products, hidden, strict=True)]
        return [*found, tf.matmul(last, self._logits_kernel)]

    def run(
        self,
        block: list[tf.Tensor],
        table: npt.NDArray[np.int64],
        prefixes: tuple[npt.NDArray[np.int32], int],
        settings: DrawSettings,
        prefixed: bool,
        steps: int,
    ) -> tuple[list[tf.Tensor], int, StepOutputs]:
        """Run some steps.

        Args:
            block: from `idle_block` or the previous call.
            table: requests, [REQUESTS_PER_ROW · R + 1, REQUEST_COLUMNS], from `padded_table`.
            prefixes: ids of the start strings of all unfinished records, end to end, at least one; and the address of the first.
            settings: how tokens are drawn.
            prefixed: some records have a start string.
            steps: how many steps, at least one.

        Returns:
            The new block, how many requests of the table were taken, and what was drawn.
        """
        mode = DrawMode.from_settings(settings, prefixed)
        prefix_tensors = (tf.constant(prefixes[0]), tf.constant(prefixes[1], tf.int64))
        inputs = (
            block,
            tf.constant(table),
            prefix_tensors,
            DrawParameters.from_settings(settings),
            tf.constant(steps),
        )
        after, taken, outputs = self._graph(inputs, mode)(*inputs)
        tokens, positions, numbers, *bits = np.moveaxis(outputs.numpy(), 1, 0)
        scores = bits.pop().view(np.float32) if mode.scored else None
        probabilities = bits.pop().view(np.float32) if self.masked else None
        return after, int(taken), StepOutputs(tokens, positions, numbers, probabilities, scores)

    def _graph(self, inputs: tuple[Any, ...], mode: DrawMode) -> Any:
        """Return the graph of a block's steps, built at most once for each block size and mode.

        It takes any number of start strings' ids: a graph that is traced again has to be compiled again, for seconds, and
        never leaves memory.
        """
        block = inputs[0]
        key = (block[0].shape[0], mode)
        if key not in self._graphs:
            specs = tf.nest.map_structure(lambda part: tf.TensorSpec(part.shape, part.dtype), list(inputs))
            specs[2] = (tf.TensorSpec([None], tf.int32), specs[2][1])
            # Several blocks' threads may ask at once; all must get the same graph.
            self._graphs.setdefault(key, graph(partial(self._steps, mode), input_signature=specs))
        return self._graphs[key]

    def _steps(self, mode, block, table, prefixes, parameters, steps):  # type: ignore[no-untyped-def]
        """Return the block after some steps, the requests taken, and the outputs, [steps, 3 to 5, R]."""
        output_lines = 3 + self.masked + mode.scored
        array = tf.TensorArray(tf.int32, steps, element_shape=[output_lines, block[0].shape[0]])

        def body(k, taken, block, array):  # type: ignore[no-untyped-def]
            taken, block, outputs = self._step(mode, parameters, table, prefixes, taken, block)
            return k + 1, taken, block, array.write(k, outputs)

        zero = tf.constant(0)
        _, taken, block, array = tf.while_loop(
            lambda k, *_: k < steps, body, (zero, zero, block, array), parallel_iterations=1
        )
        return block, taken, array.stack()

    def _step(self, mode, parameters, table, prefixes, taken, block):  # type: ignore[no-untyped-def]
        """Return the requests taken, the block after one step, and its outputs.

        Between two products there is one XLA kernel. Only start strings are looked up outside of it: their number varies, and
        XLA compiles fixed shapes.
        """
        size = len(RowState._fields)
        rows, fields, state = RowState(*block[:size]), block[size : self._state_parts], block[self._state_parts :]
        multiplied = self._products[0].multiply(state[0])
        taken, rows, first = fused(self._begin)(taken, rows, table, multiplied, fields, state[1], _above(state, 0))
        state, logits = self._layers_above(first, state, rows.done)
        if mode.prefixed:
            drawn, share = fused(partial(self._token_sampler.draw, mode, parameters))(logits, rows)
            token, forced = force_prefix(drawn, rows, *prefixes)
            given = (rows, fields, token, forced, share, *([logits] if mode.scored else []))
            rows, fields, outputs = fused(partial(self._update, mode, parameters))(*given)
        else:
            rows, fields, outputs = fused(partial(self._draw_and_update, mode, parameters))(logits, rows, fields)
        return taken, [*rows, *fields, *state], outputs

    def _begin(self, taken, rows, table, multiplied, fields, c, h_above):  # type: ignore[no-untyped-def]
        """Assign requests to rows that are done, then compute the first layer's gates, from a zero state in those rows."""
        taken, rows = assign_requests(taken, rows, table)
        looked_up = [rows.token] if self._fields is None else self._fields.rows(FieldState(*fields))
        return taken, rows, self._lstm.gates(0, multiplied, looked_up, rows.done, c, h_above)

    def _layers_above(self, first, state, fresh):  # type: ignore[no-untyped-def]
        """Return the new state and the logits without their bias, given the first layer's output."""
        out, *new = first
        for layer in range(1, self.layers):
            gates, multiplied = fused(partial(self._lstm.gates, layer)), self._products[layer].multiply(out)
            out, *more = gates(multiplied, [], fresh, state[2 * layer + 1], _above(state, layer))
            new += more
        return new, tf.matmul(out, self._logits_kernel)

    def _draw_and_update(self, mode, parameters, logits, rows, fields):  # type: ignore[no-untyped-def]
        """Draw tokens and update the rows, where no record has a start string."""
        token, share = self._token_sampler.draw(mode, parameters, logits, rows)
        return self._update(mode, parameters, rows, fields, token, None, share)

    def _update(self, mode, parameters, rows, fields, token, forced, share, logits=None):  # type: ignore[no-untyped-def]
        """Update the rows after a token, and find which rows of the table make up their next input."""
        rows, outputs = self._token_sampler.update(mode, parameters, rows, token, forced, share, logits)
        if self._fields is not None:
            # A row whose record has ended begins another one at the next step.
            fields = list(self._fields.next_state(FieldState(*fields), token, rows.done))
        return rows, fields, outputs


def _above(state: list[tf.Tensor], layer: int) -> tf.Tensor | None:
    """Return the previous h of the layer above; None above the last layer."""
    return state[2 * layer + 2] if 2 * layer + 2 < len(state) else None
