"""Measure lines per second and anonymous memory of `evaluate` for growing synthetic sets: memory must not grow with them.

    python -m benchmarks.evaluate_scale --data rides.csv --field-delimiter ', ' --lines 100000 1000000

Each synthetic set repeats the data file; every digit is replaced with probability 1/10 by a generator that is seeded with the
line number. Prints a table and writes benchmarks/results/evaluate_scale.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.memory import anonymous_bytes

RESULTS = Path(__file__).parent / "results" / "evaluate_scale.json"
_BLOCK = 50_000


def perturb(lines: list[str], count: int, path: Path) -> None:
    """Write `count` records: the file's lines, repeated, with a tenth of their digits replaced."""
    with open(path, "wb") as out:
        for start in range(0, count, _BLOCK):
            random = np.random.default_rng(start)
            chosen = [lines[n % len(lines)] for n in range(start, min(start + _BLOCK, count))]
            content = np.frombuffer(("\n".join(chosen) + "\n").encode(), np.uint8).copy()
            digits = (content >= 48) & (content < 58) & (random.random(len(content)) < 0.1)
            content[digits] = random.integers(48, 58, int(digits.sum()))
            out.write(content.tobytes())


def run(arguments: list[str]) -> tuple[float, int]:
    """Run a command; return its seconds and its peak of anonymous memory in bytes, with all its child processes."""
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    process_tree = psutil.Process(process.pid)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.5):
            try:
                peak = max(peak, anonymous_bytes(process_tree))
            except psutil.NoSuchProcess:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"evaluate ended with {code}")
    return time.monotonic() - start, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--field-delimiter", required=True)
    parser.add_argument("--lines", type=int, nargs="+", default=[10**5, 10**6])
    options = parser.parse_args()
    lines = Path(options.data).read_text("utf-8").splitlines()
    table, results = Table("synthetic lines", "seconds", "lines per second", "peak anonymous memory"), []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / "real.txt").write_text("\n".join(lines[: len(lines) * 4 // 5]) + "\n")
        (root / "holdout.txt").write_text("\n".join(lines[len(lines) * 4 // 5 :]) + "\n")
        for count in options.lines:
            perturb(lines, count, root / "synthetic.txt")
            files = [
                part for name in ("real", "holdout", "synthetic") for part in (f"--{name}", str(root / f"{name}.txt"))
            ]
            command = [
                sys.executable,
                "-m",
                "linesmith",
                "evaluate",
                *files,
                "--field-delimiter",
                options.field_delimiter,
            ]
            seconds, peak = run([*command, "--output", str(root / "out"), "--overwrite"])
            results.append({"lines": count, "seconds": seconds, "anonymous_bytes": peak})
            table.add_row(f"{count:,}", f"{seconds:,.1f}", f"{count / seconds:,.0f}", f"{peak / 2**20:,.0f} MiB")
            (root / "synthetic.txt").unlink()
    Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
