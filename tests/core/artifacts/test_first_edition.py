"""Load run directories, an archive and settings that the first edition wrote, before `linesmith` was the one import name.

`tests/fixtures/first_edition.tar.xz` was made by the last commit of the first edition from 160 invented orders: a plain run
directory, a private one, an exported model, settings of the older tool, and what `generate --num-lines 20 --seed 7` wrote.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from linesmith.cli import app
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.params import config_from_model_dir, config_from_settings

pytestmark = pytest.mark.integration
PACKED = Path(__file__).resolve().parents[2] / "fixtures" / "first_edition.tar.xz"


@pytest.fixture
def old(tmp_path, monkeypatch) -> Path:
    """Unpack the files and make their directory the working directory, as it was when they were written."""
    with tarfile.open(PACKED) as archive:
        archive.extractall(tmp_path / "old", filter="data")
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.setattr(app.console, "quiet_libraries", lambda: None)
    return tmp_path / "old"


def command(*arguments: object) -> int:
    """Run a command line in this process; return its exit code."""
    return app.run_command_line([str(word) for word in arguments])


def lines_of(run: Path) -> list[str]:
    """Return the records of a run; its input had a header, which earlier versions did not write again."""
    found = []
    for path in sorted((run / "synthetic").glob("*.txt")):
        header, *lines = path.read_text().splitlines()
        assert header == "id,color,price,day"
        found += lines
    return found


def test_a_plain_run_directory_generates_the_same_records(old):
    # The fixture's machine multiplied in float32; the default elsewhere may be bfloat16 or int8.
    words = ("--num-lines", 20, "--seed", 7, "--matmul-precision", "float32", "--overwrite")
    assert command("generate", "--output", "plain", *words) == 0
    # Equal to the last bit of every product on the machine where the fixture was made; elsewhere some records may differ.
    written, before = lines_of(old / "plain"), (old / "expected-seed7.txt").read_text().splitlines()
    assert len(written) == 20
    assert sum(a == b for a, b in zip(written, before, strict=True)) >= 15


def test_a_private_run_directory_generates_and_keeps_its_statement(old):
    statement = (old / "private" / "model" / "privacy.json").read_bytes()
    arguments = ("--num-lines", 5, "--max-attempts", 40, "--overwrite")
    assert command("generate", "--output", "private", *arguments) in (
        0,
        4,
    )  # a small, noisy model: some records may be missing
    assert (old / "private" / "model" / "privacy.json").read_bytes() == statement
    assert read_manifest(old / "private" / "synthetic") is not None


def test_a_statement_that_names_no_weights_is_accepted_where_its_manifest_does(old, capsys):
    """But not beside the model of another training, of which it would say the same."""
    assert command("export", "private", "private.tar.gz") == 0
    assert command("generate", "--output", "imported", "--model", "private.tar.gz", "--num-lines", 0) == 0
    shutil.copy("private/model/privacy.json", "plain/model")
    assert command("export", "plain", "wrong.tar.gz") == 2
    assert "LS214" in capsys.readouterr().err
    shutil.copy("plain/model/checkpoints/best.npz", "private/model/checkpoints")
    assert command("export", "private", "wrong.tar.gz") == 2


def test_an_archive_is_imported_and_generates(old, tmp_path):
    assert command("generate", "--output", tmp_path / "new", "--model", "plain.tar.gz", "--num-lines", 5) == 0
    assert len(lines_of(tmp_path / "new")) == 5


def test_a_complete_training_is_refused_without_overwrite_and_exports(old, capsys):
    assert command("train", "--output", "plain", "--input", "orders.csv") == 2
    assert "LS204" in capsys.readouterr().err
    assert command("export", "plain", "again.tar.gz") == 0


def test_an_old_run_is_evaluated(old):
    assert command("evaluate", "--output", "plain") == 0
    assert json.loads((old / "plain" / "report" / "report.json").read_text())


def test_old_settings_load(old):
    stored = config_from_model_dir(old / "plain")
    assert (stored.rnn_units, stored.seed, stored.field_delimiter) == (32, 3, ",")
    config = config_from_settings(json.loads((old / "settings.json").read_text()))
    assert (config.gen_lines, config.rnn_units) == (10, 16)
