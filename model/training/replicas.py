"""A training step on several devices: each computes some rows of a batch, and all apply the sum of the gradients.

Synchronous data parallelism. The step is the same as on one device but for the order of additions: every replica divides the
loss of its rows by the tokens of the whole batch, so the sum over replicas is the gradient of the batch's mean. Each replica
draws dropout masks for its own rows, so they differ from those that one device would draw.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from linesmith.core.config.privacy_checks import check_replicas
from linesmith.core.errors import ParameterError
from linesmith.model.training.backpropagation import TokenSums
from linesmith.model.training.batches import Batch

# (batch of a replica, tokens of the whole batch) → (sums over the replica's tokens, gradients)
GradientFunction = Callable[[dict[str, tf.Tensor], tf.Tensor], tuple[TokenSums, list[tf.Tensor]]]


def choose_strategy(devices: int | None, *, private: bool) -> tf.distribute.Strategy | None:
    """Return how training is spread over GPUs; None for one device.

    Args:
        devices: number of GPUs that the settings ask for; None: all that are visible.
        private: whether training is private, which takes one device.

    Raises:
        ParameterError: private training on several devices, or more devices than there are.
    """
    gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    count = max(1, len(gpus)) if devices is None else devices
    check_replicas(private, count)
    if count == 1:
        return None
    if count > len(gpus):
        raise ParameterError(
            "LS101",
            f"--devices {devices}",
            f"more than the {len(gpus)} GPUs that TensorFlow sees",
            f"Give at most {max(1, len(gpus))}, or leave it out.",
        )
    return tf.distribute.MirroredStrategy(gpus[:count])


def strategy_scope(strategy: tf.distribute.Strategy | None) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which model and optimizer must be made."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


class ReplicatedStep:
    """Step of training on all replicas of a strategy.

    Args:
        strategy: in whose scope `optimizer` and `variables` were made.
        gradients: computes the part of one replica.
        optimizer: a Keras optimizer; inside a replica its `apply` sums the gradients over all replicas.
        variables: the variables that are trained.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, gradients: GradientFunction, optimizer: Any, variables: list[Any]
    ) -> None:
        self._strategy = strategy

        def replica(batch: dict[str, tf.Tensor], tokens: tf.Tensor) -> TokenSums:
            sums, parts = gradients(batch, tokens)
            # Dense gradients, so that a replica without any row of a token adds zeros like the others.
            optimizer.apply([tf.convert_to_tensor(part) for part in parts], variables)
            return sums

        def step(batch: Any, tokens: tf.Tensor) -> list[tf.Tensor]:
            parts = strategy.run(replica, args=(batch, tokens))
            return [strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None) for part in parts]

        # Shapes differ from batch to batch: TensorFlow relaxes them after the first, so that it traces the step only a few times.
        self._step = tf.function(step, reduce_retracing=True)

    def distribute(self, batch: Batch) -> tuple[Any, tf.Tensor]:
        """Split a batch over the replicas; return it as `__call__` takes it, with its number of tokens."""
        parts = [part.to_tensors() for part in split_batch(batch, self._strategy.num_replicas_in_sync)]
        per_replica = self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )
        # Divisor for every replica: with its own tokens as divisor, a replica with fewer of them would weigh too much.
        return per_replica, tf.constant(batch.weights.sum(), tf.float32)

    def __call__(self, distributed: tuple[Any, tf.Tensor]) -> list[tf.Tensor]:
        """Run the step on what `distribute` returned; return loss, correct predictions and tokens of the whole batch."""
        return self._step(*distributed)


def split_batch(batch: Batch, replicas: int) -> list[Batch]:
    """Split a batch into parts of equal shape, the last of them filled up with rows of weight 0.

    Rows are dealt out in turn, because neighbors are of similar length: each part then has about as many tokens.

    Example:
        >>> ones = np.ones((2, 3))
        >>> [part.weights.sum() for part in split_batch(Batch(ones, ones, ones), 2)]
        [4.0, 2.0]
    """
    missing = -batch.inputs.shape[1] % replicas

    def part(array: np.ndarray, replica: int) -> np.ndarray:
        widths = [(0, 0), (0, missing), *[(0, 0)] * (array.ndim - 2)]
        return np.ascontiguousarray(np.pad(array, widths)[:, replica::replicas])

    return [
        Batch(
            part(batch.inputs, i),
            part(batch.targets, i),
            part(batch.weights, i),
            None if batch.rows is None else part(batch.rows, i),
        )
        for i in range(replicas)
    ]
