"""Batches for training: one whole record per row, from a zero state as in generation, with little padding.

The rows of a batch are of similar length, so short records need not be packed into one row: a batch then holds `batch_size`
records whatever their length, and the weights are updated as often as possible for the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linesmith.model.fields.inputs import input_rows
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.training.permutation import Permutation
from linesmith.model.training.token_store import TokenStore

if TYPE_CHECKING:
    import tensorflow as tf

# Batches whose records are sorted by length together. Large enough that neighbors are about equally long, small enough that
# the order stays random and memory bounded.
_POOL_BATCHES = 64

# Steps of physical batches are multiples of it: few shapes for XLA to compile, little padding.
STEP_MULTIPLE = 16
# Rows of a physical batch, padding included: few, since XLA compiles kernels for each. Their halves are multiples of 24, because
# products give all rows of such heights the same bits on processors with AVX2 (`linesmith.model.row_invariance`).
_ROW_COUNTS = (48, 96, 144, 192, 288, 480, 960, 1920)

Ranks = npt.NDArray[np.int64]  # which records of a store


@dataclass(frozen=True)
class Batch:
    """Arrays of some records, time first: one column per record.

    Attributes:
        inputs: [T, B] int32.
        targets: [T, B] int32, the inputs one step later.
        weights: [T, B] float32, 1 at a token to predict, 0 at padding.
        rows: [T, B, slots] int32, the rows of the table that make up the input of a network that knows fields; 0 at padding;
            None for a plain network.
    """

    inputs: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int32] | None = None

    def to_tensors(self) -> dict[str, tf.Tensor]:
        """Return the arrays as tensors, by attribute name."""
        import tensorflow as tf

        arrays = {"inputs": self.inputs, "targets": self.targets, "weights": self.weights}
        if self.rows is not None:
            arrays["rows"] = self.rows
        return {name: tf.constant(array) for name, array in arrays.items()}

    @staticmethod
    def tensor_specs(slots: int = 0) -> dict[str, tf.TensorSpec]:
        """Return the signature of `to_tensors` for a batch of any shape, so that a graph is traced only once.

        Args:
            slots: number of rows that make up an input of the network; 0 for a plain one.
        """
        import tensorflow as tf

        dtypes = {"inputs": tf.int32, "targets": tf.int32, "weights": tf.float32}
        specs = {name: tf.TensorSpec([None, None], dtype) for name, dtype in dtypes.items()}
        return {**specs, "rows": tf.TensorSpec([None, None, slots], tf.int32)} if slots else specs


class EpochBatches(Sequence[Ranks]):
    """Batches of an epoch, each the ranks of its records; a pure function of the arguments.

    The records are put in a random order, which is cut into pools. Within a pool they are sorted by length and cut into
    batches, whose order is random again. A pool is computed when one of its batches is asked for: no memory is kept per
    record, and any batch can be had without those before it.

    A batch has `batch_size` records, or fewer where they are longer than `seq_length`: its number of tokens stays bounded, and
    a long record is trained whole.

    Args:
        store: the records.
        batch_size: most records in a batch.
        seq_length: tokens per record at which a batch of `batch_size` records is full.
        seed: of the random order.
        epoch: number of the epoch; each has another order.
    """

    def __init__(self, store: TokenStore, *, batch_size: int, seq_length: int, seed: int, epoch: int) -> None:
        self._store, self._batch_size, self._seq_length = store, batch_size, seq_length
        self._key = np.array([seed, epoch], np.uint64)
        self._order = Permutation(len(store), (seed, epoch))
        self._pool_size = _POOL_BATCHES * batch_size
        # Index of the first batch of each pool, and the number of batches at the end: a few bytes for every 64 batches.
        self._first_batches = np.concatenate([[0], np.cumsum(list(self._batch_counts()), dtype=np.int64)])
        self._pool: tuple[int, list[Ranks]] = (-1, [])  # the pool asked for last, by its index

    def __len__(self) -> int:
        return int(self._first_batches[-1])

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        pool = int(np.searchsorted(self._first_batches, index, side="right")) - 1
        if self._pool[0] != pool:
            self._pool = (pool, self._pool_batches(pool))
        return self._pool[1][index - int(self._first_batches[pool])]

    def _pool_batches(self, pool: int) -> list[Ranks]:
        ranks = self._order.values_at(pool * self._pool_size, (pool + 1) * self._pool_size)
        batches = list(_cut_by_length(self._store, ranks, self._batch_size, self._seq_length))
        # A counter per pool: its order does not depend on which pools were computed before it.
        random = np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, 0, pool + 1]))
        return [batches[i] for i in random.permutation(len(batches))]

    def _batch_counts(self) -> Iterator[int]:
        """Yield the number of batches of each pool."""
        for start in range(0, len(self._store), self._pool_size):
            if self._store.max_tokens <= self._seq_length:
                yield -(-min(self._pool_size, len(self._store) - start) // self._batch_size)
            else:  # how many batches a pool with long records makes depends on their lengths
                ranks = self._order.values_at(start, start + self._pool_size)
                yield sum(1 for _ in _cut_by_length(self._store, ranks, self._batch_size, self._seq_length))


def evaluation_batches(store: TokenStore, *, batch_size: int, seq_length: int) -> Iterator[Ranks]:
    """Yield batches that hold every record once, in the order of the store but for length within each pool.

    Args:
        store: the records.
        batch_size: most records in a batch.
        seq_length: as for `EpochBatches`.
    """
    pool = _POOL_BATCHES * batch_size
    for start in range(0, len(store), pool):
        yield from _cut_by_length(store, np.arange(start, min(start + pool, len(store))), batch_size, seq_length)


def row_counts(batch_size: int) -> tuple[int, ...]:
    """Return the numbers of rows that physical batches may have: those up to `batch_size`, and the smallest in any case.

    Example:
        >>> row_counts(100), row_counts(1)
        ((48, 96), (48,))
    """
    return tuple(count for count in _ROW_COUNTS if count <= max(batch_size, _ROW_COUNTS[0]))


def padded_steps(tokens: npt.NDArray[np.int64], seq_length: int) -> npt.NDArray[np.int64]:
    """Return the steps of the batches that hold records of given lengths: multiples of 16, and of an eighth from 128 on.

    In private training, products and sums of a record must not change when another record comes or goes, so its number of
    steps depends on its own length and on public constants only.

    Args:
        tokens: tokens to predict of each record, at least 1.
        seq_length: most of them.

    Example:
        >>> padded_steps(np.array([1, 17, 128, 129, 257]), 300)
        array([ 16,  32, 128, 160, 300])
    """
    eighth = 2 ** (np.frexp(tokens - 1)[1].astype(np.int64) - 3).clip(min=0)
    multiple = np.maximum(STEP_MULTIPLE, eighth)
    return np.minimum(-(-tokens // multiple) * multiple, seq_length)


def steps_in_use(store: TokenStore, seq_length: int) -> set[int]:
    """Return the numbers of steps of all batches that `physical_batches` can make of a store's records."""
    blocks = (padded_steps(np.minimum(block - 1, seq_length), seq_length) for block in store.length_blocks())
    return {steps for block in blocks for steps in np.unique(block).tolist()}


