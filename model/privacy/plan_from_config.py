"""Make the plan of a private training from its settings and the number of its units."""

from __future__ import annotations

import math
from dataclasses import replace

from linesmith.core.config.privacy_checks import (
    check_privacy_settings,
    check_unit_count,
    user_field_index,
    vocabulary_mode,
)
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.discriminator.private_fitting import is_worth_noise
from linesmith.model.privacy.accounting import GaussianEvent
from linesmith.model.privacy.calibration import calibrate_noise, max_steps_within
from linesmith.model.privacy.plan import AdaptiveClipping, NoisedValidationPlan, PrivacyPlan
from linesmith.records.input.record_format import VALIDATION_SHARE

# Where the batch size is left to us. With fewer steps each one needs less noise, with more the model learns more.
_AIMED_STEPS, _MIN_BATCH = 350, 256
_BATCH_WITH_GIVEN_NOISE = 64  # the batch size where the noise is given, as in the first versions of this setting
# Of what the steps cost, as squared ratios of signal to noise, which add up (Dong et al. 2022, "Gaussian differential privacy").
_DISCRIMINATOR_SHARE = 0.25
_LARGEST_EXPONENT = 50.0  # under so little noise no epsilon means anything
_CLIP_LEARNING_RATE = 0.2  # of the clipping norm, geometric (Andrew et al. 2021)


def plan_privacy(config: TensorFlowConfig, units: int) -> PrivacyPlan:
    """Make the plan of a private training.

    Args:
        config: settings, with `dp` set.
        units: N, the number of records, or with `privacy_key_field` of users, on the training side; treated as public.

    Returns:
        The plan. Its claim exceeds neither the target epsilon nor the ceiling that the settings give.

    Raises:
        ParameterError: a library is missing, settings contradict each other or the data, or an
            epsilon cannot be met.
    """
    check_privacy_settings(config)
    check_unit_count(config, units)
    batch = choose_expected_batch_size(config, units)
    rate, per_epoch = batch / units, math.ceil(units / batch)
    total = max(1, config.epochs) * per_epoch
    other = vocabulary_events(config)
    noise, clip, discriminator = _noise_and_clipping(config, units, rate, batch, total, other)
    plan = PrivacyPlan(
        units=units,
        sample_rate=rate,
        expected_batch_size=float(batch),
        noise_multiplier=noise,
        l2_norm_clip=config.clipping_norm,
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
        discriminator_noise=discriminator,
    )
    return _with_validation(config, _within_ceiling(config, plan))


def choose_expected_batch_size(config: TensorFlowConfig, units: int) -> int:
    """Return E[B]: `dp_batch_size` where set, else a default.

    The default is `batch_size` (64 if unset) where the noise is given, and otherwise the size that makes about 350 steps,
    at least 256; in both cases at most N.

    Args:
        config: settings, with `dp` set.
        units: N, the number of units on the training side.
    """
    if config.dp_batch_size is not None:
        return config.dp_batch_size
    if config.target_epsilon is None:
        return min(units, config.batch_size if "batch_size" in config.model_fields_set else _BATCH_WITH_GIVEN_NOISE)
    return min(units, max(_MIN_BATCH, round(units * config.epochs / _AIMED_STEPS)))


def vocabulary_events(config: TensorFlowConfig) -> tuple[GaussianEvent, ...]:
    """Return what the vocabulary releases about every unit: one Gaussian mechanism with `dp_characters`, else nothing."""
    return (GaussianEvent(config.dp_vocabulary_noise),) if vocabulary_mode(config) == "dp_characters" else ()


def discriminator_noise(config: TensorFlowConfig, units: int, charged: float, steps: int, rate: float) -> float | None:
    """Return the noise multiplier of the counts that the discriminator is learned from.

    Args:
        config: settings, with `dp` set.
        units: N, the number of units on the training side.
        charged: noise multiplier that a step is charged with.
        steps: number of steps.
        rate: probability with which a unit is in a step.

    Returns:
        None where no discriminator is learned: turned off, no columns that are public, no training, or too few records for
        the noise.

    Raises:
        ParameterError: LS301, a noise is given, and records have no public fields.
    """
    has_fields = bool(config.field_delimiter and config.learned_columns)
    if config.dp_discriminator_noise is not None and not has_fields:
        raise ParameterError(
            "LS301",
            f"--dp-discriminator-noise {config.dp_discriminator_noise:g}",
            "is the noise of counts that a discriminator is learned from, for which the fields of records must be public",
            "Leave it out, or tokenize with --field-delimiter and --columns. Nothing was spent.",
        )
    if not (config.discriminator and has_fields and config.epochs):
        return None
    if config.dp_discriminator_noise is not None:
        return config.dp_discriminator_noise
    exponent = _LARGEST_EXPONENT if charged == 0 else min(charged**-2, _LARGEST_EXPONENT)
    signal = rate * math.sqrt(steps * math.expm1(exponent) * _DISCRIMINATOR_SHARE)
    if signal == 0:  # not even one step
        return None
    noise = 0.0 if charged == 0 else float(f"{1 / signal:.4g}")
    return noise if is_worth_noise(noise, units, config.dp_records_per_user) else None


