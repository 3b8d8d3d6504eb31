import numpy as np
import pyarrow as pa
import pytest

from linesmith.records.input.field_accumulator import FieldAccumulator
from linesmith.records.patterns.automaton import field_text_automaton, soft_intersect
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
