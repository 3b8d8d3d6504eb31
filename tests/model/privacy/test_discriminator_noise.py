"""What the counts that a private discriminator is learned from cost, and where there are none."""

from __future__ import annotations

import math

import pytest

from linesmith.core.config.privacy_checks import check_privacy_settings
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.privacy.accounting import GaussianEvent, epsilon
from linesmith.model.privacy.plan_from_config import plan_privacy
from linesmith.model.privacy.statement import build_statement
from linesmith.model.privacy.statement_text import format_statement

N = 20_000


def plan_of(units: int = N, **settings):
    given = {"dp": True, "field_delimiter": ",", "columns": ["a", "b"], "dp_batch_size": 1000, "epochs": 3, **settings}
    return plan_privacy(TensorFlowConfig(**given), units)


@pytest.mark.parametrize("target", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("adaptive", [False, True])
def test_steps_and_counts_together_keep_to_the_target(target, adaptive):
    plan = plan_of(dp_target_epsilon=target, dp_adaptive_clip=adaptive)
    steps = GaussianEvent(plan.effective_noise_multiplier, plan.planned_steps, plan.sample_rate)
    counts = GaussianEvent(plan.discriminator_noise)
    assert plan.epsilon == epsilon([steps, counts], plan.delta)
    assert 0.98 * target < plan.epsilon <= target
    assert epsilon([steps], plan.delta) < plan.epsilon


def test_the_counts_cost_about_a_fifth():
    plan = plan_of(dp_batch_size=2000, epochs=36, dp_target_epsilon=2.0)  # as many steps as training makes
    # A Gaussian mechanism's squared signal is its cost; that of all is what one of the same epsilon has.
    low, high = 1.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if epsilon([GaussianEvent(middle)], plan.delta) > 2 else (low, middle)
    assert (low / plan.discriminator_noise) ** 2 == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    "settings", [{"discriminator": False}, {"columns": None}, {"field_delimiter": None}, {"epochs": 0}, {"units": 999}]
)
def test_there_are_none_where_no_discriminator_can_be_learned(settings):
    plan = plan_of(**{"dp_batch_size": 300, **settings})
    assert plan.discriminator_noise is None
    assert plan.discriminator_events == ()


def test_under_much_noise_few_records_have_none_and_the_steps_get_all():
    few = plan_of(1000, dp_batch_size=300, dp_target_epsilon=0.3)
    without = plan_of(1000, dp_batch_size=300, dp_target_epsilon=0.3, discriminator=False)
    assert (few.discriminator_noise, few.noise_multiplier) == (None, without.noise_multiplier)


def test_their_noise_can_be_given():
    plan = plan_of(dp_discriminator_noise=3.0, dp_target_epsilon=2.0)
    assert plan.discriminator_noise == 3.0
    assert 1.95 < plan.epsilon <= 2
    assert plan.noise_multiplier > plan_of(dp_target_epsilon=2.0).noise_multiplier


def test_a_given_noise_of_the_steps_stays_and_the_counts_are_added():
    plan = plan_of(dp_noise_multiplier=1.5)
    assert plan.noise_multiplier == 1.5
    assert plan.epsilon == epsilon([GaussianEvent(1.5, 60, 0.05), GaussianEvent(plan.discriminator_noise)], 1e-6)
    assert math.isinf(plan_of(dp_noise_multiplier=0.0).epsilon)


def test_a_ceiling_holds_for_both():
    plan = plan_of(dp_noise_multiplier=1.0, dp_max_epsilon=2.5)
    assert plan.discriminator_noise is not None
    assert 0 < plan.planned_steps < 60
    assert plan.epsilon <= 2.5
    alone = plan_of(dp_noise_multiplier=1.0, dp_max_epsilon=2.5, discriminator=False)
    assert alone.planned_steps > plan.planned_steps


def test_noised_evaluations_are_of_others_and_do_not_count_with_them():
    plan = plan_of(dp_target_epsilon=2.0, dp_validation="noised")
    assert GaussianEvent(plan.discriminator_noise) in plan.training_events(1)
    assert GaussianEvent(plan.discriminator_noise) not in plan.validation_events(1)
    # A ledger adds up both sides, with the vocabulary and without.
    assert GaussianEvent(plan.discriminator_noise) in plan.all_events()
    assert GaussianEvent(plan.discriminator_noise) in plan.own_events()


@pytest.mark.parametrize(
    "settings", [{"columns": None}, {"field_delimiter": None, "columns": None}, {"discriminator": False}]
)
def test_noise_of_counts_that_are_not_made_is_refused(settings):
    config = TensorFlowConfig(
        **{"dp": True, "field_delimiter": ",", "columns": ["a"], "dp_discriminator_noise": 2.0, **settings}
    )
    with pytest.raises(ParameterError, match=r"LS301.*--dp-discriminator-noise 2"):
        plan_privacy(config, N)


def test_columns_may_be_known_from_the_training_data():
    check_privacy_settings(TensorFlowConfig(dp=True, dp_discriminator_noise=2.0))
    with pytest.raises(ParameterError, match="--no-discriminator"):
        check_privacy_settings(TensorFlowConfig(dp=True, dp_discriminator_noise=2.0, discriminator=False))


def test_the_statement_says_what_was_counted_and_names_the_file():
    plan = plan_of(dp_target_epsilon=2.0)
    facts = build_statement(plan, plan.planned_steps, unsafe_key=False, discriminator="ab" * 32)
    described = facts["discriminator"]
    assert described["noise_multiplier"] == plan.discriminator_noise
    assert described["epsilon"] == epsilon([GaussianEvent(plan.discriminator_noise)], plan.delta) < 2
    assert described["sha256"] == "ab" * 32
    assert "Discriminator: which of the model's records are kept goes by noised counts" in format_statement(facts)
    assert facts["vocabulary"]["epsilon"] == 0  # not that of the counts
    none = build_statement(plan_of(discriminator=False), 1, unsafe_key=False)
    assert none["discriminator"] == {"what": "there is none", "noise_multiplier": None, "epsilon": 0.0, "sha256": None}
    users = plan_of(privacy_key_field="a", dp_records_per_user=3)
    assert (
        "a user's records for at most 3 of each" in build_statement(users, 1, unsafe_key=False)["discriminator"]["what"]
    )
