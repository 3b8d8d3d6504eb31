"""Files of real kinds, made up, through the command line: `types.tsv` says what type each column must get.

`types_orders.csv` holds what has types, `types_codes.csv` what only looks like it, `types_quoted.csv` has quotes around every
value, `types_wide.csv` more columns than statistics used to describe.
"""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import pyarrow.parquet as parquet
import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.records.fields import FieldFormat
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.layout import GeneratedRecord, RecordLayout
from linesmith.records.output.schema import RecordSchema, read_schema
from linesmith.records.output.writers import FORMAT_SUFFIXES, write_records

pytestmark = [pytest.mark.integration, pytest.mark.slow]

HERE = Path(__file__).parent
FILES = ("types_orders.csv", "types_codes.csv", "types_quoted.csv", "types_wide.csv")
FORMATS = ("text", "jsonl", "avro", "parquet")
SMALL = ["--vocab-size", "0", "--epochs", "1", "--rnn-units", "16", "--embedding-dim", "8", "--rnn-layers", "1"]
READ = ["--field-delimiter", ",", "--header", "--max-line-len", "9000"]


def expected_types() -> dict[str, dict[str, str]]:
    """Return the types of the table by file and column."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    with open(HERE / "types.tsv", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            found[row["file"]][row["column"]] = row["type"]
    return found


def described(column_type: ColumnType) -> str:
    details = f"({column_type.precision},{column_type.scale})" if column_type.type_name == "decimal" else ""
    return column_type.type_name + details + (" or null" if column_type.nullable else "")


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch):
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a function that gives the finished run of a file, made once."""

    @cache
    def finished(name: str) -> Path:
        place = tmp_path_factory.mktemp(name)
        formats = [word for kind in FORMATS for word in ("--output-format", kind)]
        quoted = ["--quoted"] if "quoted" in name else []
        train = ["--input", str(HERE / name), "--output", str(place), *READ, *quoted, *SMALL, "--batch-size", "16"]
        for arguments in (
            ["tokenize", *train],
            ["train", *train],
            ["generate", "--output", str(place), "--num-lines", "30", *formats],
        ):
            assert cli.run_command_line(arguments) == 0
        return place

    return finished


def rows_of(run: Path, kind: str) -> list[list[Any]]:
    """Return the rows of a run's output in one format."""
    (path,) = (run / "synthetic").glob(f"part-*.{FORMAT_SUFFIXES[kind]}")
    if kind == "parquet":
        return [list(row.values()) for row in parquet.read_table(path).to_pylist()]
    if kind == "avro":
        with open(path, "rb") as stored:
            return [list(row.values()) for row in fastavro.reader(stored)]
    lines = path.read_text("utf-8").splitlines()
    if kind == "jsonl":
        return [list(json.loads(line, parse_float=Decimal).values()) for line in lines]
    return [list(row) for row in csv.reader(lines)][1:]  # the first names the columns, as in the input


@pytest.mark.parametrize("name", FILES)
def test_columns_get_the_types_of_the_table(runs, name):
    schema = read_schema(runs(name) / "model" / "record.avsc")
    with open(HERE / name, newline="") as source:
        header = next(csv.reader(source))
    assert len(schema.names) == len(header)
    types = dict(zip(header, map(described, schema.types), strict=True))
    assert {column: types[column] for column in expected_types()[name]} == expected_types()[name]


@pytest.mark.parametrize("name", FILES)
def test_a_default_run_rejects_nothing_for_its_types(runs, name):
    manifest = json.loads((runs(name) / "synthetic" / "manifest.json").read_text())
    reasons = [reason for reason in manifest["counts"]["invalid_by_reason"] if reason.startswith("schema:")]
    assert reasons == []


@pytest.mark.parametrize("name", FILES)
def test_every_format_holds_the_values_of_the_text(runs, name):
    run = runs(name)
    types = read_schema(run / "model" / "record.avsc").types
    texts = rows_of(run, "text")
    assert len(texts) == 30
    expected = [[kind.parse(text) for kind, text in zip(types, row, strict=True)] for row in texts]
    assert rows_of(run, "parquet") == rows_of(run, "avro") == expected
    for row, values in zip(rows_of(run, "jsonl"), expected, strict=True):
        for found, value, kind in zip(row, values, types, strict=True):
            same = kind.parse(found) if isinstance(found, str) else float(found) if isinstance(value, float) else found
            assert same == value


