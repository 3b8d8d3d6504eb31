"""The header line of text output: the names of the columns, as CSV readers expect them at the beginning of every file."""

from __future__ import annotations

from collections.abc import Sequence

from linesmith.records.fields import FieldFormat


def header_line(columns: Sequence[str], fields: FieldFormat) -> str | None:
    """Return the first line of a text file, or None if no line can hold these names.

    Args:
        columns: names of the fields.
        fields: how records are split; the line is split in the same way.

    Example:
        >>> header_line(["id", "a,b"], FieldFormat(",", quoted=True))
        'id,"a,b"'
        >>> header_line(["id", "a,b"], FieldFormat(",")) is None
        True
    """
    line = fields.join(columns)
    if not line or "\n" in line or "\r" in line or fields.split(line) != list(columns):
        return None
    return line
