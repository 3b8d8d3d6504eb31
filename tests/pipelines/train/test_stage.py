"""The train stage on real training data: its outputs, resuming, and overwriting."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from linesmith.cli.options import CommandLine
from linesmith.cli.settings import resolve
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, InterruptedRunError
from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest
from linesmith.model.training import trainer as training
from linesmith.pipelines.generate.stage import generate
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train.local import _with_tokenize_settings
from linesmith.pipelines.train.stage import train_model

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def tokenized(tmp_path_factory):
    """A run directory with training data, to be copied."""
    root = tmp_path_factory.mktemp("tokenized")
    random = np.random.default_rng(0)
    lines = [f"{random.integers(24)},{random.integers(100):02d},x" for _ in range(120)]
    (root / "lines.txt").write_text("\n".join(lines) + "\n")
    tokenize(_config(root))
    return root


def _config(root, **settings) -> TensorFlowConfig:
    small = {"embedding_dim": 8, "rnn_units": 16, "rnn_layers": 1, "epochs": 3, "vocab_size": 0, "field_delimiter": ","}
    return TensorFlowConfig(
        input_data_path=root / "lines.txt", checkpoint_dir=root, **{**small, "early_stopping": False, **settings}
    )


@pytest.fixture
def run(tokenized, tmp_path):
    shutil.copytree(tokenized, tmp_path / "run")
    return tmp_path / "run"


def test_what_training_leaves(run):
    states = []
    report = train_model(_config(run, save_all_checkpoints=True, epoch_callback=states.append))
    assert [state.epoch for state in states] == [0, 1, 2]
    info = read_model_info(run)
    assert (info.field_count, info.columns, info.stopped, info.last_epoch) == (3, None, "epochs", 2)
    assert info.best_epoch == min(states, key=lambda state: state.val_loss).epoch
    assert info.length_cap_tokens > 8
    assert read_manifest(run / "model")["settings"]["rnn_units"] == 16
    assert report.counts["epochs"] == 3
    assert f"| records | {report.counts['records']} |" in (run / "model" / "README.md").read_text()
    assert report.counts["records longer than a row, trained whole"] == 0
    assert not (run / ".tmp").exists()
    assert list((run / "model" / "tensorboard").iterdir())
    texts = {
        name: next(Sampler(run, checkpoint=name).stream(deque([SampleRequest(0, 0)]), DrawSettings())).text
        for name in ("2", "last", str(info.best_epoch), "best")
    }
    assert texts["2"] == texts["last"]
    assert texts["best"] == texts[str(info.best_epoch)]
    with pytest.raises(DataError, match="already holds a complete model"):
        train_model(_config(run))


def test_settings_of_tokenize_need_not_be_repeated(run):
    """Without the delimiter the model would have no number of fields, and generation no masks."""
    train_model(_config(run, field_delimiter=None))
    info = read_model_info(run)
    assert info.field_count == 3
    stored = config_from_model_dir(run)
    assert (stored.field_delimiter, stored.vocab_size) == (",", 0)


def test_a_network_knows_fields_unless_it_is_told_not_to(run, tokenized, tmp_path):
    train_model(_config(run, epochs=1))
    info = read_model_info(run)
    assert info.field_inputs is not None
    assert info.field_inputs.parents == [[], [0], [0, 1]]
    assert info.weight_shapes["language_model/embedding/embeddings"][0] > info.vocab_size
    plain = tmp_path / "plain"
    shutil.copytree(tokenized, plain)
    train_model(_config(plain, epochs=1, field_inputs="off"))
    info = read_model_info(plain)
    assert info.field_inputs is None
    assert info.weight_shapes["language_model/embedding/embeddings"][0] == info.vocab_size


def test_default_widths_follow_the_delimiter_that_tokenize_stored(tmp_path):
    stored = {"field_delimiter": ","}
    given = TensorFlowConfig(input_data_path="x", checkpoint_dir=tmp_path, rnn_layers=2)
    assert (given.rnn_units, given.embedding_dim, given.rnn_layers) == (256, 256, 2)
    found = _with_tokenize_settings(given, tmp_path, stored)
    assert (found.rnn_units, found.embedding_dim, found.rnn_layers) == (256, 128, 2)
    plain = _with_tokenize_settings(given.replace(field_inputs="off"), tmp_path, stored)
    assert (plain.rnn_units, plain.embedding_dim) == (256, 256)


def test_a_trained_run_needs_no_file_outside_of_it(run, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fields = [{"name": name, "type": "string"} for name in "abc"]
    Path("record.avsc").write_text(json.dumps({"type": "record", "name": "r", "fields": fields}))
    Path("rules.yaml").write_text("[]")
    train_model(_config(run, epochs=1, schema_file="record.avsc", rules="rules.yaml"))
    shutil.rmtree(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    config = resolve(CommandLine("generate", {"checkpoint_dir": "run", "gen_lines": "3"}))
    assert (config.schema_file, config.rules) == ("run/model/inputs/schema.avsc", "run/model/inputs/rules.yaml")
    generate(config)
    assert read_manifest(run / "synthetic")["columns"] == ["a", "b", "c"]


@pytest.mark.slow
def test_columns_to_condition_on_need_not_be_repeated_and_cannot_be_others(run):
    tokenize(_config(run, columns="a,b,c", condition_on="b", overwrite=True))
    with pytest.raises(DataError, match=r"LS215: condition_on 'c': .* made with \['b'\]"):
        train_model(_config(run, condition_on="c", columns="a,b,c"))
    train_model(TensorFlowConfig(checkpoint_dir=run, rnn_units=8, embedding_dim=8, epochs=1))
    assert read_model_info(run).condition_on == ["b"]
    generate(config_from_model_dir(run).replace(where={"b": "07"}, gen_lines=3))
    (shard,) = (run / "synthetic").glob("part-*.txt")
    assert [line.split(",")[1] for line in shard.read_text().splitlines()] == ["07"] * 3


def test_another_delimiter_than_in_tokenize_is_refused(run):
    with pytest.raises(DataError, match=r"LS215: field_delimiter ';': .* made with ','"):
        train_model(_config(run, field_delimiter=";"))


def test_ctrl_c_leaves_a_usable_model_and_a_resumed_training_equals_an_uninterrupted_one(run, tokenized, tmp_path):
    unbroken = tmp_path / "unbroken"
    shutil.copytree(tokenized, unbroken)
    train_model(_config(unbroken))

    def interrupt(state) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)  # ignored where a script started the tests in the background
    with pytest.raises(InterruptedRunError, match="the model so far can generate already") as caught:
        train_model(_config(run, epoch_callback=interrupt))
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert next(Sampler(run).stream(deque([SampleRequest(0, 0)]), DrawSettings())).request.index == 0
    assert read_manifest(run / "model") is None
    with pytest.raises(DataError, match="has rnn_units 16, this run 20"):
        train_model(_config(run, rnn_units=20))
    train_model(_config(run))
    assert read_model_info(run) == read_model_info(unbroken)
    assert (run / "model_history.csv").read_bytes() == (unbroken / "model_history.csv").read_bytes()


def test_ctrl_c_before_the_first_epoch_says_that_there_is_no_model(run):
    steps = []

    original = training.Trainer.run_step

    def run_and_interrupt(self, index):
        original(self, index)
        steps.append(index)
        if len(steps) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "run_step", run_and_interrupt)
        with pytest.raises(InterruptedRunError, match="no model to generate with yet"):
            train_model(_config(run, batch_size=8))
    with pytest.raises(DataError, match="holds no model"):
        Sampler(run)


def test_overwrite_keeps_the_old_model_until_the_new_is_complete(run):
    train_model(_config(run))
    old = read_model_info(run)

    def fail(state) -> None:
        raise RuntimeError("the callback's own fault")

    again = _config(run, overwrite=True, seed=9)
    tokenize(again)
    with pytest.raises(RuntimeError):
        train_model(again.replace(epoch_callback=fail))
    assert read_model_info(run) == old
    Sampler(run)
    train_model(again)
    assert read_model_info(run).weights_digest != old.weights_digest
    Sampler(run)
    assert not (run / ".next").exists()


def test_records_longer_than_a_row_are_counted(run):
    report = train_model(_config(run, seq_length=7, epochs=1))  # `<n>5,07,x<n>` has seven places, `<n>15,07,x<n>` eight
    lines = (run / "lines.txt").read_text().splitlines()
    counted = report.counts["records longer than a row, trained whole"]
    assert 0 < counted < report.counts["records"] < len(lines)
    assert read_manifest(run / "model")["counts"]["records longer than a row, trained whole"] == counted


def test_overwrite_drops_an_unfinished_training_of_other_settings(run):
    with pytest.raises(RuntimeError):
        train_model(_config(run, epoch_callback=_raise))
    train_model(_config(run, overwrite=True, rnn_units=20))
    assert read_model_info(run).rnn_units == 20


def _raise(state) -> None:
    raise RuntimeError


def test_a_divergent_training_names_the_learning_rate(run):
    with pytest.raises(DataError, match="Lower the learning rate"):
        train_model(_config(run, learning_rate=1e38))


def test_training_data_that_are_missing_cut_or_of_another_tokenizer(run, tmp_path):
    with pytest.raises(DataError, match=r"holds no complete training data. Run tokenize"):
        train_model(_config(tmp_path / "empty"))
    shard = next((run / "training_data").glob("train-*.gz"))
    shard.write_bytes(shard.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"LS216: .*training_data.*[Rr]un tokenize again"):
        train_model(_config(run))
    assert not RunDirectory(run).has_model()


def test_few_records_and_no_validation_record(tmp_path):
    (tmp_path / "lines.txt").write_text("a,b,c\n" * 3)  # equal lines fall on one side
    config = _config(tmp_path, epochs=1, holdout_fraction=0)
    try:
        tokenize(config)
    except DataError as error:
        assert "too few records" in str(error)
        config = config.replace(validation_split=False)
        tokenize(config)
    report = train_model(config)
    assert report.counts["records"] == 3
