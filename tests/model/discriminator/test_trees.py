"""Tests of sums of trees: against scikit-learn, row by row, and of arrays that are none."""

import numpy as np
import pytest

from linesmith.model.discriminator.native_trees import score_trees
from linesmith.model.discriminator.trees import UNIT, TreeSum, trees_of_classifier


@pytest.fixture(scope="module")
def fitted():
    from sklearn.ensemble import HistGradientBoostingClassifier

    random = np.random.default_rng(3)
    matrix = random.normal(size=(3000, 5))
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    labels = (np.nan_to_num(matrix[:, 0]) * np.nan_to_num(matrix[:, 1], nan=1.0) + random.normal(0, 0.3, 3000)) > 0
    classifier = HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=0).fit(matrix, labels)
    return classifier, matrix


def test_scores_are_those_of_the_classifier(fitted):
    classifier, matrix = fitted
    trees = trees_of_classifier(classifier)
    hostile = np.array([[np.nan] * 5, [1e300, -1e300, 0, np.nan, 5]])
    for rows in (matrix, hostile):
        assert np.abs(trees.scores(rows) - classifier.decision_function(rows)).max() < 31 * UNIT


def test_the_score_of_a_row_does_not_depend_on_the_others(fitted):
    classifier, matrix = fitted
    trees = trees_of_classifier(classifier)
    together = trees.scores(matrix)
    assert [trees.scores(matrix[n : n + 1])[0] for n in range(0, 3000, 97)] == together[::97].tolist()
    assert trees.scores(matrix[:0]).shape == (0,)


def test_compiled_code_and_numpy_give_the_same(fitted):
    classifier, matrix = fitted
    trees = trees_of_classifier(classifier)
    hostile = np.array([[np.nan, np.inf, -np.inf, 0.0, -0.0], [1e308, 5e-324, 1, 2, 3]])
    rows = np.ascontiguousarray(np.concatenate([matrix, hostile]))
    compiled = score_trees(rows, trees.arrays())
    assert compiled is not None
    np.testing.assert_array_equal(compiled, trees.walk(rows))


def test_a_walk_by_hand():
    arrays = {
        "feature": [1, 0, 0, 0, 0],
        "threshold": [2.0, 0, -1.0, 0, 0],
        "missing_left": [False, False, True, False, False],
        "left": [1, 1, 3, 3, 4],
        "right": [2, 1, 4, 3, 4],
        "value": [0, 1, 0, 2, 4],
        "roots": [0],
    }
    types = {name: getattr(_one_leaf(), name).dtype for name in arrays}
    trees = TreeSum.from_arrays({name: np.array(value, types[name]) for name, value in arrays.items()}, 2)
    rows = np.array([[9, 2.0], [-1.0, 2.1], [-0.9, 3], [np.nan, np.nan]])
    assert (trees.scores(rows) / UNIT).tolist() == [1, 2, 4, 2]


def _one_leaf():
    zeros = {
        "feature": np.int32,
        "threshold": np.float64,
        "missing_left": np.bool_,
        "left": np.int32,
        "right": np.int32,
    }
    return TreeSum(
        **{name: np.zeros(1, kind) for name, kind in zeros.items()},
        value=np.ones(1, np.int64),
        roots=np.zeros(1, np.int32),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("left", 1), ("right", -1), ("feature", 2), ("feature", -1), ("roots", 1), ("roots", -1)],
)
def test_arrays_that_lead_elsewhere_are_no_trees(name, value):
    arrays = _one_leaf().arrays()
    assert TreeSum.from_arrays(arrays, 2) is not None
    changed = arrays[name].copy()
    changed[0] = value
    assert TreeSum.from_arrays({**arrays, name: changed}, 2) is None


def test_a_circle_is_no_tree():
    arrays = _one_leaf().arrays()
    two = {name: np.repeat(array, 2) if name != "roots" else array for name, array in arrays.items()}
    two["left"], two["right"] = np.array([1, 0], np.int32), np.array([1, 0], np.int32)
    assert TreeSum.from_arrays(two, 1) is None
    assert TreeSum.from_arrays({**arrays, "value": np.ones(2, np.int64)}, 1) is None  # of another length


def test_an_unknown_classifier_gives_no_trees():
    assert trees_of_classifier(object()) is None
