"""Lines above the header and the records that are neither: a `sep=` line, and comments and empty lines above a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from linesmith.records.fields import FieldFormat

_SEPARATOR = re.compile(r'"?sep=(\\t|.)"?[ \t]*', re.IGNORECASE)
_COMMENT_MARKS = ("#", "//", "%", "--", "!")


def find_preamble(lines: Sequence[str], fields: FieldFormat, header: bool) -> tuple[str, ...]:
    """Return what each of the first lines is that must be skipped, for a message.

    `sep=;` on line 1 tells a spreadsheet program the delimiter. A line that begins like a comment is one only if it has another
    number of fields than the first line below that does not: many headers begin with a `#`.

    Args:
        lines: the first lines of a file, decoded.
        fields: how a line is split.
        header: whether a header follows; without one, only a `sep=` line is skipped.

    Example:
        >>> find_preamble(["sep=;", "# exported", "", "a;b", "1;2"], FieldFormat(";"), header=True)
        ("names the delimiter ';' (sep=)", 'a comment', 'empty')
        >>> find_preamble(["#a,b", "1,2"], FieldFormat(","), header=True)
        ()
    """
    skipped = []
    separator = _SEPARATOR.fullmatch(lines[0]) if lines else None
    if separator is not None:
        skipped.append(_describe_separator(separator[1].replace("\\t", "\t"), fields.delimiter))
    if not header or fields.delimiter is None:
        return tuple(skipped)
    below = lines[len(skipped) :]
    first = next((n for n, line in enumerate(below) if line.strip() and not line.startswith(_COMMENT_MARKS)), None)
    if first is None:
        return tuple(skipped)
    # A last line with a mark and as many fields as the line below it is the header.
    if first and below[first - 1].strip() and _count(below[first - 1], fields) == _count(below[first], fields):
        first -= 1
    return (*skipped, *("a comment" if line.strip() else "empty" for line in below[:first]))


def _describe_separator(named: str, delimiter: str | None) -> str:
    shown = "a tab" if named == "\t" else f"'{named}'"
    if delimiter is None:
        return f"names the delimiter {shown} (sep=), and no --field-delimiter is given"
    return f"names the delimiter {shown} (sep=)" + ("" if named == delimiter else ", and --field-delimiter is another")


def _count(line: str, fields: FieldFormat) -> int:
    try:
        return len(fields.split(line))
    except csv.Error:  # a field is longer than the csv module's limit
        return 0
