"""Fit, sample, stream, score, save and load, from Python: one small model of a data frame, and one of lines."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import linesmith
from linesmith import DataError, LinesmithError, ParameterError
from linesmith.api.frames import build_table, row_texts
from linesmith.api.loading import load
from tests.helpers.tables import fourteen_kinds

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TINY = {
    "rnn_units": 16,
    "embedding_dim": 8,
    "batch_size": 16,
    "learning_rate": 0.02,
    "report": False,
    "progress": False,
}
LINES = [f"{number % 10},{'red' if number % 2 else 'blue'}" for number in range(120)]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return fourteen_kinds(300)


@pytest.fixture(scope="module")
def model(data: pd.DataFrame) -> linesmith.Model:
    return linesmith.fit(data, epochs=14, condition_on=["kind"], **TINY)


@pytest.fixture(scope="module")
def lines_model() -> linesmith.Model:
    return linesmith.fit(iter(LINES), field_delimiter=",", epochs=6, **TINY)


def test_fourteen_kinds_of_columns_are_sampled_with_their_types(model, data):
    found = model.sample(30)
    assert len(found) == 30 and list(found.columns) == list(data.columns)
    assert (found.dtypes == data.dtypes).all()
    assert found["nothing"].isna().all() and (found["constant"] == "k").all()
    assert found["id"].notna().all() and found["count"].between(0, 99).all()
    pd.testing.assert_frame_equal(found.head(7), model.sample(7))
    assert not found.equals(model.sample(30, seed=5))


def test_no_records_are_a_table_with_the_types(model, data):
    assert len(model.sample(0)) == 0 and (model.sample(0).dtypes == data.dtypes).all()


def test_a_stream_goes_on_from_any_record(model):
    first = list(itertools.islice(model.stream(), 6))
    assert list(itertools.islice(model.stream(2), 4)) == first[2:]
    assert [row["id"] for row in first] == list(model.sample(6)["id"])


def test_a_condition_holds_in_every_record(model):
    assert (model.sample(5, where={"kind": "b"})["kind"] == "b").all()
    assert model.sample(3, where={"kind": None})["kind"].isna().all()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n": -1}, "LS101: n -1"),
        ({"n": 10**20}, "LS101.*stream"),
        ({"n": 1.5}, "LS101"),
        ({"n": True}, "LS101"),
        ({"where": {"unknown": 1}}, "LS132.*'unknown'.*no such column"),
        ({"where": {"count": 1}}, "LS132.*'count'"),
        ({"where": {"kind": "zz"}}, "LS132.*'kind'"),
        ({"where": "kind=b"}, "LS132"),
        ({"epochs": 3}, "LS105: epochs"),
        ({"gen_tmp": 3}, "gen_temp"),
        ({"gen_temp": -1}, "LS101.*gen_temp"),
    ],
)
def test_what_cannot_be_sampled_is_one_error(model, arguments, match):
    with pytest.raises(LinesmithError, match=match):
        model.sample(**arguments)


def test_likely_records_have_a_higher_score(model, data):
    strange = data.head(3).assign(constant=["kkkk"] * 3)
    assert (model.score(data.head(3)) > model.score(strange)).all()
    assert model.score(data.head(1).assign(note="ж"))[0] == -np.inf
    assert model.score(data.head(0)).shape == (0,)


@pytest.mark.parametrize("name", ["kept", "kept.tar.gz"])
def test_a_saved_model_is_loaded_with_its_types_and_without_data(model, tmp_path, name):
    place = model.save(tmp_path / name)
    found = linesmith.load(place)
    pd.testing.assert_frame_equal(found.sample(5), model.sample(5))
    assert not (found.directory / "training_data").exists()
    with pytest.raises(DataError, match="LS201"):
        found.evaluate()


def test_the_same_texts_are_a_table_of_another_library(model, data):
    table = dataclasses.replace(model._table, frame="arrow")
    columns = {name: build_table(model._table, [], "arrow").column(name) for name in data.columns}
    assert list(row_texts(table, columns)) == []


def test_the_command_line_generates_from_a_model_of_a_table(model, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(model.directory, run)
    command = [sys.executable, "-P", "-m", "linesmith", "generate", "--output", str(run), "--num-lines", "4"]
    subprocess.run(command, check=True, capture_output=True)
    (text,) = (run / "synthetic").glob("*.txt")
    header, *rows = text.read_text("utf-8").splitlines()
    assert header.startswith("id,count,") and len(rows) == 4
    pd.testing.assert_frame_equal(build_table(model._table, rows), model.sample(4))


def test_lines_come_back_as_lines(lines_model):
    found = lines_model.sample(20)
    assert len(found) == 20 and all(line.count(",") == 1 for line in found)
    assert list(itertools.islice(lines_model.stream(3), 4)) == found[3:7]
    assert lines_model.score(["1,red"])[0] > lines_model.score(["1,red,red,red"])[0]
    assert lines_model.columns is None and lines_model.privacy is None


def test_a_path_is_read_where_it_is(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("n,color\n" + "\n".join(LINES) + "\n")
    output = tmp_path / "run"
    settings = {**TINY, "field_delimiter": ",", "header": True, "condition_on": "color", "epochs": 3}
    model = linesmith.fit(path, output=output, **settings)
    assert model.directory == output and model.columns == ["n", "color"]
    assert all(line.endswith(",red") for line in model.sample(5, where={"color": "red"}))
    assert linesmith.load(output).sample(3) == model.sample(3)
    with pytest.raises(DataError, match="LS204"):
        linesmith.fit(path, output=output, **settings)


def test_a_private_table_has_a_statement_and_keeps_its_types(data, tmp_path):
    few = data[["count", "yes", "day"]]
    private = {"dp": True, "dp_target_epsilon": 8, "dp_batch_size": 64}
    model = linesmith.fit(few, epochs=2, rnn_units=8, embedding_dim=4, output=tmp_path, progress=False, **private)
    assert model.privacy["epsilon"] <= 8
    assert json.loads((tmp_path / "model" / "table.json").read_text())["columns"][0]["name"] == "count"
    assert len(model.score(few.head(2))) == 2
    archive = model.save(tmp_path / "private.tar.gz")
    assert load(archive).privacy == model.privacy


def test_a_temporary_run_directory_lives_as_long_as_its_model():
    model = linesmith.fit(LINES[:40], epochs=1, vocab_size=0, **TINY)
    directory = model.directory
    assert (directory / "model").is_dir()
    del model
    assert not directory.exists()


def test_progress_is_logged_or_not(caplog):
    settings = {**TINY, "epochs": 1, "vocab_size": 0}
    with caplog.at_level("INFO", "linesmith"):
        linesmith.fit(LINES[:40], **settings)
        assert "epoch 0" not in caplog.text
        linesmith.fit(LINES[:40], **{**settings, "progress": True})
    assert "epoch 0" in caplog.text


SCRIPT = """
import sys
import linesmith
assert not {"tensorflow", "apache_beam", "pandas"} & set(sys.modules)
model = linesmith.fit([f"{n},x" for n in range(60)], field_delimiter=",", epochs=2, rnn_units=8, embedding_dim=4,
                      batch_size=8, progress=False)
