"""What this machine can do at best: the physical bound that every throughput is printed beside."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

_SIZE = 2048
MATMUL_FLOPS = 2 * _SIZE**3  # of the product: a multiply and an add count as two
_ROUNDS = 5  # at least, where calls are long


def matmul() -> Callable[[], object]:
    """A square float32 product to call."""
    import tensorflow as tf

    matrix = tf.random.stateless_normal([_SIZE, _SIZE], seed=[0, 0])
    multiply = tf.function(lambda a: tf.matmul(a, a))
    return lambda: multiply(matrix).numpy()


def matmul_rate(seconds: float = 2.0) -> float:
    """Float32 operations a second of a square product."""
    return MATMUL_FLOPS / statistics.median(taken for (taken,) in rounds([matmul()], seconds))


def rounds(calls: Sequence[Callable[[], object]], seconds: float) -> list[tuple[float, ...]]:
    """Seconds that each call took, round by round.

    They take turns, since a machine that others share changes its speed: compare within a round, then take the median.

    Args:
        calls: what to time; each is called once before, to warm up.
        seconds: for all rounds; more where five rounds take longer.
    """
    for call in calls:
        call()
    taken: list[tuple[float, ...]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < _ROUNDS:
        taken.append(tuple(_seconds(call) for call in calls))
    return taken


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def flops_a_token(units: int, embedding: int, layers: int, vocab: int, *, training: bool) -> float:
    """Operations of the matmuls for one token: forward, and twice that again backward when training."""
    widths = [embedding, *[units] * (layers - 1)]
    # In sampling the first layer's input projection is a table look-up.
    inputs = widths if training else [0, *widths[1:]]
    forward = sum(2 * 4 * units * (width + units) for width in inputs) + 2 * units * vocab
    return forward * (3 if training else 1)
