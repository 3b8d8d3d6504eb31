"""Precision of matrix products, by what was asked for and what the processor has."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib import metadata
from pathlib import Path

# Instruction sets for which TensorFlow has separate kernels; others do not change results.
_FEATURES = (
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "sve",
    "bf16",
)


def cpu_features(cpuinfo: str) -> str:
    """Return the features in the text of /proc/cpuinfo that change results, in a fixed order, separated by spaces.

    Example:
        >>> cpu_features("flags : fpu avx2 avx sse")
        'avx avx2'
    """
    for line in cpuinfo.splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features"):
            found = set(flags.split())
            return " ".join(feature for feature in _FEATURES if feature in found)
    return ""


def matmul_precision(asked: str, features: str | None = None) -> str:
    """Return the precision of matrix products in training, 'float32' or 'bfloat16', for a value of `matmul_precision`.

    Args:
        asked: 'auto', 'float32', 'bfloat16' or 'int8'; the last is for generation and means 'auto' in training.
        features: from `cpu_features`; None: this machine's.

    Example:
        >>> matmul_precision("auto", "avx512f avx512_bf16"), matmul_precision("int8", "avx2")
        ('bfloat16', 'float32')
    """
    if asked not in ("auto", "int8"):
        return asked
    available = set((environment()["cpu"] if features is None else features).split())
    return "bfloat16" if available & {"avx512_bf16", "amx_bf16"} else "float32"


def sampling_precision(asked: str) -> str:
    """Return the precision of matrix products in generation, 'int8' or 'float32', for a value of `matmul_precision`.

    With 'auto' it is 'int8': nearly twice as fast as float32, and the rounding moves the distribution of a token by 0.0007 on
    average (docs/sampling.md). 'bfloat16' is for training, and means 'float32' here.

    Args:
        asked: as for `matmul_precision`.

    Example:
        >>> sampling_precision("auto"), sampling_precision("bfloat16")
        ('int8', 'float32')
    """
    return "int8" if asked in ("auto", "int8") else "float32"


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """Return TensorFlow's version (found without importing it), the architecture, and the processor's features."""
    try:
        tensorflow = metadata.version("tensorflow")
    except metadata.PackageNotFoundError:
        tensorflow = "none"
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    return {"tensorflow": tensorflow, "machine": platform.machine(), "cpu": cpu_features(cpuinfo)}
