"""On Google Cloud Dataflow: what a job there cannot do without is asked for, and what cannot work is refused, before it starts.

Plain settings, all of them Beam's own options: `--project`, `--region`, `--temp_location`; and, where they are left out,
a machine type, a disk and a memory hint that hold TensorFlow and a model, and our `setup.py`, from which Beam builds an sdist
that workers install when they start. With `--sdk_container_image` nothing is installed at start-up: the image has it all.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from linesmith.core.errors import ParameterError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

NAMES = ("DataflowRunner",)
MACHINE_TYPE = "n2-standard-4"
DISK_GB = 50
MIN_RAM = "8GB"  # a worker's processes, TensorFlow and a model in each
_log = logging.getLogger("linesmith")


def complete(options: PipelineOptions) -> None:
    """Fill in what the arguments leave open, and say what it comes to.

    Raises:
        ParameterError: LS106, an extra is missing; LS403, the project, the region, a temporary location or the setup file is
            missing; LS405, a place is none that Dataflow's workers can see.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions, StandardOptions

    if importlib.util.find_spec("google.cloud.storage") is None:
        raise ParameterError("LS403: --runner DataflowRunner needs the Google libraries: pip install 'linesmith[gcp]'.")
    options.view_as(StandardOptions).runner = "DataflowRunner"
    cloud = options.view_as(GoogleCloudOptions)
    missing = [f"--{name}" for name in ("project", "region", "temp_location") if getattr(cloud, name) is None]
    if missing:
        raise ParameterError(f"LS403: --runner DataflowRunner needs {', '.join(missing)}; add what is missing.")
    for name in ("temp_location", "staging_location"):
        if getattr(cloud, name) is not None:
            check_bucket(f"--{name}", getattr(cloud, name))
    _workers(options)
    _software(options)
    for name, value in resolved(options).items():
        _log.info("Dataflow: %s %s", name, value)


def resolved(options: PipelineOptions) -> dict[str, str]:
    """What a job will be, in words; no credential is among it."""
    from apache_beam.options.pipeline_options import GoogleCloudOptions, SetupOptions, WorkerOptions

    cloud, worker, setup = (options.view_as(kind) for kind in (GoogleCloudOptions, WorkerOptions, SetupOptions))
    image = worker.sdk_container_image
    return {
        "project": f"{cloud.project}, region {cloud.region}",
        "temporary files": f"{cloud.temp_location}",
        "workers": f"{worker.machine_type}, {worker.disk_size_gb} GB, at most {worker.max_num_workers or 'as many as it likes'}",
        "resource hints": ", ".join(_hints(options)),
        "software": f"image {image}, nothing installed at start-up"
        if image is not None and setup.setup_file is None
        else f"an sdist of {setup.setup_file}, installed when a worker starts",
    }


def shared_storage_root(options: PipelineOptions) -> str | None:
    """The address below which workers of this runner and the driver both can write; None where they share a file system."""
    from apache_beam.options.pipeline_options import GoogleCloudOptions, StandardOptions

    if options.view_as(StandardOptions).runner not in NAMES:
        return None
    return str(options.view_as(GoogleCloudOptions).temp_location)


def check_bucket(option: str, place: str) -> None:
    """Refuse a place that is none in the store of Dataflow's workers.

    Raises:
        ParameterError: LS405.
    """
    if re.match(r"gs://[a-z0-9][a-z0-9._-]{2,221}(/|$)", place) is None:
        raise ParameterError(
            f"LS405: {option} '{place}' is not in Google Cloud Storage, where Dataflow's workers look for it; give "
            "gs://BUCKET/….",
            code="LS405",
        )


def check_worker_paths(places: Mapping[str, str]) -> None:
    """Refuse a local path that workers, which share no file system with this machine, would open.

    Args:
        places: what they open, by the option or the thing it is.

    Raises:
        ParameterError: LS405.
    """
    for what, place in places.items():
        if "://" not in place:
            raise ParameterError(
                f"LS405: {what} '{place}' is a path of this machine, which workers of DataflowRunner cannot see. Run this stage "
                "with the in-process runner or on Flink with a shared file system (docs/dataflow.md says what runs on Dataflow).",
                code="LS405",
            )


def _workers(options: PipelineOptions) -> None:
    from apache_beam.options.pipeline_options import StandardOptions, WorkerOptions

    worker = options.view_as(WorkerOptions)
    if worker.machine_type is None:
        worker.machine_type = MACHINE_TYPE
    if worker.disk_size_gb is None:
        worker.disk_size_gb = DISK_GB
    if not any(hint.startswith(("min_ram=", "minRam=")) for hint in _hints(options)):
        options.view_as(StandardOptions).resource_hints = [*_hints(options), f"min_ram={MIN_RAM}"]


def _hints(options: PipelineOptions) -> list[str]:
    from apache_beam.options.pipeline_options import StandardOptions

    return list(options.view_as(StandardOptions).resource_hints or [])


def _software(options: PipelineOptions) -> None:
    """An image has everything; else workers install our sdist."""
    from apache_beam.options.pipeline_options import SetupOptions, WorkerOptions

    setup = options.view_as(SetupOptions)
    if options.view_as(WorkerOptions).sdk_container_image is not None:
        if setup.sdk_location == "default":
            setup.sdk_location = "container"
        return
    if setup.setup_file is None:
        import linesmith

        beside = Path(linesmith.__file__).resolve().parent.parent / "setup.py"
        if not beside.is_file():
            raise ParameterError(
                "LS403: --runner DataflowRunner needs --setup_file, so that the workers get Linesmith: give the path of "
                "setup.py in a checkout of the same version, or an image of the workers with --sdk_container_image."
            )
        setup.setup_file = str(beside)
