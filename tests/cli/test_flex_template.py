"""Flex Template: the job that its launcher writes, what it refuses, and its step run with a fake bucket."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.dataflow.internal import apiclient

from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import LinesmithError, ParameterError
from linesmith.flex_template import run_command as whole_command
from linesmith.flex_template.launcher import COMMANDS, PARAMETERS, build_pipeline, launch
from linesmith.flex_template.run_command import Outcome, RunCommand, run_command
from linesmith.pipelines.generate.stage import generate
from linesmith.runners import check_beam_args, pipeline_options
from linesmith.transforms.storage import objects as storage
from tests.helpers.fake_object_store import install
from tests.helpers.tiny_model import tiny_run
from tests.runners.test_dataflow import environment, names

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
RUN = "gs://lines/run"
IMAGE = "--sdk_container_image=images.example/linesmith:1"
# As the launcher gives them, beside the template's own parameters.
LAUNCHER = [
    "--runner=DataflowRunner",
    "--project=lines",
    "--region=europe-west1",
    "--job_name=one",
    "--staging_location=gs://lines/staging",
    '--labels={"goog-dataflow-provided-template-type": "flex"}',
]
PLAIN = [*LAUNCHER, IMAGE, "--command=run", f"--output={RUN}", "--input=gs://lines/in.txt"]


@pytest.fixture
def store(tmp_path, monkeypatch):
    return install(tmp_path, monkeypatch)


def with_settings(text: str, command: str = "run") -> list[str]:
    return [*LAUNCHER, IMAGE, f"--command={command}", f"--output={RUN}", f"--settings={text}"]


def test_the_job_is_one_command_on_one_worker():
    hints = ["--min_ram=16GB", "--accelerator=type:nvidia-l4;count:1;install-nvidia-driver"]
    job = build_pipeline([*PLAIN, *hints, "--settings=--field-delimiter ',' --epochs 2", "--dry_run=True"]).run().job
    proto = job.proto_pipeline
    assert {"Words", "Command/Run", "Command/Settle", "Command/Judge"} <= names(proto)
    found = environment(proto)
    assert found.resource_hints["beam:resources:min_ram_bytes:v1"] == b"16000000000"
    assert found.resource_hints["beam:resources:accelerator:v1"] == b"type:nvidia-l4;count:1;install-nvidia-driver"
    image = beam_runner_api_pb2.DockerPayload.FromString(found.payload).container_image
    assert image == "images.example/linesmith:1"
    said = job.options.get_all_options()
    assert (said["num_workers"], said["max_num_workers"], said["number_of_worker_harness_threads"]) == (1, 1, 1)
    assert "no_use_multiple_sdk_containers" in said["experiments"]
    assert said["temp_location"].startswith("gs://lines/staging/")  # the launcher may name no other place


def test_nothing_is_asked_of_more_than_the_job_needs():
    found = environment(build_pipeline([*PLAIN, "--dry_run=True"]).run().job.proto_pipeline)
    assert dict(found.resource_hints) == {"beam:resources:min_ram_bytes:v1": b"8000000000"}


def test_the_launcher_writes_a_job_file_and_does_not_wait(tmp_path, monkeypatch):
    uploads = []
    stage = apiclient.DataflowApplicationClient.stage_file

    def stage_file(self, place, name, *rest, **named):
        if place.startswith("gs://"):
            uploads.append(f"{place}/{name}")
            return None
        return stage(self, place, name, *rest, **named)

    monkeypatch.setattr(apiclient.DataflowApplicationClient, "stage_file", stage_file)
    # Asks the bucket, and looks for credentials for minutes although --no_auth says that there are none.
    monkeypatch.setattr(GoogleCloudOptions, "_warn_if_soft_delete_policy_enabled", lambda *_: None)
    assert launch([*PLAIN, "--no_auth", f"--template_location={tmp_path / 'job_object'}"]) == 0
    job = json.loads((tmp_path / "job_object").read_text("utf-8"))
    (pool,) = job["environment"]["workerPools"]
    assert (pool["numWorkers"], pool["autoscalingSettings"]["maxNumWorkers"]) == (1, 1)
    assert pool["machineType"] == "n2-standard-4"
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == ["images.example/linesmith:1"]
    assert job["labels"] == {"goog-dataflow-provided-template-type": "flex"}
    assert "no_use_multiple_sdk_containers" in job["environment"]["experiments"]
    assert any(upload.endswith("/pipeline.pb") for upload in uploads)


@pytest.mark.slow
def test_the_image_s_file_is_the_entry_point(tmp_path):
    dockerfile = (ROOT / "runners" / "dataflow.Dockerfile").read_text("utf-8")
    (code, place) = re.findall(r"echo '([^']+)' > (\S+)", dockerfile)[0]
    assert f"ENV FLEX_TEMPLATE_PYTHON_PY_FILE={place}\n" in dockerfile
    (tmp_path / "main.py").write_text(code + "\n")
    start = [sys.executable, str(tmp_path / "main.py")]
    done = subprocess.run([*start, *PLAIN, "--dry_run=True"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "") and "Dataflow: workers" in done.stderr
    done = subprocess.run([*start, *LAUNCHER], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2 and done.stderr.startswith("error: LS101: parameter command None")
    assert "Traceback" not in done.stderr


def test_the_metadata_says_what_the_parser_takes():
    metadata = json.loads((ROOT / "runners" / "flex_template.json").read_text("utf-8"))
    by_name = {one["name"]: one for one in metadata["parameters"]}
    beam_own = set(by_name) - set(PARAMETERS)
    assert set(PARAMETERS) <= set(by_name) and beam_own == {"sdk_container_image", "disk_size_gb"}
    check_beam_args([f"--{name}=1" for name in beam_own])
    assert all(one["label"] and one["helpText"] for one in by_name.values())
    assert {name for name, one in by_name.items() if not one.get("isOptional")} == {
        "command",
        "output",
        "sdk_container_image",
    }
    assert by_name["command"]["regexes"] == [f"^({'|'.join(COMMANDS)})$"]
    for one in by_name.values():
        example = re.search(r"Example: (\S.*)$", one["helpText"])
        assert example is None or all(re.search(pattern, example[1]) for pattern in one.get("regexes", ()))
    known = PipelineOptions([]).get_all_options()
    assert not set(PARAMETERS) & set(known)  # else Beam's option of that name could not be said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([*LAUNCHER, IMAGE, f"--output={RUN}"], "LS101: parameter command None"),
        ([*PLAIN, "--command=demo"], "LS101: parameter command 'demo': .* Give one of run"),
        ([*LAUNCHER, IMAGE, "--command=run"], "LS103: parameter output: not set"),
        ([*PLAIN, "--output=/run"], "LS405: parameter output '/run': not in Google Cloud Storage"),
        ([*PLAIN, "--output=s3://lines/run"], "LS405: parameter output 's3://lines/run'"),
        ([*PLAIN, "--input=lines.txt"], "LS405: --input 'lines.txt': a path, and the worker"),
        ([*PLAIN, "--config=settings.yaml"], "LS405: --config 'settings.yaml'"),
        ([*PLAIN, "--command"], "LS122: a parameter of the template cannot be read"),
        ([*PLAIN, "--inptu=gs://lines/x"], "LS110: unknown option --inptu"),
        ([*PLAIN, "--min_ram=much"], "LS122: parameter min_ram 'much': .*Give a size"),
        ([*PLAIN, "--temp_location=/tmp"], "LS405: --temp_location '/tmp'"),
        ([one for one in PLAIN if "project" not in one], "LS403: --runner DataflowRunner: needs --project"),
        ([one for one in PLAIN if one != IMAGE], "LS403: parameter sdk_container_image: not set"),
        (with_settings("--field-delimiter '|"), "LS110: parameter settings: a quotation mark"),
        (with_settings("--epochs"), "LS110: .*--epochs.* requires an argument"),
        (with_settings("--epochs many"), "LS101: .*epochs"),
        (with_settings("--epochz 3"), "LS110: unknown option --epochz"),
        (with_settings("--debug"), "LS123: parameter settings, --debug.*a traceback may quote records"),
        (with_settings("--input gs://lines/a --input b.txt"), "LS405: --input 'b.txt'"),
        (with_settings("--output /elsewhere"), "LS405: parameter output '/elsewhere'"),
        (with_settings("--rules rules.yaml", "generate"), "LS405: --rules 'rules.yaml'"),
        (with_settings("--model m.tar.gz", "generate"), "LS405: --model 'm.tar.gz'"),
        (with_settings("--start-strings-file s.txt", "generate"), "LS405: --start-strings-file 's.txt'"),
        (
            with_settings("--line-validator v.py:check", "generate"),
            "LS405: --line-validator 'v.py:check'.*in the image",
        ),
        (with_settings("--real r.txt --synthetic gs://lines/s", "evaluate"), "LS405: --real 'r.txt'"),
        (with_settings("--runner FlinkRunner"), "LS123: parameter settings, --runner FlinkRunner"),
        (with_settings("--runner=DirectRunner", "evaluate"), "LS123: parameter settings, --runner"),
        (with_settings("--privacy-ledger gs://lines/ledger --dataset-name d"), "LS315: --privacy-ledger"),
        (with_settings("--iceberg-table a.b", "generate"), "LS124: --iceberg-table"),
        (with_settings("--iceberg-table a.b --iceberg-catalog sqlite:///c.db", "generate"), "LS124: .*SQLite file"),
    ],
)
def test_what_cannot_work_is_refused_before_there_is_a_job(args, said):
    with pytest.raises(ParameterError, match=said):
        build_pipeline([*args, "--dry_run=True"])


def test_what_may_be_said_passes():
    for text, command in [
        ("--line-validator package.module:check", "generate"),
        ("--iceberg-table a.b --iceberg-catalog https://catalog.example", "generate"),
        ("--workers 2 --num-lines 5", "generate"),
        ("--target fare", "evaluate"),
        ("--input https://data.example/lines.csv --no-validation-split", "tokenize"),
    ]:
        build_pipeline([*with_settings(text, command), "--dry_run=True"])


def test_a_settings_file_in_a_bucket_is_checked_too(store, tmp_path):
    config = [*PLAIN, "--config=gs://lines/settings.yaml", "--dry_run=True"]
    for text, said in [
        ("epochs: 3\nrules: rules.yaml\n", "LS405: --rules 'rules.yaml'"),
        ("epochs: many\n", "LS101: .*epochs"),
        ("privacy_ledger: /ledger.json\n", "LS315"),
    ]:
        (tmp_path / "settings.yaml").write_text(text)
        storage.put(tmp_path / "settings.yaml", "gs://lines/settings.yaml")
        with pytest.raises(ParameterError, match=said):
            build_pipeline(config)
    (tmp_path / "settings.yaml").write_text("epochs: 3\n")
    storage.put(tmp_path / "settings.yaml", "gs://lines/settings.yaml")
    build_pipeline(config)


def run_here(arguments: list[str]) -> None:
    with beam.Pipeline(options=pipeline_options()) as pipeline:
        _ = pipeline | beam.Create([tuple(arguments)]) | RunCommand()


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """Return a function that replaces the command by one with a given result, which leaves a mark at each start."""

    def program(code: int, error: str = "") -> Path:
        marks = tmp_path / "marks"
        text = f"open({str(marks)!r}, 'a').write('x'); print('reading'); print({error!r}); raise SystemExit({code})"
        monkeypatch.setattr(whole_command, "PROGRAM", text)
        return marks

    return program


@pytest.mark.parametrize(("code", "is_final"), [(2, True), (3, True), (4, True), (1, False), (130, False)])
def test_an_end_that_would_come_again_fails_the_second_step(counted, code, is_final):
    marks = counted(code, "error: LS205: --input 'gs://lines/x' is missing.")
    with pytest.raises(Exception, match=rf"ended with exit code {code}. LS205: --input 'gs://lines/x'") as failure:
        run_here(["run"])
    step = "Judge" if is_final else "Run"
    assert re.search(rf"while running '[^']*{step}", str(failure.value))
    assert marks.read_text() == "x"


@pytest.mark.parametrize("code", ["LS203", "LS213"])
def test_what_passes_with_time_is_tried_again(counted, code):
    counted(2, f"error: {code}: …")
    with pytest.raises(Exception, match=r"while running '[^']*Run"):
        run_here(["run"])


def test_a_command_that_was_killed_is_tried_again(monkeypatch):
    monkeypatch.setattr(whole_command, "PROGRAM", "import os; os.kill(os.getpid(), 9)")
    assert run_command(["run"]) == Outcome("run", -9) and not Outcome("run", -9).is_final
    with pytest.raises(LinesmithError, match=r"linesmith run ended with exit code -9\. Its messages are in the log"):
        Outcome("run", -9).raise_for_exit_code()


def test_the_words_of_a_command_are_in_the_worker_s_log(counted, caplog):
    counted(0)
    with caplog.at_level("INFO", "linesmith"):
        run_here(["run"])
    assert "reading" in caplog.messages


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_a_command_ends_with_its_worker(tmp_path):
    slow = whole_command.PROGRAM.replace(
        "from linesmith.cli.app import main; main()", "import time; print('up', flush=True); time.sleep(60)"
    )
    worker = (
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {slow!r}], stdout=subprocess.PIPE); "
        "p.stdout.readline(); print(p.pid, flush=True); import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        process.kill()
    for _ in range(100):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the command outlived its worker")


STAND_IN = """
from pathlib import Path
from tests.helpers.fake_object_store import FakeObjectStore
from linesmith.transforms.storage import clients as store_clients

