"""Generation beside the naive loop, the published peers and the machine's matmul rate, in one table.

    python -m benchmarks.generate [--data FILE] [--seconds 60] [--records 2000] [--only PART,PART]

Every tool trains on the same records for the same seconds; then its model generates, and only that is measured. The figures go
to `benchmarks/results/generate.json`; how each is made is told in docs/benchmarks.md.
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
from benchmarks.machine import flops_a_token, matmul_rate
from benchmarks.parts import RESULTS, Part, disturbed, earlier, mark, median_rate, run_part, undisturbed
from benchmarks.records import Records, records, write_lines
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.library_logging import quiet_libraries, quiet_on_import
from linesmith.model.sampling.block import ROWS_PER_CORE

PLACE = RESULTS / "generate"
MODELS = PLACE / "models"  # kept, so that one part can be run again
ROUNDS = 40  # records a slot, so that the end, when slots stand empty, weighs as little as it does in a long run
Results = dict[str, dict[str, Any]]


def parts(data: Records, seconds: int, count: int) -> list[Part]:
    """All parts, in the order they run: each tool's training before its generation."""
    train = str(write_lines(MODELS / "train.txt", data.train))
    heldout = str(write_lines(MODELS / "heldout.txt", data.heldout))
    ours, gretel, mostly = (str(MODELS / name) for name in ("ours", "gretel", "mostlyai"))
    learn = (train, heldout)
    cores = len(os.sched_getaffinity(0))
    many, all_cores = str(ROUNDS * ROWS_PER_CORE * cores), str(cores)

    def sampled(name: str, processes: str, cores: str, number: str = many) -> Part:
        return Part(name, "generate_ours.py", (ours, number, processes, cores))

    def gretel_best(batch: str) -> Part:
        name = f"gretel-{all_cores}-workers-batch-{batch}"
        return Part(name, "inside/gretel_generate.py", (gretel, str(count), "0", batch), GRETEL)

    def mostlyai(batch: str) -> Part:
        return Part(f"mostlyai-batch-{batch}", "inside/mostlyai_generate.py", (mostly, str(count), batch), MOSTLYAI)

    return [
        Part("train-ours", "train_ours.py", (*learn, ours, str(seconds), "64", "auto", data.delimiter, "plain")),
        sampled("ours", "1", "all"),
        sampled("ours-same-count", "1", "all", str(count)),
        sampled("ours-one-core", "1", "one"),
        sampled("ours-two-processes", "2", "one", str(2 * int(many))),
        Part("naive", "generate_naive.py", (ours, str(count))),
        Part("train-gretel", "inside/gretel_train.py", (*learn, gretel, str(seconds)), GRETEL),
        Part("gretel", "inside/gretel_generate.py", (gretel, str(count), "1", "64"), GRETEL),
        gretel_best("64"),
        gretel_best("256"),
        Part("train-mostlyai", "inside/mostlyai_train.py", (*learn, mostly, str(seconds), "plain"), MOSTLYAI),
        mostlyai("128"),
        mostlyai("512"),
    ]


def ratios(found: Results) -> dict[str, float | None]:
    """What the goals are about. None: one side was not run, or was disturbed."""
    ours = _rate(found, "ours")
    best = [name for name in found if name.startswith("gretel")]
    mostly = [name for name in found if name.startswith("mostlyai")]
    return {
        "generate_vs_matmul": _of_bound(found.get("ours", {})),
        "generate_vs_gretel": _over(ours, _rate(found, "gretel")),
        "generate_vs_gretel_best": _over(ours, _fastest(found, best)),
        "generate_vs_mostlyai": _over(ours, _fastest(found, mostly)),
        "generate_vs_naive": _over(ours, _rate(found, "naive")),
        "same_count_vs_gretel": _over(_rate(found, "ours-same-count"), _rate(found, "gretel")),
        "two_processes_vs_one": _over(_rate(found, "ours-two-processes"), _rate(found, "ours-one-core")),
        "slot_occupancy": found.get("ours", {}).get("slot_occupancy"),
    }


def _rate(found: Results, name: str) -> float | None:
    return found.get(name, {}).get("characters_per_second")


def _fastest(found: Results, names: Sequence[str]) -> float | None:
    return max((rate for name in names if (rate := _rate(found, name)) is not None), default=None)


def _over(mine: float | None, other: float | None) -> float | None:
    return None if mine is None or other is None else mine / other


def _of_bound(result: dict[str, Any]) -> float | None:
    """Operations of the tokens drawn over what the machine's float32 matmul does in the same time."""
    if "tokens_per_second" not in result:
        return None
    config = TensorFlowConfig()
    flops = flops_a_token(config.rnn_units, config.embedding_dim, config.rnn_layers, result["vocab"], training=False)
    return float(result["tokens_per_second"] * flops / median_rate(result))


def show(console: Console, found: Results) -> None:
    """The table."""
    table = Table("generation", "characters/s", "of matmul", "slots busy", "in the network", "matmul GFLOP/s")
    for name, result in found.items():
        if name.startswith("train-"):
            continue
        if "not_run" in result:
            table.add_row(name, "not run", "", "", "", result["not_run"])
            continue
        bound = _of_bound(result) if "one-core" not in name else None  # the matmul rate is that of all cores
        inside = result["graph_seconds"] / result["seconds"] if "graph_seconds" in result else None
        table.add_row(
            name,
            f"{result['characters_per_second']:,.0f}",
            *("" if value is None else f"{value:.2f}" for value in (bound, result.get("slot_occupancy"), inside)),
            f"{result['matmul_before'] / 1e9:.0f}, {result['matmul_after'] / 1e9:.0f}" + mark(result),
        )
    console.print(table)


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a file of delimited lines; default: the scooter rides, or airports")
    parser.add_argument("--seconds", type=int, default=60, help="of training for each tool")
    parser.add_argument("--records", type=int, default=2_000, help="that the slow ones generate")
    parser.add_argument("--only", type=lambda names: names.split(","), help="parts to run, with commas; default: all")
    return parser.parse_args(given)


def main() -> None:
    asked = arguments(sys.argv[1:])
    quiet_libraries()
    quiet_on_import("tensorflow")
    data = records(asked.data)
    run = {"data": data.source, "records": asked.records, "seconds": asked.seconds}
    console = Console(width=120)
    if asked.only is None:
        shutil.rmtree(PLACE, ignore_errors=True)
    every = parts(data, asked.seconds, asked.records)
    for part in every:
        if asked.only is None or part.name in asked.only:
            console.print(f"{part.name} …")
            run_part(part, PLACE, matmul_rate, sys.executable, run)
    found = earlier(every, PLACE, run)
    show(console, found)
    outcome = run | {"disturbed": disturbed(found), "ratios": ratios(undisturbed(found))}
    console.print_json(data=outcome)
    (RESULTS / "generate.json").write_text(json.dumps(outcome | {"parts": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
