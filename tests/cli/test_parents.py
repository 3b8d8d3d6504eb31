"""Parents through the command line: what a trained model looks up, what plan shows, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linesmith.cli import app as cli
from linesmith.cli import console
from linesmith.core.artifacts.model_info import read_model_info

pytestmark = [pytest.mark.integration, pytest.mark.slow]

NETWORK = ["--epochs", "1", "--rnn-units", "16", "--embedding-dim", "8"]
SMALL = [*NETWORK, "--no-report", "--num-lines", "5", "--field-delimiter", ",", "--header"]


@pytest.fixture(autouse=True)
def _keep_log_levels(monkeypatch):
    """Leave out what the command line changes in its process for good, such as log levels."""
    monkeypatch.setattr(console, "quiet_libraries", lambda: None)
    monkeypatch.setattr("linesmith.cli.commands.definitions.load_libraries", lambda: None)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Write a table of 40 columns in which c35 copies c2, and the others are independent."""
    numbers = np.random.default_rng(0).integers(0, 10_000, (500, 40))
    numbers[:, 35] = numbers[:, 2]
    lines = [",".join(f"c{number}" for number in range(40)), *(",".join(map(str, row)) for row in numbers.tolist())]
    (tmp_path / "wide.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "wide.csv"


def test_a_distant_copy_is_a_parent_and_given_ones_are_taken(wide: Path) -> None:
    run = wide.parent / "run"
    given = ["--parents", "c39=c0+c5", "--condition-on", "c38"]
    assert cli.run_command_line(["run", "--input", str(wide), "--output", str(run), *SMALL, *given]) == 0
    inputs = read_model_info(run).field_inputs
    assert inputs is not None
    # c38 is written first, so the others up to c37 come one later.
    assert 3 in inputs.parents[36] and len(inputs.parents[36]) == 8
    assert inputs.parents[39] == [1, 6]


@pytest.mark.parametrize(
    ("parents", "found"),
    [
        ("c1=c2", "'c2' is written after 'c1'"),
        ("c1=c0,c0=c1", "circle"),
        ("c1=nothing", "'nothing' is not a column"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(wide: Path, capsys, parents: str, found: str) -> None:
    run = wide.parent / "run"
    arguments = ["run", "--input", str(wide), "--output", str(run), *SMALL, "--parents", parents]
    assert cli.run_command_line(arguments) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"LS135: --parents '{parents}'" in error and found in error
    assert not (run / "training_data").exists()


def test_plan_shows_them_and_their_cost(wide: Path, capsys) -> None:
    arguments = ["plan", "--input", str(wide), "--output", str(wide.parent / "run"), *SMALL, "--parents", "c39=c0+c5"]
    assert cli.run_command_line(arguments) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "c39: c0, c5" in shown and "at most 1,310 of the table, 655 each" in shown and "10,480 weights" in shown
