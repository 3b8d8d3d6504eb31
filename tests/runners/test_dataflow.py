"""Jobs for Dataflow, translated by a dry run of Beam's own runner and inspected; no job is submitted."""

from __future__ import annotations

import functools
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions, WorkerOptions
from apache_beam.portability.api import beam_runner_api_pb2

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.generation.from_config import attempt_settings, open_sampler
from linesmith.model.generation.staging import StagingDirectory
from linesmith.model.generation.work_units import plan_work_units
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.record_format import DatasetSplitter, RecordFormat
from linesmith.records.output.layout import RecordLayout
from linesmith.records.validation.record_validator import RecordValidator
from linesmith.runners import check_shared_paths, dataflow, pipeline_options, shared_storage_root
from linesmith.transforms.assemble_shards import AssembleShards, plan_shards
from linesmith.transforms.collect_json import CollectJson
from linesmith.transforms.encode_records import EncodeRecords, EncodeSettings
from linesmith.transforms.encode_start_strings import EncodeStartStrings, StartStringFile, StartStringSettings
from linesmith.transforms.find_inputs import find_inputs
from linesmith.transforms.generate_records import GenerateRecords, RecordGenerator
from linesmith.transforms.profile_evaluation_sets import ProfileEvaluationSets, profile_fn
from linesmith.transforms.read_evaluation_sets import LINES, EvaluationInputUnit
from linesmith.transforms.read_records import ReadRecords, ReadSettings
from tests.helpers.tiny_model import tiny_run
from tests.integration.dataflow_job import BEAM_ARGS

pytestmark = pytest.mark.integration

IMAGE = ["--sdk_container_image", "images.example/linesmith:1"]


def translated(build, *arguments: str):
    """Return the job of a pipeline, and its portable form."""
    options = pipeline_options([*BEAM_ARGS, "--dry_run", "True", *arguments])
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    job = pipeline.run().job
    return job, job.proto_pipeline


def names(proto: beam_runner_api_pb2.Pipeline) -> set[str]:
    return {transform.unique_name for transform in proto.components.transforms.values()}


def environment(proto: beam_runner_api_pb2.Pipeline) -> beam_runner_api_pb2.Environment:
    """Return the only environment that steps with Python code run in."""
    (used,) = {t.environment_id for t in proto.components.transforms.values() if t.environment_id}
    return proto.components.environments[used]


@pytest.fixture
def lines(tmp_path: Path):
    path = tmp_path / "lines.txt"
    path.write_text("a,1\nb,2\n", "utf-8")
    config = TensorFlowConfig(input_data_path=str(path), checkpoint_dir=str(tmp_path / "run"), field_delimiter=",")
    units = plan_input_units(find_inputs(config, tmp_path))
    return units, ReadSettings(RecordFormat.from_config(config), DatasetSplitter(0.1, True), False)


def read(lines, _place):
    units, settings = lines

    def build(pipeline):
        found = pipeline | "Read" >> ReadRecords(units, settings)
        _ = found.counts | "Counts" >> CollectJson("gs://lines/counts.json")

    return build


def encode(lines, _place):
    units, settings = lines
    places = EncodeSettings(
        settings, "gs://lines/tokenizer", "gs://lines/data", "gs://lines/data", "gs://lines/rejects"
    )
    return lambda pipeline: pipeline | EncodeRecords(units, places, Path("results.json"), Path("statistics.json"))


def sets(lines, _place):
    units, settings = lines
    found = [EvaluationInputUnit("training", unit.index, LINES, "x", lines=(unit, settings)) for unit in units]
    return lambda pipeline: pipeline | ProfileEvaluationSets(found, profile_fn(10), Path("sets"))


def _staging(place: Path) -> StagingDirectory:
    return StagingDirectory(str(place), ("text",), RecordLayout(), 2, num_shards=1)


def generation(_lines, place):
    config = TensorFlowConfig()
    generator = RecordGenerator(
        functools.partial(open_sampler, "gs://lines/run"),
        attempt_settings(config, None),
        RecordValidator(),
        None,
        _staging(place),
    )
    return lambda pipeline: (
        pipeline | "Units" >> beam.Create(plan_work_units(4, 2)) | "Records" >> GenerateRecords(generator)
    )


def assembly(_lines, place):
    plans = plan_shards([(0, 2)], 1)
    return lambda pipeline: (
        pipeline | "Shards" >> beam.Create(plans) | AssembleShards(_staging(place), "gs://lines/s.json")
    )


def seeds(_lines, place):
    settings = StartStringSettings(str(place), None, None, str(place))
    files = [StartStringFile(0, "gs://lines/a.txt"), StartStringFile(1, "gs://lines/b.txt")]
    return lambda pipeline: (
        pipeline | "Files" >> beam.Create(files) | EncodeStartStrings(settings, Path("results.json"))
    )


