"""Fuzz files of token ids: gzip TFRecords, and the records in them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from random import Random

import pytest

from linesmith.records.input.tfrecord_files import TFRecordError, iter_tfrecords
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated


def framed(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + b"crc1" + content + b"crc2"


EXAMPLES = [b"", framed(b"abc") * 3, b"".join(framed(bytes([number]) * 40 * number) for number in range(50))]


def read(content: bytes) -> None:
    """Read the records of a file; they are no longer than what was decompressed."""
    Path("x.tfrecord.gz").write_bytes(content)
    for batch in iter_tfrecords("x.tfrecord.gz", 7):
        assert 0 < len(batch) <= 7


def make(random: Random) -> bytes:
    """Return a file that is damaged before or after its compression."""
    if random.randint(0, 3):
        return gzip.compress(mutated(random, EXAMPLES, [framed(b"x")]), 1, mtime=0)
    return mutated(random, [gzip.compress(content, mtime=0) for content in EXAMPLES], [b"\x1f\x8b\x08"])


TARGET = Target("tfrecord", read, TFRecordError)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


def test_the_examples_are_read() -> None:
    for content in EXAMPLES:
        read(gzip.compress(content))


@pytest.mark.integration
def test_fuzz_tfrecords() -> None:
    TARGET.fuzz(make, 200)
