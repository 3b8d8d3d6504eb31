"""Canary gradients: the audit that sees most, since it observes every noised sum that a private trainer releases.

A canary is a unit like any other: the trainer's own sampler draws it, and where it is drawn it adds a gradient of exactly the
clipping norm, along one coordinate of the embedding table that belongs to a token of no record. Everything after that is the
trainer's own: noise, divisor, key, plan, accountant. What is scored is the released sum at that coordinate in every step, which
is the dot product with the canary's direction (Dirac canaries: Steinke, Nasr, Jagielski 2023, arXiv 2305.08846, section 6).

Three attacks: the likelihood of having been drawn, which is the strongest attack on the mechanism as it is claimed; the variance
over steps, which finds noise that repeats; and the likelihood after subtracting the noise of a second trainer with the same
settings, which finds noise that others can compute.

Clipping is not tested here, since a canary has the clipping norm already: `linesmith.model.privacy.audit.neighbors` does that.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.audit.lower_bound import LowerBound, lower_bound
from linesmith.model.privacy.audit.sampling_faults import sampling_faults
from linesmith.model.privacy.noise import noise_seeds, standard_normal
from linesmith.model.privacy.plan import PrivacyPlan
from linesmith.model.privacy.plan_from_config import plan_privacy
from linesmith.model.privacy.secret_key import Seed
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.token_store import TokenStore
from linesmith.model.training.trainer import build_model

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GradientAudit:
    """Result of the audit; the attributes are also keys in `audit.json`.

    Attributes:
        epsilon, delta: the claim of the trainer's plan.
        bound: the lower bound on epsilon at 95 % confidence.
        canaries, included: number of canaries, and of those that took part.
        steps: number of releases that were observed.
        draws: what is wrong with how units were drawn; empty where nothing is.
    """

    epsilon: float
    delta: float
    bound: LowerBound
    canaries: int
    included: int
    steps: int
    draws: tuple[str, ...]

    @property
    def refuted(self) -> bool:
        """Whether the claim is below what was proved, or the sampling is not what the claim was computed for."""
        return self.bound.epsilon > self.epsilon or bool(self.draws)


def audit_gradients(
    config: TensorFlowConfig,
    train: TokenStore,
    vocab_size: int,
    *,
    canaries: int,
    seed: int,
    trainer_class: type[PrivateTrainer] = PrivateTrainer,
) -> GradientAudit:
    """Train once with canary gradients, and compute what the releases prove.

    Args:
        config: settings, with `dp`; the plan is made for these records and half of the canaries.
        train: real records; their contents hardly matter.
        vocab_size: number of token ids.
        canaries: number of canaries; each is included by a fair coin.
        seed: seed of coins and coordinates.
        trainer_class: the trainer to audit.

    Raises:
        ParameterError: no plan can keep its claim with these settings.
    """
    random = np.random.default_rng([seed, 1])
    included = random.random(canaries) < 0.5
    plan = plan_privacy(config, len(train) + canaries // 2)
    coordinates = _free_coordinates(train, vocab_size, config.embedding_dim, canaries, random)
    units = _CanaryUnits(len(train), np.flatnonzero(included), canaries)

    def make_trainer(directory: Path) -> Any:
        return _make_audited_trainer(trainer_class, config, vocab_size, train, plan, units, coordinates, directory)

    with tempfile.TemporaryDirectory() as directory:
        audited = make_trainer(Path(directory) / "audited")
        audited.fit()
        # The attacker's own trainer with the same public settings: only its key may differ.
        attackers = make_trainer(Path(directory) / "attackers")
    released = np.array(audited.releases) * plan.expected_batch_size / plan.l2_norm_clip
    noise = _predicted_noise(attackers, coordinates, len(released)) * plan.noise_multiplier
    scores = {
        "likelihood": _likelihood(released, plan),
        "spread over steps": released.var(axis=0) if len(released) > 1 else np.zeros(canaries),
        "noise that others can compute": _likelihood(released - noise, plan),
    }
    return GradientAudit(
        epsilon=plan.epsilon,
        delta=plan.delta,
        bound=lower_bound(scores, included, plan.delta),
        canaries=canaries,
        included=int(included.sum()),
        steps=len(released),
        draws=tuple(sampling_faults(units.counts, units.sizes, len(units), plan.sample_rate)),
    )


class _CanaryUnits:
    """Units as a trainer asks `UserIndex` for them: the records, one each, and then the included canaries, without records.

    Attributes:
        present: how often each canary, included or not, is in the current sample, [canaries]; a variable, so that a graph
            reads its current value.
        sizes: size of the sample of each step.
        counts: how often each unit was drawn, [units].
    """

    dropped_records = 0

    def __init__(self, records: int, included: npt.NDArray[np.int64], canaries: int) -> None:
        self._records, self._included = records, included
        self.present = tf.Variable(tf.zeros([canaries]), trainable=False)
        self.sizes: list[int] = []
        self.counts = np.zeros(len(self), np.int64)

    def __len__(self) -> int:
        return self._records + len(self._included)

    def records_of(self, drawn: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the ranks of the drawn records, and note which canaries were drawn beside them."""
        self.sizes.append(len(drawn))
        np.add.at(self.counts, drawn, 1)
        present = np.zeros(self.present.shape[0], np.float32)
        np.add.at(present, self._included[drawn[drawn >= self._records] - self._records], 1)
        self.present.assign(present)
        return drawn[drawn < self._records]


