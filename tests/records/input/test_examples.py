"""Integers of `tf.train.Example`, read without TensorFlow as TensorFlow wrote them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesmith.records.input.tfrecord_files import ExampleError, integers_of

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.integration


def _example(**features: list[int] | bytes) -> bytes:
    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

    named = {name: feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.binary())
def test_integers_come_back_beside_other_features(numbers, other) -> None:
    assert integers_of(_example(ids=numbers, text=other, more=[1]), "ids") == numbers


def test_a_missing_feature_is_an_error() -> None:
    with pytest.raises(ExampleError, match="missing"):
        integers_of(_example(other=[1]), "ids")


@given(st.binary(max_size=60), st.integers(0, 40))
def test_damaged_bytes_give_integers_or_our_error(damage, where) -> None:
    whole = _example(ids=[1, 2, 300], text=b"abc")
    try:
        found = integers_of(whole[:where] + damage + whole[where + len(damage) :], "ids")
    except ExampleError:
        return
    assert all(isinstance(number, int) for number in found)
