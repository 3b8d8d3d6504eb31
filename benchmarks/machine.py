"""What this machine can do at best: the physical bound that every throughput is printed beside."""

from __future__ import annotations

import time
from collections.abc import Callable

import tensorflow as tf


def matmul_rate(size: int = 2048, seconds: float = 2.0) -> float:
    """Float32 operations a second of a square matmul (a multiply and an add count as two)."""
    matrix = tf.random.stateless_normal([size, size], seed=[0, 0])
    multiply = tf.function(lambda a: tf.matmul(a, a))
    multiply(matrix)
    return 2 * size**3 / seconds_a_call(lambda: multiply(matrix).numpy(), seconds)


def seconds_a_call(call: Callable[[], object], seconds: float) -> float:
    """Median time of a call, repeated for so many seconds, once before to warm up."""
    call()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def flops_a_token(units: int, embedding: int, layers: int, vocab: int, *, training: bool) -> float:
    """Operations of the matmuls for one token: forward, and twice that again backward when training."""
    widths = [embedding, *[units] * (layers - 1)]
    # In sampling the first layer's input projection is a table look-up.
    inputs = widths if training else [0, *widths[1:]]
    forward = sum(2 * 4 * units * (width + units) for width in inputs) + 2 * units * vocab
    return forward * (3 if training else 1)
