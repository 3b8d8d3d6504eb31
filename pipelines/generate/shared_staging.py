"""Staging for workers on other machines: a place in a bucket, where the runner has one.

The in-process runner, and Flink over a shared file system, see the run directory itself and need none.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from linesmith.model.generation.staging import StagingDirectory
from linesmith.model.generation.unit_generator import SampleSource
from linesmith.runners import shared_storage_root
from linesmith.transforms.remote_staging import RemoteSamplerOpener, RemoteStagingDirectory, open_remote_staging

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@contextlib.contextmanager
def unit_staging(
    staging: StagingDirectory, options: PipelineOptions, run_dir: str, sampler: functools.partial[SampleSource]
) -> Iterator[tuple[StagingDirectory | RemoteStagingDirectory, Callable[[], SampleSource]]]:
    """Yield where workers write units, and what opens the model on a worker.

    What the workers wrote is in `staging` when the block ends.

    Args:
        staging: the driver's staging directory.
        options: pipeline options, which name the bucket.
        run_dir: the run directory with the model.
        sampler: `open_sampler` with its arguments, of which the first is `run_dir`.
    """
    root = shared_storage_root(options)
    if root is None:
        yield staging, sampler
        return
    with open_remote_staging(staging, root, run_dir) as (remote, model):
        yield remote, RemoteSamplerOpener(model, *sampler.args[1:])


@contextlib.contextmanager
def shard_staging(
    staging: StagingDirectory, options: PipelineOptions
) -> Iterator[StagingDirectory | RemoteStagingDirectory]:
    """Yield where workers find the records of units and write shards; the shards are in `staging` when the block ends.

    Args:
        staging: the driver's staging directory, with the records of all units.
        options: pipeline options, which name the bucket.
    """
    root = shared_storage_root(options)
    if root is None:
        yield staging
        return
    with open_remote_staging(staging, root) as (remote, _):
        yield remote
