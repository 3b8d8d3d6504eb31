"""Search for texts in every byte of a directory: in the files as they are, and in what compressed files hold."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterable
from pathlib import Path

import fastavro
import pyarrow.parquet as pq

from linesmith.records.input.tfrecord_files import iter_tfrecords


def holds(directory: Path, texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return the files that hold one of the texts, each with the first such text.

    Token ids of a character vocabulary are no text: `decoded_training_data` of a test turns them into one.
    """
    wanted = [text.encode() for text in texts]
    found = []
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            contents = [path.name.encode(), *_contents(path)]
            text = next((text for text in wanted if any(text in content for content in contents)), None)
            if text is not None:
                found.append((str(path.relative_to(directory)), text.decode()))
    return found


def _contents(path: Path) -> Iterable[bytes]:
    """Yield the bytes of a file, and those that it holds compressed."""
    content = path.read_bytes()
    yield content
    for unpack in (gzip.decompress, bz2.decompress, lzma.decompress, zlib.decompress):
        try:
            yield unpack(content)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError):
            continue
    if path.suffix == ".avro":
        with open(path, "rb") as file:
            yield repr(list(fastavro.reader(file))).encode()
    if path.suffix == ".parquet":
        yield repr(pq.read_table(path).to_pylist()).encode()
    if path.name.endswith(".tfrecord.gz"):
        yield b"".join(record for batch in iter_tfrecords(str(path), 1000) for record in batch)
