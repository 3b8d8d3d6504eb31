"""Plan of a private training: one object for sampler, clipping, noise and accountant, so that they always fit each other.

Terms. A *unit* is what the claim protects: one record, or one user with at most k of its records. Adjacency is adding or
removing one unit. A *step* draws each of the N units on the training side independently with probability q, clips the gradient
of each drawn record to norm C/k, so that a unit contributes at most C (the L2 sensitivity), adds Gaussian noise of standard
deviation z·C to the sum, and divides by E[B] = q·N. N, q, E[B] and the number of steps are fixed before training and are
public. The *claim* is the epsilon at the planned steps; it does not shrink when training ends earlier, since the reason for
that may depend on the data.

Sides. The hash split puts each unit on one side, whatever other units there are. The steps and the counts that the
discriminator is learned from see the units of the training side, noised evaluations those of the validation side, and a noised
vocabulary all of them: the claim is the larger of both sides' epsilon.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from linesmith.model.privacy.accounting import (
    GaussianEvent,
    accountant_name,
    combined_noise_multiplier,
    epsilon,
    rdp_epsilon,
)


@dataclass(frozen=True)
class AdaptiveClipping:
    """Settings that move the clipping norm towards a quantile of gradient norms (Andrew et al. 2021, arXiv 1905.03871).

    Attributes:
        target_quantile: fraction of records whose gradient should not be clipped.
        learning_rate: step of the exponent: C <- C * exp(-learning_rate * (noised fraction - target_quantile)).
        count_noise: sigma_b, standard deviation of the noise on the sum of (1[norm <= C] - 1/2) over the sample.
    """

    target_quantile: float
    learning_rate: float
    count_noise: float


@dataclass(frozen=True)
class NoisedValidationPlan:
    """Evaluations on the validation side, each a Gaussian mechanism on the sum of the losses of its units.

    Attributes:
        noise_multiplier: standard deviation of the noise divided by `loss_clip`.
        loss_clip: L, the sensitivity: the most that a unit contributes, in nats per token.
        evaluations: number of permitted evaluations.
        expected_units: public divisor: N times the expected ratio of units on the validation side to the training side.
    """

    noise_multiplier: float
    loss_clip: float
    evaluations: int
    expected_units: float


@dataclass(frozen=True)
class PrivacyPlan:
    """Everything that private training may do, decided before it begins.

    Attributes:
        units: N, the number of training records, or of users that have any; treated as public.
        sample_rate: q, probability with which each unit is in a step, independently of all others.
        expected_batch_size: E[B] = q·N, the divisor of every noised sum; never the size of the draw.
        noise_multiplier: z, standard deviation of the noise divided by the clipping norm.
        l2_norm_clip: C, the most that one unit contributes to a sum; the initial value with adaptive clipping.
        delta: delta of the claim, everything together.
        planned_steps: number of permitted steps.
        steps_per_epoch: 1/q, rounded up.
        adaptive_clip: settings of adaptive clipping; None: the norm is fixed.
        seq_length: tokens of a record that are trained on; the loss of a record is divided by it.
        optimizer: 'adam' or 'sgd'.
        vocabulary: source of the vocabulary, as `dp_vocabulary` names it.
        target_epsilon: epsilon that the noise was calibrated to; None where the noise was given.
        max_epsilon: ceiling of epsilon that was asked for; None for none.
        other_events: what is released about every unit beside the steps: a noised vocabulary.
        unit: what is protected.
        records_per_unit: k, the most records of a unit that take part; each is clipped to C/k.
        user_key_field: the field that names the user, as it was given.
        validation: noised evaluations; None: no private record is evaluated.
        discriminator_noise: noise multiplier of the counts of the training side's units by which the discriminator is learned;
            None: none is.
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
    discriminator_noise: float | None = None

    @property
    def effective_noise_multiplier(self) -> float:
        """Noise multiplier that a step is charged with; below z with adaptive clipping, whose count costs as well."""
        if self.adaptive_clip is None:
            return self.noise_multiplier
        return combined_noise_multiplier(self.noise_multiplier, 2 * self.adaptive_clip.count_noise)

    @property
    def planned_evaluations(self) -> int:
        """Number of permitted noised evaluations."""
        return 0 if self.validation is None else self.validation.evaluations

    @property
    def discriminator_events(self) -> tuple[GaussianEvent, ...]:
        """What the discriminator releases about a unit on the training side."""
        return () if self.discriminator_noise is None else (GaussianEvent(self.discriminator_noise),)

    def training_events(self, steps: int) -> tuple[GaussianEvent, ...]:
        """Return what `steps` steps, the discriminator and the other events release about a unit on the training side."""
        own = GaussianEvent(self.effective_noise_multiplier, steps, self.sample_rate)
        return (own, *self.discriminator_events, *self.other_events)

    def validation_events(self, evaluations: int) -> tuple[GaussianEvent, ...]:
        """Return what `evaluations` noised evaluations release about a unit on the validation side."""
        if self.validation is None:
            return self.other_events
        return (GaussianEvent(self.validation.noise_multiplier, evaluations), *self.other_events)

    def all_events(self) -> tuple[GaussianEvent, ...]:
        """Return all planned events of both sides, for a ledger: a later training may split the same records otherwise."""
        # Without the other events, which the training side already has.
        evaluations = self.validation_events(self.planned_evaluations)[: 0 if self.validation is None else 1]
        return (*self.training_events(self.planned_steps), *evaluations)

    def own_events(self) -> tuple[GaussianEvent, ...]:
        """Return all planned events but the vocabulary, which tokenize has drawn: what one more training releases."""
        steps = (self.training_events(self.planned_steps)[0], *self.discriminator_events)
        return steps if self.validation is None else (*steps, self.validation_events(self.planned_evaluations)[0])

    def epsilon_at(self, steps: int, evaluations: int = 0) -> float:
        """Compute the epsilon spent after `steps` steps and `evaluations` evaluations, other releases included.

        Returns:
            The larger of both sides' epsilon, unrounded; infinite without noise.
        """
        sides = (self.training_events(steps), self.validation_events(evaluations))
        return max(epsilon(side, self.delta) for side in sides)

    @property
    def epsilon(self) -> float:
        """The claim: epsilon at the planned steps and evaluations, whether or not training reaches them."""
        return self.epsilon_at(self.planned_steps, self.planned_evaluations)

    @property
    def _sides(self) -> tuple[tuple[GaussianEvent, ...], ...]:
        """All planned events of the training side and of the validation side."""
        return self.training_events(self.planned_steps), self.validation_events(self.planned_evaluations)

    @property
    def rdp_epsilon(self) -> float:
        """Second opinion on the claim, by Renyi accounting."""
        return max(rdp_epsilon(side, self.delta) for side in self._sides)

    @property
    def accountant(self) -> str:
        """Accountant of the claim: 'PLD', or 'RDP' above an epsilon of 50."""
        return accountant_name(max(self._sides, key=lambda side: rdp_epsilon(side, self.delta)), self.delta)
