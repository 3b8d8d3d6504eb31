"""One object owns sampler, clipping, noise and accountant, so that nobody can pair a shuffle with a Poisson epsilon.

Words. A *step* draws each of the N training records independently with probability q, clips each drawn record's gradient
to norm C, adds Gaussian noise of standard deviation z·C to the sum and divides by E[B] = q·N. N, q, E[B] and the number of
steps are fixed before training and are public. The *claim* is the epsilon at the planned steps; it does not shrink when
training happens to end earlier, since that may depend on the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from model.accounting import (
    GaussianEvent,
    by,
    calibrate_noise,
    combined_noise,
    epsilon,
    last_step_within,
    rdp_epsilon,
)
from model.config import TensorFlowConfig
from model.errors import ParameterError
from model.files import write_bytes, write_json
from model.privacy_checks import check_records, check_settings, vocabulary_mode
from model.privacy_statement import GENERATOR, STATEMENT_FILE, TEXT_FILE, statement, statement_text

_AIM_STEPS = 2000  # of a run whose batch size is ours to choose: fewer steps need less noise each, more learn more
_CLIP_LEARNING_RATE = 0.2  # of the clipping norm, geometric (Andrew et al. 2021)


@dataclass(frozen=True)
class AdaptiveClip:
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
class PrivacyPlan:
    """Everything that private training may do, decided before it begins.

    Attributes:
        records: N, the training records; treated as public.
        sample_rate: q, each record's independent chance to be in a step.
        expected_batch_size: E[B] = q·N, the divisor of every noised sum; never the size of the draw.
        noise_multiplier: z, standard deviation of the noise over the clipping norm.
        l2_norm_clip: C, or where adaptive clipping begins.
        delta: of the claim, in total.
        planned_steps: the last permitted step.
        steps_per_epoch: 1/q, rounded up.
        adaptive_clip: None: the norm is fixed.
        seq_length: tokens of a record that are trained on; a record's loss is divided by it.
        vocabulary: where the vocabulary comes from.
        other_events: what was or will be released beside the steps: a noised vocabulary.
    """

    records: int
    sample_rate: float
    expected_batch_size: float
    noise_multiplier: float
    l2_norm_clip: float
    delta: float
    planned_steps: int
    steps_per_epoch: int
    adaptive_clip: AdaptiveClip | None
    seq_length: int
    optimizer: str = "adam"
    vocabulary: str = "bytes"
    target_epsilon: float | None = None
    max_epsilon: float | None = None
    other_events: tuple[GaussianEvent, ...] = ()

    @property
    def effective_noise(self) -> float:
        """The noise multiplier that a step is charged with; below z with adaptive clipping, whose count costs, too."""
        if self.adaptive_clip is None:
            return self.noise_multiplier
        return combined_noise(self.noise_multiplier, 2 * self.adaptive_clip.count_noise)

    def events(self, steps: int) -> tuple[GaussianEvent, ...]:
        """What has been released after so many steps."""
        return (GaussianEvent(self.effective_noise, steps, self.sample_rate), *self.other_events)

    def epsilon_at(self, steps: int) -> float:
        """Epsilon spent after so many steps, other releases included; unrounded, infinite without noise."""
        return epsilon(self.events(steps), self.delta)

    @property
    def epsilon(self) -> float:
        """The claim: at the planned steps, whether or not training reaches them."""
        return self.epsilon_at(self.planned_steps)

    @property
    def rdp_epsilon(self) -> float:
        """The second opinion on the claim, by Renyi accounting."""
        return rdp_epsilon(self.events(self.planned_steps), self.delta)

    @property
    def accountant(self) -> str:
        """Which accountant the claim is from: 'PLD', or 'RDP' above an epsilon of 50."""
        return by(self.events(self.planned_steps), self.delta)


def plan_privacy(config: TensorFlowConfig, records: int) -> PrivacyPlan:
    """The plan of a private run over so many training records.

    Args:
        config: with `dp`.
        records: N, the records on the training side; treated as public.

    Raises:
        ParameterError: LS106 a library is missing, LS301 … LS305 settings that contradict each other or the data, LS302
            an epsilon that cannot be met.
    """
    check_settings(config)
    check_records(config, records)
    batch = expected_batch_size(config, records)
    rate, per_epoch = batch / records, math.ceil(records / batch)
    total = max(1, config.epochs) * per_epoch
    other = vocabulary_events(config)
    noise, clip = _noise(config, rate, batch, total, other)
    plan = PrivacyPlan(
        records=records,
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
    )
    return _within_ceiling(plan)


def expected_batch_size(config: TensorFlowConfig, records: int) -> int:
    """E[B]: as set; else `batch_size` where the noise is given; else what makes about 2,000 steps, at most N."""
    if config.dp_batch_size is not None:
        return config.dp_batch_size
    aim = 0 if config.target_epsilon is None else round(records * config.epochs / _AIM_STEPS)
    return min(records, max(config.batch_size, aim))


def write_privacy(
    model_dir: Path,
    plan: PrivacyPlan,
    steps_done: int,
    *,
    unsafe_key: bool,
    stopped: str | None = None,
    generator: str = GENERATOR,
) -> None:
    """Write `privacy.json` and the same in plain words beside it, each atomically.

    Args:
        model_dir: RUN/model.
        plan: the plan that was trained by.
        steps_done: steps that were charged, those lost in a crash included.
        unsafe_key: draws came from a fixed key.
        stopped: why training ended; None while it is unfinished.
        generator: what samples and noise are drawn with, in words.
    """
    facts = statement(plan, steps_done, unsafe_key=unsafe_key, stopped=stopped, generator=generator)
    write_json(model_dir / STATEMENT_FILE, facts)
    write_bytes(model_dir / TEXT_FILE, statement_text(facts).encode("utf-8"))


def vocabulary_events(config: TensorFlowConfig) -> tuple[GaussianEvent, ...]:
    """What the vocabulary releases about all records: one Gaussian mechanism, or nothing."""
    return (GaussianEvent(config.dp_vocabulary_noise),) if vocabulary_mode(config) == "dp_characters" else ()


def _noise(
    config: TensorFlowConfig, rate: float, batch: int, steps: int, other: tuple[GaussianEvent, ...]
) -> tuple[float, AdaptiveClip | None]:
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


def _adaptive(config: TensorFlowConfig, count_noise: float) -> AdaptiveClip | None:
    return AdaptiveClip(config.dp_clip_quantile, _CLIP_LEARNING_RATE, count_noise) if config.dp_adaptive_clip else None


def _within_ceiling(plan: PrivacyPlan) -> PrivacyPlan:
    """The plan with its last permitted step.

    Raises:
        ParameterError: LS302, not even one step is permitted.
    """
    if plan.max_epsilon is None or plan.planned_steps == 0:
        return plan
    last = last_step_within(plan.max_epsilon, plan.planned_steps, plan.epsilon_at)
    if last == 0:
        raise ParameterError(
            f"LS302: --dp-max-epsilon {plan.max_epsilon:g} does not permit a single step: the first one spends "
            f"{plan.epsilon_at(1):.4g}. Set --dp-target-epsilon instead of the noise, or allow more. Nothing was spent.",
            code="LS302",
        )
    return replace(plan, planned_steps=last)
