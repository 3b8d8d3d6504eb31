"""The benchmark of quality: its sets, its clock and its trials; nothing is trained here."""

from __future__ import annotations

import time

from rich.console import Console

from benchmarks import quality
from benchmarks.inside.cpu_clock import seconds_of_work
from benchmarks.quality_trials import TRIALS
from linesmith.core.config.tensorflow_config import TensorFlowConfig


def test_training_and_holdout_have_no_line_in_common_and_are_all_lines(tmp_path):
    lines = [f"{number}, x" for number in range(103)]
    train, holdout = (path.read_text().splitlines() for path in quality.split(tmp_path, lines))
    assert sorted(train + holdout) == sorted(lines) and len(holdout) == 20


def test_a_file_that_is_not_there_gives_airports(tmp_path):
    delimiter, lines = quality.first_lines(False, tmp_path / "none.csv")
    assert delimiter == "|" and len(lines) == 5000
    (tmp_path / "few.csv").write_text("a, b\nc, d\n")
    assert quality.first_lines(False, tmp_path / "few.csv") == (", ", ["a, b", "c, d"])


def test_the_clock_counts_work_and_not_waiting():
    before = seconds_of_work()
    time.sleep(0.2)
    assert seconds_of_work() - before < 0.1
    while seconds_of_work() - before < 0.05:
        sum(range(1000))


def test_every_trial_is_a_configuration():
    for changes in TRIALS.values():
        TensorFlowConfig(**changes, field_delimiter=", ")


def test_a_result_that_is_there_is_not_made_again(tmp_path):
    (tmp_path / "result.json").write_text('{"steps": 3}')
    assert quality._child(["no-such-program"], tmp_path) == {"steps": 3}


def test_the_table_shows_what_a_report_holds(capsys):
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
