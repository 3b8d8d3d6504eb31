"""Every supported type through the generate stage, by a sampler that draws the source's own rows: schema and values come back."""

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

from linesmith.core.artifacts.model_info import TABLE_FILE
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.model.sampling.sampler import Sample, SampleRequest
from linesmith.pipelines.generate import stage
from linesmith.records.table_format import write_table_format
from tests.helpers.generation_fakes import FakeSampler, fake_run
from tests.helpers.sources import read_source
from tests.transforms.test_sources import AVRO_SCHEMA, all_types, avro_rows, same, write_avro_file

pytestmark = pytest.mark.integration
RECORDS_FILE = "records.json"


class _Rows:
    """Answers each request with the row of its index."""

    def __init__(self, run_dir: str) -> None:
        self._records = json.loads((Path(run_dir) / RECORDS_FILE).read_text())

    def __call__(self, seed: int, request: SampleRequest) -> Sample:
        return Sample(request, self._records[request.index], "newline")


def open_rows(run_dir: str, *_: object, **__: object) -> FakeSampler:
    return FakeSampler(_Rows(run_dir))


@pytest.fixture(autouse=True)
def _sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_sampler", open_rows)


def generate(folder: Path, paths: str, given: dict[str, Any], **settings: Any) -> Path:
    """Generate the rows of a source in its own format, and return the directory of the output."""
    table, records, rejects = read_source(folder, paths, **given)
    assert not rejects and table.source is not None
    names = list(table.field_names)
    kept = {"input_format": table.source.format_name, "quoted": True, "header": True}
    run = fake_run(folder / "run", len(names), names, **kept)
    write_table_format(run / "model" / TABLE_FILE, table)
    (run / RECORDS_FILE).write_text(json.dumps(records))
    config = config_from_model_dir(run).replace(gen_lines=len(records), unit_size=len(records), **settings)
    assert stage.generate(config).counts["records"] == len(records)
    return run / "synthetic"


def duck_types(query: str) -> list[tuple[str, str]]:
    """Return names and types of columns as DuckDB sees them."""
    import duckdb

    return [(name, kind) for name, kind, *_ in duckdb.sql(f"describe select * from {query}").fetchall()]


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(all_types(120), tmp_path / "a.parquet", row_group_size=50)
    out = next(generate(tmp_path, str(tmp_path / "a.parquet"), {}).glob("*.parquet"))
    expected = pq.read_table(tmp_path / "a.parquet")
    assert same(pq.read_table(out), expected)
    assert pq.read_schema(out).equals(expected.schema)
    assert duck_types(f"'{out}'") == duck_types(f"'{tmp_path}/a.parquet'")


def test_avro(tmp_path: Path) -> None:
    write_avro_file(tmp_path / "a.avro", avro_rows(40))
    out = next(generate(tmp_path, str(tmp_path / "a.avro"), {}).glob("*.avro"))
    with open(out, "rb") as found, open(tmp_path / "a.avro", "rb") as expected:
        reader = fastavro.reader(found)
        assert list(reader) == list(fastavro.reader(expected))
        form = fastavro.schema.to_parsing_canonical_form
        assert form(reader.writer_schema) == form(AVRO_SCHEMA)


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {
            "id": n,
            "big": 2**62 + n,
            "share": n / 8,
            "ok": n % 2 == 0,
            "note": ["", 'q"', "l\nm", "\\"][n % 4],
            "at": {"day": n, "of": {"week": n % 5} if n % 3 else None},
            "tags": ["a|b"] * (n % 3),
            **({"user": None} if n % 5 == 0 else {"user": "x"} if n % 2 else {}),
        }
        for n in range(60)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = next(generate(tmp_path, str(tmp_path / "a.jsonl"), {}).glob("*.jsonl"))
    lines = out.read_text().splitlines()
    assert [json.dumps(json.loads(line)) for line in lines] == [json.dumps(row) for row in rows]
    assert duck_types(f"read_json('{out}')") == duck_types(f"read_json('{tmp_path}/a.jsonl')")