print(len(model.sample(3)), len(model.sample(300, parallelism=2)))
"""


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "model.py").write_text("raise RuntimeError('a file of the user was imported')")
    done = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "3 300\n", done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_a_foreign_place_is_no_model(tmp_path, name):
    place = tmp_path / name
    if name == "empty":
        place.mkdir()
    if name == "file":
        place.write_text("no archive")
    with pytest.raises((DataError, ParameterError), match=r"LS201|LS210"):
        linesmith.load(place)


def test_a_damaged_description_of_the_columns_is_refused(model, tmp_path):
    place = Path(model.save(tmp_path / "kept"))
    table = place / "model" / "table.json"
    described = json.loads(table.read_text())
    table.write_text(json.dumps({**described, "columns": described["columns"][:3]}))
    with pytest.raises(DataError, match="LS214"):
        linesmith.load(place).sample(1)
    table.write_text(json.dumps({**described, "columns": [{"name": "a", "kind": "x"}]}))
    with pytest.raises(DataError, match="LS214"):
        linesmith.load(place)


def test_evaluate_returns_a_report_and_leaves_the_run_as_it_is(model, data, tmp_path):
    before = sorted(model.directory.rglob("*"))
    report = model.evaluate(n=150)
    assert 0 <= report.closeness <= 1 and set(report.verdict) == {"closeness", "privacy"}
    assert report._repr_html_().startswith("<iframe") and "closeness" in repr(report)
    page = report.save(tmp_path / "r" / "report.html")
    assert "<html" in page.read_text() and page.with_suffix(".json").is_file()
    assert sorted(model.directory.rglob("*")) == before
    unseen = fourteen_kinds(400).tail(100)
    assert model.evaluate(unseen, n=100).figures["sets"]["holdout"]["records"] == 100
