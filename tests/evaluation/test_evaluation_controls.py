"""Negative controls: synthetic sets whose verdict is known in advance, so that a too lenient evaluation fails."""

from __future__ import annotations

import numpy as np
import pytest

from linesmith.evaluation.classifiers import train_synthetic_test_real
from linesmith.evaluation.leakage import _compare, measure_leakage
from linesmith.evaluation.leakage_candidates import LeakageCandidate
from linesmith.pipelines.evaluate.report.content import report_content
from tests.helpers.evaluation_sets import collect_evaluation_data_in_memory, noise, people, shuffled_columns

pytestmark = pytest.mark.integration  # fits classifiers

TRAINING, HOLDOUT = people(4000, 1), people(1600, 2)


def evaluated(synthetic: list[str], holdout: list[str] | None = None) -> dict:
    held = HOLDOUT if holdout is None else holdout
    sets = {"training": TRAINING, "holdout": held, "synthetic": synthetic}
    return report_content(
        collect_evaluation_data_in_memory({name: records for name, records in sets.items() if records})
    )


def ratios(body: dict) -> dict[str, float]:
    return {one["name"]: one["ratio"] for one in body["closeness"]["components"]}


def test_one_half_of_the_holdout_is_close_and_safe():
    body = evaluated(HOLDOUT[:800], HOLDOUT[800:])
    assert body["verdict"]["closeness"] == "close"
    assert body["verdict"]["privacy"] == "no leak found"
    assert body["scores"]["closeness"]["value"] > 0.95
    assert body["scores"]["privacy"]["value"] > 0.85
    assert not any(test["leak"] for test in body["safety"]["tests"])


@pytest.mark.slow
def test_the_training_file_itself_is_a_leak():
    body = evaluated(TRAINING)
    assert body["verdict"]["privacy"] == "leak"
    assert body["scores"]["privacy"]["value"] < 0.05
    found = {test["name"].split()[0]: test["leak"] for test in body["safety"]["tests"]}
    assert found["records"] and found["near"] and found["texts"] and found["identifiers"]
    assert body["safety"]["novelty"]["synthetic"] == 0
    runs = body["safety"]["longest_runs"]
    long = runs["lengths"].index(32)  # a record has about forty bytes
    assert sum(runs["training"][long:]) > 10 * max(1, sum(runs["holdout"][long:]))


@pytest.mark.slow
def test_shuffled_columns_are_close_in_fields_and_far_in_association():
    body = evaluated(shuffled_columns(people(2000, 3), 4))
    ratio = ratios(body)
    assert ratio["fields"] > 0.95
    assert ratio["association"] < 0.2
    assert ratio["relations"] < 0.97
    assert body["closeness"]["classifier"]["auc"]["synthetic"] > 0.9
    assert body["verdict"]["closeness"] == "far"
    assert body["verdict"]["closeness_reasons"][0].split(":")[0] in (
        "Which values occur together",
        "Hard to tell from real records",
        "Useful to learn from",
    )
    assert body["verdict"]["privacy"] == "no leak found"


def _with_a_digit_too_many(records: list[str], one_in: int) -> list[str]:
    rows = [record.split("\n") for record in records]
    for row in rows[::one_in]:
        row[1] = "9" + row[1].removeprefix("-").rjust(7, "9")
    return ["\n".join(row) for row in rows]


def _usefulness_of_latitude(synthetic: list[str]) -> dict:
    found = train_synthetic_test_real(
        collect_evaluation_data_in_memory({"training": TRAINING, "holdout": HOLDOUT, "synthetic": synthetic}),
        target="lat",
    )
    assert found is not None
    return found["score"]


def test_a_few_extreme_numbers_do_not_change_usefulness():
    """Numbers that are a thousand times too large do not matter in one record of 400, but they do in every record."""
    good, few = people(2000, 3), _with_a_digit_too_many(people(2000, 3), 400)
    plain, outliers = _usefulness_of_latitude(good), _usefulness_of_latitude(few)
    assert plain["training"] > 0.8 and plain["synthetic"] > 0.8
    assert outliers["synthetic"] > plain["synthetic"] - 0.05
    assert _usefulness_of_latitude(_with_a_digit_too_many(good, 1))["synthetic"] < 0
    assert _usefulness_of_latitude(shuffled_columns(good, 4))["synthetic"] < 0.1


def test_noise_is_far():
    body = evaluated(noise(1500, 5))
    assert body["verdict"]["closeness"] == "far"
    assert ratios(body)["fields"] < 0.5
    assert body["scores"]["closeness"]["value"] < 0.5


@pytest.mark.parametrize("memorized", [40, 3])
def test_a_model_that_repeats_training_records_is_flagged(memorized):
    """Forty memorized records fail several tests; three fail only the test of how often records are repeated."""
    body = evaluated([*people(1000, 6), *(TRAINING[:memorized] * (800 // memorized))])
    assert body["verdict"]["privacy"] == "leak"
    assert ratios(body)["variety"] < 0.7
    repeats = next(test for test in body["safety"]["tests"] if "texts" in test)
    assert repeats["leak"] and repeats["texts"] == memorized
    assert any("far too often" in reason for reason in body["verdict"]["privacy_reasons"])


def test_altered_copies_are_near_copies():
    altered = [record[:-1] + ("1" if record[-1] == "0" else "0") for record in TRAINING[:2000]]
    tests = measure_leakage(
        collect_evaluation_data_in_memory({"training": TRAINING, "holdout": HOLDOUT, "synthetic": altered})
    )["tests"]
    assert not tests[0]["leak"]
    assert tests[1]["leak"]


def test_without_a_holdout_nothing_is_called_safe():
    body = evaluated(people(1000, 7), [])
    assert body["verdict"]["privacy"] == "not measured"
    assert body["scores"]["privacy"]["value"] is None


def test_a_tiny_holdout_is_not_called_safe():
    body = evaluated(people(1000, 7), HOLDOUT[:30])
    assert body["verdict"]["privacy"] == "unclear"
    assert body["scores"]["privacy"]["value"] < 0.7


def test_false_alarms_of_the_gap_are_as_rare_as_stated():
    """Candidates that reappear by chance, 300 seeds at one-sided 0.5 %: more than 7 alarms has a probability below 0.01 %."""
    alarms = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        candidates = {
            side: [
                LeakageCandidate("", "", side == "training", side == "holdout", int(hit))
                for hit in random.random(1000) < 0.05
            ]
            for side in ("training", "holdout")
        }
        alarms += _compare("", candidates, 0.99)[0]["leak"]
    assert alarms <= 7


def test_a_gap_of_three_points_is_found():
    candidates = {
        side: [LeakageCandidate("", "", side == "training", side == "holdout", int(n < hits)) for n in range(1000)]
        for side, hits in (("training", 80), ("holdout", 40))
    }
    assert _compare("", candidates, 0.99)[0]["leak"]
