"""Read from complete options, whatever the runner, how many workers and threads there are and whether more workers help."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

# With less work than this, starting processes that import Beam or TensorFlow takes longer than they save.
_WORTHWHILE_SECONDS = 15.0


def worker_count(options: PipelineOptions) -> int:
    """Return how many workers run at the same time on the direct runner or on Flink; 1 on other runners."""
    from apache_beam.options.pipeline_options import DirectOptions, FlinkRunnerOptions, StandardOptions

    if options.view_as(StandardOptions).runner == "FlinkRunner":
        return max(1, options.view_as(FlinkRunnerOptions).parallelism)
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return 1
    return int(direct.direct_num_workers or os.cpu_count() or 1)


def threads_per_worker(options: PipelineOptions) -> int | None:
    """Return the threads of each worker; None: one for each core, since one process has the machine."""
    from linesmith.runners.linesmith_options import LinesmithOptions

    threads = options.view_as(LinesmithOptions).threads_per_worker
    return None if threads is None else int(threads)


def idle_worker_notice(options: PipelineOptions, stage: str, units: int, seconds: float | None = None) -> str | None:
    """Return a sentence for the user if several workers cannot help, else None.

    Args:
        options: complete options.
        stage: name of the stage.
        units: number of pieces of work that can run at the same time.
        seconds: estimate of the time that one worker would need; None: unknown.
    """
    workers = worker_count(options)
    if workers <= 1:
        return None
    if units < workers:
        return (
            f"{stage} has {units} piece{'s' if units != 1 else ''} of work for {workers} workers: "
            f"{workers - units} of them {'stand' if workers - units > 1 else 'stands'} idle"
        )
    if seconds is not None and seconds < _WORTHWHILE_SECONDS:
        return f"{stage} is about {seconds:.0f} s of work: starting {workers} workers takes longer than they save"
    return None
