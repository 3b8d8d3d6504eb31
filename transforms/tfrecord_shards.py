"""Write the files of one unit of work: one TFRecord shard per split, and rejects. A file is complete or does not exist."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linesmith.core.errors import DataError


@dataclass
class SplitCount:
    """Counts of what a unit wrote for one split.

    Attributes:
        records: number of records.
        tokens: ids, except the first one of each record.
        chars: characters of the records as they were read.
        hash_sum: sum of the record hashes modulo 2^64, which does not depend on their order.
    """

    records: int = 0
    tokens: int = 0
    chars: int = 0
    hash_sum: int = 0

    def add(self, batch: pa.RecordBatch, tokens: int) -> None:
        """Add a batch of `tokens` ids, the first ones of its records included."""
        self.records += batch.num_rows
        self.tokens += tokens - batch.num_rows
        self.chars += int(batch["num_chars"].to_numpy().sum())
        self.hash_sum = (self.hash_sum + sum(batch["record_hash"].to_pylist())) % 2**64


class TFRecordShardWriter:
    """Writer of a TFRecord file, which appears under its name when the `with` block ends without an error.

    Without a record there is no file.

    Args:
        path: the file.
        users: each record has a feature `user_hash`.
    """

    def __init__(self, path: Path, users: bool = False) -> None:
        self._path = path
        self._features = ("record_hash", "num_chars", *(["user_hash"] if users else []))
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._writer: Any = None

    def __enter__(self) -> TFRecordShardWriter:
        return self

    def write(self, batch: pa.RecordBatch, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        """Write records.

        Args:
            batch: columns record_hash and num_chars, and user_hash if `users`.
            ids: token ids of all records, one record after the other.
            lengths: number of ids of each record.
        """
        import tensorflow as tf
        from tfx_bsl.coders import example_coder

        if self._writer is None:
            self._writer = tf.io.TFRecordWriter(str(self._temporary), tf.io.TFRecordOptions(compression_type="GZIP"))
            self._encoder = example_coder.RecordBatchToExamplesEncoder()
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        single = np.arange(len(lengths) + 1)  # offsets of lists of one value
        columns = {"ids": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(ids))}
        for name in self._features:
            columns[name] = pa.LargeListArray.from_arrays(pa.array(single), batch[name])
        for example in self._encoder.encode(pa.RecordBatch.from_arrays(list(columns.values()), list(columns))):
            self._writer.write(example)

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if self._writer is None:
            return
        self._writer.close()
        if error_type is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)

    def verify(self, expected: SplitCount) -> None:
        """Read the file back and compare its content with what was written.

        Raises:
            DataError: LS209, they differ: the file system lost or changed something.
        """
        found = count_shard(self._path) if self._path.exists() else SplitCount()
        if asdict(found) != asdict(expected):
            raise DataError(
                "LS209",
                "--output",
                f"'{self._path}' holds {found.records} records with {found.tokens} tokens after writing "
                f"{expected.records} with {expected.tokens}",
                "Check the disk and run tokenize again.",
            )


def count_shard(path: Path) -> SplitCount:
    """Read a shard by its documented features, and return its counts."""
    import tensorflow as tf

    scalar = tf.io.FixedLenFeature([], tf.int64)
    features = {"ids": tf.io.RaggedFeature(tf.int64), "record_hash": scalar, "num_chars": scalar}
    count = SplitCount()
    for serialized in tf.data.TFRecordDataset(str(path), "GZIP").batch(4096):
        parsed = tf.io.parse_example(serialized, features)
        hashes = parsed["record_hash"].numpy()
        count.records += len(hashes)
        count.tokens += int(parsed["ids"].flat_values.shape[0]) - len(hashes)
        count.chars += int(parsed["num_chars"].numpy().sum())
        count.hash_sum = (count.hash_sum + sum(hashes.tolist())) % 2**64
    return count


class RejectFileWriter:
    """Writer of the rejected lines of a unit as JSON lines. Without a line there is no file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._file: Any = None

    def __enter__(self) -> RejectFileWriter:
        return self

    def write(self, row: dict[str, Any]) -> None:
        """Write a rejected line."""
        if self._file is None:
            self._file = open(  # noqa: SIM115  (closed in __exit__)
                # A file name that is not UTF-8 holds surrogates, which become JSON's escapes.
                self._temporary,
                "w",
                encoding="utf-8",
                errors="backslashreplace",
            )
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if self._file is None:
            return
        self._file.close()
        if error_type is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)


def tfrecord_shard_name(split: str, unit: int) -> str:
    """Return the name of the shard that a unit writes for a split."""
    return f"{split}-{unit:05d}.tfrecord.gz"


def reject_name(unit: int) -> str:
    """Return the name of the file with the rejected lines of a unit."""
    return f"part-{unit:05d}.jsonl"