def _noise_and_clipping(
    config: TensorFlowConfig, units: int, rate: float, batch: int, steps: int, other: tuple[GaussianEvent, ...]
) -> tuple[float, AdaptiveClipping | None, float | None]:
    """Return the noise multiplier, the adaptive clipping and the discriminator's noise, which cost what the settings allow."""
    target = config.target_epsilon
    if target is None:
        noise = config.dp_noise_multiplier or 0.0
        clip = _adaptive(config, max(batch / 20, 2 * noise))
        # With adaptive clipping a step costs slightly more, which a share need not follow.
        return noise, clip, discriminator_noise(config, units, noise, steps, rate)

    def events(z: float, more: float | None) -> list[GaussianEvent]:
        return [GaussianEvent(z, steps, rate), *([] if more is None else [GaussianEvent(more)]), *other]

    def counts_noise(z: float) -> float | None:
        return discriminator_noise(config, units, z, steps, rate)

    charged = calibrate_noise(target, config.dp_delta, lambda z: events(z, counts_noise(z)))
    discriminator = counts_noise(charged)
    if discriminator is None:
        charged = calibrate_noise(target, config.dp_delta, lambda z: events(z, None))
    if not config.dp_adaptive_clip:
        return charged, None, discriminator
    # The count takes at most 1/16 of the precision, so the gradients' noise grows by at most 3.3 %.
    clip = _adaptive(config, max(batch / 20, 2 * charged))
    # Solves z⁻² + (2σ_b)⁻² = charged⁻² for z; the last factor keeps rounding from making it cost more than `charged`.
    count_share = 0.0 if clip is None else (charged / (2 * clip.count_noise)) ** 2
    return charged / math.sqrt(1 - count_share) * (1 + 1e-9), clip, discriminator


def _adaptive(config: TensorFlowConfig, count_noise: float) -> AdaptiveClipping | None:
    if not config.dp_adaptive_clip:
        return None
    return AdaptiveClipping(config.dp_clip_quantile, _CLIP_LEARNING_RATE, count_noise)


def _within_ceiling(config: TensorFlowConfig, plan: PrivacyPlan) -> PrivacyPlan:
    """Return the plan with as many of its steps as the ceiling permits, and the discriminator's noise in proportion to these.

    Raises:
        ParameterError: not even one step is permitted.
    """
    ceiling = plan.max_epsilon
    if ceiling is None or plan.planned_steps == 0:
        return plan
    alone = replace(plan, discriminator_noise=None)
    last = max_steps_within(ceiling, plan.planned_steps, alone.epsilon_at)
    if plan.discriminator_noise is not None:
        noise = discriminator_noise(config, plan.units, plan.effective_noise_multiplier, last, plan.sample_rate)
        plan = replace(plan, discriminator_noise=noise)
        last = max_steps_within(ceiling, last, plan.epsilon_at)
    if last == 0:
        raise ParameterError(
            "LS302",
            f"--dp-max-epsilon {ceiling:g}",
            f"does not permit a single step: the first one spends {plan.epsilon_at(1):.4g}",
            "Set --dp-target-epsilon instead of the noise, or allow more. Nothing was spent.",
        )
    return replace(plan, planned_steps=last)


def _with_validation(config: TensorFlowConfig, plan: PrivacyPlan) -> PrivacyPlan:
    """Return the plan with its noised evaluations, one per epoch, where `dp_validation` asks for them.

    Where their noise is not given it is the least with which the validation side costs no more than the training side: the
    two sides share no unit, so the claim does not change.

    Raises:
        ParameterError: noise that is given makes the claim pass the target or the ceiling.
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
    # From public figures: the validation side is expected to have this many units per unit of the training side.
    ratio = VALIDATION_SHARE / (1 - VALIDATION_SHARE - config.holdout_fraction)
    validation = NoisedValidationPlan(noise, config.dp_validation_loss_clip, evaluations, plan.units * ratio)
    measured = replace(plan, validation=validation)
    limit = min(plan.target_epsilon or math.inf, plan.max_epsilon or math.inf)
    if measured.epsilon > max(limit, spent):
        raise ParameterError(
            "LS302",
            f"--dp-validation-noise {noise:g}",
            f"spends {measured.epsilon:.4g} on the validation records in {evaluations} evaluations, more than the "
            f"{limit:g} that is allowed",
            "Leave it out to have it found. Nothing was spent.",
        )
    return measured
