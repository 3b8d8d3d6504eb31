"""Exact Poisson samples of records, and the fixed shapes in which they are computed.

A step's sample holds each record independently with the same probability: what the accountant assumes. It is drawn by the
gaps between drawn records, which are geometric, so that its cost is that of the sample and not of the data. A sample has
any size, 0 included, and is never cut short: it is computed in as many physical batches as it takes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from linesmith.model.training.batches import Batch, gather
from linesmith.model.training.token_store import TokenStore

GRID = 16  # widths and heights of physical batches are multiples of it: few shapes, little padding


def poisson_sample(records: int, rate: float, seed: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Ranks of the drawn records, ascending: each of `records` independently with probability `rate`.

    Args:
        records: how many there are.
        rate: q, above 0 and at most 1.
        seed: 128 secret bits; the sample is a pure function of the arguments.

    Raises:
        ValueError: a rate that is no probability above 0.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate must lie in (0, 1], found {rate}")
    if rate == 1:
        return np.arange(records, dtype=np.int64)
    # As 64-bit integers: a list of small and large ones would become floats, and lose bits of the secret.
    key = np.array([part % 2**64 for part in seed], np.uint64)
    random = np.random.Generator(np.random.Philox(key=key))
    expected = records * rate
    chunk = int(expected + 4 * np.sqrt(expected) + 16)
    ranks: list[npt.NDArray[np.int64]] = []
    last = -1
    while last < records:
        # A gap beyond the last record is as good as any other beyond it; unlimited ones would overflow when added.
        gaps = np.minimum(random.geometric(rate, chunk), records + 1)
        found = last + np.cumsum(gaps, dtype=np.int64)
        last = int(found[-1])
        ranks.append(found)
    drawn = np.concatenate(ranks)
    return drawn[drawn < records]


def physical_batches(
    store: TokenStore, ranks: npt.NDArray[np.int64], *, batch_size: int, seq_length: int
) -> Iterator[Batch]:
    """The records of a sample, one a row, in batches of few shapes; none where the sample is empty.

    A record longer than `seq_length` is cut there. The longest come first, so that rows of a batch are alike; which records
    share a batch, and its padding, change no record's gradient.

    Args:
        store: the records.
        ranks: from `poisson_sample`.
        batch_size: most rows computed at once; memory grows with it, the result does not depend on it.
        seq_length: most tokens of a record to predict.
    """
    lengths = np.minimum(np.asarray(store.lengths)[ranks] - 1, seq_length)
    order = ranks[np.argsort(-lengths, kind="stable")]
    for start in range(0, len(order), batch_size):
        yield _private_rows(store, order[start : start + batch_size], batch_size, seq_length)


def _private_rows(store: TokenStore, ranks: npt.NDArray[np.int64], batch_size: int, seq_length: int) -> Batch:
    """One record a row from a zero state, padded to the grid with rows and steps of no weight."""
    longest = int(min(np.asarray(store.lengths)[ranks].max() - 1, seq_length))
    columns = min(_up(len(ranks)), batch_size)
    return gather(store, ranks, steps=min(_up(longest), seq_length), columns=columns)


def _up(count: int) -> int:
    return -(-count // GRID) * GRID
