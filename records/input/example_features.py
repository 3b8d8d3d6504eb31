"""Read integers from serialized `tf.train.Example` messages, which training data are stored as, without TensorFlow."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_PACKAGE = "linesmith.example"  # another one than TensorFlow's, whose messages may be loaded beside these


class ExampleError(Exception):
    """Bytes are no message, or lack the feature. The error quotes none of them."""


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
