"""Token ids of one split on disk, memory-mapped: training memory does not grow with the corpus.

Built once from the TFRecords, read through tf.data. Records are addressed by their rank in a canonical order, the hash of
their content, so that training does not depend on how an earlier stage cut its shards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.errors import DataError

_BATCH = 4096


@dataclass(frozen=True)
class TokenStore:
    """Records of one split.

    Attributes:
        ids: all tokens, record after record, each `<n> … <n>`; memory-mapped.
        starts: first token of each record, in canonical order.
        lengths: tokens of each record, both `<n>` included, in canonical order.
        chars: characters of all records, their newlines included.
    """

    ids: npt.NDArray[np.unsignedinteger]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    chars: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def tokens(self) -> int:
        """Tokens to predict: all but each record's first `<n>`."""
        return int(self.lengths.sum()) - len(self)

    def record(self, rank: int) -> npt.NDArray[np.unsignedinteger]:
        """Ids of the record of a rank."""
        start = self.starts[rank]
        return self.ids[start : start + self.lengths[rank]]


def build_token_store(files: Sequence[Path], work: Path, *, vocab_size: int, expected: int) -> TokenStore:
    """Copy the ids of TFRecord shards into one memory-mapped array.

    Args:
        files: gzip TFRecord shards of `tf.train.Example` with `ids`, `record_hash` and `num_chars`.
        work: file to create and map; it may be deleted when training ends.
        vocab_size: ids must be below it.
        expected: records that the manifest promises.

    Raises:
        DataError: a shard is truncated, foreign or does not match the manifest.
    """
    dtype = np.uint16 if vocab_size <= 2**16 else np.uint32
    lengths: list[np.ndarray] = [np.empty(0, np.int64)]
    hashes: list[np.ndarray] = [np.empty(0, np.int64)]
    chars = 0
    work.parent.mkdir(parents=True, exist_ok=True)
    with open(work, "wb") as out:
        for file in files:
            for ids, row_lengths, row_hashes, row_chars in _read(file):
                if ids.size and (ids.min() < 0 or ids.max() >= vocab_size):
                    raise _damaged(file, f"a token id lies outside the vocabulary of {vocab_size}")
                if row_lengths.size and row_lengths.min() < 2:
                    raise _damaged(file, "a record lacks its begin or end token")
                out.write(ids.astype(dtype).tobytes())
                lengths.append(row_lengths)
                hashes.append(row_hashes)
                chars += int(row_chars.sum()) + len(row_chars)
    all_lengths = np.concatenate(lengths)
    if len(all_lengths) != expected:
        raise DataError(
            f"LS205: '{files[0].parent if files else work.parent}' holds {len(all_lengths)} records of a split, its manifest "
            f"says {expected}; run tokenize again with --overwrite."
        )
    order = np.argsort(np.concatenate(hashes), kind="stable")
    starts = np.concatenate([[0], np.cumsum(all_lengths)[:-1]]) if expected else np.empty(0, np.int64)
    mapped: npt.NDArray[Any] = np.memmap(work, dtype, "r") if expected else np.empty(0, dtype)
    return TokenStore(mapped, starts[order].astype(np.int64), all_lengths[order], chars)


def _read(file: Path) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Batches of (ids, lengths, hashes, chars) of a shard."""
    import tensorflow as tf

    features = {
        "ids": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
        "record_hash": tf.io.FixedLenFeature([], tf.int64),
        "num_chars": tf.io.FixedLenFeature([], tf.int64),
    }
    shard = tf.data.TFRecordDataset(str(file), "GZIP").batch(_BATCH)
    try:
        for batch in shard.map(lambda serialized: tf.io.parse_example(serialized, features)).prefetch(2):
            ids = batch["ids"]
            yield (
                ids.values.numpy(),
                ids.row_lengths().numpy(),
                batch["record_hash"].numpy(),
                batch["num_chars"].numpy(),
            )
    except tf.errors.OpError:  # its message may quote the record, so it is not repeated
        raise _damaged(file, "it is cut off or is not one of ours") from None


def _damaged(file: Path, what: str) -> DataError:
    return DataError(f"LS205: training data '{file}' is damaged: {what}. Run tokenize again with --overwrite.")
