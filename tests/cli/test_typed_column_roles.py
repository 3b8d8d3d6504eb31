"""The whole workflow over invented people in files with types: no key and no address of the source is left anywhere."""

from __future__ import annotations

import csv
import json
import random
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linesmith.cli import app as cli
from linesmith.model.tokenizers import tokenizer_from_model_dir
from tests.cli.test_column_roles import SMALL, TOWNS, training_texts
from tests.helpers.run_bytes import holds

pytestmark = pytest.mark.integration

MAIL = "fake:email" if find_spec("faker") else "constant:none@fake.example"
FIRST_NUMBER = 10**12  # of the keys, so that no file holds one by chance
SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), False),
        ("code", pa.string()),
        pa.field(
            "person",
            pa.struct([("mail", pa.dictionary(pa.int32(), pa.string())), ("name", pa.string()), ("town", pa.string())]),
        ),
        ("plan", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("source", pa.string()),
        ("club", pa.int16()),
        ("born", pa.date32()),
    ]
)


def people(count: int) -> list[dict[str, Any]]:
    draw = random.Random(5)
    rows = []
    for number in draw.sample(range(10**6), count):
        person = {
            "mail": f"q{number}.zzyx@invented.example",
            "name": f"Xaver Qwyx{number}",
            "town": draw.choice(TOWNS),
        }
        rows.append(
            {
                "id": FIRST_NUMBER + number,
                "code": f"MB-{number:06d}",
                "person": person if number % 5 else None,
                "plan": draw.choice(["basic", "pro"]),
                "tags": [f"tag zzyx{number}"],
                "source": "batch",
                "club": number % 9,
                "born": f"19{number % 80 + 10}-02-03",
            }
        )
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".parquet":
        from datetime import date

        typed = [{**row, "born": date.fromisoformat(row["born"])} for row in rows]
        pq.write_table(pa.Table.from_pylist(typed, SCHEMA), path, row_group_size=100)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"code": "MB-777777", "id": zzyx\n')
    else:
        with open(path, "w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(rows[0])
            lines.writerows([*map(dict.values, rows), ["MB-777777", "short.zzyx@invented.example"]])


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of CSV of a person."""
    person = row["person"] or {"mail": f"none{row['id']}.zzyx@invented.example", "name": "Qwyx", "town": "Rome"}
    return {"id": row["id"], "code": row["code"], **person, "plan": row["plan"], "note": f"zzyx\n{row['id']}"}


def source_secrets(rows: list[dict[str, Any]]) -> list[str]:
    """Return texts that only columns with a role hold."""
    found = ["zzyx", "Qwyx", "invented.ex"]
    return found + [text for row in rows for text in (str(row["id"]), row["code"])]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["people.parquet", "people.jsonl"])
def test_no_key_and_no_address_is_left(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    rows = people(300)
    write(tmp_path / name, rows)
    clubs = pa.table({"c": pa.StructArray.from_arrays([pa.array([11, 12], pa.int64())], ["number"])})
    pq.write_table(clubs, tmp_path / "clubs.parquet")
    reference = f"club=ref:{tmp_path}/clubs.parquet#c.number"
    roles = f"id=key,code=key,person.mail={MAIL},person.name=constant:Jo,tags=drop,source=constant:web,born=drop,{reference}"
    run = tmp_path / "run"
    common = ["--input", str(tmp_path / name), "--output", str(run)]
    assert cli.run_command_line(["plan", *common, "--refuse-pii"]) == 2
    error = capfd.readouterr().err
    assert "LS251" in error and "person.mail=fake:email" in error and "--columns" not in error
    assert cli.run_command_line(["run", *common, *SMALL, "--refuse-pii", "--column-role", roles]) in (0, 4)
    shown = capfd.readouterr()
    secrets = source_secrets(rows)
    assert holds(run, secrets) == []
    assert not [secret for secret in secrets if secret in shown.out + shown.err]
    texts = training_texts(run)
    assert texts and all(re.fullmatch(r"(|\{\}\n)(Rome|Oslo|Lima|)\n(basic|pro)", text) for text in texts)
    assert tokenizer_from_model_dir(run).total_vocab_size < 25
    records = written(run, Path(name).suffix)
    assert list(records[0]) == ["id", "code", "person", "plan", "source", "club"]
    for key in ("id", "code"):
        assert len({record[key] for record in records}) == len(records) > 30
    assert all(type(record["id"]) is int and len(str(record["id"])) == 13 for record in records)
    assert all(re.fullmatch("[A-Z]{2}-[0-9]{6}", record["code"]) for record in records)
    assert {record["club"] for record in records} == {11, 12}
    there = [record["person"] for record in records if record["person"] is not None]
    assert 0 < len(there) < len(records)
    assert all(person["name"] == "Jo" and "@" in person["mail"] for person in there)
    if name.endswith(".parquet"):
        kept = pa.schema([field for field in SCHEMA if field.name not in ("tags", "born")])
        assert all(pq.read_schema(path).equals(kept) for path in (run / "synthetic").glob("part-*"))
    report = json.loads((run / "report" / "report.json").read_text())
    assert [field["name"] for field in report["schema"]] == ["person.town", "plan"]
    assert any("not compared" in sentence and "id (key)" in sentence for sentence in report["not_covered"])
    before = {path.name: path.read_bytes() for path in (run / "synthetic").glob("part-*")}
    again = ["generate", "--output", str(run), "--num-lines", "40", "--overwrite"]
    assert cli.run_command_line(again) == 2
    assert "LS128" in capfd.readouterr().err
    assert cli.run_command_line([*again, "--column-role", reference]) in (0, 4)
    assert {path.name: path.read_bytes() for path in (run / "synthetic").glob("part-*")} == before
    # Of a pattern with two more keys than the source has, the avoiding run gets these two.
    low = min(row["id"] for row in rows)
    narrow = f"{reference},id=key:{low}..{low + 1}"
    avoiding = [*again[:-2], "1", "--overwrite", "--input", str(tmp_path / name), "--avoid-source-keys"]
    assert cli.run_command_line([*avoiding, "--column-role", narrow]) in (0, 4), capfd.readouterr().err
    assert [record["id"] for record in written(run, Path(name).suffix)] == [low + 1]
    assert "avoid" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_key_and_no_address_is_left_of_csv_with_line_ends(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = list(map(flat, people(200)))
    write(tmp_path / "people.csv", rows)
    run = tmp_path / "run"
    common = ["--input", str(tmp_path / "people.csv"), "--output", str(run), "--input-format", "csv"]
    roles = f"id=key,code=key,mail={MAIL},name=constant:Jo,note=drop"
    assert cli.run_command_line(["run", *common, *SMALL, "--refuse-pii", "--column-role", roles]) in (0, 4)
    shown = capfd.readouterr()
    secrets = source_secrets(rows)
    assert holds(run, secrets) == []
    assert not [secret for secret in secrets if secret in shown.out + shown.err]
    assert all(re.fullmatch("(Rome|Oslo|Lima)\n(basic|pro)", text) for text in training_texts(run))
    records = [row for path in (run / "synthetic").glob("*.csv") for row in csv.DictReader(path.open(newline=""))]
    assert list(records[0]) == ["id", "code", "mail", "name", "town", "plan"]
    assert len({record["id"] for record in records}) == len(records) > 30


def written(run: Path, suffix: str) -> list[dict[str, Any]]:
    """Return the records of a run."""
    paths = sorted((run / "synthetic").glob(f"part-*{suffix}"))
    if suffix == ".jsonl":
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return [row for path in paths for row in pq.read_table(path).to_pylist()]
