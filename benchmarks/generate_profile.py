"""Measure our sampler in one thread: tokens and characters per second, next to the rate of a float32 product of matrices.

    python -m benchmarks.generate_profile RUN [--beside RUN] [--records-per-row 20] [--output results.json]

RUN is a run directory with a trained model. Printed for each precision, instruction set that the processor has and block size:
tokens and characters per CPU second, row occupancy (ramp-down included), and the rate of the network's products relative to that
of NumPy's float32 product in one thread, measured in turns. Then the steps in NumPy, which take the kernel's place
where it was not built. With --beside, a step of another run's network, and the ratio of the two rates: say, one that knows fields
beside a plain one of the same widths.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy is imported

import argparse
import itertools
import json
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import flops_per_token
from linesmith.core.hardware import environment
from linesmith.model.sampling.block import SamplingBlock
from linesmith.model.sampling.native import instruction_sets
from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest, SamplerOptions

BLOCKS = (48, 96, 240, 480, 1008)
PRECISIONS = ("int8", "float32")
_SIZE = 1024  # of the matrices of NumPy's product


def product_rate() -> float:
    """Return the operations per CPU second of NumPy's float32 product, the best of five."""
    ones = np.ones((_SIZE, _SIZE), np.float32)

    def seconds() -> float:
        start = time.process_time()
        np.matmul(ones, ones)
        return time.process_time() - start

    return 2 * _SIZE**3 / min(seconds() for _ in range(5))


def sample_rate(run: str, precision: str, steps: str, block: int, records_per_row: int) -> dict[str, float]:
    """Measure one run of the sampler, and NumPy's product before and after it."""
    options = SamplerOptions(matmul_precision=precision, block_rows=block, steps=steps)
    sampler = Sampler(run, threads=1, options=options)
    count, before = records_per_row * block, product_rate()
    start, characters = time.process_time(), 0
    for sample in sampler.stream(deque(SampleRequest(i, 0) for i in range(count)), DrawSettings(seed=1)):
        characters += len(sample.text) + 1
    seconds = time.process_time() - start
    info, tokens = sampler.info, sampler.busy_row_steps
    operations = tokens * flops_per_token(
        info.rnn_units, info.embedding_dim, info.rnn_layers, info.vocab_size, training=False
    )
    return {
        "tokens_per_second": tokens / seconds,
        "characters_per_second": characters / seconds,
        "occupancy": tokens / sampler.row_steps,
        "of_numpy": operations / seconds / ((before + product_rate()) / 2),
    }


def steps_beside(run: str, other: str, precision: str, rows: int, seconds: float = 15.0) -> dict[str, float]:
    """Return the milliseconds of CPU time of a step of two networks, in turn, and the ratio of their rates."""
    calls = [_step_call(name, precision, rows) for name in (run, other)]
    taken: list[list[float]] = [[], []]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for call, found in zip(calls, taken, strict=True):
            found.append(1000 * call())
    # Other work on the machine only adds time: the quicker calls say more.
    this, that = (statistics.quantiles(found, n=5)[0] for found in taken)
    return {"step_ms": this, "beside_ms": that, "rate": that / this}


def _step_call(run: str, precision: str, rows: int) -> Callable[[], float]:
    """Return a function that runs some steps of a full block and returns the seconds of CPU time of each step."""
    sampler = Sampler(run, threads=1, options=SamplerOptions(matmul_precision=precision, block_rows=rows))
    block, numbers = SamplingBlock(sampler._network, rows, DrawSettings(seed=1)), itertools.count()

    def call() -> float:
        block.add([SampleRequest(next(numbers), 0) for _ in range(block.free_requests)], sampler.info.length_cap_tokens)
        start = time.process_time()
        outputs = block.run_call(False)
        seconds = time.process_time() - start
        block.collect(outputs)
        return seconds / len(outputs.tokens)

    for _ in range(4):  # the first ones bring records out of step with each other
        call()
    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--beside", help="another run")
    parser.add_argument("--records-per-row", type=int, default=20)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--blocks", type=int, nargs="*", default=BLOCKS)
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": environment(), "rates": {}}
    table = Table("precision, steps, rows", "tokens/s", "characters/s", "of NumPy's product", "occupancy")

    def measure(precision: str, steps: str, block: int, records_per_row: int) -> None:
        rates = sample_rate(arguments.run, precision, steps, block, records_per_row)
        results["rates"][f"{precision}, {steps}, {block}"] = rates
        table.add_row(
            f"{precision}, {steps}, {block}",
            f"{rates['tokens_per_second']:,.0f}",
            f"{rates['characters_per_second']:,.0f}",
            f"{rates['of_numpy']:.2f}",
            f"{rates['occupancy']:.3f}",
        )

    for precision, steps in itertools.product(PRECISIONS, instruction_sets()):
        for block in arguments.blocks:
            measure(precision, steps, block, arguments.records_per_row)
    for precision in PRECISIONS:
        measure(precision, "reference", 48, 2)
    console = Console()
    console.print(table)
    if arguments.beside is not None:
        results["beside"] = {name: steps_beside(arguments.run, arguments.beside, name, 480) for name in PRECISIONS}
        for precision, found in results["beside"].items():
            console.print(
                f"{precision}: a step {found['step_ms']:.3f} ms of CPU time, of {arguments.beside} {found['beside_ms']:.3f} ms: "
                f"{found['rate']:.2f} of its rate"
            )
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
