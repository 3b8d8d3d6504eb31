"""Tests of the benchmarks: figures computed from the parts, and parts that cannot run."""

from __future__ import annotations

import json
import posix
import sys
from pathlib import Path

import pytest

from benchmarks import environments, generate, machine, ours, parts, records, train
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.hardware import matmul_precision
from linesmith.model.training.settings import NetworkSettings
from linesmith.model.training.trainer import build_model

pytestmark = pytest.mark.integration

FAST = f"ours-{matmul_precision('auto')}"


def lines(count: int) -> list[str]:
    return [f"{number % 7}, x, {number % 5}" for number in range(count)]


def test_no_tool_trains_on_held_out_records_and_they_have_no_unknown_character(tmp_path):
    file = records.write_lines(tmp_path / "data.csv", [*lines(19), "only here: %", "0, x, 0"])
    data = records.load_records(file)
    assert len(data.train) == 19
    assert set(data.heldout) == {
        "2, x, 4"
    }  # the other held-out record has characters that are not in the training records
    assert (data.fields, data.delimiter) == (3, ", ")


def test_the_number_of_records_is_limited(tmp_path):
    data = records.load_records(records.write_lines(tmp_path / "data.csv", lines(records.MAX_RECORDS + 1_000)))
    assert len(data.train) + len(data.heldout) == records.MAX_RECORDS


def test_a_missing_file_is_not_replaced_by_the_default_data(tmp_path):
    with pytest.raises(FileNotFoundError):
        records.load_records(tmp_path / "none.csv")


def test_ratios_of_training():
    shape = {"network": "plain", "precision": "float32", "time": 100, "batch": 256}
    shape |= {"plain_vs_matmul_bound": 0.6, "private_vs_plain": 1.1}
    found = {
        FAST: {"characters_per_second": 50.0, "heldout_bits_per_character": 1.5},
        "gretel": {"characters_per_second": 20.0, "heldout_bits_per_character": 3.0},
        "ours-private": {"records_per_second": 30.0},
        "mostlyai-private": {"not_run": "it failed"},
        "steps": {"shapes": [shape | {"time": 50, "private_vs_plain": 9.0}, shape]},
        "steps-of-fields": {"shapes": [shape | {"network": "of fields", "private_vs_plain": 1.2}]},
    }
    ratios = train.ratios(found)
    assert ratios["private_step_vs_plain_of_fields_float32"] == 1.2
    assert ratios["train_vs_gretel"] == 2.5
    assert ratios["private_vs_mostlyai"] is None
    assert ratios["private_step_vs_plain_float32"] == 1.1
    assert ratios["train_vs_matmul_bound_float32"] == 0.6
    assert ratios["train_vs_stock_keras"] is None


def test_ratios_of_generation_take_the_peers_at_their_best():
    found = {
        "ours": {"characters_per_second": 100.0, "tokens_per_second": 100.0, "vocab": 64, "slot_occupancy": 0.9}
        | {"matmul_before": 3e9, "matmul_after": 5e9},
        "gretel": {"characters_per_second": 2.0},
        "gretel-2-workers-batch-64": {"characters_per_second": 4.0},
        "train-gretel": {"characters_per_second": 1e9},
        "mostlyai-batch-128": {"not_run": "it failed"},
    }
    ratios = generate.ratios(found)
    assert ratios["generate_vs_gretel"] == 50.0
    assert ratios["generate_vs_gretel_best"] == 25.0
    assert ratios["generate_vs_mostlyai"] is None
    flops = machine.flops_per_token(256, 256, 2, 64, training=False)
    assert ratios["generate_vs_matmul"] == pytest.approx(100 * flops / 4e9)


def test_operations_per_token():
    # One layer: x·W and h·U, four gates each, then the logits; backward is twice forward.
    assert machine.flops_per_token(3, 5, 1, 7, training=True) == 3 * 2 * (4 * 3 * (5 + 3) + 3 * 7)
    assert machine.flops_per_token(3, 5, 1, 7, training=False) == 2 * (4 * 3 * 3 + 3 * 7)


def test_calls_alternate_after_a_first_call_that_is_not_timed():
    calls: list[str] = []
    times = machine.rounds([lambda: calls.append("a"), lambda: calls.append("b")], seconds=0.0)
    assert calls == ["a", "b"] * (1 + len(times))
    assert len(times) == 5
    assert all(len(seconds) == 2 for seconds in times)


def run(part: parts.Part, place: Path) -> dict:
    return parts.run_part(part, place, lambda: 1e9, sys.executable, {"seconds": 1})


