"""Measure the quality of the records: three models of one file, ours against the published peers, and the effect of settings.

    python -m benchmarks.quality models [--data FILE]              # without privacy, epsilon 8, epsilon 2: all lines, defaults
    python -m benchmarks.quality peers  [--seconds 330]            # first 5,000 lines, equal time, same evaluation
    python -m benchmarks.quality trials [--seconds 75] [--only NAME,NAME] [--airports]

All records are evaluated by `linesmith evaluate` against the same training and holdout records. Training time is counted in CPU
seconds of the tool's own process (`inside/cpu_clock.py`), so that other processes do not influence the result. Results are kept
in `benchmarks/results/quality/`, and existing results are not computed again. docs/quality.md reports them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.environments import GRETEL, MOSTLYAI, NotInstalledError, Peer, environment_python
from benchmarks.parts import RESULTS
from benchmarks.quality_trials import TRIALS
from benchmarks.records import CHECKOUT, DEFAULT_FILE, MAX_RECORDS, write_lines

RESULT_DIR = RESULTS / "quality"
_HOLDOUT_EVERY = 5  # of the first 5,000 lines: 1,000 holdout records, enough for a stable score of unseen real records
_GENERATED = 5_000
_COMPONENTS = ("fields", "association", "relations", "text", "validity", "indistinguishability", "usefulness")


def first_lines(airports: bool, file: Path) -> tuple[str, list[str]]:
    """Return the delimiter and the first 5,000 lines of a file, or of a public table of airports if there is no such file."""
    if airports or not file.is_file():
        from linesmith.cli.commands.demo import airport_lines

        return "|", airport_lines(MAX_RECORDS)
    with open(file, encoding="utf-8") as lines:
        first = [line.rstrip("\n") for line, _ in zip(lines, range(MAX_RECORDS), strict=False)]
    return (", " if ", " in first[0] else ","), first


def split(directory: Path, lines: list[str]) -> tuple[Path, Path]:
    """Write training and holdout records to files and return their paths; every fifth line is held out."""
    holdout = [line for number, line in enumerate(lines) if number % _HOLDOUT_EVERY == _HOLDOUT_EVERY - 1]
    train = [line for number, line in enumerate(lines) if number % _HOLDOUT_EVERY != _HOLDOUT_EVERY - 1]
    return write_lines(directory / "train.txt", train), write_lines(directory / "holdout.txt", holdout)


def ours(directory: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train and sample one of our models in a child process; return its result."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "settings.json").write_text(json.dumps({**settings, "checkpoint_dir": str(directory / "run")}))
    script = CHECKOUT / "benchmarks" / "quality_ours.py"
    return run_child(
        [sys.executable, str(script), str(directory / "settings.json"), str(directory / "synthetic.txt")], directory
    )


def peer(directory: Path, tool: Peer, train: Path, seconds: int, fields: int, delimiter: str) -> dict[str, Any]:
    """Train and sample a published tool in its own environment; return its result.

    Raises:
        NotInstalledError: it cannot be installed on this machine.
    """
    directory.mkdir(parents=True, exist_ok=True)
    script = CHECKOUT / "benchmarks" / "inside" / f"{tool.name}_records.py"
    numbers = (str(seconds), str(_GENERATED), str(fields))
    work = directory / "work"
    work.mkdir(exist_ok=True)
    return run_child(
        [
            str(environment_python(tool)),
            *map(str, (script, train, work)),
            *numbers,
            delimiter,
            str(directory / "synthetic.txt"),
        ],
        directory,
    )


def run_child(
    command: list[str], directory: Path, after: Sequence[str] = (), timeout: float | None = None
) -> dict[str, Any]:
    """Run a script that writes a result and return the result; an existing one is returned without running the script.

    Args:
        command: what to run; the path of the result is added.
        directory: where result and log are written.
        after: arguments after the path of the result.
        timeout: seconds of wall time.

    Raises:
        RuntimeError: the script failed; the message names its log.
    """
    import os

    result = directory / "result.json"
    if not result.is_file():
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "-1"}
        with open(directory / "log.txt", "w") as log:
            process = subprocess.run(
                [*command, str(result), *after], stdout=log, stderr=log, env=environment, check=False, timeout=timeout
            )
        if process.returncode:
            raise RuntimeError(f"failed: see {directory / 'log.txt'}")
    content: dict[str, Any] = json.loads(result.read_text())
    return content


def evaluate(directory: Path, train: Path, holdout: Path, delimiter: str) -> dict[str, Any]:
    """Evaluate a set of records with `linesmith evaluate`, unless its report exists; return the report."""
    report = directory / "report" / "report.json"
    if not report.is_file():
        command = [sys.executable, "-m", "linesmith", "evaluate", "--real", str(train), "--holdout", str(holdout)]
        command += ["--synthetic", str(directory / "synthetic.txt"), "--field-delimiter", delimiter]
        with open(directory / "evaluate.log", "w") as log:
            subprocess.run([*command, "--output", str(directory)], stdout=log, stderr=log, check=True, cwd=CHECKOUT)
    content: dict[str, Any] = json.loads(report.read_text())
    return content


def show(console: Console, reports: dict[str, dict[str, Any]]) -> None:
    """Print scores, components, fields and leak tests of several reports, and the same for unseen real records."""
    table = Table("", "closeness", *_COMPONENTS, "privacy", "largest gap", "AUC of membership by loss")
    for name, body in reports.items():
        parts = {component["name"]: component for component in body["closeness"]["components"]}
        gaps = [test for test in body["safety"]["tests"] if test["units"]]
        worst = max(gaps, key=lambda test: test["gap"] or 0, default=None)
        leak = "–" if worst is None else f"{worst['gap']:+.2%}" + (" LEAK" if any(t["leak"] for t in gaps) else "")
        memory = body["context"].get("memory")
        membership = (
            "–" if memory is None else f"{memory['auc']:.3f} ({memory['auc_low']:.3f}–{memory['auc_high']:.3f})"
        )
        values = [_figure(parts.get(key, {}).get("score")) for key in _COMPONENTS]
        scores = body["scores"]
        table.add_row(
            name, _figure(scores["closeness"]["value"]), *values, _figure(scores["privacy"]["value"]), leak, membership
        )
    first = next(iter(reports.values()))
    parts = {component["name"]: component for component in first["closeness"]["components"]}
    table.add_row(
        "unseen real", "1.000", *(_figure(parts.get(key, {}).get("reachable")) for key in _COMPONENTS), "", "", "0.500"
    )
    console.print(table)
    fields = Table("distance of a field", *[one["name"] for one in first["closeness"]["fields"]])
    for name, body in reports.items():
        fields.add_row(name, *(_figure(one["distance"]["synthetic"]) for one in body["closeness"]["fields"]))
    fields.add_row("unseen real", *(_figure(one["distance"]["holdout"]) for one in first["closeness"]["fields"]))
    console.print(fields)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def models(console: Console, data: Path, directory: Path) -> dict[str, dict[str, Any]]:
    """Train without privacy, with epsilon 8 and with epsilon 2 on the complete file with defaults; return each run's report.

    The number of fields per record is public and passed as an option: a private model may not learn it from the records.
    """
    reports = {}
    with open(data, encoding="utf-8") as lines:
        columns = [part for number in range(next(lines).count(", ") + 1) for part in ("--columns", f"field_{number}")]
    for name, privacy_flags in (
        ("no privacy", []),
        ("epsilon 8", ["--dp", "--dp-target-epsilon", "8"]),
        ("epsilon 2", ["--dp", "--dp-target-epsilon", "2"]),
    ):
        output = directory / name.replace(" ", "-")
        report = output / ("private/report" if privacy_flags else "report") / "report.json"
        if not report.is_file():
            console.print(f"{name} …")
            command = [sys.executable, "-m", "linesmith", "run", "--input", str(data), "--output", str(output)]
            command += ["--field-delimiter", ", ", "--num-lines", "20000", *columns, *privacy_flags]
            output.mkdir(parents=True, exist_ok=True)
            with open(directory / f"{output.name}.log", "w") as log:
                subprocess.run(command, stdout=log, stderr=log, check=True, cwd=CHECKOUT)
        reports[name] = json.loads(report.read_text())
    return reports


def _base_settings(train: Path, delimiter: str) -> dict[str, Any]:
    return {
        "input_data_path": str(train),
        "field_delimiter": delimiter,
        "holdout_fraction": 0.0,
        "gen_lines": _GENERATED,
    }


def peers(console: Console, seconds: int, directory: Path, airports: bool, data: Path) -> dict[str, dict[str, Any]]:
    """Run ours, with the defaults of the command line except that tokens are characters, and both peers; return the reports."""
    delimiter, lines = first_lines(airports, data)
    train, holdout = split(directory, lines)
    fields = lines[0].count(delimiter) + 1
    base = _base_settings(train, delimiter)
    reports = {}
    for name in ("ours", "gretel", "mostlyai"):
        console.print(f"{name} …")
        try:
            if name == "ours":
                result = ours(directory / name, {**base, "vocab_size": 0, "max_training_time_seconds": seconds})
            else:
                tool = GRETEL if name == "gretel" else MOSTLYAI
                result = peer(directory / name, tool, train, seconds, fields, delimiter)
        except (NotInstalledError, RuntimeError) as error:
            console.print(f"{name} was not run: {error}")
            continue
        console.print_json(data={key: value for key, value in result.items() if key != "settings"})
        reports[name] = evaluate(directory / name, train, holdout, delimiter)
    return reports


def trials(
    console: Console, seconds: int, only: list[str] | None, directory: Path, airports: bool, data: Path
) -> dict[str, dict[str, Any]]:
    """Train with one setting changed at a time, for equal time; return the reports."""
    delimiter, lines = first_lines(airports, data)
    train, holdout = split(directory, lines)
    base = _base_settings(train, delimiter)
    reports = {}
    for name in only or TRIALS:
        changes = TRIALS[name]
        try:
            result = ours(directory / name, {**base, "max_training_time_seconds": seconds, **changes})
        except RuntimeError as error:
            console.print(f"{name} was not run: {error}")
            continue
        reports[name] = evaluate(directory / name, train, holdout, delimiter)
        bits = result["train"].get("validation bits a character")
        scores = reports[name]["scores"]
        console.print(
            f"{name}: closeness {scores['closeness']['value']:.3f}, privacy {scores['privacy']['value']:.3f}, {bits} bits per "
            f"character, {result['epochs']} epochs, {result['train']['steps']} steps, stopped by {result['train']['stopped by']}"
        )
    return reports


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("models", "peers", "trials"))
    parser.add_argument("--data", type=Path, default=DEFAULT_FILE, help="file of delimited lines")
    parser.add_argument("--seconds", type=int, help="seconds of training; default 330 for peers, 75 for trials")
    parser.add_argument("--only", type=lambda names: names.split(","), help="trials to run, separated by commas")
    parser.add_argument("--airports", action="store_true", help="use airports instead of the file")
    parser.add_argument("--results", type=Path, default=RESULT_DIR, help="directory of the results")
    return parser.parse_args()


def main() -> None:
    options, console = arguments(), Console(width=180)
    data = options.data.resolve()
    seconds = options.seconds or (330 if options.command == "peers" else 75)
    directory = options.results.resolve() / (options.command + ("-airports" if options.airports else ""))
    directory.mkdir(parents=True, exist_ok=True)
    if options.command == "models":
        reports = models(console, data, directory)
    else:
        directory = directory / f"{seconds}s"
        if options.command == "peers":
            reports = peers(console, seconds, directory, options.airports, data)
        else:
            reports = trials(console, seconds, options.only, directory, options.airports, data)
    if reports:
        show(console, reports)


if __name__ == "__main__":
    main()
