"""The training loop: epochs of record-aligned rows, validation, early stopping, checkpoints, exact resume.

The state that a checkpoint holds (weights, optimizer, dropout's counters, position inside the epoch, running sums) is the
whole state of training: a run that was killed and started again ends with the weights of an unbroken one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from model import rows
from model.checkpoints import load_arrays, save_arrays
from model.config import TensorFlowConfig
from model.errors import DataError, TooFewRecordsError
from model.history import EpochState, write_history
from model.language_model import LanguageModel, token_losses
from model.token_store import TokenStore

CHECKPOINT_SECONDS = 300.0  # within a long epoch, so that a killed run loses minutes, not hours
LAST, BEST = "last.npz", "best.npz"


@dataclass
class TrainingState:
    """Where training stands. Everything here goes into each checkpoint.

    Attributes:
        epoch: the epoch that is running or comes next, from 0.
        step: steps of it that are done.
        total_steps: steps since the beginning.
        sums: loss, right predictions and tokens of the running epoch.
        elapsed: seconds of training, earlier sessions of the same run included.
        history: one entry for each finished epoch.
        best_epoch: the one that the metric prefers; None before the first.
        stopped: why training ended: 'epochs', 'patience', 'time' or 'diverged'; None while it goes on.
    """

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    elapsed: float = 0.0
    history: list[EpochState] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str | None = None

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> TrainingState:
        return cls(**{**stored, "history": [EpochState(**entry) for entry in stored["history"]]})


@dataclass(frozen=True)
class Progress:
    """What a progress display is told after each step."""

    epoch: int
    step: int
    steps: int
    loss: float | None
    accuracy: float | None
    elapsed: float


@dataclass(frozen=True)
class Hooks:
    """Calls from the loop to whoever runs it; all optional."""

    on_step: Callable[[Progress], None] = lambda _: None
    on_epoch: Callable[[EpochState, bool], None] = lambda _state, _is_best: None
    stop_requested: Callable[[], bool] = lambda: False


def build_model(config: TensorFlowConfig, vocab_size: int) -> LanguageModel:
    """The network that a configuration describes, with its seeded initial weights."""
    return LanguageModel(
        vocab_size,
        embedding_dim=config.embedding_dim,
        units=config.rnn_units,
        layers=config.rnn_layers,
        dropout=config.dropout_rate,
        recurrent_initializer=config.rnn_initializer,
        seed=config.seed,
    )


class Trainer:
    """Trains one model on one token store.

    Args:
        config: settings of the run.
        model: from `build_model`.
        train: training records.
        validation: validation records; an empty store where there are none.
        directory: where checkpoints go.
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
        validation: TokenStore,
        *,
        directory: Path,
        history_path: Path,
        identity: dict[str, Any],
        hooks: Hooks | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if len(train) == 0:
            raise TooFewRecordsError(
                "LS207: too few records: none fell on the training side of the split. Give more records, or set "
                "--no-validation-split and --holdout-fraction 0."
            )
        self.config, self.model, self.train, self.validation = config, model, train, validation
        self.directory, self.history_path, self.identity = directory, history_path, identity
        self.hooks = hooks if hooks is not None else Hooks()
        self.clock = clock
        self.state = TrainingState()
        self.metric = config.metric if len(validation) or not config.metric.startswith("val_") else config.metric[4:]
        self.optimizer = keras.optimizers.Adam(config.learning_rate)
        self.optimizer.build(model.trainable_variables)
        self._train_step = tf.function(self._step, reduce_retracing=True)
        self._eval_step = tf.function(lambda batch: token_losses(model, batch, training=False), reduce_retracing=True)
        self._session_start = self.clock()
        self._earlier = 0.0

    # -- the loop

    def fit(self) -> TrainingState:
        """Train until done, stopped or interrupted (then `stopped` is None). Resumes from a checkpoint that is there."""
        self._resume()
        self._session_start, self._earlier = self.clock(), self.state.elapsed
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
        state, config = self.state, self.config
        batches = rows.epoch_batches(
            self.train, batch_size=config.batch_size, seq_length=config.seq_length, seed=config.seed, epoch=state.epoch
        )
        saved = self.clock()
        for index in range(state.step, len(batches)):
            if self._out_of_time():
                state.stopped = "time"
                return True
            self.optimizer.learning_rate = self._learning_rate(len(batches))
            sums = self._train_step(_tensors(rows.materialise(self.train, batches[index])))
            self._count(sums, index + 1)
            if not math.isfinite(state.sums[0]):
                state.stopped = "diverged"
                return True
            self._report(len(batches))
            if self.hooks.stop_requested():
                return False
            if self.clock() - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = self.clock()
        return True

    def _step(self, batch: dict[str, Any]) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            loss, right, tokens = token_losses(self.model, batch, training=True)
            mean = loss / tokens
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(mean, variables), variables)
        return loss, right, tokens

    def _count(self, sums: tuple[Any, Any, Any], step: int) -> None:
        state = self.state
        state.sums = [total + float(part) for total, part in zip(state.sums, sums, strict=True)]
        state.step = step
        state.total_steps += 1
        state.elapsed = self._earlier + self.clock() - self._session_start

    def _close_epoch(self) -> None:
        """Measure, remember the best, write checkpoints and history, decide whether to go on."""
        state = self.state
        entry = self._measure()
        best = state.history[state.best_epoch] if state.best_epoch is not None else None
        is_best = _better(entry, best, self.metric)
        state.history.append(entry)
        if is_best:
            state.best_epoch = entry.epoch
            save_arrays(self.directory / BEST, self.weights(), {"epoch": entry.epoch})
        if self.config.save_all_checkpoints:
            save_arrays(self.directory / epoch_file(entry.epoch), self.weights(), {"epoch": entry.epoch})
        state.epoch, state.step, state.sums = state.epoch + 1, 0, [0.0, 0.0, 0.0]
        if state.stopped is None:
            state.stopped = self._reason_to_stop()
        self._save()
        write_history(self.history_path, state.history, state.best_epoch)
        self.hooks.on_epoch(entry, is_best)

    def _measure(self) -> EpochState:
        loss, right, tokens = self.state.sums
        val_loss = val_accuracy = None
        if len(self.validation):
            val_loss, val_accuracy = self.evaluate(self.validation)
        return EpochState(
            epoch=self.state.epoch,
            loss=loss / tokens if tokens else None,
            accuracy=right / tokens if tokens else None,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            batch=self.state.step,
        )

    def evaluate(self, store: TokenStore) -> tuple[float, float]:
        """Loss in nats a token and accuracy over all records of a store, dropout off."""
        totals = np.zeros(3)
        batch_size = max(self.config.batch_size, 256)
        for batch in rows.in_order_batches(store, batch_size=batch_size, seq_length=self.config.seq_length):
            totals += [float(part) for part in self._eval_step(_tensors(rows.materialise(store, batch)))]
        return totals[0] / totals[2], totals[1] / totals[2]

    # -- decisions

    def _reason_to_stop(self) -> str | None:
        config, history = self.config, self.state.history
        values = [entry.metric(self.metric) for entry in history]
        if values[-1] is not None and not math.isfinite(values[-1]):
            return "diverged"
        stale = _stale(values, self.metric, config.early_stopping_min_delta)
        if config.early_stopping and stale >= max(1, config.early_stopping_patience):
            return "patience"
        return "epochs" if self.state.epoch >= config.epochs else None

    def _out_of_time(self) -> bool:
        limit = self.config.max_training_time_seconds
        self.state.elapsed = self._earlier + self.clock() - self._session_start
        return limit is not None and self.state.elapsed >= limit

    def _learning_rate(self, steps: int) -> float:
        config, state = self.config, self.state
        if config.learning_rate_schedule == "constant":
            return config.learning_rate
        done = (state.epoch + state.step / steps) / config.epochs
        limit = config.max_training_time_seconds
        if config.learning_rate_schedule == "auto" and limit:
            done = max(done, state.elapsed / limit)
        return config.learning_rate * max(1.0 - done, 0.001)

    def _report(self, steps: int) -> None:
        loss, right, tokens = self.state.sums
        state = self.state
        self.hooks.on_step(Progress(state.epoch, state.step, steps, loss / tokens, right / tokens, state.elapsed))

    # -- saving and resuming

    def weights(self) -> dict[str, np.ndarray]:
        """The trained variables by path."""
        return {variable.path: variable.numpy() for variable in self.model.trainable_variables}

    def _save(self) -> None:
        variables = [*self.model.variables, *self.optimizer.variables]
        arrays = {f"{i:04d}/{variable.path}": variable.numpy() for i, variable in enumerate(variables)}
        save_arrays(self.directory / LAST, arrays, {"identity": self.identity, "state": asdict(self.state)})

    def _resume(self) -> None:
        """Take up the state of an earlier session of the same run.

        Raises:
            DataError: the checkpoint belongs to other settings or other data; the message names the difference.
        """
        path = self.directory / LAST
        if not path.is_file():
            return
        arrays, stored = load_arrays(path)
        for name, value in self.identity.items():
            found = stored.get("identity", {}).get(name)
            if found != value:
                raise DataError(
                    f"LS204: the unfinished training in '{self.directory.parent}' has {name} {found!r}, this run {value!r}; "
                    "use the same value to resume it, or pass --overwrite to begin anew."
                )
        variables = [*self.model.variables, *self.optimizer.variables]
        for variable, array in zip(variables, arrays.values(), strict=True):
            variable.assign(array)
        self.state = TrainingState.from_json(stored["state"])


def epoch_file(epoch: int) -> str:
    """Name of the checkpoint of an epoch."""
    return f"epoch-{epoch:04d}.npz"


def _tensors(batch: rows.Batch) -> dict[str, Any]:
    return {name: tf.constant(array) for name, array in batch.as_dict().items()}


def _better(entry: EpochState, best: EpochState | None, metric: str) -> bool:
    value = entry.metric(metric)
    if best is None:
        return True
    if value is None or math.isnan(value):
        return False
    reference = best.metric(metric)
    if reference is None or math.isnan(reference):
        return True
    return value > reference if metric.endswith("accuracy") else value < reference


def _stale(values: list[float | None], metric: str, min_delta: float) -> int:
    """Epochs since the metric last improved by at least `min_delta`.

    Example:
        >>> _stale([2.0, 1.5, 1.4999, 1.6], "val_loss", 0.001)
        2
    """
    sign = 1.0 if metric.endswith("accuracy") else -1.0
    best, stale = -math.inf, 0
    for value in values:
        gain = sign * value if value is not None else -math.inf
        if gain > best + min_delta or best == -math.inf:
            best, stale = gain, 0
        else:
            stale += 1
    return stale
