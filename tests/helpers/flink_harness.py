"""What the runs on a real Flink cluster share: a run directory's digests, and something that happens in the middle of a stage."""

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
    """A small network: what is tested here is where it runs."""
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
    """The demo's airports, over and over with a number of their own where there are not enough."""
    from linesmith.cli.commands.demo import airport_lines

    found = airport_lines(count)
    with open(target, "w", encoding="utf-8") as out:
        for number in range(count):
            again, place = divmod(number, len(found))
            out.write(found[place] + (f" {again}" if again else "") + "\n")


def data_digest(run: Path) -> str:
    """Digest of the training data, whatever the shards are."""
    return json.loads((run / "training_data" / "manifest.json").read_text("utf-8"))["data_digest"]


def records_of(run: Path) -> dict[str, str]:
    """SHA-256 of each shard, of valid and of invalid records."""
    shards = {f"synthetic/{name}": digest for name, digest in sha256_tree(run / "synthetic").items()}
    shards |= {f"invalid/{name}": digest for name, digest in sha256_tree(run / "invalid").items()}
    return {name: digest for name, digest in shards.items() if not name.endswith("manifest.json")}


def count_of(run: Path) -> int:
    """Lines of text that were generated, counted in the files."""
    return sum(shard.read_bytes().count(b"\n") for shard in (run / "synthetic").rglob("*.txt"))


def looks_complete(run: Path, stage: str) -> bool:
    return (run / stage / "manifest.json").exists()


@contextmanager
def run_when(when: Callable[[], bool], what: Callable[[], object], within: float = 240.0) -> Iterator[list[float]]:
    """While the block runs, do `what` as soon as `when` is true; yields a list that holds the time when it was done.

    Raises:
        AssertionError: the block ended before it came to that.
    """
    done: list[float] = []
    over = threading.Event()

    def watch() -> None:
        end = time.monotonic() + within
        while not over.is_set() and time.monotonic() < end:
            if when():
                what()
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
    """How many failures the JobManager remembers over all jobs: proof that a fault was one."""
    with urllib.request.urlopen(f"http://localhost:{REST}/jobs/overview", timeout=10) as answer:
        jobs = [job["jid"] for job in json.load(answer)["jobs"]]
    total = 0
    for job in jobs:
        with urllib.request.urlopen(f"http://localhost:{REST}/jobs/{job}/exceptions", timeout=10) as answer:
            total += len(json.load(answer)["exceptionHistory"]["entries"])
    return total


def unit_files(run: Path) -> int:
    """Units of generation that are done, of the run at work."""
    return len(list(run.glob(".tmp/generate-*/units/unit-*.json")))


def encoding_began(run: Path) -> bool:
    """A worker of tokenize is writing a shard."""
    return any(run.glob(".tmp/tokenize-*/data/.train-*"))


def command(words: list[str], cluster: Cluster | None) -> subprocess.Popen:
    """A stage as a process of its own, so that it can be killed."""
    args = [sys.executable, "-m", "linesmith", *words, *(cluster.beam_args if cluster is not None else [])]
    return subprocess.Popen(args, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    """Wait for something.

    Raises:
        TimeoutError: it did not come.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not come")
        time.sleep(POLL_SECONDS)
