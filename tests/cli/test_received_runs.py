"""Run directories and files that somebody else gave, through the command line: each is used, or refused with exit code 2."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.core.artifacts.files import remove_path
from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit, read_set_unit
from tests.helpers.parquet_footer import nested_columns

pytestmark = pytest.mark.integration
PACKED = Path(__file__).parents[1] / "fixtures" / "run_directories.tar.xz"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Unpack a plain and a private run, and make their directory the working directory."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)
    monkeypatch.chdir(tmp_path)
    with tarfile.open(PACKED) as archive:
        archive.extractall(filter="data")
    Path("in.csv").write_text("id,word,day,place\n1,ab,2020-01-01,0.5\n")
    return tmp_path


def line(*arguments: str) -> int:
    return cli.run_command_line(arguments)


@pytest.mark.parametrize(
    ("run", "file", "change", "command"),
    [
        ("plain", "training_data/manifest.json", {"counts": []}, ("plan", "--output")),
        (
            "plain",
            "training_data/manifest.json",
            {"counts": {"splits": {"train": {"records": "3"}}}},
            ("plan", "--output"),
        ),
        ("private", "private/training_data/vocabulary_release.json", {"run": []}, ("plan", "--output")),
        ("private", "private/spent.json", {"datasets": {"spent.json": [1]}}, ("plan", "--output")),
        ("plain", "model/manifest.json", {"settings": [1]}, ("plan", "--output")),
        ("plain", "model/model.json", {"stopped": "\ud800"}, ("plan", "--output")),
        ("plain", "training_data/manifest.json", {"columns": 5}, ("evaluate", "--overwrite", "--output")),
        ("private", "model/privacy.json", {"weights": []}, ("export",)),
        ("plain", "report/report.json", {"scores": []}, ("compare", "plain")),
        ("plain", "report/report.json", {"closeness": {"components": [{"name": 1}]}}, ("compare", "plain")),
        ("plain", "report/report.json", {"verdict": {"closeness": 1}}, ("compare", "plain")),
    ],
)
def test_an_entry_of_another_type_is_refused(
    runs: Path,
    run: str,
    file: str,
    change: dict[str, Any],
    command: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = runs / run / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    target = ("model.tar.gz",) if command == ("export",) else ()
    assert line(*command, run, *target) == 2
    message = re.sub("^loading .* …\n", "", capsys.readouterr().err)
    assert message.startswith("error: LS") and "Traceback" not in message and len(message.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "file", ["report/manifest.json", "report/report.json", "synthetic", "model/privacy.txt", ".tmp"]
)
def test_what_is_a_directory_where_a_file_belongs_and_the_reverse(
    runs: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = runs / "plain" / file
    is_directory = path.is_dir()
    remove_path(path)
    path.write_text("x") if is_directory else path.mkdir()
    assert line("generate", "--output", "plain", "--overwrite", "--num-lines", "0") in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("file", ["model_history.csv", "model/model.json", "tokenizer/sentencepiece.model"])
def test_a_link_to_a_device_is_not_read(runs: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "plain" / file).unlink()
    (runs / "plain" / file).symlink_to("/dev/zero")
    assert line("generate", "--output", "plain", "--overwrite", "--num-lines", "0") in (0, 2)
    assert line("plan", "--output", "plain") in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_names_that_look_like_markup_are_shown_as_they_are(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = runs / "plain" / "report" / "report.json"
    body = json.loads(report.read_text())
    body["closeness"]["fields"][0]["name"] = "price [/net]"
    report.write_text(json.dumps(body))
    assert line("compare", "plain", "plain") == 0
    assert "price [/net]" in capsys.readouterr().out
    params = runs / "plain" / "model_params.json"
    params.write_text(json.dumps({**json.loads(params.read_text()), "start_string": "[/b]", "columns": None}))
    assert line("plan", "--output", "plain") == 0
    assert "[/b]" in capsys.readouterr().out


def test_a_page_that_is_not_text_is_marked_as_stale(runs: Path) -> None:
    page = runs / "plain" / "report" / "index.html"
    page.write_bytes(b"\xff<header></header>")
    assert line("generate", "--output", "plain", "--overwrite", "--num-lines", "0") == 0
    assert page.read_bytes().startswith(b"\xff<header><") and len(page.read_bytes()) > 50


def test_a_file_that_would_end_the_process_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.parquet").write_bytes(nested_columns(50_000))
    assert line("evaluate", "--real", "in.csv", "--header", "--synthetic", "bad.parquet", "--output", "report") == 2
    assert "LS206: 'bad.parquet'" in capsys.readouterr().err


def test_dates_decimals_and_bytes_within_other_values_are_texts(runs: Path) -> None:
    values = {
        "a": pa.array([b"\xe9", b"b"]),
        "b": pa.array([1, 2], pa.date32()),
        "c": pa.array([1, 2]).cast(pa.decimal128(20, 1)),
    }
    content = io.BytesIO()
    parquet.write_table(pa.table({"x": pa.StructArray.from_arrays([*values.values()], [*values])}), content)
    Path("good.parquet").write_bytes(content.getvalue())
    [(_, (_, texts))] = read_set_unit(EvaluationInputUnit("synthetic", 0, "parquet", "good.parquet"))
    assert texts.to_pylist() == [
        '{"a": "\ufffd", "b": "1970-01-02", "c": "1.0"}',
        '{"a": "b", "b": "1970-01-03", "c": "2.0"}',
    ]
