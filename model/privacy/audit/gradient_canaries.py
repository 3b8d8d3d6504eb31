"""The audit that sees most: canary gradients in a private trainer's sums, looked for in what its optimizer is handed.

A canary is a unit like any other: the trainer's own sampler draws it, and where it is drawn it adds a gradient of exactly the
clipping norm, along one coordinate of the embedding table that belongs to a token no record has. Everything after that is the
trainer's: noise, divisor, key, plan, accountant. What is scored is the released sum at that coordinate in every step, which is
the dot product with the planted direction (Dirac canaries: Steinke, Nasr, Jagielski 2023, arXiv 2305.08846, section 6).

Three attacks: the likelihood of having been drawn, which is the best there is against the mechanism as claimed; the spread over
steps, which finds noise that repeats; and the likelihood after subtracting the noise of a second trainer of equal settings,
which finds noise that can be computed by others.

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
from scipy.stats import norm

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.privacy.audit.lower_bound import LowerBound, lower_bound
from linesmith.model.privacy.noise import noise_seeds, standard_normal
from linesmith.model.privacy.plan import PrivacyPlan, plan_privacy
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.tf_function import graph
from linesmith.model.training.token_store import TokenStore
from linesmith.model.training.trainer import build_model

FALSE_ALARMS = 0.001  # of the test of the draws, all its parts together
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GradientAudit:
    """What was planted, seen and proved.

    Attributes:
        epsilon, delta: the claim of the trainer's plan.
        bound: the lower bound on epsilon at 95 % confidence.
        canaries, included: how many there were, and how many of them took part.
        steps: releases that were looked at.
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
        """The claim is smaller than what was proved, or the draws are not those that it was computed for."""
        return self.bound.epsilon > self.epsilon or bool(self.draws)


