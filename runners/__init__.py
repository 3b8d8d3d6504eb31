"""Turn a few plain settings into Beam's `PipelineOptions`: one module per runner.

The default, and what `--runner DirectRunner` means here, is the in-process runner. Beam's own `DirectRunner` would first try
to download a binary (Prism), which hangs behind a proxy that never answers.
"""

if __name__ != "linesmith.runners":
    raise ImportError("this package has no name of its own: import linesmith.runners")


from linesmith.runners.dataflow import shared_storage_root
from linesmith.runners.options import check_beam_args, pipeline_options, runner_name
from linesmith.runners.shared_paths import check_shared_paths
from linesmith.runners.workers import idle_worker_notice, threads_per_worker, worker_count

__all__ = [
    "check_beam_args",
    "check_shared_paths",
    "idle_worker_notice",
    "pipeline_options",
    "runner_name",
    "shared_storage_root",
    "threads_per_worker",
    "worker_count",
]
