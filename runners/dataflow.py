"""On Google Cloud Dataflow: what a job there cannot do without is asked for before anything is submitted."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import ParameterError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

NAMES = ("DataflowRunner",)


def complete(options: PipelineOptions) -> None:
    """Name our `setup.py` for the workers where the arguments do not.

    Raises:
        ParameterError: an extra, the project, the region, a temporary location or the setup file is missing.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions, SetupOptions, StandardOptions

    if importlib.util.find_spec("google.cloud.storage") is None:
        raise ParameterError("LS403: --runner DataflowRunner needs the Google libraries: pip install 'linesmith[gcp]'.")
    options.view_as(StandardOptions).runner = "DataflowRunner"
    cloud = options.view_as(GoogleCloudOptions)
    missing = [f"--{name}" for name in ("project", "region", "temp_location") if getattr(cloud, name) is None]
    if missing:
        raise ParameterError(f"LS403: --runner DataflowRunner needs {', '.join(missing)}; add what is missing.")
    setup = options.view_as(SetupOptions)
    if setup.setup_file is None:
        beside = Path(__file__).resolve().parent.parent / "setup.py"
        if not beside.is_file():
            raise ParameterError(
                "LS403: --runner DataflowRunner needs --setup_file, so that the workers get Linesmith: give the path of "
                "setup.py in a checkout of the same version."
            )
        setup.setup_file = str(beside)
