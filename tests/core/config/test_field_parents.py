"""Tests of `--parents`: how it is typed, and what is refused."""

from __future__ import annotations

import itertools

import pytest

from linesmith.core.config import preflight
from linesmith.core.config.field_parents import check_circle, parents_text, resolve_parents
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError

COLUMNS = ["id", "town", "country", "lat"]


@pytest.mark.parametrize(
    ("value", "parents"),
    [
        ("lat=town", {"lat": ["town"]}),
        ("lat=town+country,town=", {"lat": ["town", "country"], "town": []}),
        (" lat = town + country ", {"lat": ["town", "country"]}),
        (["lat=town", "town=id,country=id"], {"lat": ["town"], "town": ["id"], "country": ["id"]}),
        ('"a,b"=c,"d=e,f"', {"a,b": ["c"], "d": ["e,f"]}),
        ({"lat": ["a+b"], "town": "id+x", "id": []}, {"lat": ["a+b"], "town": ["id", "x"], "id": []}),
    ],
)
def test_parents_are_typed_like_conditions(value, parents):
    config = TensorFlowConfig(field_delimiter=",", parents=value)
    assert config.column_parents == parents
    assert TensorFlowConfig(**config.as_dict()).column_parents == parents


@pytest.mark.parametrize(
    "value", ["", "lat", "lat=a,", 'lat="a', "lat=a+a", "lat=a,lat=b", [], {}, {"a": 1}, {1: ["a"]}, {"a": [1]}, 5]
)
def test_what_names_no_parents_is_refused(value):
    with pytest.raises(ParameterError, match=r"^LS101: parents") as caught:
        TensorFlowConfig(field_delimiter=",", parents=value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{}, {"field_delimiter": ",", "field_inputs": "off"}])
def test_parents_are_about_fields(settings):
    with pytest.raises(ParameterError, match="parents needs a field_delimiter"):
        TensorFlowConfig(parents="a=b", **settings)


def test_parents_are_numbered_in_the_order_in_which_fields_are_written():
    assert resolve_parents({"lat": ["town", "id"], "town": []}, COLUMNS, [], False) == {3: [0, 1], 1: []}
    # Written: country, lat, id, town.
    assert resolve_parents({"town": ["lat", "id"]}, COLUMNS, ["country", "lat"], False) == {3: [1, 2]}
    assert resolve_parents({}, None, [], False) == {}


@pytest.mark.parametrize(
    ("parents", "columns", "first", "found", "remedy"),
    [
        ({"lat": ["x"]}, COLUMNS, [], "'x' is not a column", "There are: id, town, country, lat."),
        ({"x": ["lat"]}, COLUMNS, [], "'x' is not a column", "There are"),
        ({"b": ["a"]}, ["a", "a", "b"], [], "'a' is the name of 2 columns", "There are"),
        ({"town": ["lat"]}, COLUMNS, [], "'lat' is written after 'town'", "Name 'lat' in --condition-on"),
        ({"country": ["id"]}, COLUMNS, ["country"], "'id' is written after 'country'", "Name 'id' before 'country'"),
        ({"lat": ["town"]}, None, [], "have no names", "or --header"),
        ({"c300": ["c1"]}, [f"c{n}" for n in range(400)], [], "column 301", "--condition-on"),
        ({"c3": ["c300"]}, [f"c{n}" for n in range(400)], [], "column 301", "--condition-on"),
    ],
)
def test_parents_that_cannot_be_are_refused_with_a_remedy(parents, columns, first, found, remedy):
    with pytest.raises(ParameterError) as caught:
        resolve_parents(parents, columns, first, False)
    message = str(caught.value)
    assert message.startswith(f"LS135: --parents '{parents_text(parents)}'") and "\n" not in message
    assert found in message and remedy in message


def test_private_names_do_not_come_from_a_header():
    with pytest.raises(ParameterError, match=r"Give --columns or a --schema-file that names them\."):
        resolve_parents({"a": ["b"]}, None, [], True)


@pytest.mark.parametrize("parents", [{"a": ["a"]}, {"a": ["b"], "b": ["a"]}, {"a": ["x", "b"], "b": ["c"], "c": ["a"]}])
def test_circles_are_refused(parents):
    with pytest.raises(ParameterError, match=r"^LS135: .*is a circle: 'a → .*a'|is a circle: .* → .*"):
        check_circle(parents)
    with pytest.raises(ParameterError, match="circle"):
        preflight.check(TensorFlowConfig(field_delimiter=",", parents=parents), "train")


def test_chains_and_diamonds_are_no_circles():
    columns = [f"c{n}" for n in range(5_000)]
    check_circle({name: [before] for before, name in itertools.pairwise(columns)})
    check_circle({f"c{n}": [f"c{n - 1}", f"c{n - 2}"] for n in range(2, 200)})


def test_what_columns_tell_is_checked_before_anything_is_read():
    config = TensorFlowConfig(field_delimiter=",", parents="a=b", columns=["a", "b"])
    with pytest.raises(ParameterError, match="written after"):
        preflight.check(config, "train")
