"""A part of a benchmark: a process of its own that leaves one JSON file, between two looks at the machine's speed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import NotInstalledError, Peer, python_of
from benchmarks.records import CHECKOUT

RESULTS = Path(__file__).resolve().parent / "results"
_SECONDS = 1200.0  # for one part; far more than any needs


@dataclass(frozen=True)
class Part:
    """What to run.

    Attributes:
        name: of its result.
        script: under `benchmarks/`.
        arguments: of the script; the result's path is added as the last one.
        peer: whose environment it runs in; None for ours.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    peer: Peer | None = None


def run_part(part: Part, place: Path, rate: Callable[[], float], python: str) -> dict[str, Any]:
    """Run a part and keep its result in `place`, the machine's matmul rate before and after it included.

    A peer that cannot be installed or fails gives `{"not_run": why}`; ours must run.

    Raises:
        RuntimeError: our own part failed; the message names its log.
    """
    result, log = place / f"{part.name}.json", place / f"{part.name}.log"
    place.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    before, began = rate(), time.perf_counter()
    try:
        interpreter = python if part.peer is None else str(python_of(part.peer))
        began = time.perf_counter()
        _call([interpreter, str(CHECKOUT / "benchmarks" / part.script), *part.arguments, str(result)], log)
        found = json.loads(result.read_text())
    except NotInstalledError as error:
        found = {"not_run": str(error)}
    except (subprocess.SubprocessError, OSError) as error:
        if part.peer is None:
            raise RuntimeError(f"part '{part.name}' failed: see {log}") from error
        found = {"not_run": f"it failed: see {log}"}
    found |= {"matmul_before": before, "matmul_after": rate(), "wall_seconds": time.perf_counter() - began}
    result.write_text(json.dumps(found, indent=2) + "\n")
    return found


def _call(command: list[str], log: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "HF_HUB_OFFLINE": "1",  # nothing is to be fetched while a clock runs
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    with open(log, "w") as words:
        subprocess.run(command, stdout=words, stderr=words, check=True, timeout=_SECONDS, env=environment, cwd=CHECKOUT)


def earlier(parts: Sequence[Part], place: Path) -> dict[str, dict[str, Any]]:
    """Results that parts have left in `place`, by name; some may never have been run."""
    files = {part.name: place / f"{part.name}.json" for part in parts}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}


def median_rate(result: dict[str, Any]) -> float:
    """The machine's matmul rate around a part."""
    return (result["matmul_before"] + result["matmul_after"]) / 2
