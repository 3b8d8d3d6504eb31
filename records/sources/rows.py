"""One row of a source, as a worker reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

VALUE = "value"  # reason of a reject: a value that its column cannot hold


class SourceRow(NamedTuple):
    """A row, or what stands in its place.

    Attributes:
        position: its number in the file, or the byte at which it begins.
        fields: texts of its columns; None: it is rejected.
        reason: of the rejection.
        content: beginning of a rejected row, as it was read or as texts.
        length: bytes of the whole one.
    """

    position: int
    fields: Sequence[str] | None
    reason: str = ""
    content: bytes = b""
    length: int = 0


def learned_fields(names: Sequence[str], fields: Sequence[str]) -> Sequence[str]:
    """Return the texts of a row's columns that become its record: here columns can be cut before anything is learned.

    Args:
        names: of the columns.
        fields: their texts, as read.
    """
    return fields


def written_fields(names: Sequence[str], fields: Sequence[str]) -> Sequence[str]:
    """Return the texts of all columns of a generated row, of those that its record holds: the inverse of `learned_fields`.

    Args:
        names: of the columns.
        fields: the fields of the record.
    """
    return fields
