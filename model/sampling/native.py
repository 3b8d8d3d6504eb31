"""Steps of a block in compiled code: the structures of kernel/kernel.h, filled with the addresses of arrays.

The library knows nothing of Python: `ctypes` calls it without the interpreter's lock. Where it was not built, for want of a
compiler, `linesmith.model.sampling.reference` computes the same, slowly.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linesmith.model.fields.layout import FieldLayout
from linesmith.model.sampling.block_state import LANES, TILE, BlockState, DrawParameters, Floats, Integers, Number
from linesmith.model.sampling.network_weights import Matrix, NetworkWeights
from linesmith.model.sampling.request_table import RequestTable

_CACHE_LINE = 64  # bytes
_INT, _LONG, _FLOAT, _ADDRESS = ctypes.c_int32, ctypes.c_int64, ctypes.c_float, ctypes.c_void_p


class _Fields(ctypes.Structure):
    _fields_ = [
        *((name, _INT) for name in ("fields", "parents", "values", "memory", "first_token", "vocab")),
        *((name, _ADDRESS) for name in ("parent", "pair_start", "pair_width", "value_start", "value_buckets")),
        *((name, _ADDRESS) for name in ("position_start", "last_position", "aligned_index", "digit_value")),
        *((name, _ADDRESS) for name in ("value_field", "value_multiplier")),
    ]


class _Network(ctypes.Structure):
    _fields_ = [
        *((name, _INT) for name in ("layers", "units", "vocab", "integers", "slots", "state_width")),
        *((name, _ADDRESS) for name in ("table", "table_scale", "kernels", "scales", "biases", "logits_kernel")),
        *((name, _ADDRESS) for name in ("logits_bias", "transitions", "characters", "fields")),
    ]


class _Draw(ctypes.Structure):
    _fields_ = [
        *((name, _INT) for name in ("greedy", "truncated", "counts_characters", "prefixed", "scored")),
        *((name, _INT) for name in ("characters", "top_k")),
        *((name, _FLOAT) for name in ("inverse_temperature", "top_p")),
    ]


class _Block(ctypes.Structure):
    _fields_ = [("rows", _INT), *((name, _ADDRESS) for name in ("row", "field_state", "hidden", "cell"))]


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """Return the compiled kernel; None where it was not built or is not of this machine."""
    for path in sorted((Path(__file__).parent / "kernel").glob("steps*.so")):
        try:
            found = ctypes.CDLL(str(path))
        except OSError:
            continue
        found.linesmith_run.restype = _LONG
        found.linesmith_run.argtypes = [*[_ADDRESS] * 4, _LONG, _ADDRESS, _LONG, _INT, _ADDRESS, ctypes.c_int]
        found.linesmith_instruction_set.restype = ctypes.c_char_p
        found.linesmith_multiply.restype = None
        found.linesmith_multiply.argtypes = [_ADDRESS, _INT, _INT, _ADDRESS, _INT, _ADDRESS, ctypes.c_int]
        return found
    return None


@lru_cache(maxsize=1)
def instruction_sets() -> dict[str, int]:
    """Return the numbers of the instruction sets that the kernel was built for and the processor has, by name, the best first."""
    kernel, found = library(), dict[str, int]()
    if kernel is None:
        return found
    number = 0
    while (name := kernel.linesmith_instruction_set(number)) is not None:
        if name:
            found[name.decode()] = number
        number += 1
    return found


def ordered_product(operand: Floats, kernel: Floats, instruction_set: str | None = None) -> Floats:
    """Compute what `reference.ordered_product` does.

    Args:
        operand: [n, k].
        kernel: [k, m].
        instruction_set: one of `instruction_sets()`; None: the best.

    Raises:
        ValueError: the shapes do not fit each other.
    """
    (n, k), (rows, m) = operand.shape, kernel.shape
    if k != rows:
        raise ValueError(f"a product of [{n}, {k}] and [{rows}, {m}]")
    more_k = -k % LANES
    a = _aligned(np.pad(operand.astype(np.float32), ((0, -n % TILE), (0, more_k))))
    w = _aligned(packed(np.pad(kernel.astype(np.float32), ((0, more_k), (0, -m % LANES)))))
    out = _aligned(np.empty((len(a), m + -m % LANES), np.float32))
    _library().linesmith_multiply(
        _where(a), len(a), k + more_k, _where(w), out.shape[1], _where(out), _set_number(instruction_set)
    )
    return out[:n, :m]


class NativeSteps:
    """Runs steps of a network in the compiled kernel.

    Args:
        weights: of the network.
        transitions: the masks' automaton, [S, V] padded; None: no masks.
        characters: that each token begins, [V].
        layout: of a network that knows fields.
        state_width: numbers that a row remembers of its fields.
        instruction_set: one of `instruction_sets()`; None: the best.
    """

    def __init__(
        self,
        weights: NetworkWeights,
        transitions: Integers | None,
        characters: Integers,
        layout: FieldLayout | None,
        state_width: int,
        instruction_set: str | None = None,
    ) -> None:
        self._set = _set_number(instruction_set)
        self._kept: list[object] = []  # what the structures point to
        self._network = _Network(
            layers=weights.layers,
            units=weights.units,
            vocab=len(weights.logits_bias),
            integers=weights.integers,
            slots=1 if layout is None else layout.slots,
            state_width=state_width,
            table=self._address(weights.table),
            table_scale=self._address(weights.table_scale),
            kernels=self._addresses([packed(kernel) for kernel in weights.kernels]),
            scales=self._addresses(weights.scales),
            biases=self._addresses(weights.biases),
            logits_kernel=self._address(packed(weights.logits_kernel)),
            logits_bias=self._address(weights.logits_bias),
            transitions=None if transitions is None else self._address(transitions),
            characters=self._address(characters),
            fields=None if layout is None else self._fields(layout),
        )

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

        Raises:
            MemoryError: there is no memory for the numbers of a tile of rows.
        """
        hidden, cell = _pointers(block.hidden), _pointers(block.cell)
        state = _Block(
            len(block.rows),
            _where(block.rows),
            _where(block.fields),
            ctypes.addressof(hidden),
            ctypes.addressof(cell),
        )
        how = _Draw(
            draw.greedy,
            draw.truncated,
            draw.characters > 0,
            draw.prefixed,
            draw.scored,
            draw.characters,
            draw.top_k,
            draw.inverse_temperature,
            draw.top_p,
        )
        requests = np.ascontiguousarray(table)
        taken: int = _library().linesmith_run(
            ctypes.addressof(self._network),
            ctypes.addressof(how),
            ctypes.addressof(state),
            _where(requests),
            len(requests),
            _where(prefixes[0]),
            prefixes[1],
            len(outputs),
            _where(outputs),
            self._set,
        )
        if taken < 0:
            raise MemoryError("no memory for a step of generation")
        return taken

    def _fields(self, layout: FieldLayout) -> int:
        inputs = layout.inputs
        fields = _Fields(
            layout.fields,
            inputs.parent_slot_count,
            len(inputs.values),
            inputs.memory,
            inputs.first_token,
            layout.vocab_size,
            *map(self._address, (layout.parents, layout.pair_starts, layout.pair_widths)),
            *map(self._address, (layout.value_starts, layout.value_buckets, layout.position_starts)),
            *map(self._address, (layout.last_positions, layout.aligned_indices, layout.digit_values)),
            *map(self._address, (layout.value_fields, layout.value_multipliers)),
        )
        self._kept.append(fields)
        return ctypes.addressof(fields)

    def _address(self, array: Matrix) -> int:
        aligned = _aligned(array)
        self._kept.append(aligned)
        return _where(aligned)

    def _addresses(self, arrays: Sequence[Matrix]) -> int:
        pointers = (_ADDRESS * len(arrays))(*map(self._address, arrays))
        self._kept.append(pointers)
        return ctypes.addressof(pointers)


