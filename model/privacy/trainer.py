"""Private training: DP-SGD on Poisson samples, under a plan that was fixed before it began.

Unit: one record, or one user, added or removed. A step draws its sample, sums the clipped gradients of its records over as many
physical batches as they take, so that a unit moves the sum by at most C (the L2 sensitivity), adds Gaussian noise of standard
deviation z·C once, divides by the plan's expected batch size and hands the result to the optimizer. Samples, dropout and noise
come from one secret key; nothing else that a step computes is released. `linesmith.model.privacy.budget` decides what is
charged, and when.

Nothing depends on elapsed time, which depends on the records: how many there are in a sample, and how long they are. Steps,
learning rates and checkpoints are counted.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from linesmith.core.artifacts.checkpoints import has_checkpoint
from linesmith.core.artifacts.history import EpochState
from linesmith.model.privacy.budget import PrivacyBudget
from linesmith.model.privacy.dp_sgd.clipped_sum import ClippedSum, clipped_sum
from linesmith.model.privacy.dp_sgd.proven_rows import proven_row_counts
from linesmith.model.privacy.gaussian_query import noised_sum
from linesmith.model.privacy.noise import add_noise, noise_seeds
from linesmith.model.privacy.plan import AdaptiveClipping, PrivacyPlan
from linesmith.model.privacy.poisson_sampling import poisson_sample
from linesmith.model.privacy.secret_key import SecretKey, Seed
from linesmith.model.privacy.users import UserIndex
from linesmith.model.privacy.validation import NoisedValidation, PublicValidation
from linesmith.model.tf_function import graph
from linesmith.model.training.batches import Batch, physical_batches, steps_in_use
from linesmith.model.training.dropout import dropout_mask
from linesmith.model.training.early_stopping import epochs_since_improvement, is_better
from linesmith.model.training.halves import NUM_HALVES
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.loop import TrainingLoop, TrainingProgress
from linesmith.model.training.prefetch import prefetch
from linesmith.model.training.settings import TrainingSettings
from linesmith.model.training.token_store import TokenStore
from linesmith.model.training.trainer import matmul_dtype

CHECKPOINT_STEPS = 100  # between checkpoints within a long epoch: what a killed run draws and charges again


class PrivateTrainer(TrainingLoop):
    """Trains one model on one token store with differential privacy.

    Training loss and accuracy are not measured: they depend on records in ways that the plan does not charge. Without a
    validation on public or noised losses the latest epoch is the best one, and training ends with the planned steps or on
    request, never because of the data or by the clock.

    Args:
        settings: settings of the training. `batch_size` is the physical batch: it bounds memory and changes no result.
        model: from `build_model`.
        train: training records.
        plan: sampler, clipping, noise and budget, made for the number of these records or of their users.
        users: the training records by user, where the plan's unit is a user.
        validation: where the plan has noised evaluations, the validation records, and the same by user at user level.
        public: public records, where early stopping goes by them.
        unsafe_fixed_key: hexadecimal secret key that repeats samples and noise, for tests only; None: a fresh key.
        loop_options: directory, resume_directory, history_path, identity, hooks and clock, as `TrainingLoop` takes them.

    Attributes:
        key: the secret key, from which whatever else is drawn for the same claim comes as well.
        row_counts: numbers of rows of physical batches, by their number of steps, proven before the first step: a record has the
            same bits in all of them.

    Raises:
        ValueError: the plan was made for another number of units or another kind of unit, or there is a time limit.
        ParameterError: LS320, records cannot be kept from moving each other's bits on this machine.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        model: LanguageModel,
        train: TokenStore,
        plan: PrivacyPlan,
        *,
        users: UserIndex | None = None,
        validation: tuple[TokenStore, UserIndex | None] | None = None,
        public: TokenStore | None = None,
        unsafe_fixed_key: str | None = None,
        **loop_options: Any,
    ) -> None:
        if settings.max_training_time_seconds is not None:
            raise ValueError("a time limit would make the released weights depend on elapsed time")
        # On a GPU, float32 products would otherwise keep ten bits of their operands, and norms need all of them.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.users, self._units = users, len(train) if users is None else len(users)
        if plan.units != self._units or (plan.unit == "user") != (users is not None):
            raise ValueError(
                f"the plan is for {plan.units} {plan.unit}s, there are {self._units}: its rate would be another"
            )
        optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
        measured = plan.validation is not None or public is not None
        metric = _metric(settings, public is not None) if measured else None
        super().__init__(
            settings, model, train, optimizers[plan.optimizer](settings.learning_rate), metric=metric, **loop_options
        )
        self.plan = plan
        self.budget = PrivacyBudget(self.files.resume_directory, plan, repeatable=unsafe_fixed_key is not None)
        self.key = SecretKey.fresh() if unsafe_fixed_key is None else SecretKey.unsafe(unsafe_fixed_key)
        self.clip = keras.Variable(plan.l2_norm_clip, dtype="float32", trainable=False, name="clip")
        seeds = tf.TensorSpec([NUM_HALVES, len(model.lstms), 2], tf.int64)
        self._clipped = graph(self._clipped_part, input_signature=[Batch.tensor_specs(model.slots), seeds])
        self._apply = graph(self._apply_mean)
        self._dtype = matmul_dtype(settings.matmul_precision)
        steps_of_batches = steps_in_use(train, plan.seq_length)
        if validation is not None:
            steps_of_batches |= steps_in_use(validation[0], plan.seq_length)
        prove = partial(
            proven_row_counts,
            [variable.shape for variable in model.trainable_variables],
            dtype=self._dtype,
            batch_size=settings.batch_size,
            expected_rows=plan.expected_batch_size * plan.records_per_unit,
            slots=model.slots,
        )
        self.row_counts = {steps: prove(steps) for steps in sorted(steps_of_batches)}
        self._public: PublicValidation | None = None
        if public is not None:
            self._public = PublicValidation(model, public, batch_size=settings.batch_size, seq_length=plan.seq_length)
        self._noised: NoisedValidation | None = None
        if plan.validation is not None and validation is not None:
            store, validation_users = validation
            self._noised = NoisedValidation(
                model,
                store,
                plan.validation,
                self.key,
                users=validation_users,
                row_counts=self.row_counts,
                seq_length=plan.seq_length,
                dtype=self._dtype,
            )

    # -- what the training loop asks

    def begin_epoch(self) -> int:
        """Return the number of steps of an epoch; there is nothing to prepare, since each step draws its own sample."""
        return self.plan.steps_per_epoch

    def stop_reason_before_step(self) -> str | None:
        """Return 'budget' where the plan permits no further step, else None."""
        return "budget" if self.budget.spent(self.state) else None

    def is_checkpoint_due(self, saved_at: float) -> bool:
        """Return whether the state must be saved within an epoch: after a number of steps, whatever time they took."""
        return self.state.total_steps % CHECKPOINT_STEPS == 0

    def stop_reason_after_epoch(self) -> str | None:
        """Return 'diverged', 'epochs', 'budget' or 'patience', the last by public or noised losses only, or None to go on."""
        if not all(np.isfinite(array).all() for array in self.weights().values()):
            return "diverged"
        if self.state.epoch >= self.settings.epochs:
            return "epochs"
        if self.budget.spent(self.state):
            return "budget"
        settings = self.settings
        if self.metric is None or not settings.early_stopping:
            return None
        values = [entry.metric(self.metric) for entry in self.state.history]
        epochs_waited = epochs_since_improvement(values, self.metric, settings.early_stopping_min_delta)
        return "patience" if epochs_waited >= max(1, settings.early_stopping_patience) else None

    def is_best(self, entry: EpochState) -> bool:
        """Return whether an epoch is better than those before it; without a metric, the latest finite one always is."""
        state = self.state
        if not all(np.isfinite(array).all() for array in self.weights().values()):
            return False
        best = None if state.best_epoch is None else state.history[state.best_epoch]
        return self.metric is None or is_better(entry, best, self.metric)

    def fraction_done(self, steps: int) -> float:
        """Return the fraction of the planned steps that is done, 0 to 1; `steps` is not used."""
        return self.budget.fraction_done(self.state)

    def measure_epoch(self) -> EpochState:
        """Return epsilon spent so far, delta, and a validation loss that is public or charged: nothing else of the records."""
        state = self.state
        loss = accuracy = source = None
        if self._public is not None:
            (loss, accuracy), source = self._public.measure(), "public file"
        elif self._noised is not None and self.budget.charge_evaluation(state):
            loss, source = self._noised.measure(state.epoch), "noised"
        return EpochState(
            epoch=state.epoch,
            batch=state.step,
            val_loss=loss,
            val_accuracy=accuracy,
            epsilon=self.plan.epsilon_at(state.charged_steps, state.charged_evaluations),
            delta=self.plan.delta,
            val_source=source,
        )

    def progress(self, steps: int) -> TrainingProgress:
        """Return where training stands, without a loss or an accuracy: neither is charged."""
        state = self.state
        return TrainingProgress(state.epoch, state.step, steps, None, None, state.elapsed)

    def checkpoint_variables(self) -> list[Any]:
        """Return the variables of a checkpoint, with the current clipping norm."""
        return [*super().checkpoint_variables(), self.clip]

    # -- a step

    def run_step(self, index: int) -> None:
        """Charge a step, draw its sample, clip, add noise, and apply the optimizer.

        Args:
            index: not used; samples and noise are named by the number of the step since the beginning of training.
        """
        self.budget.charge_step(self.state)
        step, plan = self.state.total_steps, self.plan
        drawn = poisson_sample(self._units, plan.sample_rate, self.key.seed("sample", step))
        ranks = drawn if self.users is None else self.users.records_of(drawn)
        parts = physical_batches(
            self.train,
            ranks,
            counts_of=self.row_counts.__getitem__,
            seq_length=plan.seq_length,
            layout=self.model.layout,
        )
        # Zeros, so that an empty sample releases noise alone. In float64, so that batches add no rounding of their own.
        sums = [tf.zeros(variable.shape, tf.float64) for variable in self.model.trainable_variables]
        unclipped = 0
        for number, batch in enumerate(prefetch(batch.to_tensors() for _, batch in parts)):
            part = self._clipped(batch, self._dropout_seeds(step, number))
            sums = [total + tf.cast(more, total.dtype) for total, more in zip(sums, part.gradients, strict=True)]
            unclipped += int(part.unclipped)
            self.state.left_out += int(part.non_finite)
        variables = self.model.trainable_variables
        sums = [tf.cast(total, variable.dtype) for total, variable in zip(sums, variables, strict=True)]
        self._noise_and_apply(sums, noise_seeds(self.key, step, len(sums)))
        if plan.adaptive_clip is not None:
            self._adapt_clip(plan.adaptive_clip, unclipped - len(ranks) / 2, step)

    def _dropout_seeds(self, step: int, number: int) -> tf.Tensor:
        """Return the seeds of the dropout of a physical batch, [halves, layers, 2] int64."""
        halves, layers = range(NUM_HALVES), range(len(self.model.lstms))
        seeds = [[self.key.seed("dropout", step, number, half, layer) for layer in layers] for half in halves]
        return tf.constant(seeds, tf.int64)

    def _clipped_part(self, rows: dict[str, tf.Tensor], seeds: tf.Tensor) -> ClippedSum:
        """Compute the clipped sum of a physical batch: rows from `Batch.to_tensors`, seeds from `_dropout_seeds`."""
        dtype, rate = self._dtype, self.settings.dropout_rate
        steps = tf.shape(rows["inputs"])[0]

        def masks_of(half: int, count: tf.Tensor) -> list[tf.Tensor | None]:
            return [
                dropout_mask([steps, count, lstm.units], rate, seeds[half, layer], dtype)
                for layer, lstm in enumerate(self.model.lstms)
            ]

        variables = self.model.trainable_variables
        # A unit of k records contributes at most C, each of them at most C/k.
        clip = self.clip.value / self.plan.records_per_unit
        return clipped_sum(variables, rows, masks_of, clip=clip, seq_length=self.plan.seq_length, dtype=dtype)

    def _noise_and_apply(self, sums: list[tf.Tensor], seeds: list[Seed]) -> None:
        clip, noise_multiplier = float(self.clip.value), self.plan.noise_multiplier
        self._apply(noised_sum(sums, clip=clip, noise_multiplier=noise_multiplier, seeds=seeds))

    def _apply_mean(self, noised: list[tf.Tensor]) -> None:
        # The divisor is the public expectation, never the draw.
        mean = [total / self.plan.expected_batch_size for total in noised]
        self.optimizer.apply(mean, self.model.trainable_variables)

    def _adapt_clip(self, adaptive: AdaptiveClipping, centered_count: float, step: int) -> None:
        """Move the clipping norm by the noised count of records whose gradient was not clipped.

        Args:
            adaptive: settings of adaptive clipping.
            centered_count: that count less half the records of the sample, so that a record moves it by 1/2.
            step: number of the step, which determines the noise.
        """
        noised = float(add_noise(centered_count, adaptive.count_noise, self.key.seed("count", step)))
        fraction = noised / self.plan.expected_batch_size + 0.5
        factor = math.exp(-adaptive.learning_rate * (fraction - adaptive.target_quantile))
        self.clip.assign(self.clip.value * factor)

    def _resume(self) -> None:
        """Continue an earlier start, and charge what it released after its last checkpoint.

        Raises:
            DataError: the checkpoint is another run's, or what was charged cannot be known.
        """
        super()._resume()
        if has_checkpoint(self.files.resume_directory):
            self.budget.resume(self.state)
        else:
            # A checkpoint before the first step: without one, charged steps of a killed start would be forgotten.
            self.budget.begin(self.state)
            self._save()


def _metric(settings: TrainingSettings, public: bool) -> str:
    """Return 'val_loss', or 'val_accuracy' where it was asked for and is measured, which it is on public records only."""
    return "val_accuracy" if public and settings.metric == "val_accuracy" else "val_loss"
