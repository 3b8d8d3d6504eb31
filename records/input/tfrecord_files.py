"""Read gzip TFRecord files, which may be hostile, in batches of bounded size, and integers of their examples, without TensorFlow.

TensorFlow's own reader takes whatever length a record states and decompresses as much. Here no record is longer than
`MAX_RECORD_BYTES` and no batch much longer, so memory does not depend on what a file says. Damage is found by the CRC of gzip.

Format of a record: length (8 bytes, little endian), checksum (4 bytes), content, checksum (4 bytes).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from linesmith.core.artifacts.files import open_regular

MAX_RECORD_BYTES = 16 << 20
_BATCH_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_PACKAGE = "linesmith.example"  # another one than TensorFlow's, whose messages may be loaded beside these
_LENGTH = struct.Struct("<Q")
_HEADER_BYTES, _FOOTER_BYTES = 12, 4


class TFRecordError(Exception):
    """A file is cut off, damaged, or not a TFRecord file. The message quotes no record."""


class ExampleError(Exception):
    """Bytes are no message, or lack the feature. The error quotes none of them."""


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


def integers_of(serialized: bytes, feature: str) -> list[int]:
    """Return the integers of a feature.

    Args:
        serialized: a `tf.train.Example`.
        feature: its name.

    Raises:
        ExampleError: the bytes are no such message, or the feature is missing.
    """
    try:
        features = _example_class().FromString(serialized).features.feature
    except message.DecodeError:
        raise ExampleError("not an example") from None
    if feature not in features:
        raise ExampleError("a feature is missing")
    return list(features[feature].int64_list.value)


@lru_cache(maxsize=1)
def _example_class() -> Any:
    """Declare the part of tensorflow/core/example/example.proto and feature.proto that holds integers."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="linesmith/example.proto", package=_PACKAGE, syntax="proto3")

    def add_message(parent: Any, name: str, *fields: dict[str, Any]) -> Any:
        added = parent.add(name=name)
        for given in fields:
            added.field.add(**{"label": field.LABEL_OPTIONAL, "type": field.TYPE_MESSAGE, **given})
        return added

    numbers = {"name": "value", "number": 1, "label": field.LABEL_REPEATED, "type": field.TYPE_INT64}
    add_message(file.message_type, "Int64List", numbers)
    add_message(
        file.message_type, "Feature", {"name": "int64_list", "number": 3, "type_name": f".{_PACKAGE}.Int64List"}
    )
    entry_type = f".{_PACKAGE}.Features.FeatureEntry"
    entries = {"name": "feature", "number": 1, "label": field.LABEL_REPEATED, "type_name": entry_type}
    features = add_message(file.message_type, "Features", entries)
    entry = add_message(
        features.nested_type,
        "FeatureEntry",
        {"name": "key", "number": 1, "type": field.TYPE_STRING},
        {"name": "value", "number": 2, "type_name": f".{_PACKAGE}.Feature"},
    )
    entry.options.map_entry = True
    add_message(file.message_type, "Example", {"name": "features", "number": 1, "type_name": f".{_PACKAGE}.Features"})
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))
