"""Compare training with stock Keras, the published peers and the machine's matmul rate, in one table.

    python -m benchmarks.train [--data FILE] [--seconds 120] [--only PART,PART]

Each part runs in its own process: every tool trains on the same records for the same number of seconds and is then measured on
the same held-out records. `--only` runs some parts and uses the earlier results of the others. The figures are written to
`benchmarks/results/train.json`; docs/benchmarks.md describes how each is measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.environments import GRETEL, MOSTLYAI
from benchmarks.machine import flops_per_token, matmul_rate
from benchmarks.parts import (
    RESULTS,
    Part,
    disturbance_note,
    disturbed,
    median_rate,
    run_part,
    saved_results,
    undisturbed,
)
from benchmarks.records import Records, load_records, write_lines
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.hardware import matmul_precision
from linesmith.core.library_logging import quiet_libraries, quiet_on_import

RESULT_DIR = RESULTS / "train"
OF_GOALS = (100, 256)  # tokens per row, rows
PLAIN, OF_FIELDS = "plain", "of fields"  # networks
BATCH = "64"  # gretel's default, used for all tools
REPEATED_STEPS = [f"steps-{number}" for number in range(2, 6)]  # parts that repeat the timing of the shape with goals
FIELD_STEPS = "steps-of-fields"  # and this one that of a network that knows fields
SHAPE_KEYS = ("network", "precision", "time", "batch")
Results = dict[str, dict[str, Any]]


def parts(data: Records, seconds: int, scratch: Path) -> list[Part]:
    """Return all parts, in the order they run."""
    train = str(write_lines(scratch / "train.txt", data.train))
    heldout = str(write_lines(scratch / "heldout.txt", data.heldout))
    limit = str(seconds)

    def files(name: str) -> tuple[str, str, str]:
        work = scratch / name
        work.mkdir(exist_ok=True)
        return train, heldout, str(work)

    def ours(name: str, precision: str, kind: str) -> Part:
        arguments = (*files(name), limit, BATCH, precision, data.delimiter, kind)
        return Part(name, "train_ours.py", arguments)

    fast = matmul_precision("auto")
    return [
        Part("gretel", "inside/gretel_train.py", (*files("gretel"), limit), GRETEL),
        ours("ours-float32", "float32", "plain"),
        *([ours(f"ours-{fast}", fast, "plain")] if fast != "float32" else []),
        Part("keras", "train_stock.py", (*files("keras"), limit, BATCH, "keras")),
        Part("tf_keras", "train_stock.py", (*files("tf_keras"), limit, BATCH, "tf_keras")),
        Part("mostlyai", "inside/mostlyai_train.py", (*files("mostlyai"), limit, "plain"), MOSTLYAI),
        Part("mostlyai-private", "inside/mostlyai_train.py", (*files("mostlyai-private"), limit, "private"), MOSTLYAI),
        ours("ours-private", "auto", "private"),
        ours("ours-private-defaults", "auto", "private-defaults"),
        Part("steps", "train_steps.py", (train, files("steps")[2], "all")),
        # The speed of a step differs between processes throughout: the shape with goals is timed in several of them.
        *(Part(name, "train_steps.py", (train, files(name)[2], "goal")) for name in REPEATED_STEPS),
        Part(FIELD_STEPS, "train_steps.py", (train, files(FIELD_STEPS)[2], "goal", data.delimiter, str(data.fields))),
    ]


def ratios(results: Results) -> dict[str, float | None]:
    """Return the figures that have goals. None: one side was not run, or was disturbed by other processes."""
    fast = _fast(results)
    return {
        "train_vs_gretel": _over(results, fast, "gretel", "characters_per_second"),
        "train_vs_stock_keras": _over(results, fast, "keras", "characters_per_second"),
        "train_vs_tf_keras": _over(results, fast, "tf_keras", "characters_per_second"),
        "train_vs_mostlyai": _over(results, fast, "mostlyai", "records_per_second"),
        "private_vs_mostlyai": _over(results, "ours-private", "mostlyai-private", "records_per_second"),
        "private_defaults_vs_mostlyai": _over(
            results, "ours-private-defaults", "mostlyai-private", "records_per_second"
        ),
        **{
            name: _shape(results, network, precision, figure)
            for name, network, precision, figure in (
                ("train_vs_matmul_bound", PLAIN, matmul_precision("auto"), "plain_vs_matmul_bound"),
                ("train_vs_matmul_bound_float32", PLAIN, "float32", "plain_vs_matmul_bound"),
                ("private_step_vs_plain", PLAIN, matmul_precision("auto"), "private_vs_plain"),
                ("private_step_vs_plain_float32", PLAIN, "float32", "private_vs_plain"),
                ("private_step_vs_plain_of_fields", OF_FIELDS, matmul_precision("auto"), "private_vs_plain"),
                ("private_step_vs_plain_of_fields_float32", OF_FIELDS, "float32", "private_vs_plain"),
            )
        },
        "bits_vs_stock_keras": _over(results, fast, "keras", "heldout_bits_per_character"),
    }


def _fast(results: Results) -> str:
    """Return the name of our part with the precision that `auto` selects on this machine."""
    name = f"ours-{matmul_precision('auto')}"
    return name if name in results else "ours-float32"


def _over(results: Results, ours: str, theirs: str, figure: str) -> float | None:
    mine, other = results.get(ours, {}).get(figure), results.get(theirs, {}).get(figure)
    return None if mine is None or other is None else mine / other


def _shape(results: Results, network: str, precision: str, figure: str) -> float | None:
    for shape in _shapes(results):
        if tuple(shape[key] for key in SHAPE_KEYS) == (network, precision, *OF_GOALS):
            return float(shape[figure])
    return None


def _shapes(results: Results) -> list[dict[str, Any]]:
    """Return the figures of each shape: medians over the processes that timed it."""
    by_shape: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for name in ["steps", *REPEATED_STEPS, FIELD_STEPS]:
        for shape in results.get(name, {}).get("shapes", []):
            by_shape.setdefault(tuple(shape[key] for key in SHAPE_KEYS), []).append(shape)
    return [
        {key: timings[0][key] if key in SHAPE_KEYS else median(timing[key] for timing in timings) for key in timings[0]}
        for timings in by_shape.values()
    ]


def show(console: Console, results: Results, data: Records) -> None:
    """Print the tables."""
    config = TensorFlowConfig()
    vocab = len(set("".join(data.train))) + 1
    default_architecture = [config.rnn_units, config.embedding_dim, config.rnn_layers]
    table = Table(
        "training", "characters/s", "records/s", "held-out bits/char", "of the bound", "valid raw", "matmul GFLOP/s"
    )
    for name, result in results.items():
        if name.startswith("steps"):
            continue
        if "not_run" in result:
            table.add_row(name, "not run", "", "", "", "", result["not_run"])
            continue
        characters = result.get("characters_per_second")
        units, embedding, layers = result.get("architecture", default_architecture)
        flops = flops_per_token(units, embedding, layers, result.get("vocab", vocab), training=True)
        # mostlyai's tokens are subwords, and its network has one layer: the bound would be another.
        of_bound = None if characters is None or "mostlyai" in name else characters / (median_rate(result) / flops)
        table.add_row(
            name,
            _figure(characters, ",.0f"),
            _figure(result.get("records_per_second"), ",.0f"),
            _figure(result["heldout_bits_per_character"], ".3f"),
            _figure(of_bound, ".2f"),
            _figure(result.get("valid_rate"), ".3f"),
            f"{result['matmul_before'] / 1e9:.0f}, {result['matmul_after'] / 1e9:.0f}" + disturbance_note(result),
        )
    console.print(table)
    steps = Table(
        "our steps, full rows", "tokens/s", "of the bound", "private / plain", "private records/s", "matmul GFLOP/s"
    )
    for shape in _shapes(results):
        steps.add_row(
            f"{shape['network']}, {shape['precision']}, {shape['batch']} rows of {shape['time']}",
            f"{shape['plain_tokens_per_second']:,.0f}",
            f"{shape['plain_vs_matmul_bound']:.2f}",
            f"{shape['private_vs_plain']:.2f}",
            f"{shape['private_records_per_second']:,.0f}",
            f"{shape['matmul'] / 1e9:.0f}",
        )
    console.print(steps)


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _option_name(name: str) -> str:
    return "steps" if name in (*REPEATED_STEPS, FIELD_STEPS) else name


def arguments(command_line: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="file of delimited lines; default: the scooter rides, or airports")
    parser.add_argument("--seconds", type=int, default=120, help="seconds of training for each tool")
    parser.add_argument(
        "--only", type=lambda names: names.split(","), help="parts to run, separated by commas; default: all"
    )
    return parser.parse_args(command_line)


def main() -> None:
    options = arguments(sys.argv[1:])
    quiet_libraries()
    quiet_on_import("tensorflow")
    data = load_records(options.data)
    run = {"data": data.source, "records": len(data.train), "seconds": options.seconds}
    console = Console(width=130)
    if options.only is None:
        shutil.rmtree(RESULT_DIR, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        all_parts = parts(data, options.seconds, Path(scratch))
        for part in all_parts:
            if options.only is not None and _option_name(part.name) not in options.only:
                continue
            console.print(f"{part.name} …")
            run_part(part, RESULT_DIR, matmul_rate, sys.executable, run)
    results = saved_results(all_parts, RESULT_DIR, run)
    show(console, results, data)
    summary = run | {"disturbed": disturbed(results), "ratios": ratios(undisturbed(results))}
    console.print_json(data=summary)
    (RESULTS / "train.json").write_text(json.dumps(summary | {"parts": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
