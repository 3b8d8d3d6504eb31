import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesmith.records.input.field_accumulator import FieldAccumulator
from linesmith.records.patterns.automaton import field_text_automaton, soft_intersect
from linesmith.records.patterns.number_ranges import number_range
from linesmith.records.patterns.text_limits import text_automaton, text_limits


def _statistics(texts, quoted=False):
    counts = FieldAccumulator()
    counts.add(pa.array(texts), quoted)
    return counts.as_dict()


@pytest.mark.parametrize(
    ("texts", "limits"),
    [
        (["2024-02-29", "2023-01-01"], {"type": "date", "empty": False}),
        (["2024-02-29", ""], {"type": "date", "empty": True}),
        (["2024-02-29", "2023-02-29"], {"type": None, "empty": False}),
        (["2024-02-29T10:00:00Z"], {"type": "timestamp", "empty": False}),
        (["2024-02-29 10:00"], {"type": "local_timestamp", "empty": False}),
        (["true", "false"], {"type": "boolean", "empty": False}),
        (["007", "é"], {"type": None, "empty": False}),
        (["1.5"], {"type": None, "empty": False}),
        (["a", ""], None),
        ([""], None),
    ],
)
def test_limits_are_what_all_texts_have_in_common(texts, limits):
    found = text_limits(_statistics(texts))
    assert found == limits
    if found is not None:
        machine = text_automaton(found)
        assert all(machine.accepts_text(text.encode()) for text in texts)
        assert machine.accepts_text(b"") == found["empty"]


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        (["red", "blue"] * 50, "(?:blue|red)"),
        (["red", "blue"] * 49, None),  # too few to say that there is no green
        (["red", "blue"] * 500 + ["green"], "(?:blue|green|red)"),
        # More than one in a thousand was seen once, so another one may be unseen; so may shapes.
        (["red", "blue"] * 499 + ["green"], None),
        ([f"{'ABC'[n % 3]}{n % 7}Q{n:03}" for n in range(999)], "(?:[A-Z][0-9][A-Z][0-9]{3})"),
        ([f"{n:05}" for n in range(200)], "(?:[0-9]{5})"),  # not plain numbers: a leading zero would be lost
        (["", "a-1", "b-2"] * 60, r"(?:a\-1|b\-2)"),
        ([f"é{n}" for n in range(100, 400)], "(?:é[0-9]{3})"),
        (["x" * 65] * 200, f"(?:{'x' * 65})"),  # a value, though too long for a shape
        ([f"{'x' * 65}{n}" for n in range(200)], None),
        (["x" * n + "1" for n in range(1, 62) for _ in range(2)] * 9, "values"),
        (["ab" * n for n in range(300)] * 9, None),  # too many, and too long
        (['"a,b"', "c"] * 90, '(?:\\"a\\,b\\"|c)'),
    ],
)
def test_a_text_that_is_nothing_new_is_one_of_the_values_or_has_one_of_the_shapes(texts, pattern):
    statistics = _statistics(texts, quoted=True)
    found = text_limits(statistics)
    assert number_range(statistics) is None
    seen = None if found is None else found.get("pattern")
    assert seen == pattern or (pattern == "values" and seen is not None)
    if found is not None:
        machine = text_automaton(found)
        assert all(machine.accepts_text(text.encode()) for text in texts)
        assert seen is None or not machine.accepts_text(b"never seen")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=9), min_size=1))
def test_no_text_that_was_seen_is_ruled_out(texts):
    """Whatever characters it has: patterns escape them."""
    for seen in (texts * 100, texts):
        statistics = _statistics(seen)
        limits = text_limits(statistics)
        if limits is not None and number_range(statistics) is None:
            machine = text_automaton(limits)
            assert all(machine.accepts_text(text.encode()) for text in seen)


def test_differences_have_no_pattern():
    """Their statistics are without the plus sign that the model writes."""
    statistics = _statistics(["=a", "=b"] * 60)
    assert "pattern" in text_limits(statistics)
    assert text_limits({**statistics, "original": {}}) == {"type": None, "empty": False}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=70), min_size=1))
def test_shapes_of_a_column_are_the_shapes_of_its_texts(texts):
    expected = Counter(re.sub("[0-9]", "0", re.sub("[A-Z]", "A", re.sub("[a-z]", "a", text))) for text in texts if text)
    column = pa.array(["skipped", *texts])[1:]
    counts = FieldAccumulator()
    counts.add(column)
    described = counts.as_dict()["text_shapes"]
    assert described == (None if max(map(len, texts)) > 64 else dict(sorted(expected.items())))
    parts = [FieldAccumulator(), FieldAccumulator()]
    for part, values in zip(parts, (column, column[:1]), strict=True):
        part.add(values)
    parts[1].merge(parts[0])
    counts.add(column[:1])
    assert parts[1].as_dict()["text_shapes"] == counts.as_dict()["text_shapes"]


def test_what_is_not_of_the_type_is_refused():
    machine = text_automaton({"type": "timestamp", "empty": True})
    for text in ("2024-05-50T10:00:00Z", "2024-05-05T25:00:00Z", "2024-13-05T10:00:00Z", "x"):
        assert not machine.accepts_text(text.encode()), text


def test_quotes_are_no_part_of_a_time():
    assert text_limits(_statistics(['"2024-02-29"', "2024-03-01"], quoted=True)) == {"type": "date", "empty": False}
    assert text_limits(_statistics(['""', "2024-03-01"], quoted=True)) == {"type": "date", "empty": True}


def test_a_given_text_may_end_where_a_drawn_one_may_not():
    plain = field_text_automaton(",", quoted=False, last=False)
    machine = soft_intersect(plain, text_automaton({"type": None, "empty": False}))
    assert not machine.accepting[0]
    assert machine.given_ends is not None and machine.given_ends[0]
    assert np.array_equal(machine.accepting[1:], machine.given_ends[1:])
