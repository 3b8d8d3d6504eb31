"""Rows for training: one whole record a row, from a zero state as in generation, cut into batches with little padding.

Rows of a batch are of like length, so that short records need not be packed together: a batch then holds `batch_size`
records whatever their length, and the weights move as often as they can for the same work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.token_store import TokenStore

# Batches whose rows are sorted by length together. Large enough that neighbours are equally long, small enough that
# the order stays random and memory bounded.
_POOL_BATCHES = 64


@dataclass(frozen=True)
class Batch:
    """Records, time first.

    Attributes:
        inputs, targets: [T, B] int32.
        weights: [T, B] float32, 1 at a token to predict, 0 at padding.
    """

    inputs: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    def as_dict(self) -> dict[str, np.ndarray]:
        return {"inputs": self.inputs, "targets": self.targets, "weights": self.weights}


def epoch_batches(
    store: TokenStore, *, batch_size: int, seq_length: int, seed: int, epoch: int
) -> list[npt.NDArray[np.int64]]:
    """The batches of an epoch, each the ranks of its records; a pure function of its arguments.

    A batch has `batch_size` records, fewer where they are longer than `seq_length`: its tokens stay bounded, and a long
    record is trained whole.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = random.permutation(len(store))
    batches: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(order), _POOL_BATCHES * batch_size):
        ranks = order[start : start + _POOL_BATCHES * batch_size]
        batches.extend(_cut(store, ranks, batch_size, seq_length))
    return [batches[i] for i in random.permutation(len(batches))]


def in_order_batches(store: TokenStore, *, batch_size: int, seq_length: int) -> Iterator[npt.NDArray[np.int64]]:
    """Every record once, longest first: for measuring, where order does not matter."""
    return _cut(store, np.arange(len(store)), batch_size, seq_length)


def _cut(
    store: TokenStore, ranks: npt.NDArray[np.int64], batch_size: int, seq_length: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Batches of records of like length."""
    ranks = ranks[np.argsort(-store.lengths[ranks], kind="stable")]
    at = 0
    while at < len(ranks):
        longest = int(store.lengths[ranks[at]]) - 1  # inputs and targets overlap: k ids take k − 1 places
        count = min(batch_size, max(1, batch_size * seq_length // longest))
        yield ranks[at : at + count]
        at += count


def materialise(store: TokenStore, ranks: Sequence[int] | npt.NDArray[np.int64]) -> Batch:
    """The arrays of a batch of records."""
    width = int(store.lengths[ranks].max()) - 1
    inputs = np.zeros((width, len(ranks)), np.int32)
    targets = np.zeros((width, len(ranks)), np.int32)
    weights = np.zeros((width, len(ranks)), np.float32)
    for row, rank in enumerate(ranks):
        ids = store.record(rank)
        places = len(ids) - 1
        inputs[:places, row] = ids[:-1]
        targets[:places, row] = ids[1:]
        weights[:places, row] = 1
    return Batch(inputs, targets, weights)
