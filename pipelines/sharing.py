"""What workers on other machines share with the driver: nothing but a place in a bucket, where there is one.

The in-process runner, and Flink over a shared file system, see the run directory itself; nothing here concerns them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from model.generation import SampleSource
from model.spool import Spool
from runners import check_places, worker_place
from transforms.distant_spool import DistantModel, DistantSpool, distant

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


def refuse_distant(options: PipelineOptions, places: Mapping[str, object]) -> None:
    """Refuse what workers on other machines would have to see, before anything is submitted.

    Args:
        places: paths by what they are; None is left out.

    Raises:
        ParameterError: LS405, the runner is such a one, and a path is of this machine.
    """
    if worker_place(options) is not None:
        check_places({what: str(place) for what, place in places.items() if place is not None})


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
