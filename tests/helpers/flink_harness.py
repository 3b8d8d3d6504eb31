"""Helpers of the tests on a real Flink cluster: digests of a run directory, and faults in the middle of a stage."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from linesmith.core.artifacts.files import sha256_tree
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from tools.flink.cluster import REST, Cluster

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.02


def config_of(source: Path, run: Path, **more) -> TensorFlowConfig:
    """Return settings with a small network: these tests are about where it runs."""
    settings = {
        "input_data_path": str(source),
        "checkpoint_dir": str(run),
        "field_delimiter": "|",
        "vocab_size": 0,
        "epochs": 2,
        "rnn_units": 64,
        "rnn_layers": 1,
        "early_stopping": False,
        "unit_size": 512,
        "overwrite": True,
        "tensorboard": False,
    }
    return TensorFlowConfig(**{**settings, **more})


def write_airport_lines(target: Path, count: int) -> None:
    """Write the demo's airports, repeated with a number at the end if there are fewer than `count`."""
    from linesmith.cli.commands.demo import airport_lines

    found = airport_lines(count)
    with open(target, "w", encoding="utf-8") as out:
        for number in range(count):
            repetition, index = divmod(number, len(found))
            out.write(found[index] + (f" {repetition}" if repetition else "") + "\n")


def data_digest(run: Path) -> str:
    """Return the digest of the training data, which does not depend on the shards."""
    return json.loads((run / "training_data" / "manifest.json").read_text("utf-8"))["data_digest"]


def records_of(run: Path) -> dict[str, str]:
    """Return the SHA-256 of each shard of valid and of invalid records, by path."""
    shards = {f"synthetic/{name}": digest for name, digest in sha256_tree(run / "synthetic").items()}
    shards |= {f"invalid/{name}": digest for name, digest in sha256_tree(run / "invalid").items()}
    return {name: digest for name, digest in shards.items() if not name.endswith("manifest.json")}


def count_of(run: Path) -> int:
    """Count the generated lines of text in the files."""
    return sum(shard.read_bytes().count(b"\n") for shard in (run / "synthetic").rglob("*.txt"))


def looks_complete(run: Path, stage: str) -> bool:
    """Return whether a stage has written its manifest."""
    return (run / stage / "manifest.json").exists()


@contextmanager
def run_when(
    condition: Callable[[], bool], action: Callable[[], object], within: float = 240.0
) -> Iterator[list[float]]:
    """Run an action as soon as a condition holds while the block runs; yield a list that gets the time of the action.

    Raises:
        AssertionError: the block ended before the action ran.
    """
    done: list[float] = []
    over = threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + within
        while not over.is_set() and time.monotonic() < deadline:
            if condition():
                action()
                done.append(time.monotonic())
                return
            time.sleep(POLL_SECONDS)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()
    assert done, "the stage ended before the fault could happen; give it more to do"


def failures_of_jobs() -> int:
    """Return the number of failures that the JobManager has recorded over all jobs: it shows that a fault had an effect."""
    with urllib.request.urlopen(f"http://localhost:{REST}/jobs/overview", timeout=10) as answer:
        jobs = [job["jid"] for job in json.load(answer)["jobs"]]
    total = 0
    for job in jobs:
        with urllib.request.urlopen(f"http://localhost:{REST}/jobs/{job}/exceptions", timeout=10) as answer:
            total += len(json.load(answer)["exceptionHistory"]["entries"])
    return total


def unit_files(run: Path) -> int:
    """Count the finished units of the generation that runs."""
    return len(list(run.glob(".tmp/generate-*/units/unit-*.json")))


def encoding_began(run: Path) -> bool:
    """Return whether a worker of tokenize is writing a shard."""
    return any(run.glob(".tmp/tokenize-*/data/.train-*"))


def command(arguments: list[str], cluster: Cluster | None) -> subprocess.Popen:
    """Start a command in its own process, so that it can be killed."""
    args = [sys.executable, "-m", "linesmith", *arguments, *(cluster.beam_args if cluster is not None else [])]
    return subprocess.Popen(args, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_until(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it did not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition did not hold within {seconds:g} s")
        time.sleep(POLL_SECONDS)
