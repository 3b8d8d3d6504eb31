"""A part of a benchmark: a process of its own that leaves one JSON file, between two looks at the machine's speed."""

from __future__ import annotations

import contextlib
import ctypes
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
QUIET = 0.1  # cores that others may keep busy beside a part
_BECOME_PARENT_OF_ORPHANS = 36  # prctl's PR_SET_CHILD_SUBREAPER
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


def run_part(part: Part, place: Path, rate: Callable[[], float], python: str, run: dict[str, Any]) -> dict[str, Any]:
    """Run a part and keep its result in `place`, the machine's matmul rate before and after it included.

    `run` says what of the benchmark it belongs to (data, seconds): results of another are never compared with it.

    A peer that cannot be installed or fails gives `{"not_run": why}`; ours must run.

    Raises:
        RuntimeError: our own part failed; the message names its log.
    """
    result, log = place / f"{part.name}.json", place / f"{part.name}.log"
    place.mkdir(parents=True, exist_ok=True)
    ctypes.CDLL(None).prctl(_BECOME_PARENT_OF_ORPHANS, 1, 0, 0, 0)
    result.unlink(missing_ok=True)
    before, began, busy = rate(), time.perf_counter(), _busy()
    try:
        interpreter = python if part.peer is None else str(python_of(part.peer))
        began, busy = time.perf_counter(), _busy()
        _call([interpreter, str(CHECKOUT / "benchmarks" / part.script), *part.arguments, str(result)], log)
        found = json.loads(result.read_text())
    except NotInstalledError as error:
        found = {"not_run": str(error)}
    except (subprocess.SubprocessError, OSError) as error:
        if part.peer is None:
            raise RuntimeError(f"part '{part.name}' failed: see {log}") from error
        found = {"not_run": f"it failed: see {log}"}
    seconds = time.perf_counter() - began
    _reap_orphans()
    others = max(0.0, _busy() - busy) / seconds
    found |= {
        "matmul_before": before,
        "matmul_after": rate(),
        "wall_seconds": seconds,
        "others_cores": others,
        "run": run,
    }
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


def _busy() -> float:
    """Seconds of work that all cores have done for processes other than this one and those it started."""
    user, nice, system, *_ = (int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    ours = os.times()
    mine = ours.user + ours.system + ours.children_user + ours.children_system
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - mine


def _reap_orphans() -> None:
    """Wait for workers that a part left behind, as killed pools do: until then their work would pass for another's."""
    with contextlib.suppress(ChildProcessError):
        for _ in range(50):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(0.1)


def disturbed(results: dict[str, dict[str, Any]]) -> list[str]:
    """Parts beside which other processes kept more than a tenth of a core busy: their speed is not the machine's."""
    return [name for name, result in results.items() if result.get("others_cores", 1.0) > QUIET]


def undisturbed(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The parts that may be compared: company slows one tool ten times and another not at all."""
    return {name: result for name, result in results.items() if name not in disturbed(results)}


def mark(result: dict[str, Any]) -> str:
    """For a table: how many cores others kept busy beside a part, where that disturbed it."""
    return f"; others {others:.1f} cores" if (others := result["others_cores"]) > QUIET else ""


def earlier(parts: Sequence[Part], place: Path, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Results that parts of the same run have left in `place`, by name; some may never have been run."""
    files = {part.name: place / f"{part.name}.json" for part in parts}
    found = {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}
    return {name: result for name, result in found.items() if result.get("run") == run}


def median_rate(result: dict[str, Any]) -> float:
    """The machine's matmul rate around a part."""
    return (result["matmul_before"] + result["matmul_after"]) / 2
