"""The ledger composes as the accountant does, forgets nothing, and is never taken for empty when it is damaged."""

from __future__ import annotations

import json
import math
import multiprocessing

import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import DataError
from linesmith.model.privacy.accounting import GaussianEvent, epsilon
from linesmith.model.privacy.ledger import composed_epsilon, read_ledger, record_in_ledger, record_unbounded
from linesmith.model.privacy.plan_from_config import plan_privacy

DELTA = 1e-6


def plan_of(noise: float, **settings):
    given = {"dp": True, "dp_noise_multiplier": noise, "dp_batch_size": 50, "epochs": 2, **settings}
    return plan_privacy(TensorFlowConfig(**given), 1000)


@pytest.mark.integration
def test_composition_is_the_accountants(tmp_path):
    path = tmp_path / "deep" / "ledger.json"
    assert read_ledger(path, "rides") == []
    assert composed_epsilon([], DELTA) == 0
    record_in_ledger(path, "rides", "first", plan_of(1.0))
    record_in_ledger(path, "rides", "second", plan_of(2.0, epochs=3))
    entries = record_in_ledger(path, "other", "third", plan_of(0.5))
    assert [entry.run for entry in entries] == ["third"]
    entries = read_ledger(path, "rides")
    assert [entry.run for entry in entries] == ["first", "second"]
    together = [GaussianEvent(1.0, 40, 0.05), GaussianEvent(2.0, 60, 0.05)]
    assert composed_epsilon(entries, DELTA) == epsilon(together, DELTA)
    assert entries[0].epsilon == plan_of(1.0).epsilon < composed_epsilon(entries, DELTA)
    more = GaussianEvent(3.0, 10, 0.05)
    assert composed_epsilon(entries, DELTA, more) == epsilon([*together, more], DELTA)


def test_the_claim_is_entered_once_however_often_it_is_resumed(tmp_path):
    path = tmp_path / "ledger.json"
    for _ in range(3):
        record_in_ledger(path, "rides", "one", plan_of(1.0))
    assert len(read_ledger(path, "rides")) == 1
    record_in_ledger(path, "rides", "one", plan_of(1.0, epochs=5))  # another plan may have released steps of its own
    record_in_ledger(path, "rides", "two", plan_of(1.0))
    assert len(read_ledger(path, "rides")) == 3


def test_a_training_without_privacy_is_entered_once_and_leaves_no_bound(tmp_path):
    path = tmp_path / "ledger.json"
    record_unbounded(path, "rides", "plain")
    entries = record_unbounded(path, "rides", "plain")
    assert [(entry.run, entry.epsilon, entry.events) for entry in entries] == [("plain", math.inf, ())]
    assert record_in_ledger(path, "rides", "private", plan_of(1.0)) == read_ledger(path, "rides")
    assert composed_epsilon(read_ledger(path, "rides"), DELTA) == math.inf
    json.loads(path.read_text(), parse_constant=pytest.fail)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("text")
    (tmp_path / ".ledger.json.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(DataError, match="LS306"):
        record_unbounded(tmp_path / "ledger.json", "rides", "plain")
    assert (tmp_path / "mine").read_text() == "text"


def test_what_has_no_bound_stays_without_one(tmp_path):
    path = tmp_path / "ledger.json"
    record_in_ledger(path, "rides", "none", plan_of(0.0))
    assert composed_epsilon(read_ledger(path, "rides"), DELTA) == math.inf
    record_in_ledger(path, "tests", "unsafe", plan_of(1.0), unsafe_key=True)
    assert composed_epsilon(read_ledger(path, "tests"), DELTA) == math.inf
    json.loads(path.read_text(), parse_constant=pytest.fail)  # plain JSON, no Infinity


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"format_version": 1}',
        b'{"format_version": 1, "datasets": {"rides": [{"run": "x"}]}}',
        b"\xff",
    ],
)
def test_a_damaged_ledger_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "ledger.json"
    path.write_bytes(content)
    for call in (lambda: read_ledger(path, "rides"), lambda: record_in_ledger(path, "rides", "one", plan_of(1.0))):
        with pytest.raises(DataError, match="LS306"):
            call()
    assert path.read_bytes() == content


def test_a_newer_ledger_is_refused(tmp_path):
    (tmp_path / "ledger.json").write_text('{"format_version": 99, "datasets": {}}')
    with pytest.raises(DataError, match="LS202"):
        read_ledger(tmp_path / "ledger.json", "rides")


def test_a_ledger_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="LS306"):
        record_in_ledger(tmp_path / "file" / "ledger.json", "rides", "one", plan_of(1.0))


def _enter(path, number):
    from linesmith.model.privacy.accounting import GaussianEvent as Event

    class Plan:
        planned_steps, delta, epsilon = 1, DELTA, 1.0

        def all_events(self):
            return (Event(1.0 + number, 1, 0.5),)

    record_in_ledger(path, "rides", str(number), Plan())


@pytest.mark.integration
def test_writers_do_not_lose_each_other(tmp_path):
    path = tmp_path / "ledger.json"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_enter, args=(path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {entry.run for entry in read_ledger(path, "rides")} == set(map(str, range(4)))
