"""Patterns of keys: numbering, what people type, and what is learned of a column."""

from __future__ import annotations

import json
import re
import string
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.core.config.key_pattern import CLASSES, KeyPattern, parse_pattern, pattern_from_dict
from linesmith.records.roles.key_forms import MOST_LENGTHS, KeyForms, forms_from_dict, merge_forms

_PLACES = st.lists(st.sampled_from([*CLASSES, "-", "_", "7", "x"]), min_size=1, max_size=3, unique=True).map(tuple)
_SHAPES = st.lists(
    st.lists(_PLACES, min_size=1, max_size=6).map(tuple), min_size=1, max_size=3, unique_by=len
).map(lambda shapes: KeyPattern(tuple(shapes)))  # fmt: skip
_LIMITS = st.tuples(st.integers(-1000, 10**18), st.integers(0, 10**6)).map(
    lambda pair: KeyPattern(limits=(pair[0], pair[0] + pair[1]))
)
_KEYS = st.lists(st.text(string.ascii_letters + string.digits + "-_/. ", min_size=1, max_size=8), min_size=1)


@settings(deadline=None)
@given(st.one_of(_SHAPES, _LIMITS), st.data())
def test_numbers_and_texts_are_inverse(pattern: KeyPattern, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, pattern.size - 1))
    assert pattern.number(pattern.text(number)) == number


@settings(deadline=None)
@given(st.one_of(_SHAPES, _LIMITS))
def test_a_pattern_survives_its_file(pattern: KeyPattern) -> None:
    assert pattern_from_dict(json.loads(json.dumps(pattern.as_dict()))) == pattern


@settings(deadline=None)
@given(_KEYS)
def test_every_key_is_of_the_pattern_that_is_learned_of_it(keys: list[str]) -> None:
    forms = KeyForms()
    for key in keys:
        forms.add(key)
    pattern = forms.pattern()
    assert all(pattern.number(key) is not None for key in keys)
    lengths = {len(key) for key in keys}
    assert len(pattern.text(pattern.size - 1)) <= max(lengths)


@settings(deadline=None)
@given(_KEYS, st.integers(0, 5))
def test_what_workers_found_adds_up(keys: list[str], cut: int) -> None:
    parts = [keys[:cut], keys[cut:]]
    forms = [KeyForms() for _ in parts]
    for form, part in zip(forms, parts, strict=True):
        for key in part:
            form.add(key)
    whole = KeyForms()
    for key in keys:
        whole.add(key)
    stored = [forms_from_dict(json.loads(json.dumps(form.as_dict()))) for form in forms]
    assert merge_forms(stored).pattern() == whole.pattern()


@settings(deadline=None)
@given(_KEYS)
def test_nothing_but_lengths_classes_and_punctuation_is_kept(keys: list[str]) -> None:
    """Two columns that differ in letters and digits alone, within their classes, leave the same."""
    changed = str.maketrans(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ123456789",
        "bcdefaghijklmnopqrstuvwxyzBCDEFAGHIJKLMNOPQRSTUVWXYZ234567891",
    )
    first, second = KeyForms(), KeyForms()
    for key in keys:
        first.add(key)
        second.add(key.translate(changed))
    first.uuid = second.uuid = False
    assert first.pattern() == second.pattern()


def forms_of(*keys: str) -> KeyPattern:
    forms = KeyForms()
    for key in keys:
        forms.add(key)
    return forms.pattern()


def test_kinds_of_columns() -> None:
    assert forms_of("1", "17", "5000").limits == (0, 9999)
    assert forms_of("1000", "5000").limits == (1000, 9999)
    assert forms_of("-5", "7", "1234").limits == (-9, 9999)
    assert forms_of("0012", "4711").shapes == ((("0-9",),) * 4,)
    assert forms_of("CU-01", "XY-99") == parse_pattern("AA-00")
    assert forms_of("a3f9", "0bb1", "1cc2", "b00d") == parse_pattern("xxxx")
    assert forms_of("ab12", "cd34") == parse_pattern("aa00")  # its letters are never digits: no hexadecimal number
    ids = [str(uuid.UUID(int=number * 2**64 + number, version=4)) for number in range(50)]
    assert forms_of(*ids) == parse_pattern("uuid4")
    made = parse_pattern("uuid7").text(12345678901234567890)
    assert uuid.UUID(made).version == 7 and uuid.UUID(made).variant == uuid.RFC_4122


def test_a_uuid_column_of_several_versions_has_places() -> None:
    pattern = forms_of(str(uuid.UUID(int=5, version=4)), str(uuid.UUID(int=5, version=1)))
    assert len(pattern.text(pattern.size - 1)) == 36


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ([""], "empty"),
        (["a\tb"], "other characters"),
        (["x" * 201], "very long"),
        (["a\\b"], "other characters"),
        (["k" * length for length in range(1, MOST_LENGTHS + 3)], "lengths"),
        ([], "no values"),
    ],
)
def test_columns_without_a_pattern_are_refused(keys: list[str], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        forms_of(*keys)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "empty"),
        ("9..1", "larger"),
        ("A\\", "backslash"),
        ("a\\\\", "backslash"),
        ("A" * 1001, "1000"),
        ("a\n", "line end"),
    ],
)
def test_patterns_that_cannot_be(text: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        parse_pattern(text)


@pytest.mark.parametrize(
    "stored",
    [
        {"limits": [5, 1]}, {"limits": [1]}, {"limits": ["1", 2]}, {"shapes": []}, {"shapes": [[[]]]}, {"shapes": [[["ab"]]]},
        {"shapes": [[["a"]], [["b"]]]}, {},
    ],
)  # fmt: skip
def test_damaged_patterns_are_refused(stored: dict) -> None:
    with pytest.raises((ValueError, KeyError)):
        pattern_from_dict(stored)


def test_typed_classes() -> None:
    pattern = parse_pattern(r"\A0AaxX*-")
    assert re.fullmatch(r"A[0-9][A-Z][a-z][0-9a-f][0-9A-F][0-9A-Z]-", pattern.text(pattern.size // 3))
    assert pattern.size == 10 * 26 * 26 * 16 * 16 * 36
    with pytest.raises(IndexError):
        pattern.text(pattern.size)
    assert pattern.number("B0AaxX*-") is None and pattern.number("A") is None
    assert parse_pattern("1..20").number("007") is None and parse_pattern("1..20").number("21") is None
