"""Private training: DP-SGD on Poisson samples, under a plan that was fixed before it began.

A step draws its sample, sums the clipped gradients of its records over as many physical batches as they take, adds noise
once, divides by the plan's expected batch size and hands the result to the optimizer. Samples, dropout and noise come from
one secret key; nothing else that a step computes leaves it.
What is charged, and when, is in `linesmith.model.privacy.budget`.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from linesmith.core.artifacts.checkpoints import has_checkpoint
from linesmith.core.artifacts.history import EpochState
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.budget import PrivacyBudget
from linesmith.model.privacy.dp_sgd.clipped_sum import ClippedSum, clipped_sum
from linesmith.model.privacy.noise import noise_seeds, noised_sum, standard_normal
from linesmith.model.privacy.plan import AdaptiveClipping, PrivacyPlan
from linesmith.model.privacy.poisson_sampling import physical_batches, poisson_sample
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.users import UserIndex
from linesmith.model.privacy.validation import NoisedValidation, PublicValidation
from linesmith.model.tf_function import graph
from linesmith.model.training.backpropagation import NUM_HALVES
from linesmith.model.training.batches import Batch
from linesmith.model.training.dropout import dropout_mask
from linesmith.model.training.early_stopping import better, stale
from linesmith.model.training.language_model import LanguageModel
from linesmith.model.training.loop import Progress, TrainingLoop
from linesmith.model.training.prefetch import prefetched
from linesmith.model.training.token_store import TokenStore
from linesmith.model.training.trainer import matmul_dtype


class PrivateTrainer(TrainingLoop):
    """Trains one model on one token store with differential privacy.

    Training loss and accuracy are not measured: they depend on records in ways that the plan does not charge. Without a
    validation of public or noised losses the latest epoch is the best one, and training ends with the planned steps, by the
    clock or on request, never because of what the data said.

    Args:
        config: settings of the run. `batch_size` is the physical batch: it bounds memory and changes no result.
        model: from `build_model`.
        train: training records.
        plan: sampler, clipping, noise and budget, made for that many records or users.
        users: whose the training records are, where the plan's unit is a user.
        validation: validation records, where the plan has noised evaluations; with whose they are.
        public: public records, where early stopping goes by them.
        places: directory, resume_directory, history_path, identity, hooks and clock, as `TrainingLoop` takes them.
    """

    def __init__(
        self,
        config: TensorFlowConfig,
        model: LanguageModel,
        train: TokenStore,
        plan: PrivacyPlan,
        *,
        users: UserIndex | None = None,
        validation: tuple[TokenStore, UserIndex | None] | None = None,
        public: TokenStore | None = None,
        **places: Any,
    ) -> None:
        # On a GPU, float32 products have ten bits unless this is said, and norms need all of them.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.users, self._units = users, len(train) if users is None else len(users)
        if plan.units != self._units or (plan.unit == "user") != (users is not None):
            raise ValueError(
                f"the plan is for {plan.units} {plan.unit}s, there are {self._units}: its rate would be another"
            )
        kinds = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
        measured = plan.validation is not None or public is not None
        metric = _metric(config, public is not None) if measured else None
        super().__init__(config, model, train, kinds[plan.optimizer](config.learning_rate), metric=metric, **places)
        self.plan = plan
        fixed = config.dp_unsafe_fixed_key
        self.charges = PrivacyBudget(self.files.resume_directory, plan, repeatable=fixed is not None)
        self._key = SecretKey.fresh() if fixed is None else SecretKey.unsafe(fixed)
        self.clip = keras.Variable(plan.l2_norm_clip, dtype="float32", trainable=False, name="clip")
        seeds = tf.TensorSpec([NUM_HALVES, len(model.lstms), 2], tf.int64)
        self._clipped = graph(self._clipped_part, input_signature=[Batch.specs(), seeds])
        self._update = graph(self._noise_and_apply)
        shape = {"batch_size": config.batch_size, "seq_length": plan.seq_length}
        self._public = None if public is None else PublicValidation(model, public, **shape)
        self._noised: NoisedValidation | None = None
        if plan.validation is not None and validation is not None:
            store, whose = validation
            self._noised = NoisedValidation(model, store, plan.validation, self._key, users=whose, **shape)

    # -- the loop's questions

    def begin_epoch(self) -> int:
        return self.plan.steps_per_epoch

    def stop_reason_before_step(self) -> str | None:
        if self.charges.spent(self.state):
            return "budget"
        return super().stop_reason_before_step()

    def stop_reason_after_epoch(self) -> str | None:
        if not all(np.isfinite(array).all() for array in self.weights().values()):
            return "diverged"
        if self.state.epoch >= self.config.epochs:
            return "epochs"
        if self.charges.spent(self.state):
            return "budget"
        config = self.config
        if self.metric is None or not config.early_stopping:
            return None
        values = [entry.metric(self.metric) for entry in self.state.history]
        waited = stale(values, self.metric, config.early_stopping_min_delta)
        return "patience" if waited >= max(1, config.early_stopping_patience) else None

    def is_best(self, entry: EpochState) -> bool:
        state = self.state
        if not all(np.isfinite(array).all() for array in self.weights().values()):
            return False
        best = None if state.best_epoch is None else state.history[state.best_epoch]
        return self.metric is None or better(entry, best, self.metric)

    def fraction_done(self, steps: int) -> float:
        return self.charges.fraction_done(self.state)

    def measure(self) -> EpochState:
        """Epsilon spent so far, delta, and a validation loss that is public or charged; nothing else of the records."""
        state = self.state
        loss = accuracy = source = None
        if self._public is not None:
            (loss, accuracy), source = self._public.measure(), "public file"
        elif self._noised is not None and self.charges.charge_evaluation(state):
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

    def progress(self, steps: int) -> Progress:
        state = self.state
        return Progress(state.epoch, state.step, steps, None, None, state.elapsed)

    def variables(self) -> list[Any]:
        return [*super().variables(), self.clip]

    # -- a step

    def run_step(self, index: int) -> None:
        """Charge, draw, clip, noise, apply. `index` names nothing: a step is known by its number since the beginning."""
        self.charges.charge_step(self.state)
        step, plan = self.state.total_steps, self.plan
        drawn = poisson_sample(self._units, plan.sample_rate, self._key.seed("sample", step))
        ranks = drawn if self.users is None else self.users.records_of(drawn)
        parts = physical_batches(self.train, ranks, batch_size=self.config.batch_size, seq_length=plan.seq_length)
        sums = [tf.zeros(variable.shape, variable.dtype) for variable in self.model.trainable_variables]
        whole = 0
        for number, batch in enumerate(prefetched(batch.tensors() for batch in parts)):
            part = self._clipped(batch, self._dropout_seeds(step, number))
            sums = [total + more for total, more in zip(sums, part.gradients, strict=True)]
            whole += int(part.whole)
            self.state.left_out += int(part.broken)
        self._update(sums, tf.constant(noise_seeds(self._key, step, len(sums)), tf.int64))
        if plan.adaptive_clip is not None:
            self._adapt(plan.adaptive_clip, whole - len(ranks) / 2, step)

    def _dropout_seeds(self, step: int, number: int) -> Any:
        halves, layers = range(NUM_HALVES), range(len(self.model.lstms))
        seeds = [[self._key.seed("dropout", step, number, half, layer) for layer in layers] for half in halves]
        return tf.constant(seeds, tf.int64)

    def _clipped_part(self, rows: dict[str, Any], seeds: Any) -> ClippedSum:
        kind, rate = matmul_dtype(self.config), self.config.dropout_rate
        steps = tf.shape(rows["inputs"])[0]

        def masks_of(half: int, count: Any) -> list[Any]:
            return [
                dropout_mask([steps, count, lstm.units], rate, seeds[half, layer], kind)
                for layer, lstm in enumerate(self.model.lstms)
            ]

        variables = self.model.trainable_variables
        # A unit of k records contributes at most C, each of them at most C/k.
        clip = self.clip.value / self.plan.records_per_unit
        return clipped_sum(variables, rows, masks_of, clip=clip, seq_length=self.plan.seq_length, kind=kind)

    def _noise_and_apply(self, sums: list[Any], seeds: Any) -> None:
        noised = noised_sum(sums, clip=self.clip.value, noise_multiplier=self.plan.noise_multiplier, seeds=seeds)
        # The divisor is the public expectation, never the draw.
        mean = [total / self.plan.expected_batch_size for total in noised]
        self.optimizer.apply(mean, self.model.trainable_variables)

    def _adapt(self, adaptive: AdaptiveClipping, centred: float, step: int) -> None:
        """Move the clipping norm by the noised count of records whose gradient was whole.

        Args:
            adaptive: its settings.
            centred: that count less half the records of the sample: a record moves it by 1/2.
            step: names the draw.
        """
        draw = float(standard_normal([], tf.constant(self._key.seed("count", step), tf.int64)))
        share = (centred + adaptive.count_noise * draw) / self.plan.expected_batch_size + 0.5
        factor = math.exp(-adaptive.learning_rate * (share - adaptive.target_quantile))
        self.clip.assign(self.clip.value * factor)

    def _resume(self) -> None:
        """Take up an earlier start, and charge what it did after its last checkpoint.

        Raises:
            DataError: the checkpoint is another run's, or what was charged cannot be known.
        """
        super()._resume()
        if has_checkpoint(self.files.resume_directory):
            self.charges.resume(self.state)
        else:
            # From here on there is a checkpoint, so that no step is charged to a training that is then forgotten.
            self.charges.begin(self.state)
            self._save()


def _metric(config: TensorFlowConfig, public: bool) -> str:
    """val_loss, or val_accuracy where it was asked for and is measured; training's own loss never is."""
    return "val_accuracy" if public and config.best_model_metric == "val_accuracy" else "val_loss"
