"""Sources through the stages: counts as the csv module has them, equal bytes for any number of workers, and types on output."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.core.artifacts.files import read_json
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.pipelines.tokenize.stage import is_current, tokenize
from linesmith.pipelines.workflow import run, train
from linesmith.records.roles.stored_roles import read_roles
from linesmith.records.table_format import read_table_format

pytestmark = pytest.mark.integration

SMALL = {"epochs": 1, "rnn_units": 16, "embedding_dim": 8, "rnn_layers": 1}


def manifest(root: Path) -> dict:
    return read_json(root / "training_data" / "manifest.json", "the manifest")


def rides(rows: int) -> pa.Table:
    draw = random.Random(1)
    return pa.table(
        {
            "id": pa.array(range(rows), pa.uint32()),
            "city": pa.array([draw.choice(["Rome", "Bari, Puglia", 'the "old" town', None, ""]) for _ in range(rows)]),
            "note": pa.array([draw.choice(["", "two\nlines", None]) for _ in range(rows)], pa.string()),
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_csv_over_four_files_and_two_workers_has_the_records_of_the_csv_module(tmp_path: Path) -> None:
    draw = random.Random(7)
    expected = 0
    for number in range(4):
        with open(tmp_path / f"{number}.csv", "w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["id", "text", "more"])
            for row in range(25_000):
                writer.writerow(
                    [row, draw.choice(["a", "b,c", 'q"q', "l\nm", "r\r\ns\n\nt"]), "x" * draw.randrange(90)]
                )
        with open(tmp_path / f"{number}.csv", encoding="utf-8", newline="") as content:
            expected += sum(1 for _ in csv.reader(content)) - 1
    settings = {"input_data_path": str(tmp_path / "*.csv"), "input_format": "csv", "seed": 3}
    one = tokenize(TensorFlowConfig(checkpoint_dir=tmp_path / "one", **settings))
    two = tokenize(TensorFlowConfig(checkpoint_dir=tmp_path / "two", **settings), ["--direct_num_workers=2"])
    assert expected == one.counts["accepted"] == two.counts["accepted"] == 100_000
    assert one.counts["rejected"] == 0
    assert manifest(tmp_path / "one")["data_digest"] == manifest(tmp_path / "two")["data_digest"]
    assert not any("idle" in notice for notice in two.notices), "there is work for both"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_parquet_in_is_parquet_out_for_one_worker_and_two(tmp_path: Path) -> None:
    for number in range(2):
        pq.write_table(rides(300).slice(number * 150, 150), tmp_path / f"{number}.parquet", row_group_size=40)
    files = {}
    for name, workers in (("one", []), ("two", ["--direct_num_workers=2"])):
        root = tmp_path / name
        config = TensorFlowConfig(
            input_data_path=str(tmp_path / "*.parquet"), checkpoint_dir=root, gen_lines=40, unit_size=20,
            max_attempts=200, min_valid_rate=0, report=False, matmul_precision="float32", **SMALL,
        )  # fmt: skip
        run(config, workers)
        files[name] = {path.name: path.read_bytes() for path in sorted((root / "synthetic").glob("part-*"))}
        for path in (root / "synthetic").glob("part-*"):
            assert pq.read_schema(path).equals(rides(1).schema)
    assert [name.rpartition(".")[2] for name in files["one"]] == ["parquet", "parquet"]
    assert files["one"] == files["two"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nested_json_lines_are_evaluated_and_come_back_nested(tmp_path: Path) -> None:
    draw = random.Random(2)
    rows = [
        {
            "host": draw.choice("ab"),
            "at": {"day": draw.randrange(9), "of": {"week": draw.randrange(5)}},
            "tags": ["x"] * (n % 3),
        }
        | ({"user": None} if n % 5 == 0 else {} if n % 2 else {"user": draw.randrange(5)})
        for n in range(400)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = TensorFlowConfig(
        input_data_path=str(tmp_path / "a.jsonl"), checkpoint_dir=tmp_path / "run", gen_lines=60, max_attempts=200,
        min_valid_rate=0, **SMALL,
    )  # fmt: skip
    reports = run(config)
    assert reports[-1].stage == "evaluate"
    assert reports[-1].counts["synthetic records"] == reports[-2].counts["records"] > 0
    found = [json.loads(line) for path in (tmp_path / "run" / "synthetic").glob("*.jsonl") for line in path.open()]
    for row in found:
        assert [key for key in row if key != "user"] == ["host", "at", "tags"]
        assert type(row["host"]) is str
        assert type(row["at"]["of"]["week"]) is int
        assert all(type(tag) is str for tag in row["tags"])


def test_tokenize_keeps_the_columns_and_knows_the_same_input_again(tmp_path: Path) -> None:
    pq.write_table(rides(60), tmp_path / "a.parquet")
    config = TensorFlowConfig(input_data_path=str(tmp_path / "a.parquet"), checkpoint_dir=tmp_path / "run")
    report = tokenize(config)
    assert report.counts["accepted"] == 60
    table = read_table_format(tmp_path / "run" / "training_data" / "table.json")
    assert table is not None
    assert [(column.name, column.kind) for column in table.columns] == [
        ("id", "integer"),
        ("city", "text"),
        ("note", "text"),
    ]
    assert manifest(tmp_path / "run")["columns"] == ["id", "city", "note"]
    assert "table.json" in manifest(tmp_path / "run")["outputs"]["training_data"]
    assert is_current(config)
    pq.write_table(rides(61), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="the content of input_data_path is not the same"):
        is_current(config)


def test_with_dp_columns_must_be_declared_public_and_nothing_is_learned_from_values(tmp_path: Path) -> None:
    source = tmp_path / "a.parquet"
    pq.write_table(rides(60), source)
    settings = {"input_data_path": str(source), "dp": True}
    with pytest.raises(ParameterError, match="needs columns with dp=True") as caught:
        tokenize(TensorFlowConfig(checkpoint_dir=tmp_path / "refused", **settings))
    assert caught.value.code == "LS301"
    tables = []
    for name, data in (("one", rides(60)), ("other", rides(60).slice(0, 30))):
        pq.write_table(data, source)
        tokenize(TensorFlowConfig(checkpoint_dir=tmp_path / name, columns=["id", "city"], **settings))
        tables.append((tmp_path / name / "private" / "training_data" / "table.json").read_bytes())
    assert tables[0] == tables[1]
    assert b'"nullable": false' not in tables[0]
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(ParameterError, match="keys and types of JSON"):
        tokenize(
            TensorFlowConfig(
                input_data_path=str(tmp_path / "a.jsonl"), input_format="jsonl", dp=True, checkpoint_dir=tmp_path / "j"
            )
        )


def test_a_damaged_file_leaves_nothing_and_is_named(tmp_path: Path) -> None:
    pq.write_table(rides(60), tmp_path / "a.parquet")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[4:60] = b"\xff" * 56  # the header of the first page
    (tmp_path / "a.parquet").write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"a\.parquet") as caught:
        train(TensorFlowConfig(input_data_path=str(tmp_path / "a.parquet"), checkpoint_dir=tmp_path / "run", **SMALL))
    assert caught.value.code == "LS206"
    assert not (tmp_path / "run" / "training_data").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.csv"])
def test_a_key_whose_values_repeat_or_have_no_pattern_leaves_nothing(tmp_path: Path, name: str) -> None:
    rows = [{"id": n, "town": "ab"[n % 2], "at": {"code": f"K{n}"} if n % 3 else None} for n in range(40)]
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    elif name == "a.jsonl":
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        (tmp_path / name).write_text("id,town\n" + "".join(f'{row["id"]},"{row["town"]}"\n' for row in rows))
    config = TensorFlowConfig(
        input_data_path=str(tmp_path / name), input_format=name[2:], checkpoint_dir=tmp_path / "run", header=True
    )
    with pytest.raises(DataError, match=r"LS250.*town.*repeat: 40 records have 2 different ones"):
        tokenize(config.replace(column_role={"town": "key"}))
    assert not (tmp_path / "run" / "training_data").exists()
    with pytest.raises(ParameterError, match=r"LS140.*'nope' is not a column"):
        tokenize(config.replace(column_role={"nope": "key"}))
    with pytest.raises(ParameterError, match=r"LS1.*nowhere"):
        tokenize(config.replace(column_role={"town": "ref:nowhere.parquet#a"}))
    assert not (tmp_path / "run" / "training_data").exists()
    roles = {"id": "key"} | ({} if name == "a.csv" else {"at.code": "key"})
    assert tokenize(config.replace(column_role=roles)).counts["accepted"] == 40
    stored = read_roles(tmp_path / "run" / "training_data")
    assert stored is not None
    assert stored.patterns["id"].limits == (0, 99)
    if name != "a.csv":  # a row without the struct has no key, which is no fault
        assert stored.patterns["at.code"].number("Q7") is not None
        table = read_table_format(tmp_path / "run" / "training_data" / "table.json")
        assert table is not None and "at.code" in table.field_names
        assert manifest(tmp_path / "run")["columns"] == ["town", "at"] if "at" in table.field_names else ["town"]
