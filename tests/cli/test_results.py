"""What `run` shows last: records as a table, the verdict in words, and the report's path; only on a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from linesmith.cli.results import records_table, show_results, verdict_facts
from linesmith.core.artifacts.files import write_bytes, write_json
from linesmith.core.artifacts.manifest import write_manifest
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.stage_report import StageReport
from linesmith.records.fields import FieldFormat

ROWS = [("Rome", "IT", 21), ("Oslo", None, 59), ("[red]x\x1b[2J", "NO", 1)]


def write_output(root: Path, suffix: str) -> RunDirectory:
    run = RunDirectory(root)
    names, shard = ["city", "country", "number"], run.synthetic / f"part-00000-of-00001.{suffix}"
    shard.parent.mkdir(parents=True)
    rows = [dict(zip(names, row, strict=True)) for row in ROWS]
    if suffix == "txt":
        texts = ["|".join("" if value is None else str(value) for value in row) for row in [names, *ROWS]]
        write_bytes(shard, "".join(f"{text}\n" for text in texts).encode())
    elif suffix == "jsonl":
        write_bytes(shard, "".join(json.dumps(row) + "\n" for row in rows).encode())
    elif suffix == "avro":
        import fastavro

        fields = [{"name": name, "type": ["null", "string", "long"]} for name in names]
        with open(shard, "wb") as out:
            fastavro.writer(out, {"type": "record", "name": "R", "fields": fields}, rows)
    else:
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.Table.from_pylist(rows), shard)
    write_manifest(
        run.synthetic, "generate", {"columns": names, "header": suffix == "txt", "outputs": {shard.name: {}}}
    )
    return run


def printed(table) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "avro", "parquet"])
def test_records_of_every_format_are_shown_as_text(tmp_path, suffix):
    text = printed(records_table(write_output(tmp_path, suffix), FieldFormat("|")))
    assert "city" in text and "Rome" in text and "59" in text
    assert "[red]x" in text and "\x1b" not in text  # neither markup nor escape sequences


def test_at_most_five_records_and_eight_fields_are_shown(tmp_path):
    run = RunDirectory(tmp_path)
    lines = [",".join(f"r{row}c{column}" for column in range(12)) for row in range(9)]
    write_bytes(run.synthetic / "part-0.txt", "\n".join(lines).encode())
    names = [f"column{number}" for number in range(12)]
    write_manifest(run.synthetic, "generate", {"columns": names, "outputs": {"part-0.txt": {}}})
    text = printed(records_table(run, FieldFormat(",")))
    assert "r4c7" in text and "r5c0" not in text and "r0c8" not in text and "column8" not in text


def test_nothing_is_shown_where_there_is_nothing(tmp_path):
    assert records_table(RunDirectory(tmp_path), FieldFormat(None)) is None
    assert verdict_facts(RunDirectory(tmp_path)) == []


def test_the_verdict_in_words(tmp_path):
    run = write_output(tmp_path, "txt")
    scores = {"closeness": {"value": 0.91}, "privacy": {"value": None}}
    verdict = {"closeness": "near", "privacy": "not measured"}
    write_manifest(run.root / "report", "evaluate", {"scores": scores, "verdict": verdict})
    write_manifest(run.model, "train", {})
    assert verdict_facts(run) == [
        ("closeness", "Near the real records (score 0.91 of 1)"),
        ("privacy", "Not measured"),
        ("guarantee", "none: the model was trained without --dp"),
    ]
    claim = {"epsilon": 7.991, "delta": 1e-6, "unit": "one record", "adjacency": "add or remove"}
    write_json(run.model / "privacy.json", claim)
    assert verdict_facts(RunDirectory(tmp_path, private=True))[-1] == (
        "guarantee", "epsilon 8.00 at delta 1e-06, for one record",
    )  # fmt: skip


@pytest.mark.parametrize("terminal", [True, False])
def test_a_script_gets_the_summaries_only(tmp_path, terminal):
    run = write_output(tmp_path, "txt")
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    reports = [StageReport("generate"), StageReport("evaluate", outputs={"report": "s3://bucket/report/index.html"})]
    show_results(console, TensorFlowConfig(checkpoint_dir=run.root, field_delimiter="|"), reports)
    text = console.file.getvalue()
    assert ("Rome" in text) == ("s3://bucket/report/index.html: open it in a browser" in text) == terminal
    assert bool(text) == terminal
