"""Whether the workers can see the places that a job names; the runner is asked, before anything is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

Places = Mapping[str, str | Path | None]


def check_shared_paths(options: PipelineOptions, named: Places, opened: Places | None = None) -> None:
    """Refuse a place on a disk of this machine that workers on other machines would have to see. Addresses pass.

    Workers that share a file system with this machine (Flink's) must find there what an option names; everything that a
    stage writes, tf.Transform's working files too, lies below the run directory, so that its path answers for theirs.
    Workers that share none (Dataflow's) are brought what they need, and must find what they open themselves in a bucket.

    Args:
        options: complete options.
        named: by the option that named each; None is left out.
        opened: what workers open themselves, by what it is; None is left out.

    Raises:
        ParameterError: LS405, a worker would not find what is named, or write where nobody looks.
    """
    from apache_beam.options.pipeline_options import StandardOptions

    from linesmith.runners import dataflow, flink

    runner = options.view_as(StandardOptions).runner
    if runner in flink.NAMES:
        flink.check_option_paths(options, _given(named))
    elif runner in dataflow.NAMES:
        dataflow.check_worker_paths(_given(opened or {}))


def _given(places: Places) -> dict[str, str]:
    return {what: str(place) for what, place in places.items() if place is not None}
