"""Training on record-aligned rows: what a step is, validation, early stopping. The loop itself is `loop`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from linesmith.core.artifacts.history import EpochState
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.hardware import matmul_precision
from linesmith.model.tf_function import graph
from linesmith.model.training import batches as rows
from linesmith.model.training.backpropagation import NUM_HALVES, sum_token_losses_on_cpu, summed_gradients
from linesmith.model.training.dropout import dropout_mask
from linesmith.model.training.early_stopping import better, epochs_without_improvement, stale
from linesmith.model.training.language_model import LanguageModel, token_losses
from linesmith.model.training.loop import (
    BEST,
    LAST,
    Progress,
    TrainingHooks,
    TrainingLoop,
    TrainingState,
    epoch_file_name,
)
from linesmith.model.training.lstm import on_gpu
from linesmith.model.training.prefetch import prefetched
from linesmith.model.training.replicas import ReplicatedStep
from linesmith.model.training.token_store import TokenStore

__all__ = [
    "BEST",
    "LAST",
    "Progress",
    "Trainer",
    "TrainingHooks",
    "TrainingState",
    "build_model",
    "epoch_file_name",
    "matmul_dtype",
]

_MOST_REPLICAS, _MOST_LAYERS = 1024, 16  # numbers that name a dropout mask


def build_model(config: TensorFlowConfig, vocab_size: int) -> LanguageModel:
    """The network that a configuration describes, with its seeded initial weights."""
    return LanguageModel(
        vocab_size,
        embedding_dim=config.embedding_dim,
        units=config.rnn_units,
        layers=config.rnn_layers,
        recurrent_initializer=config.rnn_initializer,
        seed=config.seed,
    )


def matmul_dtype(config: TensorFlowConfig) -> tf.DType:
    """The type of matrix products on this machine; on a GPU float32, whose products it computes in its own way."""
    return tf.float32 if on_gpu() else tf.as_dtype(matmul_precision(config.matmul_precision))


class Trainer(TrainingLoop):
    """Trains one model on one token store, without privacy.

    Args:
        config: settings of the run.
        model: from `build_model`.
        train: training records.
        validation: validation records; an empty store where there are none.
        strategy: spreads a step over several devices; `model` was made in its scope, and this is, too. None: one device.
        places: directory, history_path, identity, hooks and clock, as `TrainingLoop` takes them.
    """

    def __init__(
        self,
        config: TensorFlowConfig,
        model: LanguageModel,
        train: TokenStore,
        validation: TokenStore,
        strategy: tf.distribute.Strategy | None = None,
        **places: Any,
    ) -> None:
        metric = config.metric if len(validation) or not config.metric.startswith("val_") else config.metric[4:]
        self._metric = metric
        super().__init__(config, model, train, keras.optimizers.Adam(config.learning_rate), metric=metric, **places)
        self.validation: TokenStore = validation
        self.kind = matmul_dtype(config)
        self._supply: Iterator[Any] = iter(())
        if strategy is None:
            self._share: Callable[[rows.Batch], Any] = rows.Batch.tensors
            self._train_step: Callable[[Any], Any] = graph(self._step, input_signature=[rows.Batch.specs()])
        else:
            replicated = ReplicatedStep(strategy, self._gradients, self.optimizer, model.trainable_variables)
            self._share, self._train_step = replicated.share, replicated
        self._eval_step = graph(self._evaluate_step, input_signature=[rows.Batch.specs()])

    # -- steps

    def begin_epoch(self) -> int:
        config, state = self.config, self.state
        batches = rows.EpochBatches(
            self.train,
            batch_size=config.batch_size,
            seq_length=config.seq_length,
            seed=config.seed,
            epoch=state.epoch,
        )
        remaining = (batches[index] for index in range(state.step, len(batches)))
        self._supply = prefetched(self._share(rows.make_batch(self.train, ranks)) for ranks in remaining)
        return len(batches)

    def run_step(self, index: int) -> None:
        """Run the next step. Steps come in order, from where the epoch was begun or taken up: `index` is known."""
        sums = self._train_step(next(self._supply))
        self.state.sums = [total + float(part) for total, part in zip(self.state.sums, sums, strict=True)]

    def diverged(self) -> bool:
        return not math.isfinite(self.state.sums[0])

    def learning_rate_factor(self) -> float:
        """Halved by each epoch that brought nothing: patience must not run out while the rate is still too high to settle."""
        config = self.config
        if config.learning_rate_schedule != "auto":
            return 1.0
        values = [entry.metric(self._metric) for entry in self.state.history]
        return 0.5 ** epochs_without_improvement(values, self._metric, config.early_stopping_min_delta)

    def progress(self, steps: int) -> Progress:
        loss, right, tokens = self.state.sums
        state = self.state
        return Progress(state.epoch, state.step, steps, loss / tokens, right / tokens, state.elapsed)

    def _step(self, batch: dict[str, Any]) -> tuple[Any, Any, Any]:
        sums, gradients = self._gradients(batch, tf.reduce_sum(batch["weights"]))
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return sums

    def _gradients(self, batch: dict[str, Any], tokens: Any) -> tuple[tuple[Any, Any, Any], list[Any]]:
        """Loss, right predictions and tokens of rows, and the gradients of that loss over `tokens`."""
        variables = self.model.trainable_variables
        if not on_gpu():
            weights = [tf.convert_to_tensor(variable) for variable in variables]
            return summed_gradients(weights, batch, partial(self._masks, self.kind, batch), self.kind, 1 / tokens)
        with tf.GradientTape() as tape:
            masks = self._masks(tf.float32, batch, 0, tf.shape(batch["inputs"])[1])
            sums = token_losses(self.model, batch, masks)
            mean = sums[0] / tokens
        return sums, tape.gradient(mean, variables)

    def _masks(self, kind: tf.DType, batch: dict[str, Any], half: int, count: Any) -> list[Any]:
        """Dropout of each layer, for a half of the batch's rows: a function of seed, step and place."""
        step = tf.cast(self.optimizer.iterations, tf.int64)
        replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64)
        shape = [tf.shape(batch["inputs"])[0], count]
        masks = []
        for layer, lstm in enumerate(self.model.lstms):
            place = ((step * _MOST_REPLICAS + replica) * NUM_HALVES + half) * _MOST_LAYERS + layer
            seed = tf.stack([tf.constant(self.config.seed, tf.int64), place])
            masks.append(dropout_mask([*shape, lstm.units], self.config.dropout_rate, seed, kind))
        return masks

    def _evaluate_step(self, batch: dict[str, Any]) -> tuple[Any, Any, Any]:
        if on_gpu():
            return token_losses(self.model, batch)
        variables = [tf.convert_to_tensor(variable) for variable in self.model.trainable_variables]
        return sum_token_losses_on_cpu(variables, batch, self.kind)

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
        batches = rows.evaluation_batches(store, batch_size=batch_size, seq_length=self.config.seq_length)
        for batch in prefetched(rows.make_batch(store, ranks).tensors() for ranks in batches):
            totals += [float(part) for part in self._eval_step(batch)]
        return totals[0] / totals[2], totals[1] / totals[2]

    def is_best(self, entry: EpochState) -> bool:
        state = self.state
        best = state.history[state.best_epoch] if state.best_epoch is not None else None
        return better(entry, best, self._metric)

    def stop_reason_after_epoch(self) -> str | None:
        config, history = self.config, self.state.history
        values = [entry.metric(self._metric) for entry in history]
        if values[-1] is not None and not math.isfinite(values[-1]):
            return "diverged"
        waited = stale(values, self._metric, config.early_stopping_min_delta)
        if config.early_stopping and waited >= max(1, config.early_stopping_patience):
            return "patience"
        return "epochs" if self.state.epoch >= config.epochs else None
