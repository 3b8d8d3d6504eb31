"""Token ids of one split and their index on disk, memory-mapped: training memory does not grow with the corpus.

Built once from the TFRecords, read through tf.data. Records are addressed by their rank in a canonical order, the hash of
their content, so that training does not depend on how an earlier stage cut its shards. What is mapped is backed by files:
the system may drop it at any time and read it again, so it is no memory that the process needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linesmith.core.errors import DataError
from linesmith.records.input.external_sort import sort_rows

_BATCH = 4096  # records parsed at once
_BLOCK = 1 << 16  # lengths looked at at once
_ROW = np.dtype([("hash", "<i8"), ("start", "<i8"), ("length", "<i8")])


@dataclass(frozen=True)
class TokenStore:
    """Records of one split.

    Attributes:
        ids: all tokens and no others, record after record, each `<n> … <n>`; memory-mapped, as are the next two.
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
        return len(self.ids) - len(self)

    @cached_property
    def longest(self) -> int:
        """Tokens to predict in the longest record; 0 where there is none."""
        return max((int(block.max()) - 1 for block in self._length_blocks()), default=0)

    def count_longer_than(self, places: int) -> int:
        """How many records have more tokens to predict than `places`."""
        return sum(int(np.count_nonzero(block > places + 1)) for block in self._length_blocks())

    def _length_blocks(self) -> Iterator[npt.NDArray[np.int64]]:
        return (self.lengths[start : start + _BLOCK] for start in range(0, len(self), _BLOCK))

    def record(self, rank: int) -> npt.NDArray[np.unsignedinteger]:
        """Ids of the record of a rank."""
        start = self.starts[rank]
        return self.ids[start : start + self.lengths[rank]]


def build_token_store(files: Sequence[Path], work: Path, *, vocab_size: int, expected: int) -> TokenStore:
    """Copy the ids of TFRecord shards into one memory-mapped array, and index them in another.

    Args:
        files: gzip TFRecord shards of `tf.train.Example` with `ids`, `record_hash` and `num_chars`.
        work: file to create and map; a second one, `.index` after its name, lies beside it. Both may be deleted when
            training ends.
        vocab_size: ids must be below it.
        expected: records that the manifest promises.

    Raises:
        DataError: a shard is truncated, foreign or does not match the manifest.
    """
    dtype = np.dtype(np.uint8 if vocab_size <= 2**8 else np.uint16 if vocab_size <= 2**16 else np.uint32)
    index = work.with_name(work.name + ".index")
    records, chars = _copy(files, work, index, dtype, vocab_size)
    if records != expected:
        raise DataError(
            f"LS205: '{files[0].parent if files else work.parent}' holds {records} records of a split, its manifest "
            f"says {expected}; run tokenize again with --overwrite."
        )
    if not records:
        return TokenStore(np.empty(0, dtype), np.empty(0, np.int64), np.empty(0, np.int64), 0)
    sort_rows(index, _ROW, "hash")
    rows = np.memmap(index, _ROW, "r")
    return TokenStore(np.memmap(work, dtype, "r"), rows["start"], rows["length"], chars)


def _copy(files: Sequence[Path], work: Path, index: Path, dtype: np.dtype, vocab_size: int) -> tuple[int, int]:
    """Write ids, and an index in the order of the files; the numbers of records and of characters.

    Raises:
        DataError: a shard is damaged.
    """
    records = tokens = chars = 0
    work.parent.mkdir(parents=True, exist_ok=True)
    with open(work, "wb") as out, open(index, "wb") as index_out:
        for file in files:
            for ids, lengths, hashes, row_chars in _read(file):
                if ids.size and (ids.min() < 0 or ids.max() >= vocab_size):
                    raise _damaged(file, f"a token id lies outside the vocabulary of {vocab_size}")
                if lengths.size and lengths.min() < 2:
                    raise _damaged(file, "a record lacks its begin or end token")
                out.write(ids.astype(dtype).tobytes())
                rows = np.empty(len(lengths), _ROW)
                rows["hash"], rows["length"] = hashes, lengths
                rows["start"] = tokens + np.cumsum(lengths) - lengths
                index_out.write(rows.tobytes())
                records, tokens = records + len(lengths), tokens + len(ids)
                chars += int(row_chars.sum()) + len(row_chars)
    return records, chars


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
