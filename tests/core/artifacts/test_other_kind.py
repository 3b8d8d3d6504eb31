"""Files of a training with privacy and of one without never lie in one run directory."""

from __future__ import annotations

import shutil

import pytest

from linesmith.core.artifacts.files import write_bytes
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.other_kind import (
    files_of_other_kind,
    holds_training,
    is_private_run,
    refuse_foreign_archive,
    refuse_other_kind,
    replace_files,
)
from linesmith.core.artifacts.privacy_statement import check_statement
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from tests.helpers.run_states import STATES, files_of, write_records, write_run, write_statement

KINDS = pytest.mark.parametrize("private", [False, True], ids=["plain", "private"])


def config_of(root, *, private: bool, overwrite: bool = False) -> TensorFlowConfig:
    return TensorFlowConfig(checkpoint_dir=root, dp=private, overwrite=overwrite)


@KINDS
@pytest.mark.parametrize("state", STATES)
def test_a_training_is_at_home_in_its_own_directory_and_refused_in_the_others(tmp_path, private, state):
    write_run(tmp_path, private=private, state=state)
    refuse_other_kind(config_of(tmp_path, private=private))
    with pytest.raises(DataError) as refused:
        refuse_other_kind(config_of(tmp_path, private=not private))
    assert refused.value.code == ("LS204" if state in ("trained", "complete") else "LS215")
    assert "training_data" in str(refused.value) and "--overwrite" in str(refused.value)
    refuse_other_kind(config_of(tmp_path, private=not private, overwrite=True))
    assert is_private_run(tmp_path) == private


@KINDS
@pytest.mark.parametrize("staged", [False, True], ids=["run", "next"])
@pytest.mark.parametrize("state", STATES)
def test_nothing_but_a_model_is_left_and_that_lies_in_private(tmp_path, private, state, staged):
    write_run(tmp_path / ".next" if staged else tmp_path, private=private, state=state)
    (tmp_path / "private").mkdir(exist_ok=True)
    (tmp_path / "private" / "spent.json").write_text("{}")
    run = RunDirectory(tmp_path, not private)
    found = files_of_other_kind(run)
    assert holds_training(found, run) == (state != "tokenized")
    place = replace_files(found, run)
    assert files_of_other_kind(run) == []
    # What the next stage writes itself: tokenizer and settings.
    kept = {name for name in files_of(tmp_path, outside="private") if not name.startswith(".next/")}
    assert {name.split("/")[0] for name in kept} <= {"tokenizer", "model_params.json"}
    if staged or state == "tokenized":
        assert place is None and files_of(tmp_path / "private") == {"spent.json"}
        return
    assert place == tmp_path / "private" / "replaced-1"
    assert place.stat().st_mode & 0o777 == 0o700
    assert kept == set()
    if state in ("interrupted", "trained", "complete"):  # a run directory of its own, from which records can be made
        assert (check_statement(place) is None) == (not private)
        assert (place / "tokenizer").is_dir()
        assert read_model_info(place)
    assert {name for name in files_of(tmp_path / "private") if not name.startswith("replaced-1/")} == {"spent.json"}


@KINDS
def test_a_second_model_that_is_replaced_does_not_replace_the_first(tmp_path, private):
    for number in (1, 2):
        write_run(tmp_path, private=private, value=number)
        run = RunDirectory(tmp_path, not private)
        assert replace_files(files_of_other_kind(run), run) == tmp_path / "private" / f"replaced-{number}"
    first, second = (read_model_info(tmp_path / "private" / f"replaced-{n}") for n in (1, 2))
    assert first.weights_digest != second.weights_digest


@pytest.mark.parametrize(
    "name",
    [
        "report/index.html",
        "audit/audit.json",
        "training_data/x",
        "rejects/x",
        "synthetic/part-00000-of-00001.txt",
        "invalid/x",
        "model/checkpoints/last.npz",
        "model/checkpoints/previous.npz",
        "model/tensorboard/events.out.tfevents.1.host",
        "model/record.avsc",
        "model/x",
        ".next/training_data/x",
        ".next/model/checkpoints/last.npz",
    ],
)
def test_a_single_file_of_a_plain_training_is_enough_to_refuse_a_private_one(tmp_path, name):
    run = write_run(tmp_path, private=True, state="begun")
    write_bytes(tmp_path / name, b"raw")
    with pytest.raises(DataError, match="LS215") as refused:
        refuse_other_kind(config_of(tmp_path, private=True))
    assert name in str(refused.value) or not name.startswith("model/")
    replace_files(files_of_other_kind(run), run)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    "name",
    [
        "private/report/index.html",
        "private/audit/x",
        "private/training_data/x",
        "private/rejects/x",
        "private/training/run.json",
        "private/training_counts.json",
        "model/privacy.json",
        "model/privacy.txt",
        ".next/private/training/run.json",
        ".next/model/privacy.json",
    ],
)
def test_a_single_file_of_a_private_training_is_enough_to_refuse_a_plain_one(tmp_path, name):
    run = write_run(tmp_path, private=False, state="interrupted")
    write_bytes(tmp_path / name, b"{}")
    with pytest.raises(DataError, match="LS215"):
        refuse_other_kind(config_of(tmp_path, private=False))
    replace_files(files_of_other_kind(run), run)
    assert not (tmp_path / name).exists()


