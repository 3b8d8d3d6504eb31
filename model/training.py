"""Training on record-aligned rows: what a step is, validation, early stopping. The loop itself is `model.training_loop`."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from model import rows
from model.config import TensorFlowConfig
from model.early_stopping import better, stale
from model.history import EpochState
from model.language_model import LanguageModel, token_losses
from model.token_store import TokenStore
from model.training_loop import BEST, LAST, Hooks, Progress, TrainingLoop, TrainingState, epoch_file

__all__ = ["BEST", "LAST", "Hooks", "Progress", "Trainer", "TrainingState", "build_model", "epoch_file"]


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


class Trainer(TrainingLoop):
    """Trains one model on one token store, without privacy.

    Args:
        config: settings of the run.
        model: from `build_model`.
        train: training records.
        validation: validation records; an empty store where there are none.
        places: directory, history_path, identity, hooks and clock, as `TrainingLoop` takes them.
    """

    def __init__(
        self,
        config: TensorFlowConfig,
        model: LanguageModel,
        train: TokenStore,
        validation: TokenStore,
        **places: Any,
    ) -> None:
        metric = config.metric if len(validation) or not config.metric.startswith("val_") else config.metric[4:]
        self._metric = metric
        super().__init__(config, model, train, keras.optimizers.Adam(config.learning_rate), metric=metric, **places)
        self.validation: TokenStore = validation
        self._batches: list[npt.NDArray[np.int64]] = []
        self._train_step = tf.function(self._step, reduce_retracing=True)
        self._eval_step = tf.function(lambda batch: token_losses(model, batch, training=False), reduce_retracing=True)

    # -- steps

    def begin_epoch(self) -> int:
        config = self.config
        self._batches = rows.epoch_batches(
            self.train,
            batch_size=config.batch_size,
            seq_length=config.seq_length,
            seed=config.seed,
            epoch=self.state.epoch,
        )
        return len(self._batches)

    def run_step(self, index: int) -> None:
        sums = self._train_step(_tensors(rows.materialise(self.train, self._batches[index])))
        self.state.sums = [total + float(part) for total, part in zip(self.state.sums, sums, strict=True)]

    def diverged(self) -> bool:
        return not math.isfinite(self.state.sums[0])

    def progress(self, steps: int) -> Progress:
        loss, right, tokens = self.state.sums
        state = self.state
        return Progress(state.epoch, state.step, steps, loss / tokens, right / tokens, state.elapsed)

    def _step(self, batch: dict[str, Any]) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            loss, right, tokens = token_losses(self.model, batch, training=True)
            mean = loss / tokens
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(mean, variables), variables)
        return loss, right, tokens

    # -- measuring and deciding

    def measure(self) -> EpochState:
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

    def is_best(self, entry: EpochState) -> bool:
        state = self.state
        best = state.history[state.best_epoch] if state.best_epoch is not None else None
        return better(entry, best, self._metric)

    def reason_to_stop(self) -> str | None:
        config, history = self.config, self.state.history
        values = [entry.metric(self._metric) for entry in history]
        if values[-1] is not None and not math.isfinite(values[-1]):
            return "diverged"
        waited = stale(values, self._metric, config.early_stopping_min_delta)
        if config.early_stopping and waited >= max(1, config.early_stopping_patience):
            return "patience"
        return "epochs" if self.state.epoch >= config.epochs else None


def _tensors(batch: rows.Batch) -> dict[str, Any]:
    return {name: tf.constant(array) for name, array in batch.as_dict().items()}
