"""Typed, partitioned and seeded output through the stage, read back by the formats' own readers."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, LinesmithError, ParameterError
from linesmith.pipelines.generate import publish as generated
from linesmith.pipelines.generate import stage
from linesmith.records.validation import validator_process as validator_host
from tests.helpers import generation_fakes
from tests.helpers.generation_fakes import fake_run

pytestmark = pytest.mark.integration

FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "int"},
    {"name": "attempt", "type": ["null", "long"]},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
]
SCHEMA = {"type": "record", "name": "Ride", "fields": FIELDS}
ALL = ["text", "jsonl", "avro", "parquet"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_fake)
    (tmp_path / "ride.avsc").write_text(json.dumps(SCHEMA))
    return fake_run(tmp_path / "run")


def settings(run: Path, **changes: Any) -> TensorFlowConfig:
    plain = {"gen_lines": 50, "unit_size": 20, "schema_file": str(run.parent / "ride.avsc"), "output_format": ALL}
    return config_from_model_dir(run).replace(**{**plain, **changes})


def parts(run: Path, suffix: str) -> list[Path]:
    return sorted((run / "synthetic").rglob(f"*.{suffix}"))


def avro(run: Path) -> list[dict]:
    rows: list[dict] = []
    for part in parts(run, "avro"):
        with open(part, "rb") as shard:
            rows += list(fastavro.reader(shard))  # type: ignore[arg-type]
    return rows


def text(run: Path) -> list[dict]:
    lines = [line.split(",") for part in parts(run, "txt") for line in part.read_text().splitlines()]
    return [{"id": int(a), "attempt": int(b), "amount": Decimal(c)} for a, b, c in lines]


def shards(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted((run / "synthetic").rglob("part-*"))}


def test_all_formats_hold_the_same_records_with_the_declared_types(run: Path) -> None:
    assert stage.generate(settings(run)).exit_code == 0
    wanted = text(run)
    assert len(wanted) == 50
    assert avro(run) == wanted
    rows = [json.loads(line, parse_float=Decimal) for p in parts(run, "jsonl") for line in p.read_text().splitlines()]
    assert rows == wanted
    table = pa.concat_tables([pq.read_table(part) for part in parts(run, "parquet")])
    assert table.to_pylist() == wanted
    assert [str(field.type) for field in table.schema] == ["int32", "int64", "decimal128(9, 2)"]
    assert [field.nullable for field in table.schema] == [False, True, False]
    assert pq.ParquetFile(parts(run, "parquet")[0]).metadata.row_group(0).column(0).compression == "ZSTD"
    kinds = duckdb.sql(f"DESCRIBE SELECT * FROM '{run}/synthetic/*.parquet'").fetchall()
    assert [kind[1] for kind in kinds] == ["INTEGER", "BIGINT", "DECIMAL(9,2)"]


def test_what_does_not_fit_the_schema_is_invalid_with_its_reason(run: Path) -> None:
    letters = {"type": "enum", "name": "Letters", "symbols": ["A"]}
    schema = {**SCHEMA, "fields": [*FIELDS[:2], {"name": "amount", "type": letters}]}
    (run.parent / "ride.avsc").write_text(json.dumps(schema))
    report = stage.generate(settings(run, max_attempts=2))
    assert report.exit_code == 4
    written = json.loads((run / "synthetic" / "manifest.json").read_text())
    assert written["counts"]["invalid_by_reason"]["schema:amount:enum"] > 50


@pytest.mark.parametrize("count", [1, 4, 70])
def test_a_fixed_number_of_shards_does_not_depend_on_the_units(run: Path, count: int) -> None:
    stage.generate(settings(run, num_shards=count))
    first = shards(run)
    assert len(first) == 4 * count
    assert [row["id"] for row in avro(run)] == list(range(50))
    stage.generate(settings(run, num_shards=count, unit_size=7, overwrite=True))
    assert shards(run) == first


def test_partitions_are_directories_that_duckdb_and_pyarrow_read(run: Path) -> None:
    stage.generate(settings(run, partition_by="attempt", num_shards=2))
    names = {part.parent.name for part in parts(run, "parquet")}
    assert "attempt=0" in names and len(names) > 1
    wanted = sorted(text(run), key=lambda row: row["id"])
    found = duckdb.sql(
        f"SELECT id, attempt, amount FROM read_parquet('{run}/synthetic/*/*.parquet', hive_partitioning=true) ORDER BY id"
    ).fetchall()
    assert found == [tuple(row.values()) for row in wanted]
    assert "attempt" not in pq.ParquetFile(parts(run, "parquet")[0]).schema_arrow.names
    assert all("attempt" not in row for row in avro(run))
    assert sorted(row["id"] for row in avro(run)) == list(range(50))


def test_zero_records_give_valid_empty_files_in_every_format(run: Path) -> None:
    report = stage.generate(settings(run, gen_lines=0, iceberg_table="lake.rides"))
    assert report.exit_code == 0
    assert avro(run) == []
    assert pq.read_table(parts(run, "parquet")[0]).num_rows == 0
    assert [part.read_bytes() for suffix in ("txt", "jsonl") for part in parts(run, suffix)] == [b"", b""]
    assert table_of(run) is None


def table_of(run: Path) -> Any:
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    where = run.absolute() / "warehouse"
    catalog = load_catalog("linesmith", type="sql", uri=f"sqlite:///{where}/catalog.db", warehouse=f"file://{where}")
    try:
        return catalog.load_table("lake.rides")
    except (NoSuchTableError, NoSuchNamespaceError):
        return None


@pytest.mark.parametrize("partition", [None, "attempt"])
def test_a_run_is_committed_once(run: Path, partition: str | None) -> None:
    lake = {"iceberg_table": "lake.rides", "output_format": ["text"], "partition_by": partition}
    stage.generate(settings(run, **lake))
    table = table_of(run)
    assert len(table.snapshots()) == 1
    rows = sorted(table.scan().to_arrow().to_pylist(), key=lambda row: row["id"])
    assert rows == sorted(text(run), key=lambda row: row["id"])
    files = [task.file.file_path.removeprefix("file://") for task in table.scan().plan_files()]
    found = duckdb.sql(f"SELECT count(*), sum(amount) FROM read_parquet({files})").fetchall()
    assert found == [(50, sum(row["amount"] for row in rows))]
    report = stage.generate(settings(run, overwrite=True, unit_size=50, **lake))
    assert any("held this run already" in notice for notice in report.notices)
    assert len(table_of(run).snapshots()) == 1
    stage.generate(settings(run, overwrite=True, seed=3, **lake))
    assert len(table_of(run).snapshots()) == 2
    assert table_of(run).scan().to_arrow().num_rows == 100


def test_a_crash_before_the_commit_shows_nothing_and_one_after_it_adds_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    lake = {"iceberg_table": "lake.rides", "output_format": ["text"]}
    with monkeypatch.context() as patch:
        patch.setattr(SqlCatalog, "commit_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stage.generate(settings(run, **lake))
    assert table_of(run) is None
    assert list((run / "warehouse").rglob("*.parquet")), "the files were there already"
    with monkeypatch.context() as patch:
        patch.setattr(generated, "write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stage.generate(settings(run, **lake))
    assert len(table_of(run).snapshots()) == 1
    stage.generate(settings(run, **lake))
    assert len(table_of(run).snapshots()) == 1
    assert table_of(run).scan().to_arrow().num_rows == 50


def test_a_table_that_does_not_fit_is_refused_before_sampling(run: Path) -> None:
    stage.generate(settings(run, iceberg_table="lake.rides"))
    for changes in ({"columns": ["x", "y", "z"], "schema_file": None}, {"partition_by": "attempt"}):
        with pytest.raises(DataError, match="LS211"):
            stage.generate(settings(run, iceberg_table="lake.rides", overwrite=True, **changes))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"partition_by": "nowhere"}, "LS112: partition_by"),
        ({"iceberg_table": "a.b", "iceberg_catalog": ["nonsense"]}, "LS114"),
        ({"iceberg_table": "a.b", "iceberg_catalog": ["s3.secret-access-key=x"]}, "LS114.*holds a secret"),
        ({"iceberg_table": "a.b", "iceberg_catalog": ["postgresql://me:pass@host/db"]}, "LS114.*holds a secret"),
        ({"rules": "/no/such/rules.yaml"}, "LS113: rules"),
        ({"validation_rules": [{"field": "nowhere", "type": "integer"}]}, "LS113: validation_rules"),
        ({"validation_rules": [{"not_in_training_set": True}]}, "LS201"),
    ],
)
def test_bad_table_settings_are_refused_before_any_work(run: Path, changes: dict, found: str) -> None:
    with pytest.raises(LinesmithError, match=found):
        stage.generate(settings(run, **changes))
    assert not (run / "synthetic").exists()


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (FIELDS[:2], "it has 2 fields, the model's records 3"),
        ([*FIELDS, {"name": "more", "type": "string"}], "it has 4 fields, the model's records 3"),
        ([*FIELDS[:2], {"name": "amount", "type": {"type": "array", "items": "int"}}], "field 'amount' is of a type"),
        ([FIELDS[1], FIELDS[0], FIELDS[2]], "its fields stand in another order than the columns"),
    ],
)
def test_a_schema_that_does_not_fit_the_records_is_refused_before_sampling(
    run: Path, fields: list[dict], found: str
) -> None:
    (run.parent / "ride.avsc").write_text(json.dumps({**SCHEMA, "fields": fields}))
    fake_run(run, columns=["id", "attempt", "amount"])
    with pytest.raises(ParameterError, match=rf"LS111: schema_file.*{found}"):
        stage.generate(settings(run))
    assert not (run / "synthetic").exists()


def test_limits_of_a_schema_hold_without_masks(run: Path) -> None:
    fields = [{**FIELDS[0], "maximum": 30}, {**FIELDS[1], "type": "string", "pattern": "[0-2]"}, FIELDS[2]]
    (run.parent / "ride.avsc").write_text(json.dumps({**SCHEMA, "fields": fields}))
    report = stage.generate(settings(run, max_attempts=9))
    written = json.loads((run / "synthetic" / "manifest.json").read_text())["counts"]["invalid_by_reason"]
    assert report.exit_code == 4, "no record above 30 can be had"
    assert written["schema:id:range"] > 19 and written["schema:attempt:pattern"] > 0
    assert all(row["id"] <= 30 and row["attempt"] in {0, 1, 2} for row in text(run))


def test_a_validator_that_always_hangs_ends_the_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validator_host, "MAX_CONSECUTIVE_FAILURES", 3)
    (run.parent / "v.py").write_text("def f(line):\n    while True:\n        pass\n")
    with pytest.raises(ParameterError, match=r"LS121.*took longer than 0.1 s, for 3 records in a row"):
        stage.generate(settings(run, line_validator=f"{run.parent / 'v.py'}:f", validator_timeout=0.1))
    assert not (run / "synthetic").exists()


@pytest.mark.parametrize("body", ["return False", "raise ValueError('never')"])
def test_a_validator_that_rejects_everything_gives_a_shortfall(run: Path, body: str) -> None:
    (run.parent / "v.py").write_text(f"def f(line):\n    {body}\n")
    report = stage.generate(settings(run, line_validator=f"{run.parent / 'v.py'}:f", max_attempts=3))
    written = json.loads((run / "synthetic" / "manifest.json").read_text())
    assert (report.exit_code, written["complete"], written["counts"]["records"]) == (4, False, 0)
    assert written["counts"]["invalid_by_reason"]["validator"] > 50
    assert "50 of 50 records are missing" in report.notices[0]


def test_rules_are_added_after_training(run: Path) -> None:
    stage.generate(settings(run, validation_rules=[{"field": "amount", "range": [0, 500_000]}]))
    assert max(row["amount"] for row in text(run)) <= 500_000
    written = json.loads((run / "synthetic" / "manifest.json").read_text())
    assert written["counts"]["invalid_by_reason"]["rule:amount:range"] > 5


def test_a_validator_that_hangs_costs_a_record(run: Path) -> None:
    rules = run.parent / "v.py"
    rules.write_text("def f(line):\n    while line.startswith('7,0,'):\n        pass\n")
    assert stage.generate(settings(run, line_validator=f"{rules}:f", validator_timeout=0.3)).exit_code == 0
    written = json.loads((run / "synthetic" / "manifest.json").read_text())
    assert written["counts"]["invalid_by_reason"]["timeout"] == 1
    assert len(text(run)) == 50


def seed_files(tmp_path: Path, seeds: list[str]) -> dict[str, str]:
    rows = [{"start_string": seed, "other": n} for n, seed in enumerate(seeds)]
    (tmp_path / "s.txt").write_text("".join(f"{seed}\n" for seed in seeds))
    (tmp_path / "s.csv").write_text("other,start_string\n" + "".join(f'1,"{seed}"\n' for seed in seeds))
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "s.parquet")
    fields = [{"name": "start_string", "type": "string"}, {"name": "other", "type": "int"}]
    kind = {"type": "record", "name": "S", "fields": fields}
    with open(tmp_path / "s.avro", "wb") as out:
        fastavro.writer(out, kind, rows)
    half = len(seeds) // 2
    for number, some in enumerate((seeds[:half], seeds[half:])):
        (tmp_path / f"part-{number}.txt").write_text("".join(f"{seed}\n" for seed in some))
    return {kind: str(tmp_path / f"s.{kind}") for kind in ("txt", "csv", "jsonl", "parquet", "avro")} | {
        "glob": str(tmp_path / "part-*.txt")
    }


def test_start_strings_of_every_kind_of_file_are_paired_with_their_records(run: Path, tmp_path: Path) -> None:
    seeds = [f"{n}," for n in range(900, 917)]
    first = None
    for path in seed_files(tmp_path, seeds).values():
        stage.generate(
            settings(run, start_strings_file=path, records_per_seed=3, output_format=["avro", "text"], overwrite=True)
        )
        rows = avro(run)
        assert [row["seed_id"] for row in rows] == [n for n in range(17) for _ in range(3)]
        assert [row["start_string"] for row in rows] == [seed for seed in seeds for _ in range(3)]
        assert [f"{row['id']}," for row in rows] == [row["start_string"] for row in rows]
        first = first or shards(run)
        assert shards(run) == first


@pytest.mark.slow
def test_ten_thousand_seeds(run: Path, tmp_path: Path) -> None:
    (tmp_path / "seeds.txt").write_text("".join(f"{n},\n" for n in range(10_000)))
    stage.generate(
        settings(run, start_strings_file=str(tmp_path / "seeds.txt"), unit_size=2000, output_format=["parquet"])
    )
    table = pa.concat_tables([pq.read_table(part) for part in parts(run, "parquet")])
    assert table["id"].to_pylist() == table["seed_id"].to_pylist() == list(range(10_000))


@pytest.mark.parametrize(
    ("name", "content", "field", "found"),
    [
        ("s.csv", "a,b\n1,2\n", None, "it has 2 columns, and start_strings_field does not say which"),
        ("s.csv", "a,b\n1\n", "a", "row 2 has 1 fields"),
        ("s.jsonl", "{]\n", None, "line 1 is no JSON"),
        ("s.jsonl", '{"a": []}\n', "a", "of type list"),
        ("s.avro", "nonsense", None, "not an Avro file"),
        ("s.parquet", "nonsense", None, "not a Parquet file"),
        ("s.txt.gz", "nonsense", None, "cannot be read"),
        ("s.txt", "1,\n", "a", "has lines and no column"),
        ("s.csv", "a\n", None, "is empty"),
        ("s.csv", "", None, "is empty"),
        ("s.txt", "", None, "is empty"),
        ("s.jsonl", "", None, "is empty"),
        ("s.txt", "1,\n2\n", None, "start string 2 does not end with the field delimiter"),
        ("s.txt", "1,\n2,\n\u2603,\n", None, r"start string 3 cannot be encoded: .*U\+2603"),
    ],
)
def test_a_bad_file_of_start_strings_is_named(
    run: Path, tmp_path: Path, name: str, content: str, field: str | None, found: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ParameterError, match=rf"LS108: start_strings_file.*{name}.*{found}"):
        stage.generate(settings(run, start_strings_file=str(tmp_path / name), start_strings_field=field))
