"""Validation with privacy: what a noised loss sums, what it costs, and that early stopping by it is charged."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from linesmith.core.config.privacy_checks import check_privacy_settings
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.privacy.accounting import GaussianEvent, epsilon
from linesmith.model.privacy.budget import CHARGED_STEPS_FILE
from linesmith.model.privacy.ledger import composed_epsilon, record_in_ledger
from linesmith.model.privacy.plan import NoisedValidationPlan
from linesmith.model.privacy.plan_from_config import plan_privacy
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.privacy.statement import build_statement
from linesmith.model.privacy.statement_text import format_statement
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.model.privacy.users import index_by_user
from linesmith.model.privacy.validation import NoisedValidation, PublicValidation, load_public_token_store
from linesmith.model.tokenizers.byte_tokenizer import ByteTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.model.training.language_model import LanguageModel, sum_token_losses
from linesmith.model.training.loop import TrainingHooks
from linesmith.model.training.settings import NetworkSettings, TrainingSettings
from linesmith.model.training.trainer import build_model
from tests.helpers.token_stores import random_records, store_of
from tests.model.privacy.test_trainer import PLAN, RECORDS, SEQ, SMALL, VOCAB, Killed, _stop_after

pytestmark = pytest.mark.integration

LOSS = NoisedValidationPlan(noise_multiplier=2.0, loss_clip=2.5, evaluations=3, expected_units=10.0)
KEY = SecretKey.unsafe("7")
BASE = random_records(12, VOCAB, 15)
ADVERSARIES = ([VOCAB - 1] * 40, [1, 2, 3], [5], [])


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    """Make an untrained network under which some records have a small loss, and some a loss far above the clip."""
    made = LanguageModel(VOCAB, 8, 6, 1, seed=1)
    random = np.random.default_rng(3)
    made.set_weights([array + random.normal(scale=0.7, size=array.shape) for array in made.get_weights()])
    return made


def _validation(model, records, users=None, plan=LOSS, rows=48) -> NoisedValidation:
    row_counts = {SEQ: (rows,)}
    store = store_of(records)
    return NoisedValidation(
        model, store, plan, KEY, users=users, row_counts=row_counts, seq_length=SEQ, dtype=tf.float32
    )


def _oracle(model, record) -> float:
    """Compute the clipped loss of one record alone: nats per token over its first SEQ tokens."""
    ids = np.array([0, *record, 0][: SEQ + 1], np.int32)[:, None]
    rows = {"inputs": ids[:-1], "targets": ids[1:], "weights": np.ones_like(ids[1:], np.float32)}
    loss, _, tokens = sum_token_losses(model, rows)
    return min(float(loss / tokens), 2.5)


# -- the sum and its sensitivity


def test_the_sum_is_that_of_one_record_at_a_time(model):
    wanted = [_oracle(model, record) for record in BASE]
    assert 0 < sum(value == 2.5 for value in wanted) < len(BASE)
    assert _validation(model, BASE).clipped_sum() == pytest.approx(sum(wanted), rel=2e-3)
    owners = np.array([1, 1, 1, *range(2, 11)])
    by_user = np.mean(wanted[:2]) + sum(wanted[3:])  # the third record of user 1 takes no part
    assert _validation(model, BASE, index_by_user(owners, 2)).clipped_sum() == pytest.approx(by_user, rel=2e-3)


def _largest_move(model, moved) -> float:
    worst = 0.0
    for record in ADVERSARIES:
        for base in ([], BASE):
            for neighbour in ([record, *base], [*base, record]):
                worst = max(worst, abs(moved(neighbour) - (moved(base) if base else 0.0)))
    return worst


def test_one_record_moves_the_sum_by_at_most_the_clip(model):
    found = _largest_move(model, lambda records: _validation(model, records).clipped_sum())
    assert 0.99 * 2.5 < found <= 2.5


def test_one_user_moves_the_sum_by_at_most_the_clip(model):
    owners = np.arange(len(BASE)) + 10
    for most in (1, 3):
        without = _validation(model, BASE, index_by_user(owners, most)).clipped_sum()
        more = [*BASE, *[ADVERSARIES[1]] * 4]
        with_user = _validation(model, more, index_by_user(np.array([*owners, *[1] * 4]), most)).clipped_sum()
        assert 0.99 * 2.5 < with_user - without <= 2.5


def _unclipped(model, records) -> float:
    return _validation(model, records, plan=replace(LOSS, loss_clip=1e9)).clipped_sum()


def _mean_over_tokens(model, records) -> float:
    """Compute what validation usually is: the mean over all tokens, times the number of records."""
    loss, tokens = 0.0, 0
    for record in records:
        loss += _oracle(model, record) * (len(record) + 1)
        tokens += len(record) + 1
    return loss / tokens * len(records)


@pytest.mark.slow
@pytest.mark.parametrize("planted", [_unclipped, _mean_over_tokens])
def test_a_planted_bug_moves_the_sum_too_far(model, planted):
    assert _largest_move(model, lambda records: planted(model, records)) > 2.5


def test_a_loss_that_is_no_number_counts_as_the_worst(model):
    one = _validation(model, [[1]])
    one._losses = lambda rows: tf.fill(rows["weights"].shape, np.nan)
    assert one.clipped_sum() == pytest.approx(2.5, rel=2e-3)


# -- the noise


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "right"), [(1.0, True), (2 / 3, False), (3 / 2, False), (0.0, False)])
def test_noise_has_the_scale_that_is_charged(model, factor, right):
    """Of 1,000 normals the deviation has a relative standard error of 2.2 %: beyond 10 % once in 200,000 keys."""
    empty = _validation(model, [], plan=replace(LOSS, noise_multiplier=2.0 * factor))
    draws = np.array([empty.measure(number) for number in range(1000)])
    claimed = 2.0 * 2.5 / 10  # z · L over the expected number of records
    assert (abs(draws.std() / claimed - 1) < 0.1) == right
    assert abs(draws.mean()) < 6 * claimed / math.sqrt(len(draws))


def test_the_divisor_is_public(model):
    quiet = replace(LOSS, noise_multiplier=0.0)
    for records in (BASE, BASE[:3]):
        measured = _validation(model, records, plan=quiet)
        assert measured.measure(0) == measured.clipped_sum() / 10.0


def test_an_evaluation_repeats_only_under_its_own_number(model):
    measured = _validation(model, BASE)
    assert measured.measure(1) == _validation(model, BASE).measure(1) != measured.measure(2)


# -- cost


def _config(**changes) -> TensorFlowConfig:
    return TensorFlowConfig(**{"dp": True, "dp_batch_size": 100, "epochs": 6, "dp_validation": "noised", **changes})


def test_evaluations_cost_no_more_than_training_and_the_claim_is_the_larger_side():
    alone = plan_privacy(_config(dp_validation="budget"), 2000)
    plan = plan_privacy(_config(), 2000)
    loss = plan.validation
    assert (loss.evaluations, loss.loss_clip, loss.expected_units) == (6, 4.0, pytest.approx(2000 * 0.2 / 0.75))
    side = epsilon([GaussianEvent(loss.noise_multiplier, 6)], 1e-6)
    assert 0.97 * alone.epsilon < side <= alone.epsilon
    assert plan.epsilon == max(alone.epsilon, side) == alone.epsilon
    assert plan.epsilon_at(0, 6) == side > plan.epsilon_at(0, 3) > plan.epsilon_at(0, 0) == 0


def test_noise_that_is_given_is_charged_and_refused_where_it_passes_the_target():
    plan = plan_privacy(_config(dp_noise_multiplier=5.0, dp_validation_noise=0.8), 2000)
    side = epsilon([GaussianEvent(0.8, 6)], 1e-6)
    assert plan.epsilon == side > plan_privacy(_config(dp_noise_multiplier=5.0, dp_validation="budget"), 2000).epsilon
    with pytest.raises(ParameterError, match=r"LS302.*validation records"):
        plan_privacy(_config(dp_validation_noise=0.8), 2000)
    with pytest.raises(ParameterError, match="LS302"):
        plan_privacy(_config(dp_noise_multiplier=5.0, dp_validation_noise=0.8, dp_max_epsilon=2.0), 2000)


def test_a_vocabulary_is_charged_on_both_sides():
    plan = plan_privacy(_config(dp_vocabulary="dp_characters", dp_target_epsilon=4.0), 2000)
    both = [GaussianEvent(plan.validation.noise_multiplier, 6), GaussianEvent(8.0)]
    assert plan.epsilon_at(0, 6) == epsilon(both, 1e-6) <= plan.epsilon <= 4.0


def test_a_ledger_adds_the_sides_up(tmp_path):
    plan = plan_privacy(_config(), 2000)
    entries = record_in_ledger(tmp_path / "ledger.json", "rides", "one", plan)
    both = [*plan.training_events(plan.planned_steps), GaussianEvent(plan.validation.noise_multiplier, 6)]
    assert composed_epsilon(entries, 1e-6) == epsilon(both, 1e-6) > plan.epsilon


def test_the_statement_says_what_stopping_went_by():
    facts = build_statement(plan_privacy(_config(), 2000), 60, unsafe_key=False, charged_evaluations=3)
    assert facts["validation"]["by"] == "noised"
    assert facts["validation"]["planned_evaluations"] == 6
    assert facts["validation"]["epsilon"] <= facts["epsilon"]
    assert facts["spent_so_far"]["evaluations"] == 3
    assert "noised loss" in format_statement(facts)
    free = build_statement(plan_privacy(_config(dp_validation="budget"), 2000), 0, unsafe_key=False)["validation"]
    assert (free["epsilon"], free["by"]) == (0.0, "budget")
    with_callback = build_statement(plan_privacy(_config(), 2000), 0, unsafe_key=False, callback=True)
    assert "this claim is void" in with_callback["not_covered"]["callbacks"]


@pytest.mark.parametrize(
    "changes",
    [
        {"validation_split": False},
        {"best_model_metric": "val_accuracy"},
        {"dp_validation": "public_file"},
        {"dp_validation": "budget", "dp_public_validation": "x.txt"},
    ],
)
def test_what_cannot_work(changes):
    with pytest.raises(ParameterError, match="LS301"):
        check_privacy_settings(_config(**changes))


# -- in training

NOISED = replace(PLAN, validation=replace(LOSS, evaluations=3), validation_mode="noised")


def _trainer(directory, plan=NOISED, hooks=None, key="abc", public=None, **changes) -> PrivateTrainer:
    config = TensorFlowConfig(**{**SMALL, "dp_unsafe_fixed_key": key, "early_stopping": False, **changes})
    return PrivateTrainer(
        TrainingSettings.from_config(config),
        build_model(NetworkSettings.from_config(config), VOCAB),
        store_of(random_records(RECORDS, VOCAB, 15)),
        plan,
        validation=(store_of(BASE), None) if plan.validation is not None else None,
        public=public,
        directory=directory / "checkpoints",
        resume_directory=directory / "private",
        history_path=directory / "h.csv",
        identity={},
        unsafe_fixed_key=config.dp_unsafe_fixed_key,
        hooks=hooks,
    )


def _rows(directory) -> list[dict[str, str]]:
    with open(directory / "h.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_history_shows_the_noised_loss_and_calls_it_so(tmp_path):
    trainer = _trainer(tmp_path)
    state = trainer.fit()
    assert (state.charged_steps, state.charged_evaluations) == (15, 3)
    assert [entry.val_source for entry in state.history] == ["noised"] * 3
    assert trainer._noised.measure(2) == pytest.approx(
        state.history[2].val_loss
    )  # the release itself, of these weights
    assert [entry.epsilon for entry in state.history] == [NOISED.epsilon_at(5 * i, i) for i in (1, 2, 3)]
    rows = _rows(tmp_path)
    assert list(rows[0])[-2:] == ["best", "val_source"]
    assert all(row["val_loss"] and not row["val_accuracy"] + row["loss"] + row["accuracy"] for row in rows)
    best = min(range(3), key=lambda epoch: state.history[epoch].val_loss)
    assert [row["best"] for row in rows] == [str(int(epoch == best)) for epoch in range(3)]


def test_early_stopping_goes_by_it(tmp_path):
    values = iter([3.0, 2.0, 2.5, 2.4, 2.3])
    trainer = _trainer(
        tmp_path,
        replace(NOISED, planned_steps=50, validation=replace(LOSS, evaluations=10)),
        epochs=10,
        early_stopping=True,
        early_stopping_patience=2,
    )
    trainer._noised.measure = lambda evaluation: next(values)
    state = trainer.fit()
    assert (state.stopped, state.best_epoch, len(state.history)) == ("patience", 1, 4)
    assert trainer.plan.epsilon == trainer.plan.epsilon_at(50, 10)  # stopping early makes no smaller claim


def test_no_evaluation_is_made_that_was_not_planned(tmp_path):
    trainer = _trainer(tmp_path, replace(NOISED, validation=replace(LOSS, evaluations=2)))
    state = trainer.fit()
    assert [entry.val_loss is None for entry in state.history] == [False, False, True]
    assert state.charged_evaluations == 2
    assert state.best_epoch in (0, 1)


def test_an_evaluation_is_on_disk_as_charged_before_it_is_made(tmp_path):
    trainer, seen = _trainer(tmp_path), []

    def measure(evaluation):
        seen.append(json.loads((tmp_path / "private" / CHARGED_STEPS_FILE).read_text())["charged_evaluations"])
        return 1.0

    trainer._noised.measure = measure
    trainer.fit()
    assert seen == [1, 2, 3]


@pytest.mark.slow
def test_an_evaluation_that_a_crash_took_back_is_charged_again(tmp_path):
    first = _trainer(tmp_path, key=None)
    measure = first._noised.measure

    def dies(evaluation):
        measure(evaluation)
        raise Killed

    first._noised.measure = dies
    with pytest.raises(Killed):
        first.fit()
    second = _trainer(tmp_path, key=None)
    state = second.fit()
    assert state.charged_evaluations == 3
    assert sum(entry.val_loss is not None for entry in state.history) == 2
    assert second.key.seed("validation", 0) != first.key.seed("validation", 0)


@pytest.mark.slow
def test_a_resumed_run_equals_one_run(tmp_path):
    whole = _trainer(tmp_path / "whole").fit()
    _trainer(tmp_path / "broken", hooks=_stop_after(7)).fit()
    again = _trainer(tmp_path / "broken").fit()
    assert (tmp_path / "broken" / "h.csv").read_text() == (tmp_path / "whole" / "h.csv").read_text()
    assert again.charged_evaluations == whole.charged_evaluations == 3


# -- a public file

TEXT = "1,ab\r\n\n2,b\n"


def test_a_public_file_costs_nothing_and_is_measured_like_any_validation(tmp_path):
    (tmp_path / "public.txt").write_text(TEXT)
    tokenizer = ByteTokenizer(TokenFormat(field_delimiter=","))
    store = load_public_token_store(tmp_path / "public.txt", tokenizer)
    assert [store.record(rank)[1:-1].tolist() for rank in range(2)] == [
        tokenizer.encode_to_ids(text) for text in ("1,ab", "2,b")
    ]
    for content in ("", "\n\n"):
        (tmp_path / "empty.txt").write_text(content)
        with pytest.raises(ParameterError, match="LS313"):
            load_public_token_store(tmp_path / "empty.txt", tokenizer)
    with pytest.raises(ParameterError, match="LS313"):
        load_public_token_store(tmp_path / "missing.txt", tokenizer)


def test_a_public_loss_is_the_plain_one(model):
    store = store_of(BASE)
    loss, accuracy = PublicValidation(model, store, batch_size=5, seq_length=50).measure()
    sums = np.zeros(3)
    for record in BASE:
        ids = np.array([0, *record, 0], np.int32)[:, None]
        rows = {"inputs": ids[:-1], "targets": ids[1:], "weights": np.ones_like(ids[1:], np.float32)}
        sums += [float(part) for part in sum_token_losses(model, rows)]
    assert (loss, accuracy) == (pytest.approx(sums[0] / sums[2], rel=1e-5), pytest.approx(sums[1] / sums[2]))


def test_training_by_a_public_file(tmp_path):
    trainer = _trainer(tmp_path, PLAN, public=store_of(BASE), best_model_metric="val_accuracy")
    state = trainer.fit()
    assert trainer.metric == "val_accuracy"
    assert {entry.val_source for entry in state.history} == {"public file"}
    assert (state.charged_evaluations, state.history[-1].epsilon) == (0, PLAN.epsilon_at(15))
    values = [entry.val_accuracy for entry in state.history]
    assert state.best_epoch == values.index(max(values))


def test_without_either_nothing_is_measured(tmp_path):
    trainer = _trainer(tmp_path, PLAN, hooks=TrainingHooks())
    trainer.fit()
    assert trainer.metric is None
    assert list(_rows(tmp_path)[0])[-1] == "best"
