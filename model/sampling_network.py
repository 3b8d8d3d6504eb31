"""The trained network as sampling wants it: weights padded and fused, many steps for a block of rows in one graph call.

A row of the block is a slot. Within a call, a slot that ends its record takes the next request of a table and begins it at
once, from a zero state, without the host. Every width is padded to a multiple of 16: then a row's numbers do not depend on
how many rows stand beside it, so text is the same for any block size. The first layer's input projection is a table, one
row a token. Products are TensorFlow's; what is done to each element is fused by XLA, whose products would be slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from model.errors import DataError
from model.graphs import fused, graph
from model.products import Product, product_of
from model.request_table import KEY, LENGTH, LIMIT, NUMBER, OFFSET, idle_requests
from model.sampling_draw import LANE, draw, truncate, uniform, weigh

ENDED = 1 << 30  # set in an emitted token that ends its record
Tensor = Any


class Emitted(NamedTuple):
    """What a call leaves, step by step, [steps, R] each.

    Attributes:
        tokens: the token of each row, with `ENDED` set where it ends the record.
        steps: its position in the record.
        owners: number of the request; −1 where the row is idle.
        survivals: ∏ Zₜ up to here; None without masks.
    """

    tokens: npt.NDArray[np.int32]
    steps: npt.NDArray[np.int32]
    owners: npt.NDArray[np.int32]
    survivals: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Rule:
    """How tokens are drawn in a call; each kind of rule is a graph of its own, the numbers are not."""

    greedy: bool
    truncated: bool
    counts_chars: bool
    prefixed: bool


def up(width: int) -> int:
    """The next multiple of 16."""
    return -(-width // LANE) * LANE


def _pad_units(matrix: np.ndarray, units: int) -> np.ndarray:
    """Pad the four gates of a [.., 4u] array, each on its own, to a multiple of 16 units."""
    gates = matrix.reshape(*matrix.shape[:-1], 4, units)
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
            padded = np.pad(moves, ((0, 0), (0, width - moves.shape[1])), constant_values=-1)
            self._moves = tf.constant(padded)
        self._chars = tf.constant(
            np.zeros(width, np.int32) if chars is None else np.pad(chars, (0, width - len(chars)))
        )
        self._graphs: dict[tuple[int, Rule], Any] = {}

    def _prepare(self, weights: dict[str, np.ndarray], forbidden: Sequence[int], precision: str) -> None:
        u = weights["lstm_0/recurrent_kernel"].shape[0]
        pad_rows = ((0, up(u) - u), (0, 0))
        self.units = up(u)
        table = weights["embedding/embeddings"] @ weights["lstm_0/kernel"] + weights["lstm_0/bias"]
        # A table for each gate: the look-up is then part of the loop over the gate's elements, not a loop of its own.
        self._tables = tf.split(tf.constant(_pad_units(table, u)), 4, axis=1)
        # Layer 0 sees only its own state; the others their input and their state, in one product.
        self._products: list[Product] = []
        self._biases = []
        for i in range(self.layers):
            recurrent = np.pad(_pad_units(weights[f"lstm_{i}/recurrent_kernel"], u), pad_rows)
            if i > 0:
                below = np.pad(_pad_units(weights[f"lstm_{i}/kernel"], u), pad_rows)
                recurrent = np.concatenate([below, recurrent])
            self._products.append(product_of(recurrent, precision))
            self._biases.append(tf.split(tf.constant(_pad_units(weights[f"lstm_{i}/bias"], u)), 4))
        kernel, bias = weights["logits/kernel"], weights["logits/bias"]
        vocab = bias.shape[0]
        bias = np.pad(bias, (0, up(vocab) - vocab), constant_values=-np.inf)
        bias[list(forbidden)] = -np.inf
        # Rounded to bfloat16, logits would move probabilities by a percent or two; they stay float32.
        self._logits_kernel = tf.constant(np.pad(kernel, (pad_rows[0], (0, up(vocab) - vocab))))
        self._logits_bias = tf.constant(bias.astype(np.float32))

    def idle_block(self, rows: int) -> list[Tensor]:
        """The state of a block in which no row is at work. A list of tensors whose first axis is the row."""
        zero = tf.zeros([rows], tf.int32)
        slots = tf.constant(idle_requests(rows))
        kinds = [kind for product in self._products for kind in (product.kind, tf.float32)]
        state = [tf.zeros([rows, self.units], kind) for kind in kinds]
        done = tf.ones([rows], tf.bool)
        return [slots, done, zero, zero, zero, zero, tf.ones([rows]), *state]

    def run(
        self,
        block: list[Tensor],
        table: npt.NDArray[np.int64],
        prefixes: tuple[npt.NDArray[np.int32], int],
        rule: Rule,
        limits: tuple[float, int, int, float],
        steps: int,
    ) -> tuple[list[Tensor], int, Emitted]:
        """Run some steps.

        Args:
            block: from `idle_block` or the former call.
            table: requests, [AHEAD · R + 1, COLUMNS], from `table_of`.
            prefixes: ids of the start strings of all unfinished records, end to end, at least one; and the address of the first.
            rule: how tokens are drawn.
            limits: temperature, most characters of a record, top_k, top_p.
            steps: how many, at least one.

        Returns:
            The new block, how many requests of the table were taken, and what was drawn.
        """
        temperature, *others = limits
        numbers = [
            tf.constant(1.0 if rule.greedy else 1.0 / temperature, tf.float32),
            *[tf.constant(number, kind) for number, kind in zip(others, (tf.int32, tf.int32, tf.float32), strict=True)],
            tf.constant(prefixes[1], tf.int64),
        ]
        given = (block, tf.constant(table), tf.constant(prefixes[0]), numbers, tf.constant(steps))
        after, taken, emitted = self._graph(given, rule)(*given)
        arrays = [part.numpy() for part in emitted]
        return after, int(taken), Emitted(*arrays, *([] if self.masked else [None]))

    def _graph(self, given: tuple[Any, ...], rule: Rule) -> Any:
        """The steps of such a block as a graph. It takes any number of start strings' ids: whatever else is traced again has to
        be compiled again, for seconds, and never leaves memory."""
        block = given[0]
        key = (block[0].shape[0], rule)
        if key not in self._graphs:
            specs = tf.nest.map_structure(lambda part: tf.TensorSpec(part.shape, part.dtype), list(given))
            specs[2] = tf.TensorSpec([None], tf.int32)
            # Lanes may ask at once; all must get the same one.
            self._graphs.setdefault(key, graph(partial(self._steps, rule), input_signature=specs))
        return self._graphs[key]

    def _steps(self, rule, block, table, prefixes, numbers, steps):  # type: ignore[no-untyped-def]
        rows = block[0].shape[0]
        kinds = [tf.int32, tf.int32, tf.int32, *([tf.float32] if self.masked else [])]
        arrays = [tf.TensorArray(kind, steps, element_shape=[rows]) for kind in kinds]

        def body(k, taken, block, arrays):  # type: ignore[no-untyped-def]
            taken, block, fresh = self._refill(taken, block, table)
            block, emitted = self._step(block, fresh, prefixes, numbers, rule)
            return k + 1, taken, block, [array.write(k, part) for array, part in zip(arrays, emitted, strict=True)]

        zero = tf.constant(0)
        _, taken, block, arrays = tf.while_loop(
            lambda k, *_: k < steps, body, (zero, zero, block, arrays), parallel_iterations=1
        )
        return block, taken, [array.stack() for array in arrays]

    def _refill(self, taken: Tensor, block: list[Tensor], table: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Give each row that is done the next request. Idle ones are behind the real ones, so there is always one."""
        slots, done = block[:2]
        last = table.shape[0] - 1
        rank = tf.cumsum(tf.cast(done, tf.int32))
        at = tf.clip_by_value(taken + rank - 1, 0, last)
        slots = tf.where(done[:, None], tf.gather(table, at), slots)
        return tf.minimum(taken + rank[-1], last), [slots, *block[1:]], done

    def _step(
        self, block: list[Tensor], fresh: Tensor, prefixes: Tensor, numbers: list[Tensor], rule: Rule
    ) -> tuple[list[Tensor], list[Tensor]]:
        slots, _, token, step, place, chars, survival, *state = block
        token, step, place, chars = (tf.where(fresh, 0, part) for part in (token, step, place, chars))
        survival = tf.where(fresh, 1.0, survival)
        state, logits = self._network(state, token, fresh)
        scale, most_chars, top_k, top_p, base = numbers
        truncation = (top_k, top_p) if rule.truncated else None
        drawn, share = fused(self._draw)(logits, scale, slots[:, KEY], step, place, rule, truncation)
        token, forced = self._force(drawn, slots, step, prefixes, base) if rule.prefixed else (drawn, None)
        if share is not None:
            survival *= share if forced is None else tf.where(forced, 1.0, share)
            move = tf.gather_nd(self._moves, tf.stack([place, token], axis=1))
            place = tf.where(move < 0, ~move, move)
        ended = (token == 0) | (tf.cast(step, tf.int64) + 1 >= slots[:, LIMIT])
        if rule.counts_chars:
            chars += tf.gather(self._chars, token)
            ended |= chars > most_chars
        owner = tf.cast(slots[:, NUMBER], tf.int32)
        emitted = [tf.where(ended, token + ENDED, token), step, owner, *([survival] if self.masked else [])]
        done = ended | (owner < 0)
        return [slots, done, token, step + 1, place, chars, survival, *state], emitted

    def _force(
        self, drawn: Tensor, slots: Tensor, step: Tensor, prefixes: Tensor, base: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The start string's token where there is one, and where that is."""
        position = tf.cast(step, tf.int64)
        forced = position < slots[:, LENGTH]
        return tf.where(
            forced, tf.gather(prefixes, tf.where(forced, slots[:, OFFSET] + position - base, 0)), drawn
        ), forced

    def _network(self, state: list[Tensor], token: Tensor, fresh: Tensor) -> tuple[list[Tensor], Tensor]:
        """New state and logits; rows that are fresh begin from a zero state."""
        new: list[Tensor] = []
        out = state[0]
        for i, product in enumerate(self._products):
            h_above = state[2 * i + 2] if i + 1 < self.layers else None
            gates = fused(partial(self._gates, i))
            out, h, c = gates(product.times(out), token, fresh, state[2 * i + 1], h_above)
            new += [h, c]
        return new, tf.matmul(out, self._logits_kernel)

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
        c = _sigmoid(gate_f) * tf.where(again, 0.0, c) + _sigmoid(gate_i) * tf.tanh(gate_c)
        wide = _sigmoid(gate_o) * tf.tanh(c)
        h = product.operand(wide)
        if h_above is None:
            return wide, h, c
        return tf.concat([h, tf.where(again, product.zero, h_above)], axis=1), h, c

    def _draw(self, logits, scale, keys, step, place, rule, truncation):  # type: ignore[no-untyped-def]
        """The token drawn in each row, and the share of the probability that the masks left (None without masks)."""
        logits += self._logits_bias
        allowed = tf.gather(self._moves, place) >= 0 if self.masked else None
        if rule.greedy:
            likeliest = tf.argmax(logits, axis=1, output_type=tf.int32)
            if allowed is None:
                return likeliest, None
            best = tf.argmax(tf.where(allowed, logits, -float("inf")), axis=1, output_type=tf.int32)
            return best, tf.cast(best == likeliest, tf.float32)
        weights, share = weigh(logits * scale, allowed)
        if truncation is not None:
            weights = truncate(weights, *truncation)
        return draw(weights, uniform(keys, step)), share


def _sigmoid(x: Tensor) -> Tensor:
    return 0.5 * tf.tanh(0.5 * x) + 0.5
