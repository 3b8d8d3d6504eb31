"""Output as it is written and read again: partitions, header lines, names of columns and of directories."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.sampling.sampler import Sample, SampleRequest
from linesmith.pipelines.generate import stage
from linesmith.records.output import partitions
from tests.helpers.generation_fakes import FakeSampler, fake_run

pytestmark = pytest.mark.integration

# Texts of the second field. Each is a directory of its own, whatever its text means to a file system or to Hive.
VALUES = [
    "",
    "__HIVE_DEFAULT_PARTITION__",
    ".",
    "..",
    "a/b",
    "%",
    "%2F",
    "A",
    "a",
    "é",
    "\u202e",
    "\x01",
    "NULL",
    "x=y",
    " ",
]


def record(seed: int, request: SampleRequest) -> Sample:
    return Sample(request, f"{request.index},{VALUES[request.index % len(VALUES)]},7", "newline")


def open_values(*_: object) -> FakeSampler:
    return FakeSampler(record)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)
    monkeypatch.setattr(stage, "open_sampler", open_values)


def line(*arguments: object) -> int:
    return cli.run_command_line([str(word) for word in arguments])


def manifest(run: Path) -> dict:
    return json.loads((run / "synthetic" / "manifest.json").read_text())


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").split("\n")[:-1]


def partition_counts(run: Path, suffix: str) -> dict[str, int]:
    return Counter(
        part.parent.name
        for part in (run / "synthetic").rglob(f"part-*.{suffix}")
        for _ in (lines_of(part) if suffix != "parquet" else range(pq.ParquetFile(part).metadata.num_rows))
    )


def test_every_value_has_a_directory_and_no_record_is_lost(tmp_path):
    run = fake_run(tmp_path / "run", columns=["id", "value", "n"])
    count = 2 * len(VALUES)
    options = [
        "--num-lines",
        count,
        "--unit-size",
        "20",
        "--partition-by",
        "value",
        "--output-format",
        "text,jsonl,parquet",
    ]
    assert line("generate", "--output", run, *options) == 0
    for suffix in ("txt", "jsonl", "parquet"):
        records = [shard["records"] for name, shard in manifest(run)["outputs"].items() if name.endswith(suffix)]
        assert sum(partition_counts(run, suffix).values()) == sum(records) == count
        assert partition_counts(run, suffix) == {partitions.partition_directory("value", v): 2 for v in VALUES}
    assert len({partitions.partition_directory("value", value) for value in VALUES}) == len(VALUES)
    written = manifest(run)["outputs"]
    assert {str(p.relative_to(run / "synthetic")) for p in (run / "synthetic").rglob("part-*")} == set(written)
    found = duckdb.sql(
        f"SELECT value, count(*) FROM read_parquet('{run}/synthetic/*/*.parquet', hive_partitioning=true) GROUP BY 1"
    ).fetchall()
    assert {value or "": number for value, number in found} == dict.fromkeys(VALUES, 2)


def test_values_that_differ_in_case_only_on_a_file_system_that_ignores_case(tmp_path, monkeypatch):
    monkeypatch.setattr("linesmith.model.generation.output_plan.ignores_case", lambda _: True)
    run = fake_run(tmp_path / "run", columns=["id", "value", "n"])
    assert line("generate", "--output", run, "--num-lines", len(VALUES), "--partition-by", "value") == 0
    names = [name.lower() for name in partition_counts(run, "txt")]
    assert len(set(names)) == len(VALUES)


def test_a_shard_that_lost_records_is_not_published(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(partitions, "encode_partition_value", lambda text, _=False: text.replace("/", "") or "same")
    monkeypatch.setattr("tests.cli.test_writing.VALUES", ["", "same"])
    run = fake_run(tmp_path / "run", columns=["id", "value", "n"])
    assert line("generate", "--output", run, "--num-lines", 5, "--partition-by", "value") == 2
    assert "LS209" in capsys.readouterr().err
    assert not (run / "synthetic").exists()


@pytest.mark.parametrize(
    ("columns", "by", "code"),
    [
        (["id", "a.b", "n"], "a.b", "LS134"),
        (["id", "", "n"], "", "LS134"),
        (["id", ".", "n"], ".", "LS134"),
        (["id", "x" * 300, "n"], "x" * 300, "LS134"),
        (["id", "a.b", "n.m"], "id", None),
        (["id", "a b", "n"], "a b", None),
        (["id", 'a"b/ü=?*', "n"], 'a"b/ü=?*', None),
    ],
)
def test_a_table_is_partitioned_by_any_column_or_refused_before_anything_is_generated(
    columns, by, code, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("tests.cli.test_writing.VALUES", ["red", "", "blue"])
    run = fake_run(tmp_path / "run", columns=columns)
    options = ["--num-lines", "9", "--partition-by", by, "--iceberg-table", "lake.t", "--output-types", "text"]
    if code is None:
        assert line("generate", "--output", run, *options) == 0
        from pyiceberg.catalog import load_catalog
        from pyiceberg.expressions import EqualTo

        catalog = load_catalog("linesmith", type="sql", uri=f"sqlite:///{run}/warehouse/catalog.db")
        table = catalog.load_table("lake.t")
        assert table.scan().to_arrow().num_rows == 9
        wanted = "0" if by == "id" else "red"
        assert table.scan(row_filter=EqualTo(by, wanted)).to_arrow().num_rows == (1 if by == "id" else 3)
    else:
        assert line("generate", "--output", run, *options) == 2
        assert code in capsys.readouterr().err
        assert not (run / "synthetic").exists()


@pytest.mark.parametrize("name", ["a#b", "a?b", "a%20b", "a;b", "a b[1]*", "é{x}\\"])
def test_a_table_lies_in_a_directory_of_any_name(name, tmp_path):
    run = fake_run(tmp_path / name, columns=["id", "value", "n"])
    assert line("generate", "--output", run, "--num-lines", "5", "--iceberg-table", "lake.t") == 0
    assert {path.name for path in (run / "warehouse").iterdir()} == {"catalog.db", "lake"}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_table_whose_place_is_not_utf8_is_refused(tmp_path, capsys):
    run = fake_run(tmp_path / os.fsdecode(b"a\xff"), columns=["id", "value", "n"])
    assert line("generate", "--output", run, "--num-lines", "5", "--iceberg-table", "lake.t") == 2
    assert "LS114" in capsys.readouterr().err
    assert line("generate", "--output", run, "--num-lines", "5", "--output-format", "text,jsonl,avro,parquet") == 0


def test_every_text_file_begins_with_the_header_that_the_input_had(tmp_path):
    run = fake_run(tmp_path / "run", columns=["id", "a b", "n"], header=True)
    options = ["--num-lines", "6", "--output-format", "text,jsonl", "--overwrite"]
    assert line("generate", "--output", run, *options, "--unit-size", "4") == 0
    parts = sorted((run / "synthetic").glob("*.txt"))
    assert [len(lines_of(part)) for part in parts] == [5, 3]
    assert {lines_of(part)[0] for part in parts} == {"id,a b,n"}
    assert manifest(run)["header"] is True
    assert manifest(run)["outputs"][parts[0].name]["records"] == 4
    rows = duckdb.sql(f"SELECT id FROM read_csv('{run}/synthetic/*.txt', header=true) ORDER BY id").fetchall()
    assert [row[0] for row in rows] == list(range(6))
    bodies = [lines_of(part)[1:] for part in parts]
    assert line("generate", "--output", run, *options, "--unit-size", "4", "--no-output-header") == 0
    assert [lines_of(part) for part in parts] == bodies
    assert manifest(run)["header"] is False
    assert (
        line("generate", "--output", run, *options[:-1], "--partition-by", "a b", "--num-shards", "2", "--overwrite")
        == 0
    )
    assert {lines_of(part)[0] for part in (run / "synthetic").rglob("*.txt")} == {"id,a b,n"}


def test_without_a_header_in_the_input_the_files_are_as_before(tmp_path, capsys):
    run = fake_run(tmp_path / "run", columns=["id", "value", "n"])
    assert line("generate", "--output", run, "--num-lines", "2") == 0
    assert lines_of(run / "synthetic" / "part-00000-of-00001.txt")[0].startswith("0,")
    assert line("generate", "--output", run, "--num-lines", "0", "--output-header", "--overwrite") == 0
    assert lines_of(run / "synthetic" / "part-00000-of-00001.txt") == ["id,value,n"]
    impossible = ["--columns", "a\nb,c,d", "--num-lines", "1", "--overwrite"]
    assert line("generate", "--output", run, *impossible, "--output-header") == 2
    assert "LS101: --output-header" in capsys.readouterr().err


def test_a_quoted_header_is_read_as_it_was(tmp_path):
    names = ["id", "a,b", 'c"d']
    run = fake_run(tmp_path / "run", columns=names, header=True, quoted=True)
    assert line("generate", "--output", run, "--num-lines", "2") == 0
    with open(run / "synthetic" / "part-00000-of-00001.txt", encoding="utf-8", newline="") as stream:
        assert next(csv.reader(stream)) == names


def test_the_setting_is_off_for_python_s_records():
    assert TensorFlowConfig().output_header is None
