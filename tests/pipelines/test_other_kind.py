"""Every stage that writes keeps trainings with and without privacy apart; on invented files, without training."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest

from linesmith.cli.app import run_command_line
from linesmith.core.artifacts.files import write_bytes
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.model.privacy.ledger import RUN_LEDGER_FILE, read_ledger
from linesmith.pipelines import workflow
from linesmith.pipelines.evaluate import stage as evaluate_stage
from linesmith.pipelines.evaluate.context import refuse_other_claim
from linesmith.pipelines.evaluate.input_units import EvaluationSets, TextFormat
from linesmith.pipelines.other_kind import replace_other_kind
from linesmith.pipelines.stage_report import StageReport
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train import publish
from linesmith.pipelines.train.stage import train_model
from linesmith.records.fields import FieldFormat
from tests.helpers.run_states import STATES, files_of, write_records, write_run, write_weights


def config_of(root, *, private: bool, **settings) -> TensorFlowConfig:
    more = {"dp": True} if private else {"vocab_size": 0}
    return TensorFlowConfig(input_data_path=str(root / "in.txt"), checkpoint_dir=str(root / "run"), **more, **settings)


@pytest.mark.parametrize("begin", [tokenize, train_model, workflow.train])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("private", [False, True], ids=["plain", "private"])
def test_a_stage_refuses_the_other_kind_and_changes_nothing(tmp_path, begin, state, private):
    write_run(tmp_path / "run", private=private, state=state)
    before = files_of(tmp_path)
    with pytest.raises(DataError, match=r"LS204|LS215"):
        begin(config_of(tmp_path, private=not private))
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("command", ["tokenize", "train", "run", "plan"])
def test_the_command_line_refuses_it_before_anything_is_loaded(tmp_path, capsys, command):
    write_run(tmp_path / "run", private=False, state="interrupted")
    (tmp_path / "in.txt").write_text("a\n")
    words = [command, "--output", str(tmp_path / "run"), "--input", str(tmp_path / "in.txt"), "--dp"]
    assert run_command_line(words) == 2
    assert "LS215: --output" in capsys.readouterr().err


@pytest.mark.parametrize("state", STATES)
def test_a_plain_training_that_is_replaced_is_entered_in_the_ledger_as_unbounded(tmp_path, state):
    write_run(tmp_path / "run", private=False, state=state)
    report = StageReport("tokenize")
    replace_other_kind(config_of(tmp_path, private=True, overwrite=True), report)
    entries = read_ledger(tmp_path / "run" / "private" / RUN_LEDGER_FILE, RUN_LEDGER_FILE)
    assert [entry.epsilon for entry in entries] == ([] if state == "tokenized" else [math.inf])
    assert len(report.notices) == 1 and ("replaced-1" in report.notices[0]) == (state != "tokenized")
    replace_other_kind(config_of(tmp_path, private=True), report)  # nothing is left to refuse
    assert len(report.notices) == 1


def test_a_crash_while_a_model_is_replaced_does_not_enter_it_twice(tmp_path, monkeypatch):
    write_run(tmp_path / "run", private=False)
    config = config_of(tmp_path, private=True, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr("linesmith.core.artifacts.other_kind.make_owner_only", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            replace_other_kind(config, StageReport("tokenize"))
    replace_other_kind(config, StageReport("tokenize"))
    assert len(read_ledger(tmp_path / "run" / "private" / RUN_LEDGER_FILE, RUN_LEDGER_FILE)) == 1
    assert files_of(tmp_path / "run", outside="private") == set()


def test_a_private_model_that_is_replaced_stays_in_its_ledger(tmp_path):
    write_run(tmp_path / "run", private=True)
    write_bytes(tmp_path / "run" / "private" / RUN_LEDGER_FILE, b"{}")
    replace_other_kind(config_of(tmp_path, private=False, overwrite=True), StageReport("tokenize"))
    left = files_of(tmp_path / "run" / "private")
    assert {name.split("/")[0] for name in left} == {RUN_LEDGER_FILE, "replaced-1"}


def test_the_manifest_of_a_private_model_names_no_place_and_needs_a_model_of_permitted_files(tmp_path):
    run = write_run(tmp_path / "run", private=True, state="interrupted")
    state = SimpleNamespace(stopped="epochs", best_epoch=None, history=[])
    settings = {
        "dataset_name": "orders",
        "privacy_ledger": str(tmp_path / "spent"),
        "line_validator": f"{tmp_path}/v.py:f",
    }
    config = config_of(tmp_path, private=True, dp_unsafe_fixed_key="ab12", **settings)

    def write() -> None:
        data = {"tokenizer_digest": "t", "data_digest": "of the records"}
        body = publish._manifest(config, run.model, SimpleNamespace(state=state), data, StageReport("train"))
        publish._write_manifest(config, run.model, body)

    write_bytes(run.model / "checkpoints" / "last.npz", b"raw")
    with pytest.raises(DataError, match=r"LS214.*last\.npz"):
        write()
    assert read_manifest(run.model) is None
    (run.model / "checkpoints" / "last.npz").unlink()
    write()
    text = json.dumps(read_manifest(run.model))
    assert read_manifest(run.model)["settings"]["dp"] is True
    assert not any(word in text for word in (str(tmp_path), "orders", "ab12", "of the records"))


@pytest.mark.parametrize(("private", "where"), [(True, "private/report"), (False, "report")])
def test_the_report_of_any_files_beside_a_private_run_is_not_published(tmp_path, monkeypatch, private, where):
    write_run(tmp_path / "run", private=private, state="begun")
    written = []
    monkeypatch.setattr(evaluate_stage, "find_evaluation_sets", lambda *_: EvaluationSets())
    monkeypatch.setattr(evaluate_stage, "_evaluate", lambda _, destination, *more: written.append(destination))
    evaluate_stage.evaluate_files({}, str(tmp_path / "run"), TextFormat(FieldFormat(",")))
    assert written == [tmp_path / "run" / where]


def test_a_report_shows_no_statement_beside_records_of_another_model(tmp_path):
    run = write_run(tmp_path, private=True)
    refuse_other_claim(run)
    write_weights(run, private=True, value=2.0)
    with pytest.raises(DataError, match=r"LS215.*are not of the model beside them"):
        refuse_other_claim(run)
    write_records(run, True)
    refuse_other_claim(run)
    refuse_other_claim(write_run(tmp_path / "plain", private=False))
