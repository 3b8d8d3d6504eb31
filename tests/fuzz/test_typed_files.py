"""Fuzz Avro and Parquet files, as evaluation sets and as files of start strings."""

from __future__ import annotations

import base64
import bz2
import contextlib
import datetime
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import fastavro
import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from linesmith.core.errors import LinesmithError, ParameterError
from linesmith.model.generation.requests.start_string_files import iter_start_strings
from linesmith.records.input.typed_files import AVRO, PARQUET
from linesmith.transforms.read_evaluation_sets import EvaluationInputUnit, describe_typed_file, read_set_unit
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated, mutated_json
from tests.helpers.avro_container import container

pytestmark = pytest.mark.integration

INNER = {"type": "record", "name": "m.S", "fields": [{"name": "q", "type": "int"}]}
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "R",
    "namespace": "n",
    "fields": [
        {"name": "start_string", "type": "string", "default": ""},
        {"name": "b", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
        {"name": "c", "type": {"type": "enum", "name": "E", "symbols": ["x", "y"]}},
        {"name": "d", "type": {"type": "array", "items": ["E", "double", "null"]}},
        {"name": "e", "type": {"type": "map", "values": INNER}},
        {"name": "f", "type": {"type": "fixed", "name": "F", "size": 4}},
        {"name": "g", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "h", "type": {"type": "int", "logicalType": "date"}},
        {"name": "i", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "j", "type": ["boolean", "float", "bytes"]},
    ],
}  # fmt: skip
DAY = datetime.datetime(2020, 2, 29, 12, tzinfo=datetime.UTC)
ROWS = [
    {
        "start_string": "é" * number,
        "b": Decimal("1.25") if number % 2 else None,
        "c": "x",
        "d": ["y", 0.5, None] * (number % 4),
        "e": {"k": {"q": -number}},
        "f": b"1234",
        "g": DAY,
        "h": DAY.date(),
        "i": "12345678-1234-5678-1234-567812345678",
        "j": [True, 0.5, b"\xff"][number % 3],
    }
    for number in range(30)
]
VALUES = ["null", "int", "E", "n.R", "timestamp-millis", "time-micros", "local-timestamp-millis", "duration", "error"]
VALUES += ["array", "map", "record", "fixed", "enum", "decimal", {"type": "array", "items": "null"}]


def avro(schema: Any = SCHEMA, rows: Any = ROWS, codec: str = "null") -> bytes:
    content = io.BytesIO()
    fastavro.writer(content, schema, rows, codec=codec, sync_interval=300, sync_marker=b"S" * 16)
    return content.getvalue()


def block(schema: Any, rows: Any) -> bytes:
    content = io.BytesIO()
    for row in rows:
        fastavro.schemaless_writer(content, schema, row)
    return content.getvalue()


ONE = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "string"}]}
AVRO_FILES = [avro(), avro(codec="deflate"), avro(ONE, [{"x": "a"}, {"x": "b,"}]), avro(codec="xz")]
BLOCK = block(SCHEMA, ROWS)
# The codec, and what compresses for it.
CODECS: list[tuple[bytes, Callable[[bytes], bytes]]] = [
    (b"null", bytes),
    (b"deflate", lambda data: zlib.compress(data)[2:-4]),
    (b"bzip2", bz2.compress),
    (b"xz", lzma.compress),
    (b"zstandard", zstandard.compress),
]
AVRO_TOKENS = [b"S" * 16, b"avro.codec", b"\x0edeflate", b'"null"', b'"array"', b'"items": ', b'"size": ', b'"scale": ']


def make_avro(random: Random) -> bytes:
    """Return an Avro file that is damaged as it is, in its schema, or below its compression."""
    kind = random.randint(0, 3)
    if kind == 0:
        return mutated(random, AVRO_FILES, AVRO_TOKENS)
    codec, compress = random.choice(CODECS)
    count = random.choice([len(ROWS), len(ROWS), 1, 1000, len(BLOCK)])
    schema: Any = SCHEMA
    if kind == 1:
        return container(schema, compress(mutated(random, [BLOCK])), count, codec)
    try:
        schema = json.loads(mutated_json(random, [SCHEMA], VALUES))
        data = BLOCK if kind == 2 else mutated(random, [BLOCK, bytes(300), b"\2" * 300])
        return container(schema, compress(data), count, codec)
    except RecursionError:
        return b"Obj\1"


