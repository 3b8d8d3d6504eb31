"""Number ranges learned from statistics."""

from __future__ import annotations

import pyarrow as pa
import pytest

from linesmith.records.input.field_statistics import FieldAccumulator
from linesmith.records.patterns.number_ranges import number_automaton, number_range


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        (["1", "7", "252"], {"least": "0", "most": "260", "scale": 0, "empty": False}),
        (["3", "3"], {"least": "3", "most": "3", "scale": 0, "empty": False}),
        (["-0.5", "", "12"], {"least": "-1", "most": "12", "scale": 1, "empty": True}),
        (["30.2815", "30.2999"], {"least": "30.281", "most": "30.300", "scale": 4, "empty": False}),
        (["1", "007"], None),
        (["10000000000000001", "10000000000000003"], None),  # neither is a float
        (["1", "+7"], None),
        (["1e5", "2.5"], None),
        (["1", "one"], None),
        (["", ""], None),
    ],
)
def test_limits_are_the_limits_of_the_data_rounded_outward(values, limits):
    field = FieldAccumulator()
    field.add(pa.array(values))
    found = number_range(field.as_dict())
    assert found == limits
    if found is not None:
        assert all(number_automaton(found).accepts_text(value.encode()) for value in values)
