"""What the sampler looks up, one token at a time, against what training looks up for whole records."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.fields.inputs import input_rows
from linesmith.model.fields.layout import FieldLayout
from linesmith.model.sampling.field_state import FieldState, FieldTracker
from linesmith.model.tf_function import fused
from tests.helpers.field_oracle import random_records
from tests.model.fields.test_inputs import small_layout

pytestmark = pytest.mark.integration


def _stepwise(ids: np.ndarray, layout: FieldLayout, first_state: list | None = None) -> tuple[np.ndarray, list]:
    """Return the rows of every step, and the last state."""
    tracker = FieldTracker(layout)

    @fused
    def step(state: list, token: tf.Tensor, fresh: tf.Tensor) -> tuple[list, list]:
        state = tracker.next_state(FieldState(*state), token, fresh)
        return list(state), tracker.rows(state)

    state = list(tracker.idle_state(ids.shape[1])) if first_state is None else first_state
    found = []
    for number, token in enumerate(ids):
        state, rows = step(state, tf.constant(token), tf.fill([ids.shape[1]], number == 0))
        found.append(np.stack([row.numpy() for row in rows], axis=1))
    return np.stack(found), state


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
    found, state = _stepwise(ids, layout)
    assert np.array_equal(found, input_rows(ids, layout))
    # A record that takes a row after another one sees nothing of it.
    ids = random_records(layout, np.random.default_rng(4), 40, 30)
    assert np.array_equal(_stepwise(ids, layout, state)[0], input_rows(ids, layout))
