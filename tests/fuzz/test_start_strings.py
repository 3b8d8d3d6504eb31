"""Fuzz files of start strings in every format, and the encoding of what they hold."""

from __future__ import annotations

import gzip
import io
from random import Random

import pytest

from linesmith.model.generation.requests.start_string_encoding import encode_start_strings
from linesmith.model.generation.requests.start_string_files import iter_start_strings
from linesmith.model.tokenizers import ByteTokenizer, CharTokenizer
from linesmith.model.tokenizers.token_format import TokenFormat
from tests.fuzz.harness import Target
from tests.fuzz.mutations import mutated

FILES = {
    "txt": b"a,\nb,c,\r\n\n\xc3\xa9,\n",
    "csv": b'seed_id,start_string\n1,"a,"\n2,"b,""c"","\n\n3,\n',
    "jsonl": b'{"start_string": "a,", "n": 1}\n"b,"\n\n{"start_string": null}\n5\n',
    "txt.gz": gzip.compress(b"a,\nb,\n", mtime=0),
}
TOKENS = [b'""', b'","', b"start_string", b"\xef\xbb\xbf", b"null"]
TOKENIZERS = [
    CharTokenizer([ord(c) for c in 'abc" '], TokenFormat(",")),
    ByteTokenizer(TokenFormat(",", quoted=True)),
    ByteTokenizer(TokenFormat(), [0xE9]),
]


def read(content: bytes) -> None:
    """Read a file, whose first line is its suffix, and encode its start strings."""
    suffix, _, body = content.partition(b"\n")
    name = suffix.decode() if suffix.decode("latin-1") in FILES else "txt"
    column = "start_string" if name in ("csv", "jsonl") else None
    texts = list(iter_start_strings(f"x.{name}", column, lambda path: io.BytesIO(body)))
    for tokenizer in TOKENIZERS:
        for text in texts[:50]:
            for start in encode_start_strings([text], tokenizer, "--start-strings-file", 3):
                assert tokenizer.decode_from_ids(start.ids) == text


def make(random: Random) -> bytes:
    """Return a damaged file; that of one format may have the suffix of another."""
    name = random.choice(list(FILES))
    body = mutated(random, [FILES[name], FILES[name], *FILES.values()], TOKENS)
    if name == "txt.gz" and random.randint(0, 1):
        body = gzip.compress(mutated(random, [FILES["txt"]]), 1, mtime=0)
    return name.encode() + b"\n" + body


TARGET = Target("start_strings", read)


@pytest.mark.parametrize("content", TARGET.corpus())
def test_found_cases(content: bytes) -> None:
    TARGET.check(content)


def test_the_examples_are_read() -> None:
    for name, body in FILES.items():
        column = "start_string" if name in ("csv", "jsonl") else None
        assert len(list(iter_start_strings(f"x.{name}", column, lambda path, body=body: io.BytesIO(body)))) > 1


@pytest.mark.integration
def test_fuzz_start_strings() -> None:
    TARGET.fuzz(make, 150)
