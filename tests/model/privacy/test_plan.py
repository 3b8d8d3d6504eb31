"""The plan and the statement: what is decided before private training, what is claimed, and what is named as not covered."""

from __future__ import annotations

import json
import math
from importlib import metadata

import pytest

from linesmith.core.artifacts.params import config_from_settings, save_params
from linesmith.core.config.privacy_checks import (
    check_libraries,
    check_privacy_settings,
    check_replicas,
    check_training_data,
    vocabulary_mode,
)
from linesmith.core.config.privacy_warnings import privacy_warnings
from linesmith.core.config.setting_field import dp_default
from linesmith.core.config.tensorflow_config import TensorFlowConfig, fields
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.privacy.accounting import GaussianEvent, combined_noise_multiplier, epsilon
from linesmith.model.privacy.plan_from_config import choose_expected_batch_size, plan_privacy
from linesmith.model.privacy.statement import build_statement, not_covered, write_statement
from linesmith.model.privacy.statement_text import format_epsilon, format_statement

N = 2_000


def config_of(**settings) -> TensorFlowConfig:
    return TensorFlowConfig(**{"dp": True, "dp_batch_size": 100, "epochs": 3, **settings})


# --- the plan


@pytest.mark.integration
def test_dp_alone_means_epsilon_eight():
    plan = plan_privacy(config_of(), N)
    assert 7.9 < plan.epsilon <= 8.0
    assert (plan.target_epsilon, plan.delta, plan.accountant, plan.vocabulary) == (8.0, 1e-6, "PLD", "bytes")


@pytest.mark.integration
def test_rate_divisor_and_steps_are_fixed_by_public_numbers():
    plan = plan_privacy(config_of(dp_batch_size=96, seq_length=50, dp_l2_norm_clip=0.5, dp_optimizer="sgd"), N)
    assert plan.sample_rate * N == plan.expected_batch_size == 96
    assert (plan.steps_per_epoch, plan.planned_steps) == (21, 63)
    assert (plan.seq_length, plan.l2_norm_clip, plan.optimizer, plan.adaptive_clip) == (50, 0.5, "sgd", None)


