"""Regular expressions compiled to automata, compared with Python's `re` on all short texts."""

from __future__ import annotations

import itertools
import re

import pytest

from linesmith.core.errors import ParameterError
from linesmith.records.patterns.automaton import field_text_automaton
from linesmith.records.patterns.pattern_compiler import WorkLimit, compile_pattern, utf8_ranges
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


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("(?:(?:a{1000}){1000}){1000}", "more than 100,000 characters"),
        ("(?:(?:){1000}){1000}", "more than 100,000 characters"),
        ("(" * 5000 + ")" * 5000, "more than 50 groups are inside one another"),
        ("a" * 10_001, "longer than 10,000 characters"),
        ("a{" + "9" * 5000 + "}", "a repetition runs from"),
        (".{0,1000}.{0,1000}", "LS125: a field's pattern takes too long to compile"),
        (r"(\W*\w*){300}", "LS125: a field's pattern takes too long to compile"),
    ],
    ids=lambda text: text[:30],
)
def test_the_cost_of_a_pattern_is_bounded(pattern: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        compile_pattern(parse_regex(pattern), WorkLimit(200_000))


def test_patterns_within_the_limits_compile() -> None:
    assert compile_pattern(parse_regex("(" * 50 + "a" + ")" * 50)).accepts_text(b"a")
    assert compile_pattern(parse_regex("(a?){200}")).accepts_text(b"a" * 200)


def test_patterns_that_are_compiled_together_share_a_limit() -> None:
    limit = WorkLimit(5000)
    pattern = parse_regex("(a?){30}")
    compile_pattern(pattern, limit)
    with pytest.raises(ParameterError, match="LS125"):
        for _ in range(10):
            compile_pattern(pattern, limit)


def test_a_long_delimiter_takes_no_longer_than_its_length() -> None:
    machine = field_text_automaton("ab" * 400 + ",", quoted=False, last=True)
    assert len(machine.transitions) == 802
    assert machine.accepts_text(b"ab" * 399 + b",") and not machine.accepts_text(b"xab" * 3 + b"ab" * 400 + b",")
