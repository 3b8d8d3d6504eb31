"""Tests of the quality benchmark: its data sets, its clock and its trials. No model is trained."""

from __future__ import annotations

import time

from rich.console import Console

from benchmarks import quality
from benchmarks.inside.cpu_clock import cpu_seconds_per_core
from benchmarks.quality_trials import TRIALS
from linesmith.core.config.tensorflow_config import TensorFlowConfig


def test_training_and_holdout_lines_are_a_partition_of_all_lines(tmp_path):
    lines = [f"{number}, x" for number in range(103)]
    train, holdout = (path.read_text().splitlines() for path in quality.split(tmp_path, lines))
    assert sorted(train + holdout) == sorted(lines) and len(holdout) == 20


def test_a_missing_file_is_replaced_by_airports(tmp_path):
    delimiter, lines = quality.first_lines(False, tmp_path / "none.csv")
    assert delimiter == "|" and len(lines) == 5000
    (tmp_path / "few.csv").write_text("a, b\nc, d\n")
    assert quality.first_lines(False, tmp_path / "few.csv") == (", ", ["a, b", "c, d"])


def test_the_clock_counts_cpu_time_and_not_waiting():
    before = cpu_seconds_per_core()
    time.sleep(0.2)
    assert cpu_seconds_per_core() - before < 0.1
    while cpu_seconds_per_core() - before < 0.05:
        sum(range(1000))


def test_every_trial_is_a_valid_configuration():
    for changes in TRIALS.values():
        TensorFlowConfig(**changes, field_delimiter=", ")


def test_an_existing_result_is_not_computed_again(tmp_path):
    (tmp_path / "result.json").write_text('{"steps": 3}')
    assert quality.run_child(["no-such-program"], tmp_path) == {"steps": 3}


def test_the_table_shows_the_figures_of_a_report(capsys):
    pair = {"synthetic": 0.25, "holdout": 0.125}
    body = {
        "scores": {"closeness": {"value": 0.5}, "privacy": {"value": None}},
        "closeness": {
            "components": [{"name": "fields", "score": 0.75, "reachable": 0.875}],
            "fields": [{"name": "age", "distance": pair}],
        },
        "safety": {"tests": [{"units": 5, "gap": 0.03, "leak": True}, {"units": 0, "gap": None, "leak": False}]},
        "context": {"memory": {"auc": 0.625, "auc_low": 0.5625, "auc_high": 0.6875}},
    }
    quality.show(Console(width=180), {"one": body})
    shown = capsys.readouterr().out
    assert all(
        text in shown for text in ("0.500", "0.750", "0.875", "0.250", "0.125", "+3.00% LEAK", "0.625 (0.562–0.688)")
    )
