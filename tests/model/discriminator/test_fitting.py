"""Tests of fitting and storing discriminators: what they find, what they refuse, and damaged files."""

import sys

import numpy as np
import pytest

from linesmith.core.artifacts.checkpoints import save_arrays
from linesmith.core.artifacts.files import sha256_file
from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR, DISCRIMINATOR_FILE, ModelInfo
from linesmith.core.errors import DataError
from linesmith.model.discriminator.discriminator import load_discriminator, save_discriminator
from linesmith.model.discriminator.fitting import NoDiscriminatorError, fit_discriminator
from linesmith.records.fields import FieldFormat

CSV = FieldFormat(",", quoted=True)


def related(count, seed):
    """Records of two numbers that are near each other."""
    random = np.random.default_rng(seed)
    first = random.normal(50, 10, count)
    return [f"{a:.3f},{a + d:.3f}" for a, d in zip(first, random.normal(0, 0.5, count), strict=True)]


def unrelated(count, seed):
    random = np.random.default_rng(seed)
    return [f"{a:.3f},{b:.3f}" for a, b in zip(random.normal(50, 10, count), random.normal(50, 10, count), strict=True)]


@pytest.fixture(scope="module")
def found():
    return fit_discriminator(related(3000, 1), unrelated(3000, 2), CSV, seed=5)


def info(digest):
    plain = {"vocab_size": 9, "embedding_dim": 2, "rnn_units": 2, "rnn_layers": 1, "length_cap_tokens": 5}
    rest = {
        "field_count": 2,
        "columns": None,
        "tokenizer_digest": "0",
        "default_checkpoint": "best",
        "weights_digest": "0",
    }
    return ModelInfo(**plain, **rest, best_epoch=0, last_epoch=0, stopped="epochs", discriminator=digest)


def test_what_it_keeps_of_unrelated_numbers_is_related(found):
    texts = unrelated(20_000, 3)
    ratios = found.log_ratios(texts, CSV)
    probability = np.exp(np.minimum(ratios - found.log_bound(50), 0))
    kept = np.random.default_rng(4).random(len(texts)) < probability
    assert abs(kept.mean() - found.kept_share(50)) < 0.01
    numbers = np.array([text.split(",") for text in np.array(texts)[kept]], float)
    assert np.median(np.abs(numbers[:, 1] - numbers[:, 0])) < 1.0  # 0.34 of the real ones, 9.5 of the model's


def test_gains_are_those_of_the_density_of_what_is_kept(found):
    gains = found.log_gains(unrelated(20_000, 6), CSV, 10)
    assert abs(np.exp(gains).mean() - 1) < 0.25  # a density; of 600 records it is known how many are kept
    assert found.log_gains(related(2_000, 7), CSV, 10).mean() > 1.0  # records that neither side learned


def test_no_more_drafts_are_taken_than_is_asked_for(found):
    for drafts in (1.5, 3, 10, 40):
        assert found.kept_share(drafts) >= 1 / drafts - 1e-4
    assert found.log_bound(40) > found.log_bound(3)
    assert found.kept_share(1e9) > 0


def test_the_same_records_give_the_same_discriminator(found):
    again = fit_discriminator(related(3000, 1), unrelated(3000, 2), CSV, seed=5)
    assert again.features == found.features
    for name, array in found.trees.arrays().items():
        np.testing.assert_array_equal(again.trees.arrays()[name], array)


@pytest.mark.parametrize(
    ("real", "synthetic", "why"),
    [
        (related(900, 1), unrelated(3000, 2), "900 real records are too few"),
        (related(3000, 1), ["x"] * 3000, "0 records of the model are too few"),
        (["a", "a,b", "a,b,c"] * 1000, unrelated(3000, 2), "another number of fields"),
        (related(3000, 1), related(3000, 2), "could not be told"),  # a model that lacks nothing
    ],
)
def test_without_enough_to_learn_there_is_none(real, synthetic, why):
    with pytest.raises(NoDiscriminatorError, match=why):
        fit_discriminator(real, synthetic, CSV, seed=5)


def test_without_scikit_learn_there_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(NoDiscriminatorError, match="scikit-learn is not installed"):
        fit_discriminator(related(3000, 1), unrelated(3000, 2), CSV, seed=5)


def test_a_stored_one_is_the_same(found, tmp_path):
    (tmp_path / "model" / CHECKPOINTS_DIR).mkdir(parents=True)
    digest = save_discriminator(tmp_path / "model" / CHECKPOINTS_DIR / DISCRIMINATOR_FILE, found)
    loaded = load_discriminator(tmp_path, info(digest))
    texts = [*unrelated(500, 9), "1,2,3", ""]
    np.testing.assert_array_equal(found.log_ratios(texts, CSV), loaded.log_ratios(texts, CSV))
    assert loaded.log_ratios(texts, CSV)[-2:].tolist() == [0, 0]  # of another number of fields
    assert loaded.log_bound(7) == found.log_bound(7)
    assert load_discriminator(tmp_path, info(None)) is None


def _other(arrays, state, name, value):
    return ({**arrays, name: value}, state) if name in arrays else (arrays, {**state, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("roots", np.array([10**6], np.int32)),
        ("left", np.zeros(3, np.float32)),
        ("quantiles", np.full(2001, np.nan)),
        ("quantiles", np.zeros(5000)),
        ("quantiles", np.full(2001, 1e300)),
        ("fields", [{"kind": "other", "count": 0, "values": []}]),
        ("differences", [[0, 99]]),
        ("field_count", "two"),
    ],
)
def test_a_damaged_one_is_refused(found, tmp_path, name, value):
    path = tmp_path / "model" / CHECKPOINTS_DIR / DISCRIMINATOR_FILE
    path.parent.mkdir(parents=True)
    save_discriminator(tmp_path / "model" / CHECKPOINTS_DIR / DISCRIMINATOR_FILE, found)
    from linesmith.core.artifacts.stored_arrays import load_arrays

    arrays, state = _other(*load_arrays(path), name, value)
    save_arrays(path, arrays, state)
    with pytest.raises(DataError, match="LS214"):
        load_discriminator(tmp_path, info(sha256_file(path)))


def test_another_file_than_the_described_one_is_refused(found, tmp_path):
    (tmp_path / "model" / CHECKPOINTS_DIR).mkdir(parents=True)
    save_discriminator(tmp_path / "model" / CHECKPOINTS_DIR / DISCRIMINATOR_FILE, found)
    with pytest.raises(DataError, match="LS214"):
        load_discriminator(tmp_path, info("0" * 64))
