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
