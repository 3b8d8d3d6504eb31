"""What this machine can do at best: the physical bound that every throughput is printed beside."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


def matmul_rate(size: int = 2048, seconds: float = 2.0) -> float:
    """Float32 operations a second of a square matmul (a multiply and an add count as two)."""
    import tensorflow as tf

    matrix = tf.random.stateless_normal([size, size], seed=[0, 0])
    multiply = tf.function(lambda a: tf.matmul(a, a))
    multiply(matrix)
    return 2 * size**3 / seconds_a_call([lambda: multiply(matrix).numpy()], seconds)[0]


def seconds_a_call(calls: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Median time of each call. They take turns, so that a machine that slows down slows all of them.

    Args:
        calls: what to time; each is called once before, to warm up.
        seconds: for all of them together.
    """
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times[0]:
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return [sorted(taken)[len(taken) // 2] for taken in times]


def flops_a_token(units: int, embedding: int, layers: int, vocab: int, *, training: bool) -> float:
    """Operations of the matmuls for one token: forward, and twice that again backward when training."""
    widths = [embedding, *[units] * (layers - 1)]
    # In sampling the first layer's input projection is a table look-up.
    inputs = widths if training else [0, *widths[1:]]
    forward = sum(2 * 4 * units * (width + units) for width in inputs) + 2 * units * vocab
    return forward * (3 if training else 1)
