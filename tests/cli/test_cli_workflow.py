"""Stages that `run` and Python's `train` repeat, skip and refuse; fake stages record what is called."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path

import pytest

from linesmith.core.artifacts.manifest import read_manifest, write_manifest
from linesmith.core.artifacts.params import save_params
from linesmith.core.artifacts.run_directory import locked, promote, run_directory, workspace
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.pipelines import workflow
from linesmith.pipelines.stage_report import StageReport


class FakeStages:
    """Fake stages that write their manifests where the real ones do; `source` stands for the content of the input."""

    def __init__(self):
        self.ran = []
        self.source = "one"

    def is_current(self, config) -> bool:
        manifest = read_manifest(workspace(config).training_data)
        return manifest is not None and manifest["source"] == self.source

    def tokenize_locked(self, config, beam_args):
        self.ran.append("tokenize")
        write_manifest(workspace(config).training_data, "tokenize", {"source": self.source})
        return StageReport("tokenize")

    def train_locked(self, config):
        self.ran.append("train")
        save_params(config, workspace(config).root)
        write_manifest(workspace(config).model, "train", {"units": config.rnn_units})
        promote(run_directory(config))
        return StageReport("train")

    def generate_locked(self, config, beam_args):
        self.ran.append("generate")
        self.beam_args = beam_args
        write_manifest(run_directory(config).synthetic, "generate", {"lines": config.gen_lines})
        return StageReport("generate", exit_code=4, counts={"records": config.gen_lines})

    def evaluate_run_locked(self, config, beam_args, settings):
        self.ran.append("evaluate")
        assert settings.overwrite
        return StageReport("evaluate")


@pytest.fixture
def fake_stages(monkeypatch):
    fake = FakeStages()
    for name in ("tokenize", "train", "generate"):
        module = types.ModuleType(f"linesmith.pipelines.{name}.stage")
        setattr(module, f"{name}_locked", getattr(fake, f"{name}_locked"))
        module.is_current = fake.is_current
        module.train_locally_or_on_worker = lambda config, beam_args, table: sys.modules[
            "linesmith.pipelines.train.stage"
        ].train_locked(config)
        monkeypatch.setitem(sys.modules, f"linesmith.pipelines.{name}.stage", module)
    monkeypatch.setattr("linesmith.pipelines.evaluate.stage.evaluate_run_locked", fake.evaluate_run_locked)
    monkeypatch.setattr("linesmith.pipelines.evaluate.stage.missing_libraries", list)
    return fake


@pytest.fixture
def config(tmp_path) -> TensorFlowConfig:
    return TensorFlowConfig(input_data_path="in.txt", checkpoint_dir=str(tmp_path / "out"), rnn_units=8)


def test_a_new_run_does_everything_once_and_tells(fake_stages, config):
    shown = []
    reports = workflow.run(config, ["--x"], on_stage=shown.append)
    assert fake_stages.ran == [report.stage for report in reports] == ["tokenize", "train", "generate", "evaluate"]
    assert shown == reports
    assert fake_stages.beam_args == ["--x"]
    assert [report.exit_code for report in reports] == [0, 0, 4, 0]
    assert max(report.exit_code for report in reports) == 4


def test_a_run_without_report_records_or_libraries_ends_before_the_evaluation(
    fake_stages, config, tmp_path, monkeypatch
):
    plain = workflow.run(config.replace(report=False, checkpoint_dir=str(tmp_path / "plain")))
    empty = workflow.run(config.replace(gen_lines=0, checkpoint_dir=str(tmp_path / "empty")))
    monkeypatch.setattr("linesmith.pipelines.evaluate.stage.missing_libraries", lambda: ["matplotlib"])
    bare = workflow.run(config)
    assert "evaluate" not in fake_stages.ran
    assert [report.stage for report in plain] == ["tokenize", "train", "generate"]
    assert "no record" in empty[-1].notices[0]
    assert "matplotlib not installed" in bare[-1].notices[0]


def test_a_complete_run_is_refused_and_kept(fake_stages, config):
    workflow.run(config)
    with pytest.raises(DataError, match="overwrite=True"):
        workflow.run(config)
    assert len(fake_stages.ran) == 4


def test_records_that_cannot_be_evaluated_are_kept_and_the_run_says_why(fake_stages, config, monkeypatch):
    def broken(*_):
        raise DataError("LS205", "--input", "nothing that can be read", "Give a file.")

    monkeypatch.setattr("linesmith.pipelines.evaluate.stage.evaluate_run_locked", broken)
    reports = workflow.run(config)
    assert reports[-1].exit_code == 2
    assert "LS205" in reports[-1].notices[0]
    assert read_manifest(run_directory(config).synthetic) is not None


@pytest.mark.parametrize(
    ("lost", "again"), [("synthetic", ["generate", "evaluate"]), ("model", ["train", "generate", "evaluate"])]
)
def test_a_run_goes_on_where_it_stopped(fake_stages, config, tmp_path, lost, again):
    workflow.run(config)
    fake_stages.ran.clear()
    shutil.rmtree(tmp_path / "out" / "synthetic")
    shutil.rmtree(tmp_path / "out" / lost, ignore_errors=True)
    reports = workflow.run(config)
    assert fake_stages.ran == again
    left_out = [report.stage for report in reports if report.notices]
    assert left_out + again == ["tokenize", "train", "generate", "evaluate"]


@pytest.mark.parametrize("change", [{"rnn_units": 16}, {"vocab_size": 0}, {"seed": 3}])
def test_a_run_of_other_settings_is_refused_by_name(fake_stages, config, tmp_path, change):
    workflow.run(config)
    shutil.rmtree(tmp_path / "out" / "synthetic")
    fake_stages.ran.clear()
    with pytest.raises(DataError, match=next(iter(change))):
        workflow.run(config.replace(**change))
    assert fake_stages.ran == []


@pytest.mark.parametrize("change", [{"gen_lines": 5}, {"buffer_size": 5}])
def test_what_shapes_no_model_may_change(fake_stages, config, tmp_path, change):
    workflow.run(config)
    shutil.rmtree(tmp_path / "out" / "synthetic")
    fake_stages.ran.clear()
    workflow.run(config.replace(**change))
    assert fake_stages.ran == ["generate", "evaluate"]


def test_other_input_does_not_slip_under_a_finished_model(fake_stages, config, tmp_path):
    workflow.run(config)
    shutil.rmtree(tmp_path / "out" / "synthetic")
    fake_stages.ran.clear()
    fake_stages.source = "two"
    with pytest.raises(DataError, match="not the training data"):
        workflow.run(config)
    assert fake_stages.ran == []


def test_overwrite_begins_anew_and_replaces(fake_stages, config, tmp_path):
    workflow.run(config)
    fake_stages.ran.clear()
    workflow.run(config.replace(overwrite=True, rnn_units=16))
    assert fake_stages.ran == ["tokenize", "train", "generate", "evaluate"]
    assert read_manifest(tmp_path / "out" / "model")["units"] == 16


def test_the_old_model_stands_while_the_new_one_fails(fake_stages, config, tmp_path, monkeypatch):
    workflow.run(config)
    monkeypatch.setattr(sys.modules["linesmith.pipelines.train.stage"], "train_locked", lambda config: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        workflow.run(config.replace(overwrite=True, rnn_units=16))
    assert read_manifest(tmp_path / "out" / "model")["units"] == 8
    assert read_manifest(tmp_path / "out" / "training_data") is not None


def test_a_second_writer_is_refused(fake_stages, config):
    with locked(run_directory(config)), pytest.raises(DataError, match="another process"):
        workflow.run(config)
    assert fake_stages.ran == []


def test_train_from_python_does_both_and_lets_a_tokenizer_trainer_decide(fake_stages, config):
    class Trainer:
        def apply(self, config):
            return config.replace(vocab_size=0)

    reports = workflow.train(config, Trainer())
    assert [report.stage for report in reports] == fake_stages.ran == ["tokenize", "train"]
    assert '"vocab_size": 0' in (Path(config.checkpoint_dir) / "model_params.json").read_text()
    with pytest.raises(DataError, match="overwrite=True"):
        workflow.train(config)


def test_privacy_that_cannot_work_is_refused_before_anything_is_written(fake_stages, config):
    for call in (workflow.run, workflow.train):
        with pytest.raises(ParameterError, match="LS301"):
            call(config.replace(dp=True, max_lines=10))
    assert not Path(config.checkpoint_dir).exists()
