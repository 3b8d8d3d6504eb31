"""The weights of a trained network as sampling uses them: padded, in the order of its products, in float32 or as integers.

Every width is padded to a multiple of 16. The columns of a layer's kernel stand in panels of 64: the input, forget, candidate and
output gates of 16 units. The first layer's input product is a table with one row per token; in a network that knows fields, with
one for each row of its table, of which each step adds up a few.

As integers, a column of a kernel is w ≈ s·q, with q in −127…127 and a scale s of its own; a hidden state is h ≈ v/127, v in
−127…127. Then h·w = s/127 · Σ v·q, whose sum is exact. An entry of the table is t ≈ s·q with q in −32,767…32,767.
Source: Jacob et al. 2018, arXiv 1712.05877, section 2, with the range of h known in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linesmith.model.sampling.block_state import LANES, Floats

_GATES = 4
_STEPS = 127  # quantization steps from 0 to 1
_LARGEST = 32_767  # of an entry of the table
Matrix = npt.NDArray[np.generic]


def round_up(width: int) -> int:
    """Round a width up to a multiple of 16.

    Example:
        >>> round_up(24), round_up(32)
        (32, 32)
    """
    return -(-width // LANES) * LANES


@dataclass(frozen=True)
class NetworkWeights:
    """Weights of a network with L layers of u units and V tokens, all widths padded.

    Attributes:
        integers: products of integers, not of floats.
        table: rows whose sum is the first layer's input, its bias included, [rows, 4u], int16 or float32.
        table_scale: with integers, scale of each column, [4u].
        kernels: of each layer, int16 or float32; [u, 4u] for the layer's own state in the first one, [2u, 4u] for the state of
            the layer below and its own in the others.
        scales: with integers, what a sum of each column is multiplied by, [4u] for each layer.
        biases: [4u] for each layer; zeros in the first.
        logits_kernel: [u, V] float32.
        logits_bias: [V] float32; −inf: never drawn.
    """

    integers: bool
    table: Matrix
    table_scale: Floats
    kernels: list[Matrix]
    scales: list[Floats]
    biases: list[Floats]
    logits_kernel: Floats
    logits_bias: Floats

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.kernels)

    @property
    def units(self) -> int:
        """Units of a layer, padded."""
        return self.logits_kernel.shape[0]


def prepare_weights(
    weights: Mapping[str, Floats],
    layers: int,
    forbidden: Sequence[int],
    integers: bool,
    multiply: Callable[[Floats, Floats], Floats],
) -> NetworkWeights:
    """Pad, order and quantize trained weights.

    Args:
        weights: trained variables by path, without the network's name.
        layers: number of layers.
        forbidden: ids that are never drawn.
        integers: products of integers.
        multiply: product of two matrices whose terms are added in order: in that of a BLAS, the last digits of the table would
            depend on the processor.

    Raises:
        KeyError, ValueError: weights are missing or have other shapes.
    """
    logits_kernel, logits_bias = weights["logits/kernel"], weights["logits/bias"]
    units = weights["lstm_0/recurrent_kernel"].shape[0]
    pad_rows = ((0, round_up(units) - units), (0, 0))
    table = multiply(weights["embedding/embeddings"], weights["lstm_0/kernel"])
    # Every step looks up one token, whatever else it looks up.
    table[: logits_bias.shape[0]] += weights["lstm_0/bias"]
    found_table, table_scale = _quantized_table(_panels(table, units), integers)
    kernels, scales, biases = [], [], []
    for layer in range(layers):
        kernel = np.pad(_panels(weights[f"lstm_{layer}/recurrent_kernel"], units), pad_rows)
        bias = np.zeros(_GATES * round_up(units), np.float32)
        if layer > 0:
            kernel = np.concatenate([np.pad(_panels(weights[f"lstm_{layer}/kernel"], units), pad_rows), kernel])
            bias = _panels(weights[f"lstm_{layer}/bias"], units)
        quantized, scale = _quantized_kernel(kernel, integers)
        kernels.append(quantized)
        scales.append(scale)
        biases.append(bias)
    widths = [(0, round_up(width) - width) for width in logits_kernel.shape]
    logits_bias = np.pad(logits_bias.astype(np.float32), widths[1], constant_values=-np.inf)
    logits_bias[list(forbidden)] = -np.inf
    # Rounded to 8 bits, logits would move probabilities by a percent or two; they stay float32.
    return NetworkWeights(
        integers, found_table, table_scale, kernels, scales, biases, np.pad(logits_kernel, widths), logits_bias
    )


def _panels(matrix: Floats, units: int) -> Floats:
    """Pad the four gates of a [.., 4u] array to a multiple of 16 units each, and order its columns in panels."""
    gates = matrix.reshape(*matrix.shape[:-1], _GATES, units).astype(np.float32)
    padded = np.pad(gates, [(0, 0)] * (gates.ndim - 1) + [(0, round_up(units) - units)])
    panels = padded.reshape(*padded.shape[:-1], -1, LANES).swapaxes(-3, -2)
    return np.ascontiguousarray(panels.reshape(*matrix.shape[:-1], _GATES * round_up(units)))


def _quantized_kernel(kernel: Floats, integers: bool) -> tuple[Matrix, Floats]:
    """Return a kernel for `multiply`, and what its sums are multiplied by."""
    if not integers:
        return kernel, np.ones(kernel.shape[1], np.float32)
    scale = _largest(kernel) / np.float32(_STEPS)
    return np.rint(kernel / scale).astype(np.int16), scale / np.float32(_STEPS)


def _quantized_table(table: Floats, integers: bool) -> tuple[Matrix, Floats]:
    if not integers:
        return table, np.ones(table.shape[1], np.float32)
    # Powers of two, so that entries are rounded once.
    scale = np.ldexp(np.float32(1), np.frexp(_largest(table) / np.float32(_LARGEST))[1])
    return np.rint(table / scale).clip(-_LARGEST, _LARGEST).astype(np.int16), scale


def _largest(matrix: Floats) -> Floats:
    largest = np.abs(matrix).max(axis=0)
    return np.where(largest > 0, largest, 1).astype(np.float32)
