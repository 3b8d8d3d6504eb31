"""The noise: its scale and tails, that nothing repeats, that only the key decides it, and that the key stays secret."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import norm

from linesmith.model.privacy import noise
from linesmith.model.privacy.gaussian_query import KeyedGaussianSumQuery, noised_sum
from linesmith.model.privacy.noise import add_noise, noise_seeds, standard_normal
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.model.training.dropout import dropout_mask
from tests.helpers.noise_tails import bounds

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
    seeds = noise_seeds(SecretKey.unsafe(key), step, len(sums))
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


# -- tails


def test_a_sum_gets_noise_beyond_the_end_of_float32_normals():
    """These draws are known to hold one of 6.139 standard deviations; TensorFlow's float32 normals end at 5.678."""
    (noised,) = noised_sum([tf.zeros([2**18])], clip=0.5, noise_multiplier=2.0, seeds=[(20, 1483)])
    assert float(tf.reduce_min(noised)) == pytest.approx(-6.1391, abs=1e-4)


def _generator_of(*words: int) -> np.random.Generator:
    """Return a generator whose next 64-bit words are these (four at most)."""
    source = np.random.Philox(0)
    source.state = {**source.state, "buffer": np.array([*words, 0, 0, 0, 0][:4], np.uint64), "buffer_pos": 0}
    return np.random.Generator(source)


# The ziggurat's lowest layer, outside its rectangle, leads to the tail, where x = r - ln(1 - u) / r and r = 3.654. Two uniform
# numbers u follow; the second accepts nearly every x where it is close to 1.
INTO_TAIL, ALMOST_ONE = (2**52 - 1 - 2**8) << 9, 2**64 - 1
MIRRORED = (2**52 - 1) << 9


def _uniform_word(x: float) -> int:
    """Return the word whose uniform number sends the tail to x."""
    r = 3.6541528853610088
    return int(-np.expm1(-(x - r) * r) * 2.0**53) << 11


@pytest.mark.parametrize("extreme", [6.0, 9.0, 12.0])
def test_every_draw_can_reach_nine_standard_deviations(monkeypatch, extreme):
    """Random words that lie at the extreme go through the functions that add noise to sums, counts, losses and characters."""
    for into_tail, sign in ((INTO_TAIL, 1), (MIRRORED, -1)):
        monkeypatch.setattr(
            noise, "random_generator", lambda _, word=into_tail: _generator_of(word, _uniform_word(extreme), ALMOST_ONE)
        )
        assert float(add_noise(0.0, 2.0, (0, 0))) == pytest.approx(sign * 2 * extreme, abs=2e-3)
        (noised,) = noised_sum([tf.zeros([])], clip=0.5, noise_multiplier=4.0, seeds=[(0, 0)])
        assert float(noised) == pytest.approx(sign * 2 * extreme, abs=2e-3)


def test_twenty_million_draws_have_the_tails_of_a_normal():
    """The test of 10^9 draws, `test_noise_tails`, goes beyond 5.2."""
    thresholds, chunks, size = (3.0, 4.0, 4.5, 5.0, 5.2), 80, 2**18
    counts = np.zeros(len(thresholds), np.int64)
    for chunk in range(chunks):
        draws = np.abs(standard_normal((size,), (20, chunk)))
        counts += [np.count_nonzero(draws > threshold) for threshold in thresholds]
    for threshold, count in zip(thresholds, counts, strict=True):
        least, most = bounds(chunks * size, 2 * norm.sf(threshold))
        assert least <= count <= most


def test_what_is_released_lies_on_a_grid_that_no_value_moves():
    """Without the rounding, the last bits of a noised number tell which value was below the noise."""
    values = np.array([0.0, 1 / 3, -7.1e-9, 12345.678])
    spacing = 0.3 / 2**20
    noised = add_noise(values, 0.3, (1, 2))
    np.testing.assert_allclose(noised / spacing, np.rint(noised / spacing), rtol=1e-12)
    assert np.all(np.abs(noised - values - 0.3 * standard_normal((4,), (1, 2))) <= 0.51 * spacing)
    assert np.array_equal(add_noise(values, 0.0, (1, 2)), values)


def _sources() -> list[Path]:
    root = Path(__file__).resolve().parents[3]
    rooms = ("core", "records", "model", "evaluation", "transforms", "runners", "pipelines", "linesmith")
    return [path for room in rooms for path in (root / room).rglob("*.py")]


def test_noise_is_drawn_in_one_place():
    """Elsewhere are only the audit's guess at the noise, and random weights of the audit and of the proof of rows."""
    draws = re.compile(r"(?<!def )\b(\w+_normal|random\.normal|normalvariate|gauss|laplace)\(")
    found = {path.name for path in _sources() if draws.search(path.read_text("utf-8"))}
    assert found == {"noise.py", "gradient_canaries.py", "neighbors.py", "proven_rows.py"}


# -- keys


def test_nothing_sets_a_global_seed():
    """Draws from a seed of the whole process would be known to everybody who knows the settings of the run."""
    setters = re.compile(r"\b(set_seed|set_random_seed|random\.seed)\(")
    assert len(_sources()) > 80
    assert [str(path) for path in _sources() if setters.search(path.read_text("utf-8"))] == []
    assert setters.search("tf.random.set_seed(0)") and setters.search("np.random.seed(0)")  # it can fail


def test_noise_is_added_to_the_sum_and_charged_as_its_event():
    sums = [tf.random.stateless_normal(shape, [1, 2]) for shape in SHAPES]
    seeds = noise_seeds(SecretKey.unsafe("17"), 0, len(sums))
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
