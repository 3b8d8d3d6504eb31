"""A noised vocabulary is charged to both ledgers before it is drawn, each time, and by no training again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from linesmith.core.config import preflight, privacy_checks
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.privacy.accounting import GaussianEvent, epsilon
from linesmith.model.privacy.ledger import RUN_LEDGER_FILE, composed_epsilon, read_ledger
from linesmith.model.privacy.plan import NoisedValidationPlan, PrivacyPlan
from linesmith.pipelines.privacy_ledgers import (
    charge_training,
    charge_vocabulary,
    count_earlier_releases,
    vocabulary_release,
)
from linesmith.pipelines.remote.local_paths import _READ
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train.stage import train_model
from tests.helpers.planted_bugs import charge_nothing
from tests.helpers.release_checks import draws_uncharged_vocabulary

pytestmark = pytest.mark.integration

DELTA, NOISE = 1e-5, 8.0
VOCABULARY, STEPS = GaussianEvent(NOISE), GaussianEvent(1.0, 100, 0.01)
PLAN = PrivacyPlan(
    units=1000,
    sample_rate=0.01,
    expected_batch_size=10.0,
    noise_multiplier=1.0,
    l2_norm_clip=0.1,
    delta=DELTA,
    planned_steps=100,
    steps_per_epoch=100,
    adaptive_clip=None,
    seq_length=20,
    vocabulary="dp_characters",
    other_events=(VOCABULARY,),
)


def config_in(directory, **changes) -> TensorFlowConfig:
    settings = {
        "dp": True, "dp_vocabulary": "dp_characters", "dp_delta": DELTA, "checkpoint_dir": directory / "run",
        "privacy_ledger": directory / "ledger.json", "dataset_name": "data",
    }  # fmt: skip
    return TensorFlowConfig(**{**settings, **changes})


def both_ledgers(directory) -> list[list]:
    run = directory / "run" / "private" / RUN_LEDGER_FILE
    return [read_ledger(run, RUN_LEDGER_FILE), read_ledger(directory / "ledger.json", "data")]


def test_drawn_twice_is_charged_twice_before_each_draw(tmp_path):
    assert not draws_uncharged_vocabulary(tmp_path)
    for entries in both_ledgers(tmp_path):
        assert len({entry.run for entry in entries}) == 2
        assert [entry.events for entry in entries] == [(VOCABULARY,), (VOCABULARY,)]


def test_a_vocabulary_without_a_charge_is_found(tmp_path):
    assert draws_uncharged_vocabulary(tmp_path, charge_nothing)


def test_a_training_takes_up_the_charge_of_its_vocabulary(tmp_path):
    """Drawn, lost before it was used, drawn again, trained on twice: two vocabularies and two trainings."""
    config, data = config_in(tmp_path), tmp_path / "data"
    for _ in range(2):
        charge_vocabulary(config, data)
    for training in ("one", "one", "two"):  # the first is resumed
        charge_training(config, PLAN, training, data)
    for entries in both_ledgers(tmp_path):
        assert [entry.events for entry in entries] == [(VOCABULARY,), (VOCABULARY,), (STEPS,), (STEPS,)]
        assert [entry.run for entry in entries][1:] == [vocabulary_release(data), "one", "two"]
        assert entries[2].epsilon == PLAN.epsilon  # the claim of a training includes its vocabulary
        together = epsilon([VOCABULARY, VOCABULARY, STEPS, STEPS], DELTA)
        assert composed_epsilon(entries, DELTA) == together
    assert count_earlier_releases(config, PLAN, data) == (2, together)


def test_a_ledger_that_is_named_for_training_only_holds_the_vocabulary_too(tmp_path):
    config, data = config_in(tmp_path), tmp_path / "data"
    charge_vocabulary(config.replace(privacy_ledger=None), data)
    charge_training(config, PLAN, "one", data)
    for entries in both_ledgers(tmp_path):
        assert [entry.events for entry in entries] == [(VOCABULARY,), (STEPS,)]
    assert count_earlier_releases(config, PLAN, data) == (0, PLAN.epsilon)


def test_training_data_of_earlier_versions_are_charged_with_the_training(tmp_path):
    charge_training(config_in(tmp_path), PLAN, "one", tmp_path / "data")
    for entries in both_ledgers(tmp_path):
        assert [entry.events for entry in entries] == [(STEPS, VOCABULARY)]


def test_a_training_alone_keeps_the_charge_of_its_evaluations(tmp_path):
    evaluations = NoisedValidationPlan(noise_multiplier=NOISE, loss_clip=4.0, evaluations=1, expected_units=250.0)
    plan = replace(PLAN, validation=evaluations)  # the same event as the vocabulary's
    assert plan.own_events() == (STEPS, VOCABULARY)
    assert plan.all_events() == (STEPS, VOCABULARY, VOCABULARY)


def test_nothing_is_drawn_where_a_ledger_cannot_be_written(tmp_path):
    (tmp_path / "ledger.json").write_text("damaged")
    with pytest.raises(DataError, match="LS306"):
        draws_uncharged_vocabulary(tmp_path)


def test_only_a_vocabulary_that_is_charged_needs_the_accountant(tmp_path, monkeypatch):
    monkeypatch.setattr(privacy_checks, "_LIBRARIES", ("no_such_package",))
    preflight.check(config_in(tmp_path, dp_vocabulary="bytes"), "tokenize")
    with pytest.raises(ParameterError, match="LS106"):
        preflight.check(config_in(tmp_path), "tokenize")


def test_the_ledger_of_a_bucket_is_there_when_a_vocabulary_is_charged():
    """Without a copy of it, a new one with a single entry would replace it."""
    assert f"private/{RUN_LEDGER_FILE}" in _READ["tokenize"]


@pytest.mark.integration
@pytest.mark.slow
def test_the_stages_charge_a_vocabulary_each_time_that_they_draw_it(tmp_path):
    (tmp_path / "in.txt").write_text("".join(f"{i % 7},é{'ab' * (i % 5)},{i}\n" for i in range(60)))
    config = config_in(
        tmp_path, input_data_path=tmp_path / "in.txt", overwrite=True, dp_delta=1e-3, dp_batch_size=10, epochs=0,
        embedding_dim=4, rnn_units=4,
    )  # fmt: skip
    for _ in range(2):
        tokenize(config)
    notices = train_model(config).notices
    vocabulary = (GaussianEvent(NOISE),)
    for entries in both_ledgers(tmp_path):
        assert [entry.events for entry in entries[:2]] == [vocabulary, vocabulary]
        assert len(entries) == 3
    statement = json.loads((tmp_path / "run" / "model" / "privacy.json").read_text())
    assert statement["earlier_trainings"]["count"] == 1
    assert statement["earlier_trainings"]["epsilon_with_this"] == epsilon([VOCABULARY, VOCABULARY], 1e-3)
    assert sum(notice.startswith("PRIVACY: 1 ") for notice in notices) == 1
