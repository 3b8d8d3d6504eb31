"""Tests of the numbers that describe records."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linesmith.model.discriminator.features import FieldFeatures, RecordFeatures, choose_features
from linesmith.records.fields import FieldFormat

CSV = FieldFormat(",", quoted=True)


def test_a_field_is_described_by_what_most_of_its_texts_are():
    rows = [f"{n * 7}.5,2024-{n % 12 + 1:02}-03T{n:04}:11,{'abc'[n % 3]},a word{n}" for n in range(999)]
    chosen = choose_features([*rows, ",,,"], CSV)
    assert [field.kind for field in chosen.fields] == ["number", "runs", "category", "text"]
    assert chosen.fields[1].count == 5
    assert set(chosen.fields[2].values) == {"a", "b", "c"}  # and not the empty one, which is rare
    assert chosen.field_count == 4


def test_values_lengths_runs_codes_and_texts():
    kinds = ("number", "runs", "category", "text")
    fields = (FieldFeatures("number"), FieldFeatures("runs", 2), FieldFeatures("category", values=("x", "y")))
    features = RecordFeatures((*fields, FieldFeatures("text")), 4)
    assert [field.kind for field in features.fields] == list(kinds)
    matrix, described = features.matrix(["-1.50,12:34,y,Ab 1", 'no,1:2:3,"?",', "1,2"], CSV)
    assert described.tolist() == [True, True, False]
    first = [-1.5, 5, 12, 34, 1, 4, 1 / 4, 1 / 4, 1, (ord("A") << 21) + ord("b")]
    assert matrix[0].tolist() == first
    np.testing.assert_array_equal(matrix[1], [np.nan, 2, np.nan, np.nan, 2, 0, 0, 0, 0, 0])
    assert np.isnan(matrix[2]).all()


def test_differences_are_those_of_columns_that_go_together():
    random = np.random.default_rng(1)
    start, other = random.normal(50, 5, 2000), random.normal(0, 1, 2000)
    rows = [f"{a:.4f},{b:.3f},{a + d:.4f},7" for a, b, d in zip(start, other, random.normal(0, 0.1, 2000), strict=True)]
    chosen = choose_features(rows, CSV)
    assert chosen.differences == ((0, 4),)  # and neither the constant column nor the other one
    matrix, _ = chosen.matrix(["50.5,0,51.25,7"], CSV)
    assert matrix[0, -1] == 0.75


@pytest.mark.parametrize("rows", [[], ["a", "a,b", "a,b,c"], ['"' + "x" * 200_000 + '",1']])
def test_records_without_a_usual_number_of_fields_are_not_described(rows):
    assert choose_features(rows, CSV) is None


@pytest.mark.parametrize(
    "rows", [[","] * 50, ["nan,inf"] * 50, ["1_0,1e999"] * 50, ["1e308,-1e308", "-1e308,1e308"] * 25, ["٣,²"] * 50]
)
def test_hostile_columns_are_described(rows):
    chosen = choose_features(rows, CSV)
    matrix, described = chosen.matrix(rows, CSV)
    assert described.all()
    assert not np.isinf(matrix).any()


@given(st.lists(st.text('0a1.,-: "é\r', max_size=12), min_size=1, max_size=30))
def test_each_record_is_described_as_if_it_were_alone(rows):
    chosen = choose_features(["1,ab", "2,ab"], CSV)
    together, described = chosen.matrix(rows, CSV)
    alone = [chosen.matrix([row], CSV) for row in rows]
    np.testing.assert_array_equal(together, np.concatenate([matrix for matrix, _ in alone]))
    assert described.tolist() == [bool(one[0]) for _, one in alone]
    assert not np.isinf(together).any()


@pytest.mark.parametrize("differences", [((0, 2),), ((-1, 0),), ((0, 9),)])
def test_differences_of_columns_that_are_not_there_are_found(differences):
    assert not RecordFeatures((FieldFeatures("number"),), 1, differences).is_sound()
    assert RecordFeatures((FieldFeatures("number"),), 1, ((0, 1),)).is_sound()
