"""Read gzip TFRecord files, which may be hostile, in batches of bounded size.

TensorFlow's own reader takes whatever length a record states and decompresses as much. Here no record is longer than
`MAX_RECORD_BYTES` and no batch much longer, so memory does not depend on what a file says. Damage is found by the CRC of gzip.

Format of a record: length (8 bytes, little endian), checksum (4 bytes), content, checksum (4 bytes).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from linesmith.core.artifacts.files import open_regular

MAX_RECORD_BYTES = 16 << 20
_BATCH_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_LENGTH = struct.Struct("<Q")
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


class TFRecordError(Exception):
    """A file is cut off, damaged, or not a TFRecord file. The message quotes no record."""


def iter_tfrecords(path: str | Path, batch_records: int) -> Iterator[list[bytes]]:
    """Yield the records of a gzip TFRecord file in order, as lists.

    Args:
        path: of the file.
        batch_records: most records per list; fewer where they are long.

    Raises:
        TFRecordError: the file is cut off, damaged or foreign, or a record is too long.
    """
    batch: list[bytes] = []
    batch_bytes = position = 0
    unread = b""
    try:
        with open_regular(path) as stored, gzip.GzipFile(fileobj=stored) as content:
            while chunk := content.read(_CHUNK_BYTES):
                unread, position = unread[position:] + chunk, 0
                while len(unread) - position >= _HEADER_BYTES:
                    (length,) = _LENGTH.unpack_from(unread, position)
                    if length > MAX_RECORD_BYTES:
                        raise TFRecordError("a record is too long")
                    end = position + _HEADER_BYTES + length + _FOOTER_BYTES
                    if end > len(unread):
                        break
                    batch.append(unread[position + _HEADER_BYTES : end - _FOOTER_BYTES])
                    batch_bytes += length
                    position = end
                    if len(batch) == batch_records or batch_bytes > _BATCH_BYTES:
                        yield batch
                        batch, batch_bytes = [], 0
    except (OSError, EOFError, zlib.error):
        raise TFRecordError("not a gzip file, or cut off") from None
    if position < len(unread):
        raise TFRecordError("the last record is cut off")
    if batch:
        yield batch
