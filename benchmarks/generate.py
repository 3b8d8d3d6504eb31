"""Compare generation with a naive loop, the published peers and the machine's matmul rate, in one table.

    python -m benchmarks.generate [--data FILE] [--seconds 60] [--records 2000] [--only PART,PART]

Every tool trains on the same records for the same number of seconds; then its model generates, and only that is measured. The
figures are written to `benchmarks/results/generate.json`; docs/benchmarks.md describes how each is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
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
from linesmith.core.library_logging import quiet_libraries, quiet_on_import
from linesmith.model.sampling.block import DEFAULT_ROWS

RESULT_DIR = RESULTS / "generate"
MODELS = RESULT_DIR / "models"  # kept, so that a single part can be repeated
RECORDS_PER_ROW = 40  # enough that the end, when rows are idle, counts as little as in a long run
Results = dict[str, dict[str, Any]]


def parts(data: Records, seconds: int, count: int) -> list[Part]:
    """Return all parts in the order they run: each tool's training before its generation."""
    train = str(write_lines(MODELS / "train.txt", data.train))
    heldout = str(write_lines(MODELS / "heldout.txt", data.heldout))
    ours, gretel, mostlyai_dir = (str(MODELS / name) for name in ("ours", "gretel", "mostlyai"))
    data_files = (train, heldout)
    cores = len(os.sched_getaffinity(0))
    default_count, all_cores = str(RECORDS_PER_ROW * DEFAULT_ROWS * cores), str(cores)

    def our_part(name: str, processes: str, cores: str, total: str = default_count) -> Part:
        return Part(name, "generate_ours.py", (ours, total, processes, cores))

    def gretel_best(batch: str) -> Part:
        name = f"gretel-{all_cores}-workers-batch-{batch}"
        return Part(name, "inside/gretel_generate.py", (gretel, str(count), "0", batch), GRETEL)

    def mostlyai(batch: str) -> Part:
        return Part(
            f"mostlyai-batch-{batch}", "inside/mostlyai_generate.py", (mostlyai_dir, str(count), batch), MOSTLYAI
        )

    return [
        Part("train-ours", "train_ours.py", (*data_files, ours, str(seconds), "64", "auto", data.delimiter, "plain")),
        our_part("ours", "1", "all"),
        our_part("ours-same-count", "1", "all", str(count)),
        our_part("ours-one-core", "1", "one"),
        our_part("ours-two-processes", "2", "one", str(2 * int(default_count))),
        Part("naive", "generate_naive.py", (ours, str(count))),
        Part("train-gretel", "inside/gretel_train.py", (*data_files, gretel, str(seconds)), GRETEL),
        Part("gretel", "inside/gretel_generate.py", (gretel, str(count), "1", "64"), GRETEL),
        gretel_best("64"),
        gretel_best("256"),
        Part(
            "train-mostlyai", "inside/mostlyai_train.py", (*data_files, mostlyai_dir, str(seconds), "plain"), MOSTLYAI
        ),
        mostlyai("128"),
        mostlyai("512"),
    ]


def ratios(results: Results) -> dict[str, float | None]:
    """Return the figures that have goals. None: one side was not run, or was disturbed by other processes."""
    ours = _rate(results, "ours")
    gretel_parts = [name for name in results if name.startswith("gretel")]
    mostlyai_parts = [name for name in results if name.startswith("mostlyai")]
    return {
        "generate_vs_matmul": _of_bound(results.get("ours", {})),
        "generate_vs_gretel": _over(ours, _rate(results, "gretel")),
        "generate_vs_gretel_best": _over(ours, _fastest(results, gretel_parts)),
        "generate_vs_mostlyai": _over(ours, _fastest(results, mostlyai_parts)),
        "generate_vs_naive": _over(ours, _rate(results, "naive")),
        "same_count_vs_gretel": _over(_rate(results, "ours-same-count"), _rate(results, "gretel")),
        "two_processes_vs_one": _over(_rate(results, "ours-two-processes"), _rate(results, "ours-one-core")),
        "slot_occupancy": results.get("ours", {}).get("slot_occupancy"),
    }


def _rate(results: Results, name: str) -> float | None:
    return results.get(name, {}).get("characters_per_second")


def _fastest(results: Results, names: Sequence[str]) -> float | None:
    return max((rate for name in names if (rate := _rate(results, name)) is not None), default=None)


def _over(numerator: float | None, denominator: float | None) -> float | None:
    return None if numerator is None or denominator is None else numerator / denominator


def _of_bound(result: dict[str, Any]) -> float | None:
    """Return the matmul operations of the drawn tokens, divided by those of the machine's float32 matmul in the same time."""
    if "tokens_per_second" not in result:
        return None
    config = TensorFlowConfig()
    flops = flops_per_token(config.rnn_units, config.embedding_dim, config.rnn_layers, result["vocab"], training=False)
    return float(result["tokens_per_second"] * flops / median_rate(result))


def show(console: Console, results: Results) -> None:
    """Print the table."""
    table = Table("generation", "characters/s", "of matmul", "busy rows", "time in the network", "matmul GFLOP/s")
    for name, result in results.items():
        if name.startswith("train-"):
            continue
        if "not_run" in result:
            table.add_row(name, "not run", "", "", "", result["not_run"])
            continue
        bound = _of_bound(result) if "one-core" not in name else None  # the matmul rate is of all cores
        inside = result["graph_seconds"] / result["seconds"] if "graph_seconds" in result else None
        table.add_row(
            name,
            f"{result['characters_per_second']:,.0f}",
            *("" if value is None else f"{value:.2f}" for value in (bound, result.get("slot_occupancy"), inside)),
            f"{result['matmul_before'] / 1e9:.0f}, {result['matmul_after'] / 1e9:.0f}" + disturbance_note(result),
        )
    console.print(table)


def arguments(command_line: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="file of delimited lines; default: the scooter rides, or airports")
    parser.add_argument("--seconds", type=int, default=60, help="seconds of training for each tool")
    parser.add_argument("--records", type=int, default=2_000, help="number of records that the slow tools generate")
    parser.add_argument(
        "--only", type=lambda names: names.split(","), help="parts to run, separated by commas; default: all"
    )
    return parser.parse_args(command_line)


def main() -> None:
    options = arguments(sys.argv[1:])
    quiet_libraries()
    quiet_on_import("tensorflow")
    data = load_records(options.data)
    run = {"data": data.source, "records": options.records, "seconds": options.seconds}
    console = Console(width=120)
    if options.only is None:
        shutil.rmtree(RESULT_DIR, ignore_errors=True)
    all_parts = parts(data, options.seconds, options.records)
    for part in all_parts:
        if options.only is None or part.name in options.only:
            console.print(f"{part.name} …")
            run_part(part, RESULT_DIR, matmul_rate, sys.executable, run)
    results = saved_results(all_parts, RESULT_DIR, run)
    show(console, results)
    summary = run | {"disturbed": disturbed(results), "ratios": ratios(undisturbed(results))}
    console.print_json(data=summary)
    (RESULTS / "generate.json").write_text(json.dumps(summary | {"parts": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
