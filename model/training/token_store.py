"""Token ids of one split, memory-mapped with their index: the memory of training does not grow with the corpus.

Built once from TFRecord files. Records are addressed by their rank in a canonical order, that
of a hash of their content, so training does not depend on how an earlier stage cut its shards. The mapped arrays are backed by
files: the operating system may drop their pages at any time and read them again, so they add nothing to the memory that the
process needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linesmith.core.errors import DataError
from linesmith.records.fields import NEWLINE_ID
from linesmith.records.input.external_sort import sort_rows
from linesmith.records.input.tfrecord_files import TFRecordError, iter_tfrecords

_BATCH = 4096  # records parsed at a time
_BLOCK = 1 << 16  # lengths read from the index at a time
_ROW = np.dtype([("hash", "<i8"), ("start", "<i8"), ("length", "<i8")])


@dataclass(frozen=True)
class TokenStore:
    """Records of one split.

    Attributes:
        ids: token ids of all records without padding, record after record, each `<n> … <n>`, in any order of records.
        starts: index in `ids` of the first token of each record, in canonical order.
        lengths: number of tokens of each record, both `<n>` included, in canonical order.
        num_chars: number of characters of all records, their newlines included.
    """

    ids: npt.NDArray[np.unsignedinteger]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    num_chars: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def tokens(self) -> int:
        """Number of tokens to predict: all but each record's first `<n>`."""
        return len(self.ids) - len(self)

    @cached_property
    def max_tokens(self) -> int:
        """Number of tokens to predict in the longest record; 0 in an empty store."""
        return max((int(block.max()) - 1 for block in self.length_blocks()), default=0)

    def count_longer_than(self, tokens: int) -> int:
        """Count the records with more tokens to predict than `tokens`."""
        return sum(int(np.count_nonzero(block > tokens + 1)) for block in self.length_blocks())

    def length_blocks(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the lengths, many at a time."""
        return (self.lengths[start : start + _BLOCK] for start in range(0, len(self), _BLOCK))

    def record(self, rank: int) -> npt.NDArray[np.unsignedinteger]:
        """Return the ids of the record of a rank, both `<n>` included."""
        start = self.starts[rank]
        return self.ids[start : start + self.lengths[rank]]


def build_token_store(files: Sequence[Path], path: Path, *, vocab_size: int, expected_records: int) -> TokenStore:
    """Copy the ids of TFRecord shards into one memory-mapped array, and map an index of them.

    Args:
        files: gzip TFRecord shards of `tf.train.Example` with `ids`, `record_hash` and `num_chars`.
        path: file to create and map; a second one, with `.index` after its name, is created beside it. Both may be deleted
            when training ends.
        vocab_size: number of token ids; decides the width of the stored ids.
        expected_records: number of records by the manifest.

    Raises:
        DataError: a shard is truncated, foreign or does not match the manifest.
    """
    dtype = np.dtype(np.uint8 if vocab_size <= 2**8 else np.uint16 if vocab_size <= 2**16 else np.uint32)
    index_path = path.with_name(path.name + ".index")
    records, num_chars = _copy(files, path, index_path, dtype, vocab_size)
    if records != expected_records:
        raise DataError(
            "LS216",
            None,
            f"'{files[0].parent if files else path.parent}' holds {records} records of a split, its manifest says "
            f"{expected_records}",
            "Run tokenize again with --overwrite.",
        )
    if not records:  # an empty file cannot be mapped
        return TokenStore(np.empty(0, dtype), np.empty(0, np.int64), np.empty(0, np.int64), 0)
    # Sorted on disk by the hash of the content: from the order of the files to the canonical one.
    sort_rows(index_path, _ROW, "hash")
    rows = np.memmap(index_path, _ROW, "r")
    return TokenStore(np.memmap(path, dtype, "r"), rows["start"], rows["length"], num_chars)


def in_memory_token_store(records: Sequence[Sequence[int]], num_chars: int = 0) -> TokenStore:
    """Make a token store in memory, its records in the given order.

    Args:
        records: token ids of each record without the surrounding `<n>`; there may be no record, and a record may be empty.
        num_chars: number of characters of all records, their newlines included.
    """
    if not records:
        return TokenStore(np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64), num_chars)
    with_newlines = [np.array([NEWLINE_ID, *ids, NEWLINE_ID], np.uint32) for ids in records]
    lengths = np.array([len(ids) for ids in with_newlines], np.int64)
    return TokenStore(np.concatenate(with_newlines), np.cumsum(lengths) - lengths, lengths, num_chars)


def _copy(files: Sequence[Path], path: Path, index_path: Path, dtype: np.dtype, vocab_size: int) -> tuple[int, int]:
    """Write the ids, and an index in the order of the files; return the numbers of records and of characters.

    Raises:
        DataError: a shard is damaged.
    """
    records = tokens = num_chars = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as out, open(index_path, "wb") as index_out:
        for file in files:
            for ids, lengths, hashes, record_chars in _read(file):
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
                num_chars += int(record_chars.sum()) + len(record_chars)  # and a newline per record
    return records, num_chars


def _read(file: Path) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield ids, and lengths, hashes and numbers of characters per record, of some records of a shard at a time."""
    import tensorflow as tf

    features = {
        "ids": tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64),
        "record_hash": tf.io.FixedLenFeature([], tf.int64),
        "num_chars": tf.io.FixedLenFeature([], tf.int64),
    }
    try:
        for serialized in iter_tfrecords(file, _BATCH):
            batch = tf.io.parse_example(serialized, features)
            ids = batch["ids"]
            yield (
                ids.values.numpy(),
                ids.row_lengths().numpy(),
                batch["record_hash"].numpy(),
                batch["num_chars"].numpy(),
            )
    except (TFRecordError, tf.errors.OpError):  # TensorFlow's message may quote the record, so it is left out
        raise _damaged(file, "it is cut off or is not one of ours") from None


def _damaged(file: Path, what: str) -> DataError:
    return DataError(
        "LS216", None, f"training data '{file}' is damaged: {what}", "Run tokenize again with --overwrite."
    )
