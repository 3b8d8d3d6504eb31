"""Fuzz input files of lines: what they are, how they are compressed, and where their lines end."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from functools import partial
from random import Random

import pytest
import zstandard

from linesmith.records.fields import FieldFormat
from linesmith.records.input.input_files import DECOMPRESSION_ERRORS, decompress, inspect_input_file
from linesmith.records.input.line_scanner import scan_lines
from linesmith.records.input.record_format import RecordFormat
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated

TEXT = b'id,name\n1,"a,b"\r\n2,\xc3\xa9\n\n3,' + b"x" * 300 + b"\n"
PACKED = [gzip.compress(TEXT, mtime=0), bz2.compress(TEXT), lzma.compress(TEXT), zstandard.compress(TEXT)]
EXAMPLES = [TEXT, TEXT.decode().encode("utf-16"), b"\xef\xbb\xbf" + TEXT, *PACKED, PACKED[0] * 2, PACKED[3] * 2]


def read(content: bytes) -> None:
    """Find out what a file is, and read its lines."""
    for encoding in ("utf-8", "utf-16", "latin-1"):
        file = inspect_input_file("x", "x", len(content), io.BytesIO(content), encoding)
        records = RecordFormat(file.encoding, 200, FieldFormat(",", quoted=True))
        stream = decompress(io.BytesIO(content), file.compression)
        stream.read(file.bom_length)
        lines = scan_lines(stream, offset=0, end=None, newline=records.newline, keep_bytes=records.keep_bytes)
        try:
            for _, line, length in lines:
                text, reason = records.decode_line(line, length)
                assert (reason is None) == bool(text)
                records.fields.mark_breaks(text)
        except DECOMPRESSION_ERRORS:
            return


def make(random: Random) -> bytes:
    """Return a damaged file, in some of which the damage is below an intact compression."""
    content = mutated(random, EXAMPLES, [b"\xfe\xff", b"\xff\xfe", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"])
    pack = random.choice([None, None, partial(gzip.compress, mtime=0), bz2.compress, lzma.compress, zstandard.compress])
    return content if pack is None else pack(content)


TARGET = Target("input_files", read)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


@pytest.mark.integration
def test_fuzz_input_files() -> None:
    TARGET.fuzz(make, 100)
