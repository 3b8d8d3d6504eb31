"""Usual texts, beside Python's regular expressions and beside texts that nothing has in common."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.records.patterns.usual_texts import usual_automaton, usual_pattern


def _spread(usual: list[str], rare: list[str]) -> list[str]:
    """Return 1,000 texts, the rare ones once each."""
    return [*rare, *(usual[number % len(usual)] for number in range(1000 - len(rare)))]


@pytest.mark.parametrize(
    ("usual", "rare"),
    [
        (["7", "12", "23"], ["27", "1x", "", "7 "]),
        (["", "a.b", "(c)", "é|\\d", "-1"], ["a-b", "[c]"]),
        ([f"{n:03}" for n in range(900)], ["1", "abc", "12.5"]),
        ([f"AB-{n:04}" for n in range(900)], ["AB--001", "A1-0001"]),
        ([f"é {n:04}" for n in range(900)], ["e 0001"]),
        ([f"37.{n:05}" for n in range(900)], ["27.00001", "37..0001", "37.0"]),
        ([f"-{100 + n % 3}.{n:05}" for n in range(900)] + [""] * 10, ["-109.00001", "100.00001"]),
        ([f"{n}.{n % 10}" for n in range(100, 999)], ["1.1", "x.1"]),
    ],
)
def test_rare_spellings_are_left_out(usual: list[str], rare: list[str]) -> None:
    texts = _spread(usual, rare)
    pattern = usual_pattern(texts)
    assert pattern is not None
    machine = usual_automaton(pattern)
    assert all(machine.accepts_text(text.encode()) for text in usual)
    assert not any(machine.accepts_text(text.encode()) for text in rare)
    assert all(machine.accepts_text(text.encode()) == bool(re.fullmatch(pattern, text)) for text in texts)


def test_values_count_only_where_they_cover_nearly_all_texts() -> None:
    """Six of a hundred texts are none of the twenty values, so the field is described by its shapes."""
    dice = random.Random(0)
    many = [chr(ord("a") + number) for number in range(20)]
    texts = [*many * 47, *(f"{dice.random():.8f}" for _ in range(60))]
    assert usual_pattern(texts) == "(?:[0-9]\\.[0-9]{8}|[a-z])"
    assert usual_pattern(_spread(["a", "b"], ["c"] * 3)) == "(?:a|b|c)"


@pytest.mark.parametrize(
    "texts",
    [
        ["".join(random.Random(seed).choices("abc DE,", k=3 + seed % 40)) for seed in range(1000)],
        ["x" * 65] * 1000,
        ["".join(random.Random(seed % 190).choices("aB1", k=64)) for seed in range(1900)],  # too long a pattern
        [],
    ],
)
def test_texts_that_have_nothing_in_common_have_no_pattern(texts: list[str]) -> None:
    assert usual_pattern(texts) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=60))
def test_a_pattern_accepts_nearly_all_texts_whatever_they_are(texts: list[str]) -> None:
    pattern = usual_pattern(texts)
    if pattern is not None:
        machine = usual_automaton(pattern)
        accepted = [machine.accepts_text(text.encode()) for text in texts]
        assert sum(accepted) >= 0.85 * len(texts)
        assert accepted == [bool(re.fullmatch(pattern, text)) for text in texts]
