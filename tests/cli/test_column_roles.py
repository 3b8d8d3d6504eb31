"""The whole workflow over invented people: no key and no address of the source is left anywhere, and bad roles are refused."""

from __future__ import annotations

import csv
import json
import random
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.transforms.read_evaluation_sets import TOKENS, EvaluationInputUnit, read_set_unit
from tests.helpers.run_bytes import holds

pytestmark = pytest.mark.integration

HEADER = ["id", "mail", "name", "town", "plan", "note", "source", "club"]
TOWNS = ["Rome", "Oslo", "Lima"]
SMALL = ("--epochs", "1", "--rnn-units", "16", "--embedding-dim", "8", "--num-lines", "40")
MAIL = "fake:email" if find_spec("faker") else "constant:none@fake.example"


def people(count: int) -> list[list[str]]:
    source = random.Random(5)
    return [
        [
            f"MB-{number:05d}", f"q{number}.{source.choice('abc')}zzyx@invented.example", f"Xaver Qwyx{number}",
            source.choice(TOWNS), source.choice(["basic", "pro"]), f"call +39 06 {number:07d}, later", "batch", f"K{number % 9}",
        ]
        for number in source.sample(range(100_000), count)
    ]  # fmt: skip


def write(path: Path, rows: list[list[str]]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def settings(folder: Path) -> list[str]:
    files = ["--input", str(folder / "people.csv"), "--output", str(folder / "run")]
    return [*files, "--field-delimiter", ",", "--quoted", "--header"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_key_and_no_address_is_left(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = people(260)
    write(tmp_path / "people.csv", [HEADER, *rows, ["MB-99999", "short.zzyx@invented.example"]])
    write(tmp_path / "clubs.csv", [["club", "n"], ["Z1", "1"], ["Z2", "2"]])
    roles = f"id=key,mail={MAIL},name=constant:Jo,note=drop,source=constant:web,club=ref:{tmp_path}/clubs.csv#club"
    run = tmp_path / "run"
    common = [
        "--input",
        str(tmp_path / "people.csv"),
        "--output",
        str(run),
        "--field-delimiter",
        ",",
        "--quoted",
        "--header",
    ]
    formats = ["--output-format", "text,jsonl,avro,parquet", "--refuse-pii", "--column-role", roles]
    assert cli.run_command_line(["run", *common, *SMALL, *formats]) in (0, 4)
    shown = capfd.readouterr()
    secrets = [value for row in [*rows, ["MB-99999", "short.zzyx"]] for value in row[:3]] + [
        "zzyx",
        "Qwyx",
        "invented.ex",
        "+39 06",
    ]
    assert holds(run, secrets) == []
    assert not [secret for secret in secrets if secret in shown.out + shown.err]
    # Token ids are no text: what the model was given is decoded, and the search is shown to find a town in it.
    texts = training_texts(run)
    assert texts and all(re.fullmatch("(Rome|Oslo|Lima)\n(basic|pro)", text) for text in texts)
    vocabulary = tokenizer_from_model_dir(run)
    assert vocabulary.total_vocab_size < 25  # of all the letters and digits of the source hardly any
    written = [line for path in (run / "synthetic").glob("*.jsonl") for line in path.read_text().splitlines()]
    records = [json.loads(line) for line in written]
    assert list(records[0]) == ["id", "mail", "name", "town", "plan", "source", "club"]
    assert len({record["id"] for record in records}) == len(records)
    assert {record["club"] for record in records} == {"Z1", "Z2"}
    report = json.loads((run / "report" / "report.json").read_text())
    assert [field["name"] for field in report["schema"]] == ["town", "plan"]
    assert any("not compared" in sentence and "id (key)" in sentence for sentence in report["not_covered"])
    before = {path.name: path.read_bytes() for path in (run / "synthetic").glob("part-*")}
    again = ["generate", "--output", str(run), "--num-lines", "40", "--overwrite", "--column-role"]
    assert cli.run_command_line([*again[:-1]]) == 2  # a file is not opened because a run directory says so
    assert "LS128" in capfd.readouterr().err
    assert cli.run_command_line([*again, f"club=ref:{tmp_path}/clubs.csv#club"]) in (0, 4)
    assert {path.name: path.read_bytes() for path in (run / "synthetic").glob("part-*")} == before


def training_texts(run: Path) -> list[str]:
    """Return the records of all splits as the model was given them."""
    texts = []
    for path in (run / "training_data").glob("*.tfrecord.gz"):
        unit = EvaluationInputUnit("training", 0, TOKENS, str(path), tokenizer=str(run / "tokenizer"))
        texts += [text for _, (_, batch) in read_set_unit(unit) for text in batch.to_pylist()]
    return texts


def test_plan_names_columns_and_never_a_value(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "people.csv", [HEADER, *people(60)])
    common = [
        "--input",
        str(tmp_path / "people.csv"),
        "--output",
        str(tmp_path / "run"),
        "--field-delimiter",
        ",",
        "--quoted",
        "--header",
    ]
    assert cli.run_command_line(["plan", *common, "--column-role", "source=constant:web"]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    for column in (
        "id learned; looks like",
        "mail learned; looks like",
        "name learned; looks like",
        "source constant:web",
    ):
        assert column in shown
    assert "zzyx" not in shown and "MB-" not in shown
    assert cli.run_command_line(["plan", *common, "--refuse-pii"]) == 2
    error = capfd.readouterr().err
    assert "LS251" in error and "zzyx" not in error and "MB-" not in error
    roles = "id=key,mail=drop,name=drop,note=drop"
    assert cli.run_command_line(["plan", *common, "--refuse-pii", "--column-role", roles]) == 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("roles", "code"),
    [
        ("nope=key", "LS140"), ("id=key,id=drop", "LS101"), ("mail=fake:", "LS101"), ("mail=", "LS101"),
        ("mail=fake:nope", "LS1"),
        ("club=ref:nowhere.csv#a", "LS140"), ("id", "LS101"),
    ],
)  # fmt: skip
def test_bad_roles_are_one_paragraph(tmp_path: Path, capfd: pytest.CaptureFixture[str], roles: str, code: str) -> None:
    write(tmp_path / "people.csv", [HEADER, *people(20)])
    common = [
        "--input",
        str(tmp_path / "people.csv"),
        "--output",
        str(tmp_path / "run"),
        "--field-delimiter",
        ",",
        "--quoted",
        "--header",
    ]
    assert cli.run_command_line(["plan", *common, "--column-role", roles]) == 2
    error = capfd.readouterr().err.strip().splitlines()
    assert len(error) == 1 and code in error[0]
    assert not (tmp_path / "run").exists()


def test_a_provider_between_colons_is_no_picture(capfd: pytest.CaptureFixture[str]) -> None:
    console.error("LS140: --column-role mail=fake:email: no")
    console.results().print("fake:email: x", markup=False)
    shown = capfd.readouterr()
    assert "mail=fake:email: no" in shown.err and "fake:email: x" in shown.out


def test_a_column_twice_in_yaml_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text("column_role:\n  id: key\n  id: drop\n")
    assert cli.run_command_line(["plan", "--config", str(tmp_path / "s.yaml")]) == 2
    error = capfd.readouterr().err
    assert "LS102" in error and "twice in one mapping at line 3" in error