def test_csv(tmp_path: Path) -> None:
    rows = [
        ["id", "text", "n"],
        *([str(n), ["", "a,b", 'q"q', "l\nm", "r\r\ns"][n % 5], str(n / 4)] for n in range(50)),
    ]
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    out = next(generate(tmp_path, str(tmp_path / "a.csv"), {"input_format": "csv"}).glob("*.csv"))
    with open(out, newline="") as file:
        assert list(csv.reader(file)) == rows
    assert duck_types(f"read_csv('{out}')") == duck_types(f"read_csv('{tmp_path}/a.csv')")


@pytest.mark.skipif(not find_spec("pyiceberg"), reason="needs the extra 'lake'")
def test_iceberg(tmp_path: Path) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    utc = dt.UTC
    geo = pa.struct([("lat", pa.float64()), ("city", pa.struct([("name", pa.string())]))])
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), False), ("n", pa.int32()), ("ok", pa.bool_()), ("f", pa.float32()), ("d", pa.float64()),
            ("price", pa.decimal128(12, 3)), ("day", pa.date32()), ("clock", pa.time64("us")), ("local", pa.timestamp("us")),
            ("at", pa.timestamp("us", "UTC")), ("note", pa.string()), ("raw", pa.binary()), ("hash", pa.binary(4)), ("geo", geo),
            ("tags", pa.list_(pa.string())), ("days", pa.list_(pa.date32())),
        ]
    )  # fmt: skip
    rows = [
        {
            "id": n, "n": None if n % 3 == 0 else -n, "ok": n % 2 == 0, "f": 0.5, "d": None if n % 4 else 0.1,
            "price": Decimal(n).scaleb(-3), "day": dt.date(2024, 1, 1 + n % 28), "clock": dt.time(1, 2, 3, n),
            "local": dt.datetime(2024, 1, 1, n % 24), "at": dt.datetime(2024, 1, 1, n % 24, tzinfo=utc),
            "note": [None, "", "two\nlines"][n % 3], "raw": [b"", b"\x00\xff", None][n % 3], "hash": bytes([n] * 4),
            "geo": None if n % 4 == 0 else {"lat": 0.5, "city": None if n % 3 else {"name": "x"}}, "tags": ["a"] * (n % 3),
            "days": None if n % 2 else [dt.date(2024, 1, 1)],
        }
        for n in range(40)
    ]  # fmt: skip
    where = {"uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"file://{tmp_path}/warehouse"}
    catalog = SqlCatalog("linesmith", **where)
    catalog.create_namespace("lake")
    source = catalog.create_table("lake.source", schema=schema)
    source.append(pa.Table.from_pylist(rows, schema))
    properties = ["type=sql", *(f"{name}={value}" for name, value in where.items())]
    given = {"input_format": "iceberg", "input_catalog": properties}
    out = generate(tmp_path, "lake.source", given, iceberg_table="lake.made", iceberg_catalog=properties)
    made = catalog.load_table("lake.made")
    types = {field.name: (str(field.field_type).replace(" ", ""), field.required) for field in made.schema().fields}
    expected = {
        field.name: (str(field.field_type).replace(" ", ""), field.required) for field in source.schema().fields
    }
    assert list(types) == list(expected)
    assert [without_ids(kind) for kind in types.values()] == [without_ids(kind) for kind in expected.values()]
    in_order = sorted(made.scan().to_arrow().to_pylist(), key=lambda row: row["id"])
    assert in_order == source.scan().to_arrow().to_pylist()
    shard = next(out.glob("*.parquet"))
    assert pq.read_schema(shard).equals(schema)
    assert duck_types(f"'{shard}'") == duck_types(
        f"'{next((tmp_path / 'warehouse').rglob('lake/source/data/*.parquet'))}'"
    )


def without_ids(kind: tuple[str, bool]) -> tuple[str, bool]:
    """Return the words of a type without the ids of the fields inside, which each table numbers by itself."""
    import re

    return re.sub(r"\b[0-9]+:", "", kind[0]), kind[1]
