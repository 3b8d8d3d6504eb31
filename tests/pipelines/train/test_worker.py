"""Training as a Beam step: the same model as in this process, and errors that come back as themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from linesmith.core.artifacts.lease import LEASE_FILE
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train import stage
from linesmith.pipelines.train.stage import train
from linesmith.pipelines.train.worker import on_worker

HERE, THERE = ["--train_on", "driver"], ["--train_on", "worker"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "lines.txt"
    random = np.random.default_rng(0)
    path.write_text("".join(f"{random.integers(24)},{random.integers(100):02d},x\n" for _ in range(60)))
    return path


def _config(source, run, **more) -> TensorFlowConfig:
    small = {"embedding_dim": 8, "rnn_units": 16, "rnn_layers": 1, "epochs": 2, "vocab_size": 0, "field_delimiter": ","}
    return TensorFlowConfig(input_data_path=source, checkpoint_dir=run, tensorboard=False, **{**small, **more})


def test_a_worker_trains_the_model_that_this_process_would(source, tmp_path):
    reports, weights = [], []
    for where, words in (("here", HERE), ("there", THERE)):
        config = _config(source, tmp_path / where)
        tokenize(config)
        reports.append(train(config, words))
        weights.append(read_model_info(tmp_path / where).weights_digest)
    assert weights[0] == weights[1]
    assert reports[0].counts == reports[1].counts
    assert reports[1].seconds > 0
    assert not (tmp_path / "there" / LEASE_FILE).exists()


def test_an_error_on_the_worker_is_that_error_here(source, tmp_path):
    config = _config(source, tmp_path / "run")
    with pytest.raises(DataError, match=r"LS201.*run tokenize"):
        train(config, THERE)
    with pytest.raises(ParameterError, match=r"LS101.*epoch_callback"):
        train(_config(source, tmp_path / "run", epoch_callback=print), THERE)


def test_the_fence_stops_a_training_that_was_taken_over(source, tmp_path, monkeypatch):
    """A worker that comes back finds another's lease, and leaves every file as the other has it."""
    config = _config(source, tmp_path / "run")
    tokenize(config)
    trainer = stage._trainer

    def taken_over(*args, **named):
        made = trainer(*args, **named)
        lease = tmp_path / "run" / LEASE_FILE
        lease.write_text(json.dumps({**json.loads(lease.read_text()), "number": 9, "owner": "another attempt"}))
        return made

    monkeypatch.setattr(stage, "_trainer", taken_over)
    with pytest.raises(DataError, match=r"LS203.*taken over"):
        train(config)
    left = [path.name for path in Path(tmp_path / "run").rglob("*") if path.suffix in (".npz", ".csv")]
    assert left == []


def test_where_training_runs():
    assert on_worker([]) is None
    assert on_worker(["--workers", "1"]) is None
    assert on_worker(THERE) is not None
    flink = ["--runner", "FlinkRunner", "--job_endpoint", "localhost:8099", "--flink_master", "[local]"]
    assert on_worker(flink) is None  # LOOPBACK: its worker is this process
    assert on_worker([*flink, "--environment_type", "EXTERNAL"]) is not None
