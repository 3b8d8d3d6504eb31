"""What `tokenize` makes of files of many shapes: `shape.tsv` says for each file and options what must come out."""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from pathlib import Path

import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.core.artifacts.manifest import read_manifest

pytestmark = pytest.mark.integration

FILES = Path(__file__).parent
with open(FILES / "shape.tsv", encoding="utf-8", newline="") as _table:
    ROWS = list(csv.DictReader(_table, delimiter="\t", quoting=csv.QUOTE_NONE))
SMALL = (
    "--rnn-units 32 --embedding-dim 16 --rnn-layers 1 --batch-size 16 --learning-rate 0.01 --no-tensorboard --seed 3"
)


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch):
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


def row_id(row: dict[str, str]) -> str:
    return f"{row['file']} {row['arguments']}"


def command(name: str, row: dict[str, str], output: Path, *more: str) -> int:
    arguments = shlex.split(row["arguments"])
    return cli.run_command_line([name, "--input", str(FILES / row["file"]), "--output", str(output), *arguments, *more])


@pytest.mark.parametrize("row", [row for row in ROWS if row["exit"] != "0"], ids=row_id)
def test_what_is_refused(row, tmp_path, capsys):
    code = command("tokenize", row, tmp_path / "out")
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == int(row["exit"])
    assert message.startswith("error: ")
    for part in row["told"].split("|"):
        assert part in message
    assert not (tmp_path / "out" / "training_data").exists()


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if row["exit"] == "0"], ids=row_id)
def test_what_is_read(row, tmp_path, capsys):
    assert command("tokenize", row, tmp_path / "out") == 0
    manifest = read_manifest(tmp_path / "out" / "training_data")
    counts, notices = manifest["counts"], [n for n in manifest["notices"] if "vocab_size" not in n]
    rejects = (json.loads(line) for path in (tmp_path / "out" / "rejects").glob("*") for line in path.open())
    found = {
        "lines": counts["lines"],
        "accepted": counts["accepted"],
        "rejects": " ".join(f"{row['line']}:{row['reason']}" for row in rejects),
        "columns": ",".join(manifest["columns"] or ()),
    }
    assert {name: str(value) for name, value in found.items()} == {name: row[name] for name in found}
    if row["split_texts"] not in ("", "0"):  # whole values were on the side of validation, and never learned
        assert 0.1 < counts["splits"]["validation"]["records"] / counts["accepted"] < 0.3
    told = [part for part in row["told"].split("|") if part]
    shown = capsys.readouterr()
    assert [part for part in told if part not in shown.out + shown.err] == []
    assert len(told) == len(notices)
    assert all(part in notice for part, notice in zip(told, notices, strict=True))
    entries = {"fields": manifest["field_count"], "split_texts": manifest["split_texts"]}
    assert {name: "" if value is None else str(value) for name, value in entries.items()} == {
        n: row[n] for n in entries
    }


def generated(output: Path) -> list[str]:
    shards = sorted((output / "synthetic").glob("*.txt"))
    return [line for path in shards for line in path.read_bytes().decode().split("\n") if line]


@pytest.mark.slow
def test_two_values_are_both_learned_and_no_leak(tmp_path):
    row = {"file": "shape_two_values.txt", "arguments": f"{SMALL} --epochs 12"}
    assert command("run", row, tmp_path / "out", "--num-lines", "200") == 0
    found = Counter(generated(tmp_path / "out"))
    assert min(found["left"], found["right"]) > 50
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["verdict"]["privacy"] == "not measured"
    assert "copies cannot be judged" in report["verdict"]["privacy_reasons"][0]
    assert any(text.startswith("Copies of 2 texts") for text in report["not_covered"])


@pytest.mark.slow
def test_a_carriage_return_in_quotes_is_generated_and_judged(tmp_path):
    judge = tmp_path / "judge.py"
    judge.write_text("import csv\n\ndef judge(line):\n    return chr(13) in next(csv.reader([line]))[1]\n")
    row = {"file": "shape_cr_in_quotes.csv", "arguments": f"--field-delimiter , --quoted --header {SMALL} --epochs 20"}
    more = ["--num-lines", "30", "--line-validator", f"{judge}:judge", "--output-format", "text,jsonl", "--no-report"]
    more += ["--no-output-header"]
    assert command("run", row, tmp_path / "out", *more) == 0
    lines = generated(tmp_path / "out")
    rows = [json.loads(line) for p in sorted((tmp_path / "out" / "synthetic").glob("*.jsonl")) for line in p.open()]
    assert [row["place"] for row in rows] == [next(csv.reader([line]))[1] for line in lines]
    assert all("\r" in row["place"] for row in rows)
    counts = read_manifest(tmp_path / "out" / "synthetic")["counts"]
    assert counts["invalid"] < counts["attempts"] / 2
