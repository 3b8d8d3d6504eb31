"""Conditions through the command line and from Python, on a model with random weights: what is given holds in every record."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import fastavro
import pyarrow.parquet as pq
import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.core.artifacts.archive import write_archive
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.errors import ParameterError, ShortfallError
from linesmith.model.generation.python_api import generate_text
from tests.helpers.conditioned_run import COLUMNS, conditioned_run

pytestmark = pytest.mark.integration

FORMATS = "text,jsonl,avro,parquet"


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch):
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conditioned_run(tmp_path_factory.mktemp("conditioned"))


def generate(run: Path, *arguments: object) -> int:
    return cli.run_command_line(["generate", "--output", str(run), "--overwrite", *map(str, arguments)])


def rows(run: Path) -> list[dict[str, str]]:
    lines = [line for p in sorted((run / "synthetic").glob("*.txt")) for line in p.read_text().split("\n")[:-1]]
    return [dict(zip(COLUMNS, row, strict=True)) for row in csv.reader(lines)]


def invalid(run: Path) -> list[dict]:
    found = []
    for path in sorted((run / "invalid").glob("*.avro")):
        with open(path, "rb") as content:
            found += fastavro.reader(content)
    return found


def typed(run: Path) -> list[list[dict]]:
    """Return the records of each typed format."""
    folder = run / "synthetic"
    found = [[json.loads(line) for p in sorted(folder.glob("*.jsonl")) for line in p.read_text().splitlines()], [], []]
    for path in sorted(folder.glob("*.avro")):
        with open(path, "rb") as content:
            found[1] += fastavro.reader(content)
    for path in sorted(folder.glob("*.parquet")):
        found[2] += pq.read_table(path).to_pylist()
    return found


def test_a_condition_holds_in_every_record_and_format(run, capsys):
    assert generate(run, "--where", 'country="a,b",height=20', "--num-lines", 40, "--output-format", FORMATS) == 0
    found = rows(run)
    assert len(found) == 40
    assert {(row["country"], row["height"]) for row in found} == {("a,b", "20")}
    assert len({row["town"] for row in found}) > 5
    for records in typed(run):
        assert [list(record) for record in records] == [COLUMNS] * 40
        plain = [{k: "" if v is None else str(v) for k, v in record.items()} for record in records]
        assert plain == [{**row, "id": str(int(row["id"]))} for row in found]
    assert "never had" not in capsys.readouterr().out


def test_the_second_column_alone_is_forced_where_it_stands(run):
    assert generate(run, "--where", "height=", "--num-lines", 20) == 0
    assert {row["height"] for row in rows(run)} == {""}


def test_a_file_gives_one_record_a_row_and_those_that_cannot_be_keep_their_place(run, tmp_path, capsys):
    given = [["IT", "1"], ["FR", ""], ["IT", "x"], ["", "20"], ["F\nR", ""], ["", ""], ["R", "7"]] * 5
    with open(tmp_path / "w.csv", "w", newline="") as out:
        csv.writer(out).writerows([["country", "height"], *given])
    assert generate(run, "--where-file", tmp_path / "w.csv", "--unit-size", 4, "--output-format", FORMATS) == 4
    bad = [number for number, (country, height) in enumerate(given) if "\n" in country or height == "x"]
    good = [number for number in range(35) if number not in bad]
    assert [[row["index"], row["reason"]] for row in invalid(run)] == [
        [number, "schema:height:long" if given[number][1] == "x" else "condition:country:field"] for number in bad
    ]
    for row, number in zip(rows(run), good, strict=True):
        assert all(want in ("", row[name]) for name, want in zip(("country", "height"), given[number], strict=True))
    for records in typed(run):
        assert [record["seed_id"] for record in records] == good
        assert records[0]["start_string"] == "country=IT,height=1"
    notes = " ".join(capsys.readouterr().out.split())
    assert "column 'country': the training data never had the value given in 5 records; used as given" in notes
    assert "column 'height': the training data never had the value given in 5 records" in notes
    before = rows(run)
    assert generate(run, "--where-file", tmp_path / "w.csv", "--unit-size", 100) == 4
    assert rows(run) == before


def test_records_of_several_files_and_copies_of_each(run, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"country": "IT"}\n{"country": "FR", "height": null}\n')
    (tmp_path / "b.jsonl").write_text('{"height": 20}\n')
    assert generate(run, "--where-file", tmp_path / "*.jsonl", "--records-per-seed", 3) == 0
    found = rows(run)
    assert [row["country"] for row in found[:6]] == ["IT"] * 3 + ["FR"] * 3
    assert [row["height"] for row in found[6:]] == ["20"] * 3


def test_balance_gives_each_value_in_turn(run):
    assert generate(run, "--balance", "country", "--num-lines", 31, "--unit-size", 7) == 0
    assert [row["country"] for row in rows(run)] == (["FR", "IT", "a,b"] * 11)[:31]
    assert generate(run, "--balance", "country", "--where", "height=1", "--num-lines", 6) == 0
    assert [(row["country"], row["height"]) for row in rows(run)] == [("FR", "1"), ("IT", "1"), ("a,b", "1")] * 2


def test_impute_fills_what_is_empty_and_keeps_the_rest(run, tmp_path):
    given = [
        ["7", "eden", "", "20"],
        ["", "", "IT", ""],
        ["3", "no", "FR", "1"],
        ["", "a,b", "", "5"],
        ["1", "ü", "", ""],
    ]
    with open(tmp_path / "i.csv", "w", newline="") as out:
        csv.writer(out).writerows([COLUMNS, *given])
    assert generate(run, "--impute", tmp_path / "i.csv", "--output-format", "text,parquet") == 4
    found = [[row[name] for name in COLUMNS] for row in rows(run)]
    assert found[2] == given[2]
    for kept, filled in zip(given, found, strict=False):
        assert all(filled)
        assert all(want in ("", value) for want, value in zip(kept, filled, strict=True))
    assert [row["reason"] for row in invalid(run)] == ["condition:town:unknown"]
    assert generate(run, "--impute", tmp_path / "i.csv", "--unit-size", 1) == 4
    assert [[row[name] for name in COLUMNS] for row in rows(run)] == found


def test_a_record_that_is_whole_is_tried_once(run, tmp_path):
    (tmp_path / "i.csv").write_text("id,town,country,height\n7,eden,IT,20\n7,no,IT,20\n")
    rules = '[{"field": "town", "enum": ["no"]}]'
    assert generate(run, "--impute", tmp_path / "i.csv", "--validation-rules", rules) == 4
    assert [row["town"] for row in rows(run)] == ["no"]
    assert len(invalid(run)) == 1
    manifest = json.loads((run / "synthetic" / "manifest.json").read_text())
    assert manifest["counts"]["attempts"] == 2


def test_impute_needs_no_condition_on(tmp_path):
    plain = conditioned_run(tmp_path / "plain", condition_on=None)
    (tmp_path / "i.csv").write_text("town,height\nno,20\n,1\n")
    assert generate(plain, "--impute", tmp_path / "i.csv") == 0
    found = rows(plain)
    assert [row["height"] for row in found] == ["20", "1"]
    assert found[0]["town"] == "no"
    assert all(value for row in found for value in row.values())
    assert generate(plain, "--where", "country=IT") == 2


def test_start_strings_are_fields_of_the_text(run):
    assert generate(run, "--start-string", '7,"a,b",', "--num-lines", 10) == 0
    assert {(row["id"], row["town"]) for row in rows(run)} == {("7", "a,b")}


def test_rules_and_validators_see_the_columns_in_their_order(run, tmp_path):
    (tmp_path / "v.py").write_text("def f(text):\n    return text.split(',')[2] == 'IT'\n")
    arguments = ("--where", "country=IT", "--line-validator", f"{tmp_path / 'v.py'}:f", "--validator-timeout", 0)
    rules = '[{"field": "country", "enum": ["IT"]}, {"field": 2, "enum": ["IT"]}, {"field": "town", "length": [0, 9]}]'
    assert generate(run, *arguments, "--num-lines", 10, "--validation-rules", rules) in (0, 4)
    assert len(rows(run)) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--where", "town=no"],
            "--where 'town=no': 'town' was not given first in training. It can be asked for country, height.",
        ),
        (["--where", "foo=1"], "'foo' is not a column of the model"),
        (["--balance", "town"], "--balance 'town': 'town' was not given first"),
        (
            ["--where", "country=DE", "--strict-conditions"],
            "column 'country' never had the value 'DE' in the training data",
        ),
        (["--where", "height=x", "--output-format", "parquet"], "contradicts the schema (schema:height:long)"),
        (["--where", "country"], "is not of the form COLUMN=VALUE"),
        (["--where", "country=IT", "--start-string", "7,"], "--start-string and --where exclude each other"),
        (["--where", "country=IT", "--gen-chars", 9], "--gen-chars"),
        (["--where-file", "FILE"], "none of its columns can be given. The columns that can are country, height."),
        (["--where-file", "EMPTY"], "it holds no record"),
        (["--impute", "EMPTY"], "it holds no record"),
        (["--where-file", "missing.csv"], "no such file"),
        (["--condition-on", "town"], "LS105"),
    ],
)
def test_what_cannot_be_asked_for(run, tmp_path, capsys, arguments, message):
    (tmp_path / "i.csv").write_text("id\n7\n")
    (tmp_path / "empty.csv").write_text("country\n")
    files = {"FILE": tmp_path / "i.csv", "EMPTY": tmp_path / "empty.csv"}
    assert generate(run, *[files.get(argument, argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_strict_conditions_say_what_cannot_be_checked(tmp_path, capsys):
    # As a private model: it knows its columns, and no values.
    run = conditioned_run(tmp_path / "run")
    info = json.loads((run / "model" / "model.json").read_text())
    (run / "model" / "model.json").write_text(json.dumps({**info, "condition_values": None}))
    assert generate(run, "--where", "country=RR", "--strict-conditions", "--num-lines", 2) == 0
    assert "cannot be checked for 'country'" in capsys.readouterr().out
    assert generate(run, "--balance", "country") == 2
    assert "the values of column 'country' are not known" in capsys.readouterr().err
    schema = {"type": "record", "name": "R", "fields": [
        {"name": "id", "type": "long"}, {"name": "town", "type": "string"},
        {"name": "country", "type": {"type": "enum", "name": "C", "symbols": ["IT", "FR"]}},
        {"name": "height", "type": ["null", "long"]}]}  # fmt: skip
    (tmp_path / "s.avsc").write_text(json.dumps(schema))
    assert generate(run, "--balance", "country", "--schema-file", tmp_path / "s.avsc", "--num-lines", 4) == 0
    assert [row["country"] for row in rows(run)] == ["IT", "FR"] * 2
    assert generate(run, "--where", "country=RR", "--schema-file", tmp_path / "s.avsc") == 2
    assert "contradicts the schema (schema:country:enum)" in capsys.readouterr().err


def test_an_archive_knows_the_order(run, tmp_path):
    write_archive(run, tmp_path / "m.tar.gz")
    other = tmp_path / "other"
    assert generate(other, "--model", tmp_path / "m.tar.gz", "--where", "country=IT", "--num-lines", 8) == 0
    assert {row["country"] for row in rows(other)} == {"IT"}
    assert generate(run, "--where", "country=IT", "--num-lines", 8) == 0
    assert rows(other) == rows(run)


@pytest.mark.slow
def test_python_gives_the_records_of_the_stage(run, tmp_path):
    (tmp_path / "w.csv").write_text("country,height\nIT,1\nFR,\n,20\nFR,x\n")
    config = config_from_model_dir(run)
    for settings, arguments, count in (
        ({"where": {"height": "20"}}, ["--where", "height=20"], 12),
        ({"balance": "country"}, ["--balance", "country"], 7),
        ({"where_file": tmp_path / "w.csv"}, ["--where-file", tmp_path / "w.csv"], 4),
    ):
        code = generate(run, *arguments, "--num-lines", count)
        texts = []
        try:
            for found in generate_text(config.replace(**settings), num_lines=count, parallelism=1):
                texts += [found.text] if found.valid else []
        except ShortfallError:
            assert code == 4
        else:
            assert code == 0
        assert [dict(zip(COLUMNS, row, strict=True)) for row in csv.reader(texts)] == rows(run)
    with pytest.raises(ParameterError, match="LS132"):
        generate_text(config.replace(where={"town": "no"}))
    with pytest.raises(ParameterError, match="LS101"):
        config.replace(gen_chars=5)
    (tmp_path / "w.csv").write_text('country\n"a\nb"\nIT\n')
    found = generate_text(config.replace(where_file=tmp_path / "w.csv"), parallelism=1)
    assert [next(found).valid, next(found).valid] == [False, True]
    with pytest.raises(ShortfallError, match="LS502"):
        next(found)
