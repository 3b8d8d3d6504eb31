"""Padding with which sums over rows of thousands of columns have the same bits in every row."""

from __future__ import annotations

import tensorflow as tf

_WIDTH_MULTIPLE = 32  # columns: rows of it begin at a multiple of 64 bytes, in bfloat16 too
_COLUMNS_OF_ONE_SUM = 4096  # up to which no sum was seen to be taken apart


def pad_wide_rows(rows: tf.Tensor, value: float = 0.0) -> tf.Tensor:
    """Pad rows of many columns to a multiple of 32 columns, and return others as they are.

    Eigen and oneDNN add up a long row in parts, and where these begin depends on the place of the row in memory. Rows whose
    length is a multiple of the width of a vector have equal parts.

    Args:
        rows: [..., k], of a known k.
        value: of the columns that are added.
    """
    columns = rows.shape[-1]
    padding = -columns % _WIDTH_MULTIPLE if columns > _COLUMNS_OF_ONE_SUM else 0
    if not padding:
        return rows
    return tf.pad(rows, [*[[0, 0]] * (rows.shape.rank - 1), [0, padding]], constant_values=value)
