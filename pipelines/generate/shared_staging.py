"""What workers on other machines share with the driver: nothing but a place in a bucket, where there is one.

The in-process runner, and Flink over a shared file system, see the run directory itself; nothing here concerns them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from linesmith.model.generation.staging import Spool
from linesmith.model.generation.unit_generator import SampleSource
from linesmith.runners import worker_place
from linesmith.transforms.remote_staging import DistantModel, DistantSpool, distant

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@contextlib.contextmanager
def units_spool(
    spool: Spool, options: PipelineOptions, run_dir: str, sampler: Callable[[], SampleSource]
) -> Iterator[tuple[Spool | DistantSpool, Callable[[], SampleSource]]]:
    """Where units write, and how a worker opens the model; what they wrote is in `spool` when the block ends.

    Args:
        run_dir: holds the model.
        sampler: `open_sampler` over that directory, with its other arguments.
    """
    place = worker_place(options)
    if place is None:
        yield spool, sampler
        return
    others: tuple[Any, ...] = sampler.args[1:] if isinstance(sampler, functools.partial) else ()
    with distant(spool, place, run_dir) as (there, model):
        yield there, DistantModel(model, *others)


@contextlib.contextmanager
def shards_spool(spool: Spool, options: PipelineOptions) -> Iterator[Spool | DistantSpool]:
    """Where shards are cut from what units have set aside."""
    place = worker_place(options)
    if place is None:
        yield spool
        return
    with distant(spool, place) as (there, _):
        yield there
