"""Scores of trees in compiled code (model/sampling/kernel/trees.h)."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from linesmith.model.sampling.native import library

_INT, _LONG, _ADDRESS = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p


class _Trees(ctypes.Structure):
    _fields_ = [
        *((name, _INT) for name in ("columns", "trees")),
        *((name, _ADDRESS) for name in ("feature", "left", "right", "roots", "threshold", "missing_left", "value")),
    ]


def score_trees(
    matrix: npt.NDArray[np.float64], arrays: Mapping[str, npt.NDArray[Any]]
) -> npt.NDArray[np.int64] | None:
    """Return what `TreeSum.walk` does; None where the kernel was not built.

    Args:
        matrix: contiguous, [N, columns].
        arrays: of a `TreeSum`, contiguous and of its types.
    """
    kernel = library()
    score = None if kernel is None else getattr(kernel, "linesmith_score_trees", None)  # not in a kernel of before
    if score is None:
        return None
    score.restype, score.argtypes = None, [_ADDRESS, _ADDRESS, _LONG, _ADDRESS]
    trees = _Trees(columns=matrix.shape[1], trees=len(arrays["roots"]))
    for name in ("feature", "left", "right", "roots", "threshold", "missing_left", "value"):
        setattr(trees, name, arrays[name].ctypes.data)
    out = np.empty(len(matrix), np.int64)
    score(ctypes.byref(trees), matrix.ctypes.data, len(matrix), out.ctypes.data)
    return out
