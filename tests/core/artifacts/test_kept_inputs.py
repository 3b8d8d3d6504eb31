"""Files that generation needs are kept in the run directory, and what else it stores decides nothing outside of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from linesmith.core.artifacts.kept_inputs import keep_inputs, stored_settings_error, usable_settings
from linesmith.core.artifacts.params import config_from_model_dir, save_params
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory beside a file that is not part of it."""
    (tmp_path / "outside.yaml").write_text("[]")
    inputs = tmp_path / "run" / "model" / "inputs"
    inputs.mkdir(parents=True)
    (inputs / "rules.yaml").write_text("[]")
    (inputs / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    return tmp_path / "run"


def test_schema_and_rules_are_copied_and_named_relative_to_the_run_directory(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.avsc").write_text("{}")
    config = TensorFlowConfig(checkpoint_dir=run, schema_file=tmp_path / "mine.avsc", start_strings_file="starts.txt")
    kept = keep_inputs(config, run / "model")
    assert kept.schema_file == "model/inputs/schema.avsc"
    assert kept.start_strings_file == "starts.txt"
    # Copies of an earlier training are gone, and so is a link.
    assert {file.name: file.read_text() for file in (run / "model/inputs").iterdir()} == {"schema.avsc": "{}"}
    again = keep_inputs(config.replace(schema_file=str(run / "model/inputs/schema.avsc")), run / "model")
    assert (run / str(again.schema_file)).read_text() == "{}"


@pytest.mark.parametrize(("name", "code"), [("schema_file", "LS111"), ("rules", "LS113")])
def test_a_missing_file_ends_training_before_it_begins(run: Path, name: str, code: str) -> None:
    with pytest.raises(ParameterError, match=rf"{code}: --{name.replace('_', '-')} 'gone'.*No such file"):
        keep_inputs(TensorFlowConfig(**{name: "gone"}), run / "model")


@pytest.mark.parametrize("name", ["rules", "schema_file", "start_strings_file"])
def test_only_files_in_the_run_directory_are_used(run: Path, name: str) -> None:
    inside = "model/inputs/rules.yaml"
    for stored in (inside, str(run.resolve() / inside), "model/../model/inputs/rules.yaml"):
        usable, refused = usable_settings({name: stored, "seed": 1}, run)
        assert refused == {} and usable["seed"] == 1
        assert Path(usable[name]).resolve() == (run / inside).resolve()
    outside: list[Any] = [
        "../outside.yaml",
        str(run.parent / "outside.yaml"),
        "model/inputs/link.yaml",
        "model/inputs",
        "model/inputs/*.yaml",
        "gone.yaml",
        "s3://bucket/rules.yaml",
        "a\0b",
        ["model/inputs/rules.yaml"],
    ]
    for stored in outside:
        assert usable_settings({name: stored}, run) == ({}, {name: stored})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("line_validator", "model/inputs/rules.py:f"),
        ("iceberg_table", "a.b"),
        ("iceberg_catalog", ["py-catalog-impl=evil.C"]),
    ],
)
def test_code_and_tables_are_never_taken_from_the_directory(run: Path, name: str, value: object) -> None:
    assert usable_settings({name: value}, run) == ({}, {name: value})


def test_nothing_is_refused_where_nothing_is_stored(run: Path) -> None:
    plain = TensorFlowConfig(checkpoint_dir=run, start_string="a").as_dict()
    assert usable_settings(plain, run) == (plain, {})


def test_the_field_of_start_strings_goes_with_their_file(run: Path) -> None:
    stored = {"start_strings_file": "gone.csv", "start_strings_field": "town"}
    assert usable_settings(stored, run) == ({}, {"start_strings_file": "gone.csv"})


def test_from_python_what_is_stored_is_named_and_not_used(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = TensorFlowConfig(checkpoint_dir="moved", line_validator="evil.py:f", rules="model/inputs/rules.yaml")
    save_params(config, run)
    with caplog.at_level(logging.WARNING, "linesmith"):
        loaded = config_from_model_dir(run)
    assert loaded.line_validator is None
    assert loaded.rules == f"{run}/model/inputs/rules.yaml"
    assert "--line-validator 'evil.py:f'" in caplog.text and "--rules" not in caplog.text


def test_what_a_stranger_wrote_cannot_move_the_cursor(run: Path) -> None:
    error = stored_settings_error({"line_validator": "\x1b[2J" + "x" * 1000}, ["line_validator"], run)
    assert "\x1b" not in str(error) and len(str(error)) < 600
    json.dumps(error.as_dict())
