"""Inferred types steer the sampler: a default run of any model writes valid records, also of one that has learned nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from tests.helpers.plain_run import plain_run

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch):
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


def generate(run: Path, *more: str) -> dict:
    arguments = [
        "generate",
        "--output",
        str(run),
        "--num-lines",
        "40",
        "--output-format",
        "jsonl",
        "--overwrite",
        *more,
    ]
    assert cli.run_command_line(arguments) == 0
    return json.loads((run / "synthetic" / "manifest.json").read_text())["counts"]


def test_the_types_that_judge_records_steer_the_sampler(tmp_path):
    """Weights at random: of 10,000 unmasked dates none is one."""
    plain_run(tmp_path)
    inferred = generate(tmp_path)
    assert not [reason for reason in inferred["invalid_by_reason"] if reason.startswith("schema:")]
    rows = [
        json.loads(line) for path in (tmp_path / "synthetic").glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    assert len(rows) == 40 and any(row["day"] is not None for row in rows)
    declared = generate(tmp_path, "--schema-file", str(tmp_path / "model" / "record.avsc"))
    assert (inferred["records"], declared["records"]) == (40, 40)
    assert inferred["invalid"] <= declared["invalid"] + 40  # what is left are records that reach the learned length


def test_text_output_is_not_judged_by_types_and_keeps_its_bytes(tmp_path):
    """Text has no types: its records are those that were generated before types steered anything."""
    plain_run(tmp_path)
    assert cli.run_command_line(["generate", "--output", str(tmp_path), "--num-lines", "20"]) == 0
    lines = (next((tmp_path / "synthetic").glob("part-*.txt"))).read_text().splitlines()
    assert len(lines) == 20
    assert all(line.count(",") == 2 for line in lines)
