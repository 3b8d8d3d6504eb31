"""What `run` shows last in a terminal: some of the records, how close and how safe they are in words, and where the report is."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from linesmith.core.addresses import redact_text
from linesmith.core.artifacts.files import read_json
from linesmith.core.artifacts.manifest import read_manifest
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.artifacts.shapes import Claim
from linesmith.core.artifacts.shard_list import iter_shards
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.evaluate.report.words import VERDICT_WORDS
from linesmith.pipelines.stage_report import StageReport
from linesmith.records.fields import FieldFormat

_ROWS, _COLUMNS, _CELL = 5, 8, 30  # records, fields of each, and characters of a field that are shown
_SHARDS = 1000  # that are looked at for records


def show_results(console: Console, config: TensorFlowConfig, reports: Sequence[StageReport]) -> None:
    """Print five records as a table, then the verdict and the report's path; nothing where the output is not a terminal.

    A script reads the summary of each stage, which is the same in both cases; records do not belong in its log.

    Args:
        console: where to print.
        config: settings of the run, whose directory is local.
        reports: of the stages; their outputs may be bucket addresses.
    """
    if not console.is_terminal:
        return
    run = RunDirectory(Path(str(config.checkpoint_dir)), config.dp)
    sample = records_table(run, FieldFormat(config.field_delimiter, config.quoted))
    if sample is not None:
        console.print(sample)
    facts = Table.grid(padding=(0, 2))
    for name, text in [*verdict_facts(run), *_report_place(reports)]:
        facts.add_row(name, Text(text))
    console.print(facts)


def records_table(run: RunDirectory, fields: FieldFormat) -> Table | None:
    """Return the first records that a run generated as a table; None where there are none to show.

    Args:
        run: the run directory.
        fields: how a line of text is split.
    """
    manifest = read_manifest(run.synthetic) or {}
    names, rows = manifest.get("columns"), list(itertools.islice(_rows(run.synthetic, manifest, fields), _ROWS))
    if not names or not rows:
        return None
    table = Table(*(Column(header) for header in _cells(names)), title="Synthetic records")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def verdict_facts(run: RunDirectory) -> list[tuple[str, str]]:
    """Return what is known of closeness and privacy, as a label and words each.

    Args:
        run: the run directory, which may have no report.
    """
    from linesmith.core.artifacts.privacy_statement import STATEMENT_FILE  # loads NumPy
    from linesmith.pipelines.cards.claims import round_up

    facts = []
    report = read_manifest(run.raw / "report")
    if report is not None and isinstance(report.get("verdict"), dict):
        for name in ("closeness", "privacy"):
            word, score = report["verdict"].get(name), report["scores"][name]["value"]
            value = "" if score is None else f" (score {score:.2f} of 1)"
            facts.append((name, f"{VERDICT_WORDS.get(word, word)}{value}"))
    statement = run.model / STATEMENT_FILE
    if statement.is_file():
        claim = read_json(statement, "the privacy statement", Claim)
        facts.append(
            ("guarantee", f"epsilon {round_up(claim['epsilon'])} at delta {claim['delta']:g}, for {claim['unit']}")
        )
    elif run.has_model():
        facts.append(("guarantee", "none: the model was trained without --dp"))
    return facts


def _report_place(reports: Sequence[StageReport]) -> list[tuple[str, str]]:
    places = [report.outputs["report"] for report in reports if "report" in report.outputs]
    return [("report", f"{redact_text(place)}: open it in a browser") for place in places]


def _rows(directory: Path, manifest: Mapping[str, Any], fields: FieldFormat) -> Iterator[Sequence[Any]]:
    """Yield the records of an output in the format that is read fastest, as values in the order of its columns."""
    names = manifest.get("columns") or []
    shards = [name for name, _ in itertools.islice(iter_shards(directory, manifest), _SHARDS)]
    for suffix, read in _READERS.items():
        paths = [directory / name for name in shards if name.endswith(suffix)]
        if not paths:
            continue
        for path in paths:
            if read is None:
                yield from _text_rows(path, fields, bool(manifest.get("header")), len(names))
            else:
                yield from ([_value(row, name) for name in names] for row in read(path))
        return


def _value(row: Mapping[str, Any], name: str) -> Any:
    """Return the value of a column, which is inside of other objects where its name has points."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text_rows(path: Path, fields: FieldFormat, has_header: bool, columns: int) -> Iterator[list[str]]:
    with open(path, encoding="utf-8", newline="") as lines:
        for line in itertools.islice(lines, int(has_header), None):
            text = line.rstrip("\r\n")
            yield fields.split(text) if columns > 1 and fields.delimiter is not None else [text]


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _avro_rows(path: Path) -> Iterator[dict[str, Any]]:
    import fastavro

    with open(path, "rb") as stream:
        yield from fastavro.reader(stream)


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as stored:
        for batch in stored.iter_batches(_ROWS):
            yield from batch.to_pylist()


_READERS: dict[str, Callable[[Path], Iterator[dict[str, Any]]] | None] = {
    ".txt": None, ".csv": _csv_rows, ".jsonl": _json_rows, ".avro": _avro_rows, ".parquet": _parquet_rows
}  # fmt: skip


def _cells(values: Sequence[Any]) -> list[Text]:
    more = [Text("…")] if len(values) > _COLUMNS else []
    return [Text(_cell(value)) for value in values[:_COLUMNS]] + more


def _cell(value: Any) -> str:
    """Return a value on one line, without what could move a terminal's cursor, cut where it is long."""
    text = "" if value is None else "".join(c if c.isprintable() else " " for c in str(value))
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"
