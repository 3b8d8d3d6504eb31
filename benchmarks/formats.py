"""Measure what a typed or nested source costs or gains in quality: the same records in two formats, the same epochs.

    python -m benchmarks.formats [--epochs N] [--work DIRECTORY]

Two pairs: the first 5,000 scooter rides as delimited text and as Parquet with integers and floats; 5,000 invented web-server
events as nested JSON lines and as a flat CSV. Every fifth record is held out. Each is learned with the defaults, without early
stopping, and judged by `linesmith evaluate` in its own format; the Parquet rows are judged as text, too. docs/quality.md reports
the figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from benchmarks.quality_tables import figures, show
from benchmarks.records import CHECKOUT
from benchmarks.tables import public_table

_EVENTS = 5_000
_HOLDOUT_EVERY = 5
_RIDE_TYPES = pa.schema(
    [
        ("hour", pa.int64()),
        ("vehicle", pa.string()),
        *((name, pa.float64()) for name in ("start_lat", "start_lon", "end_lat", "end_lon")),
    ]
)
_PATHS = {"/": 40, "/cart": 12, "/search": 25, "/login": 8, "/item/17": 9, "/item/204": 6}
_AGENTS = {"Firefox": ("linux", "windows"), "Safari": ("macos", "ios"), "Chrome": ("windows", "android", "macos")}
_CITIES = {"IT": ("Rome", "Milan"), "FR": ("Paris", "Lyon"), "US": ("Boston", "Austin", "Denver")}


def web_event(draw: random.Random, number: int) -> dict[str, Any]:
    """Return an invented event: three levels, keys that may be missing, an array of tags, values that depend on each other."""
    country = draw.choice(list(_CITIES))
    browser = draw.choice(list(_AGENTS))
    path = draw.choices(list(_PATHS), list(_PATHS.values()))[0]
    status = draw.choices((200, 302, 404), (90, 8, 2) if path != "/login" else (40, 58, 2))[0]
    event: dict[str, Any] = {
        "at": f"2024-05-{1 + number % 28:02d}T{draw.randrange(24):02d}:{draw.randrange(60):02d}:{draw.randrange(60):02d}Z",
        "request": {
            "method": "POST" if path in ("/cart", "/login") else "GET",
            "path": path,
            "client": {"browser": browser, "system": draw.choice(_AGENTS[browser]), "country": country},
        },
        "response": {"status": status, "bytes": 0 if status == 302 else draw.randrange(200, 9_000)},
        "tags": sorted(draw.sample(("beta", "mobile", "member", "promo"), draw.choice((0, 1, 1, 2)))),
    }
    if draw.random() < 0.7:
        event["request"]["client"]["city"] = draw.choice(_CITIES[country])
    if status == 302:
        event["response"]["location"] = "/account"
    return event


def flat(event: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return an event with dotted names and text; its tags are one field."""
    fields: dict[str, str] = {}
    for name, value in event.items():
        if isinstance(value, dict):
            fields |= flat(value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = ";".join(value) if isinstance(value, list) else str(value)
    return fields


def _split(rows: list[Any]) -> dict[str, list[Any]]:
    held = slice(_HOLDOUT_EVERY - 1, None, _HOLDOUT_EVERY)
    return {"train": [row for number, row in enumerate(rows, 1) if number % _HOLDOUT_EVERY], "holdout": rows[held]}


def _events(directory: Path) -> dict[str, dict[str, Path]]:
    draw = random.Random(20)
    files: dict[str, dict[str, Path]] = {"nested": {}, "flat": {}}
    for side, rows in _split([web_event(draw, number) for number in range(_EVENTS)]).items():
        files["nested"][side] = directory / f"events-{side}.jsonl"
        files["nested"][side].write_text("".join(json.dumps(row) + "\n" for row in rows))
        flattened = [flat(row) for row in rows]
        columns = list(dict.fromkeys(name for row in flattened for name in row))
        files["flat"][side] = directory / f"events-{side}.csv"
        with open(files["flat"][side], "w", newline="") as file:
            writer = csv.DictWriter(file, sorted(columns), restval="")
            writer.writeheader()
            writer.writerows(flattened)
    return files


def _rides(directory: Path) -> dict[str, dict[str, Path]]:
    table = public_table("rides", directory)
    files: dict[str, dict[str, Path]] = {"text": {"train": table.train, "holdout": table.holdout}, "parquet": {}}
    for side, text in files["text"].items():
        with open(text, newline="") as file:
            rows = list(csv.DictReader(file))
        columns = {field.name: pa.array([row[field.name] for row in rows]).cast(field.type) for field in _RIDE_TYPES}
        files["parquet"][side] = directory / f"rides-{side}.parquet"
        pq.write_table(pa.table(columns, _RIDE_TYPES), files["parquet"][side])
    return files


def _linesmith(log: Path, *arguments: object) -> None:
    command = [sys.executable, "-m", "linesmith", *map(str, arguments)]
    with open(log, "a") as lines:
        subprocess.run(command, stdout=lines, stderr=lines, check=True, cwd=CHECKOUT)


def _judge(run: Path, name: str, files: dict[str, Path], synthetic: str, options: list[str]) -> dict[str, Any]:
    output = run / name
    if not (output / "report" / "report.json").is_file():
        compared = ["--real", files["train"], "--holdout", files["holdout"], "--synthetic", synthetic]
        _linesmith(run / "log.txt", "evaluate", *options, *compared, "--output", output)
    return figures(json.loads((output / "report" / "report.json").read_text()))


def measure(run: Path, files: dict[str, Path], suffix: str, epochs: int, options: list[str]) -> dict[str, Any]:
    """Learn, generate as many records as were learned from and judge them in their own format.

    Args:
        run: directory for everything; a trained run there is taken as it is.
        files: of the records to learn from and of those held out.
        suffix: of the generated files.
        epochs: exactly this many.
        options: that describe the lines.
    """
    began = time.monotonic()
    if not (run / "run" / "synthetic" / "manifest.json").is_file():
        run.mkdir(parents=True, exist_ok=True)
        training = ["--epochs", epochs, "--no-early-stopping", "--holdout-fraction", 0, "--no-report"]
        learned = [
            "--input",
            files["train"],
            "--output",
            run / "run",
            "--num-lines",
            _EVENTS - _EVENTS // _HOLDOUT_EVERY,
        ]
        _linesmith(run / "log.txt", "run", *options, *learned, *training)
    seconds = time.monotonic() - began
    return {**_judge(run, "judged", files, f"{run}/run/synthetic/part-*.{suffix}", options), "seconds": round(seconds)}


def _rows_as_text(run: Path, files: dict[str, Path]) -> dict[str, Any]:
    """Judge the rows of a Parquet run as delimited text, by the files of the text run."""
    table = pq.read_table(sorted((run / "run" / "synthetic").glob("part-*.parquet")))
    text = run / "rows.csv"
    with open(text, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return _judge(run, "judged-as-text", files, str(text), ["--field-delimiter", ",", "--header"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--work", type=Path, default=CHECKOUT / "benchmarks" / "results" / "formats")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rides, events = _rides(options.work), _events(options.work)
    text, csv_rows = ["--field-delimiter", ",", "--header"], ["--input-format", "csv"]
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "rides, text": lambda: measure(options.work / "text", rides["text"], "txt", options.epochs, text),
        "rides, Parquet": lambda: measure(options.work / "parquet", rides["parquet"], "parquet", options.epochs, []),
        "rides, Parquet as text": lambda: _rows_as_text(options.work / "parquet", rides["text"]),
        "events, nested": lambda: measure(options.work / "nested", events["nested"], "jsonl", options.epochs, []),
        "events, flat": lambda: measure(options.work / "flat", events["flat"], "csv", options.epochs, csv_rows),
    }
    found = {name: part() for name, part in parts.items()}
    (options.work / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    show(Console(width=160), found)


if __name__ == "__main__":
    main()
