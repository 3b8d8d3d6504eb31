"""`Synthesizer` by scikit-learn's own checks of conventions; a training is replaced by what reads the data."""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from linesmith import DataError, Model, Synthesizer
from linesmith.api.frames import build_table, columns_like, row_texts
from linesmith.api.inputs import fit_input

_NOT_APPLICABLE = {
    "check_do_not_raise_errors_in_init_or_set_params": "settings are any keywords, so a misspelled name is refused at once",
}


class QuickModel:
    """What a model does with data, with texts of the training data as samples and their lengths as scores."""

    def __init__(self, data: Any, settings: dict[str, Any]) -> None:
        with fit_input(data, {"epochs": settings["epochs"]}) as found:
            self._table = found.table
            self.columns = None if found.table is None else [column.name for column in found.table.columns]
            self._texts = [] if found.table is None else self._rows(data)

    def _rows(self, data: Any) -> list[str]:
        return list(row_texts(self._table, columns_like(self._table, data)))

    def sample(self, n: int) -> Any:
        return build_table(self._table, self._texts[:n])

    def score(self, data: Any) -> np.ndarray:
        return np.array([-float(len(text)) for text in self._rows(data)])


@pytest.fixture(autouse=True)
def quick_training(monkeypatch):
    monkeypatch.setattr("linesmith.api.synthesizer.fit", lambda data, **settings: QuickModel(data, settings))


@pytest.mark.filterwarnings("ignore:Estimator Synthesizer does not inherit")
@parametrize_with_checks([Synthesizer(epochs=1)], expected_failed_checks=lambda estimator: _NOT_APPLICABLE)
def test_conventions_of_scikit_learn(estimator, check):
    check(estimator)


def test_an_array_comes_back_as_an_array():
    data = np.array([[1.5, 2], [3, np.nan], [5, 6]], dtype="float32")
    synthesizer = Synthesizer(epochs=1).fit(data)
    found = synthesizer.sample(3)
    assert isinstance(found, np.ndarray) and found.dtype == data.dtype
    np.testing.assert_array_equal(found, data)
    assert synthesizer.n_features_in_ == 2 and not hasattr(synthesizer, "feature_names_in_")
    with pytest.raises(DataError, match=r"LS232.*X has 1 features, but Synthesizer is expecting 2"):
        synthesizer.score(data[:, :1])


def test_names_are_those_of_the_last_fit():
    synthesizer = Synthesizer(epochs=1).fit(pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert list(synthesizer.feature_names_in_) == ["a", "b"]
    synthesizer.fit(np.ones((2, 3)))
    assert not hasattr(synthesizer, "feature_names_in_") and synthesizer.n_features_in_ == 3
    synthesizer.fit(np.array(["some", "lines"]))
    assert not hasattr(synthesizer, "n_features_in_")


def test_what_needs_a_model_says_so_as_scikit_learn_does():
    for call in (lambda s: s.sample(1), lambda s: s.score([]), lambda s: s.evaluate(), lambda s: s.stream()):
        with pytest.raises(NotFittedError, match="not fitted"):
            call(Synthesizer())
        with pytest.raises(DataError, match="LS201"):
            call(Synthesizer())


def test_without_scikit_learn_the_error_is_ours_alone(monkeypatch):
    monkeypatch.delitem(sys.modules, "sklearn.exceptions")
    with pytest.raises(DataError, match="Call fit first") as caught:
        Synthesizer().sample(1)
    assert not isinstance(caught.value, NotFittedError)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (np.zeros((0, 2)), "0 sample"),
        (np.zeros((2, 0)), "0 feature"),
        (np.zeros(3), "Reshape your data"),
        (np.zeros((2, 2, 2)), "3 dimensions"),
        (np.array([[1j]]), "Complex data"),
    ],
)
def test_arrays_that_are_no_table_are_refused(data, match):
    with pytest.raises(DataError, match=rf"LS232: X: .*{match}"):
        Synthesizer(epochs=1).fit(data)


def test_a_model_is_not_pickled():
    with pytest.raises(TypeError, match=r"save.*load"):
        copy.copy(Model.__new__(Model))
