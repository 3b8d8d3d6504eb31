"""What the benchmarks conclude from their parts, and how a part that cannot run is told."""

from __future__ import annotations

import json
import posix
import sys
from pathlib import Path

import pytest

from benchmarks import environments, generate, machine, ours, parts, records, train
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.hardware import matmul_precision
from linesmith.model.training.trainer import build_model

FAST = f"ours-{matmul_precision('auto')}"


def lines(count: int) -> list[str]:
    return [f"{number % 7}, x, {number % 5}" for number in range(count)]


def test_held_out_records_are_learnt_by_no_tool_and_have_no_foreign_character(tmp_path):
    file = records.write_lines(tmp_path / "data.csv", [*lines(19), "only here: %", "0, x, 0"])
    data = records.records(file)
    assert len(data.train) == 19
    assert set(data.heldout) == {"2, x, 4"}  # the other one has characters that nothing could be learnt about
    assert (data.fields, data.delimiter) == (3, ", ")


def test_only_so_many_records_are_taken(tmp_path):
    data = records.records(records.write_lines(tmp_path / "data.csv", lines(records.COUNT + 1_000)))
    assert len(data.train) + len(data.heldout) == records.COUNT


def test_a_named_file_that_is_missing_is_not_replaced(tmp_path):
    with pytest.raises(FileNotFoundError):
        records.records(tmp_path / "none.csv")


def test_ratios_of_training():
    shape = {"precision": "float32", "time": 100, "batch": 256, "plain_vs_matmul_bound": 0.6, "private_vs_plain": 1.1}
    found = {
        FAST: {"characters_per_second": 50.0, "heldout_bits_per_character": 1.5},
        "gretel": {"characters_per_second": 20.0, "heldout_bits_per_character": 3.0},
        "ours-private": {"records_per_second": 30.0},
        "mostlyai-private": {"not_run": "it failed"},
        "steps": {"shapes": [shape | {"time": 50, "private_vs_plain": 9.0}, shape]},
    }
    ratios = train.ratios(found)
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
    flops = machine.flops_a_token(256, 256, 2, 64, training=False)
    assert ratios["generate_vs_matmul"] == pytest.approx(100 * flops / 4e9)


def test_operations_of_a_token():
    # One layer: x·W and h·U, four gates each, then the logits; backward is twice forward.
    assert machine.flops_a_token(3, 5, 1, 7, training=True) == 3 * 2 * (4 * 3 * (5 + 3) + 3 * 7)
    assert machine.flops_a_token(3, 5, 1, 7, training=False) == 2 * (4 * 3 * 3 + 3 * 7)


def test_calls_take_turns_after_a_first_call_that_is_not_timed():
    calls: list[str] = []
    taken = machine.rounds([lambda: calls.append("a"), lambda: calls.append("b")], seconds=0.0)
    assert calls == ["a", "b"] * (1 + len(taken))
    assert len(taken) == 5
    assert all(len(turn) == 2 for turn in taken)


def run(part: parts.Part, place: Path) -> dict:
    return parts.run_part(part, place, lambda: 1e9, sys.executable, {"seconds": 1})


def test_a_peer_that_cannot_be_installed_is_told_and_not_fatal(tmp_path, monkeypatch):
    def refuse(peer: environments.Peer) -> Path:
        raise environments.NotInstalledError("no such package")

    monkeypatch.setattr(parts, "python_of", refuse)
    found = run(parts.Part("gretel", "inside/gretel_train.py", (), environments.GRETEL), tmp_path)
    assert found["not_run"] == "no such package"
    assert json.loads((tmp_path / "gretel.json").read_text()) == found


def test_a_peer_that_fails_is_not_fatal_and_leaves_no_earlier_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "python_of", lambda peer: Path(sys.executable))
    (tmp_path / "gretel.json").write_text('{"characters_per_second": 1.0}')
    found = run(parts.Part("gretel", "no_such_script.py", (), environments.GRETEL), tmp_path)
    assert "not_run" in found
    assert "characters_per_second" not in found


def test_a_part_of_ours_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(RuntimeError, match=r"part 'ours' failed: see .*ours\.log"):
        run(parts.Part("ours", "no_such_script.py", ()), tmp_path)


def test_every_part_has_a_name_of_its_own_and_a_script(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "MODELS", tmp_path / "models")
    data = records.Records("test", lines(90), lines(10), 3, ", ")
    every = [*train.parts(data, 1, tmp_path), *generate.parts(data, 1, 10)]
    for some in (train.parts(data, 1, tmp_path), generate.parts(data, 1, 10)):
        assert len({part.name for part in some}) == len(some)
    for part in every:
        assert (records.CHECKOUT / "benchmarks" / part.script).is_file()


def test_results_of_another_run_are_not_mixed_in(tmp_path):
    part = parts.Part("ours", "train_ours.py", ())
    (tmp_path / "ours.json").write_text(json.dumps({"characters_per_second": 1.0, "run": {"seconds": 40}}))
    assert parts.earlier([part], tmp_path, {"seconds": 120}) == {}
    assert "ours" in parts.earlier([part], tmp_path, {"seconds": 40})


def test_work_of_other_processes_is_told_from_our_own(monkeypatch):
    monkeypatch.setattr(parts.os, "sysconf", lambda _: 100)
    ticks = iter(["cpu  1000 0 500 9 0 0 0 0\ncpu0 1", "cpu  1300 0 500 9 0 0 0 0\ncpu0 1"])
    monkeypatch.setattr(parts.Path, "read_text", lambda _: next(ticks))
    times = iter([posix.times_result((1.0, 0.0, 0.0, 0.0, 0.0)), posix.times_result((1.5, 0.0, 1.5, 0.0, 9.0))])
    monkeypatch.setattr(parts.os, "times", lambda: next(times))
    before = parts._busy()
    assert parts._busy() - before == pytest.approx(3.0 - 0.5 - 1.5)  # three seconds of the machine's, two of them ours


def test_a_disturbed_part_is_named():
    quiet, noisy = {"others_cores": 0.05}, {"others_cores": 0.9}
    assert parts.disturbed({"quiet": quiet, "noisy": noisy}) == ["noisy"]
    assert parts.undisturbed({"quiet": quiet, "noisy": noisy}) == {"quiet": quiet}
    assert parts.mark(quiet) == ""
    assert "0.9" in parts.mark(noisy)


def test_work_of_orphans_is_the_parts_own(tmp_path):
    burn = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    script = tmp_path / "leaves_a_worker.py"
    script.write_text(
        "import pathlib, subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', {burn!r}])\n"
        "pathlib.Path(sys.argv[-1]).write_text('{}')\n"
    )

    def spent() -> float:
        times = posix.times()
        return times.children_user + times.children_system

    before = spent()
    run(parts.Part("ours", str(script), ()), tmp_path / "results")
    assert spent() - before >= 0.45


def test_a_private_step_is_timed_on_the_plain_steps_network():
    """`dp` has a smaller network by default; comparing the two would flatter the private step six times over."""
    plain = TensorFlowConfig(embedding_dim=8, rnn_units=16, input_data_path="x", checkpoint_dir="y")
    same = plain.replace(dp=True, **{name: getattr(plain, name) for name in ours.ARCHITECTURE})
    ours.refuse_other_shapes(build_model(same, 20), build_model(plain, 20))
    smaller = TensorFlowConfig(dp=True, embedding_dim=8, rnn_units=16, input_data_path="x", checkpoint_dir="y")
    with pytest.raises(ValueError, match="not the same architecture"):
        ours.refuse_other_shapes(build_model(smaller, 20), build_model(plain, 20))
