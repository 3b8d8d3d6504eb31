"""The loop that every training shares: epochs of steps, a clock, when to save. What is saved is `state`'s."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linesmith.core.artifacts.checkpoints import LAST
from linesmith.core.artifacts.history import EpochState
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import TooFewRecordsError
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.state import BEST, TrainingFiles, TrainingState, epoch_file_name
from linesmith.model.training.token_store import TokenStore

CHECKPOINT_SECONDS = 300.0  # within a long epoch, so that a killed run loses minutes, not hours

__all__ = ["BEST", "LAST", "Progress", "TrainingHooks", "TrainingLoop", "TrainingState", "epoch_file_name"]


@dataclass(frozen=True)
class Progress:
    """What a progress display is told after each step. Loss and accuracy are None in private training."""

    epoch: int
    step: int
    steps: int
    loss: float | None
    accuracy: float | None
    elapsed: float


@dataclass(frozen=True)
class TrainingHooks:
    """Calls from the loop to whoever runs it; all optional. Files are written inside `writing`, which may forbid it."""

    on_step: Callable[[Progress], None] = lambda _: None
    on_epoch: Callable[[EpochState, bool], None] = lambda _state, _is_best: None
    stop_requested: Callable[[], bool] = lambda: False
    writing: Callable[[], AbstractContextManager[Any]] = nullcontext


class TrainingLoop(ABC):
    """Runs epochs of steps; what a step is, what is measured and when to stop is a subclass's.

    Args:
        config: settings of the run.
        model: the network.
        train: training records.
        optimizer: a Keras optimizer, built here.
        metric: what picks the best epoch; None: the latest is the best.
        directory: where weights go.
        resume_directory: where the state of an unfinished training goes; None: `directory`.
        history_path: where the history table goes.
        identity: what a resumed run must have in common: settings and data digests, by name.
        hooks: progress, epochs, stopping.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        config: TensorFlowConfig,
        model: LanguageModel,
        train: TokenStore,
        optimizer: Any,
        *,
        metric: str | None,
        directory: Path,
        resume_directory: Path | None = None,
        history_path: Path,
        identity: dict[str, Any],
        hooks: TrainingHooks | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if len(train) == 0:
            raise TooFewRecordsError(
                "LS207: too few records: none fell on the training side of the split. Give more records, or set "
                "--no-validation-split and --holdout-fraction 0."
            )
        self.config, self.model, self.train, self.optimizer, self.metric = config, model, train, optimizer, metric
        resume = directory if resume_directory is None else resume_directory
        self.files = TrainingFiles(directory, resume, history_path, identity)
        self.hooks = hooks if hooks is not None else TrainingHooks()
        self.clock = clock
        self.validation: TokenStore | None = None
        self.state = TrainingState()
        self._best: dict[str, np.ndarray] = {}
        self.optimizer.build(model.trainable_variables)
        self._started_at = self.clock()
        self._earlier = 0.0

    # -- what a subclass does

    @abstractmethod
    def begin_epoch(self) -> int:
        """Prepare the current epoch; how many steps it has."""

    @abstractmethod
    def run_step(self, index: int) -> None:
        """Run one step of the current epoch."""

    @abstractmethod
    def measure(self) -> EpochState:
        """What is known of the epoch that has just ended."""

    @abstractmethod
    def is_best(self, entry: EpochState) -> bool:
        """Whether an epoch is better than those before it."""

    @abstractmethod
    def stop_reason_after_epoch(self) -> str | None:
        """Why training ends with the epoch that has just ended; None where it goes on."""

    @abstractmethod
    def progress(self, steps: int) -> Progress:
        """What a display is told; `steps` is those of the epoch."""

    def stop_reason_before_step(self) -> str | None:
        """Why the next step must not be run; None where it may."""
        return "time" if self._out_of_time() else None

    def diverged(self) -> bool:
        """Whether the step that has just been run broke training."""
        return False

    def fraction_done(self, steps: int) -> float:
        """How much of training is done, 0 to 1; `steps` is those of the epoch."""
        return (self.state.epoch + self.state.step / steps) / self.config.epochs

    def learning_rate_factor(self) -> float:
        """What the schedule's learning rate is multiplied by, 0 to 1, for what the epochs so far have shown."""
        return 1.0

    def variables(self) -> list[Any]:
        """Everything a checkpoint holds."""
        return [*self.model.variables, *self.optimizer.variables]

    # -- the loop

    def fit(self) -> TrainingState:
        """Train until done, stopped or interrupted (then `stopped` is None). Resumes from a checkpoint that is there."""
        self._resume()
        self._started_at, self._earlier = self.clock(), self.state.elapsed
        if self.state.stopped is None and self.state.epoch >= self.config.epochs:
            self.state.stopped = "epochs"
        while self.state.stopped is None:
            finished = self._run_epoch()
            if not finished:
                self._save()
                return self.state
            if self.state.step > 0 or not self.state.history:  # no row for an epoch that time did not let begin
                self._close_epoch()
        self._save()
        return self.state

    def _run_epoch(self) -> bool:
        """Run the rest of the current epoch; False when an interruption was asked for."""
        state = self.state
        steps = self.begin_epoch()
        saved = self.clock()
        for index in range(state.step, steps):
            state.stopped = self.stop_reason_before_step()
            if state.stopped is not None:
                return True
            self.optimizer.learning_rate = self._learning_rate(steps)
            self.run_step(index)
            state.step = index + 1
            state.total_steps += 1
            state.elapsed = self._elapsed()
            if self.diverged():
                state.stopped = "diverged"
                return True
            self.hooks.on_step(self.progress(steps))
            if self.hooks.stop_requested():
                return False
            if self.clock() - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = self.clock()
        return True

    def _close_epoch(self) -> None:
        """Measure, remember the best, write checkpoints and history, decide whether to go on."""
        state = self.state
        entry = self.measure()
        is_best = self.is_best(entry)
        state.history.append(entry)
        if is_best:
            state.best_epoch, self._best = entry.epoch, self.weights()
        if self.config.save_all_checkpoints:
            with self.hooks.writing():
                self.files.save_epoch(entry.epoch, self.weights())
        state.epoch, state.step, state.sums = state.epoch + 1, 0, [0.0, 0.0, 0.0]
        if state.stopped is None:
            state.stopped = self.stop_reason_after_epoch()
        self._save()
        with self.hooks.writing():
            self._write_results()
        self.hooks.on_epoch(entry, is_best)

    # -- the clock

    def _elapsed(self) -> float:
        return self._earlier + self.clock() - self._started_at

    def _out_of_time(self) -> bool:
        limit = self.config.max_training_time_seconds
        self.state.elapsed = self._elapsed()
        return limit is not None and self.state.elapsed >= limit

    def _learning_rate(self, steps: int) -> float:
        config = self.config
        if config.learning_rate_schedule == "constant":
            return config.learning_rate
        done = self.fraction_done(steps)
        limit = config.max_training_time_seconds
        if config.learning_rate_schedule == "auto" and limit:
            done = max(done, self.state.elapsed / limit)
        return config.learning_rate * self.learning_rate_factor() * max(1.0 - done, 0.001)

    # -- saving and resuming

    def weights(self) -> dict[str, np.ndarray]:
        """The trained variables by path."""
        return {variable.path: variable.numpy() for variable in self.model.trainable_variables}

    def _save(self) -> None:
        with self.hooks.writing():
            self.files.save(self.state, self.variables(), self._best)

    def _write_results(self) -> None:
        self.files.write_results(self.state, self._best)

    def _resume(self) -> None:
        """Take up the state of an earlier start of the same run, and put right what it left half done.

        Raises:
            DataError: the checkpoint belongs to other settings or other data; the message names the difference.
        """
        found = self.files.load(self.variables())
        if found is not None:
            self.state, self._best = found
        self.files.remove_partial_files(self.state)
        self._write_results()
