"""The loop that every kind of training shares: epochs of steps, a clock, and when to save (`state` says what is saved)."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linesmith.core.artifacts.history import EpochState
from linesmith.core.errors import TooFewRecordsError
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.settings import TrainingSettings
from linesmith.model.training.state import TrainingFiles, TrainingState
from linesmith.model.training.token_store import TokenStore

CHECKPOINT_SECONDS = 300.0  # between checkpoints within a long epoch: a killed run loses minutes, not hours
_MIN_RATE_SHARE = 0.001  # of the learning rate that a falling schedule ends with: the last steps still move the weights


@dataclass(frozen=True)
class TrainingProgress:
    """Where training stands after a step, for a progress display.

    Attributes:
        epoch: the running epoch, from 0.
        step: number of its steps that are done.
        steps: number of its steps.
        loss: mean of the epoch so far, in nats per token; None in private training.
        accuracy: share of tokens predicted correctly in the epoch so far; None in private training.
        elapsed: seconds of training, earlier starts of the same run included.
    """

    epoch: int
    step: int
    steps: int
    loss: float | None
    accuracy: float | None
    elapsed: float


@dataclass(frozen=True)
class TrainingHooks:
    """Calls from the loop to its caller; all optional.

    Attributes:
        on_step: called after each step.
        on_epoch: called after each epoch, with whether it is the best so far.
        stop_requested: asked after each step; True interrupts training, which can be resumed.
        write_guard: context manager around each write of files; it may raise to forbid the write.
    """

    on_step: Callable[[TrainingProgress], None] = lambda _: None
    on_epoch: Callable[[EpochState, bool], None] = lambda _state, _is_best: None
    stop_requested: Callable[[], bool] = lambda: False
    write_guard: Callable[[], AbstractContextManager[Any]] = nullcontext


class TrainingLoop(ABC):
    """Loop over epochs of steps; a subclass says what a step is, what is measured and when to stop.

    Args:
        settings: of the training.
        model: the network.
        train: training records.
        optimizer: a Keras optimizer; the loop builds it and sets its learning rate.
        metric: picks the best epoch; None: the latest epoch is the best.
        directory: where weights go.
        resume_directory: where the state of an unfinished training goes; None: `directory`.
        history_path: where the history table goes.
        identity: settings and data digests, by name, that a resumed run must have in common with the run that it resumes.
        hooks: progress, ends of epochs, requests to stop.
        clock: gives seconds and never goes back.

    Raises:
        TooFewRecordsError: `train` is empty.
    """

    def __init__(
        self,
        settings: TrainingSettings,
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
                "LS207",
                None,
                "too few records: none fell on the training side of the split",
                "Give more records, or set --no-validation-split and --holdout-fraction 0.",
            )
        self.settings, self.model, self.train, self.optimizer, self.metric = settings, model, train, optimizer, metric
        self.files = TrainingFiles(
            directory, directory if resume_directory is None else resume_directory, history_path, identity
        )
        self.hooks = hooks if hooks is not None else TrainingHooks()
        self.clock = clock
        self.validation: TokenStore | None = None
        self.state = TrainingState()
        self._best: dict[str, np.ndarray] = {}  # weights of the best epoch
        self.optimizer.build(model.trainable_variables)
        self._started_at = self.clock()
        self._elapsed_before = 0.0  # seconds of earlier starts of the same run

    # -- what a subclass does

    @abstractmethod
    def begin_epoch(self) -> int:
        """Prepare the current epoch from its current step on, and return its number of steps."""

    @abstractmethod
    def run_step(self, index: int) -> None:
        """Run a step of the current epoch; steps come in order."""

    @abstractmethod
    def measure_epoch(self) -> EpochState:
        """Measure the epoch that has just ended."""

    @abstractmethod
    def is_best(self, entry: EpochState) -> bool:
        """Return whether an epoch is better than those before it."""

    @abstractmethod
    def stop_reason_after_epoch(self) -> str | None:
        """Return why training ends, after an epoch was measured; None where it goes on."""

    @abstractmethod
    def progress(self, steps: int) -> TrainingProgress:
        """Return where training stands, for a display; `steps` is the number of steps of the epoch."""

    def stop_reason_before_step(self) -> str | None:
        """Return why the next step must not be run; None where it may."""
        return None

    def is_checkpoint_due(self, saved_at: float) -> bool:
        """Return whether the state must be saved within an epoch; `saved_at` is when it was saved last, by `clock`."""
        return self.clock() - saved_at > CHECKPOINT_SECONDS

    def diverged(self) -> bool:
        """Return whether the step that has just been run left training without finite numbers."""
        return False

    def fraction_done(self, steps: int) -> float:
        """Return how much of training is done, 0 to 1; `steps` is the number of steps of the epoch."""
        return (self.state.epoch + self.state.step / steps) / self.settings.epochs

    def learning_rate_factor(self) -> float:
        """Return a factor of the scheduled learning rate, 0 to 1, that depends on the epochs so far."""
        return 1.0

    def checkpoint_variables(self) -> list[Any]:
        """Return all variables whose values a checkpoint holds."""
        return [*self.model.variables, *self.optimizer.variables]

    # -- the loop

    def fit(self) -> TrainingState:
        """Train until training ends or is interrupted, from a checkpoint where there is one.

        Returns:
            The state; its `stopped` is None after an interruption.

        Raises:
            DataError: the checkpoint belongs to other settings or other data.
        """
        self._resume()
        self._started_at, self._elapsed_before = self.clock(), self.state.elapsed
        if self.state.stopped is None and self.state.epoch >= self.settings.epochs:
            self.state.stopped = "epochs"
        while self.state.stopped is None:
            finished = self._run_epoch()
            if not finished:
                self._save()
                return self.state
            # An epoch that the time limit kept from beginning gets no row in the history, unless it is the first.
            if self.state.step > 0 or not self.state.history:
                self._close_epoch()
        self._save()
        return self.state

    def _run_epoch(self) -> bool:
        """Run the rest of the current epoch; return False where an interruption was requested."""
        state = self.state
        steps = self.begin_epoch()
        saved_at = self.clock()
        for index in range(state.step, steps):
            state.stopped = self.stop_reason_before_step()
            if state.stopped is not None:
                return True
            self.optimizer.learning_rate = self._learning_rate(steps)
            self.run_step(index)
            state.step = index + 1
            state.total_steps += 1
            state.elapsed = self.elapsed_seconds()
            if self.diverged():
                state.stopped = "diverged"
                return True
            self.hooks.on_step(self.progress(steps))
            if self.hooks.stop_requested():
                return False
            if self.is_checkpoint_due(saved_at):
                self._save()
                saved_at = self.clock()
        return True

    def _close_epoch(self) -> None:
        """Measure the epoch, remember the best, decide whether to go on, and write checkpoints and history."""
        state = self.state
        entry = self.measure_epoch()
        is_best = self.is_best(entry)
        state.history.append(entry)
        if is_best:
            state.best_epoch, self._best = entry.epoch, self.weights()
        if self.settings.save_all_checkpoints:
            with self.hooks.write_guard():
                self.files.save_epoch(entry.epoch, self.weights())
        state.epoch, state.step, state.sums = state.epoch + 1, 0, [0.0, 0.0, 0.0]
        if state.stopped is None:
            state.stopped = self.stop_reason_after_epoch()
        # The checkpoint first: what `write_results` writes can be written again from it, after a crash in between.
        self._save()
        with self.hooks.write_guard():
            self._write_results()
        self.hooks.on_epoch(entry, is_best)

    # -- clock and learning rate

    def elapsed_seconds(self) -> float:
        """Return the seconds of training, earlier starts of the same run included."""
        return self._elapsed_before + self.clock() - self._started_at

    def _learning_rate(self, steps: int) -> float:
        """Return the rate of the next step: constant, or falling linearly with what is done."""
        settings = self.settings
        if settings.learning_rate_schedule == "constant":
            return settings.learning_rate
        share = max(1.0 - self.fraction_done(steps), _MIN_RATE_SHARE)
        return settings.learning_rate * self.learning_rate_factor() * share

    # -- saving and resuming

    def weights(self) -> dict[str, np.ndarray]:
        """Return the values of the trained variables, by Keras path."""
        return {variable.path: variable.numpy() for variable in self.model.trainable_variables}

    def _save(self) -> None:
        with self.hooks.write_guard():
            self.files.save(self.state, self.checkpoint_variables(), self._best)

    def _write_results(self) -> None:
        self.files.write_results(self.state, self._best)

    def _resume(self) -> None:
        """Take up the state of an earlier start of the same run, and complete or delete what it left half done.

        Raises:
            DataError: the checkpoint belongs to other settings or other data; the message names the difference.
        """
        found = self.files.load(self.checkpoint_variables())
        if found is not None:
            self.state, self._best = found
        self.files.remove_partial_files(self.state)
        self._write_results()
