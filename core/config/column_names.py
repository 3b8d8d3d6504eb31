"""Check names of columns that settings give."""

from __future__ import annotations

from collections.abc import Sequence


def name_fault(name: str, columns: Sequence[str]) -> str | None:
    """Return what is wrong with a name that should be that of one column, to follow the name; None where it is.

    Example:
        >>> name_fault("a", ["a", "b", "b"]), name_fault("b", ["a", "b", "b"]), name_fault("x", ["a"])
        (None, 'is the name of 2 columns', 'is not a column')
    """
    count = list(columns).count(name)
    if count == 1:
        return None
    return f"is the name of {count} columns" if count else "is not a column"
