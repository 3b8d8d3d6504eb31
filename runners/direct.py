"""On this machine: Beam's in-process runner, or one process a worker with `--workers N` (or `--direct_num_workers N`)."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.errors import ParameterError
from linesmith.runners.fork_server import shared

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_log = logging.getLogger("linesmith")
NAMES = ("DirectRunner", "FnApiRunner", "SwitchingDirectRunner")
IN_PROCESS = "FnApiRunner"
PROCESSES = "linesmith.runners.processes.ProcessesRunner"
# Modules that a worker imports when it starts: TensorFlow's threads, and log levels.
WORKER_PLUGINS = ("linesmith.runners.worker_threads", "linesmith.runners.worker_logging")
# What a worker of the hungriest stage holds beside the records it works on: libraries, graph or model, one batch.
WORKER_BYTES = 1_200_000_000


def complete(options: PipelineOptions) -> None:
    """Name the in-process runner; several workers become processes, each with its share of the cores.

    Raises:
        ParameterError: `--workers` is below 1, contradicts `--direct_num_workers`, or needs more memory than there is.
    """
    from apache_beam.options.pipeline_options import DirectOptions, SetupOptions, StandardOptions, WorkerOptions

    from linesmith.runners.linesmith_options import LinesmithOptions

    options.view_as(StandardOptions).runner = IN_PROCESS
    direct, own = options.view_as(DirectOptions), options.view_as(LinesmithOptions)
    _take_workers(direct, own)
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        direct.direct_running_mode = "multi_processing"
    if direct.direct_running_mode != "multi_processing":
        return
    cores = os.cpu_count() or 1
    if own.threads_per_worker is None:
        own.threads_per_worker = max(1, cores // (direct.direct_num_workers or cores))
    # The workers write to this terminal, and know nothing of the log levels set here.
    worker, setup = options.view_as(WorkerOptions), options.view_as(SetupOptions)
    if worker.default_sdk_harness_log_level is None:
        worker.default_sdk_harness_log_level = "ERROR"
    setup.beam_plugins = [*(setup.beam_plugins or []), *WORKER_PLUGINS]
    options.view_as(StandardOptions).runner = PROCESSES
    shared()  # it imports what workers need while this process prepares


def with_all_cores(beam_args: Sequence[str]) -> tuple[str, ...]:
    """Arguments for a process that samples and then ends: where it is the only worker, each core may have a thread of its own.

    In a process that goes on, TensorFlow's threads are not ours to settle: training wants them otherwise.
    """
    import loky
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

    from linesmith.runners.linesmith_options import LinesmithOptions

    options = PipelineOptions(list(beam_args))
    own, direct = options.view_as(LinesmithOptions), options.view_as(DirectOptions)
    elsewhere = options.view_as(StandardOptions).runner not in (None, *NAMES)
    processes = (
        own.workers not in (None, 1) or direct.direct_running_mode != "in_memory" or direct.direct_num_workers != 1
    )
    if elsewhere or processes or own.threads_per_worker is not None:
        return tuple(beam_args)
    return (*beam_args, f"--threads_per_worker={loky.cpu_count()}")


def _take_workers(direct: PipelineOptions, own: PipelineOptions) -> None:
    """`--workers N`, checked against the machine, as Beam's number of processes."""
    if own.workers is None:
        return
    if own.workers < 1:
        raise ParameterError(
            f"LS403: --workers {own.workers} is below 1; give the number of processes, 1 for this one alone."
        )
    if direct.direct_num_workers not in (1, own.workers):
        raise ParameterError(
            f"LS403: --workers {own.workers} and --direct_num_workers {direct.direct_num_workers} say different things; "
            "give one of them."
        )
    needed, free = own.workers * WORKER_BYTES, available_bytes()
    if own.workers > 1 and free is not None and needed > free:
        raise ParameterError(
            f"LS406: --workers {own.workers} need about {needed / 1e9:.1f} GB of memory ({WORKER_BYTES / 1e9:.1f} GB each), and "
            f"{free / 1e9:.1f} GB are free; give --workers {max(1, free // WORKER_BYTES)}, or free some memory."
        )
    direct.direct_num_workers = own.workers
    cores = os.cpu_count() or 1
    _log.info(
        "direct: %d workers, about %.1f GB of memory, %d threads each",
        own.workers,
        needed / 1e9,
        own.threads_per_worker or max(1, cores // own.workers),
    )
    if own.workers > cores:
        _log.warning(
            "--workers %d is more than the %d cores of this machine: they take turns, and nothing gets faster",
            own.workers,
            cores,
        )


def available_bytes() -> int | None:
    """Memory that can be had without swapping, or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else 1024 * int(found.split()[1])
