"""Check, before a job is submitted, that the workers can see the paths that it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

Paths = Mapping[str, str | Path | None]


def check_shared_paths(options: PipelineOptions, named: Paths, opened: Paths | None = None) -> None:
    """Refuse a path on a disk of this machine if workers on other machines would have to see it. Addresses pass.

    Flink's workers share a file system with this machine and must find there every path that an option names. Everything that
    a stage writes, including tf.Transform's working files, lies below the run directory, so checking that one covers them.
    Dataflow's workers share no file system: the driver sends them what they need, and only the files that they open themselves
    must be in a bucket.

    Args:
        options: complete options.
        named: paths by the option that named each; None values are left out.
        opened: files that workers open themselves, by what they are; None values are left out.

    Raises:
        ParameterError: LS405, a worker would not find a path, or would write to its own disk.
    """
    from apache_beam.options.pipeline_options import StandardOptions

    from linesmith.runners import dataflow, flink

    runner = options.view_as(StandardOptions).runner
    if runner in flink.RUNNER_NAMES:
        flink.check_option_paths(options, _set_paths(named))
    elif runner in dataflow.RUNNER_NAMES:
        dataflow.check_worker_paths(_set_paths(opened or {}))


def _set_paths(paths: Paths) -> dict[str, str]:
    return {name: str(path) for name, path in paths.items() if path is not None}
