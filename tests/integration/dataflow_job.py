"""Translate a Dataflow job and save its sdist and its generating step, as a worker gets them, in the folder of the argument.

Part of `make test-dataflow`.
"""

from __future__ import annotations

import functools
import logging
import sys
from pathlib import Path

import apache_beam as beam
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import SetupOptions
from apache_beam.portability.api import beam_runner_api_pb2

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.generation.from_config import attempt_settings, open_sampler
from linesmith.model.generation.staging import StagingDirectory
from linesmith.model.generation.work_units import plan_work_units
from linesmith.records.output.layout import RecordLayout
from linesmith.records.validation.record_validator import RecordValidator
from linesmith.runners import pipeline_options
from linesmith.transforms.generate_records import GenerateRecords, RecordGenerator
from tests.helpers.tiny_model import tiny_run

BEAM_ARGS = [
    "--runner",
    "DataflowRunner",
    "--project",
    "lines",
    "--region",
    "europe-west1",
    "--temp_location",
    "gs://lines/tmp",
]


def main(directory: Path) -> None:
    logging.disable(logging.WARNING)
    tiny_run(directory / "run")
    staging = StagingDirectory(str(directory / "staging"), ("text",), RecordLayout(), 2)
    staging.create()
    units = plan_work_units(40, 20)
    settings = attempt_settings(TensorFlowConfig(), None)
    handler = RecordGenerator(
        functools.partial(open_sampler, str(directory / "run")), settings, RecordValidator(), None, staging
    )
    options = pipeline_options([*BEAM_ARGS, "--dry_run", "True"])
    options.view_as(SetupOptions).setup_file = str(Path(__file__).resolve().parents[2] / "setup.py")
    if (directory / "source").is_dir():  # a copy with the files of the repository only
        options.view_as(SetupOptions).setup_file = str(directory / "source" / "setup.py")
    pipeline = beam.Pipeline(options=options)
    _ = pipeline | "Units" >> beam.Create(units) | "Records" >> GenerateRecords(handler)
    proto = pipeline.run().job.proto_pipeline
    sdists = []
    for environment in proto.components.environments.values():
        for dependency in environment.dependencies:
            role = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(dependency.role_payload)
            if role.staged_name == "workflow.tar.gz":
                sdists.append(beam_runner_api_pb2.ArtifactFilePayload.FromString(dependency.type_payload).path)
    if not sdists:
        raise SystemExit("the job stages no sdist")
    (directory / "workflow.tar.gz").write_bytes(Path(sdists[0]).read_bytes())
    (directory / "handler.pickle").write_bytes(pickler.dumps((handler, units)))
    print(len(proto.components.transforms), "steps;", Path(sdists[0]).stat().st_size, "bytes of sdist")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
