"""Tests of the text of `--where`, and of settings that exclude each other."""

import pytest

from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.config.where_condition import parse_where
from linesmith.core.errors import ParameterError
from linesmith.model.generation.requests.conditions import condition_text


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("country=IT", {"country": "IT"}),
        ("country=IT,elevation=", {"country": "IT", "elevation": ""}),
        ('a="x,y",b=1', {"a": "x,y", "b": "1"}),
        ('"a=x,y",b=1', {"a": "x,y", "b": "1"}),
        ('"a,b"="say ""x""",c==', {"a,b": 'say "x"', "c": "="}),
        ('a=5" pipe', {"a": '5" pipe'}),
        (["a=1", "b=2,c=3"], {"a": "1", "b": "2", "c": "3"}),
        ({"a": 1, "b": 2.5, "c": "x"}, {"a": "1", "b": "2.5", "c": "x"}),
        (" a = 1 ", {" a ": " 1 "}),
    ],
)
def test_conditions_are_read_as_csv(text, condition):
    config = TensorFlowConfig(where=text)
    assert config.condition == condition
    assert TensorFlowConfig(**config.as_dict()).condition == condition
    assert parse_where(condition_text(condition)) == condition


@pytest.mark.parametrize(
    "value",
    ["", "a", "a=1,", 'a="x', 'a="x"y', ["a=1", "a=2"], "a=1,a=1", {"a": None}, {"a": True}, {1: "x"}, 5, [], {}, [5]],
)
def test_what_is_no_condition_is_refused(value):
    with pytest.raises(ParameterError, match=r"^LS101: where") as caught:
        TensorFlowConfig(where=value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"where": "a=1", "start_string": "x"}, "start_string and where exclude each other"),
        ({"where": "a=1", "impute": "x.csv"}, "where and impute exclude each other"),
        ({"balance": "a", "where_file": "x.csv"}, "where_file and balance exclude each other"),
        ({"where": "a=1", "balance": "a"}, "where gives column 'a' one value"),
        ({"impute": "x.csv", "gen_chars": 5}, "gen_chars"),
        ({"condition_on": "a", "field_delimiter": ",", "gen_chars": 5}, "gen_chars"),
        ({"condition_on": "a"}, "condition_on needs a field_delimiter"),
        ({"condition_on": [], "field_delimiter": ","}, "condition_on names no column"),
        ({"condition_on": "a,a", "field_delimiter": ","}, "the same name is given twice"),
        ({"condition_on": "c", "columns": "a,b", "field_delimiter": ","}, "'c', which is not one of columns"),
    ],
)
def test_settings_that_contradict_are_refused(settings, message):
    with pytest.raises(ParameterError, match=r"^LS101: ") as caught:
        TensorFlowConfig(**settings)
    assert message in str(caught.value)


def test_a_condition_may_be_balanced_over_another_column():
    config = TensorFlowConfig(where="a=1", balance="b", condition_on="a, b", field_delimiter=",")
    assert config.has_conditions
    assert config.condition_on == ["a", "b"]
    assert not TensorFlowConfig(strict_conditions=True).has_conditions
