"""The lease of a run directory: one holder, takeover only without renewal, and no late write of an earlier holder."""

from __future__ import annotations

import json
import multiprocessing
import time
from dataclasses import asdict

import pytest

from linesmith.core.artifacts import lease as module
from linesmith.core.artifacts.lease import LEASE_FILE, Claim, hold_lease, wait_for_lease
from linesmith.core.artifacts.run_directory import locked, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError


@pytest.fixture(autouse=True)
def short_term(monkeypatch):
    monkeypatch.setattr(module, "LEASE_TERM_SECONDS", 0.4)


def _claim(root, **more) -> Claim:
    claim = Claim(**{"number": 7, "owner": "someone", "host": "elsewhere", "pid": 1, **more})
    (root / LEASE_FILE).write_text(json.dumps(asdict(claim)), "utf-8")
    return claim


def test_a_released_lease_is_free_at_once_and_leaves_no_file(tmp_path):
    names = set()
    begun = time.monotonic()
    for _ in range(3):
        with hold_lease(tmp_path, term=30) as lease:
            names.add(lease.name)
        assert not (tmp_path / LEASE_FILE).exists()
    assert len(names) == 3
    assert time.monotonic() - begun < 5


def test_a_lease_that_is_renewed_is_refused_by_name(tmp_path):
    with (
        hold_lease(tmp_path, term=0.4),
        pytest.raises(DataError, match=r"LS203.*goes on"),
        hold_lease(tmp_path, term=0.4, patience=0.1),
    ):
        pytest.fail("two hold it")


def test_a_lease_without_renewal_is_taken_over_after_a_term_and_not_before(tmp_path):
    _claim(tmp_path)
    begun = time.monotonic()
    with hold_lease(tmp_path, term=0.5) as lease:
        assert 0.5 <= time.monotonic() - begun < 5
        assert lease.number == 8


def test_a_holder_on_this_machine_that_died_is_not_waited_for(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0,))
    process.start()
    process.join()
    _claim(tmp_path, host=module.platform.node(), pid=process.pid)
    begun = time.monotonic()
    wait_for_lease(tmp_path, term=30)
    assert time.monotonic() - begun < 5


def test_a_holder_that_continues_late_writes_nothing(tmp_path):
    with hold_lease(tmp_path, term=0.4) as former:
        with former.writing():
            (tmp_path / "weights").write_text("1")
        _claim(tmp_path, number=2, owner="the next attempt")
        with pytest.raises(DataError, match=r"LS203.*taken over"), former.writing():
            (tmp_path / "weights").write_text("late")
    assert (tmp_path / "weights").read_text() == "1"
    # Ending the block does not release the lease of the current holder.
    assert json.loads((tmp_path / LEASE_FILE).read_text())["owner"] == "the next attempt"


def test_the_holder_renews(tmp_path):
    with hold_lease(tmp_path, term=0.4):
        before = json.loads((tmp_path / LEASE_FILE).read_text())["renewed"]
        end = time.monotonic() + 5
        while json.loads((tmp_path / LEASE_FILE).read_text())["renewed"] <= before:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_the_run_directory_is_refused_while_a_worker_trains_in_it(tmp_path):
    run = run_directory(TensorFlowConfig(checkpoint_dir=str(tmp_path), input_data_path="x"))
    with hold_lease(tmp_path, term=0.4), pytest.raises(DataError, match=r"LS203.*training"), locked(run):
        pytest.fail("locked beside a trainer")
    with locked(run):
        pass


def test_a_damaged_lease_is_reported(tmp_path):
    (tmp_path / LEASE_FILE).write_text('{"number": 1}')
    with pytest.raises(DataError, match="LS201"):
        wait_for_lease(tmp_path)
