"""Durations in words, for progress displays."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a duration in words, rounded to whole seconds.

    Example:
        >>> duration(7.2), duration(75), duration(3700)
        ('7 s', '1 min 15 s', '1 h 1 min')
    """
    rounded = max(0, round(seconds))
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60} min"
