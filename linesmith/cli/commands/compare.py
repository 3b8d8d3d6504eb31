"""`linesmith compare`: the reports of two runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from linesmith.core.artifacts.files import read_json
from linesmith.core.artifacts.manifest import check_format_version
from linesmith.core.errors import DataError


def show_comparison(console: Console, first: tuple[str, str], second: tuple[str, str]) -> int:
    """Scores, verdicts, components, fields and leak tests of two reports; returns the exit code.

    Args:
        first, second: what the user calls each run, and where it lies on this machine.

    Raises:
        DataError: one of the directories holds no report.
    """
    reports = [read_report(place) for _, place in (first, second)]
    for title, rows in _parts(reports):
        table = Table("", _name(first[0]), _name(second[0]), "difference", title=title, title_justify="left")
        for name, one, other in rows:
            table.add_row(name, _shown(one), _shown(other), _difference(one, other))
        console.print(table)
    return 0


def read_report(place: str) -> dict[str, Any]:
    """The report of a run directory, or of a directory that `evaluate --output` wrote.

    Raises:
        DataError: there is none, or it is of a newer version.
    """
    for inner in ("report", "private/report", "."):
        path = Path(place) / inner / "report.json"
        if path.is_file():
            body: dict[str, Any] = read_json(path, "the report")
            check_format_version(body.get("format_version"), str(path))
            return body
    raise DataError(
        f"LS201: '{place}' holds no report.json; run linesmith evaluate --output {place} first.", code="LS201"
    )


Row = tuple[str, Any, Any]


def _parts(reports: list[dict[str, Any]]) -> list[tuple[str, list[Row]]]:
    one, other = reports
    verdict: list[Row] = []
    for key in ("closeness", "privacy"):
        verdict.append((key, one["scores"][key]["value"], other["scores"][key]["value"]))
        verdict.append((f"{key}, in words", one["verdict"][key], other["verdict"][key]))
    claims = [(report["context"].get("privacy") or {}).get("epsilon", "no claim") for report in reports]
    verdict.append(("epsilon", *claims))
    if any(report.get("stale") for report in reports):
        told = ["of earlier records" if report.get("stale") else "of the records beside it" for report in reports]
        verdict.append(("the report is", told[0], told[1]))
    memories = [report["context"].get("memory") or {} for report in reports]
    if any(memories):
        title = "the model's loss tells a seen record from an unseen one (0.5 is chance)"
        verdict.append((title, memories[0].get("auc"), memories[1].get("auc")))
    components = [{row["name"]: row["score"] for row in report["closeness"]["components"]} for report in reports]
    fields = [
        {row["name"]: row["distance"]["synthetic"] for row in report["closeness"]["fields"]} for report in reports
    ]
    tests = [{row["name"]: row["gap"] for row in report["safety"]["tests"]} for report in reports]
    return [
        ("Verdict", verdict),
        ("Components of closeness (1 is best)", _joined(*components)),
        ("Distance of each field (0 is best)", _joined(*fields)),
        ("Gap between training and holdout (0 is best)", _joined(*tests)),
    ]


def _joined(one: dict[str, Any], other: dict[str, Any]) -> list[Row]:
    return [(name, one.get(name), other.get(name)) for name in dict.fromkeys([*one, *other])]


def _name(place: str) -> str:
    return Path(place).name or place


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _difference(one: Any, other: Any) -> str:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return f"{other - one:+.3f}" if numbers else ""