def _make_audited_trainer(
    trainer_class: type[PrivateTrainer],
    config: TensorFlowConfig,
    vocab_size: int,
    train: TokenStore,
    plan: PrivacyPlan,
    units: _CanaryUnits,
    coordinates: npt.NDArray[np.int64],
    directory: Path,
) -> Any:
    """Make a trainer with canary gradients that keeps what its optimizer is handed at the coordinates, as `releases`."""
    observed = tf.Variable(tf.zeros([len(coordinates)]), trainable=False)

    class AuditedTrainer(trainer_class):  # type: ignore[misc, valid-type]
        releases: list[np.ndarray]

        def _noise_and_apply(self, sums: list[tf.Tensor], seeds: list[Seed]) -> None:
            # A drawn canary has exactly the clipping norm, along its coordinate.
            table = tf.tensor_scatter_nd_add(sums[0], coordinates, units.present * self.clip.value)
            super()._noise_and_apply([table, *sums[1:]], seeds)

        def run_step(self, index: int) -> None:
            super().run_step(index)
            self.releases.append(observed.numpy())

    trainer = AuditedTrainer(
        TrainingSettings.from_config(config),
        build_model(NetworkSettings.from_config(config), vocab_size),
        train,
        # At user level a unit may have no record, as a canary has none; the accounting does not depend on the kind of unit.
        replace(plan, units=len(units), unit="user", records_per_unit=1),
        users=units,
        unsafe_fixed_key=config.dp_unsafe_fixed_key,
        directory=directory / "checkpoints",
        resume_directory=directory / "private",
        history_path=directory / "history.csv",
        identity={},
    )
    trainer.releases = []
    trainer.optimizer = _observed_optimizer(trainer.optimizer, observed, coordinates)
    trainer.optimizer.build(trainer.model.trainable_variables)
    return trainer


def _observed_optimizer(optimizer: Any, observed: tf.Variable, coordinates: npt.NDArray[np.int64]) -> Any:
    """Return an optimizer of the same class and settings that writes what it is handed at the coordinates to `observed`."""

    class ObservedOptimizer(type(optimizer)):  # type: ignore[misc]
        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            observed.assign(tf.gather_nd(grads[0], coordinates))
            return super().apply(grads, trainable_variables)

    return ObservedOptimizer.from_config(optimizer.get_config())


def _free_coordinates(
    train: TokenStore, vocab_size: int, width: int, count: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Choose coordinates of the embedding table, [count, 2]: of tokens that no record has, as far as there are enough."""
    used = np.zeros(vocab_size, bool)
    used[np.unique(np.asarray(train.ids))] = True
    rows = np.argsort(used, kind="stable")  # tokens that no record has come first
    needed = max(-(-count // width), int((~used).sum()))
    cells = random.permutation(needed * width)[:count]
    return np.stack([rows[cells // width], cells % width], axis=1)


def _likelihood(released: Floats, plan: PrivacyPlan) -> Floats:
    """Compute the log likelihood ratio of having taken part, under the mechanism as it is claimed.

    Args:
        released: released sums at the coordinates, in clipping norms, [steps, canaries].
        plan: sampling rate and noise.
    """
    q, variance = plan.sample_rate, max(plan.noise_multiplier, 1e-3) ** 2
    # Per step: the mixture (1 - q) N(0, z^2) + q N(1, z^2) of a canary that takes part, against N(0, z^2) of one that does not.
    exponent = (released - 0.5) / variance
    ratio: Floats = np.logaddexp(np.log1p(-q) if q < 1 else -np.inf, np.log(q) + exponent).sum(axis=0)
    return ratio


def _predicted_noise(trainer: Any, coordinates: npt.NDArray[np.int64], steps: int) -> Floats:
    """Compute the noise of each step with the key of this trainer, in standard deviations, [steps, canaries]."""
    table_shape, cells = tuple(trainer.model.trainable_variables[0].shape), tuple(coordinates.T)
    seeds = [noise_seeds(trainer.key, step, 1)[0] for step in range(steps)]
    return np.array([standard_normal(table_shape, seed)[cells] for seed in seeds]).reshape(steps, len(coordinates))
