"""The noise: its scale, that nothing repeats, that only the key decides it, and that the key stays secret."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from linesmith.model.privacy.noise import KeyedGaussianSumQuery, noise_seeds, noised_sum
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.training.dropout import dropout_mask

pytestmark = pytest.mark.integration

SHAPES = [(200, 300), (300, 400), (500,)]
CLIP, MULTIPLIER = 0.7, 1.3
# Of 180,500 normals the sample deviation has a relative standard error of 0.17 %: a correct scale is refused with
# probability 2e-9, a wrong one by a third or a half is never accepted.
TOLERANCE = 0.01


def scale_is_right(draw: np.ndarray, claimed: float) -> bool:
    """Return whether numbers could be Gaussian noise of the claimed standard deviation."""
    flat = np.asarray(draw, np.float64).ravel()
    centred = abs(flat.mean()) < 6 * claimed / np.sqrt(flat.size)
    tails = abs(np.mean(np.abs(flat) > 2 * claimed) - 0.0455) < 0.003
    return bool(centred and tails and abs(flat.std() / claimed - 1) < TOLERANCE)


def _noise(key="17", step=0, clip=CLIP, multiplier=MULTIPLIER):
    sums = [tf.zeros(shape) for shape in SHAPES]
    seeds = tf.constant(noise_seeds(SecretKey.unsafe(key), step, len(sums)), tf.int64)
    return [np.asarray(part) for part in noised_sum(sums, clip=clip, noise_multiplier=multiplier, seeds=seeds)]


def _flat(parts) -> np.ndarray:
    return np.concatenate([np.asarray(part).ravel() for part in parts])


def test_the_scale_is_the_multiplier_times_the_clipping_norm():
    assert scale_is_right(_flat(_noise()), CLIP * MULTIPLIER)


@pytest.mark.parametrize("factor", [2 / 3, 3 / 2, 0.0, 0.98])
def test_another_scale_is_refused(factor):
    assert not scale_is_right(_flat(_noise(multiplier=MULTIPLIER * factor)), CLIP * MULTIPLIER)


def test_noise_differs_by_step_variable_and_key_and_by_nothing_else():
    first = _noise()
    tf.random.set_seed(0)
    assert np.array_equal(_flat(first), _flat(_noise()))
    assert not np.allclose(first[0].ravel()[:500], first[2])
    for other in (_noise(step=1), _noise(key="18")):
        correlation = np.corrcoef(_flat(first), _flat(other))[0, 1]
        assert abs(correlation) < 6 / np.sqrt(_flat(first).size)


def test_nothing_sets_a_global_seed():
    """Draws from a seed of the whole process would be known to everybody who knows the settings of the run."""
    root = Path(__file__).resolve().parents[3]
    rooms = ("core", "records", "model", "evaluation", "transforms", "runners", "pipelines", "linesmith")
    sources = [path for room in rooms for path in (root / room).rglob("*.py")]
    setters = re.compile(r"\b(set_seed|set_random_seed|random\.seed)\(")
    assert len(sources) > 80
    assert [str(path) for path in sources if setters.search(path.read_text("utf-8"))] == []
    assert setters.search("tf.random.set_seed(0)") and setters.search("np.random.seed(0)")  # it can fail


def test_noise_is_added_to_the_sum_and_charged_as_its_event():
    sums = [tf.random.stateless_normal(shape, [1, 2]) for shape in SHAPES]
    seeds = tf.constant(noise_seeds(SecretKey.unsafe("17"), 0, len(sums)), tf.int64)
    found = noised_sum(sums, clip=CLIP, noise_multiplier=MULTIPLIER, seeds=seeds)
    np.testing.assert_allclose(_flat([f - s for f, s in zip(found, sums, strict=True)]), _flat(_noise()), atol=1e-6)
    query = KeyedGaussianSumQuery(CLIP, CLIP * MULTIPLIER, seeds)
    _, _, event = query.get_noised_result(sums, query.initial_global_state())
    assert float(event.noise_multiplier) == pytest.approx(MULTIPLIER)


def test_a_key_hides_itself_and_names_its_uses():
    key = SecretKey.unsafe("00112233445566778899aabbccddeeff")
    assert "1122" not in repr(key) + str(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    seeds = {key.seed(use, *where) for use in ("sample", "noise", "dropout") for where in ((0,), (1,), (0, 0), (0, 1))}
    assert len(seeds) == 12
    assert key.seed("noise", 3) == SecretKey.unsafe("112233445566778899AABBCCDDEEFF").seed("noise", 3)
    assert SecretKey.fresh().seed("noise", 0) != SecretKey.fresh().seed("noise", 0)
    with pytest.raises(ValueError, match="16 bytes"):
        SecretKey(b"short")


@pytest.mark.parametrize("units", [256, 7])
def test_dropout_masks_keep_the_mean(units):
    mask = dropout_mask([50, 60, units], 0.2, tf.constant([3, 4], tf.int64)).numpy()
    assert mask.shape == (50, 60, units)
    assert set(np.unique(mask)) == {0.0, np.float32(2**16 / (2**16 - 13107))}
    assert abs(mask.mean() - 1) < 6 * 0.5 / np.sqrt(mask.size)
    assert dropout_mask([1, 1, 4], 0.0, tf.constant([3, 4], tf.int64)) is None
