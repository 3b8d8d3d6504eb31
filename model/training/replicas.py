"""A training step on several devices: each computes some of a batch's rows, and all apply the sum of the gradients.

The step is the same as on one device but for the order of additions: every replica divides the loss of its rows by the
tokens of the whole batch, so that the sum over replicas is the gradient of the batch's mean. Dropout masks are drawn by
each replica for its own rows, so that they are others than one device draws.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from linesmith.core.config.privacy_checks import check_replicas
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.model.training.batches import Batch

# (rows of a replica, tokens of the whole batch) → (loss, right predictions, tokens) of the rows, gradients.
Gradients = Callable[[dict[str, Any], Any], tuple[tuple[Any, Any, Any], list[Any]]]


def choose_strategy(config: TensorFlowConfig) -> tf.distribute.Strategy | None:
    """How training is spread: over all visible GPUs, or as many as `devices` says; None for one device.

    Raises:
        ParameterError: LS307 private training on several devices, LS101 more devices than there are.
    """
    gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    count = max(1, len(gpus)) if config.devices is None else config.devices
    check_replicas(config, count)
    if count == 1:
        return None
    if count > len(gpus):
        raise ParameterError(
            f"LS101: --devices {config.devices} asks for more than the {len(gpus)} GPUs that TensorFlow sees; give at most "
            f"{max(1, len(gpus))}, or leave it out.",
            code="LS101",
        )
    return tf.distribute.MirroredStrategy(gpus[:count])


def scope(strategy: tf.distribute.Strategy | None) -> Any:
    """Where model and optimizer have to be made."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


class ReplicatedStep:
    """Runs a step of training on all replicas of a strategy.

    Args:
        strategy: under whose scope `optimizer` and `variables` were made.
        gradients: computes a replica's share.
        optimizer: a Keras optimizer; inside a replica its `apply` sums the gradients over all of them.
        variables: what is trained.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, gradients: Gradients, optimizer: Any, variables: list[Any]
    ) -> None:
        self._strategy = strategy

        def replica(rows: dict[str, Any], tokens: Any) -> tuple[Any, Any, Any]:
            sums, parts = gradients(rows, tokens)
            # Dense, so that a replica without any row of a token adds zeros like the others.
            optimizer.apply([tf.convert_to_tensor(part) for part in parts], variables)
            return sums

        def step(rows: Any, tokens: Any) -> list[Any]:
            parts = strategy.run(replica, args=(rows, tokens))
            return [strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None) for part in parts]

        self._step = tf.function(step, reduce_retracing=True)

    def share(self, batch: Batch) -> tuple[Any, Any]:
        """A batch as this step takes it: the rows by replica, and the number of tokens."""
        parts = [part.tensors() for part in split_batch(batch, self._strategy.num_replicas_in_sync)]
        rows = self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )
        return rows, tf.constant(batch.weights.sum(), tf.float32)

    def __call__(self, shared: tuple[Any, Any]) -> list[Any]:
        """Run the step on what `share` gave; loss, right predictions and tokens of the whole batch."""
        return self._step(*shared)


def split_batch(batch: Batch, replicas: int) -> list[Batch]:
    """The rows of a batch dealt out in turn, since neighbours are equally long; filled up with rows that weigh nothing.

    Example:
        >>> ones = np.ones((2, 3))
        >>> [part.weights.sum() for part in split_batch(Batch(ones, ones, ones), 2)]
        [4.0, 2.0]
    """
    missing = -batch.inputs.shape[1] % replicas

    def part(rows: np.ndarray, replica: int) -> np.ndarray:
        return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, missing)))[:, replica::replicas])

    return [Batch(part(batch.inputs, i), part(batch.targets, i), part(batch.weights, i)) for i in range(replicas)]
