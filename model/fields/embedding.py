"""Sums of a table's rows as the input of a network, and the gradient of the table; one row per slot of every step."""

from __future__ import annotations

import tensorflow as tf


def summed_rows(table: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Sum the rows of every step: table [N, d] and rows [T, B, slots] give [T, B, d].

    Rows are added in the order of the slots, whatever stands beside them, and nothing of [T, B, slots, d] is ever in memory.
    """
    flat = tf.raw_ops.SparseSegmentSum(data=table, indices=tf.reshape(rows, [-1]), segment_ids=_step_of_row(rows))
    return tf.reshape(flat, [tf.shape(rows)[0], tf.shape(rows)[1], table.shape[1]])


def table_gradient(delta: tf.Tensor, rows: tf.Tensor, count: int) -> tf.Tensor:
    """Sum the loss gradient of the inputs by row: delta [T, B, d] and rows [T, B, slots] give [count, d]."""
    return tf.raw_ops.SparseSegmentSumGrad(
        grad=tf.reshape(delta, [-1, delta.shape[2]]),
        indices=tf.reshape(rows, [-1]),
        segment_ids=_step_of_row(rows),
        output_dim0=tf.constant(count),
    )


def _step_of_row(rows: tf.Tensor) -> tf.Tensor:
    """Return the number of the step that each row belongs to, [T · B · slots]."""
    return tf.repeat(tf.range(tf.shape(rows)[0] * tf.shape(rows)[1]), rows.shape[2])
