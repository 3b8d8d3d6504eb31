"""Rows for training: whole records, each from a zero state, packed and cut into batches with little padding."""

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
    """Rows of records, time first.

    Attributes:
        inputs, targets: [T, B] int32.
        keep: [T, B, 1] float32, 0 where a record starts.
        weights: [T, B] float32, 1 at a token to predict, 0 at padding.
        records: how many records it holds.
    """

    inputs: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]
    keep: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    records: int

    def as_dict(self) -> dict[str, np.ndarray]:
        return {"inputs": self.inputs, "targets": self.targets, "keep": self.keep, "weights": self.weights}


def pack(ranks: Sequence[int], lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put records into rows of at most `capacity` tokens, in order; a longer record gets a row of its own.

    Example:
        >>> pack([7, 3, 5, 9], [4, 5, 2, 30], capacity=10)
        [[7, 3], [5], [9]]
    """
    rows: list[list[int]] = []
    used = capacity + 1
    for rank, length in zip(ranks, lengths, strict=True):
        if used + length > capacity:
            rows.append([])
            used = 0
        rows[-1].append(rank)
        used += length
    return rows


def epoch_batches(
    store: TokenStore, *, batch_size: int, seq_length: int, seed: int, epoch: int
) -> list[list[list[int]]]:
    """The batches of an epoch, each a list of rows of record ranks; a pure function of its arguments.

    A batch has `batch_size` rows, fewer where records are longer than `seq_length`, so that its tokens stay bounded.
    """
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = random.permutation(len(store))
    pool = max(1, _POOL_BATCHES * batch_size * max(1, round(seq_length / max(1.0, float(store.lengths.mean())))))
    batches: list[list[list[int]]] = []
    for start in range(0, len(order), pool):
        ranks = order[start : start + pool]
        # Only k-1 of a record's k tokens take a place in a row: inputs and targets overlap.
        rows = pack(ranks.tolist(), (store.lengths[ranks] - 1).tolist(), seq_length)
        batches.extend(_cut(rows, store, batch_size, seq_length))
    return [batches[i] for i in random.permutation(len(batches))]


def _cut(rows: list[list[int]], store: TokenStore, batch_size: int, seq_length: int) -> Iterator[list[list[int]]]:
    widths = np.array([int((store.lengths[row] - 1).sum()) for row in rows])
    order = np.argsort(-widths, kind="stable")
    at = 0
    while at < len(order):
        longest = int(widths[order[at]])
        count = min(batch_size, max(1, batch_size * seq_length // longest))
        yield [rows[i] for i in order[at : at + count]]
        at += count


def in_order_batches(store: TokenStore, *, batch_size: int, seq_length: int) -> Iterator[list[list[int]]]:
    """Every record once, one a row, longest first: for measuring, where order does not matter."""
    order = np.argsort(-store.lengths, kind="stable")
    at = 0
    while at < len(order):
        longest = int(store.lengths[order[at]] - 1)
        count = min(batch_size, max(1, batch_size * max(seq_length, 1) // longest))
        yield [[int(i)] for i in order[at : at + count]]
        at += count


def materialise(store: TokenStore, rows: Sequence[Sequence[int]]) -> Batch:
    """The arrays of a batch."""
    width = max(int((store.lengths[list(row)] - 1).sum()) for row in rows)
    inputs = np.zeros((len(rows), width), np.int32)
    targets = np.zeros((len(rows), width), np.int32)
    keep = np.ones((len(rows), width, 1), np.float32)
    weights = np.zeros((len(rows), width), np.float32)
    for b, row in enumerate(rows):
        at = 0
        for rank in row:
            ids = store.record(rank)
            end = at + len(ids) - 1
            inputs[b, at:end] = ids[:-1]
            targets[b, at:end] = ids[1:]
            weights[b, at:end] = 1
            keep[b, at] = 0
            at = end
    return Batch(
        inputs=_time_first(inputs),
        targets=_time_first(targets),
        keep=_time_first(keep),
        weights=_time_first(weights),
        records=sum(len(row) for row in rows),
    )


def _time_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.swapaxes(array, 0, 1))
