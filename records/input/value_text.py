"""Values of typed records as text: JSON, Avro and Parquet hold numbers, dates and nulls where lines hold characters."""

from __future__ import annotations

import json
from typing import Any


def plain_text(value: Any) -> str:
    """Return a value of a typed record as a text file would hold it; a null is empty.

    Example:
        >>> [plain_text(v) for v in (None, True, 2.0, "a", b"b", [b"c"])]
        ['', 'true', '2.0', 'a', 'b', '["c"]']
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=plain_text)
    return str(value)