@pytest.mark.parametrize("target", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("adaptive", [False, True])
def test_the_target_is_never_passed(target, adaptive):
    plan = plan_privacy(config_of(dp_target_epsilon=target, dp_adaptive_clip=adaptive), N)
    assert target * 0.98 < plan.epsilon <= target
    assert plan.epsilon_at(0) == 0
    assert plan.epsilon_at(plan.planned_steps // 2) < plan.epsilon


def test_a_noise_that_is_given_is_honored():
    plan = plan_privacy(config_of(dp_noise_multiplier=1.5), N)
    assert plan.noise_multiplier == plan.effective_noise_multiplier == 1.5
    assert plan.target_epsilon is None
    assert plan.epsilon == epsilon([GaussianEvent(1.5, 60, 0.05)], 1e-6)


def test_the_old_default_noise_works_and_warns():
    config = TensorFlowConfig(dp=True, dp_noise_multiplier=0.1, epochs=1)
    plan = plan_privacy(config, 21_690)
    assert plan.expected_batch_size == 64
    assert 397 < plan.epsilon < 460
    assert any("no meaningful protection" in text for text in privacy_warnings(config))
    assert privacy_warnings(config_of(dp_noise_multiplier=1.0)) == []


def test_without_noise_epsilon_is_infinite_and_says_so(tmp_path):
    plan = plan_privacy(config_of(dp_noise_multiplier=0, dp_batch_size=N), N)
    assert plan.epsilon == math.inf
    assert plan.sample_rate == 1.0
    write_statement(tmp_path, plan, 1, unsafe_key=False)
    stored = json.loads((tmp_path / "privacy.json").read_text())
    assert stored["epsilon"] == stored["spent_so_far"]["epsilon"] == "infinite"
    assert stored["meaning"] == "This is no meaningful protection."


def test_adaptive_clipping_is_charged():
    fixed = plan_privacy(config_of(dp_noise_multiplier=1.0), N)
    plan = plan_privacy(config_of(dp_noise_multiplier=1.0, dp_adaptive_clip=True, dp_clip_quantile=0.7), N)
    assert plan.adaptive_clip.target_quantile == 0.7
    assert plan.adaptive_clip.count_noise == 5.0  # a twentieth of the expected batch (Andrew et al. 2021)
    assert plan.effective_noise_multiplier == combined_noise_multiplier(1.0, 10.0) < 1.0
    assert plan.epsilon > fixed.epsilon
    calibrated = plan_privacy(config_of(dp_adaptive_clip=True), N)
    plain = plan_privacy(config_of(), N)
    assert plain.noise_multiplier < calibrated.noise_multiplier < 1.04 * plain.noise_multiplier
    assert calibrated.effective_noise_multiplier == pytest.approx(plain.noise_multiplier, rel=1e-6)


@pytest.mark.integration
def test_the_ceiling_is_the_last_permitted_step():
    plan = plan_privacy(config_of(dp_noise_multiplier=1.0, dp_max_epsilon=2.5), N)
    assert 0 < plan.planned_steps < 60
    assert plan.epsilon_at(plan.planned_steps) <= 2.5 < plan.epsilon_at(plan.planned_steps + 1)
    assert plan_privacy(config_of(dp_target_epsilon=2.0, dp_max_epsilon=99), N).planned_steps == 60
    with pytest.raises(ParameterError, match=r"LS302.*does not permit a single step.*Nothing was spent") as caught:
        plan_privacy(config_of(dp_noise_multiplier=0.5, dp_max_epsilon=0.1), N)
    assert caught.value.code == "LS302"


def test_the_default_batch_size():
    def auto(records, **settings):
        return choose_expected_batch_size(TensorFlowConfig(dp=True, **settings), records)

    assert auto(20_000, epochs=50) == 2857  # about 350 steps
    assert auto(20_000, epochs=2) == auto(20_000, epochs=2, batch_size=64) == 256
    assert auto(50, epochs=100) == 50
    assert auto(20_000, epochs=100, dp_noise_multiplier=1.0) == 64  # what such a setting has always meant
    assert auto(20_000, epochs=100, dp_noise_multiplier=1.0, batch_size=100) == 100
    assert auto(20_000, dp_batch_size=7) == 7


def test_no_epochs_spend_nothing():
    plan = plan_privacy(config_of(epochs=0), N)
    assert (plan.planned_steps, plan.epsilon) == (0, 0.0)
    assert "Nothing was released" in build_statement(plan, 0, unsafe_key=False)["meaning"]


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "code", "told"),
    [
        ({"dp_noise_multiplier": 1.0, "dp_target_epsilon": 8.0}, "LS301", "--dp-target-epsilon 8"),
        ({"max_lines": 10}, "LS301", "--max-lines 10"),
        ({"sample_rows": 10}, "LS301", "--sample-rows 10"),
        ({"dp_batch_size": N + 1}, "LS303", "--dp-batch-size 2001"),
        ({"dp_delta": 1 / N}, "LS304", "--dp-delta 0.0005"),
        ({"vocab_size": 500}, "LS305", "--vocab-size 500"),
        ({"privacy_ledger": "ledger.json"}, "LS316", "--dataset-name"),
        ({"field_delimiter": ",", "column_pattern": "<c{}>"}, "LS301", "--columns"),
        ({"field_delimiter": ",", "column_pattern": "<c{}>", "dp_vocabulary": "raw"}, "LS301", "--columns"),
        ({"max_training_time_seconds": 60}, "LS301", "--max-training-time-seconds 60"),
        ({"max_training_time_seconds": 0}, "LS301", "--max-training-time-seconds 0"),
    ],
)
def test_refused_with_a_code(settings, code, told):
    with pytest.raises(ParameterError, match=rf"^{code}: ") as caught:
        plan_privacy(config_of(**settings), N)
    assert caught.value.code == code
    assert told in str(caught.value)


def test_just_allowed():
    check_privacy_settings(
        TensorFlowConfig(dp_noise_multiplier=1.0, dp_target_epsilon=8.0, max_lines=10, max_training_time_seconds=60)
    )
    check_privacy_settings(config_of(vocab_size=500, dp_vocabulary="raw"))
    check_privacy_settings(config_of(vocab_size=0))
    assert plan_privacy(config_of(dp_delta=0.99 / N, dp_batch_size=N), N).sample_rate == 1.0


@pytest.mark.parametrize(
    "name", [f"{start}_FPMATH_MODE" for start in ("ONEDNN_DEFAULT", "DNNL_DEFAULT", "TF_SET_ONEDNN")]
)
def test_products_that_are_less_than_float32_are_refused(name, monkeypatch):
    for harmless in ("", "STRICT"):
        monkeypatch.setenv(name, harmless)
        check_privacy_settings(config_of())
    monkeypatch.setenv(name, "BF16")
    check_privacy_settings(TensorFlowConfig())
    with pytest.raises(ParameterError, match=f"LS310: {name}=BF16: ") as caught:
        check_privacy_settings(config_of())
    assert caught.value.code == "LS310"


