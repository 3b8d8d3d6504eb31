"""Conditions on a small model that is trained: two countries with towns of their own, and columns in the order of the input."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from pathlib import Path

import fastavro
import pyarrow.parquet as pq
import pytest

from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.pipelines.evaluate.sets import run_evaluation_sets
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import is_current, tokenize
from linesmith.pipelines.train.stage import train_model
from linesmith.transforms.read_evaluation_sets import read_set_unit

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TOWNS = {"IT": ["Roma", "Milano", "Bari, Vecchia"], "FR": ["Paris", "Lyon", "Nice"]}
HEADER = ["id", "town", "country", "height"]


def table(count: int = 400) -> list[list[str]]:
    draw = random.Random(5)
    records = []
    for number in range(count):
        country = draw.choice(["IT", "FR", "FR"])
        height = str(draw.randint(10, 19) if country == "IT" else draw.randint(50, 59)) if draw.random() < 0.9 else ""
        records.append([str(number % 10), draw.choice(TOWNS[country]), country, height])
    return records


def config_of(place: Path, **settings: object) -> TensorFlowConfig:
    with open(place / "input.csv", "w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([HEADER, *table()])
    base = {
        "input_data_path": place / "input.csv",
        "checkpoint_dir": place / "run",
        "field_delimiter": ",",
        "quoted": True,
    }
    return TensorFlowConfig(**{**base, "header": True, "condition_on": "country", "vocab_size": 0, **settings})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = config_of(
        tmp_path_factory.mktemp("trained"), rnn_units=64, rnn_layers=1, embedding_dim=16, epochs=40, batch_size=32,
        early_stopping=False, learning_rate=0.02, tensorboard=False,
    )  # fmt: skip
    tokenize(config)
    train_model(config)
    return Path(str(config.checkpoint_dir))


def generated(run: Path, **settings: object) -> list[list[str]]:
    generate(config_from_model_dir(run).replace(overwrite=True, output_header=False, **settings))
    lines = [line for path in sorted((run / "synthetic").glob("*.txt")) for line in path.read_text().split("\n")[:-1]]
    return list(csv.reader(lines))


def test_the_condition_holds_and_the_rest_follows_it_in_every_format(run: Path) -> None:
    formats = ["text", "jsonl", "avro", "parquet"]
    for country, other in (("IT", "FR"), ("FR", "IT")):
        records = generated(run, where={"country": country}, gen_lines=200, output_format=formats)
        assert len(records) == 200
        assert {record[2] for record in records} == {country}
        towns = Counter(record[1] for record in records)
        assert sum(towns[town] for town in TOWNS[country]) > 100
        assert sum(towns[town] for town in TOWNS[other]) < 40
        folder = run / "synthetic"
        found = [
            [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()],
            [],
            [],
        ]
        for path in folder.glob("*.avro"):
            with open(path, "rb") as content:
                found[1] += fastavro.reader(content)
        for path in folder.glob("*.parquet"):
            found[2] += pq.read_table(path).to_pylist()
        for rows in found:
            assert [list(row) for row in rows] == [HEADER] * 200
            assert [["" if v is None else str(v) for v in row.values()] for row in rows] == [
                [str(int(record[0])), *record[1:3], record[3] and str(int(record[3]))] for record in records
            ]


def test_what_comes_later_decides_what_was_drawn_before(run: Path, tmp_path: Path) -> None:
    # The model writes the country first, and two of three records are French. The town is given, and stands after it.
    rows = [["", town, "", ""] for towns in TOWNS.values() for town in towns] * 10
    with open(tmp_path / "i.csv", "w", newline="") as out:
        csv.writer(out).writerows([HEADER, *rows])
    records = generated(run, impute=tmp_path / "i.csv")
    assert [record[1] for record in records] == [row[1] for row in rows]
    right = sum(record[1] in TOWNS.get(record[2], ()) for record in records)
    assert right > 54, f"{right} of 60 countries are those of their towns"
    assert all(value for record in records for value in record)


def test_data_are_in_the_order_of_the_input_wherever_they_are_read(run: Path) -> None:
    data, inputs = run / "training_data", Counter("\n".join(record) for record in table())
    assert json.loads((data / "statistics.json").read_text())["columns"] == HEADER
    described = json.loads((data / "statistics.json").read_text())["fields"]
    assert set(described[2]["values"]) == {"IT", "FR"}
    assert [field["index"] for field in described] == [0, 1, 2, 3]
    generated(run, gen_lines=5)
    sets = run_evaluation_sets(config_from_model_dir(run), _directory(run))
    assert sets.names == HEADER
    read: Counter[str] = Counter()
    for unit in sets.units:
        if unit.set_name != "synthetic":
            for _, (_, texts) in read_set_unit(unit):
                read.update(texts.to_pylist())
    assert read
    assert not read - inputs
    info = read_model_info(run)
    assert (info.columns, info.condition_on, info.condition_values) == (HEADER, ["country"], [["FR", "IT"]])
    assert [field is not None for field in info.field_numbers] == [
        False,
        True,
        False,
        True,
    ]  # in the order of the model
    never_empty = {"type": None, "empty": False}
    assert info.field_texts == [None if numbers else never_empty for numbers in info.field_numbers]
    schema = json.loads((run / "model" / "record.avsc").read_text())
    assert [field["name"] for field in schema["fields"]] == HEADER


def _directory(run: Path):
    from linesmith.core.artifacts.run_directory import RunDirectory

    return RunDirectory(run)


def test_another_order_is_another_configuration(run: Path) -> None:
    config = config_from_model_dir(run).replace(input_data_path=run.parent / "input.csv")
    assert is_current(config)
    with pytest.raises(DataError, match=r"LS215: .*condition_on was \['country'\] and is now \['country', 'town'\]"):
        is_current(config.replace(condition_on=["country", "town"]))
    with pytest.raises(DataError, match="LS215"):
        is_current(config.replace(condition_on=None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"condition_on": "land"},
            r"^LS131: condition_on 'land': 'land' is not a column. There are: id, town, country, height\.",
        ),
        (
            {"header": False},
            r"^LS131: condition_on 'country': the columns have no names. Give columns, header=True, or",
        ),
        (
            {"dp": True, "dp_noise_multiplier": 1.0},
            r"^LS131: .*with dp=True a model may not learn names from its input\.$",
        ),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        tokenize(config_of(tmp_path, **settings))
