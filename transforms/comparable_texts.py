"""Write the values of text records as their columns' kinds compare them; most records are written so already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from linesmith.records.fields import FIELD_BREAK
from linesmith.records.output.comparison import BOOLEAN, NUMBER, TIME, ComparisonKind

_ANY = rf"[^{FIELD_BREAK}]*"


def comparable_texts(text: pa.Array, kinds: Sequence[ComparisonKind | None]) -> pa.Array:
    """Return records whose values are written in the spellings of their columns' kinds.

    Args:
        text: records with field breaks.
        kinds: one per column; None: text. A record with another number of fields is treated alike as far as it goes.

    Example:
        >>> records = pa.array(["5249.1\\nx", "7.25\\n3.1"], pa.large_string())
        >>> comparable_texts(records, [ComparisonKind(NUMBER, "decimal:2"), None]).to_pylist()
        ['5249.10\\nx', '7.25\\n3.1']
    """
    if not any(kinds) or not len(text):
        return text
    try:
        # Written already as they are compared: no Python code per value for them.
        unchanged = pc.match_substring_regex(text, _unchanged_pattern(tuple(kinds)))
    except pa.ArrowInvalid:  # too many columns for one expression
        unchanged = pa.array([False] * len(text))
    if pc.all(unchanged).as_py():
        return text
    known = [(position, kind) for position, kind in enumerate(kinds) if kind is not None]
    records = text.to_pylist()
    for row, is_unchanged in enumerate(unchanged.to_pylist()):
        if not is_unchanged:
            fields = records[row].split(FIELD_BREAK)
            for position, kind in known:
                if position < len(fields):
                    fields[position] = kind.text(fields[position])
            records[row] = FIELD_BREAK.join(fields)
    return pa.array(records, pa.large_string())


@lru_cache(maxsize=64)
def _unchanged_pattern(kinds: tuple[ComparisonKind | None, ...]) -> str:
    return f"^{FIELD_BREAK.join(f'(?:{_ANY if kind is None else _unchanged(kind)})' for kind in kinds)}$"


def _unchanged(kind: ComparisonKind) -> str:
    """Return a pattern of texts that are certainly written as they are compared; it need not match all of them."""
    if kind.name == BOOLEAN:
        return "true|false|"
    if kind.name == NUMBER:
        return _unchanged_number(kind)
    if kind.name == TIME:
        return _unchanged_time(kind)
    return _ANY  # a text of a date is one already, or no date


def _unchanged_number(kind: ComparisonKind) -> str:
    # At most 15 digits: these keep their value as a float of 64 bits.
    if kind.spelling == "long" and kind.bits != 32:
        return "-?[1-9][0-9]{0,14}|0|"
    if kind.spelling == "double" and kind.bits == 64:
        return r"-?[1-9][0-9]{0,5}\.(?:[0-9]{0,8}[1-9]|0)|0\.0|"
    if kind.spelling is not None and kind.spelling.startswith("decimal:") and kind.bits != 32:
        scale = int(kind.spelling.partition(":")[2])
        if scale < 15:
            return rf"(?:0|-?[1-9][0-9]{{0,{14 - scale}}})\.[0-9]{{{scale}}}|"
    return ""


def _unchanged_time(kind: ComparisonKind) -> str:
    if kind.spelling is None:
        return ""
    separator, digits, suffix = kind.spelling.removeprefix("timestamp:").split(":", 2)
    seconds = {"m": "", "0": ":[0-9]{2}", "auto": ":[0-9]{2}"}.get(digits, rf":[0-9]{{2}}\.[0-9]{{{digits}}}")
    return f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{separator}[0-9]{{2}}:[0-9]{{2}}{seconds}{re.escape(suffix)}|"
