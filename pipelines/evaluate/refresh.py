"""A report that is there already, kept true: an audit that was made after it gets its section, and one that is stale says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import read_json, write_bytes, write_json
from linesmith.core.artifacts.manifest import MANIFEST
from linesmith.core.artifacts.run_directory import PRIVATE, RunDirectory
from linesmith.pipelines.evaluate.context import not_covered

REPORT, PAGE = "report.json", "index.html"


def add_audit_to_report(run: RunDirectory, audit: dict[str, Any]) -> bool:
    """Put an audit into the run's report; False where there is none."""
    place = run.raw / "report"
    if not (place / REPORT).is_file():
        return False
    body = read_json(place / REPORT, "the report")
    body["context"]["audit"] = audit
    body["not_covered"] = not_covered(body, body["context"])
    _write(place, body)
    return True


def mark_report_stale(root: Path) -> list[Path]:
    """Say on a run's report that the records beside it are not those it is about; the places of what was marked.

    The figures are kept: somebody may want to compare them. What must not happen is that they pass for those of other records.
    """
    marked = []
    for place in (root / "report", root / PRIVATE / "report"):
        if (place / REPORT).is_file():
            (place / MANIFEST).unlink(missing_ok=True)  # incomplete from now on: evaluate may replace it unasked
            body = read_json(place / REPORT, "the report")
            if not body.get("stale"):
                body["stale"] = True
                _say_so(place / PAGE)
                write_json(place / REPORT, body)
            marked.append(place)
    return marked


def _say_so(page: Path) -> None:
    """Put the sentence on top of a page as it stands: where records are generated nothing may be there that draws one."""
    from linesmith.pipelines.evaluate.report.elements import markup, stale_note

    if page.is_file():
        html = page.read_text("utf-8")
        write_bytes(page, html.replace("<header>", "<header>" + markup(stale_note()), 1).encode("utf-8"))


def _write(place: Path, body: dict[str, Any]) -> None:
    from linesmith.pipelines.evaluate.report.page import render

    write_json(place / REPORT, body)
    write_bytes(place / PAGE, render(body).encode("utf-8"))
