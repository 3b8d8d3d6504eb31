"""Loss of each token on a CPU, its gradient, and whether the prediction is right."""

from __future__ import annotations

import tensorflow as tf

from linesmith.model.training.wide_rows import pad_wide_rows


def cross_entropy(logits: tf.Tensor, targets: tf.Tensor, *, row_invariant: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute the loss of every token and its gradient with respect to the logits, in one pass.

    Args:
        logits: [T, B, vocab].
        targets: ids, [T, B].
        row_invariant: give a row the same bits whatever stands beside it, at the cost of padding wide rows.

    Returns:
        Losses in nats, [T, B], and slopes, [T, B, vocab].
    """
    flat = tf.reshape(logits, [-1, logits.shape[2]])
    if row_invariant:
        flat = pad_wide_rows(flat, flat.dtype.min)
    losses, slopes = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=flat, labels=tf.reshape(targets, [-1]))
    if row_invariant:
        slopes = slopes[:, : logits.shape[2]]
    return tf.reshape(losses, tf.shape(targets)), tf.reshape(slopes, tf.shape(logits))


def is_correct(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return 1 where the target has the largest logit and 0 elsewhere, [T, B]."""
    # Compared with the maximum and not by argmax: a tie counts as correct.
    of_target = tf.gather(logits, targets, axis=2, batch_dims=2)
    return tf.cast(of_target >= tf.reduce_max(logits, axis=2), logits.dtype)
