"""One object owns sampler, clipping, noise and accountant, so that nobody can pair a shuffle with a Poisson epsilon.

Words. A *unit* is what the claim protects: one record, or one user with at most k of its records. A *step* draws each of
the N units on the training side independently with probability q, clips each drawn record's gradient to norm C/k, so that a
unit contributes at most C, adds Gaussian noise of standard deviation z·C to the sum and divides by E[B] = q·N. N, q, E[B] and
the number of steps are fixed before training and are public. The *claim* is the epsilon at the planned steps; it does not
shrink when training happens to end earlier, since that may depend on the data.

Parts. The hash split puts each unit on one side, whatever else is there. A unit on the training side is seen by the steps, one
on the validation side by noised evaluations, either by a noised vocabulary: the claim is the larger of both sides' epsilon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from linesmith.core.config.privacy_checks import (
    check_privacy_settings,
    check_unit_count,
    user_field_index,
    vocabulary_mode,
)
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.privacy.accounting import (
    GaussianEvent,
    by,
    calibrate_noise,
    combined_noise_multiplier,
    epsilon,
    max_steps_within,
    rdp_epsilon,
)
from linesmith.records.input.record_format import VALIDATION_SHARE

# Of a run whose batch size is ours to choose: fewer steps need less noise each, more learn more.
_AIM_STEPS, _SMALLEST = 1000, 256
_OLD_BATCH = 64  # what a given noise has always gone with
_CLIP_LEARNING_RATE = 0.2  # of the clipping norm, geometric (Andrew et al. 2021)


@dataclass(frozen=True)
class AdaptiveClipping:
    """Moves the clipping norm towards a quantile of gradient norms (Andrew et al. 2021, arXiv 1905.03871).

    Attributes:
        target_quantile: share of records whose gradient should stay whole.
        learning_rate: exponent's step: C <- C * exp(-learning_rate * (noised share - target_quantile)).
        count_noise: sigma_b, standard deviation of the noise on the sum of (1[norm <= C] - 1/2) over the sample.
    """

    target_quantile: float
    learning_rate: float
    count_noise: float


@dataclass(frozen=True)
class NoisedValidationPlan:
    """Evaluations on the validation side, each a Gaussian mechanism on the sum of its units' losses.

    Attributes:
        noise_multiplier: standard deviation of the noise over `loss_clip`.
        loss_clip: L, the most that a unit contributes, in nats a token.
        evaluations: how many are permitted.
        expected_units: the public divisor: N times what the validation side is expected to have of the training side.
    """

    noise_multiplier: float
    loss_clip: float
    evaluations: int
    expected_units: float


@dataclass(frozen=True)
class PrivacyPlan:
    """Everything that private training may do, decided before it begins.

    Attributes:
        units: N, the training records, or the users that have any; treated as public.
        sample_rate: q, each unit's independent chance to be in a step.
        expected_batch_size: E[B] = q·N, the divisor of every noised sum; never the size of the draw.
        noise_multiplier: z, standard deviation of the noise over the clipping norm.
        l2_norm_clip: C, what one unit contributes at most, or where adaptive clipping begins.
        delta: of the claim, in total.
        planned_steps: the last permitted step.
        steps_per_epoch: 1/q, rounded up.
        adaptive_clip: None: the norm is fixed.
        seq_length: tokens of a record that are trained on; a record's loss is divided by it.
        vocabulary: where the vocabulary comes from.
        other_events: what was or will be released about every unit beside the steps: a noised vocabulary.
        unit: what is protected.
        records_per_unit: k, most records of a unit; each is clipped to C/k.
        user_key_field: the field that names the user, as it was given.
        validation: noised evaluations; None: no raw record is evaluated.
        validation_mode: what early stopping goes by, as `dp_validation` names it.
    """

    units: int
    sample_rate: float
    expected_batch_size: float
    noise_multiplier: float
    l2_norm_clip: float
    delta: float
    planned_steps: int
    steps_per_epoch: int
    adaptive_clip: AdaptiveClipping | None
    seq_length: int
    optimizer: str = "adam"
    vocabulary: str = "bytes"
    target_epsilon: float | None = None
    max_epsilon: float | None = None
    other_events: tuple[GaussianEvent, ...] = ()
    unit: Literal["record", "user"] = "record"
    records_per_unit: int = 1
    user_key_field: str | None = None
    validation: NoisedValidationPlan | None = None
    validation_mode: str = "budget"

    @property
    def effective_noise_multiplier(self) -> float:
        """The noise multiplier that a step is charged with; below z with adaptive clipping, whose count costs, too."""
        if self.adaptive_clip is None:
            return self.noise_multiplier
        return combined_noise_multiplier(self.noise_multiplier, 2 * self.adaptive_clip.count_noise)

    @property
    def planned_evaluations(self) -> int:
        """The last permitted noised evaluation; 0 without them."""
        return 0 if self.validation is None else self.validation.evaluations

    def training_events(self, steps: int) -> tuple[GaussianEvent, ...]:
        """What has been released about a unit on the training side after so many steps."""
        return (GaussianEvent(self.effective_noise_multiplier, steps, self.sample_rate), *self.other_events)

    def validation_events(self, evaluations: int) -> tuple[GaussianEvent, ...]:
        """What has been released about a unit on the validation side after so many evaluations."""
        if self.validation is None:
            return self.other_events
        return (GaussianEvent(self.validation.noise_multiplier, evaluations), *self.other_events)

    def all_events(self) -> tuple[GaussianEvent, ...]:
        """All that is planned, the sides added up: what a ledger enters, where a later training may split otherwise."""
        evaluations = self.validation_events(self.planned_evaluations)[: 0 if self.validation is None else 1]
        return (*self.training_events(self.planned_steps), *evaluations)

    def epsilon_at(self, steps: int, evaluations: int = 0) -> float:
        """Epsilon spent after so many steps and evaluations, other releases included: the larger of both sides'.

        Unrounded, infinite without noise.
        """
        sides = (self.training_events(steps), self.validation_events(evaluations))
        return max(epsilon(side, self.delta) for side in sides)

    @property
    def epsilon(self) -> float:
        """The claim: at the planned steps and evaluations, whether or not training reaches them."""
        return self.epsilon_at(self.planned_steps, self.planned_evaluations)

    @property
    def _sides(self) -> tuple[tuple[GaussianEvent, ...], ...]:
        return self.training_events(self.planned_steps), self.validation_events(self.planned_evaluations)

    @property
    def rdp_epsilon(self) -> float:
        """The second opinion on the claim, by Renyi accounting."""
        return max(rdp_epsilon(side, self.delta) for side in self._sides)

    @property
    def accountant(self) -> str:
        """Which accountant the claim is from: 'PLD', or 'RDP' above an epsilon of 50."""
        return by(max(self._sides, key=lambda side: rdp_epsilon(side, self.delta)), self.delta)


def plan_privacy(config: TensorFlowConfig, units: int) -> PrivacyPlan:
    """The plan of a private run over so many training records, or over so many users that have any.

    Args:
        config: with `dp`.
        units: N, the records, or with `privacy_key_field` the users, on the training side; treated as public.

    Raises:
        ParameterError: LS106 a library is missing, LS301 … LS305 settings that contradict each other or the data, LS302
            an epsilon that cannot be met.
    """
    check_privacy_settings(config)
    check_unit_count(config, units)
    batch = expected_batch_size(config, units)
    rate, per_epoch = batch / units, math.ceil(units / batch)
    total = max(1, config.epochs) * per_epoch
    other = vocabulary_events(config)
    noise, clip = _noise(config, rate, batch, total, other)
    plan = PrivacyPlan(
        units=units,
        sample_rate=rate,
        expected_batch_size=float(batch),
        noise_multiplier=noise,
        l2_norm_clip=config.dp_l2_norm_clip,
        delta=config.dp_delta,
        planned_steps=config.epochs * per_epoch,
        steps_per_epoch=per_epoch,
        adaptive_clip=clip,
        seq_length=config.seq_length,
        optimizer=config.dp_optimizer,
        vocabulary=vocabulary_mode(config),
        target_epsilon=config.target_epsilon,
        max_epsilon=config.dp_max_epsilon,
        other_events=other,
        unit="record" if user_field_index(config) is None else "user",
        records_per_unit=config.dp_records_per_user,
        user_key_field=config.privacy_key_field,
        validation_mode=config.dp_validation,
    )
    return _with_validation(config, _within_ceiling(plan))


def expected_batch_size(config: TensorFlowConfig, units: int) -> int:
    """E[B]: as set; else, where the noise is given, `batch_size`; else what makes about 1,000 steps; at most N."""
    if config.dp_batch_size is not None:
        return config.dp_batch_size
    if config.target_epsilon is None:
        return min(units, config.batch_size if "batch_size" in config.model_fields_set else _OLD_BATCH)
    return min(units, max(_SMALLEST, round(units * config.epochs / _AIM_STEPS)))


def vocabulary_events(config: TensorFlowConfig) -> tuple[GaussianEvent, ...]:
    """What the vocabulary releases about all records: one Gaussian mechanism, or nothing."""
    return (GaussianEvent(config.dp_vocabulary_noise),) if vocabulary_mode(config) == "dp_characters" else ()


def _noise(
    config: TensorFlowConfig, rate: float, batch: int, steps: int, other: tuple[GaussianEvent, ...]
) -> tuple[float, AdaptiveClipping | None]:
    """Noise multiplier and adaptive clipping, given or calibrated, which together cost what is meant."""
    target = config.target_epsilon
    if target is None:
        noise = config.dp_noise_multiplier or 0.0
        return noise, _adaptive(config, max(batch / 20, 2 * noise))
    charged = calibrate_noise(target, config.dp_delta, lambda z: [GaussianEvent(z, steps, rate), *other])
    if not config.dp_adaptive_clip:
        return charged, None
    # The count takes at most 1/16 of the precision, so the gradients' noise grows by at most 3.3 %.
    clip = _adaptive(config, max(batch / 20, 2 * charged))
    share = 0.0 if clip is None else (charged / (2 * clip.count_noise)) ** 2
    return charged / math.sqrt(1 - share) * (1 + 1e-9), clip


def _adaptive(config: TensorFlowConfig, count_noise: float) -> AdaptiveClipping | None:
    return (
        AdaptiveClipping(config.dp_clip_quantile, _CLIP_LEARNING_RATE, count_noise) if config.dp_adaptive_clip else None
    )


def _within_ceiling(plan: PrivacyPlan) -> PrivacyPlan:
    """The plan with its last permitted step.

    Raises:
        ParameterError: LS302, not even one step is permitted.
    """
    if plan.max_epsilon is None or plan.planned_steps == 0:
        return plan
    last = max_steps_within(plan.max_epsilon, plan.planned_steps, plan.epsilon_at)
    if last == 0:
        raise ParameterError(
            f"LS302: --dp-max-epsilon {plan.max_epsilon:g} does not permit a single step: the first one spends "
            f"{plan.epsilon_at(1):.4g}. Set --dp-target-epsilon instead of the noise, or allow more. Nothing was spent.",
            code="LS302",
        )
    return replace(plan, planned_steps=last)


def _with_validation(config: TensorFlowConfig, plan: PrivacyPlan) -> PrivacyPlan:
    """The plan with its noised evaluations, one an epoch, where they are asked for.

    Noise that is not given is the least with which the validation side costs no more than the training side: the two sides
    share no unit, so the claim stays what it was.

    Raises:
        ParameterError: LS302, noise that is given makes the claim pass the target or the ceiling.
    """
    evaluations = math.ceil(plan.planned_steps / plan.steps_per_epoch)
    if config.dp_validation != "noised" or evaluations == 0:
        return plan
    spent = plan.epsilon
    noise = config.dp_validation_noise
    if noise is None and math.isinf(spent):
        noise = 0.0
    elif noise is None:
        noise = calibrate_noise(spent, plan.delta, lambda z: [GaussianEvent(z, evaluations), *plan.other_events])
    share = VALIDATION_SHARE / (1 - VALIDATION_SHARE - config.holdout_fraction)
    loss = NoisedValidationPlan(noise, config.dp_validation_loss_clip, evaluations, plan.units * share)
    measured = replace(plan, validation=loss)
    limit = min(plan.target_epsilon or math.inf, plan.max_epsilon or math.inf)
    if measured.epsilon > max(limit, spent):
        raise ParameterError(
            f"LS302: --dp-validation-noise {noise:g} spends {measured.epsilon:.4g} on the validation records in {evaluations} "
            f"evaluations, more than the {limit:g} that is allowed. Leave it out to have it found. Nothing was spent.",
            code="LS302",
        )
    return measured
