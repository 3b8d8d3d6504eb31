"""Our Gaussian sum query is that of tensorflow-privacy, wherever both can be installed."""

from __future__ import annotations

import importlib.util
import runpy
import sys

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.privacy import gaussian_query
from linesmith.model.privacy.gaussian_sum_query import GaussianSumQuery
from linesmith.model.privacy.noise import noise_seeds
from linesmith.model.privacy.secret_key import SecretKey

pytestmark = pytest.mark.integration


@pytest.fixture
def theirs() -> type:
    sys.skip_tf_privacy_import = True
    return pytest.importorskip("tensorflow_privacy.privacy.dp_query.gaussian_query").GaussianSumQuery


RECORDS = [[tf.constant([3.0, 4.0]), tf.constant([[12.0]])], [tf.constant([0.1, 0.2]), tf.constant([[0.0]])]]


def noiseless_run(query: object) -> tuple[list[np.ndarray], float, float, float]:
    """Return the sum of the clipped records, and the parameters, after every method was called once."""
    state = query.initial_global_state()
    params = query.derive_sample_params(state)
    sample = query.initial_sample_state(RECORDS[0])
    clipped, norm = query.preprocess_record_impl(params, RECORDS[0])
    sample = query.accumulate_preprocessed_record(sample, clipped)
    sample = query.accumulate_record(params, sample, RECORDS[1])
    sample = query.merge_sample_states(sample, query.initial_sample_state(RECORDS[0]))
    return [part.numpy() for part in sample], float(norm), float(state.l2_norm_clip), float(state.stddev)


def test_sums_norms_and_parameters_are_equal(theirs):
    ours, expected = noiseless_run(GaussianSumQuery(1.0, 1.1)), noiseless_run(theirs(1.0, 1.1))
    assert ours[1:] == expected[1:] == (13.0, 1.0, np.float32(1.1))
    for part, other in zip(ours[0], expected[0], strict=True):
        np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize(("clip", "stddev"), [(1.0, 1.1), (0.5, 0.0), (2.5, 0.3)])
def test_the_event_that_is_charged_is_equal(theirs, clip, stddev):
    def event(query: object) -> object:
        return query.get_noised_result([], query.initial_global_state())[2]

    ours, expected = event(GaussianSumQuery(clip, stddev)), event(theirs(clip, stddev))
    assert type(ours) is type(expected) and float(ours.noise_multiplier) == float(expected.noise_multiplier)


def test_every_public_method_is_there(theirs):
    methods = {name for name in dir(theirs) if not name.startswith("_")}
    assert methods - set(dir(GaussianSumQuery)) == set()


def test_the_noised_sum_is_the_same_on_both(theirs, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    on_ours = runpy.run_path(gaussian_query.__file__)
    seeds = noise_seeds(SecretKey.unsafe("17"), 0, 2)
    arguments = {"clip": 1.0, "noise_multiplier": 1.1, "seeds": seeds}
    assert issubclass(on_ours["KeyedGaussianSumQuery"], GaussianSumQuery)
    assert issubclass(gaussian_query.KeyedGaussianSumQuery, theirs)
    found, expected = on_ours["noised_sum"](RECORDS[0], **arguments), gaussian_query.noised_sum(RECORDS[0], **arguments)
    for part, other, plain in zip(found, expected, RECORDS[0], strict=True):
        np.testing.assert_array_equal(part, other)
        assert not np.array_equal(part, plain)
