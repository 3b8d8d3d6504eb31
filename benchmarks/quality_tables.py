"""Measure the quality of our records on five public tables, with the defaults or with some settings changed.

    python -m benchmarks.quality_tables [--only rides,penguins] [--set NAME=JSON …] [--name LABEL] [--seed N]

Each table is learned for `SECONDS` of work (`inside/cpu_clock.py`) and judged by `linesmith evaluate` beside unseen real records.
With `--set`, the results go to a folder of the label's name, so that settings are compared. Existing results are kept.
docs/quality.md reports them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.quality import RESULT_DIR, ours
from benchmarks.records import CHECKOUT, DEFAULT_FILE
from benchmarks.tables import NAMES, PublicTable, public_table

SECONDS = {"airports": 150}
_SECONDS = 330  # of all others
GENERATED = 5_000  # at most: no more than there are records to learn from
_COMPONENTS = ("fields", "association", "relations", "text", "validity", "indistinguishability", "usefulness")


def measure_ours(table: PublicTable, directory: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Learn a table, generate as many records as there are, at most 5,000, and judge them; return all figures of the result.

    Args:
        table: the table.
        directory: where run, records and report are kept.
        changes: settings that are not the defaults.
    """
    settings = {
        "input_data_path": str(table.train),
        "field_delimiter": table.delimiter,
        "header": True,
        "output_header": False,
        "holdout_fraction": 0.0,
        "gen_lines": min(GENERATED, table.records),
        "max_training_time_seconds": SECONDS.get(table.name, _SECONDS),
        **changes,
    }
    trained = ours(directory, settings)
    return {**figures(judge(table, directory)), **_training_figures(trained)}


def judge(table: PublicTable, directory: Path) -> dict[str, Any]:
    """Evaluate `synthetic.txt` of a directory, which has no header, unless its report exists; return the report.

    Args:
        table: what the records were learned from.
        directory: where records and report are.
    """
    report = directory / "report" / "report.json"
    if not report.is_file():
        command = [sys.executable, "-m", "linesmith", "evaluate", "--field-delimiter", table.delimiter]
        command += ["--real", str(table.train), "--real-header", "--holdout", str(table.holdout), "--holdout-header"]
        command += [
            "--synthetic",
            str(directory / "synthetic.txt"),
            "--no-synthetic-header",
            "--output",
            str(directory),
        ]
        with open(directory / "evaluate.log", "w") as log:
            subprocess.run(command, stdout=log, stderr=log, check=True, cwd=CHECKOUT)
    body: dict[str, Any] = json.loads(report.read_text())
    return body


def figures(body: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a report, and beside some of them those of unseen real records.

    Args:
        body: of `linesmith evaluate`.
    """
    parts = {part["name"]: part for part in body["closeness"]["components"]}
    found: dict[str, Any] = {"closeness": body["scores"]["closeness"]["value"]}
    for name in _COMPONENTS:
        found[name] = parts.get(name, {}).get("score")
        found[f"{name}, unseen"] = parts.get(name, {}).get("reachable")
    numbers = [field for field in body["closeness"]["fields"] if "Wasserstein" in field["parts"]]
    for part in ("Kolmogorov-Smirnov", "Wasserstein in training spreads"):
        for set_name, label in (("synthetic", part), ("holdout", f"{part}, unseen")):
            values = [field["parts"][part][set_name] for field in numbers]
            known = [value for value in values if value is not None]
            found[label] = sum(known) / len(known) if known else None
    judged = [test for test in body["safety"]["tests"] if test["units"]]
    found["largest gap"] = max((test["gap"] or 0.0 for test in judged), default=None)
    found["leak"] = any(test["leak"] for test in judged)
    return found


def _training_figures(result: dict[str, Any]) -> dict[str, Any]:
    counts = result["train"]
    names = ("steps", "stopped by", "validation bits a character", "validation bits a token")
    return {name: counts[name] for name in names if name in counts}


def show(console: Console, found: dict[str, dict[str, Any]]) -> None:
    """Print the figures of several tables, one a column."""
    table = Table("", *found)
    for name in next(iter(found.values())):
        table.add_row(name, *(_text(body.get(name)) for body in found.values()))
    console.print(table)


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda names: names.split(","), default=list(NAMES), help="tables to measure")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=JSON", help="a setting that is not the default"
    )
    parser.add_argument("--name", default="defaults", help="folder of the results")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, help="of work, instead of 330, or 150 for airports")
    parser.add_argument("--rides", type=Path, default=DEFAULT_FILE, help="the file of scooter rides")
    parser.add_argument("--results", type=Path, default=RESULT_DIR / "tables", help="directory of the results")
    options, console = parser.parse_args(), Console(width=160)
    directory = options.results.resolve()
    limit = {} if options.seconds is None else {"max_training_time_seconds": options.seconds}
    changes = {name: json.loads(value) for name, value in (text.split("=", 1) for text in options.set)}
    found = {}
    for name in options.only:
        table = public_table(name, directory / "data", options.rides.resolve())
        place = directory / f"{options.name}-{options.seed}" / name
        found[name] = measure_ours(table, place, {"seed": options.seed, **limit, **changes})
        console.print_json(data={"table": name, **found[name]})
    show(console, found)


if __name__ == "__main__":
    main()