TABLE = pa.table(
    {
        "start_string": [f"{number % 7} é" for number in range(300)],
        "number": [None if number % 5 == 0 else number * 10**15 for number in range(300)],
        "list": [[0.5, None] * (number % 3) for number in range(300)],
        "struct": [{"a": number, "b": {"c": "x" * number}} for number in range(300)],
        "map": pa.array([[("k", number)] for number in range(300)], pa.map_(pa.string(), pa.int32())),
        "price": pa.array([Decimal("1.25")] * 300, pa.decimal128(20, 2)),
        "day": pa.array([number * 86_400_000_000 for number in range(300)], pa.timestamp("us", "UTC")),
        "raw": pa.array([bytes([number % 256]) * 5 for number in range(300)], pa.binary(5)),
        "time": pa.array(range(300), pa.time64("ns")),
        "wait": pa.array(range(300), pa.duration("ns")),
        "kind": pa.array(["a", "b", "c"] * 100).dictionary_encode(),
        "good": [number % 2 == 0 for number in range(300)],
    }
)


def parquet_file(table: pa.Table, **options: Any) -> bytes:
    content = io.BytesIO()
    parquet.write_table(table, content, row_group_size=120, **options)
    return content.getvalue()


PARQUET_FILES = [
    parquet_file(TABLE, compression="none"),
    parquet_file(TABLE, compression="zstd", use_dictionary=False),
    parquet_file(TABLE, compression="gzip", data_page_version="2.0", write_page_checksum=True),
    parquet_file(TABLE, compression="none", version="1.0", use_dictionary=["kind"], store_schema=False, write_page_index=True),
    parquet_file(TABLE.select(["number"]), compression="none", use_dictionary=False, column_encoding="DELTA_BINARY_PACKED"),
    parquet_file(TABLE.select(["start_string"]), compression="lz4", use_dictionary=False, column_encoding="DELTA_BYTE_ARRAY"),
    parquet_file(TABLE.select(["start_string"]), compression="snappy"),
]  # fmt: skip
ARROW_SCHEMA = re.compile(rb"/////[A-Za-z0-9+/=]{40,}")


def make_parquet(random: Random) -> bytes:
    """Return a Parquet file that is damaged in its footer, its Arrow schema, its pages, or anywhere."""
    content = random.choice(PARQUET_FILES)
    length = int.from_bytes(content[-8:-4], "little")
    pages, footer = content[: -8 - length], content[-8 - length : -8]
    kind = random.randint(0, 4)
    if kind == 0:
        return mutated(random, [content], [b"PAR1"])
    if kind == 1:
        schema = ARROW_SCHEMA.search(footer)
        if schema is not None:
            damaged = base64.b64encode(mutated(random, [base64.b64decode(schema[0])]))[: len(schema[0])]
            footer = footer.replace(schema[0], damaged.ljust(len(schema[0]), b"A"))
    elif kind == 2:
        pages = flipped(random, pages)
    elif kind == 3:
        footer = flipped(random, footer)
    else:
        footer = mutated(random, [footer])
    return pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def flipped(random: Random, content: bytes) -> bytes:
    """Return content of the same length in which a few bytes differ, so that all offsets still hold."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(changed))
        changed[place] = random.choice([0, 1, 2, 0x7F, 0x80, 0xFF, changed[place] ^ 1 << random.randint(0, 7)])
    return bytes(changed)


def read(content: bytes, format_name: str) -> None:
    """Read a file as an evaluation set, whole and in parts, and as start strings."""
    path = Path(f"x.{format_name}")
    path.write_bytes(content)
    errors: list[LinesmithError] = []
    try:
        columns, parts, _ = describe_typed_file(str(path), format_name, "synthetic")
        for part in range(min(parts, 3)):
            unit = EvaluationInputUnit("synthetic", part, format_name, str(path), part=part, columns=(*columns,))
            for _, (_, text) in read_set_unit(unit):
                assert len(text) <= 2000
    except LinesmithError as error:
        errors.append(error)
    for start in iter_start_strings(str(path), "start_string"):
        assert isinstance(start, str)
    for error in errors:
        raise error


AVRO_TARGET = Target(AVRO, partial(read, format_name=AVRO))
PARQUET_TARGET = Target(PARQUET, partial(read, format_name=PARQUET))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("content", AVRO_TARGET.corpus())
def test_found_avro_files(content: bytes) -> None:
    AVRO_TARGET.check(content)


@pytest.mark.parametrize("content", PARQUET_TARGET.corpus())
def test_found_parquet_files(content: bytes) -> None:
    PARQUET_TARGET.check(content)


def test_the_examples_are_read() -> None:
    for number, content in enumerate(PARQUET_FILES):
        with contextlib.suppress(ParameterError):  # one has no such column
            read(content, PARQUET)
        assert number == 4 or len(list(iter_start_strings("x.parquet", "start_string"))) == 300
    for content in (
        AVRO_FILES[0],
        *(container(SCHEMA, compress(BLOCK), len(ROWS), codec) for codec, compress in CODECS),
    ):
        read(content, AVRO)


def test_fuzz_avro() -> None:
    AVRO_TARGET.fuzz(make_avro, 100)


def test_fuzz_parquet() -> None:
    PARQUET_TARGET.fuzz(make_parquet, 100)
