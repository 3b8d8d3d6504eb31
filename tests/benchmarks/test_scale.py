"""Tests of the figures that `make bench-scale` computes from its measurements."""

from __future__ import annotations

import os

import pytest

from benchmarks import scale
from benchmarks.scale import Measurement, exponent, marginal_rate, ratios
from benchmarks.scale_part import WorkerMemoryPeak, anonymous_bytes, worker_pids


def runs_of(
    stage: str, runner: str, sizes: list[int], start: float, each: float, power: float = 1.0
) -> list[Measurement]:
    return [Measurement(stage, runner, size, start + each * size**power, 1) for size in sizes]


@pytest.fixture
def measurements() -> list[Measurement]:
    lines, records = [10**4, 10**5, 10**6], [10**4, 10**5]
    return [
        *runs_of("tokenize", "direct-1-core", lines, 5, 1 / 30_000),
        *runs_of("tokenize", "direct-2", [*lines, 10**7], 20, 1 / 57_000),
        *runs_of("tokenize", "flink-2", lines, 40, 1 / 50_000),
        *runs_of("generate", "direct-1-core", records, 3, 1 / 2_000),
        *runs_of("generate", "direct-2", [*records, 10**6], 12, 1 / 3_800),
        *runs_of("generate", "flink-2", records, 25, 1 / 4_000),
    ]


def test_ratios_exclude_start_up_time(measurements):
    found = ratios(measurements)
    assert found["tokenize_lines_per_second"] == pytest.approx(57_000)
    assert found["tokenize_flink_vs_direct"] == pytest.approx(57 / 50)
    assert found["flink_vs_direct"] == pytest.approx(57 / 50)  # the worse of the two stages
    assert found["two_workers_vs_one"] == pytest.approx(1.9)
    assert found["tokenize_exponent"] == pytest.approx(1.0)
    assert found["tokenize_bpe_lines_per_second"] is None


def test_the_exponent_shows_time_that_grows_faster_than_the_work():
    slow = runs_of("tokenize", "direct-2", [10**4, 10**5, 10**6, 10**7], 10, 1e-7, power=1.3)
    assert exponent(slow, "tokenize", "direct-2") == pytest.approx(1.3, abs=0.02)


def test_too_few_measurements_give_none():
    single = runs_of("tokenize", "direct-2", [10**5], 10, 1e-5)
    assert marginal_rate(single, "tokenize", "direct-2") is None
    assert exponent(single * 2, "tokenize", "direct-2") is None
    assert set(ratios(single).values()) == {None}
    faster = [Measurement("tokenize", "direct-2", 10, 9.0, 0), Measurement("tokenize", "direct-2", 100, 8.0, 0)]
    assert marginal_rate(faster, "tokenize", "direct-2") is None  # noise, not a negative rate


def test_memory_is_measured_in_worker_processes_or_else_in_this_one():
    with WorkerMemoryPeak() as peak:
        while not peak.bytes:
            pass
    assert peak.bytes > 1e6
    assert anonymous_bytes(os.getpid()) > 1e6
    assert anonymous_bytes(2**30) == 0
    assert os.getpid() not in worker_pids()


def test_one_worker_uses_one_core():
    names = {runner.name: runner for runner in scale.runner_setups(["--runner", "FlinkRunner"])}
    assert names["direct-1-core"].core == 0
    assert all(runner.flink == name.startswith("flink") for name, runner in names.items())
