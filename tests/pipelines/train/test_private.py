"""The train stage with `dp`: the model, its privacy statement and its ledger, and what must not be in releasable files."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import deque
from dataclasses import replace

import pytest

from linesmith import TensorFlowConfig
from linesmith.core.artifacts.model_info import load_weights, read_model_info, write_model_info
from linesmith.core.artifacts.run_directory import workspace
from linesmith.core.errors import DataError, InterruptedRunError
from linesmith.model.privacy.initial_bias import UNLIKELY_LOGIT
from linesmith.model.privacy.ledger import read_ledger
from linesmith.model.sampling import usual_fields
from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train import hooks, local
from linesmith.pipelines.train import private as train_private
from linesmith.pipelines.train.stage import train_model

pytestmark = pytest.mark.integration

SETTINGS = {
    "dp": True,
    "epochs": 2,
    "batch_size": 16,
    "dp_batch_size": 12,
    "seq_length": 20,
    "embedding_dim": 8,
    "rnn_units": 8,
    "rnn_layers": 1,
    "tensorboard": False,
    "dp_delta": 1e-3,
    "dataset_name": "letters",
}


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory):
    directory = tmp_path_factory.mktemp("private")
    (directory / "in.txt").write_text("".join(f"{i % 7},{'ab' * (i % 5)},{i}\n" for i in range(60)))
    tokenize(_config(directory))
    return directory


def _config(directory, **changes) -> TensorFlowConfig:
    places = {
        "input_data_path": str(directory / "in.txt"),
        "checkpoint_dir": str(directory / "run"),
        "privacy_ledger": str(directory / "ledger.json"),
    }
    return TensorFlowConfig(**{**places, **SETTINGS, **changes})


def test_a_private_run_from_interruption_to_statement(tokenized, monkeypatch):
    """Interrupted, refused with other settings, resumed, completed; one test, since all steps share a run directory."""
    run = tokenized / "run"
    states = []

    def stop_after_the_first_epoch(trainer):
        begins = trainer.model.logits.bias.numpy()
        assert (begins[2 + ord("a")], begins[2 + 0xC3]) == (0, UNLIKELY_LOGIT)  # what is known of any text
        trainer.hooks = type(trainer.hooks)(
            on_step=states.append, on_epoch=trainer.hooks.on_epoch, stop_requested=lambda: len(states) == 5
        )
        return fit(trainer)

    from linesmith.model.privacy.trainer import PrivateTrainer

    fit = PrivateTrainer.fit
    with monkeypatch.context() as patch:
        patch.setattr(hooks, "_interruptible", lambda: contextlib.nullcontext(lambda: True))
        with pytest.raises(InterruptedRunError, match="no model to generate with yet"):
            train_model(_config(tokenized))
    assert json.loads((run / "model" / "privacy.json").read_text())["spent_so_far"]["steps"] == 1
    counted_first = json.loads((run / "private" / "training_counts.json").read_text())
    with monkeypatch.context() as patch:
        patch.setattr(PrivateTrainer, "fit", stop_after_the_first_epoch)
        with pytest.raises(InterruptedRunError, match="the model so far can generate"):
            train_model(_config(tokenized))
    assert read_model_info(run).stopped is None
    assert load_weights(run)
    assert json.loads((run / "model" / "privacy.json").read_text())["spent_so_far"]["steps"] == 6
    with pytest.raises(DataError, match="LS215"):
        train_model(_config(tokenized, rnn_units=16))

    report = train_model(_config(tokenized))
    assert report.counts["stopped by"] == "epochs"
    assert any("early_stopping is off" in notice for notice in report.notices)
    assert any("likeliest 98%" in notice and "--gen-top-p 1" in notice for notice in report.notices)
    info = read_model_info(run)
    assert (info.stopped, info.length_cap_tokens, info.field_count, info.columns) == ("epochs", 20, None, None)
    assert info.top_p == 0.98
    statement = json.loads((run / "model" / "privacy.json").read_text())
    assert statement["epsilon"] == report.counts["epsilon"] <= 8
    assert statement["spent_so_far"]["steps"] == report.counts["steps"]
    assert len(read_ledger(tokenized / "ledger.json", "letters")) == 1  # resumed, not begun again

    # Nothing that depends on records otherwise lies where it could be released.
    digest = json.loads((run / "private" / "training_data" / "manifest.json").read_text())["data_digest"]
    released = [run / "model_history.csv", *(run / "model").rglob("*.*")]
    assert not any(digest.encode() in path.read_bytes() for path in released)
    assert not (run / "private" / "training").exists()
    counted = json.loads((run / "private" / "training_counts.json").read_text())
    assert counted["records"] == report.counts["records"]
    assert counted.keys() == counted_first.keys() == {"records", "cut_at_seq_length", "gradients_left_out"}
    assert not any("longer" in name or "cut" in name for name in report.counts)
    manifest = json.loads((run / "model" / "manifest.json").read_text())
    assert "validation records" not in manifest["counts"]
    assert manifest["best"]["loss"] is manifest["best"]["val_loss"] is None


def test_an_epoch_callback_gets_a_notice():
    config = TensorFlowConfig(dp=True, epoch_callback=print)
    assert any("voids the privacy claim" in text for text in train_private._private_training_notices(config))
    assert train_private._private_training_notices(TensorFlowConfig(dp=True, dp_validation="noised")) == []


def test_overwrite_deletes_an_unfinished_private_training_of_other_settings(tokenized, tmp_path):
    """Weights and private state are deleted together: either one alone would charge a wrong number of steps."""
    config = _config(tokenized, overwrite=True, checkpoint_dir=str(tmp_path))
    staged_run = workspace(config)
    resume = train_private.resume_directory(staged_run)
    for directory in (staged_run.model, resume):
        directory.mkdir(parents=True)
    (resume / "last.npz").write_bytes(b"torn")
    local._drop_other_training(staged_run, config.dp, {"seed": 1})
    assert not staged_run.model.exists() and not resume.exists()


@pytest.mark.slow
def test_overwrite_keeps_the_ledger_of_earlier_trainings(tokenized, tmp_path, monkeypatch):
    """Interrupted, begun anew with other settings, complete, overwritten: each training counts, a resumed one once."""
    run = tmp_path / "run"
    shutil.copytree(tokenized / "run" / "private" / "training_data", run / "private" / "training_data")
    shutil.copytree(tokenized / "run" / "tokenizer", run / "tokenizer")

    def told(**changes):
        config = _config(tokenized, checkpoint_dir=str(run), privacy_ledger=None, **changes)
        notices = []
        with contextlib.suppress(InterruptedRunError):
            notices = [notice for notice in train_model(config).notices if notice.startswith("PRIVACY")]
        facts = json.loads((run / "model" / "privacy.json").read_text())
        words = (run / "model" / "privacy.txt").read_text()
        assert ("BEFORE THIS ONE" in words) == (facts["earlier_trainings"]["count"] > 0)
        return facts, notices

    for _ in range(2):  # begun, and resumed
        with monkeypatch.context() as patch:
            patch.setattr(hooks, "_interruptible", lambda: contextlib.nullcontext(lambda: True))
            facts, notices = told()
        assert (facts["earlier_trainings"]["count"], notices) == (0, [])
    facts, notices = told(overwrite=True, rnn_units=6)
    assert facts["earlier_trainings"]["count"] == len(notices) == 1
    assert facts["earlier_trainings"]["epsilon_with_this"] > facts["epsilon"]
    assert "epsilon" in notices[0] and "1 trainings" in notices[0]
    # Complete, and overwritten with the same settings: a training of its own. Its data lie beside the old model.
    shutil.copytree(run / "private" / "training_data", run / ".next" / "private" / "training_data")
    shutil.copytree(run / "tokenizer", run / ".next" / "tokenizer")
    facts, notices = told(overwrite=True, rnn_units=6)
    assert facts["earlier_trainings"]["count"] == 2
    assert len(read_ledger(run / "private" / "spent.json", "spent.json")) == 3


@pytest.mark.slow
def test_records_longer_than_a_row_are_spoken_of_before_and_after(tmp_path, caplog):
    """Where most records are cut the model learns no end, so whoever runs it is told before anything is charged."""
    (tmp_path / "in.txt").write_text("".join(f"{'ab' * 9}{i}\n" for i in range(60)))
    config = _config(tmp_path, seq_length=4, epochs=1, gen_lines=5, max_attempts=2)
    tokenize(config)
    report = train_model(config)
    assert "LS308: seq_length 4: shorter than most records" in caplog.text
    assert not any("LS308" in notice for notice in report.notices)  # it depends on the records
    report = generate(config)
    assert report.counts["missing"] == 5
    assert any("(4 tokens): where yours are longer, raise it" in notice for notice in report.notices)


def test_columns_given_to_tokenize_reach_a_private_model(tmp_path):
    """The number of fields is known from the settings of tokenize alone."""
    (tmp_path / "in.txt").write_text("".join(f"{i % 7},{'ab' * (i % 5)},{i}\n" for i in range(60)))
    tokenize(_config(tmp_path, field_delimiter=",", columns=["one", "two", "three"]))
    train_model(_config(tmp_path, epochs=1))
    info = read_model_info(tmp_path / "run")
    assert (info.field_count, info.columns) == (3, ["one", "two", "three"])


def test_what_is_usual_comes_from_the_model_alone(tmp_path, monkeypatch):
    """The patterns of a private model are a function of its weights and the seed, in the order in which it writes fields."""
    monkeypatch.setattr(usual_fields, "usual_pattern", lambda texts: f"{len(texts)} of {min(map(len, texts))}")
    (tmp_path / "in.txt").write_text("".join(f"{i % 7},{'ab' * (i % 5)},{i}\n" for i in range(60)))
    monkeypatch.setattr(usual_fields, "_RECORDS", 100)
    settings = {
        "field_delimiter": ",",
        "columns": ["one", "two", "three"],
        "condition_on": ["three"],
        "seq_length": 2000,
    }
    tokenize(_config(tmp_path, **settings))
    report = train_model(_config(tmp_path, epochs=1, **settings))
    assert any("in 3 of 3 fields, generation leaves out texts" in notice for notice in report.notices)
    run = tmp_path / "run"
    found = read_model_info(run).field_patterns
    assert found is not None and len(found) == 3
    for path in run.iterdir():
        if path.name not in ("model", "tokenizer"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    info = read_model_info(run)
    write_model_info(run / "model", replace(info, field_patterns=None))
    assert usual_fields.usual_field_patterns(run, TensorFlowConfig().seed) == found
    write_model_info(run / "model", replace(info, field_patterns=[None, None, "b"]))  # its last field: column two
    drawn = Sampler(run).stream(deque(SampleRequest(index, 0) for index in range(20)), DrawSettings())
    whole = [sample.text.split(",") for sample in drawn if sample.finish_reason == "newline" and sample.error is None]
    assert whole and {fields[1] for fields in whole} == {"b"}


def test_a_private_model_of_records_without_columns_knows_no_number_of_fields(tmp_path):
    (tmp_path / "in.txt").write_text("".join(f"{i % 7},{'ab' * (i % 5)},{i}\n" for i in range(60)))
    tokenize(_config(tmp_path, field_delimiter=","))
    train_model(_config(tmp_path, epochs=1))
    info = read_model_info(tmp_path / "run")
    assert (info.field_count, info.columns) == (None, None)
