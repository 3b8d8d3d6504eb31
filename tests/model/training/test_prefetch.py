"""Prefetching changes neither items, nor order, nor errors; it makes one item ahead and no more."""

from __future__ import annotations

import threading
import time

import pytest

from linesmith.model.training.prefetch import prefetch


def test_items_and_order_are_the_same_and_made_in_another_thread():
    threads = set()

    def items():
        for number in range(50):
            threads.add(threading.current_thread())
            yield number

    assert list(prefetch(items())) == list(range(50))
    assert threading.main_thread() not in threads and len(threads) == 1
    assert list(prefetch([])) == []


def test_one_item_is_made_ahead_and_no_more():
    made = []
    stream = prefetch(made.append(number) or number for number in range(10))
    assert next(stream) == 0
    deadline = time.monotonic() + 10
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert made == [0, 1]
    stream.close()


def test_an_error_is_raised_where_its_item_is_asked_for():
    def items():
        yield 1
        raise RuntimeError("the second")

    stream = prefetch(items())
    assert next(stream) == 1
    with pytest.raises(RuntimeError, match="the second"):
        next(stream)
