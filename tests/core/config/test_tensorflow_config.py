"""Settings: defaults that depend on other settings, paths, and errors that name the flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from linesmith.core.config.setting_field import default_of, dp_default
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields, path_settings
from linesmith.core.errors import ParameterError


def test_private_training_has_other_defaults_that_do_not_count_as_set():
    config = TensorFlowConfig(dp="yes", rnn_units=9)
    assert config.model_fields_set == {"dp", "rnn_units"}
    for name, field in fields().items():
        if dp_default(field) is not None:
            assert getattr(config, name) == (9 if name == "rnn_units" else dp_default(field))
    assert config.replace(dp=False).epochs == default_of(fields()["epochs"]) == 100


@pytest.mark.parametrize(
    ("settings", "held_back", "metric"),
    [
        ({}, True, "val_loss"),
        ({"validation_split": False}, False, "loss"),
        ({"dp": True}, False, "loss"),
        ({"dp": True, "validation_split": True}, True, "val_loss"),
        ({"dp": True, "dp_validation": "noised"}, True, "val_loss"),
        ({"dp": True, "dp_validation": "public_file", "dp_public_validation": "f"}, False, "val_loss"),
        ({"dp": True, "best_model_metric": "val_loss"}, False, "val_loss"),
    ],
)
def test_records_are_held_back_only_where_training_looks_at_them(settings, held_back, metric):
    config = TensorFlowConfig(**settings)
    assert (config.validation_split, config.metric) == (held_back, metric)


def test_tables_have_no_subwords_by_default():
    assert TensorFlowConfig().vocab_size == 20000
    assert TensorFlowConfig(field_delimiter=",").vocab_size == 0
    assert TensorFlowConfig(field_delimiter=",", vocab_size=7).vocab_size == 7
    assert TensorFlowConfig(field_delimiter=",", dp=True).vocab_size == 20000


def test_every_path_may_be_a_path_and_has_one_use():
    names = path_settings()
    alone = ("start_strings_file", "where_file", "impute")  # they exclude each other
    config = TensorFlowConfig(**{name: Path("x") for name in names if name not in alone})
    found = {getattr(config, name) for name in names if name not in alone}
    found |= {getattr(TensorFlowConfig(**{name: Path("x")}), name) for name in alone}
    assert found == {"x"}
    assert TensorFlowConfig(input_data_path=[Path("a"), "b"]).input_data_path == ["a", "b"]
    uses = [path_settings(use) for use in ("small", "streamed", "written")]
    assert sorted(name for use in uses for name in use) == sorted(names)
    assert uses[2] == ["privacy_ledger", "checkpoint_dir"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gen_lines": -1}, r"^LS101: gen_lines -1: must be greater than or equal to 0\. Give another value\.$"),
        ({"epoch": 3}, r"^LS101: unknown setting 'epoch' \(value 3\)\. The nearest known setting is 'epochs'\.$"),
        ({"quoted": True}, r"^LS101: quoted=True needs a field_delimiter of one character, found None\. "),
        ({"dp": "maybe"}, r"^LS101: dp 'maybe': must be a valid boolean, .*value\.$"),
        ({"gen_lines": "x", "epochs": -1}, r"^LS101: gen_lines 'x': .*; epochs -1: .*\. Give "),
    ],
)  # fmt: skip
def test_errors_name_the_setting_and_nothing_else(settings, message):
    with pytest.raises(ParameterError, match=message) as caught:
        TensorFlowConfig(**settings)
    assert caught.value.code == "LS101"
    assert "factory" not in str(caught.value)
    assert "--" not in str(caught.value)


def test_the_home_directory_stands_for_a_tilde_in_every_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    for name in path_settings():
        value = ["~/x", "y~"] if name == "input_data_path" else "~/x"
        expected = ["/home/ann/x", "y~"] if name == "input_data_path" else "/home/ann/x"
        more = {"dataset_name": "d"} if name == "privacy_ledger" else {}
        assert getattr(TensorFlowConfig(**{name: value}, **more), name) == expected
    config = TensorFlowConfig(line_validator="~/v.py:check", start_string="~/x", checkpoint_dir="~no-such-user~/x")
    assert (config.line_validator, config.start_string) == ("/home/ann/v.py:check", "~/x")
    assert config.checkpoint_dir == "~no-such-user~/x"
