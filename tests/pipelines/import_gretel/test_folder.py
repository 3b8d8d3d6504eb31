"""Folders that cannot be imported are refused in one paragraph, and leave nothing behind."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil

import pytest

from linesmith.cli.app import run_command_line
from linesmith.core.errors import DataError, LinesmithError, ParameterError
from linesmith.pipelines.import_gretel.folder import open_folder
from linesmith.pipelines.import_gretel.stage import import_gretel
from linesmith.pipelines.import_gretel.vocabulary import read_vocabulary
from tests.helpers.gretel_models import KINDS, change_params, unpack


@pytest.fixture
def folder(tmp_path):
    return unpack("characters", tmp_path / "old")


def refusal(folder, tmp_path, code="LS240", target=None):
    """Return the message with which the import is refused."""
    out = tmp_path / "out" / "run"
    with pytest.raises(LinesmithError) as caught:
        import_gretel(str(folder), str(out if target is None else target))
    message = str(caught.value)
    assert caught.value.code == code and caught.value.exit_code == 2
    assert "\n" not in message
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
    return message


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    assert "no such folder" in refusal(tmp_path / "nowhere", tmp_path)


def test_the_command_prints_one_paragraph(tmp_path, capsys):
    assert run_command_line(["import-gretel", str(tmp_path / "nowhere"), str(tmp_path / "run")]) == 2
    printed = capsys.readouterr()
    assert "LS240" in printed.err and "Traceback" not in printed.err and not printed.out
    assert run_command_line(["import-gretel", str(tmp_path)]) == 2


def test_a_folder_that_cannot_be_read_is_refused(tmp_path, folder, monkeypatch):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.is_dir", denied)
    with pytest.raises(DataError, match=r"LS240.*Permission denied"):
        open_folder(str(folder))


def test_a_file_is_refused(tmp_path):
    (tmp_path / "actgan.pkl").write_bytes(pickle.dumps({}))
    assert "ACTGAN" in refusal(tmp_path / "actgan.pkl", tmp_path)


def test_an_address_is_refused(tmp_path, folder):
    assert "local folder" in refusal("s3://bucket/model", tmp_path)
    assert "local path" in refusal(folder, tmp_path, "LS118", "gs://bucket/run")


@pytest.mark.parametrize(
    ("name", "word"),
    [("model.pkl", "ACTGAN"), ("generator.pt", "ACTGAN"), ("pytorch_model.bin", "GPT"), ("config.json", "GPT"),
     ("x.txt", "model_params.json is missing")],
)  # fmt: skip
def test_a_model_of_another_kind_is_refused(tmp_path, name, word):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).write_text("{}")
    assert word in refusal(tmp_path / "other", tmp_path)


def test_another_config_class_is_refused(folder, tmp_path):
    change_params(folder, model_type="TimeseriesDGAN")
    assert "'TimeseriesDGAN'" in refusal(folder, tmp_path)


def test_a_run_directory_of_ours_is_refused(folder, tmp_path):
    change_params(folder, format_version=1)
    assert "run directory of Linesmith already" in refusal(folder, tmp_path)


def test_a_folder_of_batches_says_to_import_each(folder, tmp_path):
    parent = tmp_path / "batches"
    for number in range(3):
        shutil.copytree(folder, parent / f"batch_{number}")
    (parent / "original_headers.json").write_text('["a", "b"]')
    message = refusal(parent, tmp_path)
    assert "3 models" in message and f"{parent}/batch_0" in message and "linesmith.fit(df)" in message


def test_a_column_tokenizer_is_refused(folder, tmp_path):
    change_params(folder, "tokenizer_params.json", tokenizer_type="SentencePieceColumnTokenizerTrainer")
    assert "'SentencePieceColumnTokenizerTrainer'" in refusal(folder, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_each_missing_file_is_named(kind, tmp_path):
    whole = unpack(kind, tmp_path / "old")
    needed = ["checkpoint", "char2idx.p" if kind == "characters" else "m.model"]
    needed += [path.name for path in whole.glob("synthetic*")]
    assert len(needed) == 4
    for name in needed:
        cut = tmp_path / f"without-{name}"
        shutil.copytree(whole, cut)
        (cut / name).unlink()
        assert f"'{name}' is missing" in refusal(cut, tmp_path, "LS241")


@pytest.mark.parametrize(
    "changes",
    [{"rnn_units": 0}, {"rnn_units": "16"}, {"rnn_units": 1e9}, {"embedding_dim": None}, {"field_delimiter": ""},
     {"field_delimiter": 7}, {"gen_temp": "warm"}, {"gen_temp": -1.0}, {"dp": "yes"}, {"field_delimiter": "\n"}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(folder, tmp_path, changes, monkeypatch):
    monkeypatch.setattr("linesmith.pipelines.import_gretel.stage.read_checkpoint", lambda *_: {})
    change_params(folder, **changes)
    assert "'model_params.json'" in refusal(folder, tmp_path, "LS241")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"rnn_units": NaN}', "\x00"])
def test_damaged_settings_are_refused(folder, tmp_path, content):
    (folder / "model_params.json").write_text(content)
    assert "'model_params.json'" in refusal(folder, tmp_path, "LS241")


@pytest.mark.parametrize("content", ["[]", "{}", '["a", "a"]', '["a", 1]', '"a"', "["])
def test_damaged_headers_are_refused(folder, tmp_path, content):
    (folder / "headers.json").write_text(content)
    assert "'headers.json'" in refusal(folder, tmp_path, "LS241")


class _Runs:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


def test_a_callable_in_the_character_map_is_refused_and_not_run(folder, tmp_path):
    (folder / "char2idx.p").write_bytes(pickle.dumps({"a": 0, "\n": _Runs(str(tmp_path / "ran"))}))
    assert "the opcode" in refusal(folder, tmp_path, "LS241")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "numbers",
    [{}, [], 5, {"a": 0}, {"a": 0, "\n": 2}, {"a": 0, "\n": 0}, {"ab": 0, "\n": 1}, {"a": 0.0, "\n": 1}, {0: 0, "\n": 1},
     {"a": -1, "\n": 0}],
)  # fmt: skip
def test_a_map_that_is_no_vocabulary_is_refused(folder, tmp_path, numbers):
    (folder / "char2idx.p").write_bytes(pickle.dumps(numbers))
    assert "'char2idx.p'" in refusal(folder, tmp_path, "LS241")


def test_the_other_pickles_are_not_opened(folder):
    for name in ("idx2char.p", "validator.p.gz"):
        (folder / name).write_bytes(b"not a pickle")
    assert read_vocabulary(open_folder(str(folder))).old_size > 10


@pytest.mark.parametrize("content", [b"", b"x", b"\x00" * 100])
def test_a_damaged_sentencepiece_model_is_refused(tmp_path, content):
    folder = unpack("sentencepiece", tmp_path / "old")
    (folder / "m.model").write_bytes(content)
    assert "'m.model'" in refusal(folder, tmp_path, "LS241")


def test_a_sentencepiece_model_without_the_delimiter_token_is_refused(tmp_path):
    folder = unpack("sentencepiece", tmp_path / "old")
    for token in ("<x>", "<n>"):
        change_params(folder, field_delimiter_token=token)
        assert "'m.model'" in refusal(folder, tmp_path, "LS241")


def test_a_target_that_exists_is_refused_and_left(folder, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="LS204"):
        import_gretel(str(folder), str(tmp_path / "there"))
    assert list((tmp_path / "there").iterdir()) == []


def test_a_target_that_cannot_be_written_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("linesmith.pipelines.import_gretel.stage.read_checkpoint", lambda *_: {})
    monkeypatch.setattr("linesmith.pipelines.import_gretel.stage.arranged_weights", lambda *_: {})
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="LS119"):
        import_gretel(str(folder), str(tmp_path / "file" / "run"))


def test_a_checkpoint_elsewhere_is_not_followed(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for path in folder.glob("synthetic*"):
        shutil.move(path, outside / path.name)
    name = next(outside.glob("*.index")).stem
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{outside}/{name}"\n')
    assert f"'{name}.data-00000-of-00001' is missing" in refusal(folder, tmp_path, "LS241")
    for text in (
        "",
        f'model_checkpoint_path: "{"x" * 3000}"',
        "model_checkpoint_path: 7",
        'model_checkpoint_path: ""',
        'model_checkpoint_path: "a/.."',
    ):
        (folder / "checkpoint").write_text(text)
        assert "'checkpoint'" in refusal(folder, tmp_path, "LS241")


def test_weights_that_cannot_be_in_the_file_are_refused_before_tensorflow_is_asked(folder, tmp_path):
    change_params(folder, rnn_units=60_000)
    assert "too small for" in refusal(folder, tmp_path, "LS241")


def test_a_folder_without_tokenizer_params_has_sentencepiece(tmp_path):
    folder = unpack("sentencepiece", tmp_path / "old")
    (folder / "tokenizer_params.json").unlink()
    params = json.loads((folder / "model_params.json").read_text())
    del params["model_type"]
    (folder / "model_params.json").write_text(json.dumps(params))
    assert read_vocabulary(open_folder(str(folder))).old_start[1] == 3
