"""Measure `linesmith generate` with many start strings, one record each: time, memory, and the pairing of records and strings.

    python -m benchmarks.seeds [100000 1000000] [--workers 2]

A small model is trained on records of a number and a code. Worker processes then generate one record for each number in a file
of start strings, while the anonymous resident memory of the command and all its processes is sampled. In the output, every
record must begin with the start string of its own number, and none may be missing or repeated. Prints a table and writes
benchmarks/results/seeds.json.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.memory import anonymous_bytes
from benchmarks.records import CHECKOUT

RESULTS = Path(__file__).parent / "results" / "seeds.json"
TRAINING_RECORDS = 5_000
SMALL = ["--rnn-units", "32", "--rnn-layers", "1", "--embedding-dim", "16", "--epochs", "3", "--batch-size", "64"]


def train_small_model(scratch: Path) -> Path:
    """Train a model of lines such as `0000042,HRN7`; return its run directory."""
    lines, out, draw = scratch / "lines.csv", scratch / "run", random.Random(0)
    lines.write_text(
        "".join(f"{draw.randrange(10**7):07d},HRN{draw.randrange(1000)}\n" for _ in range(TRAINING_RECORDS))
    )
    data = ["--input", str(lines), "--output", str(out), "--field-delimiter", ",", "--vocab-size", "0"]
    for stage in (["tokenize"], ["train", *SMALL]):
        _linesmith([stage[0], *data, *stage[1:]])
    return out


def _linesmith(arguments: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "linesmith", *arguments], cwd=CHECKOUT, check=True, capture_output=True
    )


def generate_all(run: Path, scratch: Path, count: int, workers: int) -> dict[str, Any]:
    """Generate one record for each of `count` start strings; return time, memory and the number of wrong records."""
    seeds = scratch / "seeds.txt"
    with open(seeds, "w") as out:
        out.writelines(f"{number:07d},\n" for number in range(count))
    arguments = [
        "generate",
        "--output",
        str(run),
        "--start-strings-file",
        str(seeds),
        "--output-format",
        "parquet",
        "--overwrite",
    ]
    if workers > 1:
        arguments += ["--direct_num_workers", str(workers)]
    start, samples = time.monotonic(), []
    with open(scratch / "generate.log", "w") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "linesmith", *arguments], cwd=CHECKOUT, stdout=log, stderr=log
        )
        process = psutil.Process(running.pid)
        while running.poll() is None:
            samples.append(anonymous_bytes(process))
            time.sleep(0.25)
    seconds = time.monotonic() - start
    if running.returncode:
        raise RuntimeError(
            f"generate ended with {running.returncode}: {(scratch / 'generate.log').read_text()[-2000:]}"
        )
    counts = json.loads((run / "synthetic" / "manifest.json").read_text())["counts"]
    return {
        "seeds": count,
        "workers": workers,
        "seconds": seconds,
        "peak_bytes": max(samples),
        "valid_rate": counts["valid_rate"],
        "attempts": counts["attempts"],
        "wrong": wrong_pairs(run, count),
    }


def wrong_pairs(run: Path, count: int) -> int:
    """Count the records that are missing or have another start string than their position requires."""
    expected = wrong = 0
    for part in sorted((run / "synthetic").glob("*.parquet")):
        table = pq.read_table(part)
        number, start, first = (
            table[column].to_pylist() for column in ("seed_id", "start_string", table.column_names[0])
        )
        for seed_id, text, value in zip(number, start, first, strict=True):
            wrong += seed_id != expected or text != f"{expected:07d}," or str(value).zfill(7) != text[:-1]
            expected += 1
    return wrong + abs(count - expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("counts", type=int, nargs="*", default=[10**5, 10**6])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        run = train_small_model(scratch)
        rows = [generate_all(run, scratch, count, options.workers) for count in options.counts]
    table = Table("start strings", "workers", "seconds", "peak MB, anonymous", "valid rate", "wrong pairs")
    for row in rows:
        table.add_row(
            f"{row['seeds']:,}", str(row["workers"]), f"{row['seconds']:.0f}", f"{row['peak_bytes'] / 1e6:.0f}",
            f"{row['valid_rate']:.4f}", str(row["wrong"]),
        )  # fmt: skip
    console = Console()
    console.print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    if any(row["wrong"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
