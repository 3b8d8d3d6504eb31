"""What a card says about privacy and about an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from linesmith.core.artifacts.files import read_json, reading
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.privacy_statement import STATEMENT_FILE
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.artifacts.shapes import Claim
from linesmith.evaluation.labels import COMPONENT_LABELS
from linesmith.pipelines.cards.markdown import bullets, plain, table

_REPORT = "report.json"


def read_claim(run: RunDirectory) -> dict[str, Any] | None:
    """Return the privacy statement beside a model; None where it was trained without differential privacy.

    Whether it fits the weights is checked by those who rely on it (`check_statement`). One that lacks the claim, from a run
    directory of unknown origin, is returned empty: nothing can be quoted.

    Args:
        run: the run directory.

    Raises:
        DataError: LS201, the statement is not readable.
    """
    path = run.model / STATEMENT_FILE
    if not path.is_file():
        return None
    statement = read_json(path, "the privacy statement")
    try:
        Claim.model_validate(statement)
    except ValidationError:
        return {}
    return dict(statement)


def privacy_parts(claim: Mapping[str, Any] | None, what: str) -> list[str]:
    """Return the section on privacy.

    Args:
        claim: the privacy statement; None promises nothing, and an empty one cannot be quoted.
        what: 'model' or 'records'.
    """
    if claim is None:
        seen = "whoever has the model" if what == "model" else "whoever reads the records"
        return [
            "## Privacy",
            f"**No privacy is promised.** Training was without differential privacy: {seen} may learn something about single "
            "training records. Treat this like the training data unless tests say otherwise, and remember that tests find "
            "only what they look for.",
        ]
    if not claim:
        return ["## Privacy", "The statement in `model/privacy.json` says what is claimed, if anything."]
    limits = claim.get("not_covered")
    parts = [
        "## Privacy",
        f"**Differential privacy: epsilon {round_up(claim['epsilon'])} at delta {claim['delta']:g}**, for "
        f"{plain(claim['unit'])}; {plain(claim['adjacency'])}. {plain(claim.get('meaning') or '')}".rstrip(),
        "The statement in `model/privacy.json` is what counts: it holds the mechanism, the accountant and all limits. The claim "
        "does not cover:",
    ]
    if not isinstance(limits, dict):
        return parts[:-1]
    return [*parts, bullets(f"{plain(name)}: {plain(text)}." for name, text in limits.items())]


def round_up(epsilon: float | str) -> str:
    """Format epsilon with two decimals, rounded up so that no claim is stronger than it is; an infinite one is text already."""
    return epsilon if isinstance(epsilon, str) else f"{math.ceil(epsilon * 100) / 100:.2f}"


def read_figures(run: RunDirectory, weights_digest: str) -> dict[str, Any] | None:
    """Return the report of a run where it speaks of these weights and of the records that lie there.

    A report of a private run depends on raw records beyond the claim, so a card never quotes one.

    Args:
        run: the run directory.
        weights_digest: of the model.

    Raises:
        DataError: LS201, the report is damaged.
    """
    path = run.root / "report" / _REPORT
    if (run.model / STATEMENT_FILE).exists() or not path.is_file() or read_manifest(path.parent) is None:
        return None
    body: dict[str, Any] = read_json(path, "the report")
    with reading(path, "the report"):
        made_by = (body["context"].get("synthetic") or {}).get("model") or {}
        return None if body.get("stale") or made_by.get("weights_digest") != weights_digest else body


def evaluation_parts(figures: Mapping[str, Any] | None, private: bool, source: Path) -> list[str]:
    """Return the section on the evaluation: scores, verdict and tests, without any value of a record.

    Args:
        figures: content of the report; None: there is none.
        private: whether the model has differential privacy.
        source: of the report, for the message where it is damaged.
    """
    if private:
        text = (
            "Figures of an evaluation depend on the real records beyond the claim above. They are not in this card, and stay "
            "with the files that are not released."
        )
        return ["## Evaluation", text]
    if figures is None:
        return [
            "## Evaluation",
            "Not evaluated. `linesmith evaluate --output RUN` measures closeness and looks for copies.",
        ]
    with reading(source, "the report"):
        return ["## Evaluation", *_evaluation(figures)]


def _evaluation(figures: Mapping[str, Any]) -> list[str]:
    verdict, scores = figures["verdict"], figures["scores"]
    compared = ", ".join(
        f"{size['records']:,} {name}" + (f" (a uniform sample of {size['sample_of']:,})" if "sample_of" in size else "")
        for name, size in figures["sets"].items()
    )
    components = [
        (COMPONENT_LABELS.get(one["name"], one["name"]), _number(one["score"]), _number(one["reachable"]))
        for one in figures["closeness"]["components"]
    ]
    tests = [
        (test["name"], f"{test['units']:,}", _percent(test["share"]["training"]), _percent(test["share"]["holdout"]),
         "leak" if test["leak"] else "none found" if test["units"] else "not measured")
        for test in figures["safety"]["tests"]
    ]  # fmt: skip
    return [
        f"Records compared: {compared}. Holdout records are real ones that the model never saw.",
        f"**Closeness: {verdict['closeness']}** (score {_number(scores['closeness']['value'])} of 1). "
        "1.00 is what the training records themselves reach.",
        table(("property", "synthetic", "unseen real records"), components),
        f"**Copies: {verdict['privacy']}** (score {_number(scores['privacy']['value'])} of 1). How much of the training records "
        "reappears in the output, beside how much of the holdout records does by coincidence:",
        table(("test", "examined", "of training", "of holdout", "finding"), tests),
    ]


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"
