"""Measure this machine's matmul rate: the physical bound that every throughput is compared with."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

_SIZE = 2048
MATMUL_FLOPS = 2 * _SIZE**3  # operations of the product; a multiplication and an addition count as two
_ROUNDS = 5  # smallest number of rounds, also where calls are long


def matmul() -> Callable[[], object]:
    """Return a function that computes a square float32 product."""
    import tensorflow as tf

    matrix = tf.random.stateless_normal([_SIZE, _SIZE], seed=[0, 0])
    multiply = tf.function(lambda a: tf.matmul(a, a))
    return lambda: multiply(matrix).numpy()


def matmul_rate(seconds: float = 2.0) -> float:
    """Return the float32 operations per second of a square product."""
    return MATMUL_FLOPS / statistics.median(times for (times,) in rounds([matmul()], seconds))


def rounds(calls: Sequence[Callable[[], object]], seconds: float) -> list[tuple[float, ...]]:
    """Return the seconds that each call took, for each round.

    The calls alternate, because the speed of a shared machine varies: compare within a round, then take the median.

    Args:
        calls: functions to time; each is called once before, to warm up.
        seconds: time for all rounds; exceeded if five rounds take longer.
    """
    for call in calls:
        call()
    times: list[tuple[float, ...]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < _ROUNDS:
        times.append(tuple(_seconds(call) for call in calls))
    return times


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def flops_per_token(units: int, embedding: int, layers: int, vocab: int, *, training: bool) -> float:
    """Return the matmul operations of one token: the forward pass, and in training twice as many for the backward pass."""
    widths = [embedding, *[units] * (layers - 1)]
    # In sampling the first layer's input projection is a table lookup.
    inputs = widths if training else [0, *widths[1:]]
    forward = sum(2 * 4 * units * (width + units) for width in inputs) + 2 * units * vocab
    return forward * (3 if training else 1)
