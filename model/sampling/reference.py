"""Steps of a block in NumPy: the same bits as the compiled kernel, for machines on which that was not built, and for its tests.

Each float operation stands here in the order in which the kernel rounds it. Products of integers go through floats that hold
integers and add up exactly; products of floats are added row by row of the kernel, so float32 is slow here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.model.fields.layout import FieldLayout
from linesmith.model.sampling.block_state import BlockState, DrawParameters, Floats, Integers
from linesmith.model.sampling.field_follower import FieldFollower
from linesmith.model.sampling.network_weights import Matrix, NetworkWeights
from linesmith.model.sampling.request_table import END_FLAG, RequestTable
from linesmith.model.sampling.uniform_random import uniforms
from linesmith.records.fields import DELIMITER_ID

_ROUND = np.float32(12_582_912)  # 1.5 · 2²³: adding it rounds to whole numbers
_STEPS = np.float32(127)  # quantization steps from 0 to 1
_ONE = 2.0**32  # the whole number that a weight of 1 is rounded to
_LARGEST = np.float32(1e37)  # no number that matters is larger
_EXACT = 1 << 24  # float32 holds all integers up to here
_EXPONENTIAL = (
    0.0013933652,
    0.008363182,
    0.041666467,
    0.16666576,
    0.5,
    1,
    1,
)  # polynomial for e^r, the highest power first
_UNIT = 64  # columns of a panel: four gates of 16 units
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def exponential(x: Floats, limit: float = 87) -> Floats:
    """Compute e^x for x in −limit … limit, and outside as at the ends; relative error 1e-7.

    Example:
        >>> exponential(np.array([0, 1, -1000], np.float32)).tolist()
        [1.0, 2.7182817459106445, 1.6458114537543937e-38]
    """
    x = np.clip(x, np.float32(-limit), np.float32(limit))
    shifted = x * np.float32(1.44269504) + _ROUND
    power = shifted - _ROUND
    r = (x - power * np.float32(0.693359375)) - power * np.float32(-2.12194440e-4)
    total = np.full_like(r, _EXPONENTIAL[0])
    for coefficient in _EXPONENTIAL[1:]:
        total = total * r + np.float32(coefficient)
    bits = (shifted.view(np.int32) - 0x4B400000 + 127) << 23
    return total * bits.view(np.float32)


class ReferenceSteps:
    """Runs steps of a network in NumPy.

    Args:
        weights: of the network.
        transitions: the masks' automaton, [S, V] padded; None: no masks.
        characters: that each token begins, [V].
        layout: of a network that knows fields.
    """

    def __init__(
        self,
        weights: NetworkWeights,
        transitions: Integers | None,
        characters: Integers,
        layout: FieldLayout | None,
    ) -> None:
        self._weights, self._transitions, self._characters = weights, transitions, characters
        self._fields = None if layout is None else FieldFollower(layout)
        self._kernels = [_exact_floats(kernel) if weights.integers else kernel for kernel in weights.kernels]

    def run(
        self,
        block: BlockState,
        table: RequestTable,
        prefixes: tuple[Integers, int],
        draw: DrawParameters,
        outputs: Integers,
    ) -> int:
        """Run as many steps as `outputs` has room for; returns how many requests of the table were taken.

        Args:
            block: changed in place.
            table: requests, [count, REQUEST_COLUMNS].
            prefixes: ids of the start strings of all unfinished records, end to end; and the address of the first.
            draw: how tokens are drawn.
            outputs: [steps, kinds, R], filled.
        """
        taken = 0
        for step_outputs in outputs:
            taken = self._assign_requests(block, table, taken)
            busy = np.flatnonzero(block.rows["done"] == 0)
            step_outputs[2] = -1
            if len(busy):
                logits = self._step_layers(block, busy) + self._weights.logits_bias
                step_outputs[:, busy] = self._finish_step(block, busy, logits, prefixes, draw)
        return taken

    def _assign_requests(self, block: BlockState, table: RequestTable, taken: int) -> int:
        """Give each row that is done the next request of the table, in the order of rows; returns how many are taken then."""
        fresh = np.flatnonzero(block.rows["done"])[: len(table) - taken]
        lines = table[taken : taken + len(fresh)]
        new = np.zeros(len(fresh), block.rows.dtype)
        for column, name in enumerate(("key", "number", "prefix_offset", "prefix_length", "token_limit")):
            new[name] = lines[:, column]
        new["acceptance"] = 1
        block.rows[fresh] = new
        for state in (*block.hidden, *block.cell):
            state[fresh] = 0
        if self._fields is not None:
            block.fields[fresh] = self._fields.begin(block.fields[fresh])
        return taken + len(fresh)

    def _step_layers(self, block: BlockState, busy: npt.NDArray[np.int64]) -> Floats:
        """Update the states of some rows; returns their logits without bias."""
        weights, wide = self._weights, np.zeros(0, np.float32)
        for layer, kernel in enumerate(self._kernels):
            operand = block.hidden[layer][busy]
            if layer == 0:
                looked_up = (
                    block.rows["token"][busy, None] if self._fields is None else self._fields.rows(block.fields[busy])
                )
                more = weights.table[looked_up[:, 0]].astype(np.int32 if weights.integers else np.float32)
                for slot in range(1, looked_up.shape[1]):
                    more = more + weights.table[looked_up[:, slot]]
                more = more.astype(np.float32) * weights.table_scale
            else:
                operand, more = np.concatenate([block.hidden[layer - 1][busy], operand], axis=1), weights.biases[layer]
            product = _integer_product(operand, kernel) if weights.integers else ordered_product(operand, kernel)
            gates = product * weights.scales[layer] + more
            block.cell[layer][busy], wide = _update_units(gates, block.cell[layer][busy])
            block.hidden[layer][busy] = (wide * _STEPS + _ROUND) - _ROUND if weights.integers else wide
        return ordered_product(wide, weights.logits_kernel)

    def _finish_step(
        self,
        block: BlockState,
        busy: npt.NDArray[np.int64],
        logits: Floats,
        prefixes: tuple[Integers, int],
        draw: DrawParameters,
    ) -> Integers:
        """Draw a token in each of some rows and update them; returns their outputs, [kinds, n]."""
        rows = block.rows[busy]
        token, share = self._draw(logits, rows, draw)
        forced = np.zeros(len(rows), bool)
        if draw.prefixed:
            inside = rows["prefix_position"] < rows["prefix_length"]
            place = np.where(inside, rows["prefix_offset"] + rows["prefix_position"] - prefixes[1], 0)
            forced = inside & (prefixes[0][place] >= 0)  # a negative one stands for a field that is drawn
            token = np.where(forced, prefixes[0][place], token).astype(np.int32)
            # The end of a field that was drawn freely takes the row on as well.
            rows["prefix_position"] += forced | (token <= DELIMITER_ID)
        if draw.scored:
            rows["prefix_log_probability"] += np.where(forced, _log_probability(logits, token, draw), np.float32(0))
        if self._transitions is not None:
            rows["acceptance"] *= np.where(forced, np.float32(1), share)
            move = self._transitions[rows["automaton_state"], token]
            rows["automaton_state"] = np.where(move < 0, ~move, move)
        ended = (token == 0) | (rows["step"] + 1 >= rows["token_limit"])
        if draw.characters > 0:
            rows["characters"] += self._characters[token]
            ended |= rows["characters"] > draw.characters
        outputs = [np.where(ended, token + END_FLAG, token), rows["step"].copy(), rows["number"]]
        if self._transitions is not None:
            outputs.append(rows["acceptance"].view(np.int32))
        if draw.scored:
            outputs.append(rows["prefix_log_probability"].view(np.int32))
        rows["done"], rows["token"] = ended, token
        rows["step"] += 1
        block.rows[busy] = rows
        if self._fields is not None:
            block.fields[busy] = self._fields.follow(block.fields[busy], token)
        return np.stack([output.astype(np.int32) for output in outputs])

    def _draw(self, logits: Floats, rows: npt.NDArray[np.void], draw: DrawParameters) -> tuple[Integers, Floats]:
        """Return a token for each row, and the share of the probability that the masks leave."""
        share = np.ones(len(rows), np.float32)
        allowed = np.ones(logits.shape, bool)
        if self._transitions is not None:
            allowed = self._transitions[rows["automaton_state"]] >= 0
        if draw.greedy:
            best = np.argmax(np.where(allowed, logits, -np.inf), axis=1).astype(np.int32)
            return best, (best == np.argmax(logits, axis=1)).astype(np.float32)
        scaled = np.minimum(logits * np.float32(draw.inverse_temperature), _LARGEST)
        best_allowed = np.where(allowed, scaled, -_LARGEST).max(axis=1)
        best_forbidden = np.where(allowed, -_LARGEST, scaled).max(axis=1)
        # Relative to the best of their own kind, no weight is above 1.
        weights = exponential(scaled - np.where(allowed, best_allowed[:, None], best_forbidden[:, None]))
        if self._transitions is not None:
            sums = np.where(allowed, _whole(weights), 0).sum(axis=1)
            forbidden = np.where(allowed, 0, _whole(weights)).sum(axis=1)
            ratio = (forbidden / sums).astype(np.float32) * exponential(best_forbidden - best_allowed)
            share = np.float32(1) / (np.float32(1) + np.minimum(ratio, _LARGEST))
            weights = np.where(allowed, weights, np.float32(0))
        if draw.truncated:
            weights = _truncated(weights, draw)
        return _tokens(_whole(weights), uniforms(rows["key"].view(np.uint64), rows["step"], 1)[0]), share


def _update_units(gates: Floats, cell: Floats) -> tuple[Floats, Floats]:
    """Return the new cell and hidden states, [n, u], for gates in panels, [n, 4u]."""
    one, two, most = np.float32(1), np.float32(2), 28
    panels = gates.reshape(len(gates), -1, 4, _UNIT // 4)
    gate_i, gate_f, gate_c, gate_o = (panels[:, :, gate].reshape(cell.shape) for gate in range(4))
    # The sigmoids and tanh brought to one denominator for each state.
    added, kept = one + exponential(-gate_i, most), one + exponential(-gate_f, most)
    candidate, output = exponential(two * gate_c, most), one + exponential(-gate_o, most)
    both = added * (candidate + one)
    cell = (cell * both + (candidate - one) * kept) / (both * kept)
    bounded = exponential(two * cell, most)
    return cell, (bounded - one) / (output * (bounded + one))


def _exact_floats(kernel: Matrix) -> Matrix:
    """Return integers as floats in which every sum of products with states is exact."""
    largest_sum = 127 * int(np.abs(kernel.astype(np.int64)).sum(axis=0).max(initial=0))
    return kernel.astype(np.float32 if largest_sum <= _EXACT else np.float64)


def _integer_product(operand: Matrix, kernel: Matrix) -> Floats:
    """Return an exact product as float32."""
    return np.matmul(operand.astype(kernel.dtype), kernel).astype(np.float32)


def ordered_product(operand: Matrix, kernel: Matrix) -> Floats:
    """Compute a product of float32 matrices whose terms are added in their order, each rounded by itself.

    Args:
        operand: [n, k].
        kernel: [k, m].

    Returns:
        [n, m].
    """
    total = np.zeros((len(operand), kernel.shape[1]), np.float32)
    for k in range(kernel.shape[0]):
        total += operand[:, k, None] * kernel[k]
    return total


def _whole(weights: Floats) -> Doubles:
    """Round weights in [0, 1] to whole numbers of 2⁻³²."""
    return np.rint(weights.astype(np.float64) * _ONE)


def _tokens(wholes: Doubles, uniform: Floats) -> Integers:
    """Return the first token of each row at which the running sum passes u × total, rounded down."""
    running = np.cumsum(wholes, axis=1)
    total, bits = running[:, -1].astype(np.uint64), (uniform * np.float32(1 << 24)).astype(np.uint64)
    low, shift = np.uint64((1 << 24) - 1), np.uint64(24)
    threshold = (bits * (total >> shift) + ((bits * (total & low)) >> shift)).astype(np.float64)
    return np.count_nonzero(running <= threshold[:, None], axis=1).astype(np.int32)


def _truncated(weights: Floats, draw: DrawParameters) -> Floats:
    """Set the unlikely tail to 0: all but the k likeliest, then all but the fewest that hold the share p."""
    falling = -np.sort(-weights, axis=1)
    if draw.top_k > 0:
        falling[:, draw.top_k :] = 0
    wholes = _whole(falling)
    before = np.cumsum(wholes, axis=1) - wholes
    kept = (before < np.float64(np.float32(draw.top_p)) * wholes.sum(axis=1, keepdims=True)) & (falling > 0)
    least = np.where(kept, falling, np.inf).min(axis=1, keepdims=True)
    # Those as likely as the last one kept are kept.
    return np.where(weights >= least, weights, np.float32(0))


def _log_probability(logits: Floats, token: Integers, draw: DrawParameters) -> Floats:
    """Return the log probability of each row's token without masks; 0 of a token that is never drawn."""
    scaled = np.minimum(logits * np.float32(draw.inverse_temperature), _LARGEST)
    largest = scaled.max(axis=1)
    total = _whole(exponential(scaled - largest[:, None])).sum(axis=1)
    found = scaled[np.arange(len(token)), token] - (largest + _logarithm(total / _ONE).astype(np.float32))
    return np.where(np.isfinite(found), found, np.float32(0))


def _logarithm(x: Doubles) -> Doubles:
    """Compute log x by fixed operations, for x ≥ 1."""
    mantissa, power = np.frexp(x)
    mantissa, power = 2 * mantissa, power - 1
    t = (mantissa - 1) / (mantissa + 1)
    total = np.zeros_like(t)
    for n in range(31, 0, -2):
        total = total * (t * t) + 1.0 / n
    return power * 0.6931471805599453 + 2 * t * total