def _library() -> ctypes.CDLL:
    kernel = library()
    if kernel is None:
        raise RuntimeError("the compiled kernel was not built")
    return kernel


def _set_number(instruction_set: str | None) -> int:
    sets = instruction_sets()
    return next(iter(sets.values())) if instruction_set is None else sets[instruction_set]


def packed(kernel: Matrix) -> Matrix:
    """Return a kernel, [k, n], as the compiled product reads it: panels of 16 columns.

    Returns:
        [n / 16, k, 16] of floats; of integers [n / 16, k / 2, 16, 2], pairs of rows side by side.
    """
    k, n = kernel.shape
    if kernel.dtype == np.float32:
        return np.ascontiguousarray(kernel.reshape(k, n // LANES, LANES).transpose(1, 0, 2))
    return np.ascontiguousarray(kernel.reshape(k // 2, 2, n // LANES, LANES).transpose(2, 0, 3, 1))


def _aligned(array: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return a copy that begins at a line of the cache: a vector that lies across two lines takes twice the time."""
    size = array.dtype.itemsize * array.size
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    first = -_where(memory) % _CACHE_LINE
    copy = memory[first : first + size].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _where(array: npt.NDArray[np.generic]) -> int:
    return int(array.ctypes.data)


def _pointers(arrays: Sequence[npt.NDArray[np.generic]]) -> ctypes.Array[ctypes.c_void_p]:
    return (_ADDRESS * len(arrays))(*map(_where, arrays))
