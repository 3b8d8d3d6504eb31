"""Fuzz the splitting of records into fields, quoted as in CSV or not."""

from __future__ import annotations

import csv

import pytest

from linesmith.records.fields import FIELD_BREAK, FieldFormat
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated

DELIMITERS = [",", ";", "\t", " ", "|", "é", '"', "\u2028", "::", ", "]
EXAMPLES = [b'a,"b,c",d', b'0"a""b",\'x\',', b'"",,""', b'3a b "c d" e', b"9a, b, c", b'"a\rb",c', b'"open,', b'x"y",z']


def read(content: bytes) -> None:
    """Split a record; its first character chooses the format."""
    text = content.decode("utf-8", "surrogateescape").replace("\n", "")
    delimiter = DELIMITERS[ord(text[:1] or "0") % len(DELIMITERS)]
    for quoted in (False, len(delimiter) == 1 and delimiter != '"'):
        fields = FieldFormat(delimiter, quoted)
        assert fields.mark_breaks(text).replace(FIELD_BREAK, delimiter) == text
        parts = fields.split(text)
        assert len(parts) == fields.mark_breaks(text).count(FIELD_BREAK) + 1
        if quoted and not any("\r" in part for part in parts):
            assert fields.split(fields.join(parts)) == parts


TARGET = Target("fields", read, csv.Error)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


@pytest.mark.integration
def test_fuzz_fields() -> None:
    TARGET.fuzz(lambda random: mutated(random, EXAMPLES, [b'""', b'","', b"::"]), 300)
