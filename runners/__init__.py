"""Where it runs: a few plain settings become Beam's `PipelineOptions`, one module a runner.

The default, and what `--runner DirectRunner` means here, is the in-process runner. Beam's own `DirectRunner` would first try
to download a binary (Prism), which hangs behind a proxy that never answers.
"""

from runners.dataflow import check_places, worker_place
from runners.options import check_beam_args, pipeline_options, runner_name

__all__ = ["check_beam_args", "check_places", "pipeline_options", "runner_name", "worker_place"]
