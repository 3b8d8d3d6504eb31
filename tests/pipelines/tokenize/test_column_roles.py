"""Columns with a role never reach what tokenize writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, LinesmithError, ParameterError
from linesmith.pipelines.tokenize import stage
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.records.roles.stored_roles import read_roles
from tests.helpers.run_bytes import holds

pytestmark = pytest.mark.integration

HEADER = "id,mail,town,amount\n"
TOWNS = ("Rome", "Oslo", "Lima")


def people(start: int, count: int) -> str:
    return "".join(
        f'"ZQ-{number:04d}",person{number}@invented.example,{TOWNS[number % 3]},{number % 17}\n'
        for number in range(start, start + count)
    )


def settings(tmp_path: Path, text: str, **more: object) -> TensorFlowConfig:
    (tmp_path / "in").mkdir(exist_ok=True)
    (tmp_path / "in" / "a.csv").write_text(text)
    given = {"field_delimiter": ",", "quoted": True, "header": True, "column_role": "id=key,mail=drop"}
    return TensorFlowConfig(
        input_data_path=str(tmp_path / "in" / "*.csv"), checkpoint_dir=tmp_path / "run", **{**given, **more}
    )


def test_nothing_that_is_written_holds_a_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = settings(tmp_path, HEADER + people(0, 90) + "ZQ-9998,short@invented.example\nZQ-9999,\xe9\n")
    (tmp_path / "in" / "b.csv").write_text(HEADER + people(90, 60))
    report = tokenize(config)
    run = tmp_path / "run"
    assert report.counts["accepted"] == 150 and report.counts["rejected (field_count)"] == 2
    manifest = json.loads((run / "training_data" / "manifest.json").read_text())
    assert manifest["columns"] == ["town", "amount"] and manifest["field_count"] == 2
    stored = read_roles(run / "training_data")
    assert stored is not None
    assert stored.roles == {"id": "key", "mail": "drop"}
    assert stored.patterns["id"].text(1234567) == "ET-4567"
    rejects = [json.loads(line) for path in (run / "rejects").glob("*.jsonl") for line in path.read_text().splitlines()]
    assert [sorted(reject) for reject in rejects] == [["bytes", "file", "line", "offset", "reason"]] * 2
    values = [f"ZQ-{number:04d}" for number in (*range(150), 9998, 9999)]
    values += [f"person{number}@" for number in range(150)] + ["invented.example"]
    assert holds(run, values) == []
    assert holds(run, ["town", "amount"]) != []  # the search itself finds what is there
    assert not any(value in record.getMessage() for record in caplog.records for value in values)
    statistics = json.loads((run / "training_data" / "statistics.json").read_text())
    assert statistics["columns"] == ["town", "amount"]


@pytest.mark.parametrize(
    ("text", "roles", "found"),
    [
        (HEADER + people(0, 40) + people(0, 1), "id=key", "LS250.*values of column 'id' repeat: 41 records have 40"),
        (HEADER + people(0, 40), "town=key", "LS250.*values of column 'town' repeat"),
        (HEADER + people(0, 40), "town=key:AA-00000", "LS250.*values of column 'town' repeat"),
        (HEADER + people(0, 40) + "é\t,a@b.example,Rome,1\n", "id=key", "LS250.*no pattern"),
        (HEADER + people(0, 40), "nope=drop", "LS140.*'nope' is not a column. There are: id, mail, town, amount"),
        (HEADER + people(0, 40), "id=drop,mail=drop,town=drop,amount=drop", "LS140.*no column is left"),
        (HEADER + people(0, 40), "town=ref:nowhere.csv#a", "LS140.*no such file"),
        ("id,id,town\n1,2,Rome\n", "id=drop", "LS140.*the name of 2 columns"),
    ],
)  # fmt: skip
def test_roles_that_cannot_be(tmp_path: Path, text: str, roles: str, found: str) -> None:
    with pytest.raises(LinesmithError, match=found) as raised:
        tokenize(settings(tmp_path, text, column_role=roles))
    message = str(raised.value)
    assert raised.value.exit_code == 2 and len(message.splitlines()) == 1
    assert "ZQ-" not in message and "@" not in message
    assert not (tmp_path / "run" / "training_data").exists()


def test_a_file_with_columns_in_another_order_is_refused(tmp_path: Path) -> None:
    config = settings(tmp_path, HEADER + people(0, 30))
    (tmp_path / "in" / "b.csv").write_text("mail,id,town,amount\na@invented.example,ZQ-1234,Rome,1\n")
    with pytest.raises(DataError, match=r"LS230.*'.*b.csv' is not that of"):
        tokenize(config)


@pytest.mark.slow
def test_columns_that_look_like_personal_data_are_named_or_refused(tmp_path: Path) -> None:
    text = HEADER + people(0, 60)
    with pytest.raises(
        DataError, match=r"LS251.*column 'id'.*column 'mail' looks like e-mail.*id=key,mail=fake:email"
    ) as raised:
        tokenize(settings(tmp_path, text, column_role=None, refuse_pii=True))
    assert "ZQ-" not in str(raised.value) and "@" not in str(raised.value)
    with pytest.raises(DataError, match="LS251") as raised:
        tokenize(settings(tmp_path, text, column_role="id=key", refuse_pii=True))
    assert "'id'" not in str(raised.value)
    report = tokenize(settings(tmp_path, text, column_role="id=key,mail=learn", refuse_pii=True))  # a decision, too
    assert not any("looks like" in notice for notice in report.notices)
    report = tokenize(settings(tmp_path, text, column_role="id=key", overwrite=True))
    assert [n for n in report.notices if "looks like" in n] == [
        "column 'mail' looks like e-mail addresses; --column-role mail=fake:email would fit"
    ]
    manifest = json.loads((tmp_path / "run" / "training_data" / "manifest.json").read_text())
    assert manifest["personal_data"] == [{"column": "mail", "looks_like": "e-mail addresses", "role": "fake:email"}]


def test_with_dp_names_alone_are_judged_and_no_column_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a record was looked at")

    monkeypatch.setattr("linesmith.pipelines.tokenize.personal_data._sample", refuse)
    private = {"dp": True, "columns": ["id", "mail", "town", "amount"], "quoted": True}
    with pytest.raises(DataError, match=r"LS251.*column 'mail' looks like e-mail addresses \(by its name\)"):
        tokenize(settings(tmp_path, HEADER + people(0, 60), column_role="id=key:AA-0000", refuse_pii=True, **private))
    monkeypatch.setattr("linesmith.transforms.survey_keys.survey_keys", refuse)
    # A value that occurs twice is not told of.
    tokenize(
        settings(tmp_path, HEADER + people(0, 60) + people(0, 1), column_role="id=key:AA-0000,mail=drop", **private)
    )
    run = tmp_path / "run"
    assert holds(run, ["person1", "ZQ-"]) == []
    assert read_roles(next(run.rglob("training_data"))).roles["id"] == "key:AA-0000"  # type: ignore[union-attr]
    assert stage.is_current(
        settings(tmp_path, HEADER + people(0, 60) + people(0, 1), column_role="id=key:AA-0000,mail=drop", **private)
    )


def test_a_private_run_refuses_to_learn_a_pattern(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="LS301"):
        tokenize(settings(tmp_path, HEADER + people(0, 60), dp=True, columns=["id", "mail", "town", "amount"]))
    assert not (tmp_path / "run").exists()
