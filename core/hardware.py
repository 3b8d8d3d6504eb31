"""What else the bytes of a generation depend on: TensorFlow's version and the vector instructions of the processor."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib import metadata
from pathlib import Path

# Instruction sets for which TensorFlow has kernels of their own; others do not change results.
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
    """The relevant features in the text of /proc/cpuinfo, in a fixed order.

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
    """The precision of matrix products in training, 'float32' or 'bfloat16', that a `matmul_precision` setting means here.

    Args:
        asked: 'auto', 'float32', 'bfloat16' or 'int8'; the last is for sampling and means 'auto' here.
        features: from `cpu_features`; None: this machine's.

    Example:
        >>> matmul_precision("auto", "avx512f avx512_bf16"), matmul_precision("int8", "avx2")
        ('bfloat16', 'float32')
    """
    if asked not in ("auto", "int8"):
        return asked
    found = set((environment()["cpu"] if features is None else features).split())
    return "bfloat16" if found & {"avx512_bf16", "amx_bf16"} else "float32"


def sampling_precision(asked: str, features: str | None = None) -> str:
    """The precision of matrix products in generation: 'int8' where 'auto' finds instructions for it.

    What integers round away moves the distribution of a token by 0.0007 in the mean (docs/sampling.md), and they are three
    times as fast as float32.

    Args:
        asked: as for `matmul_precision`.
        features: from `cpu_features`; None: this machine's.

    Example:
        >>> sampling_precision("auto", "avx512f avx512_vnni"), sampling_precision("auto", "avx2")
        ('int8', 'float32')
    """
    if asked == "int8" or (asked == "auto" and has_int8_instructions(features)):
        return "int8"
    return matmul_precision(asked, features)


def has_int8_instructions(features: str | None = None) -> bool:
    """Whether the processor multiplies 8-bit integers and sums them in 32 bits (VNNI)."""
    found = set((environment()["cpu"] if features is None else features).split())
    return bool(found & {"avx512_vnni", "avx_vnni"})


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """TensorFlow's version (found without importing it), the architecture, and the processor's features."""
    try:
        tensorflow = metadata.version("tensorflow")
    except metadata.PackageNotFoundError:
        tensorflow = "none"
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    return {"tensorflow": tensorflow, "machine": platform.machine(), "cpu": cpu_features(cpuinfo)}
