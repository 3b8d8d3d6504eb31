"""Automata over bytes, compared with Python's decoder and with CSV-like splitting."""

from __future__ import annotations

import random

from linesmith.records.patterns.automaton import (
    build_automaton,
    field_text_automaton,
    intersect,
    soft_intersect,
    utf8_automaton,
)


def test_the_utf8_automaton_accepts_what_python_decodes():
    automaton, dice = utf8_automaton(), random.Random(0)
    interesting = [0x41, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5]
    for _ in range(20_000):
        text = bytes(dice.choices(interesting, k=dice.randrange(5)))
        try:
            text.decode()
            is_utf8 = True
        except UnicodeDecodeError:
            is_utf8 = False
        assert automaton.accepts_text(text) == is_utf8


def test_field_text_example():
    assert not field_text_automaton(", ", quoted=False, last=False).accepts_text(b"a, b")


def _only(letters: str):
    """Return the automaton of texts made of some letters."""
    row = [0 if chr(byte) in letters else None for byte in range(256)]
    return build_automaton(0, lambda state: row, lambda state: True)


def test_an_intersection_accepts_what_both_accept():
    both = intersect(_only("ab"), _only("bc"))
    assert [both.accepts_text(text) for text in (b"", b"bb", b"ab", b"cb")] == [True, True, False, False]


def test_a_soft_intersection_is_unconstrained_after_the_second_language_is_left():
    soft = soft_intersect(_only("ab"), _only("bc"))
    assert [soft.accepts_text(text) for text in (b"bb", b"ab", b"cb")] == [True, True, False]
    assert soft.unconstrained is not None
    assert not soft.unconstrained[soft.transitions[0, ord("b")]]
    assert soft.unconstrained[soft.transitions[0, ord("a")]]
