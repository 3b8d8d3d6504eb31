"""`model.dp_norms_amx.c` for TensorFlow: clip factors by the matrix unit of x86 processors, where there is one.

The C source is compiled by the machine's own compiler when it is first asked for, in half a second; nothing of it is
installed or kept. Where there is no compiler or no such unit everything is computed by XLA, to the same accuracy.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from model.backpropagation import HALVES
from model.cpu import environment
from model.dp_norms import CANCELLATION

Tensor = Any

LONGEST = 1_024  # tokens of a row: Gram matrices of longer ones outgrow the cache

_MOST_LAYERS = 16  # LAYERS in the source
_SOURCE = Path(__file__).with_name("dp_norms_amx.c")
_NEEDS = {"avx512f", "avx512_bf16", "amx_tile", "amx_bf16"}
_FLAGS = ("avx512f", "avx512bw", "avx512vl", "avx512bf16", "amx-tile", "amx-bf16")


class _Layer(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("inputs", "states", "delta")),
        *((name, ctypes.c_int32) for name in ("inputs_width", "states_width", "delta_width")),
    ]


class _Problem(ctypes.Structure):
    _fields_ = [
        ("layers", ctypes.POINTER(_Layer)),
        *((name, ctypes.c_void_p) for name in ("tokens", "table", "kernel")),
        *((name, ctypes.c_int32) for name in ("count", "steps", "records", "vocab", "looks_up")),
        *((name, ctypes.c_float) for name in ("limit", "cancellation")),
    ]


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled source; None where this machine cannot compile it or not run it."""
    compiler = shutil.which("cc")
    if compiler is None or not set(environment()["cpu"].split()) >= _NEEDS:
        return None
    with tempfile.TemporaryDirectory() as place:
        built = Path(place) / "dp_norms_amx.so"
        flags = ["-O3", "-shared", "-fPIC", *(f"-m{flag}" for flag in _FLAGS)]
        command = [compiler, *flags, str(_SOURCE), "-o", str(built), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            found = ctypes.CDLL(str(built))
        except (OSError, subprocess.SubprocessError):
            return None
    return found if found.linesmith_allow() == 0 else None


def available(layers: int) -> bool:
    """Whether this machine can, for a network of so many weight matrices: it has the unit and a C compiler."""
    return layers <= _MOST_LAYERS and library() is not None


def clip_factors(
    tokens: Tensor,
    table: Tensor,
    kernel: Tensor,
    inputs: Sequence[Tensor],
    hidden: Sequence[Tensor],
    deltas: Sequence[Tensor],
    *,
    limit: Tensor,
    looks_up: bool,
) -> Tensor:
    """Squared gradient norms of records, and what to multiply them with, where operands are bfloat16s.

    Args:
        tokens: ids, [T, B] int32; T at most `LONGEST`.
        table, kernel, inputs, hidden, deltas: as `model.dp_factors.Operands` has them.
        limit: of a norm, after clipping, float32.
        looks_up: the first kernel's gradient is of sums by token, and multiplied with factors exactly.

    Returns:
        [2, B], as `model.dp_clipping.clip_factors` gives them; but a factor is -1 where a record is to be done in the general
        way: its sums cancel, it is not finite, or rounding made it too long.
    """
    clip = partial(_clip, layers=len(deltas), looks_up=looks_up)
    # A function of its arguments alone: halves of a batch need not wait for each other.
    found = tf.numpy_function(
        clip, [limit, tokens, table, kernel, *inputs, *hidden, *deltas], tf.float32, stateful=False
    )
    return tf.ensure_shape(found, [2, None])


def _clip(limit: Any, tokens: Any, table: Any, kernel: Any, *arrays: Any, layers: int, looks_up: bool) -> Any:
    """`clip_factors` of arrays: inputs, hidden states and deltas one after the other."""
    inputs, hidden, deltas = arrays[: layers - 1], arrays[layers - 1 : 2 * layers - 2], arrays[2 * layers - 2 :]
    described = (_Layer * layers)(*map(_layer, [table, *inputs], [*hidden, None], deltas))
    sizes = layers, *tokens.shape, len(table), looks_up
    problem = _Problem(described, *map(_address, (tokens, table, kernel)), *sizes, limit, CANCELLATION)
    records = tokens.shape[1]
    found = np.empty((2, records), np.float32)
    parts = max(1, (os.cpu_count() or 1) // HALVES)
    ends = np.linspace(0, records, parts + 1).astype(int).tolist()
    built = library()
    if built is None:  # the graph was made where there was one
        raise RuntimeError("clip factors: no matrix unit here, or no C compiler")

    def some(start: int, stop: int) -> int:
        return built.linesmith_clip(
            ctypes.byref(problem), start, stop, *(ctypes.c_void_p(row.ctypes.data) for row in found)
        )

    if parts == 1:
        codes = [some(0, records)]
    else:
        with ThreadPoolExecutor(parts) as pool:
            codes = list(pool.map(some, ends[:-1], ends[1:]))
    if any(codes):
        raise MemoryError("clip factors: no memory for one record's Gram matrices")
    return found


def _layer(inputs: Any, states: Any, delta: Any) -> _Layer:
    width = 0 if states is None else states.shape[2]
    return _Layer(_address(inputs), _address(states), _address(delta), inputs.shape[-1], width, delta.shape[2])


def _address(array: Any) -> int | None:
    return None if array is None else array.ctypes.data
