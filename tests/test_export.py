"""`linesmith export`: only what may leave, and the same archive for the same run."""

from __future__ import annotations

import zipfile

import pytest

from linesmith.cli import run_command_line
from model.errors import DataError, ParameterError
from pipelines.export import export

PRIVATE = ("private/training_data/train-00000.tfrecord.gz", "private/spent.json", "private/training/last.npz")
RAW = (
    "training_data/statistics.json",
    "rejects/part-0.jsonl",
    "invalid/part-0.avro",
    "report/report.json",
    "notes.txt",
)
LEAVING = ("model/manifest.json", "model/privacy.json", "model/checkpoints/best.npz", "tokenizer/tokenizer_params.json",
           "synthetic/part-0.txt", "model_params.json", "model_history.csv")  # fmt: skip


@pytest.fixture
def run(tmp_path):
    root = tmp_path / "run"
    for name in (*PRIVATE, *RAW, *LEAVING, ".tmp/x", ".next/model/manifest.json", "model/.hidden"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "model" / "link").symlink_to(root / "private" / "spent.json")
    (root / "synthetic" / "linked").symlink_to(root / "private")
    return root


def test_only_what_may_leave_is_packed(run, tmp_path):
    export(run, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as packed:
        assert sorted(packed.namelist()) == sorted(LEAVING)
        assert packed.read("model/privacy.json") == b"model/privacy.json"
    export(run, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "out.zip").read_bytes()


def test_what_cannot_be_packed(run, tmp_path):
    for place in (run / "model" / "out.zip", run / "notes.txt", tmp_path / "run" / "synthetic" / "deep" / "out.zip"):
        with pytest.raises(ParameterError, match="LS103"):
            export(run, place)
    (run / "model" / "manifest.json").unlink()
    with pytest.raises(DataError, match="LS201"):
        export(run, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_from_the_command_line(run, tmp_path, capsys):
    assert run_command_line(["export", "--output", str(run), "--archive", str(tmp_path / "out.zip")]) == 0
    assert "files 7" in capsys.readouterr().out
    assert run_command_line(["export", "--output", str(run), "--archive", str(tmp_path / "out.zip")]) == 2
