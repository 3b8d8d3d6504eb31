"""The run directory: one writer, no loss of a complete result, and an old model that is kept until the new one is complete."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from linesmith.core.artifacts.files import write_bytes
from linesmith.core.artifacts.manifest import FORMAT_VERSION, read_manifest, write_manifest
from linesmith.core.artifacts.run_directory import (
    RunDirectory,
    check_overwrite_allowed,
    locked,
    promote,
    run_directory,
    workspace,
)
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError

_HOLD = """
import sys, pathlib
from linesmith.core.artifacts.run_directory import RunDirectory, locked
with locked(RunDirectory(pathlib.Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def _config(path, **settings) -> TensorFlowConfig:
    return TensorFlowConfig(checkpoint_dir=path, **settings)


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(DataError, match="another process is writing"), locked(RunDirectory(tmp_path)):
        pass
    holder.kill()
    holder.wait()
    with locked(RunDirectory(tmp_path)):
        pass


def test_scratch_files_of_a_killed_or_interrupted_run_are_deleted(tmp_path):
    run = RunDirectory(tmp_path)
    write_bytes(run.temporary / "left", b"over")
    with locked(run):
        assert list(run.temporary.iterdir()) == []
        write_bytes(run.temporary / "train-1" / "train.tokens", b"raw")
    assert not run.temporary.exists()


def test_an_output_that_is_a_file_is_named(tmp_path):
    (tmp_path / "out").write_text("mine")
    with (
        pytest.raises(ParameterError, match=r"LS119: --output '.*out': cannot be written"),
        locked(RunDirectory(tmp_path / "out")),
    ):
        pass
    assert (tmp_path / "out").read_text() == "mine"


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("text")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(ParameterError, match=r"LS119.*symbolic link"), locked(RunDirectory(tmp_path / "out")):
        pass
    assert (tmp_path / "mine").read_text() == "text"


def test_raw_data_and_scratch_files_are_for_their_owner_only(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir(mode=0o755)
    (tmp_path / "run" / ".tmp").symlink_to(tmp_path / "elsewhere")
    run = RunDirectory(tmp_path / "run", private=True)
    with locked(run):
        assert not run.temporary.is_symlink()
        assert run.temporary.stat().st_mode & 0o777 == run.raw.stat().st_mode & 0o777 == 0o700
    with locked(RunDirectory(tmp_path / "plain")):
        assert (tmp_path / "plain" / ".tmp").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "plain" / "private").exists()


@pytest.mark.parametrize("output", [None, "gs://bucket/run"])
def test_an_output_that_cannot_be_a_run_directory(output):
    with pytest.raises(ParameterError, match="--output"):
        run_directory(_config(output))


def test_complete_is_refused_partial_and_overwritten_are_not(tmp_path):
    check_overwrite_allowed(tmp_path, "thing", overwrite=False)
    write_manifest(tmp_path, "generate", {"complete": False})
    check_overwrite_allowed(tmp_path, "thing", overwrite=False)
    write_manifest(tmp_path, "generate", {})
    check_overwrite_allowed(tmp_path, "thing", overwrite=True)
    with pytest.raises(DataError, match=r"already holds a complete thing\. Pass --overwrite"):
        check_overwrite_allowed(tmp_path, "thing", overwrite=False)


def test_a_new_run_replaces_the_old_one_completely(tmp_path):
    old = run_directory(_config(tmp_path))
    overwriting = _config(tmp_path, overwrite=True)
    assert workspace(overwriting) == old  # nothing to protect yet
    for directory, what in ((old, b"old"),):
        write_bytes(directory.tokenizer / "t", what)
        write_bytes(directory.params, what)
        write_manifest(directory.model, "train", {"what": "old"})
    new = workspace(overwriting)
    assert new != old
    write_bytes(new.tokenizer / "t", b"new")
    write_bytes(new.params, b"new")
    promote(old)  # the new run is not complete, so nothing is replaced
    assert (old.tokenizer / "t").read_bytes() == old.params.read_bytes() == b"old"
    write_manifest(new.model, "train", {"what": "new"})
    promote(old)
    assert (old.tokenizer / "t").read_bytes() == old.params.read_bytes() == b"new"
    assert read_manifest(old.model)["what"] == "new"
    assert not new.root.exists()


@pytest.mark.parametrize("moves", range(6))
@pytest.mark.parametrize("dp", [False, True])
def test_a_process_that_dies_while_a_new_run_replaces_the_old_one_is_made_good(tmp_path, moves, dp, monkeypatch):
    run = RunDirectory(tmp_path, dp)
    parts = ["params", "history", "tokenizer", "training_data", "rejects", "model"]
    for directory, text in ((run, b"old"), (run.staged, b"new")):
        for name in parts:
            path = getattr(directory, name)
            write_bytes(path if name in ("params", "history") else path / "file", text)
        write_manifest(directory.model, "train", {})
    replace, left = os.replace, iter(range(moves))

    def dying(source, target):
        if ".next" in str(source) and next(left, None) is None:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        promote(run)
    monkeypatch.undo()
    with locked(run):
        found = [getattr(run, name) for name in parts]
        assert {(path if path.is_file() else path / "file").read_bytes() for path in found} == {b"new"}
    assert not run.staged.root.exists()


@pytest.mark.parametrize("content", ["{", "[]", f'{{"format_version": {FORMAT_VERSION + 1}}}', "{}"])
def test_a_damaged_or_newer_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError):
        read_manifest(tmp_path)
