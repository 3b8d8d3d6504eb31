"""Command line: settings from flags and files, what reaches the stages, and the exit codes."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path

import pytest
import typer

from linesmith.cli import app as cli
from linesmith.cli import console, options
from linesmith.cli.options import CommandLine
from linesmith.cli.settings import resolve
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.params import config_from_settings, save_params
from linesmith.core.config.setting_field import default_of
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields
from linesmith.core.errors import (
    DataError,
    InterruptedRunError,
    LinesmithError,
    ParameterError,
    ShortfallError,
    TooManyInvalidError,
    VocabSizeTooSmall,
)
from linesmith.pipelines.stage_report import StageReport


class Stages:
    """Fake of the stages: records what each was called with and returns a report, or raises."""

    def __init__(self):
        self.calls = []
        self.raises = None
        self.exit_code = 0

    def stage(self, name):
        def run(config, beam_args=(), **_):
            self.calls.append((name, config, tuple(beam_args)))
            if self.raises is not None:
                raise self.raises
            return StageReport(name, 1.5, 2**30, {"records": 3}, {"files": "out"}, ["look"], self.exit_code)

        return run

    @property
    def config(self) -> TensorFlowConfig:
        return self.calls[-1][1]


@pytest.fixture
def stages(monkeypatch, tmp_path):
    fake = Stages()
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "a", "b"):
        Path(name).touch()
    for name in ("tokenize", "train", "generate"):
        module = types.ModuleType(f"linesmith.pipelines.{name}.stage")
        setattr(module, {"train": "train_model"}.get(name, name), fake.stage(name))
        setattr(module, f"{name}_locked", fake.stage(name))
        module.train_locally_or_on_worker = lambda config, beam_args, table, run=fake.stage(name): run(
            config, beam_args
        )
        module.is_current = lambda config: False
        monkeypatch.setitem(sys.modules, f"linesmith.pipelines.{name}.stage", module)
    monkeypatch.setattr("linesmith.pipelines.evaluate.stage.evaluate_run_locked", lambda *_: StageReport("evaluate"))
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)
    return fake


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch):
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)


def trained(directory: Path, **settings) -> Path:
    """Return a directory that looks like a finished training."""
    directory.mkdir(parents=True, exist_ok=True)
    save_params(TensorFlowConfig(checkpoint_dir="moved-since", input_data_path="gone.csv", **settings), directory)
    (directory / "model").mkdir()
    write_manifest(directory / "model", "train", {})
    return directory


def line(*arguments) -> int:
    return cli.run_command_line([str(word) for word in arguments])


# --- settings


def test_only_what_is_said_is_a_setting(stages, tmp_path):
    assert line("tokenize", "--input", "a.csv", "--output", tmp_path) == 0
    assert stages.config == TensorFlowConfig(input_data_path="a.csv", checkpoint_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--num-lines", "0"], "gen_lines", 0),
        (["--gen-lines", "7"], "gen_lines", 7),
        (["--gen_lines", "7"], "gen_lines", 7),
        (["--max-lines", "1e5"], "max_lines", 100000),
        (["--gen-temp", "0"], "gen_temp", 0.0),
        (["--learning-rate=1e-3"], "learning_rate", 0.001),
        (["--no-validation-split"], "validation_split", False),
        (["--no_validation_split"], "validation_split", False),
        (["--validation-split"], "validation_split", True),
        (["--field-delimiter", ", "], "field_delimiter", ", "),
        (["--field-delimiter", "--"], "field_delimiter", "--"),
        (["--input", "a", "--input", "b"], "input_data_path", ["a", "b"]),
        (["--start-string", "6,"], "start_string", "6,"),
        (["--start-string", "6,", "--start-string", "7,"], "start_string", ["6,", "7,"]),
        (["--columns", "a,b"], "columns", ["a", "b"]),
        (["--output-format", "avro", "--output-format", "text"], "output_format", ["avro", "text"]),
        (["--output-format", "avro,text"], "output_format", ["avro", "text"]),
        (["--max-invalid", "0"], "max_invalid", 0),
    ],
)
def test_values(stages, tmp_path, arguments, name, value):
    assert (
        line("run", "--output", tmp_path, *([] if name == "input_data_path" else ["--input", "a.csv"]), *arguments) == 0
    )
    assert getattr(stages.config, name) == value


@pytest.mark.integration
@pytest.mark.parametrize("name", [name for name, info in fields().items() if not info.exclude])
def test_every_setting_is_accepted_as_a_flag_with_its_default(name):
    default = default_of(fields()[name])
    flag = "--" + name.replace("_", "-")
    if default is None:
        default = {"best_model_metric": "loss", "quoted": True, "where": "a=1"}.get(name, "1")
        default = "x{}" if name == "column_pattern" else default
    default = True if name == "output_header" else default
    arguments = [flag if default else flag.replace("--", "--no-", 1)] if isinstance(default, bool) else None
    if arguments is None:
        arguments = [flag, ",".join(default) if isinstance(default, list) else str(default)]
    said = {}
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(options.command("run", lambda given: said.update(given.settings) or 0, ""))
    assert typer.main.get_command(app).main(arguments, standalone_mode=False) == 0
    assert set(said) == {name}


def test_flags_override_the_file_and_the_file_the_defaults(stages, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("epochs: 3\nbatch_size: 1e1\nfield_delimiter: ';'\n")
    assert line("run", "--config", file, "--epochs", "4", "--output", tmp_path / "out", "--input", "a.csv") == 0
    assert (stages.config.epochs, stages.config.batch_size, stages.config.field_delimiter) == (4, 10, ";")
    assert stages.config.rnn_layers == 1  # that of records with fields


def test_a_settings_file_of_the_older_tool_loads_with_notices(stages, tmp_path, capsys):
    old = {name: default_of(info) for name, info in fields().items() if not info.exclude and name in OLD_NAMES}
    old |= {
        "training_data_path": "x/data",
        "model_type": "TensorFlowConfig",
        "input_data_path": "a.csv",
        "buffer_size": 99,
    }
    old["checkpoint_dir"] = str(tmp_path / "out")
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(old))
    assert line("run", "--config", file) == 0
    stderr = capsys.readouterr().err
    for name in ("training_data_path", "model_type", "buffer_size"):
        assert f"setting '{name}'" in stderr
    assert stages.config.epochs == 100


OLD_NAMES = [
    "input_data_path",
    "checkpoint_dir",
    "validation_split",
    "field_delimiter",
    "field_delimiter_token",
    "max_lines",
    "overwrite",
    "max_training_time_seconds",
    "vocab_size",
    "character_coverage",
    "pretrain_sentence_count",
    "max_line_len",
    "epochs",
    "early_stopping",
    "early_stopping_patience",
    "early_stopping_min_delta",
    "best_model_metric",
    "batch_size",
    "buffer_size",
    "seq_length",
    "embedding_dim",
    "rnn_units",
    "dropout_rate",
    "rnn_initializer",
    "learning_rate",
    "dp",
    "dp_noise_multiplier",
    "dp_l2_norm_clip",
    "dp_microbatches",
    "gen_temp",
    "gen_chars",
    "gen_lines",
    "predict_batch_size",
    "reset_states",
    "save_all_checkpoints",
    "save_best_model",
]


def test_the_old_names_are_all_known():
    assert set(OLD_NAMES) <= set(fields())


def test_tables_are_learned_by_character_unless_a_vocabulary_is_asked_for():
    table = TensorFlowConfig(field_delimiter=",")
    assert (TensorFlowConfig().vocab_size, table.vocab_size) == (20_000, 0)
    assert TensorFlowConfig(field_delimiter=",", vocab_size=20_000).vocab_size == 20_000
    assert TensorFlowConfig(**table.as_dict()).vocab_size == 0
    assert TensorFlowConfig().replace(field_delimiter=",").vocab_size == 0
    assert not TensorFlowConfig(field_delimiter=",", dp=True, dp_target_epsilon=8.0).wants_subword_vocabulary


def test_old_dp_learning_rate_without_model_type():
    assert config_from_settings({"dp": True, "dp_learning_rate": 0.5}).learning_rate == 0.5


# --- generate starts from the settings in the run directory


@pytest.mark.integration
def test_generate_needs_nothing_but_the_directory(stages, tmp_path):
    run = trained(tmp_path / "moved", epochs=3, field_delimiter=",")
    assert line("generate", "--output", run, "--num-lines", "5") == 0
    assert stages.config.checkpoint_dir == str(run)
    assert (stages.config.gen_lines, stages.config.epochs, stages.config.field_delimiter) == (5, 3, ",")


@pytest.mark.integration
def test_generate_refuses_a_setting_that_the_model_was_not_made_with(stages, tmp_path, capsys):
    run = trained(tmp_path / "run", rnn_units=8)
    assert line("generate", "--output", run, "--rnn-units", "16") == 2
    assert "--rnn-units 16 (rnn_units): " in capsys.readouterr().err
    assert stages.calls == []
    assert line("generate", "--output", run, "--rnn-units", "8") == 0


def test_generate_may_name_columns_late_and_replace_a_start(tmp_path):
    run = trained(tmp_path / "run", field_delimiter=",", start_string="6,")
    given = {"checkpoint_dir": str(run), "columns": ["a,b"], "start_strings_file": "starts.txt"}
    config = resolve(CommandLine("generate", given))
    assert (config.columns, config.start_string, config.start_strings_file) == (["a", "b"], None, "starts.txt")


# --- Beam's options


@pytest.mark.integration
def test_beam_options_are_passed_on_as_they_are(stages, tmp_path):
    arguments = ["--runner", "DirectRunner", "--direct_num_workers=2"]
    assert line("run", "--output", tmp_path, "--input", "a.csv", *arguments, "--epochs", "1") == 0
    assert stages.calls[0][2] == tuple(arguments)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--epocs", "3"], "--epochs"),
        (["--no-validaton-split"], "--no-validation-split"),
        (["--inputs", "x"], "--input"),
        (["--flink-mastr", "x"], "--flink_master"),
        (["a.csv"], "--input a.csv"),
        (["--direct_num_workers", "many"], "LS122: Beam refuses its options: .*invalid int value"),
    ],
)
def test_what_neither_we_nor_beam_know_is_refused_with_the_nearest_name(stages, tmp_path, capsys, arguments, named):
    assert line("run", "--output", tmp_path, *arguments) == 2
    message = capsys.readouterr().err
    assert re.search(named if named.startswith("LS122") else f"LS110: .*{re.escape(named)}", message)
    assert stages.calls == []


def test_a_missing_input_is_refused_before_anything_heavy_is_loaded(stages, tmp_path, capsys, monkeypatch):
    def load():
        raise AssertionError

    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", load)
    assert line("run", "--input", "missing.csv", "--output", tmp_path / "out") == 2
    assert "missing.csv" in capsys.readouterr().err


def test_no_beam_is_loaded_to_refuse_a_value_of_ours(stages, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "linesmith.runners", None)
    assert line("run", "--output", tmp_path, "--epochs", "-1") == 2


# --- exit codes and messages


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LinesmithError("LS413", None, "x", "Y."), 2),
        (ParameterError("LS101", None, "x", "Y."), 2),
        (VocabSizeTooSmall("LS104", None, "x", "Y."), 2),
        (DataError("LS201", None, "x", "Y."), 2),
        (ShortfallError("LS502", None, "x", "Y."), 4),
        (TooManyInvalidError("LS504", None, "x", "Y."), 4),
        (InterruptedRunError("LS501", None, "x", "Y."), 130),
        (KeyboardInterrupt(), 130),
        (RuntimeError("secret record"), 1),
        (AssertionError(), 1),
        (PermissionError(13, "Permission denied", "/dir"), 2),
        (OSError(28, "No space left on device", "/dir"), 2),
    ],
)
def test_exit_codes(stages, tmp_path, capsys, error, code):
    stages.raises = error
    assert line("train", "--output", tmp_path) == code
    stderr = capsys.readouterr().err
    assert "Traceback" not in stderr
    assert "secret record" not in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_an_error_of_ours_is_found_below_what_beam_wraps_around_it(stages, tmp_path, capsys):
    stages.raises = RuntimeError("wrapped")
    stages.raises.__cause__ = DataError("LS206", None, "the file is cut off", "Copy it again.")
    assert line("train", "--output", tmp_path) == 2
    assert "LS206: the file is cut off" in capsys.readouterr().err


def test_an_error_handled_and_replaced_is_not_reported(stages, tmp_path, capsys):
    stages.raises = RuntimeError("later")
    stages.raises.__context__ = DataError("LS205", None, "earlier", "Wait.")
    stages.raises.__suppress_context__ = True
    assert line("train", "--output", tmp_path) == 1
    assert "earlier" not in capsys.readouterr().err


def test_the_traceback_is_there_with_debug(stages, tmp_path, capsys):
    stages.raises = RuntimeError("details")
    assert line("train", "--output", tmp_path, "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.integration
def test_a_stage_can_end_with_its_own_code(stages, tmp_path):
    stages.exit_code = 4
    trained(tmp_path / "run")
    assert line("generate", "--output", tmp_path / "run") == 4


@pytest.mark.parametrize("arguments", [["--epochs"], ["nosuchcommand"], ["--output", "x"]])
def test_usage_errors_are_two(stages, capsys, arguments):
    command = ["run"] if arguments == ["--epochs"] else []
    assert line(*command, *arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.integration
def test_help_and_version(capsys):
    assert line("--help") == 0
    assert "generate" in capsys.readouterr().out
    assert line("--version") == 0
    assert capsys.readouterr().out.startswith("linesmith 0.")


def test_help_shows_the_stage_first(capsys):
    assert line("generate", "--help") == 0
    text = capsys.readouterr().out
    assert text.index("─ Input and run directory") < text.index("─ Generate ─") < text.index("─ Tokenize ─")


def test_a_summary_is_shown_for_each_stage(stages, tmp_path, capsys):
    assert line("run", "--output", tmp_path, "--input", "a.csv") == 0
    out = capsys.readouterr().out
    for word in ("tokenize", "train", "generate", "evaluate", "1.0 GiB", "records 3", "files: out", "note: look"):
        assert word in out


# --- plan


def test_plan_resolves_and_runs_nothing(stages, tmp_path, capsys):
    source = tmp_path / "a.txt"
    source.write_text("x\n" * 10)
    out = tmp_path / "out"
    assert line("plan", "--input", source, "--output", out, "--no-validation-split", "--vocab-size", "0") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "best epoch by loss" in text
    assert "characters, all that occur" in text
    assert "FnApiRunner" in text
    assert "20 B" in text
    assert not out.exists()
    assert stages.calls == []


def test_plan_and_run_refuse_private_settings_that_contradict(stages, tmp_path, capsys):
    both = ("--dp", "--dp-noise-multiplier", "1", "--dp-target-epsilon", "8")
    for command in ("plan", "run", "train"):
        assert line(command, *both, "--input", __file__, "--output", tmp_path / "out") == 2
        assert "LS301" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
