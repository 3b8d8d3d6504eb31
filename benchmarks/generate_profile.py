"""Measure our generation in one process: tokens and characters per second, next to the machine's float32 matmul rate.

    python -m benchmarks.generate_profile RUN [--beside RUN] [--records-per-row 20] [--output results.json]

RUN is a run directory with a trained model. Printed for blocks of 96 to 2,064 rows and each precision that the processor is
fast in: tokens per second, their share of the matmul bound, characters per second, row occupancy (ramp-down included). Then the
naive loop, one token at a time for one record, and the time of each part of a step: products, gates, draw and the rest. With
--beside, a step of another run's network, and the ratio of the two rates: say, one that knows fields beside a plain one of the
same widths. Both are measured in turn, in CPU time, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from benchmarks.machine import flops_per_token, matmul_rate, rounds
from linesmith.core.hardware import matmul_precision, sampling_precision
from linesmith.model.sampling.block import ROWS_PER_CORE, SamplingBlock
from linesmith.model.sampling.request_table import idle_requests, padded_table
from linesmith.model.sampling.row_state import DrawMode, DrawParameters, RowState
from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest, SamplerOptions
from linesmith.model.tf_function import fused, graph

BLOCKS = (96, 240, 480, 1008, 2064)


def sample_rate(run: str, precision: str, block: int, records_per_row: int) -> dict[str, float]:
    """Measure one run of the sampler, after a shorter one that compiles its graphs."""
    sampler = Sampler(run, options=SamplerOptions(matmul_precision=precision, block_rows=block))
    # The first run traces the graphs, those of the ramp-down's smaller blocks included.
    for count in (2 * block, records_per_row * block):
        sampler.row_steps = sampler.busy_row_steps = characters = 0
        start = time.perf_counter()
        for sample in sampler.stream(deque(SampleRequest(i, 0) for i in range(count)), DrawSettings(seed=1)):
            characters += len(sample.text)
        seconds = time.perf_counter() - start
    return {
        "tokens_per_second": sampler.busy_row_steps / seconds,
        "characters_per_second": characters / seconds,
        "records_per_second": count / seconds,
        "occupancy": sampler.busy_row_steps / sampler.row_steps,
    }


def naive_rate(sampler: Sampler, seconds: float = 5.0) -> float:
    """Return the tokens per second of a naive loop: one record, one step per graph call, with the state carried on."""
    network = sampler._network

    @tf.function
    def step(state: list[Any], token: Any) -> Any:
        above = state[2] if network.layers > 1 else None
        looked_up = [token]
        if network._fields is not None:
            # Which tokens came before changes nothing in the time.
            looked_up = network._fields.rows(network._fields.next_state(network._fields.idle_state(16), token, fresh))
        first = network._lstm.gates(0, network._products[0].multiply(state[0]), looked_up, fresh, state[1], above)
        return network._layers_above(first, state, fresh)

    state = network.idle_block(16)[network._state_parts :]
    token, fresh, done = tf.zeros([16], tf.int32), tf.zeros([16], tf.bool), 0
    random = np.random.default_rng(0)
    step(state, token)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        state, logits = step(state, token)
        row = logits.numpy()[0] + network._logits_bias.numpy()
        running = np.cumsum(np.exp(row - row.max()))
        drawn = int(np.searchsorted(running, random.random() * running[-1], side="right"))
        token = tf.fill([16], min(drawn, len(row) - 1))
        done += 1
    return done / seconds


def phases(sampler: Sampler, rows: int) -> dict[str, float]:
    """Return the milliseconds of each part of a step of a block, each measured in its own loop inside a graph."""
    network = sampler._network
    block = network.idle_block(rows)
    row_state, state = RowState(*block[: len(RowState._fields)]), block[network._state_parts :]
    fields = block[len(RowState._fields) : network._state_parts]
    first, hidden = network._products[0], tf.random.uniform([rows, network.units], -1, 1)
    wide = tf.concat([first.to_operand(hidden)] * min(2, network.layers), axis=1)
    multiplied = network._products[0].multiply(first.to_operand(hidden))
    table = tf.constant(padded_table(idle_requests(0), rows))
    mode = DrawMode(greedy=False, truncated=False, counts_chars=False, prefixed=False)
    parameters = DrawParameters.from_settings(DrawSettings())
    logits = tf.matmul(hidden, network._logits_kernel)
    above = state[2] if network.layers > 1 else None
    zero = tf.constant(0)
    parts: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "first product": (first.multiply, (first.to_operand(hidden),)),
        "last product": (network._products[-1].multiply, (wide,)),
        "logits": (lambda h: tf.matmul(h, network._logits_kernel), (hidden,)),
        "requests and first gates": (
            fused(network._begin),
            (zero, row_state, table, multiplied, fields, state[1], above),
        ),
        "last gates": (
            fused(partial(network._gates, network.layers - 1)),
            (multiplied, [row_state.token], row_state.done, state[1], None),
        ),
        "draw and end": (fused(partial(network._draw_and_update, mode, parameters)), (logits, row_state, fields)),
    }
    return {name: _milliseconds(*part) for name, part in parts.items()}


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
    sampler = Sampler(run, options=SamplerOptions(matmul_precision=precision, block_rows=rows))
    block, numbers = SamplingBlock(sampler._network, rows, DrawSettings(seed=1)), itertools.count()

    def call() -> float:
        block.add([SampleRequest(next(numbers), 0) for _ in range(block.free_requests)], sampler.info.length_cap_tokens)
        start = time.process_time()
        outputs = block.run_call(False)
        seconds = time.process_time() - start
        block.collect(outputs)
        return seconds / len(outputs.tokens)

    for _ in range(4):  # the first ones compile, and bring records out of step with each other
        call()
    return call


def _milliseconds(call: Callable[..., Any], operands: tuple[Any, ...], steps: int = 64) -> float:
    """Return the milliseconds of one call among many in a graph: the median of the measurements of one second."""

    def many(*operands: Any) -> Any:
        def body(k: Any, *_: Any) -> Any:  # results are loop variables, so that no call is optimized away
            return k + 1, *tf.nest.flatten(call(*operands))

        return tf.while_loop(lambda k, *_: k < steps, body, (tf.constant(1), *tf.nest.flatten(call(*operands))))

    loop = graph(many)
    taken = rounds([lambda: int(loop(*operands)[0])], 1.0)
    return 1000 / steps * statistics.median(seconds for (seconds,) in taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--beside", help="another run")
    parser.add_argument("--records-per-row", type=int, default=20)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--blocks", type=int, nargs="*", default=BLOCKS)
    arguments = parser.parse_args()
    sampler = Sampler(arguments.run)
    info = sampler.info
    before = matmul_rate()
    results: dict[str, Any] = {"blocks": {}}
    for precision in dict.fromkeys((sampling_precision("auto"), matmul_precision("auto"), "float32")):
        for block in arguments.blocks:
            results["blocks"][f"{precision}, {block}"] = sample_rate(
                arguments.run, precision, block, arguments.records_per_row
            )
    results["naive_tokens_per_second"] = naive_rate(sampler)
    after = matmul_rate()
    bound = (
        (before + after)
        / 2
        / flops_per_token(info.rnn_units, info.embedding_dim, info.rnn_layers, info.vocab_size, training=False)
    )
    results["matmul_flops"] = {"before": before, "after": after}
    results["bound_tokens_per_second"] = bound
    results["phases_ms"] = {f"{rows}": phases(sampler, rows) for rows in (ROWS_PER_CORE, 2064)}
    if arguments.beside is not None:
        results["beside"] = {
            precision: steps_beside(arguments.run, arguments.beside, precision, ROWS_PER_CORE)
            for precision in dict.fromkeys((sampling_precision("auto"), "float32"))
        }
    table = Table("block", "tokens/s", "of the bound", "characters/s", "records/s", "occupancy")
    for name, rates in results["blocks"].items():
        rates["of_bound"] = rates["tokens_per_second"] / bound
        table.add_row(
            name,
            f"{rates['tokens_per_second']:,.0f}",
            f"{rates['of_bound']:.2f}",
            f"{rates['characters_per_second']:,.0f}",
            f"{rates['records_per_second']:,.0f}",
            f"{rates['occupancy']:.3f}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"float32 matmul {before / 1e9:.0f} GFLOP/s before, {after / 1e9:.0f} after: at most {bound:,.0f} tokens/s"
    )
    console.print(
        f"naive loop {results['naive_tokens_per_second']:,.0f} tokens/s; phases of a step, ms: {results['phases_ms']}"
    )
    for precision, found in results.get("beside", {}).items():
        console.print(
            f"{precision}: a step {found['step_ms']:.3f} ms of CPU time, of {arguments.beside} {found['beside_ms']:.3f} ms: "
            f"{found['rate']:.2f} of its rate"
        )
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
