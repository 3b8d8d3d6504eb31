"""`evaluate` over sets with and without header lines: each set has as many records as there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.core.artifacts.manifest import write_manifest

pytestmark = pytest.mark.integration

NAMES = "color,pet"
ROWS = [f"{('red', 'green', 'blue')[n % 3]},{('cat', 'dog')[n % 2]}" for n in range(60)]
TYPED = [f"{row},{n}" for n, row in enumerate(ROWS)]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


def write(path: Path, rows: list[str], header: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in ([header] if header else []) + rows))
    return path


def generated(folder: Path, rows: list[str], names: str, header: bool) -> Path:
    """Write a directory as `generate` leaves it."""
    for part in ("part-00000-of-00002.txt", "part-00001-of-00002.txt"):
        write(folder / part, rows, names if header else None)
    outputs = {part.name: {"records": len(rows)} for part in folder.iterdir()}
    write_manifest(folder, "generate", {"outputs": outputs, "columns": names.split(","), "header": header})
    return folder


def sizes(tmp_path: Path, *options: object, code: int = 0) -> dict[str, int]:
    words = ["evaluate", "--field-delimiter", ",", "--output", tmp_path / "out", "--overwrite", *options]
    assert cli.run_command_line([str(word) for word in words]) == code
    body = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    return {name: one["records"] for name, one in body["sets"].items()}


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("switch", [(), ("--header",)])
def test_output_of_generate_beside_a_file_with_a_header(tmp_path, header, switch):
    real = write(tmp_path / "real.csv", ROWS, NAMES)
    synthetic = generated(tmp_path / "synthetic", ROWS[:30], NAMES, header)
    assert sizes(tmp_path, "--real", real, "--synthetic", synthetic, *switch) == {"training": 60, "synthetic": 60}


def test_a_copy_of_it_without_its_manifest_and_a_holdout(tmp_path, capsys):
    real = write(tmp_path / "real.csv", TYPED, f"{NAMES},n")
    holdout = write(tmp_path / "holdout.csv", TYPED[:20], f"{NAMES},n")
    synthetic = write(tmp_path / "synthetic.txt", TYPED[:30])
    found = sizes(tmp_path, "--real", real, "--holdout", holdout, "--synthetic", synthetic)
    assert found == {"training": 60, "holdout": 20, "synthetic": 30}
    assert "--real: the first line is taken as a header; --no-real-header" in capsys.readouterr().out
    body = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert [field["name"] for field in body["schema"]] == ["color", "pet", "n"]


def test_a_switch_of_one_set(tmp_path):
    real = write(tmp_path / "real.csv", ROWS)
    synthetic = write(tmp_path / "synthetic.csv", ROWS[:30], "x,y")
    assert sizes(tmp_path, "--real", real, "--synthetic", synthetic) == {"training": 60, "synthetic": 31}
    found = sizes(tmp_path, "--real", real, "--synthetic", synthetic, "--synthetic-header")
    assert found == {"training": 60, "synthetic": 30}


def test_a_column_without_a_number_that_is_called_a_number(tmp_path):
    real = write(tmp_path / "real.csv", ROWS * 2, NAMES)
    assert (
        sizes(tmp_path, "--real", real, "--synthetic", real, "--role", "pet=number", "--target", "color")["training"]
        == 120
    )
