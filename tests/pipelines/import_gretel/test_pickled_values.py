"""The reader of pickles yields dictionaries, lists, strings and numbers, and runs nothing."""

from __future__ import annotations

import collections
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesmith.pipelines.import_gretel.pickled_values import PickleRefusedError, read_plain_pickle

KEYS = st.text(max_size=5) | st.integers(-(1 << 40), 1 << 80)
PLAIN = st.recursive(
    st.text(max_size=5) | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@given(value=PLAIN)
def test_plain_values_are_those_of_pickle(protocol, value):
    assert read_plain_pickle(pickle.dumps(value, protocol)) == value


class _Runs:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_callable_is_refused_and_not_called(tmp_path, protocol):
    hostile = pickle.dumps({"a": _Runs(str(tmp_path / "ran"))}, protocol)
    with pytest.raises(PickleRefusedError, match="opcode"):
        read_plain_pickle(hostile)
    assert not (tmp_path / "ran").exists()
    pickle.loads(hostile)  # a real unpickler runs it, so the test tests something
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "value",
    [None, True, b"bytes", (1, 2), {1, 2}, 1j, len, collections.OrderedDict(a=1), collections.defaultdict(list)],
)
def test_other_values_are_refused(value):
    with pytest.raises(PickleRefusedError):
        read_plain_pickle(pickle.dumps({"a": value}))


@pytest.mark.parametrize(
    "content",
    [b"", b".", b"\x80\x04.", b"(.", b"}(.", b"0", b"}K\x01s.", b"(u.", b"]K\x01u.", b"}]K\x01s.", b"h\x05.", b"K\x01K\x02.",
     b"(q\x00.", b"}(K\x01u.", b"a.", b"}(((u.", b"\xff", b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc"],
)  # fmt: skip
def test_bytes_that_are_no_pickle_are_refused(content):
    with pytest.raises(PickleRefusedError):
        read_plain_pickle(content)


def test_every_cut_is_refused():
    whole = pickle.dumps({chr(97 + number): number for number in range(20)})
    for end in range(len(whole)):
        with pytest.raises(PickleRefusedError):
            read_plain_pickle(whole[:end])


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_or_plain(content):
    try:
        value = read_plain_pickle(content)
    except PickleRefusedError:
        return
    assert type(value) in (dict, list, str, int, float)
