"""Run one stage once, in its own process, and print its seconds and the peak memory per worker as JSON on the last line.

Run by benchmarks/scale.py. The seconds exclude loading libraries but include starting workers, which cancels in the comparison
of sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

WORKERS = ("sdk_worker_main", "linesmith-worker")  # in the command line of a worker process


def anonymous_bytes(pid: int) -> int:
    """Return the RssAnon of one process, memory that the system cannot drop and read again; 0 if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def worker_pids() -> list[int]:
    """Return the worker processes on this machine, without the shells that started them."""
    found = []
    for process_dir in Path("/proc").iterdir():
        if not process_dir.name.isdigit():
            continue
        try:
            arguments = (process_dir / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"python" in arguments[0] and any(name.encode() in argument for argument in arguments for name in WORKERS):
            found.append(int(process_dir.name))
    return found


class WorkerMemoryPeak:
    """Record the largest anonymous memory of any single worker while the block runs, or of this process if there is no worker."""

    def __init__(self) -> None:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> WorkerMemoryPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            pids = worker_pids() or [os.getpid()]
            self.bytes = max([self.bytes, *map(anonymous_bytes, pids)])


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("stage", choices=("tokenize", "train", "generate"))
    parser.add_argument("--settings", required=True, help="JSON of the settings")
    options, beam_args = parser.parse_known_args()
    from linesmith.core.config.tensorflow_config import TensorFlowConfig
    from linesmith.core.library_logging import quiet_import

    with quiet_import():
        import apache_beam  # noqa: F401
        import tensorflow  # noqa: F401
    from linesmith.pipelines.generate.stage import generate
    from linesmith.pipelines.tokenize.stage import tokenize
    from linesmith.pipelines.train.stage import train_model

    stage = {"tokenize": tokenize, "train": train_model, "generate": generate}[options.stage]
    config = TensorFlowConfig(**json.loads(options.settings))
    with WorkerMemoryPeak() as peak:
        start = time.monotonic()
        stage(config, beam_args)
        seconds = time.monotonic() - start
    print(json.dumps({"seconds": round(seconds, 3), "peak_bytes_per_worker": peak.bytes}))


if __name__ == "__main__":
    main()
