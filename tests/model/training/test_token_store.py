"""The token store: canonical order whatever the shards, and errors that name damaged files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from linesmith.core.errors import DataError
from linesmith.model.training.token_store import build_token_store

pytestmark = pytest.mark.integration

RECORDS = {9: [0, 3, 4, 0], -5: [0, 7, 0], 2: [0, 5, 5, 5, 0]}


def _write(path: Path, keys: list[int]) -> Path:
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as out:
        for key in keys:
            values = {"ids": RECORDS[key], "record_hash": [key], "num_chars": [len(RECORDS[key]) - 2]}
            features = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=value)) for name, value in values.items()
            }
            out.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


def _build(files: list[Path], tmp_path: Path, expected: int = 3, vocab: int = 10):
    return build_token_store(
        files,
        tmp_path / "work" / f"{files[0].name if files else 0}.tokens",
        vocab_size=vocab,
        expected_records=expected,
    )


def test_order_comes_from_content_not_from_shards(tmp_path):
    one = _build([_write(tmp_path / "a.gz", [9, -5, 2])], tmp_path)
    other = _build([_write(tmp_path / "b.gz", [2]), _write(tmp_path / "c.gz", [-5, 9])], tmp_path)
    expected = [RECORDS[-5], RECORDS[2], RECORDS[9]]
    for store in (one, other):
        assert [store.record(rank).tolist() for rank in range(3)] == expected
    assert one.tokens == 2 + 1 + 4 + 2
    assert one.num_chars == (2 + 1 + 3) + 3
    assert (one.max_tokens, one.count_longer_than(2), one.count_longer_than(3), one.count_longer_than(4)) == (
        4,
        2,
        1,
        0,
    )
    assert isinstance(one.ids, np.memmap)


def test_an_empty_split_is_an_empty_store(tmp_path):
    store = _build([], tmp_path, expected=0)
    assert len(store) == 0
    assert store.tokens == store.max_tokens == store.count_longer_than(0) == 0


@pytest.mark.parametrize("damage", ["cut", "foreign", "plain"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    file = _write(tmp_path / "train-0.tfrecord.gz", [9, -5, 2])
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-20])
    elif damage == "foreign":
        file.write_bytes(gzip.compress(b"some other file\n" * 100))
    else:
        file.write_bytes(b"not even gzip")
    with pytest.raises(DataError, match=r"LS216: training data '.*train-0.tfrecord.gz' is damaged"):
        _build([file], tmp_path)


def test_missing_records_and_foreign_ids_are_refused(tmp_path):
    file = _write(tmp_path / "a.gz", [9, -5])
    with pytest.raises(DataError, match="holds 2 records of a split, its manifest says 3"):
        _build([file], tmp_path)
    with pytest.raises(DataError, match="outside the vocabulary of 5"):
        _build([file], tmp_path, expected=2, vocab=5)
