"""Conditions and imputation of a model of typed rows, from files of every format: what is given holds, with its type."""

from __future__ import annotations

import csv
import datetime as dt
import json
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.model.generation.requests.start_string_files import iter_start_strings
from tests.helpers.typed_run import SCHEMA, typed_run

pytestmark = pytest.mark.integration

AT = [dt.datetime(2024, 5, day, 6, 7, 8, tzinfo=dt.UTC) for day in (1, 2, 3)]
GIVEN: list[dict[str, Any]] = [
    {"at": AT[0], "note": "two\nlines, and a comma", "n": 7, "geo": {"city": "Rome"}, "price": Decimal("1.50")},
    {"at": AT[1], "note": "", "n": None, "geo": None, "price": Decimal("-3.00")},
    {"at": AT[2], "note": None, "n": -5, "geo": {"city": None}, "price": None},
]
ARROW = pa.schema(
    [
        ("at", pa.timestamp("us", "Europe/Rome")),  # of another unit and zone than the model's
        ("note", pa.large_string()),
        ("n", pa.int64()),
        ("geo", pa.struct([("city", pa.string())])),
        ("price", pa.decimal128(20, 4)),
    ]
)
AVRO: dict[str, Any] = {
    "type": "record", "name": "Asked", "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "note", "type": ["null", "string"]},
        {"name": "n", "type": ["null", "int"]},
        {"name": "geo", "type": ["null", {
            "type": "record", "name": "Geo", "fields": [{"name": "city", "type": ["null", "string"]}]}]},
        {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}]},
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return typed_run(tmp_path_factory.mktemp("typed"))


def generate(run: Path, *arguments: object) -> int:
    return cli.run_command_line(["generate", "--output", str(run), "--overwrite", *map(str, arguments)])


def output(run: Path) -> pa.Table:
    return pq.read_table(sorted((run / "synthetic").glob("*.parquet")))


def write(folder: Path, kind: str) -> Path:
    """Write what is given to a file; CSV and JSON have the texts of the model's columns for what they have no types for."""
    path = folder / f"given.{kind}"
    texts = [
        {**row, "at": row["at"].strftime("%Y-%m-%dT%H:%M:%SZ"), "price": row["price"] and str(row["price"])}
        for row in GIVEN
    ]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(GIVEN, ARROW), path, row_group_size=2)
    elif kind == "avro":
        with open(path, "wb") as out:
            fastavro.writer(out, fastavro.parse_schema(AVRO), GIVEN)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in texts))
    elif kind == "csv":
        with open(path, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["at", "note", "n", "geo.city", "price"])
            rows.writerows([*list(row.values())[:3], (row["geo"] or {}).get("city"), row["price"]] for row in texts)
    else:
        from pyiceberg.catalog.sql import SqlCatalog

        catalog = SqlCatalog("lake", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")
        catalog.create_namespace("lake")
        names = [*ARROW.names]
        given = pa.Table.from_pylist(GIVEN, ARROW.set(0, pa.field("at", pa.timestamp("us", "UTC"))))
        table = catalog.create_table("lake.given", schema=given.schema)
        table.append(given.select(names))
        return Path(table.metadata_location.removeprefix("file://"))
    return path


KINDS = ["csv", "jsonl", "avro", "parquet", *(["iceberg"] if find_spec("pyiceberg") else [])]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_format_are_conditions_and_come_back_with_their_types(
    run: Path, tmp_path: Path, kind: str
) -> None:
    assert generate(run, "--where-file", write(tmp_path, kind)) == 0
    check(output(run), kind)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_are_imputed(run: Path, tmp_path: Path, kind: str) -> None:
    assert generate(run, "--impute", write(tmp_path, kind)) == 0
    check(output(run), kind)


def check(found: pa.Table, kind: str) -> None:
    """Compare records with what was given; in CSV an empty text is none."""
    assert pa.schema([found.schema.field(name) for name in SCHEMA.names]).equals(SCHEMA)
    for row, given in zip(found.to_pylist(), GIVEN, strict=True):
        for name, value in given.items():
            if name == "geo":
                if value is not None and value["city"] is not None:
                    assert row["geo"]["city"] == value["city"]
            elif value is not None and not (kind == "csv" and value == ""):
                assert row[name] == value, name


def test_a_value_that_its_column_cannot_hold_is_counted_and_a_column_too_many_is_refused(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [{"n": 5}, {"n": 2**40}, {"n": "secret"}]
    (tmp_path / "w.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert generate(run, "--where-file", tmp_path / "w.jsonl") == 4
    shown = capfd.readouterr()
    assert "secret" not in shown.out + shown.err
    assert output(run).column("n").to_pylist() == [5]
    pq.write_table(
        pa.table({"n": [1], "other": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8()))}), tmp_path / "w.parquet"
    )
    assert generate(run, "--where-file", tmp_path / "w.parquet") == 2
    assert "LS132" in (error := capfd.readouterr().err) and "'other' cannot be given" in error
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "w.parquet").read_bytes()[:-20])
    assert generate(run, "--where-file", tmp_path / "cut.parquet") == 2
    assert "LS132" in (error := capfd.readouterr().err) and "Traceback" not in error


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "csv"])
def test_a_column_inside_of_a_struct_holds_start_strings(tmp_path: Path, kind: str) -> None:
    path = str(write(tmp_path, kind))
    assert list(iter_start_strings(path, "geo.city")) == ["Rome", "", ""]
    assert list(iter_start_strings(path, "n")) == ["7", "", "-5"]