def audit_gradients(
    config: TensorFlowConfig,
    train: TokenStore,
    vocab_size: int,
    *,
    canaries: int,
    seed: int,
    trainer: type[PrivateTrainer] = PrivateTrainer,
) -> GradientAudit:
    """Train once with planted gradients, and say what the releases prove.

    Args:
        config: with `dp`; its plan is made for these records and half of the canaries.
        train: real records; their contents hardly matter.
        vocab_size: ids of the tokenizer.
        canaries: how many; each is included by a coin.
        seed: of coins and coordinates.
        trainer: the class that is audited.

    Raises:
        ParameterError: no plan can keep its claim.
    """
    random = np.random.default_rng([seed, 1])
    included = random.random(canaries) < 0.5
    plan = plan_privacy(config, len(train) + canaries // 2)
    coordinates = _free_coordinates(train, vocab_size, config.embedding_dim, canaries, random)
    planted = _PlantedUnits(len(train), np.flatnonzero(included), canaries)
    with tempfile.TemporaryDirectory() as place:
        audited = _audited(trainer, config, vocab_size, train, plan, planted, coordinates, Path(place) / "one")
        audited.fit()
        # The attacker's own trainer of the same public settings: only its key may differ.
        twin = _audited(trainer, config, vocab_size, train, plan, planted, coordinates, Path(place) / "twin")
    seen = np.array(audited.releases) * plan.expected_batch_size / plan.l2_norm_clip
    noise = _predicted_noise(twin, coordinates, len(seen)) * plan.noise_multiplier
    scores = {
        "likelihood": _likelihood(seen, plan),
        "spread over steps": seen.var(axis=0) if len(seen) > 1 else np.zeros(canaries),
        "noise that others can compute": _likelihood(seen - noise, plan),
    }
    return GradientAudit(
        epsilon=plan.epsilon,
        delta=plan.delta,
        bound=lower_bound(scores, included, plan.delta),
        canaries=canaries,
        included=int(included.sum()),
        steps=len(seen),
        draws=tuple(sampling_faults(np.array(planted.counts), planted.sizes, len(planted), plan.sample_rate)),
    )


class _PlantedUnits:
    """Units as a trainer asks for them: the records, one each, and after them the included canaries, which have no record."""

    dropped = 0

    def __init__(self, records: int, included: npt.NDArray[np.int64], canaries: int) -> None:
        self._records, self._included = records, included
        self.present = tf.Variable(tf.zeros([canaries]), trainable=False)
        self.sizes: list[int] = []
        self.counts = np.zeros(len(self), np.int64)

    def __len__(self) -> int:
        return self._records + len(self._included)

    def records_of(self, drawn: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Ranks of the drawn records; which canaries were drawn beside them is kept."""
        self.sizes.append(len(drawn))
        np.add.at(self.counts, drawn, 1)
        present = np.zeros(self.present.shape[0], np.float32)
        np.add.at(present, self._included[drawn[drawn >= self._records] - self._records], 1)
        self.present.assign(present)
        return drawn[drawn < self._records]


def _audited(
    base: type[PrivateTrainer],
    config: TensorFlowConfig,
    vocab_size: int,
    train: TokenStore,
    plan: PrivacyPlan,
    planted: _PlantedUnits,
    coordinates: npt.NDArray[np.int64],
    place: Path,
) -> Any:
    """A trainer of the class that is audited, with planted gradients, whose optimizer tells what it is handed."""
    seen = tf.Variable(tf.zeros([len(coordinates)]), trainable=False)

    class Audited(base):  # type: ignore[misc, valid-type]
        releases: list[np.ndarray]

        def _noise_and_apply(self, sums: list[Any], seeds: Any) -> None:
            table = tf.tensor_scatter_nd_add(sums[0], coordinates, planted.present * self.clip.value)
            super()._noise_and_apply([table, *sums[1:]], seeds)

        def run_step(self, index: int) -> None:
            super().run_step(index)
            self.releases.append(seen.numpy())

    trainer = Audited(
        config,
        build_model(config, vocab_size),
        train,
        # A unit without a record is what users can be; the accounting of a unit is the same.
        replace(plan, units=len(planted), unit="user", records_per_unit=1),
        users=planted,
        directory=place / "checkpoints",
        resume_directory=place / "private",
        history_path=place / "history.csv",
        identity={},
    )
    trainer.releases = []
    trainer.optimizer = _watched(trainer.optimizer, seen, coordinates)
    trainer.optimizer.build(trainer.model.trainable_variables)
    return trainer


def _watched(optimizer: Any, seen: tf.Variable, coordinates: npt.NDArray[np.int64]) -> Any:
    """An optimizer of the same kind that writes down what it is handed at the coordinates."""

    class Watched(type(optimizer)):  # type: ignore[misc]
        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            seen.assign(tf.gather_nd(grads[0], coordinates))
            return super().apply(grads, trainable_variables)

    return Watched.from_config(optimizer.get_config())


def _free_coordinates(
    train: TokenStore, vocab_size: int, width: int, count: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Places in the embedding table, [count, 2]: of tokens that no record has, as far as there are enough of them."""
    used = np.zeros(vocab_size, bool)
    used[np.unique(np.asarray(train.ids))] = True
    rows = np.argsort(used, kind="stable")  # tokens that no record has come first
    needed = max(-(-count // width), int((~used).sum()))
    places = random.permutation(needed * width)[:count]
    return np.stack([rows[places // width], places % width], axis=1)


def _likelihood(seen: Floats, plan: PrivacyPlan) -> Floats:
    """Log likelihood ratio of having taken part, by the mechanism as it is claimed; `seen` is in clipping norms."""
    q, variance = plan.sample_rate, max(plan.noise_multiplier, 1e-3) ** 2
    exponent = (seen - 0.5) / variance
    found: Floats = np.logaddexp(np.log1p(-q) if q < 1 else -np.inf, np.log(q) + exponent).sum(axis=0)
    return found


def _predicted_noise(twin: Any, coordinates: npt.NDArray[np.int64], steps: int) -> Floats:
    """What the twin's key makes the noise of each step, in standard deviations, [steps, canaries]."""
    table = twin.model.trainable_variables[0].shape
    tensors = len(twin.model.trainable_variables)
    drawn = graph(lambda seed: tf.gather_nd(standard_normal(table, seed), coordinates))
    seeds = [tf.constant(noise_seeds(twin._key, step, tensors)[0], tf.int64) for step in range(steps)]
    return np.array([drawn(seed).numpy() for seed in seeds], np.float64).reshape(steps, len(coordinates))


def sampling_faults(counts: npt.NDArray[np.int64], sizes: list[int], units: int, rate: float) -> list[str]:
    """What tells the draws from independent ones at the planned rate: 'rate', 'repetition' or 'size'.

    Under Poisson sampling how often a unit is drawn is binomial, and so is the size of a draw. A shuffle draws each unit
    equally often; batches of one size have no spread of sizes; another rate moves the total. False alarms: one in 1,000.

    Args:
        counts: how often each unit was drawn.
        sizes: of each step's draw.
        units: how many there are.
        rate: q.

    Example:
        >>> sampling_faults(np.full(100, 5), [10] * 50, 100, 0.1)  # five epochs of a shuffle
        ['repetition', 'size']
    """
    steps = len(sizes)
    if rate >= 1 or not steps:
        return []
    limit = norm.isf(FALSE_ALARMS / 3 / 2)
    trials = steps * units
    faults = []
    if abs(sum(sizes) - trials * rate) > limit * np.sqrt(trials * rate * (1 - rate)):
        faults.append("rate")
    if abs(_spread(counts, steps, rate)) > limit:
        faults.append("repetition")
    if abs(_spread(np.array(sizes), units, rate)) > limit:
        faults.append("size")
    return faults


def _spread(numbers: npt.NDArray[np.int64], trials: int, rate: float) -> float:
    """How far the spread of binomial numbers is from what it should be, as a standard normal (Wilson and Hilferty 1931)."""
    n, variance = len(numbers), trials * rate * (1 - rate)
    ratio = float(((numbers - trials * rate) ** 2).sum() / variance / n)
    wider = 1 + (1 - 6 * rate * (1 - rate)) / variance / 2  # a binomial's fourth moment is not quite a normal's
    return float((ratio ** (1 / 3) - (1 - 2 / (9 * n))) / np.sqrt(2 / (9 * n) * wider))
