"""The train stage with `dp`: from records to a model, its statement and its ledger, and what must not lie beside them."""

from __future__ import annotations

import json

import pytest

from linesmith import TensorFlowConfig
from model.errors import DataError, InterruptedRunError
from model.privacy_ledger import read_ledger
from model.trained_model import load_weights, read_model_info
from pipelines import train as train_stage
from pipelines.tokenize import tokenize
from pipelines.train import train

SETTINGS = {
    "dp": True,
    "epochs": 2,
    "batch_size": 16,
    "dp_batch_size": 10,
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
    """One story, since the data are tokenized once: interrupted, refused to other settings, resumed, complete."""
    run = tokenized / "run"
    states = []

    def stop_after_the_first_epoch(trainer):
        trainer.hooks = type(trainer.hooks)(
            on_step=states.append, on_epoch=trainer.hooks.on_epoch, stop_requested=lambda: len(states) == 6
        )
        return fit(trainer)

    from model.private_training import PrivateTrainer

    fit = PrivateTrainer.fit
    with monkeypatch.context() as patch:
        patch.setattr(PrivateTrainer, "fit", stop_after_the_first_epoch)
        with pytest.raises(InterruptedRunError, match="the model so far can generate"):
            train(_config(tokenized))
    assert read_model_info(run).stopped is None
    assert load_weights(run)
    assert json.loads((run / "model" / "privacy.json").read_text())["spent_so_far"]["steps"] == 6
    with pytest.raises(DataError, match="LS204"):
        train(_config(tokenized, rnn_units=16))

    report = train(_config(tokenized))
    assert report.counts["stopped by"] == "epochs"
    assert any("early_stopping is off" in notice for notice in report.notices)
    info = read_model_info(run)
    assert (info.stopped, info.length_cap_tokens, info.field_count, info.columns) == ("epochs", 20, None, None)
    statement = json.loads((run / "model" / "privacy.json").read_text())
    assert statement["epsilon"] == report.counts["epsilon"] <= 8
    assert statement["spent_so_far"]["steps"] == report.counts["steps"]
    assert len(read_ledger(tokenized / "ledger.json", "letters")) == 1  # resumed, not begun again

    # Nothing that depends on records otherwise lies where it could be released.
    digest = json.loads((run / "private" / "training_data" / "manifest.json").read_text())["data_digest"]
    released = [run / "model_history.csv", *(run / "model").rglob("*.*")]
    assert not any(digest.encode() in path.read_bytes() for path in released)
    assert not (run / "private" / "training").exists()
    manifest = json.loads((run / "model" / "manifest.json").read_text())
    assert "validation records" not in manifest["counts"]
    assert manifest["best"]["loss"] is manifest["best"]["val_loss"] is None


def test_an_unfinished_training_of_other_settings_makes_room_under_overwrite(tokenized, tmp_path):
    """Both its weights and its private state go: half of it left would be another run's charge."""
    config = _config(tokenized, overwrite=True, checkpoint_dir=str(tmp_path))
    space = train_stage.workspace(config)
    resume = train_stage.train_private.resume_directory(space)
    for directory in (space.model, resume):
        directory.mkdir(parents=True)
    (resume / "last.npz").write_bytes(b"torn")
    train_stage._drop_other_training(config, space, {"seed": 1})
    assert not space.model.exists() and not resume.exists()
