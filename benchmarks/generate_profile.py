"""Our generation: tokens and characters a second of one process, beside the machine's float32 matmul rate, in one run.

    python -m benchmarks.generate_profile RUN [--records-a-slot 20] [--output results.json]

RUN is a run directory with a trained model. Printed for blocks of 64 to 4,096 rows and each precision that the processor is
fast in: tokens a second, of the matmul bound, characters a second, slot occupancy (ramp-down included). Then the naive loop, one
token at a time for one record, and how the time of a step falls into products, gates, draw and the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from benchmarks.machine import flops_a_token, matmul_rate, rounds
from model.cpu import matmul_precision, sampling_precision
from model.sampling import DrawSettings, Sampler, SampleRequest, SamplerOptions

BLOCKS = (64, 256, 1024, 2048, 4096)


def sample_rate(run: str, precision: str, block: int, records_a_slot: int) -> dict[str, float]:
    """One run of the sampler, its graphs compiled before."""
    sampler = Sampler(run, options=SamplerOptions(precision=precision, block=block))
    for count in (
        2 * block,
        records_a_slot * block,
    ):  # the first for tracing, all block sizes of the ramp-down included
        sampler.steps_run = sampler.steps_busy = characters = 0
        start = time.perf_counter()
        for sample in sampler.stream(deque(SampleRequest(i, 0) for i in range(count)), DrawSettings(seed=1)):
            characters += len(sample.text)
        seconds = time.perf_counter() - start
    return {
        "tokens_per_second": sampler.steps_busy / seconds,
        "characters_per_second": characters / seconds,
        "records_per_second": count / seconds,
        "occupancy": sampler.steps_busy / sampler.steps_run,
    }


def naive_rate(sampler: Sampler, seconds: float = 5.0) -> float:
    """Tokens a second of the obvious loop: one record, one step a graph call, the state kept."""
    network = sampler._network
    step = tf.function(network._network)
    state = network.idle_block(16)[7:]
    token, fresh, done = tf.zeros([16], tf.int32), tf.zeros([16], tf.bool), 0
    random = np.random.default_rng(0)
    step(state, token, fresh)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        state, logits = step(state, token, fresh)
        row = logits.numpy()[0] + network._logits_bias.numpy()
        running = np.cumsum(np.exp(row - row.max()))
        drawn = int(np.searchsorted(running, random.random() * running[-1], side="right"))
        token = tf.fill([16], min(drawn, len(row) - 1))
        done += 1
    return done / seconds


def phases(sampler: Sampler, rows: int) -> dict[str, float]:
    """Milliseconds of the parts of a step for a block, each run by itself; a call's own cost, 0.2 ms or so, is in each."""
    network = sampler._network
    hidden = tf.zeros([rows, network.units])
    first, last = network._products[0], network._products[-1]
    operand = first.operand(hidden)
    wide = operand if len(network._products) == 1 else tf.concat([operand, operand], axis=1)
    multiplied = [tf.function(first.times)(operand), tf.function(last.times)(wide)]
    zero, fresh = tf.zeros([rows], tf.int32), tf.zeros([rows], tf.bool)

    def gates() -> Any:
        below = network._gates(first, multiplied[0], zero, fresh, hidden, operand)
        return below, network._gates(last, multiplied[1], network._biases[-1], fresh, hidden, None)

    from model.sampling_network import Rule

    rule = Rule(greedy=False, truncated=False, counts_chars=False, prefixed=False)
    logits, keys = tf.random.normal([rows, network._logits_bias.shape[0]]), tf.zeros([rows], tf.int64)
    parts = {
        "products": tf.function(
            lambda: (
                first.times(operand),
                last.times(wide),
                tf.matmul(hidden, network._logits_kernel),
            )
        ),
        "gates": tf.function(gates, jit_compile=True),
        "draw": tf.function(
            lambda: network._draw(logits, tf.constant(1.0), keys, zero, zero, rule, None), jit_compile=True
        ),
    }
    return {
        name: 1000 * statistics.median(seconds for (seconds,) in rounds([_fetched(call)], 1.0))
        for name, call in parts.items()
    }


def _fetched(call: Callable[[], Any]) -> Callable[[], object]:
    """The call, waited for: a number of its result is fetched."""
    return lambda: np.sum(tf.nest.flatten(call())[0][0])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("run")
    options.add_argument("--records-a-slot", type=int, default=20)
    options.add_argument("--output", type=Path)
    options.add_argument("--blocks", type=int, nargs="*", default=BLOCKS)
    asked = options.parse_args()
    sampler = Sampler(asked.run)
    info = sampler.info
    before = matmul_rate()
    results: dict[str, Any] = {"blocks": {}}
    for precision in dict.fromkeys((sampling_precision("auto"), matmul_precision("auto"), "float32")):
        for block in asked.blocks:
            results["blocks"][f"{precision}, {block}"] = sample_rate(asked.run, precision, block, asked.records_a_slot)
    results["naive_tokens_per_second"] = naive_rate(sampler)
    after = matmul_rate()
    bound = (
        (before + after)
        / 2
        / flops_a_token(info.rnn_units, info.embedding_dim, info.rnn_layers, info.vocab_size, training=False)
    )
    results["matmul_flops"] = {"before": before, "after": after}
    results["bound_tokens_per_second"] = bound
    results["phases_ms"] = {f"{rows}": phases(sampler, rows) for rows in (1024, 2048)}
    table = Table("block", "tokens/s", "of the bound", "characters/s", "records/s", "occupancy")
    for name, one in results["blocks"].items():
        one["of_bound"] = one["tokens_per_second"] / bound
        table.add_row(
            name,
            f"{one['tokens_per_second']:,.0f}",
            f"{one['of_bound']:.2f}",
            f"{one['characters_per_second']:,.0f}",
            f"{one['records_per_second']:,.0f}",
            f"{one['occupancy']:.3f}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"float32 matmul {before / 1e9:.0f} GFLOP/s before, {after / 1e9:.0f} after: at most {bound:,.0f} tokens/s"
    )
    console.print(
        f"naive loop {results['naive_tokens_per_second']:,.0f} tokens/s; phases of a step, ms: {results['phases_ms']}"
    )
    if asked.output is not None:
        asked.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
