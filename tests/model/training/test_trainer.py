"""The training loop: why it stops, what it keeps, and that a resumed run ends like an uninterrupted one."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from linesmith.core.artifacts.checkpoints import LAST, digest_arrays, load_arrays, save_arrays
from linesmith.core.artifacts.history import EpochState, write_history
from linesmith.core.artifacts.model_info import BEST_WEIGHTS
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, TooFewRecordsError
from linesmith.model.training.early_stopping import epochs_since_improvement, is_better
from linesmith.model.training.loop import TrainingHooks
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.trainer import Trainer, build_model
from tests.helpers.token_stores import random_records, store_of

pytestmark = pytest.mark.integration

VOCAB = 9
SMALL = {"embedding_dim": 8, "rnn_units": 16, "batch_size": 8, "seq_length": 20, "epochs": 3, "early_stopping": False}


class Clock:
    """Clock that moves on only by `tick` for each reading."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def _trainer(directory, hooks=None, clock=None, records=60, identity=None, **changes) -> Trainer:
    config = TensorFlowConfig(**{**SMALL, **changes})
    data = random_records(records, VOCAB, 15)
    cut = records * 3 // 4
    validation = store_of(data[cut:]) if config.validation_split else store_of([])
    return Trainer(
        TrainingSettings.from_config(config),
        build_model(NetworkSettings.from_config(config), VOCAB),
        store_of(data[:cut]),
        validation,
        directory=directory / "checkpoints",
        history_path=directory / "model_history.csv",
        identity=identity if identity is not None else {"seed": config.seed},
        hooks=hooks,
        clock=clock if clock is not None else Clock(),
    )


def _history(directory) -> list[dict[str, str]]:
    with open(directory / "model_history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_learns_and_writes_history(tmp_path):
    seen: list[EpochState] = []
    trainer = _trainer(
        tmp_path, TrainingHooks(on_epoch=lambda state, best: seen.append(state)), epochs=6, learning_rate=0.03
    )
    state = trainer.fit()
    assert state.stopped == "epochs"
    assert [entry.epoch for entry in seen] == list(range(6))
    assert seen[-1].val_loss < seen[0].val_loss < math.log(VOCAB) + 0.1
    rows = _history(tmp_path)
    assert [row["epoch"] for row in rows] == [str(i) for i in range(6)]
    assert [row["best"] for row in rows].count("1") == 1
    assert float(rows[-1]["val_loss"]) == seen[-1].val_loss  # unrounded
    assert rows[0]["epsilon"] == rows[0]["delta"] == ""
    assert int(next(row["epoch"] for row in rows if row["best"] == "1")) == state.best_epoch
    assert load_arrays(tmp_path / "checkpoints" / BEST_WEIGHTS)[1]["epoch"] == state.best_epoch


def test_the_same_seed_gives_the_same_weights(tmp_path):
    digests = [digest_arrays(_fitted(tmp_path / str(i), seed=seed).weights()) for i, seed in enumerate((7, 7, 8))]
    assert digests[0] == digests[1] != digests[2]


def _fitted(directory, **changes) -> Trainer:
    trainer = _trainer(directory, **changes)
    trainer.fit()
    return trainer


@pytest.mark.parametrize("stop_after", [1, 4, 7, 11])
def test_a_resumed_run_ends_like_an_uninterrupted_one(tmp_path, stop_after):
    uninterrupted = _fitted(tmp_path / "uninterrupted")
    steps = []
    hooks = TrainingHooks(on_step=steps.append, stop_requested=lambda: len(steps) == stop_after)
    first = _trainer(tmp_path / "broken", hooks)
    assert first.fit().stopped is None
    second = _trainer(tmp_path / "broken")
    assert second.fit().stopped == "epochs"
    assert second.state.total_steps == uninterrupted.state.total_steps
    assert digest_arrays(second.weights()) == digest_arrays(uninterrupted.weights())
    assert _history(tmp_path / "broken") == _history(tmp_path / "uninterrupted")


def test_a_resume_with_other_settings_is_refused_by_name(tmp_path):
    steps = []
    _trainer(
        tmp_path, TrainingHooks(on_step=steps.append, stop_requested=lambda: True), identity={"rnn_units": 16}
    ).fit()
    with pytest.raises(DataError, match="rnn_units 16, this run 32"):
        _trainer(tmp_path, identity={"rnn_units": 32}).fit()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["torn", "empty", "flipped"])