def test_replicas_and_libraries(monkeypatch):
    check_replicas(True, 1)
    check_replicas(False, 4)
    with pytest.raises(ParameterError, match="LS307"):
        check_replicas(True, 2)
    check_libraries(config_of())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_libraries(TensorFlowConfig())
    with pytest.raises(ParameterError, match=r"LS106.*dp_accounting.*linesmith\[dp\]"):
        check_libraries(config_of())


@pytest.mark.parametrize(
    "settings",
    [{"dp_delta": 0}, {"dp_delta": 1}, {"dp_target_epsilon": 0}, {"dp_clip_quantile": 1}, {"dp_max_epsilon": 0}],
)
def test_out_of_range_at_birth(settings):
    with pytest.raises(ParameterError, match="LS101"):
        TensorFlowConfig(**settings)


def test_a_default_vocabulary_size_is_no_choice(tmp_path):
    """Neither a copy nor a reload may turn the default size into an explicit one, or forget that bytes were meant."""
    config = config_of(checkpoint_dir=tmp_path)
    assert vocabulary_mode(config) == vocabulary_mode(config.replace(epochs=9)) == "bytes"
    check_privacy_settings(TensorFlowConfig().replace(dp=True))
    save_params(config, tmp_path)
    again = config_from_settings(json.loads((tmp_path / "model_params.json").read_text()))
    assert again.dp_vocabulary == "bytes"
    check_privacy_settings(again)
    assert again.stage_settings("tokenize", "train") == config.stage_settings("tokenize", "train")
    with pytest.raises(ParameterError, match="LS305"):
        check_privacy_settings(config.replace(vocab_size=20_000))
    assert vocabulary_mode(TensorFlowConfig()) == "raw"
    assert TensorFlowConfig().as_dict()["dp_vocabulary"] is None


def test_private_training_has_defaults_of_its_own_and_honors_what_is_set(tmp_path):
    plain, private = TensorFlowConfig(), TensorFlowConfig(dp=True)
    changed = {
        name: (getattr(plain, name), getattr(private, name))
        for name in fields()
        if getattr(plain, name) != getattr(private, name)
    }
    assert set(changed) == {"dp", *(name for name, info in fields().items() if dp_default(info) is not None)}
    assert (private.dropout_rate, private.rnn_layers, private.seq_length) == (0.0, 1, 256)
    assert private.clipping_norm == 10 / 256 and plan_privacy(private.replace(seq_length=100), N).l2_norm_clip == 0.1
    # None of them counts as set: a copy without privacy has the plain ones, one with it the private ones.
    assert private.replace(dp=False) == plain
    assert plain.replace(dp=True) == private
    old = {"dp": True, "rnn_units": 256, "rnn_layers": 2, "dropout_rate": 0.2, "dp_l2_norm_clip": 3.0, "batch_size": 64}
    honoured = config_from_settings(
        {**old, "learning_rate": 0.001, "dp_microbatches": 64, "model_type": "TensorFlowConfig"}
    )
    assert {name: getattr(honoured, name) for name in old} == old
    assert plan_privacy(honoured.replace(epochs=1, dp_noise_multiplier=1.0), N).l2_norm_clip == 3.0
    assert any("dp_l2_norm_clip 3 " in text for text in privacy_warnings(honoured))
    save_params(private.replace(checkpoint_dir=tmp_path), tmp_path)
    stored = json.loads((tmp_path / "model_params.json").read_text())
    assert stored["rnn_layers"] == 1
    assert config_from_settings(stored).stage_settings("train") == private.stage_settings("train")


# --- the statement

REQUIRED = {
    "unit": "one record",
    "adjacency": "add or remove one record",
    "sampler": "Poisson",
    "epsilon_is": "planned steps",
    "records_note": "public",
}
NOT_COVERED = {
    "raw vocabulary",
    "number of records",
    "tuning and repeated runs",
    "validators and novelty filters",
    "observers",
    "floating-point attacks",
    "generator",
    "duplicates and groups",
    "callbacks",
}


@pytest.fixture(scope="module")
def plan():
    return plan_privacy(config_of(dp_adaptive_clip=True, dp_max_epsilon=6.0), N)


