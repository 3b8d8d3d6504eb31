"""Generate from a run directory that somebody else made: it runs no code and opens nothing outside of itself unasked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linesmith.cli import app as cli
from linesmith.cli.options import CommandLine
from linesmith.cli.settings import resolve
from linesmith.core.artifacts.kept_inputs import keep_inputs
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.params import save_params
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.pipelines.stage_report import StageReport
from tests.helpers.generation_fakes import fake_run, open_fake

STORED = {
    "line_validator": "evil.py:judge",
    "rules": "../rules.yaml",
    "schema_file": "/nowhere/record.avsc",
    "start_strings_file": "starts.txt",
    "iceberg_catalog": ["sqlite:///catalog.db"],
}


def received(directory: Path, **settings) -> Path:
    """Return a directory that looks like a finished training with these settings."""
    save_params(TensorFlowConfig(checkpoint_dir="elsewhere", **settings), directory)
    write_manifest(directory / "model", "train", {})
    return directory


def resolved(run: Path, *unset: str, command: str = "generate", **settings) -> TensorFlowConfig:
    return resolve(CommandLine(command, {"checkpoint_dir": str(run), **settings}, unset=unset))


@pytest.mark.parametrize("name", STORED)
def test_a_stored_setting_is_named_and_refused_until_it_is_given_again_or_unset(tmp_path, name):
    table = {"iceberg_table": "a.b"} if name == "iceberg_catalog" else {}
    run = received(tmp_path / "run", **{name: STORED[name]}, **table)
    given = {"iceberg_table": "a.b"} if table else {}
    flag = "--" + name.replace("_", "-")
    with pytest.raises(ParameterError, match=rf"LS128: {flag} '.*stored in.*--unset {name}\.") as refused:
        resolved(run, **given)
    assert refused.value.code == "LS128"
    assert getattr(resolved(run, **given, **{name: STORED[name]}), name) == STORED[name]
    for spelling in (name, flag, name.replace("_", "-")):
        assert getattr(resolved(run, spelling, **given), name) is None


@pytest.mark.integration
def test_the_validator_of_a_received_directory_is_not_run(tmp_path, monkeypatch, capsys):
    generated = []
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)
    monkeypatch.setattr(
        "linesmith.pipelines.generate.stage.generate", lambda c, _: generated.append(c) or StageReport("generate")
    )
    monkeypatch.chdir(tmp_path)
    evil = Path("evil.py")  # a short name: messages cut long ones
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef judge(line): pass\n")
    run = received(tmp_path / "run", line_validator=f"{evil}:judge")
    command = ["generate", "--output", str(run)]
    assert cli.run_command_line(command) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: LS128: --line-validator") and "evil.py:judge" in message
    assert generated == [] and not (tmp_path / "ran").exists()
    assert cli.run_command_line([*command, "--unset", "line-validator"]) == 0
    assert cli.run_command_line([*command, "--line-validator", f"{evil}:judge"]) == 0
    assert [config.line_validator for config in generated] == [None, f"{evil}:judge"]


def test_all_that_is_refused_is_named_at_once(tmp_path):
    run = received(tmp_path / "run", **STORED, iceberg_table="a.b")
    with pytest.raises(ParameterError) as refused:
        resolved(run)
    assert all(f"--unset {name}" in str(refused.value) for name in (*STORED, "iceberg_table"))


def test_a_start_string_takes_the_place_of_a_stored_file(tmp_path):
    run = received(tmp_path / "run", start_strings_file="starts.csv", start_strings_field="town")
    config = resolved(run, start_string="a,")
    assert (config.start_string, config.start_strings_file, config.start_strings_field) == ("a,", None, None)


def test_relative_files_of_training_work_from_another_working_directory(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    Path("record.avsc").write_text("{}")
    config = TensorFlowConfig(checkpoint_dir=str(tmp_path / "run"), schema_file="record.avsc")
    received(tmp_path / "run", schema_file=keep_inputs(config, tmp_path / "run/model").schema_file)
    (tmp_path / "run").rename(there / "moved")
    Path("record.avsc").unlink()
    monkeypatch.chdir(there)
    assert resolved(Path("moved")).schema_file == "moved/model/inputs/schema.avsc"
    assert resolved(Path("moved"), "schema_file").schema_file is None


@pytest.mark.integration
def test_a_moved_run_generates_with_the_schema_that_it_keeps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)
    monkeypatch.setattr("linesmith.pipelines.generate.stage.open_sampler", open_fake)
    monkeypatch.chdir(tmp_path)
    fields = [{"name": name, "type": "string"} for name in "abc"]
    Path("record.avsc").write_text(json.dumps({"type": "record", "name": "R", "fields": fields}))
    kept = keep_inputs(TensorFlowConfig(checkpoint_dir="run", schema_file="record.avsc"), tmp_path / "run" / "model")
    fake_run(tmp_path / "run", columns=["a", "b", "c"], schema_file=kept.schema_file)
    Path("record.avsc").unlink()
    Path("there").mkdir()
    Path("run").rename("there/moved")
    monkeypatch.chdir("there")
    command = ["generate", "--output", "moved", "--num-lines", "3", "--output-format", "jsonl"]
    assert cli.run_command_line(command) == 0, capsys.readouterr().err
    assert cli.run_command_line([*command, "--unset", "schema-file", "--overwrite"]) == 0


def test_commands_that_use_none_of_it_work_and_plan_names_it(tmp_path, caplog):
    run = received(tmp_path / "run", **STORED, iceberg_table="a.b")
    for command in ("evaluate", "audit", "plan"):
        config = resolved(run, command=command)
        assert all(getattr(config, name) is None for name in STORED)
    assert "--line-validator 'evil.py:judge'" in caplog.text


def test_null_in_a_settings_file_unsets_too(tmp_path):
    run = received(tmp_path / "run", line_validator="evil.py:judge", gen_lines=7)
    (tmp_path / "settings.yaml").write_text("line_validator: null\n")
    config = resolve(CommandLine("generate", {"checkpoint_dir": str(run)}, str(tmp_path / "settings.yaml")))
    assert (config.line_validator, config.gen_lines) == (None, 7)
    assert resolved(run, "line_validator", "num-lines").gen_lines == 1000


@pytest.mark.parametrize("name", ["no_such_thing", "rnn_units", "--output"])
def test_what_cannot_be_unset_is_refused(tmp_path, name):
    run = received(tmp_path / "run")
    with pytest.raises(ParameterError, match=f"LS101: --unset {name}: not a setting of generation"):
        resolved(run, name)
