"""Tell a record that spans several lines from a line with a quote too many."""

from __future__ import annotations

from collections.abc import Iterable


def closes_below(following: Iterable[str], delimiter: str, max_chars: int) -> bool:
    r"""Return whether a quoted field that a line leaves open is closed, as a quoted field must be, by a line below.

    After the closing quote comes the delimiter or the end of the line. A quote that anything else follows begins another field,
    so the first line had a quote too many.

    Args:
        following: the lines below.
        delimiter: one character.
        max_chars: most characters of lines to look at; a longer field is not a record anyway.

    Example:
        >>> closes_below(['rest", 5'], ",", 100), closes_below(['next,"b"'], ",", 100), closes_below([], ",", 100)
        (True, False, False)
    """
    for line in following:
        rest = line.replace('""', "")  # doubled quotes are text
        end = rest.find('"')
        if end >= 0:
            return end + 1 == len(rest) or rest.startswith(delimiter, end + 1)
        max_chars -= len(line) + 1
        if max_chars < 0:
            return False
    return False
