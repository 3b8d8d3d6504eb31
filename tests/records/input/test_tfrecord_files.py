"""TFRecord files: what TensorFlow wrote is read; lengths that a file only states are refused, and batches stay small."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from linesmith.records.input import tfrecord_files
from linesmith.records.input.tfrecord_files import TFRecordError, iter_tfrecords


def framed(content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(content) if length is None else length) + b"crc1" + content + b"crc2"


def packed(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content, 1))
    return path


def test_records_are_read_in_order_and_in_batches(tmp_path: Path) -> None:
    records = [bytes([number]) * number * 1000 for number in range(200)]
    path = packed(tmp_path / "x.gz", b"".join(map(framed, records)))
    batches = list(iter_tfrecords(path, 7))
    assert [record for batch in batches for record in batch] == records
    assert {len(batch) for batch in batches[:-1]} == {7}
    assert list(iter_tfrecords(packed(tmp_path / "empty.gz", b""), 7)) == []


def test_a_batch_of_long_records_has_few_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord_files, "_BATCH_BYTES", 1000)
    path = packed(tmp_path / "x.gz", framed(bytes(400)) * 10)
    assert [len(batch) for batch in iter_tfrecords(path, 100)] == [3, 3, 3, 1]


WHOLE = framed(b"abc") * 3
DAMAGED = {
    "a length of 2^60": gzip.compress(framed(b"abc", 1 << 60)),
    "a record of a gigabyte": gzip.compress(framed(b"", 1 << 30) + bytes(1 << 20)),
    "a record cut off": gzip.compress(WHOLE[:-1]),
    "a header cut off": gzip.compress(WHOLE + b"123"),
    "a stream cut off": gzip.compress(WHOLE)[:-5],
    "no stream": b"abc",
    "a flipped bit": gzip.compress(WHOLE)[:-6] + bytes(6),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(TFRecordError):
        list(iter_tfrecords(tmp_path / "x.gz", 100))
