"""What a report advises: derived from its figures, with options that exist."""

from __future__ import annotations

import re

import pytest

from linesmith.cli.options import linesmith_flags
from linesmith.evaluation.advice import next_steps
from linesmith.evaluation.verdict import compute_verdict

EVALUATE_FLAGS = {"--holdout", "--real"}


def body(closeness: str = "far", privacy: str = "no leak found", *, sizes=(2000, 200, 1000), **context) -> dict:
    return {
        "verdict": {"closeness": closeness, "privacy": privacy},
        "sets": {name: {"records": n} for name, n in zip(("training", "holdout", "synthetic"), sizes, strict=True)},
        "closeness": {
            "components": [{"name": "fields", "ratio": 0.5}, {"name": "validity", "ratio": 0.9}],
            "fields": [{"name": "x", "distance": {"synthetic": 0.1}}, {"name": "y", "distance": {"synthetic": 0.4}}],
        },
        "context": context,
    }


def run_of(stopped: str, **counts) -> dict:
    settings = {"holdout_fraction": 0.05, "rnn_units": 128, "max_training_time_seconds": 60}
    return {"private": False, "settings": settings, "model": {"stopped": stopped, "counts": counts}}


CASES = {
    "epochs": body(**run_of("epochs", epochs=5, **{"best epoch": 4})),
    "time": body(**run_of("time", epochs=5, **{"best epoch": 1})),
    "patience": body(**run_of("patience", epochs=30, **{"best epoch": 24})),
    "private": body(**{**run_of("epochs", epochs=5), "private": True}),
    "leak": body("close", "leak", **run_of("epochs")),
    "no holdout": body("close", "not measured", sizes=(2000, 0, 1000), **run_of("epochs")),
    "small holdout": body("close", "unclear", sizes=(2000, 12, 1000), **run_of("epochs")),
    "one record": body("unclear", "unclear", sizes=(1, 0, 10), **run_of("epochs")),
    "files": body("unclear", "not measured", sizes=(1, 0, 1)),
    "drawn": body(**{**run_of("epochs", epochs=5, **{"best epoch": 1}), "synthetic": {"settings": {"gen_temp": 0.5}}}),
    "fine": body("close", **run_of("epochs")),
}


@pytest.mark.parametrize(
    ("case", "first"),
    [
        (
            "epochs",
            "Train longer: the last epoch was still the best. Set more epochs, for example --epochs 10 (it was 5).",
        ),
        ("time", "Train longer: training ended at its time limit. Raise --max-training-time-seconds (it was 60)."),
        ("patience", "More epochs will not help: the loss stopped falling after epoch 24."),
        ("private", "The noise of --dp costs closeness: more records, or a larger --dp-target-epsilon"),
        ("leak", "Do not publish these records"),
        (
            "no holdout",
            "To find out whether training records were copied, train with --holdout-fraction 0.2 (it was 0.05)",
        ),
        ("small holdout", "Too few real records were held back (12) to be sure about copies"),
        ("one record", "Too few records to learn from: there is 1 training record."),
        ("files", "Too few records to learn from: there is 1 training record."),
        ("fine", "Nothing needs to be changed"),
    ],
)
def test_the_weightiest_step_comes_first(case, first):
    assert next_steps(CASES[case])[0].startswith(first)


def test_more_epochs_are_not_advised_where_they_cannot_help():
    assert not any("--epochs" in step for step in next_steps(CASES["patience"]) + next_steps(CASES["time"]))
    best_long_ago = body(**run_of("epochs", epochs=30, **{"best epoch": 3}))
    assert not any("--epochs" in step for step in next_steps(best_long_ago))


def test_further_steps():
    assert any("--dp-target-epsilon" in step for step in next_steps(CASES["private"]))
    assert not any("A guarantee needs" in step for step in next_steps(CASES["private"]))
    assert any("--gen-temp 1" in step for step in next_steps(CASES["drawn"]))
    assert any("'y' differs most (distance 0.40 of 1)" in step for step in next_steps(CASES["epochs"]))
    assert any("--num-lines" in step for step in next_steps(CASES["one record"]))


def test_a_model_s_own_share_of_the_probability_is_no_reason():
    run = run_of("epochs", epochs=5)
    run["model"]["top_p"] = 0.98
    drawn = [body(**run, synthetic={"settings": {"gen_top_p": share}}) for share in (0.98, 0.9)]
    assert [any("--gen-top-p 0.98" in step for step in next_steps(one)) for one in drawn] == [False, True]


@pytest.mark.parametrize("case", CASES)
def test_every_option_that_is_named_exists(case):
    named = set(re.findall(r"--[a-z][a-z-]*", " ".join(next_steps(CASES[case]))))
    assert named <= {*linesmith_flags(), *EVALUATE_FLAGS}


def verdict_of(sizes: dict[str, int]) -> dict:
    test = {"name": "copies", "units": 500, "high": 0.01, "low": -0.01, "leak": False, "hits": {},
            "share": {"training": 0.0, "holdout": 0.0}}  # fmt: skip
    component = {"name": "fields", "score": 1.0, "reachable": 1.0, "ratio": 1.0, "how": ""}
    return compute_verdict({"tests": [test]}, [component], {"closeness": {"value": 1.0}}, sizes)


@pytest.mark.parametrize(
    ("sizes", "closeness", "privacy"),
    [
        ({"training": 500, "holdout": 100, "synthetic": 500}, "close", "no leak found"),
        ({"training": 1, "holdout": 100, "synthetic": 500}, "unclear", "no leak found"),
        ({"training": 500, "holdout": 100, "synthetic": 1}, "unclear", "unclear"),
        ({"training": 500, "holdout": 3, "synthetic": 500}, "unclear", "no leak found"),
        ({"training": 500, "synthetic": 500}, "close", "not measured"),
    ],
)
def test_with_too_few_records_nothing_is_called_close(sizes, closeness, privacy):
    verdict = verdict_of(sizes)
    assert (verdict["closeness"], verdict["privacy"]) == (closeness, privacy)
    reasons = " ".join(verdict["closeness_reasons"] + verdict["privacy_reasons"])
    assert ("Too few records" in reasons) == ("unclear" in (closeness, privacy))
