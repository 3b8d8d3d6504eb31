"""How good the records are: three models of one file, ours beside the published peers, and what each setting is worth.

    python -m benchmarks.quality models [--data FILE]              # without privacy, epsilon 8, epsilon 2: whole file, defaults
    python -m benchmarks.quality peers  [--seconds 330]            # first 5,000 lines, equal time, all judged alike
    python -m benchmarks.quality trials [--seconds 75] [--only NAME,NAME] [--airports]

Everything is judged by `linesmith evaluate`, against the same training and holdout records. Seconds of training are seconds of
a tool's own work (`inside/cpu_clock.py`), so that a shared machine does not decide. Results stay in
`benchmarks/results/quality/`; what there is already is not run again. docs/quality.md says what came of it.
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

from benchmarks.environments import GRETEL, MOSTLYAI, NotInstalledError, Peer, python_of
from benchmarks.parts import RESULTS
from benchmarks.quality_trials import TRIALS
from benchmarks.records import CHECKOUT, COUNT, FILE, write_lines

PLACE = RESULTS / "quality"
_ONE_IN = 5  # held out of the first 5,000 lines: 1,000 records make the best that can be expected a steady figure
_MADE = 5_000
_COMPONENTS = ("fields", "association", "relations", "text", "validity", "indistinguishability", "usefulness")


def first_lines(airports: bool, file: Path) -> tuple[str, list[str]]:
    """The first 5,000 lines of a file and its delimiter; airports of a public table, or where the file is not there."""
    if airports or not file.is_file():
        from linesmith.cli.commands.demo import airport_lines

        return "|", airport_lines(COUNT)
    with open(file, encoding="utf-8") as lines:
        first = [line.rstrip("\n") for line, _ in zip(lines, range(COUNT), strict=False)]
    return (", " if ", " in first[0] else ","), first


def split(place: Path, lines: list[str]) -> tuple[Path, Path]:
    """Training and holdout records, as files: every fifth line is held out."""
    held = [line for number, line in enumerate(lines) if number % _ONE_IN == _ONE_IN - 1]
    train = [line for number, line in enumerate(lines) if number % _ONE_IN != _ONE_IN - 1]
    return write_lines(place / "train.txt", train), write_lines(place / "holdout.txt", held)


def ours(place: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """One of our models, in a process of its own."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "settings.json").write_text(json.dumps({**settings, "checkpoint_dir": str(place / "run")}))
    script = CHECKOUT / "benchmarks" / "quality_ours.py"
    return _child([sys.executable, str(script), str(place / "settings.json"), str(place / "synthetic.txt")], place)


def peer(place: Path, which: Peer, train: Path, seconds: int, fields: int, delimiter: str) -> dict[str, Any]:
    """A published tool, in its own environment.

    Raises:
        NotInstalledError: it cannot be had here.
    """
    place.mkdir(parents=True, exist_ok=True)
    script = CHECKOUT / "benchmarks" / "inside" / f"{which.name}_records.py"
    numbers = (str(seconds), str(_MADE), str(fields))
    work = place / "work"
    work.mkdir(exist_ok=True)
    return _child(
        [str(python_of(which)), str(script), str(train), str(work), *numbers, delimiter, str(place / "synthetic.txt")],
        place,
    )


def _child(command: list[str], place: Path) -> dict[str, Any]:
    """Run a script that leaves a result; one that is there already is taken.

    Raises:
        RuntimeError: it failed; the message names its log.
    """
    import os

    result = place / "result.json"
    if not result.is_file():
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "-1"}
        with open(place / "log.txt", "w") as log:
            done = subprocess.run([*command, str(result)], stdout=log, stderr=log, env=environment, check=False)
        if done.returncode:
            raise RuntimeError(f"failed: see {place / 'log.txt'}")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def judge(place: Path, train: Path, holdout: Path, delimiter: str) -> dict[str, Any]:
    """The report of a set of records, as `linesmith evaluate` makes it."""
    report = place / "report" / "report.json"
    if not report.is_file():
        command = [sys.executable, "-m", "linesmith", "evaluate", "--real", str(train), "--holdout", str(holdout)]
        command += ["--synthetic", str(place / "synthetic.txt"), "--field-delimiter", delimiter]
        with open(place / "evaluate.log", "w") as log:
            subprocess.run([*command, "--output", str(place)], stdout=log, stderr=log, check=True, cwd=CHECKOUT)
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def show(console: Console, reports: dict[str, dict[str, Any]]) -> None:
    """Scores, components, fields and leak tests of several reports, and the same for unseen real records."""
    table = Table("", "closeness", *_COMPONENTS, "privacy", "largest gap", "seen from unseen by loss")
    for name, body in reports.items():
        parts = {one["name"]: one for one in body["closeness"]["components"]}
        gaps = [test for test in body["safety"]["tests"] if test["units"]]
        worst = max(gaps, key=lambda test: test["gap"] or 0, default=None)
        leak = "–" if worst is None else f"{worst['gap']:+.2%}" + (" LEAK" if any(t["leak"] for t in gaps) else "")
        memory = body["context"].get("memory")
        told = "–" if memory is None else f"{memory['auc']:.3f} ({memory['auc_low']:.3f}–{memory['auc_high']:.3f})"
        values = [_figure(parts.get(key, {}).get("score")) for key in _COMPONENTS]
        scores = body["scores"]
        table.add_row(
            name, _figure(scores["closeness"]["value"]), *values, _figure(scores["privacy"]["value"]), leak, told
        )
    first = next(iter(reports.values()))
    parts = {one["name"]: one for one in first["closeness"]["components"]}
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


