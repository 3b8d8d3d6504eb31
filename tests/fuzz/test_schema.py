"""Fuzz schemas of records, and the regular expressions in them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from linesmith.records.fields import FieldFormat
from linesmith.records.output.layout import RecordLayout
from linesmith.records.output.schema import parse_schema
from linesmith.records.patterns.pattern_compiler import compile_pattern
from linesmith.records.patterns.regex_parser import parse_regex
from linesmith.records.patterns.schema_automata import field_automata
from linesmith.records.validation.record_checks import RecordCheckSpec
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated, mutated_json

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "code", "type": "string", "pattern": "[A-Z]{2}-\\d{1,4}"},
        {"name": "age", "type": ["null", "int"], "minimum": 0, "maximum": 150},
        {"name": "lat", "type": "double", "minimum": -90.5, "maximum": 90},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["a", "b"]}},
        {"name": "good", "type": "boolean", "doc": "2nd good"},
    ],
}
RECORD = "AB-12,17,45.25,9.99,2020-02-29,2020-02-29 12:00:00,a,true"
VALUES = [
    "int",
    "long",
    "string",
    "decimal",
    39,
    38,
    10**9,
    -(10**30),
    1e300,
    ["null", "int"],
    "(a|b)*a(a|b){20}",
    "[",
    ".*",
]
PATTERNS = [
    b"[A-Z]{2}-\\d{1,4}",
    b"(?:a|bc)*d+e?",
    b'[^,"]{0,40}(x|y)',
    b"\\w+@\\w+\\.(com|org)",
    b".{3,}",
    b"(a?){20}[\\d\\-]",
    b"(a|b)*a(a|b){6}",
    "[é-ü]+|\U0001f6f4".encode(),
]
PATTERN_TOKENS = [
    b"(?:",
    b"(",
    b")",
    b"|",
    b"{1000}",
    b"{0,1000}",
    b"{2,}",
    b"*",
    b"+",
    b"?",
    b".",
    b"\\W",
    b"[^a]",
    b"[",
    b"]",
    b"^",
    b"-",
]


def read(content: bytes) -> None:
    """Compile a schema for decoding and for validation, and validate a record."""
    schema = parse_schema(content.decode("utf-8", "replace"))
    json.loads(schema.declared_schema or "null")
    layout = RecordLayout(schema.names, FieldFormat(","), types=schema.types, declared_schema=schema.declared_schema)
    layout.avro_schema()
    field_automata(schema, len(schema.names))
    checks = RecordCheckSpec(layout, check_types=True, limits=schema.limits).load()
    if len(schema.names) == RECORD.count(",") + 1:
        checks.validate_batch([RECORD])


def read_pattern(content: bytes) -> None:
    """Compile a regular expression."""
    machine = compile_pattern(parse_regex(content.decode("utf-8", "surrogateescape")))
    machine.accepts_text(b"AB-12")


TARGET = Target("schema", read)
PATTERN_TARGET = Target("pattern", read_pattern, ValueError)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


@pytest.mark.parametrize("content", PATTERN_TARGET.corpus())
def test_found_patterns(content: bytes) -> None:
    PATTERN_TARGET.check(content)


def test_the_examples_are_read() -> None:
    read(json.dumps(SCHEMA).encode())
    for pattern in PATTERNS:
        read_pattern(pattern)


@pytest.mark.integration
def test_fuzz_schemas() -> None:
    def make(random: Random) -> bytes:
        if random.randint(0, 3):
            return mutated_json(random, [SCHEMA], VALUES)
        return mutated(random, [json.dumps(SCHEMA).encode()], [b'"type": ', b'"pattern": "', b'"minimum": '])

    TARGET.fuzz(make, 40)


@pytest.mark.integration
def test_fuzz_patterns() -> None:
    PATTERN_TARGET.fuzz(lambda random: mutated(random, PATTERNS, PATTERN_TOKENS), 60)
