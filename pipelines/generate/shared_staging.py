"""What workers on other machines share with the driver: nothing but a place in a bucket, where there is one.

The in-process runner, and Flink over a shared file system, see the run directory itself; nothing here concerns them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from linesmith.model.generation.staging import StagingDirectory
from linesmith.model.generation.unit_generator import SampleSource
from linesmith.runners import shared_storage_root
from linesmith.transforms.remote_staging import RemoteSamplerOpener, RemoteStagingDirectory, distant

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@contextlib.contextmanager
def unit_staging(
    spool: StagingDirectory, options: PipelineOptions, run_dir: str, sampler: Callable[[], SampleSource]
) -> Iterator[tuple[StagingDirectory | RemoteStagingDirectory, Callable[[], SampleSource]]]:
    """Where units write, and how a worker opens the model; what they wrote is in `spool` when the block ends.

    Args:
        run_dir: holds the model.
        sampler: `open_sampler` over that directory, with its other arguments.
    """
    place = shared_storage_root(options)
    if place is None:
        yield spool, sampler
        return
    others: tuple[Any, ...] = sampler.args[1:] if isinstance(sampler, functools.partial) else ()
    with distant(spool, place, run_dir) as (there, model):
        yield there, RemoteSamplerOpener(model, *others)


@contextlib.contextmanager
def shard_staging(
    spool: StagingDirectory, options: PipelineOptions
) -> Iterator[StagingDirectory | RemoteStagingDirectory]:
    """Where shards are cut from what units have set aside."""
    place = shared_storage_root(options)
    if place is None:
        yield spool
        return
    with distant(spool, place) as (there, _):
        yield there
