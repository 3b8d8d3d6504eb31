"""Run on this machine: Beam's in-process runner, or one process per worker with `--workers N` (or `--direct_num_workers N`)."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.errors import ParameterError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_log = logging.getLogger("linesmith")
RUNNER_NAMES = ("DirectRunner", "FnApiRunner", "SwitchingDirectRunner")
IN_PROCESS = "FnApiRunner"
PROCESSES = "linesmith.runners.processes.ProcessesRunner"
# Modules that a worker imports when it starts: they set TensorFlow's threads and the log levels.
WORKER_PLUGINS = ("linesmith.runners.worker_threads", "linesmith.runners.worker_logging")
# Memory of a worker in the stage that needs most, beside its records: libraries, graph or model, one batch.
WORKER_BYTES = 1_200_000_000


def complete_options(options: PipelineOptions) -> None:
    """Name the in-process runner; with several workers, make them processes, each with its share of the cores.

    Args:
        options: parsed arguments; changed in place.

    Raises:
        ParameterError: `--workers` is below 1, contradicts `--direct_num_workers`, or needs more memory than there is.
    """
    from apache_beam.options.pipeline_options import DirectOptions, SetupOptions, StandardOptions, WorkerOptions

    from linesmith.runners.linesmith_options import LinesmithOptions

    options.view_as(StandardOptions).runner = IN_PROCESS
    direct, linesmith_options = options.view_as(DirectOptions), options.view_as(LinesmithOptions)
    _apply_workers(direct, linesmith_options)
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        direct.direct_running_mode = "multi_processing"
    if direct.direct_running_mode != "multi_processing":
        return
    cores = os.cpu_count() or 1
    if linesmith_options.threads_per_worker is None:
        linesmith_options.threads_per_worker = max(1, cores // (direct.direct_num_workers or cores))
    # The workers write to this terminal, and the log levels set in this process do not reach them.
    worker, setup = options.view_as(WorkerOptions), options.view_as(SetupOptions)
    if worker.default_sdk_harness_log_level is None:
        worker.default_sdk_harness_log_level = "ERROR"
    setup.beam_plugins = [*(setup.beam_plugins or []), *WORKER_PLUGINS]
    options.view_as(StandardOptions).runner = PROCESSES
    # Imported here: `python -m linesmith.runners.fork_server` would otherwise find itself imported by its package already.
    from linesmith.runners.fork_server import shared_fork_server

    shared_fork_server()  # it imports the workers' libraries while this process prepares the pipeline


def _apply_workers(direct: PipelineOptions, linesmith_options: PipelineOptions) -> None:
    """Check `--workers N` against the machine and set Beam's number of processes to it."""
    workers = linesmith_options.workers
    if workers is None:
        return
    if workers < 1:
        raise ParameterError(
            "LS409", f"--workers {workers}", "below 1", "Give the number of processes, 1 for this one alone."
        )
    if direct.direct_num_workers not in (1, workers):
        raise ParameterError(
            "LS409",
            f"--workers {workers} and --direct_num_workers {direct.direct_num_workers}",
            "these contradict each other",
            "Give one of them.",
        )
    needed, free = workers * WORKER_BYTES, available_bytes()
    if workers > 1 and free is not None and needed > free:
        raise ParameterError(
            "LS406",
            f"--workers {workers}",
            f"needs about {needed / 1e9:.1f} GB of memory ({WORKER_BYTES / 1e9:.1f} GB each), and {free / 1e9:.1f} GB are free",
            f"Give --workers {max(1, free // WORKER_BYTES)}, or free some memory.",
        )
    direct.direct_num_workers = workers
    cores = os.cpu_count() or 1
    threads = linesmith_options.threads_per_worker or max(1, cores // workers)
    _log.info("direct: %d workers, about %.1f GB of memory, %d threads each", workers, needed / 1e9, threads)
    if workers > cores:
        _log.warning(
            "--workers %d is more than the %d cores of this machine: they take turns, and nothing gets faster",
            workers,
            cores,
        )


def available_bytes() -> int | None:
    """Return the memory that can be used without swapping, in bytes, or None where the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else 1024 * int(found.split()[1])
