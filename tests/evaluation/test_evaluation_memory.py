"""Memorization of single records: its statistics, their false alarms, and a model that memorized its training records."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.evaluation.model_memorization import auc_interval, mean_difference_interval
from linesmith.pipelines import workflow
from linesmith.pipelines.evaluate.report.page import render
from linesmith.records.fields import FieldFormat

pytestmark = pytest.mark.integration


def test_the_probability_is_the_area_under_the_curve_and_counts_ties_half():
    random = np.random.default_rng(1)
    left, right = random.integers(0, 9, 300).astype(float), random.integers(1, 10, 200).astype(float)
    truth = np.r_[np.zeros(300), np.ones(200)]
    assert auc_interval(left, right)[0] == pytest.approx(roc_auc_score(truth, np.r_[left, right]))


def test_the_coverage_of_intervals_is_as_stated():
    """1,000 draws of equal sides, level 95 %: 50 misses are expected; 30 to 72 has a false-alarm rate of 0.3 %."""
    random = np.random.default_rng(2)
    missed = np.zeros(2, int)
    for _ in range(1000):
        left, right = random.gamma(4, size=120), random.gamma(4, size=60)
        for which, (ends, truth) in enumerate(
            ((mean_difference_interval(left, right)[1], 0.0), (auc_interval(left, right)[1], 0.5))
        ):
            missed[which] += not ends[0] <= truth <= ends[1]
    assert (missed >= 30).all() and (missed <= 72).all(), missed


def test_a_shift_is_found():
    random = np.random.default_rng(3)
    left, right = random.normal(1.0, 0.2, 2000), random.normal(1.1, 0.2, 500)
    assert mean_difference_interval(left, right)[1][0] > 0 and auc_interval(left, right)[1][0] > 0.5


@pytest.mark.parametrize("fields", [["a", "b,c", 'd"e', ""], ["1"], ["", ""]])
def test_joined_fields_split_again(fields):
    quoted = FieldFormat(",", quoted=True)
    assert quoted.split(quoted.join(fields)) == fields


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train for many epochs, and for one, on random lines, which can be predicted only if they are memorized."""
    root = tmp_path_factory.mktemp("memory")
    random = np.random.default_rng(4)
    lines = ["".join(random.choice(list("abcdefgh"), 12)) + ',"x,y"' for _ in range(240)]
    (root / "lines.csv").write_text("\n".join(lines) + "\n")

    def of(name: str, **changes) -> dict:
        config = TensorFlowConfig(
            input_data_path=str(root / "lines.csv"), checkpoint_dir=str(root / name), field_delimiter=",", quoted=True,
            vocab_size=0, rnn_layers=1, rnn_units=64, embedding_dim=16, dropout_rate=0.0, learning_rate=0.01,
            holdout_fraction=0.4, batch_size=8, early_stopping=False, best_model_metric=None, gen_lines=20, tensorboard=False,
            **changes
        )  # fmt: skip
        workflow.run(config)
        return json.loads((root / name / "report" / "report.json").read_text())

    return of


@pytest.mark.slow
def test_memorization_is_detected_only_in_the_model_that_memorized(run):
    """The seed is fixed; on a processor with other rounding, the control fails by chance with a probability of at most 1/20."""
    heart, hardly = run("heart", epochs=60), run("hardly", epochs=1)
    kept, not_kept = heart["context"]["memory"], hardly["context"]["memory"]
    assert kept["kept"] and kept["low"] > 0 and kept["auc_low"] > 0.5
    assert not not_kept["kept"] and not_kept["auc_low"] < 0.5 < not_kept["auc_high"]
    assert kept["units"]["training"] > kept["units"]["holdout"] > 60
    assert "guard the model more closely" in render(heart)
    assert "no more than chance gives" in render(hardly)
    assert heart["verdict"]["privacy"] != "leak", "what the model keeps is no copy in its output"
