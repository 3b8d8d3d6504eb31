"""The proofs that the second pass asks for: they must fail when something is lost."""

from __future__ import annotations

import errno

import numpy as np
import pyarrow as pa
import pytest

from linesmith.core.errors import DataError
from linesmith.model.tokenizers import CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from linesmith.records.input.field_statistics import FieldStatistics
from linesmith.transforms.encode_records import EncodeSettings, _EncodeFn, merge_statistics, verify_ids
from linesmith.transforms.read_records import SCHEMA
from linesmith.transforms.tfrecord_shards import SplitCount, TFRecordShardWriter, count_shard
from linesmith.transforms.worker_errors import reraise_worker_errors

pytestmark = pytest.mark.integration

TOKENIZER = CharTokenizer([97, 98], TokenFormat(","))
IDS = np.array([0, 2, 1, 3, 0, 0, 3, 0])
LENGTHS = np.array([5, 3])


def batch(*texts: str) -> pa.RecordBatch:
    number = range(len(texts))
    rows = {name: [n - 1 for n in number] for name in SCHEMA.names}
    return pa.RecordBatch.from_pydict({**rows, "text": list(texts), "num_chars": [len(t) for t in texts]}, SCHEMA)


def test_right_ids_pass():
    verify_ids(TOKENIZER, batch("a\nb", "b"), IDS, LENGTHS)


@pytest.mark.parametrize(
    ("ids", "lengths"),
    [
        ([], [0, 0]),  # the silent loss of a ragged output: all records, no tokens
        ([0, 2, 1, 3, 0], [5]),
        ([0, 2, 1, 2, 0, 0, 3, 0], [5, 3]),
        ([0, 2, 1, 3, 0, 0, -1, 0], [5, 3]),
        ([0, 2, 1, 3, 0, 0, 9, 0], [5, 3]),
        ([0, 2, 3, 0, 0, 3, 0], [4, 3]),
        ([2, 1, 3, 0, 0, 3, 0], [4, 3]),
    ],
)
def test_wrong_ids_do_not(ids, lengths):
    with pytest.raises(DataError, match="LS220") as caught:
        verify_ids(TOKENIZER, batch("a\nb", "b"), np.array(ids, np.int64), np.array(lengths))
    assert "a\nb" not in str(caught.value)


def write(path, count) -> TFRecordShardWriter:
    with TFRecordShardWriter(path) as shard:
        shard.write(batch("a\nb", "b"), IDS, LENGTHS)
        count.add(batch("a\nb", "b"), len(IDS))
    return shard


def test_a_shard_is_read_back(tmp_path):
    count = SplitCount()
    shard = write(tmp_path / "x.tfrecord.gz", count)
    assert count_shard(tmp_path / "x.tfrecord.gz") == count == SplitCount(2, 6, 4, 2**64 - 1)
    shard.verify(count)
    for wrong in (SplitCount(2, 7, 4, 2**64 - 1), SplitCount(1, 6, 4, 2**64 - 1), SplitCount(2, 6, 4, 0)):
        with pytest.raises(DataError, match="holds 2 records with 6 tokens"):
            shard.verify(wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["x.tfrecord.gz"]


def test_an_empty_or_failed_shard_leaves_nothing(tmp_path):
    with TFRecordShardWriter(tmp_path / "empty") as shard:
        pass
    shard.verify(SplitCount())
    with pytest.raises(ZeroDivisionError), TFRecordShardWriter(tmp_path / "failed") as shard:
        shard.write(batch("a\nb", "b"), IDS, LENGTHS)
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def statistics(*texts: str) -> FieldStatistics:
    one = FieldStatistics(TOKENIZER.total_vocab_size, 2)
    rows = [[0, *TOKENIZER.encode_to_ids(text), 0] for text in texts]
    whole = batch(*(text.replace(",", "\n") for text in texts))
    one.add(whole, np.array([i for row in rows for i in row], np.int64), np.array([len(row) for row in rows], np.int64))
    return one


def test_merging_statistics_by_hand():
    texts = ["a,b", "", "ab", "b,,a", "a" * 300, "a,bb"]
    whole = statistics(*texts).as_dict()
    for cut in range(len(texts) + 1):
        left, right = statistics(*texts[:cut]), statistics(*texts[cut:])
        for parts in ([left, right], [right, left]):
            assert merge_statistics(iter(parts)).as_dict() == whole
        assert left.as_dict() == statistics(*texts[:cut]).as_dict()  # inputs are not changed
    assert merge_statistics([]) is None


def test_numbers_and_few_values():
    one = FieldStatistics(4, 2)
    values = ["7", "-3", "+1.5", "2e3", ".5", "", "seven", "1e999", *map(str, range(1100))]
    lengths = np.full(len(values), 2)
    one.add(batch(*values), np.zeros(2 * len(values), np.int64), lengths)
    found = one.as_dict()["fields"][0]
    assert (found["kind"], found["min"], found["max"], found["values"]) == ("text", -3.0, 2000.0, None)
    assert found["kinds"] == {"text": 1, "decimal": 4, "integer": 1102, "empty": 1}


def test_a_workers_error_is_shown_as_ours():
    for told in (
        "LS209: mend it. [while running 'A']",
        "Traceback\nmodel.errors.DataError: LS209: mend it. [while running 'A/B']\n\nmore",
    ):
        with pytest.raises(DataError) as caught, reraise_worker_errors():
            raise RuntimeError(told)
        assert str(caught.value) == "LS209: mend it."
        assert caught.value.code == "LS209"
    with pytest.raises(DataError, match=r"^LS205: b$") as caught, reraise_worker_errors():
        raise DataError.from_message("LS205", "LS205: b [while running 'A/B']")
    with pytest.raises(RuntimeError, match="LS2 or so"), reraise_worker_errors():
        raise RuntimeError("no LS2 or so")


def test_a_full_disk_is_told_without_its_error(monkeypatch):
    """What TensorFlow's writer and the system say of one alike; any other error stays what it is."""
    settings = EncodeSettings(None, "tokenizer", "graph", "/run/data", "rejects")
    for full in (
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("x.tfrecord.gz; No space left on device"),
    ):
        monkeypatch.setattr(_EncodeFn, "_process", lambda self, unit, error=full: _raise(error))
        with pytest.raises(DataError, match=r"LS209.*'/run/data'"):
            list(_EncodeFn(settings).process(None))
    monkeypatch.setattr(_EncodeFn, "_process", lambda self, unit: _raise(OSError(errno.EPIPE, "the pipe is broken")))
    with pytest.raises(OSError, match="broken"):
        list(_EncodeFn(settings).process(None))


def _raise(error):
    raise error
