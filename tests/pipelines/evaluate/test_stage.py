"""The stage and its commands, end to end on small files: report, page, exit codes, directories; and the page in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from linesmith.cli.app import run_command_line
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.evaluate.report.elements import h, page
from linesmith.pipelines.evaluate.report.page import render
from linesmith.pipelines.evaluate.stage import report_directory
from tests.helpers.audit_report import audit_body
from tests.helpers.evaluation_sets import NAMES, people

pytestmark = pytest.mark.integration

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A report on three small files, the holdout as good as the training."""
    root = tmp_path_factory.mktemp("evaluate")
    for name, (count, seed) in {"real": (1500, 1), "holdout": (500, 2), "synthetic": (500, 3)}.items():
        lines = [record.replace("\n", ",") for record in people(count, seed)]
        (root / f"{name}.csv").write_text("\n".join([",".join(NAMES), *lines]) + "\n")
    assert run_command_line(command(root, "--output", str(root / "out"), "--fail-under-closeness", "0.5")) == 0
    return root


def command(root: Path, *more: str) -> list[str]:
    files = [part for name in ("real", "holdout", "synthetic") for part in (f"--{name}", str(root / f"{name}.csv"))]
    return ["evaluate", *files, "--field-delimiter", ",", "--header", *more]


@pytest.mark.slow
def test_report_and_page_say_the_same(report):
    body = json.loads((report / "out" / "report" / "report.json").read_text())
    html = (report / "out" / "report" / "index.html").read_text("utf-8")
    assert body["sets"]["training"]["records"] == 1500
    assert [one["name"] for one in body["schema"]] == NAMES
    assert [one["role"] for one in body["schema"]] == ["category", "number", "number", "time", "number", "text"]
    assert {"scores", "verdict", "closeness", "safety", "not_covered", "provenance", "samples"} <= set(body)
    assert all(0 <= score["value"] <= 1 and score["how"] for score in body["scores"].values())
    assert body["verdict"]["closeness"] == "close"
    assert html.index('id="verdict"') < html.index('id="fields"') < html.index('id="not-covered"')
    assert "contains raw data" in html
    for one in body["closeness"]["components"]:
        assert one["name"] in html and one["how"]
    assert (report / "out" / "report" / "manifest.json").is_file()
    assert not (report / "out" / ".tmp" / "evaluate").exists()


@pytest.mark.slow
def test_a_score_below_the_gate_ends_with_3(report, tmp_path, capsys):
    assert run_command_line(command(report, "--output", str(tmp_path), "--fail-under-privacy", "1")) == 3
    assert "below --fail-under-privacy 1" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--output", "OUT"], "LS204"),
        (["--output", "NEW", "--fail-under-privacy", "7"], "LS116"),
        (["--output", "NEW", "--role", "age"], "LS116"),
        (["--output", "NEW", "--role", "age=color"], "LS116"),
        ([], "LS103"),
        (["--output", "NEW", "--no-such-option", "1"], "LS110"),
    ],
)
def test_what_cannot_work_is_refused(report, tmp_path, capsys, more, why):
    paths = {"OUT": str(report / "out"), "NEW": str(tmp_path / "new")}
    assert run_command_line(command(report, *(paths.get(part, part) for part in more))) == 2
    assert why in capsys.readouterr().err


def test_real_without_synthetic_is_refused(report, capsys):
    assert run_command_line(["evaluate", "--real", str(report / "real.csv"), "--output", "x"]) == 2
    assert "LS126" in capsys.readouterr().err


def test_compare_puts_two_reports_side_by_side(report, tmp_path, capsys):
    assert run_command_line(["compare", str(report / "out"), str(report / "out")]) == 0
    shown = capsys.readouterr().out
    assert "indistinguishability" in shown and "+0.000" in shown
    assert run_command_line(["compare", str(report / "out"), str(tmp_path)]) == 2
    assert "LS201" in capsys.readouterr().err


def test_the_report_of_a_private_run_is_not_published(tmp_path):
    plain = TensorFlowConfig(checkpoint_dir=str(tmp_path))
    assert report_directory(plain) == tmp_path / "report"
    assert report_directory(plain.replace(dp=True)) == tmp_path / "private" / "report"


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.levels, self.images, self.links, self.ids, self.sources = [], [], [], set(), []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag == "img":
            self.images.append(attributes.get("alt"))
        self.links += [attributes["href"]] if tag == "a" else []
        self.sources += [attributes[key] for key in ("src", "href") if key in attributes]


def test_the_page_is_accessible_and_self_contained(report):
    html = (report / "out" / "report" / "index.html").read_text("utf-8")
    outline = _Outline()
    outline.feed(html)
    assert outline.levels[0] == 1 and outline.levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))
    assert outline.images and all(alt and len(alt) > 20 for alt in outline.images)
    assert all(link[1:] in outline.ids for link in outline.links)
    assert all(source.startswith(("data:", "#")) for source in outline.sources)
    assert "<script" not in html and 'lang="en"' in html and "viewport" in html and "@media print" in html


def test_a_record_cannot_become_markup(report):
    body = json.loads((report / "out" / "report" / "report.json").read_text())
    body["samples"]["synthetic"] = [["<script>alert(1)</script>", "\x07", "&amp;"]]
    body = json.loads(json.dumps(body).replace('"city"', '"<b>$x$</b>"'))
    html = render(body)
    assert "<script" not in html and "&lt;script&gt;" in html and "<b>$" not in html and "\x07" not in html
    assert page("a < b", [h("p", "x")]).count("a &lt; b") == 1


@pytest.mark.slow
def test_an_audit_has_its_section(report):
    content = json.loads((report / "out" / "report" / "report.json").read_text())
    assert 'id="audit"' not in render(content)
    content["context"] = {"audit": audit_body(), "history": [{"epoch": 0.0, "epsilon": 2.0}]}
    html = render(content)
    assert 'id="audit"' in html and "1.25" in html and "80 of 100" in html and "epsilon spent 2.000" in html


@pytest.mark.slow
def test_a_stale_report_says_so(report, tmp_path, capsys):
    content = json.loads((report / "out" / "report" / "report.json").read_text())
    assert "of earlier records" not in render(content)
    old = {**content, "stale": True}
    assert "of earlier records" in render(old)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text(json.dumps(old))
    assert run_command_line(["compare", str(report / "out"), str(tmp_path)]) == 0
    assert "of earlier records" in " ".join(capsys.readouterr().out.split())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium, as .ci/run does where it may")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_without_error_or_request(report, tmp_path, width):
    """Every host resolves to nowhere and all network events are logged: a request would leave a trace in one or the other."""
    log = tmp_path / "net.json"
    source = report / "out" / "report" / "index.html"
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}",
         "--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900",
         f"--screenshot={tmp_path / 'page.png'}", source.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    requested = set(re.findall(r'"url":"((?:https?|wss?)://[^"]+)"', log.read_text())) if log.is_file() else set()
    assert {url for url in requested if not re.search(r"//[^/]*(google|gstatic|chromium)[^/]*/", url)} == set()
