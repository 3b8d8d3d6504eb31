"""The first layer's input in sampling: a sum of rows of a table, each the projection of an embedding on the layer's gates.

Float32 rows are added in their order. As 16-bit integers, an entry is t ≈ s·q with q in −32,767…32,767 and a scale s for each
column; sums of integers are exact, in half of the memory traffic, which is what a step of several rows waits for. The rounding
is smaller than that of a state of 8 bits or a bfloat16 product, with which alone it is used. Scales are powers of two, so that
s·Σq is exact, too: otherwise its sum with a scaled product would depend on which of the two multiplications a compiler fuses
with the addition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

GATES = 4
_LARGEST = 32_767


class InputTable:
    """Rows of projections, to be looked up and added up.

    Args:
        table: the gates side by side, [N, 4u].
        as_integers: keep 16-bit integers.
    """

    def __init__(self, table: npt.NDArray[np.float32], as_integers: bool) -> None:
        self._scales: list[tf.Tensor] | None = None
        if as_integers:
            largest = np.abs(table).max(axis=0)
            scale = np.exp2(np.ceil(np.log2(np.where(largest > 0, largest, 1) / _LARGEST))).astype(np.float32)
            table = np.rint(table / scale).clip(-_LARGEST, _LARGEST).astype(np.int16)
            self._scales = tf.split(tf.constant(scale), GATES)
        # A table for each gate: the look-up is then part of the loop over the gate's elements, not a loop of its own.
        self._tables = tf.split(tf.constant(table), GATES, axis=1)

    def sum_of_rows(self, gate: int, rows: Sequence[tf.Tensor]) -> tf.Tensor:
        """Add up some rows of a gate.

        Args:
            gate: its number.
            rows: row numbers, [R] each, at least one.

        Returns:
            The sums, [R, u] float32.
        """
        parts = [tf.gather(self._tables[gate], index) for index in rows]
        if self._scales is None:
            return sum(parts[1:], start=parts[0])
        wide = [tf.cast(part, tf.int32) for part in parts]
        return tf.cast(sum(wide[1:], start=wide[0]), tf.float32) * self._scales[gate]
