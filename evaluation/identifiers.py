"""Find texts in a record that may identify one person or object: e-mail and web addresses, UUIDs and long numbers."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PATTERNS = {
    "e-mail": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    "web address": r"https?://[^\s\"'<>]+",
    "uuid": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    # At least seven digits, with spaces, dashes and brackets between them: phones, cards, accounts. Not decimals or dates.
    "long number": r"(?<![\w.-])\+?\(?[0-9](?:[ ()/-]{0,2}[0-9]){6,}(?![\w.])",
}
_ANY = re.compile("|".join(f"(?P<k{number}>{pattern})" for number, pattern in enumerate(_PATTERNS.values())))
_KINDS = tuple(_PATTERNS)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Every identifier matches this pattern, which Arrow checks for a whole array at once; few records need the slow search.
_HINT = r"@|://|[0-9]([ ()/-]{0,2}[0-9]){6}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-"


def find_identifiers(text: pa.Array) -> tuple[list[str], list[str], list[int]]:
    """Find the identifiers in a batch of records.

    Args:
        text: records; no nulls.

    Returns:
        Three lists of equal length with one entry per occurrence: the identifier, its kind ("e-mail", "web address", "uuid"
        or "long number"), and the index of its record.

    Example:
        >>> find_identifiers(pa.array(["a, 030 123 4567", "b, 52.1234567, 2020-01-02 10:11", "c@d.org"]))[:2]
        (['030 123 4567', 'c@d.org'], ['long number', 'e-mail'])
    """
    hinted = np.flatnonzero(pc.match_substring_regex(text, _HINT).to_numpy(zero_copy_only=False))
    found: list[str] = []
    kinds: list[str] = []
    rows: list[int] = []
    for row, record in zip(hinted.tolist(), text.take(pa.array(hinted)).to_pylist(), strict=True):
        for match in _ANY.finditer(record):
            if _DATE.match(match.group()):
                continue
            found.append(match.group())
            kinds.append(_KINDS[(match.lastindex or 1) - 1])
            rows.append(row)
    return found, kinds, rows