def models(console: Console, data: Path, place: Path) -> dict[str, dict[str, Any]]:
    """Without privacy, epsilon 8 and epsilon 2: the whole file, defaults, each with the report that ends a run.

    How many fields a record has is public, and said: a private model may not learn it from the records.
    """
    reports = {}
    with open(data, encoding="utf-8") as lines:
        columns = [part for number in range(next(lines).count(", ") + 1) for part in ("--columns", f"field_{number}")]
    for name, said in (
        ("no privacy", []),
        ("epsilon 8", ["--dp", "--dp-target-epsilon", "8"]),
        ("epsilon 2", ["--dp", "--dp-target-epsilon", "2"]),
    ):
        output = place / name.replace(" ", "-")
        report = output / ("private/report" if said else "report") / "report.json"
        if not report.is_file():
            console.print(f"{name} …")
            command = [sys.executable, "-m", "linesmith", "run", "--input", str(data), "--output", str(output)]
            command += ["--field-delimiter", ", ", "--num-lines", "20000", *columns, *said]
            output.mkdir(parents=True, exist_ok=True)
            with open(place / f"{output.name}.log", "w") as log:
                subprocess.run(command, stdout=log, stderr=log, check=True, cwd=CHECKOUT)
        reports[name] = json.loads(report.read_text())
    return reports


def peers(console: Console, seconds: int, place: Path, airports: bool, data: Path) -> dict[str, dict[str, Any]]:
    """Ours, with what the command line sets by default but characters, and both peers."""
    delimiter, lines = first_lines(airports, data)
    train, holdout = split(place, lines)
    fields = lines[0].count(delimiter) + 1
    base = {"input_data_path": str(train), "field_delimiter": delimiter, "holdout_fraction": 0.0, "gen_lines": _MADE}
    reports = {}
    for name in ("ours", "gretel", "mostlyai"):
        console.print(f"{name} …")
        try:
            if name == "ours":
                found = ours(place / name, {**base, "vocab_size": 0, "max_training_time_seconds": seconds})
            else:
                which = GRETEL if name == "gretel" else MOSTLYAI
                found = peer(place / name, which, train, seconds, fields, delimiter)
        except (NotInstalledError, RuntimeError) as error:
            console.print(f"{name} was not run: {error}")
            continue
        console.print_json(data={key: value for key, value in found.items() if key != "settings"})
        reports[name] = judge(place / name, train, holdout, delimiter)
    return reports


def trials(
    console: Console, seconds: int, only: list[str] | None, place: Path, airports: bool, data: Path
) -> dict[str, dict[str, Any]]:
    """One setting changed at a time, at equal time."""
    delimiter, lines = first_lines(airports, data)
    train, holdout = split(place, lines)
    base = {"input_data_path": str(train), "field_delimiter": delimiter, "holdout_fraction": 0.0, "gen_lines": _MADE}
    reports = {}
    for name in only or TRIALS:
        changes = TRIALS[name]
        try:
            found = ours(place / name, {**base, "max_training_time_seconds": seconds, **changes})
        except RuntimeError as error:
            console.print(f"{name} was not run: {error}")
            continue
        reports[name] = judge(place / name, train, holdout, delimiter)
        bits = found["train"].get("validation bits a character")
        scores = reports[name]["scores"]
        console.print(
            f"{name}: closeness {scores['closeness']['value']:.3f}, privacy {scores['privacy']['value']:.3f}, {bits} bits a "
            f"character, {found['epochs']} epochs, {found['train']['steps']} steps, stopped by {found['train']['stopped by']}"
        )
    return reports


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("models", "peers", "trials"))
    parser.add_argument("--data", type=Path, default=FILE, help="a file of delimited lines")
    parser.add_argument("--seconds", type=int, help="of training; default 330 for peers, 75 for trials")
    parser.add_argument("--only", type=lambda names: names.split(","), help="trials to run, with commas")
    parser.add_argument("--airports", action="store_true", help="airports instead of the file")
    parser.add_argument("--results", type=Path, default=PLACE, help="where results are kept")
    return parser.parse_args()


def main() -> None:
    asked, console = arguments(), Console(width=180)
    data = asked.data.resolve()
    seconds = asked.seconds or (330 if asked.what == "peers" else 75)
    place = asked.results.resolve() / (asked.what + ("-airports" if asked.airports else ""))
    place.mkdir(parents=True, exist_ok=True)
    if asked.what == "models":
        reports = models(console, data, place)
    else:
        place = place / f"{seconds}s"
        if asked.what == "peers":
            reports = peers(console, seconds, place, asked.airports, data)
        else:
            reports = trials(console, seconds, asked.only, place, asked.airports, data)
    if reports:
        show(console, reports)


if __name__ == "__main__":
    main()
