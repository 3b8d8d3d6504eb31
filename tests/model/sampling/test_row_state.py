"""Row state between two matrix products: requests assigned in order, and the end of a record."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.sampling.request_table import END_FLAG, REQUEST_NUMBER, TOKEN_LIMIT, idle_requests, padded_table
from linesmith.model.sampling.row_state import (
    DrawMode,
    DrawParameters,
    RowState,
    TokenSampler,
    assign_requests,
    idle_rows,
)
from linesmith.model.tf_function import fused

pytestmark = pytest.mark.integration

PARAMETERS = DrawParameters(tf.constant(1.0), tf.constant(3), tf.constant(0), tf.constant(1.0))


def _requests(count):
    requests = idle_requests(count)
    requests[:, REQUEST_NUMBER] = np.arange(count)
    requests[:, TOKEN_LIMIT] = 5
    return requests


def _state(rows, done, **parts):
    return idle_rows(rows)._replace(done=tf.constant(done), **parts)


@pytest.mark.parametrize("rows", [16, 512])
@pytest.mark.parametrize("count", [0, 5, 40])
def test_finished_rows_take_requests_in_order(rows, count):
    random = np.random.default_rng(rows + count)
    table = padded_table(_requests(count), rows)
    done = random.random(rows) < 0.3
    old = np.arange(1, rows + 1, dtype=np.int32)
    state = _state(rows, done, token=tf.constant(old), step=tf.constant(old))
    already = min(count, 3)
    taken, after = fused(assign_requests)(tf.constant(already), state, tf.constant(table))

    next_one = already
    for row in range(rows):
        if done[row]:
            np.testing.assert_array_equal(after.request[row], table[min(next_one, len(table) - 1)])
            assert (int(after.token[row]), int(after.step[row]), float(after.acceptance_probability[row])) == (
                0,
                0,
                1.0,
            )
            next_one += 1
        else:
            np.testing.assert_array_equal(after.request[row], state.request[row])
            assert int(after.token[row]) == int(after.step[row]) == old[row]
    assert int(taken) == min(next_one, len(table) - 1)
    np.testing.assert_array_equal(after.done, done)


def test_rows_are_idle_after_the_last_request():
    taken, after = assign_requests(tf.constant(64), idle_rows(16), tf.constant(padded_table(_requests(64), 16)))
    assert int(taken) == 64
    assert set(after.request[:, REQUEST_NUMBER].numpy().tolist()) == {-1}


def test_a_record_ends_with_the_newline_at_its_limit_or_with_too_many_characters():
    request = np.tile(_requests(1), (16, 1))
    request[15] = idle_requests(1)[0]
    token = np.full(16, 7, np.int32)
    token[0] = 0
    step = np.zeros(16, np.int32)
    step[1:3] = 3, 4  # the fourth and the fifth token of at most five
    chars = np.zeros(16, np.int32)
    chars[3:5] = 1, 2  # with two more characters these rows have three, which is allowed, and four
    state = _state(
        16, np.zeros(16, bool), request=tf.constant(request), step=tf.constant(step), char_count=tf.constant(chars)
    )
    sampler = TokenSampler(tf.zeros([16]), None, tf.fill([16], 2))
    for counts, ends in ((False, {0, 2}), (True, {0, 2, 4})):
        mode = DrawMode(greedy=False, truncated=False, counts_chars=counts, prefixed=False)
        after, outputs = sampler.update(mode, PARAMETERS, state, tf.constant(token), None, None)
        tokens, steps, numbers = outputs.numpy()
        assert {row for row in range(16) if tokens[row] & END_FLAG} == ends
        assert set(np.flatnonzero(after.done).tolist()) == ends | {15}
        np.testing.assert_array_equal(tokens & (END_FLAG - 1), token)
        np.testing.assert_array_equal(steps, step)
        np.testing.assert_array_equal(numbers, request[:, REQUEST_NUMBER])


def test_the_allowed_probability_is_multiplied_where_the_token_was_drawn():
    transitions = tf.constant(np.array([[1, ~1, -1] + [-1] * 13, [0] * 16], np.int32))
    sampler = TokenSampler(tf.zeros([16]), transitions, tf.zeros([16], tf.int32))
    mode = DrawMode(greedy=False, truncated=False, counts_chars=False, prefixed=True)
    state = _state(16, np.zeros(16, bool), request=tf.constant(np.tile(_requests(1), (16, 1))))
    forced = np.arange(16) % 2 == 1
    after, outputs = sampler.update(
        mode, PARAMETERS, state, tf.constant(np.where(forced, 1, 0), tf.int32), tf.constant(forced), tf.fill([16], 0.5)
    )
    expected = np.where(forced, 1.0, 0.5).astype(np.float32)
    np.testing.assert_array_equal(after.acceptance_probability, expected)
    np.testing.assert_array_equal(outputs.numpy()[3].view(np.float32), expected)
    np.testing.assert_array_equal(after.automaton_state, np.ones(16))  # also where a start string violates the mask


def test_an_unfinished_row_keeps_its_state():
    state = RowState(*[part + 1 if part.dtype != tf.bool else tf.zeros([16], tf.bool) for part in idle_rows(16)])
    taken, after = assign_requests(tf.constant(0), state, tf.constant(padded_table(_requests(3), 16)))
    assert int(taken) == 0
    for before, now in zip(state, after, strict=True):
        np.testing.assert_array_equal(before, now)
