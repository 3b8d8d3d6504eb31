"""Show in a quarter of an hour how fast Linesmith is on this machine: one table and one plot.

    python -m benchmarks.overview [--data FILE] [--seconds 60]

It runs a few parts of `benchmarks.train` (our training, stock Keras, our plain and private steps), `benchmarks.generate_profile`
on the model that was trained, and the commands that a person waits for. Nothing is downloaded. The figures are written to
`benchmarks/results/overview.json` and drawn in `overview.svg`; docs/benchmarks.md describes how each is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import matmul_rate
from benchmarks.parts import RESULTS, disturbed, run_part
from benchmarks.records import CHECKOUT, load_records
from benchmarks.train import FIELD_STEPS, REPEATED_STEPS, parts, ratios
from linesmith.core.hardware import environment, matmul_precision
from linesmith.core.library_logging import quiet_libraries, quiet_on_import

_BLOCK = "240"  # rows of a block of the sampler
_STARTS = 3  # of each command, of which the median counts
# Ratios of `benchmarks.train` that are shown, and what they say.
_SHOWN = {
    "train_vs_stock_keras": "training: characters per second, of stock Keras",
    "train_vs_matmul_bound": "training: rate of the machine's products that is reached",
    "private_step_vs_plain": "a private step's time, of a plain one (text)",
    "private_step_vs_plain_of_fields": "a private step's time, of a plain one (table)",
}


def training(data_file: Path | None, seconds: int, scratch: Path, console: Console) -> dict[str, dict[str, Any]]:
    """Run the parts of training; return their results."""
    data, fast = load_records(data_file), f"ours-{matmul_precision('auto')}"
    run = {"data": data.source, "records": len(data.train), "seconds": seconds}
    wanted, results = (fast, "keras", REPEATED_STEPS[0], FIELD_STEPS), {}
    for part in parts(data, seconds, scratch):
        if part.name in wanted:
            console.print(f"{part.name} …")
            results[part.name] = run_part(part, RESULTS / "overview", matmul_rate, sys.executable, run)
    return results


def generation(run: Path, scratch: Path) -> dict[str, Any]:
    """Measure the sampler with the model of a run directory; return the rates of each precision and instruction set."""
    output = scratch / "generation.json"
    command = [sys.executable, "-m", "benchmarks.generate_profile", str(run)]
    command += ["--blocks", _BLOCK, "--output", str(output)]
    subprocess.run(command, check=True, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    rates: dict[str, Any] = json.loads(output.read_text())["rates"]
    return rates


def starts(run: Path) -> dict[str, float]:
    """Return the seconds of wall time of the commands that people run most, the median of some."""
    commands = {
        "linesmith --help": ["--help"],
        "linesmith generate --num-lines 100": ["generate", "--output", str(run), "--num-lines=100", "--overwrite"],
    }
    without = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = {}
    for name, command in commands.items():
        taken = []
        for _ in range(_STARTS):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "linesmith", *command], check=True, capture_output=True, env=without)
            taken.append(time.perf_counter() - start)
        found[name] = statistics.median(taken)
    return found


def draw(summary: dict[str, Any], path: Path) -> None:
    """Draw the ratios of training and the characters per second of generation as bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    figure.suptitle(summary["machine"]["cpu"], fontsize=8)
    rates = {name: rate["characters_per_second"] / 1000 for name, rate in summary["generation"].items()}
    shown = {_SHOWN[name]: value for name, value in summary["ratios"].items() if name in _SHOWN and value is not None}
    for axes, bars, label in (
        (figure.add_subplot(2, 1, 1), shown, "ratio"),
        (figure.add_subplot(2, 1, 2), rates, "thousand characters generated per CPU second"),
    ):
        drawn = axes.barh(list(bars), list(bars.values()), color="#0072b2")
        axes.bar_label(drawn, fmt="%.3g", padding=3)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def show(console: Console, summary: dict[str, Any]) -> None:
    """Print all figures in one table."""
    table = Table(f"on {summary['machine']['cpu']}", "")
    for name, text in _SHOWN.items():
        value = summary["ratios"].get(name)
        table.add_row(text, "disturbed by other processes" if value is None else f"{value:.2f}")
    for name, rate in summary["generation"].items():
        table.add_row(f"generation, {name} rows: characters per CPU second", f"{rate['characters_per_second']:,.0f}")
    for name, seconds in summary["starts"].items():
        table.add_row(name, f"{seconds:.2f} s")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="file of delimited lines; default: the scooter rides, or airports")
    parser.add_argument("--seconds", type=int, default=60, help="seconds of training for each tool")
    options, console = parser.parse_args(), Console(width=130)
    quiet_libraries()
    quiet_on_import("tensorflow")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        trained = training(options.data, options.seconds, scratch, console)
        run = scratch / f"ours-{matmul_precision('auto')}"
        console.print("generation and starts …")
        kept = {name: result for name, result in trained.items() if name not in disturbed(trained)}
        summary = {
            "machine": environment(),
            "ratios": {name: value for name, value in ratios(kept).items() if name in _SHOWN},
            "generation": generation(run, scratch),
            "starts": starts(run),
        }
    show(console, summary)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "overview.json").write_text(json.dumps(summary | {"parts": trained}, indent=2) + "\n")
    draw(summary, RESULTS / "overview.svg")
    console.print(f"{RESULTS / 'overview.svg'}; {time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
