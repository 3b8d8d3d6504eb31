"""Run on Google Cloud Dataflow: require what a job needs and refuse what cannot work, before the job starts.

All options are Beam's own. `--project`, `--region` and `--temp_location` are required. Machine type, disk and memory hint have
defaults that hold TensorFlow and a model, and `--setup_file` defaults to Linesmith's `setup.py`, from which Beam builds an
sdist that workers install when they start. With `--sdk_container_image` nothing is installed at start-up.
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

RUNNER_NAMES = ("DataflowRunner",)
MACHINE_TYPE = "n2-standard-4"
DISK_GB = 50
MIN_RAM = "8GB"  # for a worker's processes, each of which holds TensorFlow and a model
_log = logging.getLogger("linesmith")


def complete_options(options: PipelineOptions) -> None:
    """Fill in what the arguments do not set, and log the result.

    Args:
        options: parsed arguments; changed in place.

    Raises:
        ParameterError: LS106, an extra is missing; LS403, the project, the region, a temporary location or the setup file is
            missing; LS405, a location is not in Google Cloud Storage.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions, StandardOptions

    if importlib.util.find_spec("google.cloud.storage") is None:
        raise ParameterError(
            "LS106",
            "--runner DataflowRunner",
            "the Google libraries are not installed",
            "Install them: pip install 'linesmith[gcp]'.",
        )
    options.view_as(StandardOptions).runner = "DataflowRunner"
    cloud = options.view_as(GoogleCloudOptions)
    missing = [f"--{name}" for name in ("project", "region", "temp_location") if getattr(cloud, name) is None]
    if missing:
        raise ParameterError("LS403", "--runner DataflowRunner", f"needs {', '.join(missing)}", "Add what is missing.")
    for name in ("temp_location", "staging_location"):
        if getattr(cloud, name) is not None:
            check_bucket(f"--{name}", getattr(cloud, name))
    _complete_workers(options)
    _complete_software(options)
    for name, value in job_summary(options).items():
        _log.info("Dataflow: %s %s", name, value)


def job_summary(options: PipelineOptions) -> dict[str, str]:
    """Return a description of the job, by topic. It holds no credentials."""
    from apache_beam.options.pipeline_options import GoogleCloudOptions, SetupOptions, WorkerOptions

    cloud, worker, setup = (options.view_as(view) for view in (GoogleCloudOptions, WorkerOptions, SetupOptions))
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
    """Return an address below which both the workers and the driver can write; None where they share a file system."""
    from apache_beam.options.pipeline_options import GoogleCloudOptions, StandardOptions

    if options.view_as(StandardOptions).runner not in RUNNER_NAMES:
        return None
    return str(options.view_as(GoogleCloudOptions).temp_location)


def check_bucket(option: str, address: str) -> None:
    """Refuse an address that is not in Google Cloud Storage.

    Args:
        option: the option, for the message.
        address: value of the option.

    Raises:
        ParameterError: LS405.
    """
    if re.match(r"gs://[a-z0-9][a-z0-9._-]{2,221}(/|$)", address) is None:
        raise ParameterError(
            "LS405",
            f"{option} '{address}'",
            "not in Google Cloud Storage, where Dataflow's workers look for it",
            "Give gs://BUCKET/….",
        )


def check_worker_paths(paths: Mapping[str, str]) -> None:
    """Refuse local paths that workers would open: they share no file system with this machine.

    Args:
        paths: files that workers open, by the option or the name of each.

    Raises:
        ParameterError: LS405.
    """
    for name, path in paths.items():
        if "://" not in path:
            raise ParameterError(
                "LS405",
                f"{name} '{path}'",
                "a path of this machine, which workers of DataflowRunner cannot see",
                "Run this stage with the in-process runner or on Flink with a shared file system (docs/dataflow.md "
                "says what runs on Dataflow).",
            )


def _complete_workers(options: PipelineOptions) -> None:
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


def _complete_software(options: PipelineOptions) -> None:
    """Set how workers get Linesmith: it is in the image, or they install the sdist of `--setup_file`."""
    from apache_beam.options.pipeline_options import SetupOptions, WorkerOptions

    setup = options.view_as(SetupOptions)
    if options.view_as(WorkerOptions).sdk_container_image is not None:
        if setup.sdk_location == "default":
            setup.sdk_location = "container"
        return
    if setup.setup_file is None:
        import linesmith

        setup_file = Path(linesmith.__file__).resolve().parent.parent / "setup.py"
        if not setup_file.is_file():
            raise ParameterError(
                "LS403",
                "--runner DataflowRunner",
                "needs --setup_file, so that the workers get Linesmith",
                "Give the path of setup.py in a checkout of the same version, or an image of the workers with "
                "--sdk_container_image.",
            )
        setup.setup_file = str(setup_file)
