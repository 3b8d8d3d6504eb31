"""The look at columns of keys: exact counts of different values, over any division of the input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linesmith.transforms.survey_keys import count_distinct

pytestmark = pytest.mark.integration
_NUMBERS = st.lists(st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 5), st.just(2**63)), max_size=30)


@settings(deadline=None)
@given(st.lists(_NUMBERS, max_size=5), st.integers(1, 40))
def test_counts_are_those_of_a_set(parts: list[list[int]], at_once: int) -> None:
    arrays = [np.sort(np.array(part, np.uint64)) for part in parts]
    assert count_distinct(arrays, at_once) == len({number for part in parts for number in part})
