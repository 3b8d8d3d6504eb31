"""Fuzz files of partial records in every text format, conditions as text, and the encoding of what they give."""

from __future__ import annotations

import gzip
import io
from random import Random

import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.model.generation.requests.conditions import ConditionEncoder, ConditionSettings, condition_text
from linesmith.model.generation.requests.partial_records import iter_partial_records
from linesmith.model.tokenizers import ByteTokenizer, CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated

COLUMNS = ("id", "town", "country")
FILES = {
    "csv": b'country,town\nIT,"a,b"\n,\n\n"b""c",x\n',
    "tsv": b"country\tid\nIT\t1\n\t\n",
    "jsonl": b'{"country": "IT", "id": 1.5}\n\n{"town": null, "country": [1]}\n{}\n',
    "csv.gz": gzip.compress(b"country\nIT\nFR\n", mtime=0),
    "where": b'country=IT,"town=a,b",id="1""2"',
}
TOKENS = [b'""', b'","', b"country", b"\xef\xbb\xbf", b"null", b"=", b'="', b"\r"]
ENCODERS = [
    ConditionEncoder(
        ConditionSettings("--where-file 'x'", COLUMNS, COLUMNS, fill, {"country": ("IT", '"a,b"', "1")}),
        tokenizer,
        None,
    )
    for fill, tokenizer in [
        (False, CharTokenizer([ord(c) for c in 'abcIT1" ,'], TokenFormat(",", True, field_order=(2, 0, 1)))),
        (True, ByteTokenizer(TokenFormat("ab", field_order=(1, 2, 0)))),
        (True, ByteTokenizer(TokenFormat(",", column_pattern="<{}>", markers=2))),
    ]
]


def read(content: bytes) -> None:
    """Read a file, whose first line is its suffix, and encode its records."""
    suffix, _, body = content.partition(b"\n")
    name = suffix.decode() if suffix.decode("latin-1") in FILES else "csv"
    if name == "where":
        condition = TensorFlowConfig(where=body.decode("utf-8", "replace")).condition
        assert TensorFlowConfig(where=condition_text(condition)).condition == condition
        rows = [{column: text for column, text in condition.items() if column in COLUMNS}]
    else:
        rows = list(iter_partial_records(f"x.{name}", "--where-file 'x'", COLUMNS, None, lambda path: io.BytesIO(body)))
    for encoder in ENCODERS:
        for row, start in zip(rows[:50], encoder.encode_rows(rows[:50]), strict=True):
            assert start.text == condition_text(row)
            assert start.fault is None or not start.ids


def make(random: Random) -> bytes:
    """Return a damaged file; that of one format may have the suffix of another."""
    name = random.choice(list(FILES))
    body = mutated(random, [FILES[name], FILES[name], *FILES.values()], TOKENS)
    if name == "csv.gz" and random.randint(0, 1):
        body = gzip.compress(mutated(random, [FILES["csv"]]), 1, mtime=0)
    return name.encode() + b"\n" + body


TARGET = Target("partial_records", read)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


def test_the_examples_are_read() -> None:
    for name, body in FILES.items():
        read(name.encode() + b"\n" + body)


@pytest.mark.integration
def test_fuzz_partial_records() -> None:
    TARGET.fuzz(make, 150)
