"""Two halves of a batch's rows, which pass through the network side by side.

Neither half waits for the other, so the element-wise work of one fills the cores that the products of the other leave idle. How
rows are split depends on their number alone, so results do not depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

NUM_HALVES = 2
ROW_MULTIPLE = 16  # rows are padded to a multiple of it: few shapes for XLA to compile, and halves of equal size


def batch_halves(batch: Mapping[str, tf.Tensor]) -> list[dict[str, tf.Tensor]]:
    """Split a batch, whose tensors are [T, B, …], as `split_in_halves` does."""
    return [dict(zip(batch, half, strict=True)) for half in split_in_halves(list(batch.values()))]


def split_in_halves(tensors: Sequence[tf.Tensor | None]) -> list[list[tf.Tensor | None]]:
    """Pad the rows of tensors [T, B, …] with zeros to a multiple of `ROW_MULTIPLE`, and split them in two halves.

    Returns:
        For each half, its part of each tensor; None where the tensor is None.
    """
    halves: list[list[tf.Tensor | None]] = [[] for _ in range(NUM_HALVES)]
    for tensor in tensors:
        if tensor is None:
            parts = [None] * NUM_HALVES
        else:
            # Rows of zeros have weight 0 too: they add nothing to any loss or gradient.
            extra = -tf.shape(tensor)[1] % ROW_MULTIPLE
            padded = tf.pad(tensor, [[0, 0], [0, extra], *[[0, 0]] * (len(tensor.shape) - 2)])
            parts = tf.split(padded, NUM_HALVES, axis=1)
        for half, part in zip(halves, parts, strict=True):
            half.append(part)
    return halves
