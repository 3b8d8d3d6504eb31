"""What the options say about the workers, whatever the runner: how many, with how many threads, and whether they help."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

# Below so many seconds of work, starting processes that import TensorFlow takes longer than they save.
_WORTH_SECONDS = 15.0


def worker_count(options: PipelineOptions) -> int:
    """How many workers run side by side on the direct runner or on Flink; 1 where nothing says otherwise."""
    from apache_beam.options.pipeline_options import DirectOptions, FlinkRunnerOptions, StandardOptions

    if options.view_as(StandardOptions).runner == "FlinkRunner":
        return max(1, options.view_as(FlinkRunnerOptions).parallelism)
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode != "multi_processing":
        return 1
    return int(direct.direct_num_workers or os.cpu_count() or 1)


def threads_per_worker(options: PipelineOptions) -> int | None:
    """TensorFlow's threads in each worker; None leaves the choice to it, where one process has its machine."""
    from linesmith.runners.linesmith_options import LinesmithOptions

    threads = options.view_as(LinesmithOptions).threads_per_worker
    return None if threads is None else int(threads)


def idle_worker_notice(options: PipelineOptions, stage: str, units: int, seconds: float | None = None) -> str | None:
    """A sentence for the user where several workers cannot help; None where they can.

    Args:
        stage: name of the stage.
        units: pieces of work that can run side by side.
        seconds: what one worker would need, roughly, if that is known.
    """
    workers = worker_count(options)
    if workers <= 1:
        return None
    if units < workers:
        return (
            f"{stage} has {units} piece{'s' if units != 1 else ''} of work for {workers} workers: "
            f"{workers - units} of them {'stand' if workers - units > 1 else 'stands'} idle"
        )
    if seconds is not None and seconds < _WORTH_SECONDS:
        return f"{stage} is about {seconds:.0f} s of work: starting {workers} workers takes longer than they save"
    return None