@pytest.mark.parametrize(
    ("build", "steps"),
    [
        (read, {"Read", "Counts/Write"}),
        (encode, {"EncodeRecords/Spread", "EncodeRecords/Encode", "EncodeRecords/WriteStatistics"}),
        (sets, {"ProfileEvaluationSets/Batches/Spread", "ProfileEvaluationSets/Count", "ProfileEvaluationSets/Write"}),
        (generation, {"Units", "Records/Spread over workers", "Records/Generate and write"}),
        (assembly, {"AssembleShards/Spread", "AssembleShards/Assemble"}),
        (seeds, {"EncodeStartStrings/Spread", "EncodeStartStrings/Encode"}),
    ],
)
def test_every_pipeline_is_a_job(build, steps, lines, tmp_path):
    job, proto = translated(build(lines, tmp_path), *IMAGE)
    assert steps <= names(proto)
    spread = [t for t in proto.components.transforms.values() if t.spec.urn == "beam:transform:reshuffle:v1"]
    assert spread or build is read  # else a unit's work would stay on the worker that made the list
    worker = environment(proto)
    assert worker.resource_hints["beam:resources:min_ram_bytes:v1"] == b"8000000000"
    assert job.google_cloud_options.temp_location.startswith("gs://lines/tmp/")


def staged(proto: beam_runner_api_pb2.Pipeline) -> list[str]:
    """Return the names of the files that workers install or load when they start."""
    found = []
    for dependency in environment(proto).dependencies:
        payload = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(dependency.role_payload)
        found.append(payload.staged_name)
    return [name for name in found if name != "submission_environment_dependencies.txt"]  # a list, for the job's log


def test_workers_install_our_sdist(lines, tmp_path):
    _, proto = translated(generation(lines, tmp_path))
    assert "workflow.tar.gz" in staged(proto)
    payload = beam_runner_api_pb2.DockerPayload.FromString(environment(proto).payload)
    assert "python3.11" in payload.container_image and "2.70.0" in payload.container_image


def test_with_an_image_nothing_is_installed_at_start_up(lines, tmp_path):
    _, proto = translated(generation(lines, tmp_path), *IMAGE)
    assert staged(proto) == []
    payload = beam_runner_api_pb2.DockerPayload.FromString(environment(proto).payload)
    assert payload.container_image == "images.example/linesmith:1"


def test_what_was_given_stays(lines, tmp_path):
    arguments = ["--machine_type", "g2-standard-8", "--disk_size_gb", "200", "--resource_hint", "min_ram=32GB"]
    arguments += ["--resource_hint", "accelerator=type:nvidia-l4;count:1;install-nvidia-driver"]
    job, proto = translated(generation(lines, tmp_path), *IMAGE, *arguments)
    worker = job.options.view_as(WorkerOptions)
    assert (worker.machine_type, worker.disk_size_gb) == ("g2-standard-8", 200)
    hints = environment(proto).resource_hints
    assert hints["beam:resources:min_ram_bytes:v1"] == b"32000000000"
    assert hints["beam:resources:accelerator:v1"] == b"type:nvidia-l4;count:1;install-nvidia-driver"


def test_what_it_comes_to_is_said(caplog):
    with caplog.at_level("INFO", "linesmith"):
        options = pipeline_options([*BEAM_ARGS, "--max_num_workers", "20"])
    said = dataflow.job_summary(options)
    assert said["workers"] == f"{dataflow.MACHINE_TYPE}, {dataflow.DISK_GB} GB, at most 20"
    assert said["software"].endswith("setup.py, installed when a worker starts")
    image = dataflow.job_summary(pipeline_options([*BEAM_ARGS, "--sdk_container_image", "i:1"]))
    assert image["software"] == "image i:1, nothing installed at start-up"


def test_an_image_ships_no_setup_file():
    options = pipeline_options([*BEAM_ARGS, "--sdk_container_image", "i:1"])
    assert options.view_as(SetupOptions).setup_file is None
    assert options.view_as(SetupOptions).sdk_location == "container"


@pytest.mark.parametrize("place", ["/tmp/x", "s3://b/x", "gs://", "gs://b/x"])
def test_a_temporary_place_must_be_one_that_workers_see(place):
    with pytest.raises(ParameterError, match=r"LS405: --temp_location"):
        pipeline_options([*BEAM_ARGS[:-1], place])


def test_only_dataflow_needs_a_place_for_its_workers():
    assert shared_storage_root(pipeline_options(BEAM_ARGS)) == "gs://lines/tmp"
    assert shared_storage_root(pipeline_options([])) is None
    assert shared_storage_root(PipelineOptions()) is None


def test_what_workers_open_must_be_in_a_bucket():
    options = pipeline_options(BEAM_ARGS)
    check_shared_paths(options, {"--output": "/run"}, {"--input": "gs://lines/x", "another": None})
    with pytest.raises(ParameterError, match=r"LS405: --input '/x'.*DataflowRunner cannot see"):
        check_shared_paths(options, {}, {"--input": "/x"})
    check_shared_paths(pipeline_options(), {}, {"--input": "/x"})


def test_stages_that_need_a_shared_file_system_are_refused(tmp_path, lines):
    config = TensorFlowConfig(input_data_path=str(tmp_path / "lines.txt"), checkpoint_dir=str(tmp_path / "run"))
    with pytest.raises(ParameterError, match=r"LS405: checkpoint_dir.*tf.Transform's temp_dir"):
        tokenize(config, BEAM_ARGS)
    tiny_run(tmp_path / "made")
    with pytest.raises(ParameterError, match="LS405: the store of start strings"):
        generate(TensorFlowConfig(checkpoint_dir=str(tmp_path / "made"), start_string=["a", "b"]), BEAM_ARGS)


def test_hints_are_those_of_the_whole_job():
    options = pipeline_options(BEAM_ARGS)
    assert options.view_as(StandardOptions).resource_hints == [f"min_ram={dataflow.MIN_RAM}"]
