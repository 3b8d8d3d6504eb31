"""Compare the quality of our records with that of published tools on five public tables: same records, same work, two judges.

    python -m benchmarks.quality_peers [--only rides,penguins] [--tools ours,argn,…] [--seconds 330] [--seeds 3]

Each tool gets what its users would give it: tools for tables get columns with types, tools for text get lines. All keep their
defaults; work is the CPU time of the tool's own process (`inside/cpu_clock.py`), up to a limit. A tool that ends by its own rule
ends, and one that has not made its records after `--most-seconds` of wall time has no result. The records are judged by
`linesmith evaluate` and by SDMetrics' quality report, both beside the records that were held out. Existing results are kept.
docs/quality.md reports them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.environments import GRETEL, MOSTLYAI, ORIGAMI, SDV, NotInstalledError, environment_python
from benchmarks.quality import RESULT_DIR, run_child
from benchmarks.quality_tables import GENERATED, figures, judge, measure_ours
from benchmarks.records import CHECKOUT, DEFAULT_FILE, write_lines
from benchmarks.tables import NAMES, PublicTable, public_table

# Script in `inside/`, environment, what follows its usual arguments, and whether it learns lines of text.
TOOLS = {
    "argn": ("argn_records", MOSTLYAI, (), False),
    "lstm": ("mostlyai_records", MOSTLYAI, (), True),
    "gretel": ("gretel_records", GRETEL, (), True),
    "copula": ("sdv_records", SDV, ("copula",), False),
    "tvae": ("sdv_records", SDV, ("tvae",), False),
    "origami": ("origami_records", ORIGAMI, (), False),
}
_SECONDS = {"airports": 150}
_DEFAULT_SECONDS = 330


def measure_peer(tool: str, table: PublicTable, directory: Path, seconds: int, most_seconds: float) -> dict[str, Any]:
    """Learn a table with a published tool and judge what it made.

    Args:
        tool: one of `TOOLS`.
        table: what it learns.
        directory: where its records and its report are kept.
        seconds: of work, after which it ends its training.
        most_seconds: of wall time, training and sampling together, after which it is stopped: some sample for hours.

    Raises:
        NotInstalledError: it cannot be installed on this machine.
        RuntimeError: it failed; the message names its log.
    """
    script, environment, more, is_text = TOOLS[tool]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "work").mkdir(exist_ok=True)
    train = str(table.train)
    if is_text:
        lines = table.train.read_text("utf-8").splitlines()[1:]
        train = str(write_lines(directory / "lines.txt", lines))
    count = str(min(GENERATED, table.records))
    command = [str(environment_python(environment)), str(CHECKOUT / "benchmarks" / "inside" / f"{script}.py"), train]
    command += [str(directory / "work"), str(seconds), count, *([str(len(table.columns))] if is_text else [])]
    result = run_child([*command, table.delimiter, str(directory / "synthetic.txt")], directory, more, most_seconds)
    return {**figures(judge(table, directory)), **result}


def sdmetrics_scores(table: PublicTable, directories: dict[str, Path], result: Path) -> dict[str, float]:
    """Return the score of SDMetrics' quality report for each tool's records, and for the unseen records as "unseen real"."""
    command = [str(environment_python(SDV)), str(CHECKOUT / "benchmarks" / "inside" / "sdmetrics_score.py")]
    command += [str(table.train), str(table.holdout), table.delimiter, str(result)]
    files = {name: str(directory / "synthetic.txt") for name, directory in directories.items()}
    with open(result.with_suffix(".log"), "w") as log:
        subprocess.run([*command, *files.values()], stdout=log, stderr=log, check=True)
    scores = json.loads(result.read_text())
    return {name: scores[file]["score"] for name, file in {**files, "unseen real": "holdout"}.items()}


def measure_table(name: str, options: argparse.Namespace, console: Console) -> dict[str, dict[str, Any]]:
    """Measure all tools on a table; return the figures of each."""
    directory = options.results.resolve()
    table = public_table(name, directory / "data", options.rides.resolve())
    seconds = options.seconds or _SECONDS.get(name, _DEFAULT_SECONDS)
    found: dict[str, dict[str, Any]] = {}
    places = {}
    for tool in options.tools:
        for label, seed in (
            [(f"{tool} {seed}", seed) for seed in range(options.seeds)] if tool == "ours" else [(tool, 0)]
        ):
            place = directory / f"{seconds}s" / name / label.replace(" ", "-")
            try:
                if tool == "ours":
                    settings = {"seed": seed, "max_training_time_seconds": seconds}
                    found[label] = measure_ours(table, place, settings)
                else:
                    found[label] = measure_peer(tool, table, place, seconds, options.most_seconds)
            except (NotInstalledError, RuntimeError, subprocess.SubprocessError) as error:
                console.print(f"{name}: {label} has no result: {error}")
                continue
            places[label] = place
            console.print_json(data={"table": name, "tool": label, **found[label]})
    for label, score in sdmetrics_scores(table, places, directory / f"{seconds}s" / name / "sdmetrics.json").items():
        found.setdefault(label, {})["SDMetrics"] = score
    return found


def show(console: Console, measured: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Print closeness and SDMetrics' score of every tool on every table, and our mean and spread over seeds."""
    tools = list(dict.fromkeys(label for found in measured.values() for label in found))
    for judge_name in ("closeness", "SDMetrics"):
        table = Table(judge_name, *measured, "mean")
        for label in tools:
            values = [found.get(label, {}).get(judge_name) for found in measured.values()]
            known = [value for value in values if value is not None]
            mean = statistics.mean(known) if len(known) == len(values) else None
            table.add_row(label, *map(_text, values), _text(mean))
        console.print(table)


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(NAMES), help="tables")
    parser.add_argument("--tools", type=lambda names: names.split(","), default=["ours", *TOOLS], help="tools")
    parser.add_argument("--seeds", type=int, default=3, help="of ours")
    parser.add_argument("--seconds", type=int, help="of work, instead of 330, or 150 for airports")
    parser.add_argument("--most-seconds", type=float, default=5_400.0, help="of wall time for each of the other tools")
    parser.add_argument("--rides", type=Path, default=DEFAULT_FILE, help="the file of scooter rides")
    parser.add_argument("--results", type=Path, default=RESULT_DIR / "peers", help="directory of the results")
    options, console = parser.parse_args(), Console(width=160)
    show(console, {name: measure_table(name, options, console) for name in options.only})


if __name__ == "__main__":
    main()
