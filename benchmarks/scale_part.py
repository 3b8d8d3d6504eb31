"""One stage, once, in a process of its own: its seconds and the memory of each worker, as JSON on the last line.

Run by benchmarks/scale.py. Loading libraries is not in the seconds; starting workers is, and is taken out by comparing sizes.
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
    """RssAnon of one process: what the system cannot drop and read again. 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def worker_pids() -> list[int]:
    """Worker processes on this machine; shells that started one are left out."""
    found = []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"python" in words[0] and any(name.encode() in word for word in words for name in WORKERS):
            found.append(int(place.name))
    return found


class PeakOfWorkers:
    """While the block runs, the largest anonymous memory of any one worker; of this process where there are none."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakOfWorkers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            pids = worker_pids() or [os.getpid()]
            self.bytes = max([self.bytes, *map(anonymous_bytes, pids)])


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("stage", choices=("tokenize", "train", "generate"))
    parser.add_argument("--settings", required=True, help="JSON of the settings")
    given, beam_args = parser.parse_known_args()
    from linesmith.core.config.tensorflow_config import TensorFlowConfig
    from linesmith.core.library_logging import quiet_import

    with quiet_import():
        import apache_beam  # noqa: F401
        import tensorflow  # noqa: F401
    from linesmith.pipelines.generate.stage import generate
    from linesmith.pipelines.tokenize.stage import tokenize
    from linesmith.pipelines.train.stage import train

    stage = {"tokenize": tokenize, "train": train, "generate": generate}[given.stage]
    config = TensorFlowConfig(**json.loads(given.settings))
    with PeakOfWorkers() as peak:
        begun = time.monotonic()
        stage(config, beam_args)
        seconds = time.monotonic() - begun
    print(json.dumps({"seconds": round(seconds, 3), "peak_bytes_a_worker": peak.bytes}))


if __name__ == "__main__":
    main()