def test_a_peer_that_cannot_be_installed_is_reported_and_not_fatal(tmp_path, monkeypatch):
    def refuse(peer: environments.Peer) -> Path:
        raise environments.NotInstalledError("no such package")

    monkeypatch.setattr(parts, "environment_python", refuse)
    found = run(parts.Part("gretel", "inside/gretel_train.py", (), environments.GRETEL), tmp_path)
    assert found["not_run"] == "no such package"
    assert json.loads((tmp_path / "gretel.json").read_text()) == found


def test_a_peer_that_fails_is_not_fatal_and_removes_the_earlier_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "environment_python", lambda peer: Path(sys.executable))
    (tmp_path / "gretel.json").write_text('{"characters_per_second": 1.0}')
    found = run(parts.Part("gretel", "no_such_script.py", (), environments.GRETEL), tmp_path)
    assert "not_run" in found
    assert "characters_per_second" not in found


def test_a_part_of_ours_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(RuntimeError, match=r"part 'ours' failed: see .*ours\.log"):
        run(parts.Part("ours", "no_such_script.py", ()), tmp_path)


def test_every_part_has_a_unique_name_and_a_script(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "MODELS", tmp_path / "models")
    data = records.Records("test", lines(90), lines(10), 3, ", ")
    all_parts = [*train.parts(data, 1, tmp_path), *generate.parts(data, 1, 10)]
    for benchmark in (train.parts(data, 1, tmp_path), generate.parts(data, 1, 10)):
        assert len({part.name for part in benchmark}) == len(benchmark)
    for part in all_parts:
        assert (records.CHECKOUT / "benchmarks" / part.script).is_file()


def test_results_with_other_settings_are_ignored(tmp_path):
    part = parts.Part("ours", "train_ours.py", ())
    (tmp_path / "ours.json").write_text(json.dumps({"characters_per_second": 1.0, "run": {"seconds": 40}}))
    assert parts.saved_results([part], tmp_path, {"seconds": 120}) == {}
    assert "ours" in parts.saved_results([part], tmp_path, {"seconds": 40})


def test_the_work_of_other_processes_does_not_include_our_own(monkeypatch):
    monkeypatch.setattr(parts.os, "sysconf", lambda _: 100)
    ticks = iter(["cpu  1000 0 500 9 0 0 0 0\ncpu0 1", "cpu  1300 0 500 9 0 0 0 0\ncpu0 1"])
    monkeypatch.setattr(parts.Path, "read_text", lambda _: next(ticks))
    times = iter([posix.times_result((1.0, 0.0, 0.0, 0.0, 0.0)), posix.times_result((1.5, 0.0, 1.5, 0.0, 9.0))])
    monkeypatch.setattr(parts.os, "times", lambda: next(times))
    before = parts._other_cpu_seconds()
    assert parts._other_cpu_seconds() - before == pytest.approx(3.0 - 0.5 - 1.5)  # three seconds, two of them ours


def test_disturbed_parts_are_reported():
    quiet, noisy = {"others_cores": 0.05}, {"others_cores": 0.9}
    assert parts.disturbed({"quiet": quiet, "noisy": noisy}) == ["noisy"]
    assert parts.undisturbed({"quiet": quiet, "noisy": noisy}) == {"quiet": quiet}
    assert parts.disturbance_note(quiet) == ""
    assert "0.9" in parts.disturbance_note(noisy)


def test_the_work_of_orphans_counts_for_their_part(tmp_path):
    burn = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    script = tmp_path / "leaves_a_worker.py"
    script.write_text(
        "import pathlib, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {burn!r}])\n"
        "pathlib.Path(sys.argv[-1]).write_text('{}')\n"
    )

    def seconds_of_children() -> float:
        times = posix.times()
        return times.children_user + times.children_system

    before = seconds_of_children()
    run(parts.Part("ours", str(script), ()), tmp_path / "results")
    assert seconds_of_children() - before >= 0.45


def test_the_private_step_is_timed_on_the_network_of_the_plain_step():
    """By default `dp` has a smaller network; comparing the two would make the private step look six times faster."""
    plain = TensorFlowConfig(embedding_dim=8, rnn_units=16, input_data_path="x", checkpoint_dir="y")
    same = plain.replace(dp=True, **{name: getattr(plain, name) for name in ours.ARCHITECTURE})
    ours.require_equal_shapes(
        build_model(NetworkSettings.from_config(same), 20), build_model(NetworkSettings.from_config(plain), 20)
    )
    smaller = TensorFlowConfig(dp=True, embedding_dim=8, rnn_units=16, input_data_path="x", checkpoint_dir="y")
    with pytest.raises(ValueError, match="not the same architecture"):
        ours.require_equal_shapes(
            build_model(NetworkSettings.from_config(smaller), 20), build_model(NetworkSettings.from_config(plain), 20)
        )
