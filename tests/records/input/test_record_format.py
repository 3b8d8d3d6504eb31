"""Lines and records: scanning, decoding, limits, fields and the split, compared with slow and simple oracles."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.records.fields import FieldFormat
from linesmith.records.input import line_scanner
from linesmith.records.input.input_files import InputFile
from linesmith.records.input.input_ranges import plan_input_units
from linesmith.records.input.line_scanner import next_line, scan_lines
from linesmith.records.input.record_format import (
    EMPTY,
    ENCODING,
    HOLDOUT,
    TOO_LONG,
    TRAIN,
    VALIDATION,
    DatasetSplitter,
    RecordFormat,
    record_digest,
)

DERANDOMISED = settings(derandomize=True, deadline=None, max_examples=300)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(line_scanner, "CHUNK_BYTES", 8)


class Dribble(io.BytesIO):
    """File that returns at most three bytes per read, as decompressors and sockets may."""

    def read(self, size=-1):
        return super().read(min(size, 3) if size > 0 else size)


def lines_of(content: bytes, newline: bytes = b"\n") -> list[bytes]:
    lines = content.split(newline)
    return lines if lines[-1] else lines[:-1]


@pytest.mark.integration
@DERANDOMISED
@given(st.text(alphabet="ab\n\r", max_size=60), st.integers(1, 9), st.integers(1, 40))
def test_ranges_contain_every_line_once(text, chunk, step):
    content = text.encode()
    expected, found = [], []
    original, line_scanner.CHUNK_BYTES = line_scanner.CHUNK_BYTES, chunk
    try:
        expected = list(scan_lines(io.BytesIO(content), offset=0, end=None, newline=b"\n", keep_bytes=1000))
        for start in range(0, len(content), step):
            stream, end = io.BytesIO(content), min(start + step, len(content))
            offset = 0 if start == 0 else next_line(stream, start=start, end=end)
            if offset is not None:
                found += scan_lines(stream, offset=offset, end=end, newline=b"\n", keep_bytes=1000)
    finally:
        line_scanner.CHUNK_BYTES = original
    assert [line for _, line, _ in expected] == lines_of(content)
    assert found == expected
    for offset, line, length in expected:
        assert content[offset : offset + length] == line


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_wide_newlines_count_only_where_they_are_aligned(encoding, small_chunks):
    text = "a\u0a00\u000ab\u0a0a\n\u4100\u0a41x\n\nend"
    content, newline = text.encode(encoding), "\n".encode(encoding)
    found = list(scan_lines(Dribble(content), offset=0, end=None, newline=newline, keep_bytes=400))
    assert [line.decode(encoding) for _, line, _ in found] == text.split("\n")
    assert [content[offset : offset + length] for offset, _, length in found] == [line for _, line, _ in found]


def test_a_huge_line_keeps_its_length_but_is_cut_in_memory():
    class Endless(io.RawIOBase):
        """50 MB of one line, then another line."""

        left = 50
        largest = 0

        def read(self, size=-1):
            Endless.left -= 1
            return b"x" * (1 << 20) if Endless.left > 0 else b"\ny" if Endless.left == 0 else b""

    found = list(scan_lines(Endless(), offset=0, end=None, newline=b"\n", keep_bytes=1000))
    assert [(offset, len(line), length) for offset, line, length in found] == [
        (0, 1000, 49 << 20),
        ((49 << 20) + 1, 1, 1),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"abc", ("abc", None)),
        (b"abc\r", ("abc", None)),
        (b"a\rbc\r\r", ("a\rbc", None)),
        (b"", ("", EMPTY)),
        (b"\r", ("", EMPTY)),
        (b" ", (" ", None)),
        (b"12345", ("12345", None)),
        (b"123456", ("", TOO_LONG)),
        ("😀😀😀😀😀".encode(), ("😀" * 5, None)),
        ("😀😀😀😀😀".encode() + b"\r", ("😀" * 5, None)),
        ("😀😀😀😀😀😀".encode(), ("", TOO_LONG)),
        (b"a\xff", ("", ENCODING)),
        (b"\xed\xa0\x80", ("", ENCODING)),
        (b"\xc0\x80", ("", ENCODING)),
        (b"\xff" * 100, ("", TOO_LONG)),
        (b"a\x00b", ("a\x00b", None)),
    ],
)
def test_which_lines_are_records(content, expected):
    assert RecordFormat(max_line_len=5).decode_line(content, len(content)) == expected


@DERANDOMISED
@given(st.text(alphabet='ab," ', max_size=20))
def test_quoted_fields_equal_those_of_csv(text):
    fields = FieldFormat(",", quoted=True).mark_breaks(text).split("\n")
    assert ",".join(fields) == text
    if text:
        assert len(fields) == len(next(csv.reader([text])))


@DERANDOMISED
@given(st.text(alphabet="ab, ", max_size=20))
def test_unquoted_fields_equal_those_of_split(text):
    assert FieldFormat(", ").mark_breaks(text).split("\n") == text.split(", ")


def test_split_shares_and_stability():
    digests = [record_digest(f"record {number}".encode()) for number in range(20_000)]
    sides = Counter(DatasetSplitter(0.05, True).split_of(digest) for digest in digests)
    # Binomial deviations of five standard errors: a false alarm once in a million.
    for side, share in ((HOLDOUT, 0.05), (VALIDATION, 0.2), (TRAIN, 0.75)):
        assert abs(sides[side] - 20_000 * share) < 5 * math.sqrt(20_000 * share * (1 - share))
    assert {DatasetSplitter(0.0, False).split_of(digest) for digest in digests} == {TRAIN}
    # Without a validation split those records are used for training; the holdout is the same.
    for digest in digests[:1000]:
        with_validation, without = (
            DatasetSplitter(0.05, True).split_of(digest),
            DatasetSplitter(0.05, False).split_of(digest),
        )
        assert (with_validation == HOLDOUT) == (without == HOLDOUT)
    levels = Counter(digest.sample_level for digest in digests)
    assert abs(levels[0] - 10_000) < 5 * math.sqrt(5_000)
    assert record_digest(b"a") == record_digest(b"a") != record_digest(b"b")
    # Golden: a change of the hash would move records between the sides of finished runs.
    assert record_digest(b"golden") == GOLDEN


GOLDEN = (-5232775816969306879, 9654934560510837721, 0)


@DERANDOMISED
@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 60))
def test_units_cover_the_input_in_order(sizes, unit_bytes):
    files = [InputFile(f"{n}", f"{n}", size, None, "utf-8", 0) for n, size in enumerate(sizes)]
    units = plan_input_units(files, unit_bytes)
    assert [unit.index for unit in units] == list(range(len(units)))
    covered = [(int(r.file.name), byte) for unit in units for r in unit.ranges for byte in range(r.start, r.end)]
    assert covered == [(n, byte) for n, size in enumerate(sizes) for byte in range(size)]
    assert all(sum(r.end - r.start for r in unit.ranges) < 2 * unit_bytes for unit in units)


def test_compressed_and_wide_files_are_not_split():
    for compression, encoding in (("gz", "utf-8"), (None, "utf-16-le")):
        units = plan_input_units([InputFile("f", "f", 1000, compression, encoding, 2)], 10)
        assert [(r.start, r.end) for unit in units for r in unit.ranges] == [(2, None)]
