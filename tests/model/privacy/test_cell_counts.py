"""Counts of records in cells: what one record or user moves, and the noise on them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from linesmith.model.discriminator.discriminator import read_discriminator, save_discriminator
from linesmith.model.discriminator.features import choose_features
from linesmith.model.discriminator.fitting import NoDiscriminatorError
from linesmith.model.discriminator.partitions import build_partitions, choose_columns
from linesmith.model.discriminator.private_fitting import fit_private_discriminator, is_worth_noise
from linesmith.model.privacy.cell_counts import CellCounter
from linesmith.model.privacy.secret_key import SecretKey
from tests.model.discriminator.test_partitions import CSV, HOSTILE, records

REAL = records(3000, 7)


@pytest.fixture(scope="module")
def cells():
    """Features and partitions of a model's records, at the size that the product uses."""
    texts = records(20_000)
    features = choose_features(texts, CSV)
    matrix = features.matrix(texts, CSV)[0]
    return features, build_partitions(choose_columns(features, matrix), matrix, 8)


def counter(texts, noise: float = 0.0, key: str = "1", per_unit: int = 1, batch: int = 1000) -> CellCounter:
    batches = [texts[start : start + batch] for start in range(0, len(texts), batch)]
    return CellCounter(batches, len(texts), per_unit, noise, SecretKey.unsafe(key))


def counts(cells, texts, **settings):
    features, partitions = cells
    return counter(texts, **settings).count(partitions, features, CSV)


def test_without_noise_every_record_counts_once_in_each_partition(cells):
    found = counts(cells, REAL)
    features, partitions = cells
    expected = np.zeros(partitions.cell_count)
    for text in REAL[:200]:  # the slow way
        for cell in partitions.cells(features.matrix([text], CSV)[0])[0]:
            expected[cell] += 1
    np.testing.assert_array_equal(counts(cells, REAL[:200]), expected)
    assert found.sum() == len(REAL) * len(partitions)


@pytest.mark.parametrize("odd", [*HOSTILE, REAL[0], "", "9" * 400 + ",1,x,1", ",".join("x" * 300)])
@pytest.mark.parametrize("where", [0, 1500, 3000])
def test_one_record_moves_the_counts_by_no_more_than_the_sensitivity(cells, odd, where):
    most = counter([odd], noise=1.0).stddev(len(cells[1]))  # noise of one sensitivity
    assert most == math.sqrt(len(cells[1]))
    moved = counts(cells, [*REAL[:where], odd, *REAL[where:]]) - counts(cells, REAL)
    assert np.linalg.norm(moved) <= most
    assert set(moved) <= {0.0, 1.0}


def test_a_users_records_move_them_by_no_more_than_theirs(cells):
    own = [REAL[0]] * 3  # all of them in the same cells, which is the worst case
    most = counter(own, noise=1.0, per_unit=3).stddev(len(cells[1]))
    moved = counts(cells, [*REAL, *own]) - counts(cells, REAL)
    assert np.linalg.norm(moved) == pytest.approx(most)


def test_the_noise_is_a_normal_of_the_stated_size_on_every_count(cells):
    _, partitions = cells
    empty = [counts(cells, [], noise=2.0, key=f"{key:x}") for key in range(1, 21)]
    noise = np.concatenate(empty) / (2.0 * math.sqrt(len(partitions)))
    assert abs(noise.mean()) < 4 / math.sqrt(len(noise))
    assert noise.std() == pytest.approx(1, abs=4 / math.sqrt(2 * len(noise)))
    assert (np.stack(empty) != 0).all()  # empty cells as well


def test_the_same_key_draws_the_same_noise_and_batches_change_nothing(cells):
    one = counts(cells, REAL, noise=2.0)
    np.testing.assert_array_equal(one, counts(cells, REAL, noise=2.0, batch=77))
    assert (one != counts(cells, REAL, noise=2.0, key="2")).any()