def physical_batches(
    store: TokenStore,
    ranks: Ranks,
    *,
    counts_of: Callable[[int], Sequence[int]],
    seq_length: int,
    layout: FieldLayout | None = None,
) -> Iterator[tuple[Ranks, Batch]]:
    """Yield batches of few shapes that hold given records, one per row; none where there are no records.

    A record longer than `seq_length` is cut there. A batch holds only records of the same `padded_steps`, the longest first.

    Args:
        store: the records.
        ranks: which records, such as a Poisson sample.
        counts_of: gives the numbers of rows, padding included, that a batch of a number of steps may have.
        seq_length: most tokens of a record to predict.
        layout: of the network; None for a plain one.

    Yields:
        The places in `ranks` of a batch's records, and the batch.
    """
    tokens = np.minimum(np.asarray(store.lengths)[ranks] - 1, seq_length)
    steps = padded_steps(tokens, seq_length)
    for longest in np.unique(steps)[::-1].tolist():
        places, counts = np.flatnonzero(steps == longest), counts_of(longest)
        for start in range(0, len(places), max(counts)):
            part = places[start : start + max(counts)]
            columns = min(count for count in counts if count >= len(part))
            yield part, make_padded_batch(store, ranks[part], steps=longest, columns=columns, layout=layout)


def _cut_by_length(store: TokenStore, ranks: Ranks, batch_size: int, seq_length: int) -> Iterator[Ranks]:
    """Yield batches of records of similar length, the longest first."""
    lengths = np.asarray(store.lengths)[ranks]
    order = np.argsort(-lengths, kind="stable")
    ranks, lengths = ranks[order], lengths[order]
    start = 0
    while start < len(ranks):
        longest = int(lengths[start]) - 1  # k ids give k − 1 pairs of input and target
        count = min(batch_size, max(1, batch_size * seq_length // longest))
        yield ranks[start : start + count]
        start += count


def make_batch(store: TokenStore, ranks: Ranks, layout: FieldLayout | None = None) -> Batch:
    """Return the arrays of a batch of whole records, with as many steps as the longest has tokens to predict.

    Args:
        store: the records.
        ranks: which records, one per column.
        layout: of the network; None for a plain one.
    """
    steps = int(np.asarray(store.lengths)[ranks].max()) - 1
    return make_padded_batch(store, ranks, steps=steps, columns=len(ranks), layout=layout)


def make_padded_batch(
    store: TokenStore, ranks: Ranks, *, steps: int, columns: int, layout: FieldLayout | None = None
) -> Batch:
    """Return the arrays of records cut after `steps` tokens to predict, padded with steps and columns of weight 0.

    Args:
        store: the records.
        ranks: which records, one per column.
        steps: T.
        columns: B, at least as many as there are ranks.
        layout: of the network; None for a plain one.
    """
    starts = np.asarray(store.starts)[ranks]
    tokens = np.minimum(np.asarray(store.lengths)[ranks] - 1, steps)  # to predict, of each record
    time = np.arange(steps + 1)[:, None]
    in_record = time <= tokens
    ids = np.zeros((steps + 1, columns), np.int32)
    # Indices past a record's end are moved back to it before they are read: past the last record there is nothing to read.
    ids[:, : len(ranks)] = np.where(in_record, np.asarray(store.ids)[starts + np.minimum(time, tokens)], 0)
    weights = np.zeros((steps, columns), np.float32)
    weights[:, : len(ranks)] = in_record[1:]
    # The last id of a record is a target only: where nothing is to be predicted, there is no input either.
    inputs = np.where(weights > 0, ids[:-1], 0)
    if layout is None:
        return Batch(inputs, ids[1:], weights)
    return Batch(inputs, ids[1:], weights, np.where(weights[:, :, None] > 0, input_rows(inputs, layout), 0))
