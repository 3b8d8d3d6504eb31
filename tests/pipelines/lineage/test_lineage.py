"""Lineage events: what is in them, where they go, and that nothing about them fails a command."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from linesmith.cli.app import run_command_line
from linesmith.cli.lineage import with_lineage
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.pipelines.lineage import recorder
from linesmith.pipelines.lineage.datasets import Dataset, Datasets, RunDatasets, dataset_at
from linesmith.pipelines.lineage.recorder import LineageJob, check_lineage
from tests.helpers.lineage_server import lineage_server

JOB = LineageJob("generate", "s3://ann:secret@lake/runs/nightly/")
SETS = Datasets(
    (Dataset("file", "/runs/nightly/model", (("id", None),)),),
    (Dataset("file", "/runs/nightly/synthetic", (("id", "long"), ("day", "date")), rows=7, files=1, size_bytes=90),),
)
_VARIABLES = (
    "URL",
    "CONFIG",
    "DISABLED",
    "API_KEY",
    "ENDPOINT",
    "NAMESPACE",
    "PARENT_ID",
    "_TRANSPORT",
    "_TRANSPORT__TYPE",
)


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch, tmp_path):
    for name in _VARIABLES:
        monkeypatch.delenv(f"OPENLINEAGE_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    # What the client itself adds to the environment goes with the test.
    for kind in ("TYPE", "URL", "AUTH", "ENDPOINT"):
        monkeypatch.setenv(f"OPENLINEAGE__TRANSPORT__TRANSPORTS__DEFAULT_HTTP__{kind}", "")
        monkeypatch.delenv(f"OPENLINEAGE__TRANSPORT__TRANSPORTS__DEFAULT_HTTP__{kind}")
    monkeypatch.setattr(logging.getLogger("linesmith"), "propagate", True)


def send(target: str | None, action=lambda: 0, job: LineageJob = JOB) -> int:
    return with_lineage(target, job, lambda is_done: SETS if is_done else Datasets(SETS.inputs), action)


def broken(error: BaseException):
    def action() -> int:
        raise error

    return action


def test_a_command_is_a_run_of_a_job_with_its_datasets():
    with lineage_server() as server:
        assert send(server.url) == 0
    start, complete = server.events
    assert [path for path, _ in server.requests] == ["/api/v1/lineage"] * 2
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == complete["run"]["runId"] and start["eventTime"] < complete["eventTime"]
    assert complete["job"]["namespace"] == "linesmith" and complete["job"]["name"] == "nightly.generate"
    assert start["outputs"] == [] and start["inputs"][0]["name"] == "/runs/nightly/model"
    (written,) = complete["outputs"]
    assert [(field["name"], field["type"]) for field in written["facets"]["schema"]["fields"]] == [
        ("id", "long"),
        ("day", "date"),
    ]
    statistics = written["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["fileCount"], statistics["size"]) == (7, 1, 90)
    assert complete["producer"].startswith("urn:linesmith:")


@pytest.mark.parametrize(
    ("action", "state", "told"),
    [
        (broken(DataError("LS206", "--input 'a.gz'", "is damaged", "Pack it again.")), "FAIL", "LS206: --input 'a.gz'"),
        (broken(ValueError("Ann Lee, 12 High Street")), "FAIL", "ValueError: this is a fault of Linesmith"),
        (broken(KeyboardInterrupt()), "ABORT", "interrupted"),
        (lambda: 4, "FAIL", "exit code 4"),
        (lambda: 130, "ABORT", "exit code 130"),
    ],
)
def test_what_failed_is_told_without_a_record(action, state, told):
    with lineage_server() as server:
        try:
            send(server.url, action)
        except BaseException as error:
            assert not isinstance(error, AssertionError)
    last = server.events[-1]
    message = last["run"]["facets"]["errorMessage"]["message"]
    assert last["eventType"] == state and told in message and "High Street" not in json.dumps(server.events)
    assert "stackTrace" not in last["run"]["facets"]["errorMessage"]
    assert bool(last["outputs"]) is told.startswith("exit code")


def test_a_private_run_tells_no_time_and_no_message():
    with lineage_server() as server, pytest.raises(DataError):
        error = DataError("LS218", "--input", "31 of 100 lines were rejected", "Correct the input.")
        send(server.url, broken(error), LineageJob("tokenize", "nightly", private=True))
    start, fail = server.events
    assert start["eventTime"] == fail["eventTime"]
    assert fail["run"]["facets"]["errorMessage"]["message"] == "exit code 2, LS218"
    assert "31" not in fail["run"]["facets"]["errorMessage"]["message"]


def test_a_file_gets_a_line_for_each_event(tmp_path):
    for place in (tmp_path / "events.jsonl", f"file://{tmp_path}/events.jsonl", "~/events.jsonl"):
        assert send(str(place)) == 0
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"] * 3
    assert len({event["run"]["runId"] for event in events}) == 3


def test_the_variables_of_the_client_are_enough(monkeypatch):
    with lineage_server() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        monkeypatch.setenv("OPENLINEAGE_API_KEY", "key-of-the-test")
        monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "shop")
        run = "01a22b56-ef87-723c-9518-1ac4b0bfc1f1"
        monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"airflow/orders.run/{run}")
        assert send(None) == 0
        assert send(server.url + "/custom/place") == 0
        monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
        assert send(server.url) == 0
    assert [path for path, _ in server.requests] == ["/api/v1/lineage"] * 2 + ["/custom/place"] * 2
    assert all(headers["Authorization"] == "Bearer key-of-the-test" for _, headers in server.requests)
    event = server.events[0]
    assert event["job"]["namespace"] == "shop"
    parent = event["run"]["facets"]["parent"]
    assert (parent["job"]["namespace"], parent["job"]["name"], parent["run"]["runId"]) == ("airflow", "orders.run", run)


def test_a_settings_file_of_the_client_is_used_if_named(monkeypatch, tmp_path):
    settings = f"transport: {{type: file, log_file_path: {tmp_path}/by-file.jsonl, append: true}}\n"
    (tmp_path / "openlineage.yml").write_text(settings)
    assert send(None) == 0
    assert not (tmp_path / "by-file.jsonl").exists()  # a file that happens to lie there sends nothing
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(tmp_path / "openlineage.yml"))
    assert send(None) == 0
    assert len((tmp_path / "by-file.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("status", [401, 500])
def test_a_server_that_refuses_is_a_note(status, caplog):
    with lineage_server() as server:
        server.status = status
        assert send(server.url.replace("//", "//ann:secret@")) == 0
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([text for text in warnings if "the command goes on" in text]) == 1
    assert "secret" not in " ".join(warnings)


@pytest.mark.parametrize("target", ["http://127.0.0.1:9", "/nowhere/at/all/events.jsonl"])
def test_a_server_that_is_not_there_is_a_note(target, caplog):
    assert send(target, lambda: 3) == 3
    assert "the command goes on" in caplog.text


def test_datasets_that_cannot_be_described_are_a_note(caplog, tmp_path):
    def datasets(_: bool) -> Datasets:
        raise OSError(5, "Input/output error")

    assert with_lineage(str(tmp_path / "e.jsonl"), JOB, datasets, lambda: 0) == 0
    assert "Input/output error" in caplog.text


def test_without_the_extra(monkeypatch, caplog):
    monkeypatch.setattr(recorder, "find_spec", lambda name: None)
    assert not check_lineage(None) and not caplog.records
    with pytest.raises(ParameterError, match=r"LS106.*--openlineage 'x'.*linesmith\[lineage\]"):
        check_lineage("x")
    monkeypatch.setenv("OPENLINEAGE_URL", "http://host")
    assert not check_lineage(None)
    assert "linesmith[lineage]" in caplog.text


@pytest.mark.parametrize("target", ["kafka://broker/topic", "http://[bad", "http://"])
def test_what_is_no_target_is_refused_before_anything_is_read(target, capsys, tmp_path):
    given = ["--output", str(tmp_path / "out"), "--openlineage", target]
    for command in (["run", "--input", "missing.txt"], ["evaluate"]):
        assert run_command_line([*command, *given]) == 2
        assert f"LS129: --openlineage '{target}'" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("place", "namespace", "name"),
    [
        ("/data/rides.csv", "file", "/data/rides.csv"),
        ("/data/2026/part-*.csv", "file", "/data/2026"),
        ("s3://lake/rides/part-?.csv", "s3://lake", "rides"),
        ("gs://lake", "gs://lake", "/"),
        ("https://ann:secret@host/rides.csv?sig=1", "https://host", "/rides.csv"),
        ("file:///data/rides.csv", "file", "/data/rides.csv"),
    ],
)
def test_places_are_named_as_openlineage_names_them(place, namespace, name):
    assert dataset_at(place) == Dataset(namespace, name)


def write_run(root: Path, private: bool) -> TensorFlowConfig:
    manifests = {
        "private/training_data" if private else "training_data": {
            "columns": ["id", "day"], "inputs": {"a": {"bytes": 40, "digest": "sha256:1"}}, "counts": {"lines": 9, "accepted": 8},
        },
        "synthetic": {
            "columns": ["id", "day"], "types": [{"name": "id", "type": "long"}, {"name": "day", "type": "date"}],
            "counts": {"records": 5}, "outputs": {"part-0.txt": {"records": 5, "bytes": 33}},
        },
    }  # fmt: skip
    for place, body in manifests.items():
        (root / place).mkdir(parents=True)
        (root / place / "manifest.json").write_text(
            json.dumps({"format_version": 1, "stage": "x", "versions": {}, **body})
        )
    return TensorFlowConfig(input_data_path=str(root / "in.csv"), checkpoint_dir=root, dp=private)


def test_a_run_directory_is_described_by_its_manifests(tmp_path):
    config = write_run(tmp_path, private=False)
    run = RunDatasets(config, tmp_path, "gs://lake/run")
    assert run.of_command("run")(False).inputs == (Dataset("file", str(tmp_path / "in.csv")),)
    ended = run.of_command("run")(True)
    assert ended.inputs[0].rows == 9 and ended.inputs[0].size_bytes == 40 and len(ended.inputs[0].columns) == 2
    synthetic = Dataset("gs://lake", "run/synthetic", (("id", "long"), ("day", "date")), rows=5, files=1, size_bytes=33)
    assert ended.outputs[1] == synthetic
    evaluated = run.of_command("evaluate")(True)
    assert evaluated.inputs[0].rows == 8 and evaluated.inputs[1] == synthetic
    assert evaluated.outputs == (Dataset("gs://lake", "run/report"),)


def test_of_a_private_run_only_what_may_be_released_is_described(tmp_path):
    config = write_run(tmp_path, private=True)
    run = RunDatasets(config, tmp_path, str(tmp_path), private=True)
    for command in ("run", "tokenize", "train", "generate", "evaluate"):
        told = run.of_command(command)(True)
        assert str(tmp_path / "in.csv") not in str(told)
        for dataset in (*told.inputs, *told.outputs):
            if not dataset.name.endswith("/synthetic"):
                assert dataset == Dataset("file", dataset.name)
    assert run.of_command("run")(True).outputs[1].rows == 5


@pytest.mark.integration
@pytest.mark.slow
def test_commands_tell_what_they_did(tmp_path):
    lines = [f"{number},Ann Lee {number % 5}" for number in range(80)]
    (tmp_path / "in.csv").write_text("\n".join(["id,who", *lines]) + "\n")
    settings = ["--header", "--field-delimiter", ",", "--input-format", "text", "--epochs", "1", "--rnn-units", "8"]
    given = ["--output", "out", "--openlineage", "events.jsonl"]
    assert run_command_line(["run", "--input", "in.csv", "--num-lines", "5", "--no-report", *settings, *given]) in (
        0,
        4,
    )
    assert run_command_line(["generate", "--max-attempts", "1", "--num-lines", "3", "--overwrite", *given]) in (0, 4)
    assert run_command_line(["tokenize", "--input", "in.csv", "--max-line-len", "9",
                             "--overwrite", *settings, *given]) == 2  # fmt: skip
    told = (tmp_path / "events.jsonl").read_text()
    events = [json.loads(line) for line in told.splitlines()]
    assert [event["job"]["name"] for event in events] == ["out.run"] * 2 + ["out.generate"] * 2 + ["out.tokenize"] * 2
    assert [event["eventType"] for event in events if event["eventType"] == "START"] == ["START"] * 3
    first = events[1]
    assert first["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == 80
    assert [field["name"] for field in first["inputs"][0]["facets"]["schema"]["fields"]] == ["id", "who"]
    assert {Path(dataset["name"]).name for dataset in first["outputs"]} == {"model", "synthetic"}
    assert events[-1]["eventType"] == "FAIL" and "LS207" in events[-1]["run"]["facets"]["errorMessage"]["message"]
    assert "Ann Lee" not in told
    stored = json.loads((tmp_path / "out" / "model_params.json").read_text())
    assert "openlineage" not in stored
