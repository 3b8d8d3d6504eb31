"""`Synthesizer` by scikit-learn's conventions. `check_estimator` feeds arrays of numbers, whose columns have no names."""

from __future__ import annotations

import pickle

import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

import linesmith
from linesmith import DataError, ParameterError, Synthesizer

pytestmark = pytest.mark.integration


def test_parameters_are_kept_as_they_were_given():
    names = ["kind"]
    synthesizer = Synthesizer(epochs=3, condition_on=names, minutes=1.5)
    assert synthesizer.get_params()["condition_on"] is names
    assert synthesizer.get_params() == {
        "minutes": 1.5,
        "output": None,
        "progress": None,
        "epochs": 3,
        "condition_on": names,
    }
    assert synthesizer.set_params(epochs=4) is synthesizer and synthesizer.get_params()["epochs"] == 4
    assert repr(synthesizer) == "Synthesizer(condition_on=['kind'], epochs=4, minutes=1.5)"
    assert repr(Synthesizer()) == "Synthesizer()"


def test_a_clone_has_the_parameters_and_no_model():
    synthesizer = Synthesizer(epochs=3, progress=False)
    copy = clone(synthesizer)
    assert copy is not synthesizer and copy.get_params() == synthesizer.get_params()
    assert not hasattr(copy, "model_")
    assert pickle.loads(pickle.dumps(synthesizer)).get_params() == synthesizer.get_params()


def test_values_are_checked_by_fit_and_names_at_once():
    with pytest.raises(ParameterError, match=r"'epoch'.*'epochs'"):
        Synthesizer(epoch=3)
    with pytest.raises(ValueError, match="'epochs'"):
        Synthesizer().set_params(epoch=3)
    with pytest.raises(ParameterError, match=r"LS101.*epochs"):
        Synthesizer(epochs=-3).fit(["a"])


def test_nothing_is_sampled_before_fit():
    with pytest.raises(DataError, match="not fitted"):
        Synthesizer().sample(1)
    with pytest.raises(Exception, match="not fitted"):
        check_is_fitted(Synthesizer())


@pytest.mark.slow
def test_a_fitted_one_samples_and_scores():
    data = pd.DataFrame({"n": [number % 10 for number in range(100)], "word": ["red", "blue"] * 50})
    synthesizer = Synthesizer(epochs=6, rnn_units=16, embedding_dim=8, batch_size=8, learning_rate=0.02, progress=False)
    assert synthesizer.fit(data) is synthesizer
    check_is_fitted(synthesizer)
    assert list(synthesizer.feature_names_in_) == ["n", "word"] and synthesizer.n_features_in_ == 2
    assert len(synthesizer.sample(5)) == 5 and next(synthesizer.stream()).keys() == {"n", "word"}
    assert synthesizer.score(data) == pytest.approx(synthesizer.score_samples(data).mean())
    assert isinstance(synthesizer.model_, linesmith.Model)
