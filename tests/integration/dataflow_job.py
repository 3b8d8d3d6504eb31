"""For `make test-dataflow`: a translated job's sdist and its generating step, as a worker gets them. Argument: a folder."""

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
from linesmith.model.generation.work_units import plan_units
from linesmith.records.output.layout import RecordLayout
from linesmith.records.validation.record_validator import Judge
from linesmith.runners import pipeline_options
from linesmith.transforms.generate_records import GenerateRecords, RecordGenerator
from tests.helpers.tiny_model import tiny_run

WORDS = [
    "--runner",
    "DataflowRunner",
    "--project",
    "lines",
    "--region",
    "europe-west1",
    "--temp_location",
    "gs://lines/tmp",
]


def main(place: Path) -> None:
    logging.disable(logging.WARNING)
    tiny_run(place / "run")
    spool = StagingDirectory(str(place / "spool"), ("text",), RecordLayout(), 2)
    spool.create()
    units = plan_units(40, 20)
    settings = attempt_settings(TensorFlowConfig(), None)
    handler = RecordGenerator(functools.partial(open_sampler, str(place / "run")), settings, Judge(), None, spool)
    options = pipeline_options([*WORDS, "--dry_run", "True"])
    options.view_as(SetupOptions).setup_file = str(Path(__file__).resolve().parents[2] / "setup.py")
    if (place / "source").is_dir():  # the sdist of what is committed, not of a folder that holds more
        options.view_as(SetupOptions).setup_file = str(place / "source" / "setup.py")
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
    (place / "workflow.tar.gz").write_bytes(Path(sdists[0]).read_bytes())
    (place / "handler.pickle").write_bytes(pickler.dumps((handler, units)))
    print(len(proto.components.transforms), "steps;", Path(sdists[0]).stat().st_size, "bytes of sdist")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
