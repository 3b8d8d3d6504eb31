"""The attacks of the audit: each finds the bug it is meant for and passes the correct trainer; also files, texts and codes.

All twenty seeds and all planted bugs are `make test-audit`; here are the cheapest of each kind.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from linesmith.cli.app import run_command_line
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.privacy.audit.findings import findings
from linesmith.model.privacy.audit.gradient_canaries import audit_gradients
from linesmith.model.privacy.audit.neighbors import audit_neighbors
from linesmith.model.privacy.audit.sampling_faults import sampling_faults
from linesmith.model.privacy.audit.text_canaries import LETTERS, SUFFIX_LENGTH, make_canaries
from linesmith.model.privacy.poisson_sampling import poisson_sample
from linesmith.model.privacy.trainer import PrivateTrainer
from linesmith.pipelines.audit.attacks import small_config
from linesmith.pipelines.audit.settings import AuditSettings
from linesmith.pipelines.evaluate.refresh import add_audit_to_report, mark_report_stale
from linesmith.records.fields import FieldFormat
from tests.helpers import planted_bugs
from tests.helpers.audit_report import audit_body
from tests.helpers.token_stores import random_records, store_of
from tests.integration.audit_table import audit_text_canaries, setting

pytestmark = pytest.mark.integration

VOCAB = 40


# -- canaries


def test_canaries_keep_their_fields_and_each_has_a_character_of_its_own():
    records = [f"{n},name {n},x{n}" for n in range(30)]
    made = make_canaries(records, 100, seed=3, fields=FieldFormat(","))
    assert len(set(made.texts)) == len(set(made.unique_characters)) == 100
    for text, character in zip(made.texts, made.unique_characters, strict=True):
        assert text.count(",") == 2 and text.count(character) == 1
        assert text[-SUFFIX_LENGTH:].isalnum() and set(text[-SUFFIX_LENGTH:]) <= set(LETTERS)
        assert any(text.startswith(record[: record.rindex(",")]) for record in records)
    assert 30 < made.included.sum() < 70
    assert make_canaries(records, 100, seed=3, fields=FieldFormat(",")).texts == made.texts
    assert make_canaries(records, 100, seed=4, fields=FieldFormat(",")).texts != made.texts


def test_quotes_stay_closed_and_a_user_is_a_canarys_own():
    records = ['1,"a, b","say ""hi"", then"', '2,c,"d,e"']
    made = make_canaries(records, 20, seed=0, fields=FieldFormat(",", quoted=True), key_field=0)
    rows = [FieldFormat(",", quoted=True).split(text) for text in made.texts]
    assert {len(row) for row in rows} == {3}
    assert len({row[0] for row in rows}) == 20
    assert {row[1] for row in rows} <= {"a, b", "c"}


def test_free_text_keeps_its_first_half_and_only_accepted_texts_are_taken():
    made = make_canaries(["abcdefgh"], 50, seed=0, accepts=lambda text: text[-1] in LETTERS[:31])
    assert all(text.startswith("abcd") and text[-1] in LETTERS[:31] for text in made.texts)


# -- draws


def _counts(draws, units):
    return np.bincount(np.concatenate(draws), minlength=units), [len(one) for one in draws]


def test_poisson_draws_pass_and_others_do_not():
    units, rate, steps = 500, 0.1, 60
    flagged = 0
    for trial in range(50):
        draws = [poisson_sample(units, rate, (trial, step)) for step in range(steps)]
        flagged += bool(sampling_faults(*_counts(draws, units), units, rate))
    assert flagged <= 2  # at one in 1,000 each more than 2 of 50 happen once in 50,000
    for draw, fault in (
        (planted_bugs._shuffled, "repetition"),
        (planted_bugs._one_size, "size"),
        (planted_bugs._too_often, "rate"),
    ):
        draws = [draw(units, rate, step, None) for step in range(steps)]
        assert fault in sampling_faults(*_counts(draws, units), units, rate)
    assert sampling_faults(np.zeros(3), [], 3, 0.5) == sampling_faults(np.ones(3), [3], 3, 1.0) == []


# -- inside the trainer


def _gradients(trainer_class=PrivateTrainer):
    store = store_of(random_records(60, VOCAB - 10, 12))
    config = setting(rnn_units=8, epochs=3)
    return audit_gradients(config, store, VOCAB, canaries=500, seed=0, trainer_class=trainer_class)


def test_the_correct_trainer_is_not_refuted_and_is_observed():
    found = _gradients()
    assert not found.refuted
    assert found.draws == () and found.steps == 9 and 200 < found.included < 300
    assert found.epsilon == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("bug", [planted_bugs.NoNoise, planted_bugs.PublicKey])
def test_noise_that_is_missing_or_known_is_found(bug):
    found = _gradients(bug)
    assert found.bound.epsilon > found.epsilon and found.refuted


@pytest.mark.parametrize("fields", [{}, {"field_delimiter": ",", "columns": ["a", "b", "c"]}], ids=["plain", "fields"])
def test_one_record_moves_the_sum_by_the_clipping_norm_and_no_more(fields):
    found = audit_neighbors(setting(**fields), VOCAB)
    assert not found.refuted
    assert 0.99 * found.clip < found.moved <= found.clip
    assert (found.released_moved, found.released_allowed) == (0, 0)


def test_clipping_that_is_missing_is_found():
    found = audit_neighbors(setting(), VOCAB, trainer_class=planted_bugs._clipping(planted_bugs._no_clipping))
    assert found.moved > found.clip and found.refuted


def test_a_raw_validation_loss_is_found():
    found = audit_neighbors(setting(), VOCAB, trainer_class=planted_bugs.RawValidation)
    assert found.released_moved > found.released_allowed == 0 and found.refuted


# -- the stage


@pytest.mark.slow
def test_text_canaries_find_a_vocabulary_that_was_learned(tmp_path):
    """Without privacy the characters of included canaries are in the tokenizer, and those of excluded ones are not."""
    lines = [f"{n % 24}, {n * 37 % 1000:03d}, {n * 91 % 997}" for n in range(60)]
    config = TensorFlowConfig(field_delimiter=", ", vocab_size=0, rnn_units=8, embedding_dim=8, rnn_layers=1, epochs=1)
    found = audit_text_canaries(
        config, lines, tmp_path / "run", AuditSettings(records=60, canaries=60, reference=False)
    )
    attacks = {one["name"]: one for one in found["attacks"]}
    assert attacks["vocabulary"]["membership"]["auc"] == 1.0
    assert found["bound"]["epsilon"] > 1.5
    assert found["claim"] is None and found["canaries"] == 60


def test_the_audits_settings_are_the_runs_but_small():
    from pathlib import Path

    trained = TensorFlowConfig(
        dp=True, dp_target_epsilon=3, rnn_units=256, epochs=90, privacy_ledger="ledger.json", dataset_name="d",
        max_training_time_seconds=5, header=True, dp_batch_size=5000, field_delimiter=",",
    )  # fmt: skip
    small = small_config(trained, Path("scratch") / "run", 9)
    assert (small.rnn_units, small.epochs, small.privacy_ledger, small.header) == (64, 6, None, False)
    assert (small.dp_target_epsilon, small.field_delimiter, small.dp_batch_size, small.seed) == (3, ",", None, 9)


@pytest.mark.parametrize(
    "wrong", [{"canaries": 2}, {"records": 5000}, {"gradients": 1001}, {"records": 1900, "canaries": 400}]
)
def test_budgets_are_kept(wrong):
    with pytest.raises(ParameterError, match="LS117"):
        AuditSettings(**wrong)


def test_the_command_refuses_what_cannot_work(tmp_path, capsys):
    assert run_command_line(["audit", "--output", str(tmp_path), "--canaries", "7"]) == 2
    assert "LS117" in capsys.readouterr().err
    assert run_command_line(["audit", "--output", str(tmp_path)]) == 2
    assert "LS201" in capsys.readouterr().err
    assert run_command_line(["audit", "--output", "s3://lines/run"]) == 2
    assert "LS118: --output 's3://lines/run'" in capsys.readouterr().err


# -- texts and page


def test_texts():
    assert "not refuted" in audit_body()["verdict"] and not audit_body()["refuted"]
    assert "REFUTED" in audit_body(refuted=True)["verdict"]
    assert any("not drawn as the claim assumes: size" in text for text in findings(audit_body(refuted=True)))
    assert "no epsilon below 1.25" in audit_body(claim=False)["verdict"]
    assert any("0.0999, within the clipping norm 0.1" in text for text in findings(audit_body()))


def test_an_audit_and_new_records_change_a_report_that_is_there(tmp_path, evaluated):
    from linesmith.core.artifacts.run_directory import RunDirectory

    place = tmp_path / "report"
    place.mkdir()
    (place / "report.json").write_text(json.dumps(evaluated))
    (place / "manifest.json").write_text("{}")
    assert add_audit_to_report(RunDirectory(tmp_path), audit_body())
    page = (place / "index.html").read_text("utf-8")
    assert 'id="audit"' in page and "exposure" in page and "80 of 100" in page
    assert "No audit was made" not in page
    for _ in range(2):  # saying it once is enough
        assert mark_report_stale(tmp_path) == [place]
        assert (place / "index.html").read_text("utf-8").count("of earlier records") == 1
    assert add_audit_to_report(RunDirectory(tmp_path), audit_body())
    assert (place / "index.html").read_text("utf-8").count("of earlier records") == 1
    assert json.loads((place / "report.json").read_text())["stale"] is True
    assert not (place / "manifest.json").exists()
    assert mark_report_stale(tmp_path / "elsewhere") == [] and not add_audit_to_report(
        RunDirectory(tmp_path / "elsewhere"), audit_body()
    )


@pytest.fixture(scope="module")
def evaluated():
    """Make the content of a report without a pipeline."""
    from linesmith.pipelines.evaluate.report.content import report_content
    from tests.helpers.evaluation_sets import collect_evaluation_data_in_memory, people

    sets = {"training": people(300, 1), "holdout": people(100, 2), "synthetic": people(100, 3)}
    found = report_content(collect_evaluation_data_in_memory(sets))
    return {
        **found,
        "context": {},
        "not_covered": [],
        "provenance": {"files": {"synthetic": []}, "runner": "", "versions": {}},
    }