def test_histories_are_told_apart_by_their_figures(tmp_path):
    for name, private in (("plain", False), ("private", True)):
        write_run(tmp_path / name, private=private, state="interrupted")
        (tmp_path / f"{name}2").mkdir()
        shutil.copy(tmp_path / name / "model_history.csv", tmp_path / f"{name}2")
    for name, other in (("plain2", True), ("private2", False)):
        assert files_of_other_kind(RunDirectory(tmp_path / name, other)) == [tmp_path / name / "model_history.csv"]
        assert files_of_other_kind(RunDirectory(tmp_path / name, not other)) == []


def test_records_of_the_first_edition_belong_to_the_model_whose_digest_they_name(tmp_path):
    """They did not say of which kind their model was."""
    for private in (False, True):
        run = write_run(tmp_path / str(private), private=private, state="trained")
        write_records(run, None)
        assert files_of_other_kind(run) == []
        assert {run.synthetic, run.invalid, run.model} <= set(
            files_of_other_kind(RunDirectory(run.root, not private))
        ) or (not private)
    write_run(
        tmp_path / "True", private=True, state="trained", value=2.0
    )  # another model: where they came from is unknown
    assert {run.synthetic, run.invalid} == set(files_of_other_kind(run))


def test_tables_of_the_run_go_with_the_records(tmp_path):
    run = write_run(tmp_path, private=False)
    write_bytes(tmp_path / "warehouse" / "catalog.db", b"made")
    assert files_of_other_kind(run) == []
    other = RunDirectory(tmp_path, private=True)
    place = replace_files(files_of_other_kind(other), other)
    assert (place / "warehouse" / "catalog.db").exists() and not (tmp_path / "warehouse").exists()


def test_a_mixture_that_an_earlier_version_left_is_refused_by_both_kinds(tmp_path):
    """A private training was interrupted, then a plain one ran to its end in the same directory."""
    write_run(tmp_path, private=True, state="interrupted")
    run = write_run(tmp_path, private=False, state="trained", value=2.0)
    for private in (False, True):
        with pytest.raises(DataError, match="LS204"):
            refuse_other_kind(config_of(tmp_path, private=private))
    with pytest.raises(DataError, match=r"LS214.*without differential privacy"):
        check_statement(tmp_path)
    replace_files(files_of_other_kind(run), run)
    kept = {"training_data/manifest.json", "rejects/part-00000-of-00001.jsonl", "tokenizer/vocabulary.json"}
    assert files_of(tmp_path, outside="private") == kept


def test_the_tokenizer_of_new_training_data_stays(tmp_path):
    write_run(tmp_path, private=False, state="trained")
    run = write_run(tmp_path, private=True, state="tokenized")
    place = replace_files(files_of_other_kind(run), run)
    assert (tmp_path / "tokenizer").is_dir() and not (place / "tokenizer").exists()


@KINDS
def test_an_archive_is_not_unpacked_beside_the_other_kind(tmp_path, private):
    write_run(tmp_path, private=not private, state="tokenized")
    with pytest.raises(DataError, match=r"LS215.*the archive holds a model with"):
        refuse_foreign_archive(tmp_path, private)
    refuse_foreign_archive(tmp_path, not private)
    refuse_foreign_archive(tmp_path / "new", private)


def test_what_is_private_is_known_from_any_trace(tmp_path):
    assert not is_private_run(tmp_path)
    (tmp_path / "private").mkdir()
    assert not is_private_run(tmp_path)  # a plain run keeps the ledger of private ones that it replaced
    write_statement(RunDirectory(tmp_path), {})
    assert is_private_run(tmp_path)
    write_bytes(tmp_path / "damaged" / "model_params.json", b"[")
    assert not is_private_run(tmp_path / "damaged")
