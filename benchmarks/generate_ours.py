"""Sample records with our engine in one process, or in several at the same time, and measure it.

    python benchmarks/generate_ours.py WORK RECORDS PROCESSES all|one RESULT

`one` pins each process to its own core; `all` lets each use all cores. Loading and graph tracing are not measured: every
process samples some records first, then all start together.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

_START_TIMEOUT_SECONDS = 300.0  # for the other processes to become ready
_start: Any = None  # barrier at which all processes of a run start


def sample(work: str, first: int, count: int, core: int | None) -> dict[str, Any]:
    """Sample `count` records from index `first` on in this process; return what it took."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    from benchmarks.ours_sampling import Engine

    engine = Engine(Path(work), threads=len(os.sched_getaffinity(0)))
    rows = engine.sampler.max_rows
    engine.run(0, min(count, 2 * rows), seed=1)
    _start.wait(_START_TIMEOUT_SECONDS)
    began = time.perf_counter()
    results = engine.run(first, count)
    return {**asdict(results), "vocab": engine.vocab, "rows": rows, "began": began}


def _share_start(start: Any) -> None:
    global _start  # noqa: PLW0603 (a barrier can only be passed when a process is created)
    _start = start


def combined(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the results of all processes; the time is from the first start to the last end."""
    began = min(one["began"] for one in results)
    seconds = max(one["began"] + one["seconds"] for one in results) - began
    sums = {name: sum(one[name] for one in results) for name in ("records", "characters", "tokens", "row_steps")}
    return {
        **sums,
        "seconds": seconds,
        "graph_seconds": max(one["graph_seconds"] for one in results),
        "characters_per_second": sums["characters"] / seconds,
        "tokens_per_second": sums["tokens"] / seconds,
        "slot_occupancy": sums["tokens"] / sums["row_steps"],
        "vocab": results[0]["vocab"],
        "rows": results[0]["rows"],
    }


def main() -> None:
    work, records, processes, cores, result = sys.argv[1:]
    count, share = int(processes), int(records) // int(processes)
    available = sorted(os.sched_getaffinity(0))
    pinned = [available[number % len(available)] if cores == "one" else None for number in range(count)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, spawn, _share_start, (spawn.Barrier(count),)) as pool:
        tasks = [pool.submit(sample, work, number * share, share, core) for number, core in enumerate(pinned)]
        results = [task.result() for task in tasks]
    Path(result).write_text(json.dumps(combined(results)))


if __name__ == "__main__":
    main()
