"""Files that one unit of work writes: a TFRecord shard a split, and its rejects. Whole, or not there at all."""

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
    """What a unit wrote for one split. Tokens count all ids but each record's first; `hash_sum` is modulo 2^64."""

    records: int = 0
    tokens: int = 0
    chars: int = 0
    hash_sum: int = 0

    def add(self, batch: pa.RecordBatch, tokens: int) -> None:
        self.records += batch.num_rows
        self.tokens += tokens - batch.num_rows
        self.chars += int(batch["num_chars"].to_numpy().sum())
        self.hash_sum = (self.hash_sum + sum(batch["record_hash"].to_pylist())) % 2**64


class Shard:
    """One TFRecord file under construction; it appears under its name when it is complete, or not at all if empty.

    Args:
        path: its name.
        users: each record carries whose it is, as `user_hash`.
    """

    def __init__(self, path: Path, users: bool = False) -> None:
        self._path = path
        self._features = ("record_hash", "num_chars", *(["user_hash"] if users else []))
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._writer: Any = None

    def __enter__(self) -> Shard:
        return self

    def write(self, batch: pa.RecordBatch, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> None:
        import tensorflow as tf
        from tfx_bsl.coders import example_coder

        if self._writer is None:
            self._writer = tf.io.TFRecordWriter(str(self._temporary), tf.io.TFRecordOptions(compression_type="GZIP"))
            self._encoder = example_coder.RecordBatchToExamplesEncoder()
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        one = np.arange(len(lengths) + 1)
        columns = {"ids": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(ids))}
        for name in self._features:
            columns[name] = pa.LargeListArray.from_arrays(pa.array(one), batch[name])
        for example in self._encoder.encode(pa.RecordBatch.from_arrays(list(columns.values()), list(columns))):
            self._writer.write(example)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._writer is None:
            return
        self._writer.close()
        if kind is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)

    def verify(self, expected: SplitCount) -> None:
        """Read the file back and compare what it holds with what was meant.

        Raises:
            DataError: they differ: the file system lost or changed something.
        """
        found = count_shard(self._path) if self._path.exists() else SplitCount()
        if asdict(found) != asdict(expected):
            raise DataError(
                f"LS209: '{self._path}' holds {found.records} records with {found.tokens} tokens after writing "
                f"{expected.records} with {expected.tokens}; check the disk and run tokenize again.",
                code="LS209",
            )


def count_shard(path: Path) -> SplitCount:
    """Counts of a shard as a reader of the promised features finds them."""
    import tensorflow as tf

    one = tf.io.FixedLenFeature([], tf.int64)
    features = {"ids": tf.io.RaggedFeature(tf.int64), "record_hash": one, "num_chars": one}
    count = SplitCount()
    for serialized in tf.data.TFRecordDataset(str(path), "GZIP").batch(4096):
        parsed = tf.io.parse_example(serialized, features)
        hashes = parsed["record_hash"].numpy()
        count.records += len(hashes)
        count.tokens += int(parsed["ids"].flat_values.shape[0]) - len(hashes)
        count.chars += int(parsed["num_chars"].numpy().sum())
        count.hash_sum = (count.hash_sum + sum(hashes.tolist())) % 2**64
    return count


class RejectFile:
    """Rejected lines of a unit as JSON lines; no file where there are none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._file: Any = None

    def __enter__(self) -> RejectFile:
        return self

    def write(self, row: dict[str, Any]) -> None:
        if self._file is None:
            self._file = open(self._temporary, "w", encoding="utf-8")  # noqa: SIM115  (closed in __exit__)
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is None:
            return
        self._file.close()
        if kind is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)


def shard_name(split: str, unit: int) -> str:
    return f"{split}-{unit:05d}.tfrecord.gz"


def reject_name(unit: int) -> str:
    return f"part-{unit:05d}.jsonl"