def test_a_torn_checkpoint_is_skipped_with_a_message_for_the_one_before(tmp_path, caplog, damage):
    uninterrupted = _fitted(tmp_path / "uninterrupted")
    steps = []
    hooks = TrainingHooks(on_step=steps.append, stop_requested=lambda: len(steps) == 8)  # after two saves
    _trainer(tmp_path / "broken", hooks).fit()
    path = tmp_path / "broken" / "checkpoints" / LAST
    content = path.read_bytes()
    torn = {"torn": content[: len(content) // 2], "empty": b"", "flipped": content[:900] + b"?" + content[901:]}
    path.write_bytes(torn[damage])
    second = _trainer(tmp_path / "broken")
    assert second.fit().stopped == "epochs"
    assert "last.npz' is cut off or damaged and is skipped" in caplog.text
    assert digest_arrays(second.weights()) == digest_arrays(uninterrupted.weights())
    assert _history(tmp_path / "broken") == _history(tmp_path / "uninterrupted")


@pytest.mark.slow
def test_without_a_whole_checkpoint_training_begins_anew_and_says_so(tmp_path, caplog):
    _trainer(tmp_path, TrainingHooks(stop_requested=lambda: True)).fit()
    (tmp_path / "checkpoints" / LAST).write_bytes(b"PK")
    trainer = _trainer(tmp_path)
    trainer.fit()
    assert "is cut off or damaged" in caplog.text
    assert digest_arrays(trainer.weights()) == digest_arrays(_fitted(tmp_path / "uninterrupted").weights())


@pytest.mark.slow
def test_the_time_limit_is_checked_each_step_then_validates(tmp_path):
    # The clock moves on by a second at each reading, about three readings a step.
    state = _trainer(tmp_path, clock=Clock(1.0), records=200, max_training_time_seconds=12, epochs=50).fit()
    assert state.stopped == "time"
    assert len(state.history) == 1
    assert 0 < state.history[0].batch < 6
    assert state.history[0].val_loss is not None


@pytest.mark.slow
def test_no_history_row_for_an_epoch_that_time_did_not_let_begin(tmp_path):
    # Time runs out during the validation that ends epoch 0.
    clock = Clock()
    hooks = TrainingHooks(on_epoch=lambda state, best: setattr(clock, "now", 100.0))
    state = _trainer(tmp_path, hooks, clock, max_training_time_seconds=50).fit()
    assert state.stopped == "time"
    assert [entry.batch > 0 for entry in state.history] == [True]


def test_zero_seconds_and_zero_epochs_are_limits(tmp_path):
    timed = _trainer(tmp_path / "time", max_training_time_seconds=0).fit()
    assert timed.stopped == "time"
    assert timed.total_steps == 0
    assert timed.history[0].loss is None
    untouched = _trainer(tmp_path / "epochs", epochs=0)
    before = digest_arrays(untouched.weights())
    assert untouched.fit().stopped == "epochs"
    assert untouched.state.history == []
    assert digest_arrays(untouched.weights()) == before


def test_without_a_validation_split_the_training_loss_decides(tmp_path):
    trainer = _fitted(tmp_path, validation_split=False)
    assert trainer.metric == "loss"
    assert all(entry.val_loss is None and entry.val_accuracy is None for entry in trainer.state.history)


def test_patience_counts_epochs_without_improvement(tmp_path):
    # With this learning rate, nothing improves by the least change that counts.
    state = _trainer(
        tmp_path, learning_rate=1e-9, early_stopping=True, early_stopping_patience=2, epochs=20, dropout_rate=0.0
    ).fit()
    assert state.stopped == "patience"
    assert len(state.history) == 3


@pytest.mark.parametrize(("schedule", "factor"), [("auto", 0.25), ("linear", 1.0)])
def test_each_epoch_that_brings_nothing_halves_the_rate(tmp_path, schedule, factor):
    trainer = _trainer(tmp_path, learning_rate_schedule=schedule, epochs=10)
    losses = [2.0, 2.1, 1.5, 1.4999]  # the last improves by less than what counts
    trainer.state.history = [EpochState(epoch=i, loss=1.0, val_loss=loss) for i, loss in enumerate(losses)]
    assert trainer.learning_rate_factor() == factor
    assert trainer._learning_rate(steps=5) == pytest.approx(trainer.settings.learning_rate * factor)


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_ends_training_and_keeps_the_best(tmp_path):
    trainer = _trainer(tmp_path, epochs=4)
    poisoned = TrainingHooks(on_epoch=lambda state, best: trainer.model.logits.bias.assign([np.nan] * VOCAB))
    trainer.hooks = poisoned
    state = trainer.fit()
    assert state.stopped == "diverged"
    assert state.best_epoch == 0
    assert all(np.isfinite(array).all() for array in load_arrays(tmp_path / "checkpoints" / BEST_WEIGHTS)[0].values())


@pytest.mark.slow
def test_every_checkpoint_is_kept_when_asked(tmp_path):
    _trainer(tmp_path, save_all_checkpoints=True).fit()
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("epoch-*")) == [
        f"epoch-{i:04d}.npz" for i in range(3)
    ]


def test_no_training_record_is_too_few(tmp_path):
    with pytest.raises(TooFewRecordsError, match="too few records"):
        _trainer(tmp_path, records=1)


@pytest.mark.parametrize("records", [2, 3, 10])
def test_a_handful_of_records_trains(tmp_path, records):
    assert _trainer(tmp_path, records=records, epochs=1).fit().stopped == "epochs"


def test_best_is_chosen_on_unrounded_values():
    best = EpochState(0, val_loss=1.00000001, val_accuracy=0.5)
    assert is_better(replace(best, epoch=1, val_loss=1.0), best, "val_loss")
    assert not is_better(replace(best, epoch=1, val_loss=1.00000001), best, "val_loss")
    assert is_better(replace(best, epoch=1, val_accuracy=0.500000001), best, "val_accuracy")
    assert not is_better(replace(best, epoch=1, val_loss=math.nan), best, "val_loss")


@pytest.mark.parametrize(
    ("values", "metric", "expected"),
    [
        ([], "loss", 0),
        ([3.0], "loss", 0),
        ([3.0, 2.0, 1.0], "loss", 0),
        ([3.0, 2.0, 2.5, 1.9995], "loss", 2),
        ([0.1, 0.3, 0.2], "accuracy", 1),
    ],
)
def test_epochs_since_improvement(values, metric, expected):
    assert epochs_since_improvement(values, metric, 0.001) == expected


def test_history_has_one_best_row_and_blanks_for_the_unmeasured(tmp_path):
    write_history(tmp_path / "h.csv", [EpochState(0, loss=0.1), EpochState(1, loss=0.30000000000000004)], 0)
    assert (tmp_path / "h.csv").read_text() == (
        "epoch,loss,accuracy,val_loss,val_accuracy,epsilon,delta,best\n0,0.1,,,,,,1\n1,0.30000000000000004,,,,,,0\n"
    )


def test_arrays_survive_and_their_file_is_a_function_of_them(tmp_path):
    arrays = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "c": np.array(3)}
    for name in ("one", "two"):
        save_arrays(tmp_path / name, arrays, {"epoch": 0})
    loaded, state = load_arrays(tmp_path / "one")
    assert state == {"epoch": 0}
    assert digest_arrays(loaded) == digest_arrays(arrays)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with pytest.raises(DataError, match="is missing"):
        load_arrays(tmp_path / "three")
