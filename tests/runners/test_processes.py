"""`--workers N`: workers are forks of one process, a killed worker ends the run, and none outlives its driver."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest

from linesmith.core.errors import ParameterError
from linesmith.runners import pipeline_options
from linesmith.runners.fork_server import ForkServer

pytestmark = pytest.mark.slow


def _named(number: int) -> tuple[int, int, str, str]:
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    time.sleep(0.5)
    return number, os.getpid(), threads, os.environ.get("LINESMITH_TEST_WORD", "")


def _dies(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _run(step: beam.PTransform, out: Path | None = None) -> None:
    with beam.Pipeline(options=pipeline_options(["--workers", "2"])) as pipeline:
        done = pipeline | beam.Create(list(range(8))) | beam.Reshuffle() | step
        if out is not None:
            _ = done | beam.Map(repr) | beam.io.WriteToText(str(out), num_shards=1)


def test_two_workers_share_the_work_with_the_driver_s_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for attempt in ("first", "second"):  # the second pipeline's workers are new ones of the same server
        monkeypatch.setenv("LINESMITH_TEST_WORD", attempt)
        _run(beam.Map(_named), tmp_path / attempt)
        found = [ast.literal_eval(line) for path in tmp_path.glob(f"{attempt}-*") for line in path.open("r")]
        assert sorted(number for number, *_ in found) == list(range(8))
        assert len({pid for _, pid, *_ in found} - {os.getpid()}) == 2
        assert {threads for *_, threads, _ in found} == {str(max(1, (os.cpu_count() or 1) // 2))}
        assert {word for *_, word in found} == {attempt}


def test_a_killed_worker_ends_the_run_with_a_message() -> None:
    with pytest.raises(ParameterError, match=r"LS408.*signal 9.*fewer --workers"):
        _run(beam.Map(_dies))


def test_a_killed_server_reports_its_workers_as_killed() -> None:
    server, ended = ForkServer(), threading.Event()
    server.start("one", {}, lambda status: ended.set() if status == -signal.SIGKILL else None)
    os.kill(server._process.pid, signal.SIGKILL)  # while it imports
    assert ended.wait(30)
    server.close()


def test_a_server_that_is_not_needed_after_all_keeps_nobody_waiting() -> None:
    server = ForkServer()
    server.close()
    assert server._process.returncode == -signal.SIGKILL  # it was still importing: that was not waited for


_DRIVER = """
import sys, time
from linesmith.runners.fork_server import ForkServer
server = ForkServer()
import os
server.start("one", {**os.environ, "CONTROL_API_SERVICE_DESCRIPTOR": "url: 'localhost:1'", "PIPELINE_OPTIONS": "{}",
                     "WORKER_ID": "one"}, print)
print(server._process.pid, flush=True)
time.sleep(600)
"""


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")
def test_no_worker_outlives_a_killed_driver() -> None:
    driver = subprocess.Popen([sys.executable, "-c", _DRIVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert driver.stdout is not None
        server = int(driver.stdout.readline())
        _until(lambda: bool(_children(server)), seconds=90)
        workers = _children(server)
    finally:
        driver.kill()
        driver.wait()
    _until(lambda: not any(Path(f"/proc/{pid}/cmdline").is_file() for pid in (server, *workers)), seconds=20)


def _until(holds: Callable[[], bool], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, "it took too long"
        time.sleep(0.05)