store_clients._new_client = lambda address, options: FakeObjectStore(Path({root!r}))
store_clients.check_reachable = lambda address: None
"""


@pytest.mark.slow
def test_the_step_generates_in_a_bucket_as_the_command_does_here(store, tmp_path, monkeypatch):
    """From the template's parameters through the pipeline and the child process to the bucket."""
    (tmp_path / "child").mkdir()
    (tmp_path / "child" / "sitecustomize.py").write_text(STAND_IN.format(root=str(store.root)))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'child'}:{ROOT}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    here = tmp_path / "here"
    tiny_run(here)
    for path in here.rglob("*"):
        if path.is_file():
            storage.put(path, f"{RUN}/{path.relative_to(here).as_posix()}")
    arguments = ["--runner=DirectRunner", "--command=generate", f"--output={RUN}"]
    arguments += ["--settings=--num-lines 6 --unit-size 3 --gen-chars 30"]
    assert launch(arguments) == 0
    generate(TensorFlowConfig(checkpoint_dir=str(here), gen_lines=6, unit_size=3, gen_chars=30))
    body = json.loads(storage.read_bytes(f"{RUN}/synthetic/manifest.json"))
    assert body["outputs"] == read_manifest(here / "synthetic")["outputs"]
    # An attempt after it was complete finds it complete, and says so once.
    with pytest.raises(Exception, match=rf"exit code 2. LS204: '{RUN}/synthetic'.*while running '[^']*Judge"):
        build_pipeline(arguments).run()
