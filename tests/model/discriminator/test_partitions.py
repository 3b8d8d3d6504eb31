"""Cells that a model's records fall into about equally often, and factors of cells that give records the shares of others."""

from __future__ import annotations

import numpy as np
import pytest

from linesmith.model.discriminator.discriminator import log_bound
from linesmith.model.discriminator.features import choose_features
from linesmith.model.discriminator.partitions import MOST_PARTITIONS, build_partitions, choose_columns
from linesmith.model.discriminator.reweighting import fit_log_factors
from linesmith.records.fields import FieldFormat

CSV = FieldFormat(",")
HOSTILE = ["1,2,x,4", ",,,", "1e308,-1e308,é,0", "nan,inf,,-inf", "1,2,3", "a,b,c,d", "0.5,0.50,x,100000000"]


def records(count: int, seed: int = 0) -> list[str]:
    """Return records of a number, one near it, a category that goes with them, and a number that is often missing."""
    random = np.random.default_rng(seed)
    first, last = random.normal(50, 10, count), random.integers(0, 5, count)
    return [
        f"{a:.1f},{a + d:.1f},{'low' if a < 50 else 'high'},{n or ''}"
        for a, d, n in zip(first, random.normal(0, 0.3, count), last, strict=True)
    ]


@pytest.fixture(scope="module")
def described():
    texts = records(4000)
    features = choose_features(texts, CSV)
    return features, features.matrix(texts, CSV)[0]


@pytest.fixture(scope="module")
def partitions(described):
    features, matrix = described
    return build_partitions(choose_columns(features, matrix), matrix, 5)


def test_columns_that_are_nearly_the_same_are_described_by_their_difference(described):
    features, matrix = described
    chosen = choose_columns(features, matrix)
    difference, later = features.own_width, features.differences[0][1]
    assert (difference,) in chosen
    assert not any(later in columns for columns in chosen)


def test_pairs_that_go_together_come_first_and_are_of_different_fields(described):
    features, matrix = described
    chosen = choose_columns(features, matrix)
    pairs = [columns for columns in chosen if len(columns) == 2]
    kind = next(column for column, field in features.field_of_column.items() if field == 2)
    assert pairs[0] == (0, kind)
    assert chosen == [*[c for c in chosen if len(c) == 1], *pairs]
    field = features.field_of_column
    assert all(field.get(one, -1) != field.get(other, -2) for one, other in pairs)


def test_there_are_at_most_so_many_partitions():
    random = np.random.default_rng(0)
    texts = [",".join(f"{number:.2f}" for number in row) for row in random.normal(0, 1, (500, 40))]
    features = choose_features(texts, CSV)
    assert len(choose_columns(features, features.matrix(texts, CSV)[0])) == MOST_PARTITIONS


def test_records_that_are_all_alike_have_no_partition():
    features = choose_features(["1,2,x,3"] * 50, CSV)
    assert choose_columns(features, features.matrix(["1,2,x,3"] * 50, CSV)[0]) == []


def test_a_record_is_in_one_cell_of_each_partition(described, partitions):
    features, _ = described
    matrix, known = features.matrix([*records(500, 1), *HOSTILE], CSV)
    cells = partitions.cells(matrix[known])
    assert cells.shape == (known.sum(), len(partitions))
    # The cells of different partitions are different ones.
    of_partition = [set(cells[:, number]) for number in range(len(partitions))]
    assert sum(map(len, of_partition)) == len(set().union(*of_partition)) <= partitions.cell_count


def test_a_cell_is_a_function_of_the_record_alone(described, partitions):
    features, _ = described
    texts = [*records(300, 1), "1e308,-1e308,é,0", "nan,inf,,-inf"]
    together = partitions.cells(features.matrix(texts, CSV)[0])
    alone = [partitions.cells(features.matrix([text], CSV)[0])[0] for text in texts]
    np.testing.assert_array_equal(together, alone)


def test_cells_hold_about_as_many_of_the_models_records(described):
    _, matrix = described
    cells = build_partitions([(0,), (0, 1)], matrix, 4).cells(matrix)
    for number in range(2):
        counts = np.unique(cells[:, number], return_counts=True)[1]
        assert len(counts) == 16
        assert counts.max() < 1.4 * counts.min()


def test_missing_numbers_have_a_cell_of_their_own(described):
    features, matrix = described
    column = next(column for column, field in features.field_of_column.items() if field == 3)
    missing = np.isnan(matrix[:, column])
    assert 0.1 < missing.mean() < 0.3
    cells = build_partitions([(column,)], matrix, 3).cells(matrix)[:, 0]
    assert not set(cells[missing]) & set(cells[~missing])


def test_values_are_summed_over_the_cells_of_a_record(described, partitions):
    _, matrix = described
    values = np.random.default_rng(0).integers(-1000, 1000, partitions.cell_count)
    trees = partitions.with_values(values)
    np.testing.assert_array_equal(trees.values(matrix), values[partitions.cells(matrix)].sum(axis=1))
    np.testing.assert_array_equal(trees.walk(matrix), trees.values(matrix))


def proportional_fitting(cells, shares, rounds: int = 300):
    """Return the log of the factors of cells: those of one partition after another, as if it were the only one."""
    factors = np.zeros(len(shares))
    for _ in range(rounds):
        for number in range(cells.shape[1]):
            weights = np.exp(factors[cells].sum(axis=1))
            own = np.unique(cells[:, number])
            reached = np.bincount(cells[:, number], weights / weights.sum(), minlength=len(shares))
            factors[own] += np.log(shares[own] / reached[own])
    return factors


def test_shares_that_are_certain_are_reached_as_by_proportional_fitting():
    random = np.random.default_rng(0)
    cells = np.stack([random.integers(0, 3, 5000), random.integers(3, 7, 5000)], axis=1)
    shares = np.array([0.5, 0.2, 0.3, 0.4, 0.3, 0.2, 0.1])
    factors = fit_log_factors(cells, np.zeros(5000), shares, np.zeros(7))
    expected = proportional_fitting(cells, shares)
    scores, oracle = factors[cells].sum(axis=1), expected[cells].sum(axis=1)
    np.testing.assert_allclose(scores - scores.mean(), oracle - oracle.mean(), atol=1e-3)


def test_shares_are_those_of_the_records_that_are_kept():
    """Where a ratio is above what is kept to, other records make up for it."""
    random = np.random.default_rng(0)
    cells = np.stack([random.integers(0, 2, 20_000), random.integers(2, 4, 20_000)], axis=1)
    scores = np.where(random.random(20_000) < 0.02, 6.0, 0.0)  # fifty times as frequent as ten drafts can make them
    shares = np.array([0.8, 0.2, 0.3, 0.7])
    reached = scores + fit_log_factors(cells, scores, shares, np.zeros(4))[cells].sum(axis=1)
    kept = np.exp(np.minimum(reached - log_bound(reached, 10), 0))
    found = np.bincount(cells.ravel(), np.repeat(kept / kept.sum(), 2))
    np.testing.assert_allclose(found, shares, atol=0.02)
    without = np.bincount(cells.ravel(), np.repeat(np.exp(scores) / np.exp(scores).sum(), 2))
    assert abs(without - shares).max() > 0.2


def test_shares_that_say_nothing_change_nothing():
    cells = np.random.default_rng(0).integers(0, 4, (1000, 1))
    factors = fit_log_factors(cells, np.zeros(1000), np.array([0.9, 0.1, 0.0, 0.0]), np.full(4, 1e9))
    np.testing.assert_allclose(factors, 0, atol=1e-4)
