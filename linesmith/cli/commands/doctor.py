"""Run `linesmith doctor`: check whether this machine is ready, one line per check, with a remedy for each that fails."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape

from linesmith.cli.summary import human_bytes
from linesmith.core.errors import EXIT_SUCCESS, EXIT_USER_ERROR
from linesmith.core.hardware import matmul_precision, sampling_precision

Verdict = Literal["ok", "warn", "fail"]
_STYLE = {"ok": "green", "warn": "yellow", "fail": "red"}
_BASE = ("apache-beam", "numpy", "sentencepiece", "fastavro", "protobuf", "pydantic")
# A module of each extra, whose presence shows that the extra is installed.
_EXTRAS = {
    "train": "tensorflow",
    "tokenize": "tensorflow_transform",
    "dp": "dp_accounting",
    "evaluate": "matplotlib",
    "lake": "pyiceberg",
    "gcp": "google.cloud.storage",
    "aws": "boto3",
    "demo": "airportsdata",
}
_USES = {"train": "needed to train; not to generate", "tokenize": "needed to fit a tokenizer; not to generate"}
_MIN_MEMORY_BYTES = 4 * 2**30
_MATMUL_SIZE = 1024


@dataclass(frozen=True)
class Check:
    """Result of one check: its name, the verdict, what was found, and the remedy."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def show_checks(console: Console, smoke: bool = True) -> int:
    """Print the result of each check as soon as it is known.

    Args:
        console: where to print.
        smoke: whether to run Beam and TensorFlow for a few seconds, too.

    Returns:
        0, or 2 if something failed that a run needs.
    """
    failed = False
    for check in checks(smoke):
        failed |= check.verdict == "fail"
        line = f"[{_STYLE[check.verdict]}]{check.verdict:4}[/]  {check.name}: {escape(check.found)}"
        console.print(line + (f" → {escape(check.remedy)}" if check.remedy else ""))
    return EXIT_USER_ERROR if failed else EXIT_SUCCESS


def checks(smoke: bool = True) -> Iterator[Check]:
    """Yield the results of all checks, the fast ones first."""
    yield _python()
    yield from (_package(name) for name in _BASE)
    yield from (_extra(name, module) for name, module in _EXTRAS.items())
    yield _cpus()
    yield _kernel()
    yield _memory()
    yield _disk()
    if smoke:
        yield _beam_smoke()
        yield from _tensorflow_smoke()


def _python() -> Check:
    found = f"{platform.python_version()} on {sys.platform} {platform.machine()}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", "ok", found)
    return Check("Python", "fail", found, "use Python 3.11, 3.12 or 3.13, the ones on which this stack resolves")


def _package(name: str) -> Check:
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "fail", "not installed", "pip install --force-reinstall linesmith")


def _extra(name: str, module: str) -> Check:
    try:
        installed = importlib.util.find_spec(module) is not None
    except ImportError:
        installed = False
    if installed:
        return Check(f"extra [{name}]".replace("[", r"\["), "ok", "installed")
    found = _USES.get(name, "not installed")
    return Check(f"extra [{name}]".replace("[", r"\["), "warn", found, f"pip install 'linesmith[{name}]'")


def _cpus() -> Check:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    flags = cpu_flags()
    fast = [name for name in ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16") if name in flags]
    found = f"{count} usable; {', '.join(fast) or 'no vector extension known here'}"
    if flags and "avx" not in flags:
        return Check("CPU", "warn", found, "TensorFlow needs AVX: to train, use a newer machine or machine type")
    features = " ".join(flags)
    training, generation = matmul_precision("auto", features), sampling_precision("auto")
    return Check("CPU", "ok", f"{found}; matrix products in {training} for training, {generation} for generation")


def _kernel() -> Check:
    from linesmith.model.sampling.native import instruction_sets

    found = next(iter(instruction_sets()), None)
    if found is None:
        remedy = "install a wheel for this machine, or a C compiler and install again"
        return Check(
            "generation", "warn", "the compiled kernel was not built: NumPy takes its place, many times slower", remedy
        )
    return Check("generation", "ok", f"compiled kernel, instructions: {found}")


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Return the feature flags of the CPU, such as `avx2`; empty if the system does not list them."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def _memory() -> Check:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size < _MIN_MEMORY_BYTES:
        return Check(
            "memory", "warn", human_bytes(size), "TensorFlow and Beam alone take 1–2 GiB; training may not fit"
        )
    return Check("memory", "ok", human_bytes(size))


def _disk() -> Check:
    free = shutil.disk_usage(os.getcwd()).free
    if free < 2**30:
        return Check("disk", "warn", f"{human_bytes(free)} free here", "put --output on a larger disk")
    return Check("disk", "ok", f"{human_bytes(free)} free here")


def _beam_smoke() -> Check:
    from linesmith.core.library_logging import quiet_import

    start = time.monotonic()
    try:
        with quiet_import():
            import apache_beam as beam

            from linesmith.runners import pipeline_options, runner_name
        loaded = time.monotonic()
        options = pipeline_options()
        with beam.Pipeline(options=options) as pipeline:
            pipeline | beam.Create([1, 2, 3]) | beam.Map(lambda number: (number % 2, number)) | beam.CombinePerKey(sum)
    except Exception as error:  # any failure of an installation is a result of the check
        return Check("runner", "fail", f"{type(error).__name__}: {error}", "pip install --force-reinstall linesmith")
    seconds = f"loaded in {loaded - start:.1f} s, a small pipeline in {time.monotonic() - loaded:.1f} s"
    return Check("runner", "ok", f"{runner_name(options)}, in this process; {seconds}")


def _tensorflow_smoke() -> Iterator[Check]:
    from linesmith.core.library_logging import quiet_import

    if importlib.util.find_spec("tensorflow") is None:
        return
    start = time.monotonic()
    try:
        with quiet_import():
            import tensorflow as tf
        loaded = time.monotonic()
        gpus = tf.config.list_physical_devices("GPU")
        rate = _matmul_rate(tf)
    except Exception as error:  # as above
        yield Check(
            "TensorFlow", "fail", f"{type(error).__name__}: {error}", "pip install --force-reinstall tensorflow"
        )
        return
    yield Check("TensorFlow", "ok", f"loaded in {loaded - start:.1f} s; float32 matmul {rate / 1e9:,.0f} GFLOP/s")
    if gpus:
        yield Check("GPU", "ok", ", ".join(gpu.name for gpu in gpus))
    else:
        yield Check("GPU", "warn", "none found", "training uses the CPU; small models do well there")


def _matmul_rate(tf: object, seconds: float = 0.5) -> float:
    """Measure the floating-point operations per second of a square float32 matmul."""
    ones = tf.ones((_MATMUL_SIZE, _MATMUL_SIZE))  # type: ignore[attr-defined]
    tf.linalg.matmul(ones, ones).numpy()  # type: ignore[attr-defined]  # not timed: the first call sets things up
    start, rounds = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        tf.linalg.matmul(ones, ones).numpy()  # type: ignore[attr-defined]
        rounds += 1
    return float(2 * _MATMUL_SIZE**3 * rounds / (time.monotonic() - start))
