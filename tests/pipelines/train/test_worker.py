"""Training as a Beam step: the same model as in this process, and errors of the same class and code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from linesmith.core.artifacts.lease import LEASE_FILE
from linesmith.core.artifacts.model_info import read_model_info
from linesmith.core.artifacts.params import config_from_model_dir
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError, ParameterError
from linesmith.pipelines.tokenize.stage import tokenize
from linesmith.pipelines.train import local
from linesmith.pipelines.train.stage import train_model
from linesmith.pipelines.train.worker import worker_training_options

pytestmark = pytest.mark.integration

ON_DRIVER, ON_WORKER = ["--train_on", "driver"], ["--train_on", "worker"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "lines.txt"
    random = np.random.default_rng(0)
    path.write_text("".join(f"{random.integers(24)},{random.integers(100):02d},x\n" for _ in range(60)))
    return path


def _config(source, run, **more) -> TensorFlowConfig:
    small = {"embedding_dim": 8, "rnn_units": 16, "rnn_layers": 1, "epochs": 2, "vocab_size": 0, "field_delimiter": ","}
    return TensorFlowConfig(input_data_path=source, checkpoint_dir=run, tensorboard=False, **{**small, **more})


@pytest.mark.slow
def test_training_on_a_worker_gives_the_same_model_as_in_this_process(source, tmp_path):
    reports, weights = [], []
    rules = tmp_path / "rules.yaml"
    rules.write_text("[]")
    for where, words in (("here", ON_DRIVER), ("there", ON_WORKER)):
        config = _config(source, tmp_path / where, rules=rules)
        tokenize(config)
        reports.append(train_model(config, words))
        weights.append(read_model_info(tmp_path / where).weights_digest)
        assert config_from_model_dir(tmp_path / where).rules == f"{tmp_path / where}/model/inputs/rules.yaml"
    assert weights[0] == weights[1]
    assert reports[0].counts == reports[1].counts
    assert reports[1].seconds > 0
    assert not (tmp_path / "there" / LEASE_FILE).exists()


def test_an_error_on_the_worker_is_raised_in_this_process(source, tmp_path):
    config = _config(source, tmp_path / "run")
    with pytest.raises(DataError, match=r"LS201.*Run tokenize"):
        train_model(config, ON_WORKER)
    with pytest.raises(ParameterError, match=r"LS101.*epoch_callback"):
        train_model(_config(source, tmp_path / "run", epoch_callback=print), ON_WORKER)


def test_a_training_whose_lease_was_taken_over_writes_nothing(source, tmp_path, monkeypatch):
    """A worker that was thought lost finds another owner in the lease, and changes no file."""
    config = _config(source, tmp_path / "run")
    tokenize(config)
    build_trainer = local._build_trainer

    def taken_over(*args, **named):
        trainer = build_trainer(*args, **named)
        lease = tmp_path / "run" / LEASE_FILE
        lease.write_text(json.dumps({**json.loads(lease.read_text()), "number": 9, "owner": "another attempt"}))
        return trainer

    monkeypatch.setattr(local, "_build_trainer", taken_over)
    with pytest.raises(DataError, match=r"LS203.*taken over"):
        train_model(config)
    left = [path.name for path in Path(tmp_path / "run").rglob("*") if path.suffix in (".npz", ".csv")]
    assert left == []


def test_where_training_runs():
    assert worker_training_options([]) is None
    assert worker_training_options(["--workers", "1"]) is None
    assert worker_training_options(ON_WORKER) is not None
    flink = ["--runner", "FlinkRunner", "--job_endpoint", "localhost:8099", "--flink_master", "[local]"]
    assert worker_training_options(flink) is None  # LOOPBACK: its worker is this process
    assert worker_training_options([*flink, "--environment_type", "EXTERNAL"]) is not None
