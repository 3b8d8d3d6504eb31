"""Run `linesmith demo`: every stage on real public data, the airports of the package `airportsdata` (MIT license)."""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from linesmith.cli.results import verdict_facts
from linesmith.cli.summary import show_report
from linesmith.core.artifacts.files import write_bytes
from linesmith.core.artifacts.run_directory import RunDirectory, check_overwrite_allowed, locked, run_directory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.demo_rules import COLUMNS, DELIMITER
from linesmith.pipelines.stage_report import StageReport
from linesmith.records.fields import FieldFormat

_SAMPLE_SIZE = 8  # generated records that are printed


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """Options of the demo. With the defaults it trains for about two minutes on two cores."""

    output: str = "demo-out"
    overwrite: bool = False
    seconds: int = 115
    lines: int = 8000
    num_lines: int = 600


def run_demo(console: Console, plan: DemoPlan, load: Callable[[], None] = lambda: None) -> int:
    """Write the input, run every stage on it, and print the results.

    Args:
        console: where to print.
        plan: options of the demo.
        load: function that loads the slow libraries; called once the input is written.

    Returns:
        The exit code: the largest of the stages'.

    Raises:
        ParameterError: LS106, the package with the data is not installed.
    """
    started = time.monotonic()
    lines = airport_lines(plan.lines)
    source = Path(plan.output) / "input.txt"
    config = demo_config(plan, source)
    directory = run_directory(config)
    with locked(directory):
        check_overwrite_allowed(directory.synthetic, "run", config.overwrite)
        write_bytes(source, "".join(line + "\n" for line in lines).encode("utf-8"))
    console.print(f"{len(lines):,} airports written to {source}")
    load()
    from linesmith.pipelines import workflow

    reports = workflow.run(config, on_stage=lambda report: show_report(console, report))
    _show_results(console, plan, reports, set(lines), time.monotonic() - started)
    return max(report.exit_code for report in reports)


def demo_config(plan: DemoPlan, source: Path) -> TensorFlowConfig:
    """Return settings that fit two cores and a few minutes; every other setting has its default."""
    return TensorFlowConfig(
        input_data_path=str(source),
        checkpoint_dir=plan.output,
        overwrite=plan.overwrite,
        field_delimiter=DELIMITER,
        columns=list(COLUMNS),
        vocab_size=0,
        max_training_time_seconds=plan.seconds,
        gen_lines=plan.num_lines,
        line_validator="linesmith.demo_rules:airport",
        output_format=["avro", "text"],
    )


def airport_lines(count: int) -> list[str]:
    """Return `name|city|country|elevation|latitude|longitude` of a fixed sample of airports, the same on every machine.

    Args:
        count: maximum number of lines.

    Raises:
        ParameterError: LS106, the package with the data is not installed.
    """
    if importlib.util.find_spec("airportsdata") is None:
        raise ParameterError(
            "LS106",
            None,
            "the demo learns from the airport table of the package airportsdata, which is not installed",
            "Install it: pip install 'linesmith[demo]'.",
        )
    import airportsdata

    table = airportsdata.load()
    lines = [_line(row) for row in table.values()]
    # Sorted by a hash, so that neither sample nor order depends on the order of the table; equal lines count once.
    kept = sorted({line for line in lines if line is not None}, key=lambda line: hashlib.sha256(line.encode()).digest())
    return kept[:count]


def _line(row: dict[str, object]) -> str | None:
    """Return one record, or None if a field is missing or contains the delimiter."""
    name, city, country = (" ".join(str(row[key]).split()) for key in ("name", "city", "country"))
    if DELIMITER in name + city + country or not (name and city and country):
        return None
    elevation, latitude, longitude = (float(str(row[key])) for key in ("elevation", "lat", "lon"))
    return DELIMITER.join((name, city, country, f"{elevation:.0f}", f"{latitude:.4f}", f"{longitude:.4f}"))


def avro_records(directory: Path) -> Iterator[dict[str, object]]:
    """Yield every record in a directory of Avro files, in order of the files' names."""
    import fastavro

    for path in sorted(directory.glob("*.avro")):
        with open(path, "rb") as stream:
            for record in fastavro.reader(stream):
                yield dict(record)


def text_records(directory: Path) -> list[str]:
    """Return every line of a directory of text files, in order of the files' names."""
    paths = sorted(directory.glob("*.txt"))
    return [line for path in paths for line in path.read_text("utf-8").splitlines()]


def _show_results(
    console: Console, plan: DemoPlan, reports: Sequence[StageReport], input_lines: set[str], seconds: float
) -> None:
    synthetic = Path(plan.output) / "synthetic"
    texts = text_records(synthetic)
    typed = sum(1 for _ in avro_records(synthetic))
    sample = Table(*COLUMNS, title="Airports that do not exist")
    for line in [text for text in texts if text not in input_lines][:_SAMPLE_SIZE]:
        sample.add_row(*FieldFormat(DELIMITER).split(line))
    console.print(sample)
    facts = Table.grid(padding=(0, 2))
    training = sum(report.seconds for report in reports if report.stage == "train")
    facts.add_row("records", f"{typed:,} read back from Avro, {len(texts):,} from text")
    facts.add_row("copies of an input line", f"{sum(text in input_lines for text in texts):,}")
    generated = next(report for report in reports if report.stage == "generate")
    for name, value in generated.counts.items():
        if "rate" in name:
            facts.add_row(name.replace("_", " "), f"{value:.1%}" if isinstance(value, float) else str(value))
    facts.add_row("time", f"{training:,.0f} s of training, {seconds - training:,.0f} s for the rest")
    for name, text in verdict_facts(RunDirectory(Path(plan.output))):
        facts.add_row(name, text)
    facts.add_row("files", str(synthetic))
    page = Path(plan.output) / "report" / "index.html"
    if page.is_file():
        facts.add_row("report", f"{page}: open it in a browser")
    console.print(facts)
