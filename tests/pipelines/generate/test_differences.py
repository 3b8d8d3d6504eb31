"""Differences from tokenize to every output: a small trained model, conditions, and a private one."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path

import fastavro
import pandas as pd
import pyarrow.parquet as pq
import pytest

import linesmith
from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.core.artifacts.model_info import SCHEMA_FILE, read_model_info
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.errors import ParameterError
from linesmith.model.tokenizers import tokenizer_from_model_dir
from linesmith.pipelines.evaluate.sets import run_evaluation_sets
from linesmith.records.patterns.usual_texts import usual_automaton
from linesmith.transforms.read_evaluation_sets import read_set_unit

pytestmark = pytest.mark.integration

COLUMNS = ["town", "start", "end", "paid"]
NETWORK = ["--rnn-units", "32", "--embedding-dim", "16", "--no-tensorboard", "--no-report"]
READ = ["--field-delimiter", ",", "--columns", ",".join(COLUMNS), "--differences", "end=start,paid=end"]
# Milliseconds of a day in 2020, which a 32-bit integer cannot hold; differences of them it could.
FIRST = 1_600_000_000_000


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch):
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


def table(count: int = 600) -> list[list[str]]:
    draw = random.Random(5)
    records = []
    for _ in range(count):
        start = FIRST + draw.randrange(86_400_000)
        end = start + draw.randrange(100, 1000)
        records.append(
            [draw.choice(["Rome", "Oslo"]), str(start), str(end), str(end + 5) if draw.random() < 0.8 else ""]
        )
    return records


def train(place: Path, *arguments: str) -> Path:
    with open(place / "input.csv", "w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(table())
    run = place / "run"
    given = [
        "--input",
        str(place / "input.csv"),
        "--output",
        str(run),
        "--num-lines",
        "50",
        *READ,
        *NETWORK,
        *arguments,
    ]
    assert cli.run_command_line(["run", *given]) == 0
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    formats = ["--output-format", "text,jsonl,avro,parquet", "--condition-on", "start,end"]
    return train(tmp_path_factory.mktemp("differences"), "--epochs", "12", "--learning-rate", "0.01", *formats)


def rows(run: Path) -> list[list[str]]:
    lines = [line for p in sorted((run / "synthetic").glob("*.txt")) for line in p.read_text().split("\n")[:-1]]
    return list(csv.reader(lines))


def generate(run: Path, *arguments: object) -> int:
    return cli.run_command_line(["generate", "--output", str(run), "--overwrite", *map(str, arguments)])


def test_records_have_the_numbers_themselves_in_every_format(run: Path) -> None:
    found = rows(run)
    assert len(found) == 50
    near = [0 < int(end) - int(start) < 2000 for _, start, end, _ in found]
    assert sum(near) > 40  # what was learned: numbers of 13 digits that are near each other
    plain = [[town, int(start), int(end), int(paid) if paid else None] for town, start, end, paid in found]
    lines = [line for p in sorted((run / "synthetic").glob("*.jsonl")) for line in p.read_text().splitlines()]
    assert [list(json.loads(line).values()) for line in lines] == plain
    avro, parquet = [], []
    for path in sorted((run / "synthetic").glob("*.avro")):
        with open(path, "rb") as content:
            avro += [list(record.values()) for record in fastavro.reader(content)]
    for path in sorted((run / "synthetic").glob("*.parquet")):
        parquet += [list(record.values()) for record in pq.read_table(path).to_pylist()]
    assert avro == plain and parquet == plain


def test_types_are_those_of_the_numbers_and_limits_those_of_the_differences(run: Path) -> None:
    schema = json.loads((run / "model" / SCHEMA_FILE).read_text())
    assert {field["name"]: field["type"] for field in schema["fields"]}["end"] == "long"
    info, order = read_model_info(run), tokenizer_from_model_dir(run).token_format.order
    assert info.field_numbers is not None and order is not None
    limits = dict(zip(order.to_model(COLUMNS), info.field_numbers, strict=True))
    assert (limits["end"]["least"], limits["end"]["most"]) == ("100", "1000")
    assert info.condition_values is not None and info.condition_values[1] is None


def test_evaluation_reads_the_training_data_as_they_were(run: Path) -> None:
    sets = run_evaluation_sets(config_from_model_dir(run), RunDirectory(run))
    known = {"\n".join(record) for record in table()}
    units = [unit for unit in sets.units if unit.set_name != "synthetic"]
    texts = [text for unit in units for _, (_, batch) in read_set_unit(unit) for text in batch.to_pylist()]
    assert texts and set(texts) <= known


def test_a_condition_on_a_difference_names_its_base_too(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start, end = FIRST + 5000, FIRST + 5321
    assert generate(run, "--where", f"start={start},end={end}", "--num-lines", 20) == 0
    assert {(row[1], row[2]) for row in rows(run)} == {(str(start), str(end))}
    assert generate(run, "--where", f"start={start}", "--num-lines", 20) == 0
    assert {row[1] for row in rows(run)} == {str(start)}
    assert all(0 < int(row[2]) - start < 2000 for row in rows(run))
    capsys.readouterr()
    assert generate(run, "--where", f"end={end}", "--num-lines", 20) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "LS132" in error and "'end' is written as a difference from 'start'" in error


def test_start_strings_and_partial_records_keep_what_they_give(run: Path, tmp_path: Path) -> None:
    start, end = FIRST + 7000, FIRST + 7100
    assert generate(run, "--start-string", f"Oslo,{start},{end},", "--num-lines", 10) == 0
    assert {tuple(row[:3]) for row in rows(run)} == {("Oslo", str(start), str(end))}
    (tmp_path / "partial.csv").write_text(f"{','.join(COLUMNS)}\nRome,{start},,\nRome,{start},{end},\nRome,,{end},\n")
    assert generate(run, "--impute", tmp_path / "partial.csv") == 4  # the last row has an end without its start
    found = rows(run)
    assert [row[:2] for row in found] == [["Rome", str(start)]] * 2
    assert found[1][2] == str(end) and all(row[2] and row[3] for row in found)


def test_a_data_frame_names_differences_and_parents_by_its_columns() -> None:
    frame = pd.DataFrame({"start": [1000.5 + i for i in range(60)], "end": [1001.25 + i for i in range(60)]})
    small = {"epochs": 1, "rnn_units": 16, "embedding_dim": 8, "progress": False}
    model = linesmith.fit(frame, differences={"end": "start"}, parents={"end": []}, **small)
    assert model.sample(5).dtypes.tolist() == frame.dtypes.tolist()
    with pytest.raises(ParameterError, match="LS136: differences 'end=begin': 'begin' is not a column"):
        linesmith.fit(frame, differences={"end": "begin"}, **small)


def test_private_masks_know_how_differences_look(tmp_path: Path) -> None:
    private = ["--dp", "--dp-noise-multiplier", "0.4", "--dp-delta", "1e-3", "--epochs", "20", "--dp-batch-size", "60"]
    run = train(tmp_path, *private, "--seq-length", "64", "--learning-rate", "0.05", "--max-invalid", "100000")
    info = read_model_info(run)
    assert info.field_count == 4 and info.field_patterns is not None and info.top_p == 0.98
    settings = json.loads((run / "synthetic" / "manifest.json").read_text())["settings"]
    assert settings["gen_top_p"] == 0.98
    usual = [None if pattern is None else usual_automaton(pattern) for pattern in info.field_patterns]
    assert usual[2] is not None or usual[3] is not None
    form = tokenizer_from_model_dir(str(run)).token_format.form
    for row in rows(run):
        # The model may write +007, which is +7 again where a record is made of it.
        for automaton, text in zip(usual, form.to_model(row), strict=True):
            spellings = [re.sub("^([+-]?)", rf"\g<1>{'0' * zeros}", text) for zeros in range(16)]
            assert automaton is None or any(automaton.accepts_text(one.encode()) for one in spellings)
    text = (run / "model" / "privacy.json").read_text()
    assert json.loads(text)["epsilon"] > 0


def test_plan_shows_differences_and_tokenize_says_where_they_are_not_written(tmp_path: Path, capsys) -> None:
    draw = random.Random(1)
    lines = [f"{draw.randrange(90) / 10:.2f},{draw.randrange(90) / 10:.2f}\n" for _ in range(200)]
    (tmp_path / "input.csv").write_text("".join(lines))
    read = ["--input", str(tmp_path / "input.csv"), "--field-delimiter", ",", "--columns", "a,b", "--differences"]
    assert cli.run_command_line(["plan", *read, "b=a", "--output", str(tmp_path / "run")]) == 0
    assert "b: from a" in " ".join(capsys.readouterr().out.split())
    for number, (given, is_noted) in enumerate((("b=a", True), ("b=a:2", False))):
        assert cli.run_command_line(["tokenize", *read, given, "--output", str(tmp_path / f"run{number}")]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert ("of the numbers of 'b' are not written as differences" in shown) == is_noted


def test_a_base_that_comes_later_is_refused_before_anything_is_written(tmp_path: Path, capsys) -> None:
    (tmp_path / "input.csv").write_text("a,1,2,3\n" * 30)
    given = ["--field-delimiter", ",", "--columns", ",".join(COLUMNS), "--differences", "start=end", *NETWORK]
    arguments = ["run", "--input", str(tmp_path / "input.csv"), "--output", str(tmp_path / "run"), *given]
    assert cli.run_command_line(arguments) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "LS136: --differences 'start=end'" in error and "'end' does not come before 'start'" in error
    assert not (tmp_path / "run" / "training_data").exists()
