"""Regular expressions compiled to automata, compared with Python's `re` on all short texts."""

from __future__ import annotations

import itertools
import re

import pytest

from linesmith.core.errors import ParameterError
from linesmith.records.patterns.pattern_compiler import compile_pattern, utf8_ranges
from linesmith.records.patterns.regex_parser import parse_regex


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a|b|",
        "a*b+",
        "(ab)?é{1,2}",
        "[^a]b",
        r"[a\-é]+",
        r"\w\W",
        "(?:a|bé)*",
        "a{2}",
        "a{1,}b",
        ".",
        "[]a]",
        r"\.",
    ],
)
def test_a_regex_accepts_what_re_matches(pattern):
    automaton = compile_pattern(parse_regex(pattern))
    for length in range(5):
        for characters in itertools.product("abé-].", repeat=length):
            text = "".join(characters)
            assert automaton.accepts_text(text.encode()) == bool(re.fullmatch(pattern, text, re.ASCII)), text


@pytest.mark.parametrize(
    "pattern",
    ["^a", "a$", "(?=a)", r"\1", "a*?", "a**", "(a", "a)", "[a", "a{2,1}", "a{1001}", "{2}", r"\b", "[b-a]", "a\\"],
)
def test_unsupported_syntax_is_refused_with_its_position(pattern):
    with pytest.raises(ValueError, match=r"at character [0-9]+: "):
        parse_regex(pattern)


def test_a_pattern_with_too_many_states_is_refused():
    with pytest.raises(ParameterError, match="states"):
        compile_pattern(parse_regex("(a|b)*a(a|b){20}"))


def test_byte_ranges_hold_exactly_the_characters_of_a_range():
    first, last = 0x7E, 0x10002
    sequences = utf8_ranges(first, last)
    for point in [
        *range(0x90),
        *range(0x7F0, 0x810),
        *range(0xD7F0, 0xD800),
        *range(0xE000, 0xE010),
        *range(0xFFF0, 0x10010),
    ]:
        content = chr(point).encode()
        matches = sum(
            len(sequence) == len(content)
            and all(low <= byte <= high for (low, high), byte in zip(sequence, content, strict=True))
            for sequence in sequences
        )
        assert matches == (first <= point <= last), hex(point)
