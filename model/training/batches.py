"""Rows for training: one whole record a row, from a zero state as in generation, cut into batches with little padding.

Rows of a batch are of like length, so that short records need not be packed together: a batch then holds `batch_size`
records whatever their length, and the weights move as often as they can for the same work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from linesmith.model.training.permutation import Permutation
from linesmith.model.training.token_store import TokenStore

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

    def tensors(self) -> dict[str, Any]:
        """Everything by name, as TensorFlow has it."""
        import tensorflow as tf

        arrays = {"inputs": self.inputs, "targets": self.targets, "weights": self.weights}
        return {name: tf.constant(array) for name, array in arrays.items()}

    @staticmethod
    def specs() -> dict[str, Any]:
        """What `tensors` gives for any batch: a graph that is made for it is made once, whatever the shapes."""
        import tensorflow as tf

        kinds = {"inputs": tf.int32, "targets": tf.int32, "weights": tf.float32}
        return {name: tf.TensorSpec([None, None], kind) for name, kind in kinds.items()}


class EpochBatches(Sequence[npt.NDArray[np.int64]]):
    """The batches of an epoch, each the ranks of its records; a pure function of the arguments.

    The records are put in a random order, which is cut into pools. Within a pool they are sorted by length and cut into
    batches, whose order is random again. A pool is computed when one of its batches is asked for: nothing is kept for a
    record, and any batch can be had without those before it.

    A batch has `batch_size` records, fewer where they are longer than `seq_length`: its tokens stay bounded, and a long
    record is trained whole.

    Args:
        store: the records.
        batch_size: most records of a batch.
        seq_length: tokens of a row that a whole batch of records may have.
        seed, epoch: name the order.
    """

    def __init__(self, store: TokenStore, *, batch_size: int, seq_length: int, seed: int, epoch: int) -> None:
        self._store, self._batch_size, self._seq_length = store, batch_size, seq_length
        self._key = np.array([seed, epoch], np.uint64)
        self._order = Permutation(len(store), (seed, epoch))
        self._pool_size = _POOL_BATCHES * batch_size
        # The first batch of each pool, and how many batches there are: a few bytes for every 64 batches.
        self._firsts = np.concatenate([[0], np.cumsum(list(self._counts()), dtype=np.int64)])
        self._pool: tuple[int, list[npt.NDArray[np.int64]]] = (-1, [])

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        number = int(np.searchsorted(self._firsts, index, side="right")) - 1
        if self._pool[0] != number:
            self._pool = (number, self._batches_of(number))
        return self._pool[1][index - int(self._firsts[number])]

    def _batches_of(self, pool: int) -> list[npt.NDArray[np.int64]]:
        ranks = self._order.at(pool * self._pool_size, (pool + 1) * self._pool_size)
        batches = list(_cut(self._store, ranks, self._batch_size, self._seq_length))
        random = np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, 0, pool + 1]))
        return [batches[i] for i in random.permutation(len(batches))]

    def _counts(self) -> Iterator[int]:
        """Batches of each pool."""
        for start in range(0, len(self._store), self._pool_size):
            if self._store.longest <= self._seq_length:
                yield -(-min(self._pool_size, len(self._store) - start) // self._batch_size)
            else:  # long records make batches of their own: they have to be looked at
                ranks = self._order.at(start, start + self._pool_size)
                yield sum(1 for _ in _cut(self._store, ranks, self._batch_size, self._seq_length))


def evaluation_batches(store: TokenStore, *, batch_size: int, seq_length: int) -> Iterator[npt.NDArray[np.int64]]:
    """Every record once, pool by pool, the longest of each first: for measuring, where order does not matter."""
    pool = _POOL_BATCHES * batch_size
    for start in range(0, len(store), pool):
        yield from _cut(store, np.arange(start, min(start + pool, len(store))), batch_size, seq_length)


def _cut(
    store: TokenStore, ranks: npt.NDArray[np.int64], batch_size: int, seq_length: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Batches of records of like length."""
    lengths = np.asarray(store.lengths)[ranks]
    order = np.argsort(-lengths, kind="stable")
    ranks, lengths = ranks[order], lengths[order]
    at = 0
    while at < len(ranks):
        longest = int(lengths[at]) - 1  # inputs and targets overlap: k ids take k − 1 places
        count = min(batch_size, max(1, batch_size * seq_length // longest))
        yield ranks[at : at + count]
        at += count


def make_batch(store: TokenStore, ranks: npt.NDArray[np.int64]) -> Batch:
    """The arrays of a batch of whole records, as wide as the longest."""
    return gather(store, ranks, steps=int(np.asarray(store.lengths)[ranks].max()) - 1, columns=len(ranks))


def gather(store: TokenStore, ranks: npt.NDArray[np.int64], *, steps: int, columns: int) -> Batch:
    """One record a column from a zero state, cut after `steps` tokens to predict, padded with what weighs nothing.

    Args:
        store: the records.
        ranks: which ones.
        steps: T.
        columns: B, at least as many as there are ranks.
    """
    starts = np.asarray(store.starts)[ranks]
    places = np.minimum(np.asarray(store.lengths)[ranks] - 1, steps)
    time = np.arange(steps + 1)[:, None]
    there = time <= places
    ids = np.zeros((steps + 1, columns), np.int32)
    ids[:, : len(ranks)] = np.where(there, np.asarray(store.ids)[starts + np.minimum(time, places)], 0)
    weights = np.zeros((steps, columns), np.float32)
    weights[:, : len(ranks)] = there[1:]
    return Batch(np.where(weights > 0, ids[:-1], 0), ids[1:], weights)
