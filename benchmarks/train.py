"""Training beside stock Keras, the published peers and the machine's matmul rate, in one table.

    python -m benchmarks.train [--data FILE] [--seconds 120] [--only PART,PART]

Each part is a process of its own: every tool trains on the same records for the same seconds and is then measured on the
same records that none has seen. `--only` runs some parts and takes the others' results from earlier. The table's figures go
to `benchmarks/results/train.json`; how each is made is told in docs/benchmarks.md.
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
from benchmarks.machine import flops_a_token, matmul_rate
from benchmarks.parts import RESULTS, Part, disturbed, earlier, mark, median_rate, run_part, undisturbed
from benchmarks.records import Records, records, write_lines
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.hardware import matmul_precision
from linesmith.core.library_logging import quiet_libraries, quiet_on_import

PLACE = RESULTS / "train"
BATCH = "64"  # of gretel's default, and so of everyone's
AGAIN = [f"steps-{number}" for number in range(2, 6)]  # parts that time the shape with goals again
SHAPE = ("precision", "time", "batch")  # what names one
Results = dict[str, dict[str, Any]]


def parts(data: Records, seconds: int, scratch: Path) -> list[Part]:
    """All parts, in the order they run."""
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
        # A step takes longer in one process than in another, all through: the shape with goals is timed in several.
        *(Part(name, "train_steps.py", (train, files(name)[2], "goal")) for name in AGAIN),
    ]


def ratios(found: Results) -> dict[str, float | None]:
    """What the goals are about. None: one side was not run, or was disturbed."""
    fast = _fast(found)
    return {
        "train_vs_gretel": _over(found, fast, "gretel", "characters_per_second"),
        "train_vs_stock_keras": _over(found, fast, "keras", "characters_per_second"),
        "train_vs_tf_keras": _over(found, fast, "tf_keras", "characters_per_second"),
        "train_vs_mostlyai": _over(found, fast, "mostlyai", "records_per_second"),
        "private_vs_mostlyai": _over(found, "ours-private", "mostlyai-private", "records_per_second"),
        "private_defaults_vs_mostlyai": _over(found, "ours-private-defaults", "mostlyai-private", "records_per_second"),
        **{
            name: _shape(found, precision, time=100, batch=256, figure=figure)
            for name, precision, figure in (
                ("train_vs_matmul_bound", matmul_precision("auto"), "plain_vs_matmul_bound"),
                ("train_vs_matmul_bound_float32", "float32", "plain_vs_matmul_bound"),
                ("private_step_vs_plain", matmul_precision("auto"), "private_vs_plain"),
                ("private_step_vs_plain_float32", "float32", "private_vs_plain"),
            )
        },
        "bits_vs_stock_keras": _over(found, fast, "keras", "heldout_bits_per_character"),
    }


def _fast(found: Results) -> str:
    """Our part in the precision that `auto` means here."""
    name = f"ours-{matmul_precision('auto')}"
    return name if name in found else "ours-float32"


def _over(found: Results, ours: str, theirs: str, figure: str) -> float | None:
    mine, other = found.get(ours, {}).get(figure), found.get(theirs, {}).get(figure)
    return None if mine is None or other is None else mine / other


def _shape(found: Results, precision: str, time: int, batch: int, figure: str) -> float | None:
    for shape in _shapes(found):
        if (shape["precision"], shape["time"], shape["batch"]) == (precision, time, batch):
            return float(shape[figure])
    return None


def _shapes(found: Results) -> list[dict[str, Any]]:
    """Figures of each shape, medians over the processes in which it was timed."""
    every: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for name in ["steps", *AGAIN]:
        for shape in found.get(name, {}).get("shapes", []):
            every.setdefault(tuple(shape[key] for key in SHAPE), []).append(shape)
    return [
        {key: same[0][key] if key in SHAPE else median(one[key] for one in same) for key in same[0]}
        for same in every.values()
    ]


def show(console: Console, found: Results, data: Records) -> None:
    """The tables."""
    config = TensorFlowConfig()
    vocab = len(set("".join(data.train))) + 1
    usual = [config.rnn_units, config.embedding_dim, config.rnn_layers]
    table = Table(
        "training", "characters/s", "records/s", "held-out bits/char", "of the bound", "valid raw", "matmul GFLOP/s"
    )
    for name, result in found.items():
        if name.startswith("steps"):
            continue
        if "not_run" in result:
            table.add_row(name, "not run", "", "", "", "", result["not_run"])
            continue
        characters = result.get("characters_per_second")
        flops = flops_a_token(*result.get("architecture", usual), result.get("vocab", vocab), training=True)
        # The peer's pieces of words are not our characters, nor its one layer our two: no bound for it.
        bounded = characters is not None and "mostlyai" not in name
        table.add_row(
            name,
            _figure(characters, ",.0f"),
            _figure(result.get("records_per_second"), ",.0f"),
            _figure(result["heldout_bits_per_character"], ".3f"),
            _figure(characters / (median_rate(result) / flops) if bounded else None, ".2f"),
            _figure(result.get("valid_rate"), ".3f"),
            f"{result['matmul_before'] / 1e9:.0f}, {result['matmul_after'] / 1e9:.0f}" + mark(result),
        )
    console.print(table)
    steps = Table(
        "our steps, full rows", "tokens/s", "of the bound", "private / plain", "private records/s", "matmul GFLOP/s"
    )
    for shape in _shapes(found):
        steps.add_row(
            f"{shape['precision']}, {shape['batch']} rows of {shape['time']}",
            f"{shape['plain_tokens_per_second']:,.0f}",
            f"{shape['plain_vs_matmul_bound']:.2f}",
            f"{shape['private_vs_plain']:.2f}",
            f"{shape['private_records_per_second']:,.0f}",
            f"{shape['matmul'] / 1e9:.0f}",
        )
    console.print(steps)


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _asked_as(name: str) -> str:
    return "steps" if name in AGAIN else name


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a file of delimited lines; default: the scooter rides, or airports")
    parser.add_argument("--seconds", type=int, default=120, help="of training for each tool")
    parser.add_argument("--only", type=lambda names: names.split(","), help="parts to run, with commas; default: all")
    return parser.parse_args(given)


def main() -> None:
    asked = arguments(sys.argv[1:])
    quiet_libraries()
    quiet_on_import("tensorflow")
    data = records(asked.data)
    run = {"data": data.source, "records": len(data.train), "seconds": asked.seconds}
    console = Console(width=130)
    if asked.only is None:
        shutil.rmtree(PLACE, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        every = parts(data, asked.seconds, Path(scratch))
        for part in every:
            if asked.only is not None and _asked_as(part.name) not in asked.only:
                continue
            console.print(f"{part.name} …")
            run_part(part, PLACE, matmul_rate, sys.executable, run)
    found = earlier(every, PLACE, run)
    show(console, found, data)
    outcome = run | {"disturbed": disturbed(found), "ratios": ratios(undisturbed(found))}
    console.print_json(data=outcome)
    (RESULTS / "train.json").write_text(json.dumps(outcome | {"parts": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
