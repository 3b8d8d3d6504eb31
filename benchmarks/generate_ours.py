"""Samples records with our engine in one process or several, all at the same time, and measures it.

    python benchmarks/generate_ours.py WORK RECORDS PROCESSES all|one RESULT

`one` gives each process one core of its own; `all` leaves them to the machine. Loading and the tracing of graphs come before
the clock: every process samples some records first, then all begin at once.
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

_PATIENCE = 300.0  # seconds until a process is missed
_start: Any = None  # a barrier: what all processes of a run begin at


def sample(work: str, first: int, count: int, core: int | None) -> dict[str, Any]:
    """Body of a process."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    from benchmarks.ours_sampling import Engine

    engine = Engine(Path(work), threads=len(os.sched_getaffinity(0)))
    slots = engine.sampler.slots
    engine.run(0, min(count, 2 * slots), seed=1)
    _start.wait(_PATIENCE)
    began = time.perf_counter()
    found = engine.run(first, count)
    return {**asdict(found), "vocab": engine.vocab, "slots": slots, "began": began}


def _share_start(start: Any) -> None:
    global _start  # noqa: PLW0603 (a barrier can only be inherited)
    _start = start


def together(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The processes as one: from the first's beginning to the last's end."""
    began = min(one["began"] for one in found)
    seconds = max(one["began"] + one["seconds"] for one in found) - began
    sums = {name: sum(one[name] for one in found) for name in ("records", "characters", "tokens", "places")}
    return {
        **sums,
        "seconds": seconds,
        "graph_seconds": max(one["graph_seconds"] for one in found),
        "characters_per_second": sums["characters"] / seconds,
        "tokens_per_second": sums["tokens"] / seconds,
        "slot_occupancy": sums["tokens"] / sums["places"],
        "vocab": found[0]["vocab"],
        "slots": found[0]["slots"],
    }


def main() -> None:
    work, records, processes, cores, result = sys.argv[1:]
    count, share = int(processes), int(records) // int(processes)
    mine = sorted(os.sched_getaffinity(0))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, spawn, _share_start, (spawn.Barrier(count),)) as pool:
        tasks = [
            pool.submit(sample, work, number * share, share, mine[number % len(mine)] if cores == "one" else None)
            for number in range(count)
        ]
        found = [task.result() for task in tasks]
    Path(result).write_text(json.dumps(together(found)))


if __name__ == "__main__":
    main()