def shifted(count: int, seed: int) -> list[str]:
    """Return records as a model would write them that gets the first number wrong."""
    random = np.random.default_rng(seed)
    return [
        f"{a:.1f},{a + d:.1f},{'low' if a < 50 else 'high'},{n or ''}"
        for a, d, n in zip(
            random.normal(45, 14, count), random.normal(0, 0.3, count), random.integers(0, 5, count), strict=True
        )
    ]


def kept_mean(found, texts) -> float:
    """Return the mean of the first number of a model's records where they count by the ratio."""
    weights = np.exp(found.log_ratios(texts, CSV))
    return float(np.average([float(text.split(",")[0]) for text in texts], weights=weights))


def test_what_is_kept_is_like_the_real_records():
    texts = shifted(20_000, 1)
    found = fit_private_discriminator(shifted(20_000, 2), CSV, counter(REAL, noise=2.0))
    assert kept_mean(found, texts) == pytest.approx(50, abs=1)  # 45 without it
    assert 0.1 < found.kept_share(10) < 0.9


def test_a_stored_one_is_the_same(tmp_path):
    found = fit_private_discriminator(shifted(5000, 2), CSV, counter(REAL, noise=2.0))
    assert np.isinf(found.trees.threshold).any()  # missing numbers are parted from the others
    save_discriminator(tmp_path / "kept.npz", found)
    stored = read_discriminator(tmp_path / "kept.npz")
    texts = [*shifted(500, 3), *HOSTILE]
    np.testing.assert_array_equal(found.log_ratios(texts, CSV), stored.log_ratios(texts, CSV))
    assert stored.log_bound(10) == found.log_bound(10)


def test_without_noise_empty_cells_leave_one_that_can_be_loaded(tmp_path):
    narrow = [text for text in REAL if text.startswith("50.")]
    found = fit_private_discriminator(shifted(5000, 2), CSV, counter(narrow))
    save_discriminator(tmp_path / "kept.npz", found)
    assert (read_discriminator(tmp_path / "kept.npz").quantiles == found.quantiles).all()


def test_a_model_that_lacks_nothing_is_left_alone():
    found = fit_private_discriminator(records(20_000, 2), CSV, counter(REAL, noise=2.0))
    assert np.std(found.log_ratios(records(5000, 3), CSV)) < 0.6
    learned = fit_private_discriminator(shifted(20_000, 2), CSV, counter(REAL, noise=2.0))
    assert np.std(learned.log_ratios(shifted(5000, 3), CSV)) > 0.9


def test_under_much_noise_little_is_concluded():
    texts = shifted(20_000, 1)
    plain = float(np.mean([float(text.split(",")[0]) for text in texts]))
    found = fit_private_discriminator(shifted(20_000, 2), CSV, counter(REAL, noise=5000.0))
    assert kept_mean(found, texts) == pytest.approx(plain, abs=1.5)


def test_the_choice_of_what_is_counted_does_not_look_at_the_records():
    drawn = shifted(5000, 2)
    one = fit_private_discriminator(drawn, CSV, counter(REAL, noise=2.0))
    other = fit_private_discriminator(drawn, CSV, counter(shifted(3000, 8), noise=2.0))
    assert one.features == other.features
    np.testing.assert_array_equal(one.trees.threshold, other.trees.threshold)
    assert (one.trees.value != other.trees.value).any()


@pytest.mark.parametrize("drawn", [["1,2,x,3"] * 2000, records(500), ["1,2", "1,2,3", "1"] * 700])
def test_records_that_allow_no_discriminator_are_not_counted_against(drawn):
    counted = CellCounter(iter_that_fails(), 3000, 1, 2.0, SecretKey.unsafe("1"))
    with pytest.raises(NoDiscriminatorError):
        fit_private_discriminator(drawn, CSV, counted)


def iter_that_fails():
    raise AssertionError("records were read")
    yield


def test_counts_of_few_records_under_much_noise_are_not_worth_it():
    assert is_worth_noise(2.0, 1000, 1)
    assert not is_worth_noise(2.0, 999, 1)
    assert not is_worth_noise(20.0, 1000, 1)
    assert is_worth_noise(20.0, 2000, 1)
    assert not is_worth_noise(20.0, 2000, 4)
