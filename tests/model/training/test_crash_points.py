"""A crash at each write of a training: started resumed, it ends with the files of an uninterrupted one.

The loop is the real one. A step of it is arithmetic that depends on everything before it, so that a lost, repeated or
reordered step shows. A crash is an exception that nothing in the code may catch, raised before or after a rename.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from linesmith.core.artifacts.history import EpochState
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.training.loop import TrainingHooks, TrainingLoop, TrainingProgress
from linesmith.model.training.settings import TrainingSettings
from tests.helpers.token_stores import store_of

pytestmark = pytest.mark.integration

EPOCHS, STEPS = 4, 3


class Killed(BaseException):
    """Stands for the death of the process."""


class Arithmetic(TrainingLoop):
    """Loop whose steps multiply and add; its loss goes up and down, so the best epoch is neither the first nor the last."""

    def __init__(self, root: Path) -> None:
        weights = keras.Variable(np.array([1.0, 2.0], np.float32), name="weights")
        super().__init__(
            TrainingSettings.from_config(
                TensorFlowConfig(epochs=EPOCHS, save_all_checkpoints=True, learning_rate_schedule="constant")
            ),
            SimpleNamespace(variables=[weights], trainable_variables=[weights]),
            store_of([[1]]),
            keras.optimizers.SGD(0.5, name="sgd"),  # Keras numbers the optimizers of a process
            metric="loss",
            directory=root / "checkpoints",
            history_path=root / "model_history.csv",
            identity={"seed": 1},
            hooks=TrainingHooks(),
            clock=lambda: 0.0,
        )
        self.epochs_seen: list[int] = []
        self.hooks = TrainingHooks(on_epoch=lambda entry, _best: self.epochs_seen.append(entry.epoch))

    def begin_epoch(self) -> int:
        return STEPS

    def run_step(self, index: int) -> None:
        weights = self.model.trainable_variables[0]
        self.optimizer.apply([weights.value * np.float32(0.1) + np.float32(index + self.state.epoch)], [weights])
        self.state.sums[0] += float(weights.numpy().sum())

    def measure_epoch(self) -> EpochState:
        return EpochState(self.state.epoch, loss=[3.0, 1.0, 2.0, 4.0][self.state.epoch] + self.state.sums[0] * 1e-6)

    def is_best(self, entry: EpochState) -> bool:
        history = self.state.history
        return self.state.best_epoch is None or entry.loss < history[self.state.best_epoch].loss

    def stop_reason_after_epoch(self) -> str | None:
        return "epochs" if self.state.epoch >= EPOCHS else None

    def progress(self, steps: int) -> TrainingProgress:
        return TrainingProgress(self.state.epoch, self.state.step, steps, None, None, 0.0)


def _files(root: Path) -> dict[str, bytes]:
    """Return the content of all files but the older checkpoint, which depends on the number of saves."""
    names = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    names.pop("checkpoints/previous.npz", None)
    return names


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    root = tmp_path_factory.mktemp("uninterrupted")
    Arithmetic(root).fit()
    return _files(root)


def _crash_at(patch: pytest.MonkeyPatch, number: int, after: bool) -> None:
    """Crash at the `number`-th rename, before or after it is done."""
    seen = []
    rename = os.replace

    def replace(source, target):
        seen.append(target)
        if len(seen) == number and not after:
            raise Killed
        rename(source, target)
        if len(seen) == number:
            raise Killed

    patch.setattr(os, "replace", replace)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_write_changes_nothing(tmp_path, uninterrupted, after):
    number = 0
    while True:
        number += 1
        root = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patch:
            _crash_at(patch, number, after)
            try:
                Arithmetic(root).fit()
            except Killed:
                pass
            else:
                break
        resumed = Arithmetic(root)
        resumed.fit()
        assert _files(root) == uninterrupted, f"crashed {'after' if after else 'before'} rename {number}"
    assert number > EPOCHS * 4  # it crashed in each kind of write: checkpoint, older checkpoint, best, epoch, history


def test_two_crashes_in_a_row_and_leftovers_of_a_killed_writer(tmp_path, uninterrupted):
    for number in (9, 4):
        with pytest.MonkeyPatch.context() as patch:
            _crash_at(patch, number, after=False)
            with pytest.raises(Killed):
                Arithmetic(tmp_path).fit()
    for leftover in ("checkpoints/.best.npz.77.tmp", ".model_history.csv.77.tmp"):
        (tmp_path / leftover).write_bytes(b"half")
    Arithmetic(tmp_path).fit()
    assert _files(tmp_path) == uninterrupted


def test_a_resume_writes_history_and_best_weights_that_a_crash_prevented(tmp_path):
    """The checkpoint is there and its history row is not: it is written before training goes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Arithmetic, "_write_results", lambda self: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            loop = Arithmetic(tmp_path)
            loop._resume = lambda: None
            loop.fit()
    assert not (tmp_path / "model_history.csv").exists()
    resumed = Arithmetic(tmp_path)
    resumed._resume()
    assert (resumed.state.epoch, resumed.state.best_epoch) == (1, 0)
    assert len((tmp_path / "model_history.csv").read_text().splitlines()) == 2
    assert (tmp_path / "checkpoints" / "best.npz").is_file()
