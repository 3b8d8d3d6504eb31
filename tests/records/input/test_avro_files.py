"""Avro files: all codecs at hand, and files whose few bytes stand for endless values, which are refused."""

from __future__ import annotations

import io
import zlib
from decimal import Decimal
from typing import Any

import fastavro
import pytest
import zstandard

from linesmith.records.input import avro_files
from linesmith.records.input.typed_files import AVRO, TypedFile, TypedFileError
from tests.helpers.avro_container import SYNC, container, long


def record(avro_type: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": "x", "type": avro_type}]}


def read(content: bytes) -> list[dict[str, Any]]:
    return [row for batch in TypedFile(io.BytesIO(content), AVRO).batches(1000) for row in batch]


SCHEMA = {
    "type": "record",
    "name": "R",
    "namespace": "n",
    "fields": [
        {"name": "a", "type": "string"},
        {"name": "b", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
        {"name": "c", "type": {"type": "enum", "name": "E", "symbols": ["x", "y"]}},
        {"name": "d", "type": {"type": "array", "items": "E"}},
        {
            "name": "e",
            "type": {
                "type": "map",
                "values": {"type": "record", "name": "m.S", "fields": [{"name": "q", "type": "int"}]},
            },
        },
    ],
}
ROWS = [{"a": "é" * n, "b": Decimal("1.25") if n % 2 else None, "c": "x", "d": ["y"] * n, "e": {}} for n in range(300)]


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_records_are_those_that_fastavro_reads(codec: str) -> None:
    content = io.BytesIO()
    fastavro.writer(content, SCHEMA, ROWS, codec=codec, sync_interval=2000)
    assert read(content.getvalue()) == ROWS


def test_zstandard_is_read() -> None:
    assert read(container(record("int"), zstandard.compress(b"\2" * 5), 5, b"zstandard")) == [{"x": 1}] * 5


def test_many_long_blocks_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from linesmith.records.input import typed_files

    content = io.BytesIO()
    fastavro.writer(content, record("string"), [{"x": "a" * 100}] * 50, sync_interval=500)
    monkeypatch.setattr(typed_files, "_BATCH_BYTES", 1000)
    batches = list(TypedFile(io.BytesIO(content.getvalue()), AVRO).batches(1000))
    assert sum(map(len, batches)) == 50
    assert max(map(len, batches)) <= 15


def nested(levels: int) -> dict[str, Any]:
    """Return a record of 2^levels fields, written down in a few lines per level."""
    inner = {"type": "record", "name": "R0", "fields": [{"name": "x", "type": "null"}, {"name": "y", "type": "int"}]}
    for level in range(1, levels):
        both = [{"name": "a", "type": inner}, {"name": "b", "type": f"R{level - 1}"}]
        inner = {"type": "record", "name": f"R{level}", "fields": both}
    return inner


DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
HOSTILE = {
    "a type that contains itself": container(record(["null", "R"]), b"\2" * 1_000_000 + b"\0"),
    "types that double": container(nested(24), b"\0" * 100),
    "records without bytes": container(record("null"), b"", 1 << 60),
    "an array without bytes": container(record({"type": "array", "items": "null"}), long(1 << 60) + b"\0"),
    "an array of empty texts": container(record({"type": "array", "items": "string"}), long(1 << 60) + b"\0"),
    "a block that is longer": container(record("int"), b"\2", size=1 << 60),
    "a block of negative size": container(record("int"), b"\2", size=-1),
    "more records than bytes": container(record("int"), b"\2", 1 << 60),
    "a block of a gigabyte": container(record("bytes"), zlib.compress(bytes(80 << 20), 1)[2:-4], 1, b"deflate"),
    "a decimal of a megabyte": container(record(DECIMAL), long(1_000_000) + b"\1" * 1_000_000),
    "a date that is none": container(record({"type": "int", "logicalType": "date"}), long(1 << 60)),
    "a codec that is not known": container(record("int"), b"\2", codec=b"rot13"),
    "no record": container("int", b"\2"),
    "a schema that is nested": b"Obj\x01\2" + long(11) + b"avro.schema" + long(200) + b"[" * 200 + b"\0" + SYNC,
    "a schema of a gigabyte": b"Obj\x01\2" + long(11) + b"avro.schema" + long(1 << 30),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_larger_than_its_bytes_account_for_is_refused(content: bytes) -> None:
    with pytest.raises(TypedFileError, match="cut off or not an Avro file, or it is larger than its bytes account for"):
        read(content)


LISTS = {
    "lists in a list": record({"type": "array", "items": {"type": "array", "items": "int"}}),
    "records in a list": record({"type": "array", "items": record("int") | {"name": "Q"}}),
    "texts in a map": record({"type": "map", "values": ["null", "string"]}),
}


@pytest.mark.parametrize("schema", LISTS.values(), ids=LISTS)
def test_a_block_of_lists_is_no_longer_than_its_values_fit_in_memory(
    schema: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list has 64 bytes in memory and one in the file, or a thousandth of one where it is compressed."""
    content = container(schema, zlib.compress(long(50_000) + b"\0" * 100_001)[2:-4], 1, b"deflate")
    monkeypatch.setattr(avro_files, "_MAX_MEMORY", 50_000_000)
    read(content)
    monkeypatch.setattr(avro_files, "_MAX_MEMORY", 5_000_000)
    with pytest.raises(TypedFileError):
        read(content)


def test_records_of_many_empty_values_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = [{"name": f"n{number}", "type": "null"} for number in range(1000)]
    schema = {"type": "record", "name": "R", "fields": [*fields, {"name": "x", "type": "int"}]}
    monkeypatch.setattr(avro_files, "_MAX_MEMORY", 1_300_000)
    batches = list(TypedFile(io.BytesIO(container(schema, b"\2" * 100, 100)), AVRO).batches(1000))
    assert sum(map(len, batches)) == 100
    assert {len(batch) for batch in batches} == {10}