@pytest.fixture(scope="module")
def written(plan, tmp_path_factory):
    place = tmp_path_factory.mktemp("model")
    write_statement(place, plan, 7, unsafe_key=False, stopped="budget", generator="ChaCha20 keyed by a secret")
    return json.loads((place / "privacy.json").read_text("utf-8")), (place / "privacy.txt").read_text("utf-8")


def test_the_statement_is_complete(plan, written):
    facts, _ = written
    for name, part in REQUIRED.items():
        assert part in facts[name]
    assert facts["format_version"] == 1
    assert (facts["epsilon"], facts["delta"]) == (plan.epsilon, plan.delta)
    assert facts["accountant"]["name"] == "PLD"
    assert facts["accountant"]["library"] == f"dp-accounting {metadata.version('dp-accounting')}"
    assert facts["accountant"]["second_opinion"] == {"name": "RDP", "epsilon": plan.rdp_epsilon}
    assert facts["spent_so_far"]["steps"] == 7
    assert facts["spent_so_far"]["epsilon"] == plan.epsilon_at(7) < facts["epsilon"]
    assert "no claim" in facts["spent_so_far"]["note"]
    mechanism = facts["mechanism"]
    assert mechanism["charged_noise_multiplier"] == plan.effective_noise_multiplier < mechanism["noise_multiplier"]
    assert mechanism["adaptive_clip"]["count_noise"] == plan.adaptive_clip.count_noise
    assert (facts["sample_rate"], facts["expected_batch_size"], facts["records"]) == (0.05, 100, N)
    assert facts["vocabulary"]["epsilon"] == 0
    assert [row["records"] for row in facts["group_privacy"]] == [2, 5, 10]
    assert facts["group_privacy"][0]["epsilon"] == facts["replace_one"]["epsilon"] == 2 * plan.epsilon
    assert facts["unsafe_fixed_key"] is False
    assert set(facts["not_covered"]) == NOT_COVERED
    assert "ChaCha20" in facts["not_covered"]["generator"]
    assert "private/" in facts["not_releasable"]


def test_the_text_says_the_same(plan, written):
    facts, text = written
    for part in (
        facts["unit"],
        facts["adjacency"],
        "Poisson",
        "PLD",
        "RDP",
        format_epsilon(plan.epsilon),
        "1e-06",
        "Not covered",
    ):
        assert part in text
    for name, why in facts["not_covered"].items():
        assert f"- {name}: {why}." in text
    assert "7 steps" in text
    assert "no claim" in text
    assert "UNSAFE" not in text


def test_a_raw_vocabulary_is_named(plan):
    assert "in use here" in not_covered("raw")["raw vocabulary"]
    assert not_covered("bytes")["raw vocabulary"] == "not in use here"
    config = config_of(dp_vocabulary="raw", dp_noise_multiplier=1.0)
    assert any("raw records" in text for text in privacy_warnings(config))
    facts = build_statement(plan_privacy(config, N), 0, unsafe_key=False)
    assert facts["vocabulary"]["epsilon"] is None
    assert "not covered" in facts["vocabulary"]["what"]


def test_a_fixed_key_voids_the_claim(plan):
    facts = build_statement(plan, 0, unsafe_key=True)
    assert facts["meaning"].startswith("Void")
    assert "UNSAFE" in format_statement(facts)
    assert any("publish nothing" in text for text in privacy_warnings(config_of(dp_unsafe_fixed_key="ab")))


def test_the_statement_depends_on_the_records_through_their_number_only(plan):
    assert build_statement(plan, 7, unsafe_key=False) == build_statement(
        plan_privacy(config_of(dp_adaptive_clip=True, dp_max_epsilon=6.0, input_data_path="other.csv"), N),
        7,
        unsafe_key=False,
    )


def test_what_was_released_beside_the_steps_is_in_the_claim():
    from dataclasses import replace

    plan = plan_privacy(config_of(dp_noise_multiplier=1.0), N)
    more = replace(plan, other_events=(GaussianEvent(6.0),))
    assert more.epsilon > plan.epsilon
    assert more.epsilon_at(0) == epsilon([GaussianEvent(6.0)], 1e-6) > 0


def test_the_claim_does_not_misdescribe_the_training_data():
    raw = config_of(dp_vocabulary="raw").stage_settings("tokenize")
    check_training_data(config_of(), config_of().stage_settings("tokenize"))
    check_training_data(TensorFlowConfig(), raw)
    for before in (raw, {**config_of().stage_settings("tokenize"), "max_lines": 9}, {}):
        with pytest.raises(DataError, match="LS215"):
            check_training_data(config_of(), before)
