"""Run `linesmith compare`: show the reports of two runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from linesmith.core.artifacts.files import read_json, reading
from linesmith.core.artifacts.manifest import check_format_version
from linesmith.core.artifacts.shapes import Shape
from linesmith.core.errors import DataError


def show_comparison(console: Console, first: tuple[str, str], second: tuple[str, str]) -> int:
    """Print scores, verdicts, components, fields and leakage tests of two reports; return the exit code.

    Args:
        console: where to print.
        first: the first run's name, as the user typed it, and its path on this machine.
        second: the same of the second run.

    Raises:
        DataError: one of the directories holds no report, or a damaged one.
    """
    reports = [read_report(path) for _, path in (first, second)]
    tables = []
    with reading(f"{first[0]}' or '{second[0]}", "the report"):
        for title, rows in _sections(reports):
            table = Table(
                "", _short_name(first[0]), _short_name(second[0]), "difference", title=title, title_justify="left"
            )
            for name, left, right in rows:
                table.add_row(str(name), _value_text(left), _value_text(right), _difference(left, right))
            tables.append(table)
    for table in tables:
        console.print(table, markup=False)
    return 0


def read_report(directory: str) -> dict[str, Any]:
    """Return the report of a run directory, or of a directory that `evaluate --output` wrote.

    Args:
        directory: local path.

    Raises:
        DataError: LS201, there is no report; or the report is of a newer version.
    """
    for folder in ("report", "private/report", "."):
        path = Path(directory) / folder / "report.json"
        if path.is_file():
            body: dict[str, Any] = read_json(path, "the report", Shape)
            check_format_version(body.get("format_version"), str(path))
            return body
    raise DataError(
        "LS201", None, f"'{directory}' holds no report.json", f"Run linesmith evaluate --output {directory} first."
    )


Row = tuple[str, Any, Any]


def _sections(reports: list[dict[str, Any]]) -> list[tuple[str, list[Row]]]:
    first, second = reports
    verdict: list[Row] = []
    for key in ("closeness", "privacy"):
        verdict.append((key, first["scores"][key]["value"], second["scores"][key]["value"]))
        verdict.append((f"{key}, in words", first["verdict"][key], second["verdict"][key]))
    claims = [(report["context"].get("privacy") or {}).get("epsilon", "no claim") for report in reports]
    verdict.append(("epsilon", *claims))
    if any(report.get("stale") for report in reports):
        subjects = ["of earlier records" if report.get("stale") else "of the records beside it" for report in reports]
        verdict.append(("the report is", subjects[0], subjects[1]))
    memorization = [report["context"].get("memory") or {} for report in reports]
    if any(memorization):
        title = "the model's loss tells a seen record from an unseen one (0.5 is chance)"
        verdict.append((title, memorization[0].get("auc"), memorization[1].get("auc")))
    components = [{row["name"]: row["score"] for row in report["closeness"]["components"]} for report in reports]
    fields = [
        {row["name"]: row["distance"]["synthetic"] for row in report["closeness"]["fields"]} for report in reports
    ]
    tests = [{row["name"]: row["gap"] for row in report["safety"]["tests"]} for report in reports]
    return [
        ("Verdict", verdict),
        ("Components of closeness (1 is best)", _outer_join(*components)),
        ("Distance of each field (0 is best)", _outer_join(*fields)),
        ("Gap between training and holdout (0 is best)", _outer_join(*tests)),
    ]


def _outer_join(first: dict[str, Any], second: dict[str, Any]) -> list[Row]:
    return [(name, first.get(name), second.get(name)) for name in dict.fromkeys([*first, *second])]


def _short_name(path: str) -> str:
    return Path(path).name or path


def _value_text(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _difference(first: Any, second: Any) -> str:
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (first, second))
    return f"{second - first:+.3f}" if are_numbers else ""
