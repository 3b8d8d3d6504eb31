"""Write a report, and keep an existing one true: add an audit made later, or mark it as stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linesmith.core.artifacts.files import open_regular, read_json, reading, remove_path, write_bytes, write_json
from linesmith.core.artifacts.manifest import MANIFEST
from linesmith.core.artifacts.run_directory import PRIVATE, RunDirectory
from linesmith.core.artifacts.shapes import Shape
from linesmith.pipelines.evaluate.context import not_covered

REPORT_FILE, PAGE_FILE = "report.json", "index.html"


def write_report(directory: Path, body: dict[str, Any]) -> None:
    """Write the content of a report as `report.json` and as a page.

    Args:
        directory: an existing directory; files of these names are replaced.
        body: content of the report.
    """
    from linesmith.pipelines.evaluate.report.page import render

    write_json(directory / REPORT_FILE, body)
    write_bytes(directory / PAGE_FILE, render(body).encode("utf-8", "backslashreplace"))


def add_audit_to_report(run: RunDirectory, audit: dict[str, Any]) -> bool:
    """Put an audit into the run's report and write its page again.

    Args:
        run: the run whose report it is.
        audit: content of `audit.json`.

    Returns:
        Whether there is a report.
    """
    directory = run.raw / "report"
    if not (directory / REPORT_FILE).is_file():
        return False
    body = read_json(directory / REPORT_FILE, "the report")
    with reading(directory / REPORT_FILE, "the report"):
        body["context"]["audit"] = audit
        body["not_covered"] = not_covered(body, body["context"])
        write_report(directory, body)
    return True


def mark_report_stale(root: Path) -> list[Path]:
    """Mark the reports of a run whose records have been replaced, on their pages and in `report.json`.

    The figures are kept, because somebody may want to compare them; the mark keeps them from passing for those of the new
    records.

    Args:
        root: the run directory.

    Returns:
        The directories of the reports, including those that were marked before.
    """
    marked = []
    for directory in (root / "report", root / PRIVATE / "report"):
        if (directory / REPORT_FILE).is_file():
            remove_path(directory / MANIFEST)  # incomplete from now on: evaluate may replace it without asking
            body = read_json(directory / REPORT_FILE, "the report", Shape)
            if not body.get("stale"):
                body["stale"] = True
                _add_stale_note(directory / PAGE_FILE)
                write_json(directory / REPORT_FILE, body)
            marked.append(directory)
    return marked


def _add_stale_note(page: Path) -> None:
    """Insert the note into an existing page; matplotlib, which would draw it again, may be missing where records are made."""
    from linesmith.pipelines.evaluate.report.elements import markup, stale_note

    if page.is_file():
        with open_regular(page) as stored:
            html = stored.read()
        write_bytes(page, html.replace(b"<header>", b"<header>" + markup(stale_note()).encode(), 1))
