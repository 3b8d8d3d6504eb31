"""No file for release of a private run holds a time, a host or a process, or depends on how long anything took."""

from __future__ import annotations

import platform
from datetime import UTC, datetime

import pytest

from linesmith.core.artifacts.history import EpochState
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.training.loop import TrainingLoop
from linesmith.pipelines.train.hooks import training_hooks
from linesmith.pipelines.train.private import _private_training_notices
from tests.helpers.release_checks import Clock
from tests.pipelines.train.test_what_may_leave import private_run, records_of

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("private", [True, False])
def test_event_files_are_written_without_privacy_only(tmp_path, private):
    run = RunDirectory(tmp_path, private)
    config = TensorFlowConfig(dp=private, tensorboard=True, checkpoint_dir=tmp_path)
    with training_hooks(config, run, None) as hooks:
        hooks.on_epoch(EpochState(epoch=0, val_loss=1.0), True)
    assert (run.model / "tensorboard").exists() != private


def test_event_files_that_were_asked_for_are_missed_with_a_notice():
    told = [any("tensorboard" in notice for notice in _private_training_notices(TensorFlowConfig(dp=True, **given)))
            for given in ({"tensorboard": True}, {}, {"tensorboard": False})]  # fmt: skip
    assert told == [True, False, False]


@pytest.mark.slow
def test_a_slower_machine_of_another_name_releases_the_same_bytes(tmp_path, monkeypatch):
    def released(name: str) -> dict[str, bytes]:
        return private_run(tmp_path / name, monkeypatch, records_of("none"), tensorboard=True)

    today = {datetime.now(UTC).date().isoformat().encode()}
    fast = released("fast")
    monkeypatch.setitem(TrainingLoop.__init__.__kwdefaults__, "clock", Clock(1000.0))
    monkeypatch.setattr(platform, "node", lambda: "another-host")
    slow = released("slow")
    today.add(datetime.now(UTC).date().isoformat().encode())
    assert fast.keys() == slow.keys()
    assert [name for name in fast if fast[name] != slow[name]] == []
    assert not [name for name in slow if b"another-host" in slow[name] or any(day in slow[name] for day in today)]
    assert {name.partition("/")[0] for name in fast if not name.startswith(".")} == {
        "invalid", "model", "model_history.csv", "model_params.json", "synthetic", "tokenizer",
    }  # fmt: skip
