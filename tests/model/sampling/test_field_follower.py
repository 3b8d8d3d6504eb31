"""What the sampler looks up, one token at a time, against what training looks up for whole records."""

from __future__ import annotations

import numpy as np
import pytest

from linesmith.model.fields.inputs import input_rows
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.sampling.field_follower import FieldFollower, state_width
from tests.helpers.field_oracle import random_records
from tests.model.fields.test_inputs import small_layout

pytestmark = pytest.mark.integration


def _stepwise(ids: np.ndarray, layout: FieldLayout, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of every step, and the last numbers of each record."""
    follower, found = FieldFollower(layout), []
    for step, token in enumerate(ids):
        numbers = follower.begin(numbers) if step == 0 else follower.follow(numbers, token)
        found.append(follower.rows(numbers))
    return np.stack(found), numbers


@pytest.mark.parametrize(
    "layout",
    [
        small_layout(1),
        small_layout(2),
        small_layout(6),
        small_layout(4, memory=5),
        small_layout(5, first=6, vocab=12),
        small_layout(30, vocab=300),
    ],
    ids=["1 field", "2 fields", "6 fields", "short memory", "markers", "30 fields"],
)
def test_rows_of_the_sampler_are_those_of_training(layout: FieldLayout) -> None:
    ids = random_records(layout, np.random.default_rng(3), 40, 30)
    found, numbers = _stepwise(ids, layout, np.zeros((ids.shape[1], state_width(layout)), np.int32))
    assert np.array_equal(found, input_rows(ids, layout))
    # A record that takes a row after another one sees nothing of it.
    ids = random_records(layout, np.random.default_rng(4), 40, 30)
    assert np.array_equal(_stepwise(ids, layout, numbers)[0], input_rows(ids, layout))
