"""On this machine: Beam's in-process runner, or one process a worker with `--direct_num_workers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

NAMES = ("DirectRunner", "FnApiRunner", "SwitchingDirectRunner")
IN_PROCESS = "FnApiRunner"
PROCESSES = "runners.processes.ProcessesRunner"
_QUIET_WORKER = "model.quiet_worker"  # a module that a worker imports when it starts


def complete(options: PipelineOptions) -> None:
    """Name the in-process runner, and give several workers the processes without which Beam would ignore their number."""
    from apache_beam.options.pipeline_options import DirectOptions, SetupOptions, StandardOptions, WorkerOptions

    options.view_as(StandardOptions).runner = IN_PROCESS
    direct = options.view_as(DirectOptions)
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        direct.direct_running_mode = "multi_processing"
    if direct.direct_running_mode == "multi_processing":
        # The workers write to this terminal, and know nothing of the log levels set here.
        worker, setup = options.view_as(WorkerOptions), options.view_as(SetupOptions)
        if worker.default_sdk_harness_log_level is None:
            worker.default_sdk_harness_log_level = "ERROR"
        setup.beam_plugins = [*(setup.beam_plugins or []), _QUIET_WORKER]
        options.view_as(StandardOptions).runner = PROCESSES
