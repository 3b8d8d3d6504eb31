"""Run a part of a benchmark: a process that writes one JSON file, between two measurements of the machine's speed."""

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

from benchmarks.environments import NotInstalledError, Peer, environment_python
from benchmarks.records import CHECKOUT

RESULTS = Path(__file__).resolve().parent / "results"
MAX_OTHER_CORES = 0.1  # cores that other processes may keep busy while a part runs
_BECOME_PARENT_OF_ORPHANS = 36  # prctl's PR_SET_CHILD_SUBREAPER
_SECONDS = 1200.0  # limit for one part; far more than any needs


@dataclass(frozen=True)
class Part:
    """Process to run.

    Attributes:
        name: name of its result.
        script: path under `benchmarks/`.
        arguments: arguments of the script; the path of the result is added as the last one.
        peer: tool in whose environment it runs; None for ours.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    peer: Peer | None = None


def run_part(
    part: Part, directory: Path, rate: Callable[[], float], python: str, run: dict[str, Any]
) -> dict[str, Any]:
    """Run a part and write its result, with the machine's matmul rate before and after it, to a directory.

    Args:
        part: what to run.
        directory: where the result and the log are written.
        rate: measures the machine's matmul rate.
        python: interpreter of our own parts.
        run: settings of the benchmark (data, seconds); results with other settings are never compared.

    Returns:
        The result. A peer that cannot be installed or fails gives `{"not_run": reason}`.

    Raises:
        RuntimeError: one of our own parts failed; the message names its log.
    """
    result_file, log = directory / f"{part.name}.json", directory / f"{part.name}.log"
    directory.mkdir(parents=True, exist_ok=True)
    ctypes.CDLL(None).prctl(_BECOME_PARENT_OF_ORPHANS, 1, 0, 0, 0)
    result_file.unlink(missing_ok=True)
    before, began, busy = rate(), time.perf_counter(), _other_cpu_seconds()
    try:
        interpreter = python if part.peer is None else str(environment_python(part.peer))
        began, busy = time.perf_counter(), _other_cpu_seconds()
        _call([interpreter, str(CHECKOUT / "benchmarks" / part.script), *part.arguments, str(result_file)], log)
        result = json.loads(result_file.read_text())
    except NotInstalledError as error:
        result = {"not_run": str(error)}
    except (subprocess.SubprocessError, OSError) as error:
        if part.peer is None:
            raise RuntimeError(f"part '{part.name}' failed: see {log}") from error
        result = {"not_run": f"it failed: see {log}"}
    seconds = time.perf_counter() - began
    _reap_orphans()
    others = max(0.0, _other_cpu_seconds() - busy) / seconds
    result |= {
        "matmul_before": before,
        "matmul_after": rate(),
        "wall_seconds": seconds,
        "others_cores": others,
        "run": run,
    }
    result_file.write_text(json.dumps(result, indent=2) + "\n")
    return result


def _call(command: list[str], log: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "HF_HUB_OFFLINE": "1",  # nothing may be downloaded while time is measured
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    with open(log, "w") as output:
        subprocess.run(
            command, stdout=output, stderr=output, check=True, timeout=_SECONDS, env=environment, cwd=CHECKOUT
        )


def _other_cpu_seconds() -> float:
    """Return the CPU seconds, over all cores, of processes other than this one and those it started."""
    user, nice, system, *_ = (int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    times = os.times()
    own_seconds = times.user + times.system + times.children_user + times.children_system
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - own_seconds


def _reap_orphans() -> None:
    """Wait for the workers that a part left behind, as killed pools do; otherwise their work counts as that of others."""
    with contextlib.suppress(ChildProcessError):
        for _ in range(50):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(0.1)


def disturbed(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the parts during which other processes kept more than a tenth of a core busy: their speed is unreliable."""
    return [name for name, result in results.items() if result.get("others_cores", 1.0) > MAX_OTHER_CORES]


def undisturbed(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the parts that may be compared: other processes slow one tool ten times and another not at all."""
    return {name: result for name, result in results.items() if name not in disturbed(results)}


def disturbance_note(result: dict[str, Any]) -> str:
    """Return a note for a table on how many cores other processes kept busy, empty if the part was not disturbed."""
    return f"; others {others:.1f} cores" if (others := result["others_cores"]) > MAX_OTHER_CORES else ""


def saved_results(parts: Sequence[Part], directory: Path, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the results in `directory` of parts that ran with the same settings, by name; some may be missing."""
    files = {part.name: directory / f"{part.name}.json" for part in parts}
    results = {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}
    return {name: result for name, result in results.items() if result.get("run") == run}


def median_rate(result: dict[str, Any]) -> float:
    """Return the machine's matmul rate, averaged over before and after a part."""
    return (result["matmul_before"] + result["matmul_after"]) / 2
