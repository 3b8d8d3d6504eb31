"""Tests of `--differences`: how it is typed, and what is refused."""

from __future__ import annotations

import pytest

from linesmith.core.config import preflight
from linesmith.core.config.field_differences import Difference, resolve_differences
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError

COLUMNS = ["id", "start", "end", "price"]


@pytest.mark.parametrize(
    ("value", "differences"),
    [
        ("end=start", {"end": Difference("start")}),
        (" end = start , price = id : 2 ", {"end": Difference("start"), "price": Difference("id", 2)}),
        (["end=start", "price=id:0"], {"end": Difference("start"), "price": Difference("id", 0)}),
        ('"a,b"=c:d,"e=f:1"', {"a,b": Difference("c:d"), "e": Difference("f", 1)}),
        ({"end": "start:15"}, {"end": Difference("start", 15)}),
    ],
)
def test_differences_are_typed_like_conditions(value, differences):
    config = TensorFlowConfig(field_delimiter=",", differences=value)
    assert config.column_differences == differences
    assert TensorFlowConfig(**config.as_dict()).column_differences == differences


@pytest.mark.parametrize(
    "value", ["", "end", "end=", "end=a,", "end=a,end=b", "end=a:16", [], {}, {"a": []}, {1: "a"}, 5]
)
def test_what_names_no_base_is_refused(value):
    with pytest.raises(ParameterError, match=r"^LS101: differences") as caught:
        TensorFlowConfig(field_delimiter=",", differences=value)
    assert "\n" not in str(caught.value)


def test_differences_are_about_fields_that_the_model_is_given():
    with pytest.raises(ParameterError, match="differences needs a field_delimiter"):
        TensorFlowConfig(differences="a=b")
    with pytest.raises(ParameterError, match="gen_chars excludes differences"):
        TensorFlowConfig(field_delimiter=",", differences="a=b", gen_chars=9)
    with pytest.raises(ParameterError, match="differences names 'b', which column_role takes away"):
        TensorFlowConfig(field_delimiter=",", differences="a=b", column_role="b=drop")


def test_columns_are_numbered_as_the_input_has_them():
    differences = {"price": Difference("start", 2), "end": Difference("start")}
    assert resolve_differences(differences, COLUMNS, ["start", "price"], False) == [(2, 1, None), (3, 1, 2)]
    assert resolve_differences({}, None, [], True) == []


@pytest.mark.parametrize(
    ("differences", "columns", "first", "found", "remedy"),
    [
        ({"end": "x"}, COLUMNS, [], "'x' is not a column", "There are: id, start, end, price."),
        ({"x": "end"}, COLUMNS, [], "'x' is not a column", "There are"),
        ({"end": "id"}, ["id", "id", "end"], [], "'id' is the name of 2 columns", "There are"),
        ({"start": "end"}, COLUMNS, [], "'end' does not come before 'start'", "Give 'end=start' instead"),
        ({"end": "end"}, COLUMNS, [], "'end' is no difference from itself", "Name an earlier column."),
        ({"end": "start"}, COLUMNS, ["end"], "'end' is written before 'start'", "before it in --condition-on"),
        ({"end": "start"}, None, [], "the columns have no names", "or --header."),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(differences, columns, first, found, remedy):
    given = {column: Difference(base) for column, base in differences.items()}
    with pytest.raises(ParameterError, match=r"^LS136: --differences") as caught:
        resolve_differences(given, columns, first, False)
    assert found in str(caught.value) and remedy in str(caught.value)


def test_names_that_are_known_are_checked_before_anything_is_read():
    config = TensorFlowConfig(field_delimiter=",", columns=COLUMNS, differences="start=end")
    with pytest.raises(ParameterError, match="LS136"):
        preflight.check(config, "tokenize")
