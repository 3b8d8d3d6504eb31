"""Hypothesis strategies of columns of text, one per kind that files hold."""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Column = SearchStrategy[list[str]]
_ROWS = {"min_size": 1, "max_size": 8}
_MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))


def _lists(values: SearchStrategy[str]) -> Column:
    return st.lists(values, **_ROWS)


def _decimals(scale: int) -> Column:
    def spelled(number: int) -> str:
        digits = str(abs(number)).zfill(scale + 1)
        return ("-" if number < 0 else "") + digits[:-scale] + "." + digits[-scale:]

    return _lists(st.integers(-(10**38) + 1, 10**38 - 1).map(spelled) | st.integers(-999, 999).map(spelled))


@st.composite
def _timestamps(draw: st.DrawFn) -> list[str]:
    separator, suffix = draw(st.sampled_from("T ")), draw(st.sampled_from(["", "Z", "+00:00", "+02:00", "-11:30"]))
    digits = draw(st.sampled_from([0, 1, 3, 6, None]))
    moments = draw(st.lists(_MOMENTS, **_ROWS))
    texts = [moment.isoformat(separator, "microseconds") for moment in moments]
    if digits is None:
        return [moment.isoformat(separator, "minutes") + suffix for moment in moments]
    return [text[: 19 + digits + (digits > 0)] + suffix for text in texts]


_DAYS = st.dates().map(str)
_BROKEN_DAYS = st.tuples(st.integers(0, 9999), st.integers(0, 99), st.integers(0, 99)).map(
    "{0[0]:04d}-{0[1]:02d}-{0[2]:02d}".format
)
_WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=',"\u2028\u2029\x85'), max_size=12)
SINGLE_KINDS: dict[str, Column] = {
    "integers": _lists(st.integers(-(2**64), 2**64).map(str) | st.integers(-99, 99).map(str)),
    "padded ids": _lists(st.integers(0, 99_999).map("{:05d}".format)),
    "prices": _decimals(2),
    "fine decimals": _decimals(37),
    "floats": _lists(st.floats(allow_nan=True).map(repr)),
    "short floats": _lists(st.floats(-1e6, 1e6).map("{:.6g}".format)),
    "lots": _lists(st.from_regex(r"[0-9]{1,2}[eE][0-9]{1,3}", fullmatch=True)),
    "booleans": _lists(st.sampled_from(["true", "false"])),
    "mixed booleans": _lists(st.sampled_from(["true", "False", "TRUE", "1"])),
    "days": _lists(_DAYS),
    "broken days": _lists(_BROKEN_DAYS),
    "timestamps": _timestamps(),
    "clocks": _lists(st.from_regex(r"[0-2][0-9]:[0-6][0-9](:[0-6][0-9]Z?)?", fullmatch=True)),
    "words": _lists(_WORDS),
}
# Columns of one kind, of one kind with empty values, and of two kinds.
COLUMNS: Column = st.one_of(
    st.one_of(*SINGLE_KINDS.values()),
    st.one_of(*SINGLE_KINDS.values()).flatmap(lambda column: st.permutations([*column, ""])),
    st.tuples(st.one_of(*SINGLE_KINDS.values()), st.one_of(*SINGLE_KINDS.values())).map(lambda two: two[0] + two[1]),
)
