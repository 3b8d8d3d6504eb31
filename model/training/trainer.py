"""Training without privacy on one record per row: what a step is, validation, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from linesmith.core.artifacts.history import EpochState
from linesmith.core.hardware import matmul_precision
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.tf_function import fused, graph
from linesmith.model.training.backpropagation import (
    TokenSums,
    sum_token_losses_on_cpu,
    summed_gradients,
)
from linesmith.model.training.batches import Batch, EpochBatches, evaluation_batches, make_batch
from linesmith.model.training.dropout import dropout_mask
from linesmith.model.training.early_stopping import epochs_since_improvement, epochs_without_improvement, is_better
from linesmith.model.training.halves import NUM_HALVES
from linesmith.model.training.language_model import LanguageModel, sum_token_losses
from linesmith.model.training.loop import TrainingLoop, TrainingProgress
from linesmith.model.training.lstm import on_gpu
from linesmith.model.training.prefetch import prefetch
from linesmith.model.training.replicas import ReplicatedStep
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.token_store import TokenStore

# Bounds of the numbers that name a dropout mask, so that no two names are equal.
_MAX_REPLICAS, _MAX_LAYERS = 1024, 16
# Of a network that knows fields, whose rows begin large: the norm to which larger gradients are scaled down, and the steps over
# which the learning rate rises at first.
_LARGEST_GRADIENT, _WARM_UP_STEPS = 1.0, 50
_INPUT_DROPOUT = 0.5  # dropout of its input, as a share of that of its layers
_VALUE_DROPOUT = 0.75  # and of the values of fields: how often a record is learned from without one of them
_LEAST_STEPS, _LEAST_BATCH = 16, 16  # of an epoch, and rows of a batch that is made smaller to have as many steps
_MIN_EVALUATION_BATCH = 256  # nothing is learned between batches of an evaluation: larger ones only save time


def build_model(settings: NetworkSettings, vocab_size: int, layout: FieldLayout | None = None) -> LanguageModel:
    """Return a network with its seeded initial weights.

    Args:
        settings: shape and initial weights.
        vocab_size: number of token ids.
        layout: what the network looks up beside its last token; None for a plain network.
    """
    return LanguageModel(
        vocab_size,
        embedding_dim=settings.embedding_dim,
        units=settings.rnn_units,
        layers=settings.rnn_layers,
        recurrent_initializer=settings.rnn_initializer,
        seed=settings.seed,
        layout=layout,
    )


def matmul_dtype(precision: str) -> tf.DType:
    """Return the type of matrix products on this machine for a `matmul_precision` setting.

    On a GPU it is float32, whose products TensorFlow computes there in its own way (TF32 where that is enabled).
    """
    return tf.float32 if on_gpu() else tf.as_dtype(matmul_precision(precision))


class Trainer(TrainingLoop):
    """Trains one model on one token store, without privacy.

    Args:
        settings: of the training.
        model: from `build_model`.
        train: training records.
        validation: validation records; an empty store where there are none.
        strategy: spreads a step over several devices; model and trainer must be made in its scope. None: one device.
        loop_options: directory, history_path, identity, hooks and clock, as `TrainingLoop` takes them.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        model: LanguageModel,
        train: TokenStore,
        validation: TokenStore,
        strategy: tf.distribute.Strategy | None = None,
        **loop_options: Any,
    ) -> None:
        # Without validation records, 'val_loss' becomes 'loss', and 'val_accuracy' 'accuracy'.
        self._metric = settings.metric if len(validation) else settings.metric.removeprefix("val_")
        clip = None if model.layout is None else _LARGEST_GRADIENT
        optimizer = keras.optimizers.Adam(settings.learning_rate, global_clipnorm=clip)
        super().__init__(settings, model, train, optimizer, metric=self._metric, **loop_options)
        self.validation: TokenStore = validation
        self.matmul_dtype = matmul_dtype(settings.matmul_precision)
        self._batches: Iterator[Any] = iter(())
        # One pass over the numbers of a large table, not one for each operation of the optimizer.
        self._update = fused(lambda gradients: self.optimizer.apply(gradients, model.trainable_variables))
        if strategy is None:
            # A signature, so that batches of all shapes share one traced graph.
            self._distribute: Callable[[Batch], Any] = Batch.to_tensors
            self._train_step: Callable[[Any], Any] = graph(
                self._step, input_signature=[Batch.tensor_specs(model.slots)]
            )
        else:
            replicated = ReplicatedStep(strategy, self._gradients, self.optimizer, model.trainable_variables)
            self._distribute, self._train_step = replicated.distribute, replicated
        self._eval_step = graph(self._evaluate_step, input_signature=[Batch.tensor_specs(model.slots)])

    # -- steps

    def begin_epoch(self) -> int:
        """Prepare the batches of the current epoch from its current step on, and return their number."""
        settings, state = self.settings, self.state
        batches = EpochBatches(
            self.train,
            batch_size=self.batch_size(),
            seq_length=settings.seq_length,
            seed=settings.seed,
            epoch=state.epoch,
        )
        remaining = (batches[index] for index in range(state.step, len(batches)))
        self._batches = prefetch(
            self._distribute(make_batch(self.train, ranks, self.model.layout)) for ranks in remaining
        )
        return len(batches)

    def batch_size(self) -> int:
        """Return the most records in a batch.

        In a network that knows fields they are fewer than the setting where the table is so small that patience would end
        training after a few dozen steps.
        """
        most = self.settings.batch_size
        return most if self.model.layout is None else min(most, max(_LEAST_BATCH, len(self.train) // _LEAST_STEPS))

    def run_step(self, index: int) -> None:
        """Run the next step. `index` is not needed: steps come in order, from where `begin_epoch` began."""
        sums = self._train_step(next(self._batches))
        self.state.sums = [total + float(part) for total, part in zip(self.state.sums, sums, strict=True)]

    def stop_reason_before_step(self) -> str | None:
        """Return 'time' where the time limit is reached, else None."""
        limit = self.settings.max_training_time_seconds
        self.state.elapsed = self.elapsed_seconds()
        return "time" if limit is not None and self.state.elapsed >= limit else None

    def fraction_done(self, steps: int) -> float:
        """Return the fraction of the epochs that is done or, with 'auto', of the time limit where that is larger, 0 to 1."""
        done, limit = super().fraction_done(steps), self.settings.max_training_time_seconds
        if self.settings.learning_rate_schedule == "auto" and limit:
            return max(done, self.state.elapsed / limit)  # whichever of the two ends training first
        return done

    def diverged(self) -> bool:
        """Return whether the loss of the epoch is no longer finite."""
        return not math.isfinite(self.state.sums[0])

    def learning_rate_factor(self) -> float:
        """Return 1, halved for each epoch without improvement where the schedule is 'auto'.

        Otherwise patience could run out while the rate is still too high to settle. In a network that knows fields the first
        steps are smaller.
        """
        settings = self.settings
        warm = 1.0 if self.model.layout is None else min(1.0, (self.state.total_steps + 1) / _WARM_UP_STEPS)
        if settings.learning_rate_schedule != "auto":
            return warm
        values = [entry.metric(self._metric) for entry in self.state.history]
        return warm * 0.5 ** epochs_without_improvement(values, self._metric, settings.early_stopping_min_delta)

    def progress(self, steps: int) -> TrainingProgress:
        """Return where training stands, with loss and accuracy of the epoch so far."""
        loss, correct, tokens = self.state.sums
        state = self.state
        return TrainingProgress(state.epoch, state.step, steps, loss / tokens, correct / tokens, state.elapsed)

    def _step(self, batch: dict[str, tf.Tensor]) -> TokenSums:
        sums, gradients = self._gradients(batch, tf.reduce_sum(batch["weights"]))
        self._update(gradients)
        return sums

    def _gradients(self, batch: dict[str, tf.Tensor], tokens: tf.Tensor) -> tuple[TokenSums, list[tf.Tensor]]:
        """Compute loss, correct predictions and tokens of a batch, and the gradients of that loss divided by `tokens`."""
        variables = self.model.trainable_variables
        batch = self._without_some_values(batch)
        if not on_gpu():
            weights = [tf.convert_to_tensor(variable) for variable in variables]
            masks_of = partial(self._masks, self.matmul_dtype, batch)
            return summed_gradients(weights, batch, masks_of, self.matmul_dtype, 1 / tokens)
        with tf.GradientTape() as tape:
            masks = self._masks(tf.float32, batch, 0, tf.shape(batch["inputs"])[1])
            sums = sum_token_losses(self.model, batch, masks)
            mean = sums[0] / tokens
        return sums, tape.gradient(mean, variables)

    def _without_some_values(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return a batch in which some records lack the value of a field: a function of seed, step and replica.

        A field of many values is told apart by rows that few records share. A network that may rely on them learns its records.
        """
        layout, rate = self.model.layout, self.settings.dropout_rate * _VALUE_DROPOUT
        if layout is None or not layout.inputs.values or not rate:
            return batch
        # Below 0, as no name of a mask is.
        seed = tf.stack([tf.constant(self.settings.seed, tf.int64), -1 - _step_and_replica(self.optimizer)])
        is_value = np.arange(layout.slots) >= layout.slots - len(layout.inputs.values)
        rows = batch["rows"]
        left_out = (tf.random.stateless_uniform([tf.shape(rows)[1], layout.slots], seed) < rate) & is_value
        return {**batch, "rows": tf.where(left_out, layout.unused_rows, rows)}

    def _masks(
        self, dtype: tf.DType, batch: dict[str, tf.Tensor], half: int, rows: tf.Tensor
    ) -> list[tf.Tensor | None]:
        """Draw the dropout mask of each layer for a half of the batch's rows: a function of seed, step, replica and half.

        In a network that knows fields, that of the input comes before them.
        """
        shape = [tf.shape(batch["inputs"])[0], rows]
        widths, rates = [lstm.units for lstm in self.model.lstms], [self.settings.dropout_rate] * len(self.model.lstms)
        knows_fields = self.model.layout is not None
        if knows_fields:
            widths, rates = [self.model.embedding.output_dim, *widths], [rates[0] * _INPUT_DROPOUT, *rates]
        masks = []
        for layer, (width, rate) in enumerate(zip(widths, rates, strict=True)):
            # A number that no other mask of this training has, as digits in a mixed base.
            name = (_step_and_replica(self.optimizer) * NUM_HALVES + half) * (_MAX_LAYERS + knows_fields) + layer
            seed = tf.stack([tf.constant(self.settings.seed, tf.int64), name])
            masks.append(dropout_mask([*shape, width], rate, seed, dtype))
        return masks

    def _evaluate_step(self, batch: dict[str, tf.Tensor]) -> TokenSums:
        if on_gpu():
            return sum_token_losses(self.model, batch)
        variables = [tf.convert_to_tensor(variable) for variable in self.model.trainable_variables]
        return sum_token_losses_on_cpu(variables, batch, self.matmul_dtype)

    # -- measuring and deciding

    def measure_epoch(self) -> EpochState:
        """Return training loss and accuracy of the epoch, and those of the validation records where there are any."""
        loss, correct, tokens = self.state.sums
        val_loss = val_accuracy = None
        if len(self.validation):
            val_loss, val_accuracy = self.evaluate(self.validation)
        return EpochState(
            epoch=self.state.epoch,
            loss=loss / tokens if tokens else None,
            accuracy=correct / tokens if tokens else None,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            batch=self.state.step,
        )

    def evaluate(self, store: TokenStore) -> tuple[float, float]:
        """Compute loss in nats per token and accuracy over all records of a store that is not empty, without dropout."""
        totals = np.zeros(3)
        batch_size = max(self.settings.batch_size, _MIN_EVALUATION_BATCH)
        batches = evaluation_batches(store, batch_size=batch_size, seq_length=self.settings.seq_length)
        for batch in prefetch(make_batch(store, ranks, self.model.layout).to_tensors() for ranks in batches):
            totals += [float(part) for part in self._eval_step(batch)]
        return totals[0] / totals[2], totals[1] / totals[2]

    def is_best(self, entry: EpochState) -> bool:
        """Return whether the metric of an epoch is better than that of the best one so far."""
        state = self.state
        best = state.history[state.best_epoch] if state.best_epoch is not None else None
        return is_better(entry, best, self._metric)

    def stop_reason_after_epoch(self) -> str | None:
        """Return 'diverged', 'patience' or 'epochs', or None where training goes on."""
        settings, history = self.settings, self.state.history
        values = [entry.metric(self._metric) for entry in history]
        # An epoch without any step, at a time limit of 0, has no training loss: that is not divergence.
        if values[-1] is not None and not math.isfinite(values[-1]):
            return "diverged"
        waited = epochs_since_improvement(values, self._metric, settings.early_stopping_min_delta)
        if settings.early_stopping and waited >= max(1, settings.early_stopping_patience):
            return "patience"
        return "epochs" if self.state.epoch >= settings.epochs else None


def _step_and_replica(optimizer: Any) -> tf.Tensor:
    """Return a number of the step and the device that it is run on, of type int64."""
    replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64)
    return tf.cast(optimizer.iterations, tf.int64) * _MAX_REPLICAS + replica