def test_names_are_the_headers_everywhere(runs):
    """More columns than 256; Avro knows no spaces."""
    run = runs("types_wide.csv")
    with open(HERE / "types_wide.csv", newline="") as source:
        header = next(csv.reader(source))
    (path,) = (run / "synthetic").glob("part-*.parquet")
    assert parquet.read_schema(path).names == header
    (path,) = (run / "synthetic").glob("part-*.jsonl")
    assert list(json.loads(path.read_text().splitlines()[0])) == header
    (path,) = (run / "synthetic").glob("part-*.avro")
    with open(path, "rb") as stored:
        names = [field["name"] for field in fastavro.reader(stored).writer_schema["fields"]]
    assert names == [name.replace(" ", "_") for name in header]


def test_limits_are_kept_for_many_columns(runs):
    info = json.loads((runs("types_wide.csv") / "model" / "model.json").read_text())
    assert len(info["field_numbers"]) == len(info["field_texts"]) == len(info["field_tokens"]) == 300
    assert info["field_numbers"][298]["scale"] == 1


def test_the_names_of_a_schemas_fields_are_those_of_the_columns(runs, tmp_path):
    """A `doc` is a comment: not a name of Parquet or JSON, and partitions are found by the name."""
    run = runs("types_orders.csv")
    schema = json.loads((run / "model" / "record.avsc").read_text())
    schema["fields"][2] |= {"name": "is_paid", "doc": "is paid"}
    (tmp_path / "mine.avsc").write_text(json.dumps(schema))
    arguments = ["generate", "--output", str(run), "--overwrite", "--num-lines", "20", "--schema-file"]
    arguments += [str(tmp_path / "mine.avsc"), "--partition-by", "is_paid"]
    for kind in ("jsonl", "avro", "parquet"):
        arguments += ["--output-format", kind]
    try:
        assert cli.run_command_line(arguments) == 0
        files = list((run / "synthetic").glob("is_paid=*/part-*"))
        assert {file.suffix for file in files} == {".jsonl", ".avro", ".parquet"}
        manifest = json.loads((run / "synthetic" / "manifest.json").read_text())
        assert manifest["columns"][2] == "is_paid"
    finally:
        runs.cache_clear()


def orders(count: int, seed: int) -> list[str]:
    """Return rows like `5249.10,2024-08-19 11:30:00,true`, all different."""
    source = random.Random(seed)
    rows = []
    for _ in range(count):
        day, hour = source.randrange(10, 29), source.randrange(10, 24)
        moment = f"2024-0{source.randrange(1, 10)}-{day} {hour}:{source.randrange(10, 60)}:00"
        rows.append(f"{source.randrange(1000, 99_999) / 10:.1f}0,{moment},{source.choice(['true', 'false'])}")
    return rows


def test_copied_records_are_found_in_every_format(tmp_path):
    """Of 900 real rows 300 are handed in as synthetic: a leak, whatever the format; and otherwise the same report."""
    real, holdout = orders(900, 1), orders(300, 2)
    for name, rows in (("real.csv", real), ("holdout.csv", holdout)):
        (tmp_path / name).write_text("\n".join(["price,sold_at,paid", *rows]) + "\n")
    types = (ColumnType("decimal", precision=18, scale=2), ColumnType("local_timestamp"), ColumnType("boolean"))
    schema = RecordSchema(("price", "sold_at", "paid"), types)
    bodies = {}
    for kind in FORMATS:
        path = tmp_path / f"synthetic.{FORMAT_SUFFIXES[kind]}"
        layout = RecordLayout(schema.names, FieldFormat(","), types=types)
        write_records(path, kind, [GeneratedRecord(line) for line in real[:300]], layout)
        if kind == "text":
            path.write_text("price,sold_at,paid\n" + path.read_text())
        arguments = ["evaluate", "--real", tmp_path / "real.csv", "--holdout", tmp_path / "holdout.csv"]
        arguments += ["--synthetic", path, "--output", tmp_path / kind, "--field-delimiter", ",", "--header"]
        assert cli.run_command_line([str(word) for word in arguments]) == 0
        bodies[kind] = json.loads((tmp_path / kind / "report" / "report.json").read_text())
    exact = bodies["text"]["safety"]["tests"][0]
    assert exact["leak"] and exact["hits"]["training"] > 80 and exact["hits"]["holdout"] == 0
    for kind in FORMATS[1:]:
        for part in ("verdict", "scores", "safety"):
            assert bodies[kind][part] == bodies["text"][part], (kind, part)
