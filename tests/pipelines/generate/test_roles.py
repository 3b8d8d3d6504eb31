"""Columns that the model does not know, in every output of the generate stage, with a fake sampler."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import fastavro
import pyarrow.parquet as pq
import pytest

from linesmith.core.artifacts.params import config_from_model_dir, save_params
from linesmith.core.config.key_pattern import parse_pattern
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.model.generation import local_model
from linesmith.model.generation.python_api import generate_text
from linesmith.pipelines.generate import stage
from linesmith.records.output.avro_names import unique_names
from linesmith.records.output.column_types import ColumnType
from linesmith.records.output.schema import RecordSchema, write_schema
from linesmith.records.roles.stored_roles import StoredRoles, write_roles
from tests.helpers import generation_fakes
from tests.helpers.generation_fakes import fake_run

pytestmark = pytest.mark.integration

SOURCE = ("id", "a", "source", "b", "note", "c", "customer")
ROLES = {"id": "key", "source": "constant:web, shop", "note": "drop", "customer": "ref:{}#cid"}
WRITTEN = ["id", "a", "source", "b", "c", "customer"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_fake)
    monkeypatch.setattr(local_model, "open_sampler", generation_fakes.open_fake)
    (tmp_path / "customers.csv").write_text("cid,x\nQ1,0\nQ2,0\nQ2,0\n")
    roles = {name: role.format(tmp_path / "customers.csv") for name, role in ROLES.items()}
    root = fake_run(tmp_path / "run", columns=["a", "b", "c"], quoted=True)
    save_params(config_from_model_dir(root).replace(columns=list(SOURCE), column_role=roles), root)
    stored = StoredRoles(SOURCE, {**ROLES, "customer": "ref"}, {"id": parse_pattern("KA-0000")})
    write_roles(root / "model", stored)
    yield root


def settings(run: Path, **changes: object) -> TensorFlowConfig:
    """Return settings as they are in the process that trained: with the path of the reference."""
    roles = {name: role.format(run.parent / "customers.csv") for name, role in ROLES.items()}
    config = config_from_model_dir(run)
    return config.replace(**{"gen_lines": 50, "unit_size": 20, "column_role": roles, **changes})


def rows(run: Path) -> list[list[str]]:
    texts = [path.read_text() for path in sorted((run / "synthetic").glob("*.txt"))]
    return [row for text in texts for row in csv.reader(io.StringIO(text))]


def shards(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "synthetic").glob("part-*"))}


def test_every_output_has_the_columns_in_their_place(run: Path) -> None:
    stage.generate(settings(run, output_format=["text", "jsonl", "avro", "parquet"]))
    records = rows(run)
    assert len(records) == 50
    assert [int(record[1]) for record in records] == list(range(50))
    assert all(re.fullmatch("K[A-Z]-[0-9]{4}", record[0]) for record in records)
    assert len({record[0] for record in records}) == 50
    assert {record[2] for record in records} == {"web, shop"}
    assert {record[5] for record in records} == {"Q1", "Q2"}
    folder = run / "synthetic"
    lines = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    assert [list(line) for line in lines] == [WRITTEN] * 50
    assert [[str(value) for value in line.values()] for line in lines] == records
    parquet = [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert parquet == lines
    avro = []
    for path in sorted(folder.glob("*.avro")):
        with open(path, "rb") as shard:
            avro += list(fastavro.reader(shard))
    assert avro == lines
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["columns"] == WRITTEN
    assert "| id | key |" in (folder / "README.md").read_text()
    assert manifest["column_roles"] == {"id": "key", "source": "constant", "note": "drop", "customer": "ref"}


def test_bytes_depend_on_the_seed_and_the_index_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.generate(settings(run))
    first, records = shards(run), rows(run)
    monkeypatch.setattr(stage, "open_sampler", generation_fakes.open_narrow)
    stage.generate(settings(run, overwrite=True))
    assert shards(run) == first
    stage.generate(settings(run, overwrite=True, unit_size=7, num_shards=2))
    assert rows(run) == records
    stage.generate(settings(run, overwrite=True, seed=1))
    assert not {record[0] for record in rows(run)} & {record[0] for record in records[:1]}


@pytest.mark.slow
def test_four_processes_write_the_same_bytes(run: Path) -> None:
    fakes = {"note": "fake:name:de_DE"} if find_spec("faker") else {}
    config = settings(run)
    config = config.replace(column_role={**config.column_role, **fakes}, unit_size=5)  # type: ignore[dict-item]
    stage.generate(config)
    first = shards(run)
    stage.generate(config.replace(overwrite=True), beam_args=["--direct_num_workers=4"])
    assert shards(run) == first and len(first) == 10


def test_records_from_python_are_those_of_the_stage(run: Path) -> None:
    stage.generate(settings(run))
    texts = [record.text for record in generate_text(settings(run), parallelism=1) if record.valid is not False]
    assert [next(csv.reader([text])) for text in texts] == rows(run)


def test_a_header_and_start_strings(run: Path) -> None:
    stage.generate(settings(run, output_header=True, start_string=["7,", "8,"], output_format=["text", "jsonl"]))
    assert rows(run)[0] == WRITTEN
    lines = [json.loads(line) for path in (run / "synthetic").glob("*.jsonl") for line in path.read_text().splitlines()]
    assert [line["a"] for line in lines] == ["7", "8"]
    assert list(lines[0])[-2:] == ["seed_id", "start_string"]


def test_roles_may_say_other_things_of_columns_that_were_cut(run: Path) -> None:
    roles = {**settings(run).column_role, "id": "key:1..60", "note": "constant:none", "customer": "drop"}  # type: ignore[dict-item]
    stage.generate(settings(run, column_role=roles, output_format=["text", "jsonl"]))
    records = rows(run)
    assert {record[4] for record in records} == {"none"} and len(records[0]) == 6
    assert len({int(record[0]) for record in records} & set(range(1, 61))) == 50


def test_keys_of_the_source_are_avoided(run: Path) -> None:
    roles = {**settings(run).column_role, "id": "key:00"}  # type: ignore[dict-item]
    source = run.parent / "source.csv"
    source.write_text("".join(f"{number:02d},x,y,z,n,c,q\n" for number in range(0, 100, 2)) + "bad,line\n")
    config = settings(run, column_role=roles, avoid_source_keys=True, input_data_path=str(source))
    stage.generate(config)
    assert sorted(int(record[0]) for record in rows(run)) == list(range(1, 100, 2))
    before = shards(run)
    with pytest.raises(ParameterError, match=r"LS140.*50 different keys, and 51 records"):
        stage.generate(config.replace(gen_lines=51, overwrite=True))
    assert shards(run) == before
    with pytest.raises(ParameterError, match=r"LS140.*no input"):
        stage.generate(config.replace(input_data_path=None, overwrite=True))
    with pytest.raises(ParameterError, match=r"LS140.*avoid_source_keys"):
        next(generate_text(config, parallelism=1))


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        ({"a": "drop"}, r"LS140.*column 'a' was learned"),
        ({"id": "learn"}, r"LS140.*column 'id' was not learned"),
        ({"note": "key"}, r"LS140.*no pattern"),
        ({"customer": "ref"}, r"LS128.*names none"),
        ({"customer": "ref:nowhere.csv#cid"}, r"LS140.*no such file"),
        ({"customer": "ref:{}#nothing"}, r"LS140.*no column of this name"),
        ({"id": "key:0"}, r"LS140.*10 different keys, and 50 records"),
    ],
)
def test_roles_that_cannot_be_are_one_paragraph(run: Path, roles: dict[str, str], found: str) -> None:
    given = {name: role.format(run.parent / "customers.csv") for name, role in roles.items()}
    config = settings(run)
    with pytest.raises(ParameterError, match=found) as raised:
        stage.generate(config.replace(column_role={**config.column_role, **given}))  # type: ignore[dict-item]
    assert len(str(raised.value).splitlines()) == 1
    assert not (run / "synthetic").exists()


def test_a_reference_whose_values_cannot_be_written(run: Path) -> None:
    (run.parent / "customers.csv").write_text('cid\n"a\nb"\n')
    with pytest.raises(ParameterError, match=r"LS140.*line end"):
        stage.generate(settings(run))
    (run.parent / "customers.csv").write_text("cid\n\n")
    with pytest.raises(ParameterError, match=r"LS140.*no value"):
        stage.generate(settings(run))


def test_a_received_run_opens_no_file(run: Path) -> None:
    save_params(settings(run), run)
    with pytest.raises(ParameterError, match=r"LS128.*names none"):
        stage.generate(config_from_model_dir(run).replace(gen_lines=5))


def test_roles_of_another_model_are_refused(run: Path) -> None:
    write_roles(run / "model", StoredRoles(("id", "a", "b", "z"), {"id": "key"}, {"id": parse_pattern("A")}))
    with pytest.raises(DataError, match="LS214"):
        stage.generate(settings(run, column_role={"id": "key"}, columns=None))


def test_types_of_learned_columns_with_one_name_stay_in_order(run: Path) -> None:
    source = ("a", "id", "b", "a")
    fake_run(run, columns=["a", "b", "a"], quoted=True)  # as of a header; settings have no name twice
    config = config_from_model_dir(run).replace(column_role={"id": "key"})
    write_roles(run / "model", StoredRoles(source, {"id": "key"}, {"id": parse_pattern("0..999")}))
    types = (ColumnType("long"), ColumnType("string"), ColumnType("long"))
    write_schema(run / "model" / "record.avsc", RecordSchema(unique_names(["a", "b", "a"]), types))
    stage.generate(config.replace(gen_lines=10, output_format=["jsonl"]))
    lines = [json.loads(line) for path in (run / "synthetic").glob("*.jsonl") for line in path.read_text().splitlines()]
    assert [{name: type(value) for name, value in line.items()} for line in lines] == [
        {"a": int, "id": int, "b": str, "a_2": int}
    ] * 10


def test_names_cannot_be_changed(run: Path) -> None:
    with pytest.raises(ParameterError, match=r"LS101.*not one of columns"):
        settings(run, columns=[f"n{number}" for number in range(7)])
