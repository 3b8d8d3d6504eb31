"""The lower bound on epsilon against mechanisms whose epsilon is known in closed form, and against slow sums."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from linesmith.model.privacy.audit.lower_bound import (
    canary_exposures,
    epsilon_bound,
    lower_bound,
    membership_attack,
    p_value,
)

# Of 100 trials at 5 % each more than 13 fail with probability 0.0005: a bound that is right is accepted.
TRIALS, MOST_FAILURES = 100, 13


def _slow_p_value(m, r, v, epsilon, delta):
    """Sum every term one by one."""
    q = math.exp(epsilon) / (1 + math.exp(epsilon))
    mass = [math.comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(r + 1)]
    tail = sum(mass[v:])
    worst = max((sum(mass[v - i : v]) / i for i in range(1, v + 1)), default=0.0)
    return min(1.0, tail + 2 * m * delta * worst)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.data())
def test_the_p_value_is_the_theorems_sum(data):
    m = data.draw(st.integers(1, 40))
    r = data.draw(st.integers(0, m))
    v = data.draw(st.integers(0, r))
    epsilon, delta = data.draw(st.floats(0, 5)), data.draw(st.sampled_from([0.0, 1e-6, 1e-3, 0.5]))
    assert p_value(m, r, v, epsilon, delta) == pytest.approx(_slow_p_value(m, r, v, epsilon, delta), abs=1e-12)


def test_known_values():
    # 100 guesses, 75 right, and guesses that are each right three times in four: a binomial tail at its mean.
    assert p_value(100, 100, 75, math.log(3)) == pytest.approx(0.5535, abs=1e-4)
    # All of n right: (e^eps / (1 + e^eps))^n = 0.05 has a closed form.
    n = 60
    root = 0.05 ** (1 / n)
    assert epsilon_bound(n, n, n, 0.0) == pytest.approx(math.log(root / (1 - root)), abs=1e-9)
    assert epsilon_bound(n, n, n // 2, 0.0) == 0.0
    assert epsilon_bound(n, n, n, 1.0) == 0.0  # a delta of 1 permits everything


@pytest.mark.slow
@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.integers(1, 60), st.floats(0.001, 0.2), st.sampled_from([0.0, 1e-5, 1e-2]))
def test_more_right_guesses_prove_more_and_delta_less(m, level, delta):
    bounds = [epsilon_bound(m, m, right, delta, level) for right in range(m + 1)]
    assert all(one <= other + 1e-9 for one, other in itertools.pairwise(bounds))
    assert epsilon_bound(m, m, m, delta, level) <= epsilon_bound(m, m, m, 0.0, level) + 1e-9
    for right in (m // 2, m):
        if bounds[right] > 0:
            assert p_value(m, m, right, bounds[right], delta) < level


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="not in order"):
        p_value(10, 5, 6, 1.0)


# -- mechanisms whose epsilon is known


def _coins(random, m):
    return random.random(m) < 0.5


def _gaussian_epsilon(sigma: float, delta: float) -> float:
    """Compute the exact epsilon of one Gaussian mechanism of sensitivity 1 (Balle and Wang 2018, arXiv 1805.06530, theorem 8)."""

    def delta_at(epsilon):
        return norm.cdf(0.5 / sigma - epsilon * sigma) - math.exp(epsilon) * norm.cdf(-0.5 / sigma - epsilon * sigma)

    low, high = 0.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if delta_at(middle) > delta else (low, middle)
    return high


def _failures(mechanism, truth, delta, m=400):
    """Return how often the bound exceeds the truth, and the bounds."""
    bounds = []
    for trial in range(TRIALS):
        random = np.random.default_rng([trial, 7])
        included = _coins(random, m)
        bounds.append(lower_bound({"score": mechanism(random, included)}, included, delta).epsilon)
    return sum(bound > truth for bound in bounds), np.array(bounds)


@pytest.mark.integration
@pytest.mark.parametrize("truth", [0.0, 0.5, 2.0, 4.0])
def test_randomized_response_is_bounded_by_its_epsilon(truth):
    """The bit of each canary is reported correctly with probability e^eps / (1 + e^eps): the theorem's own worst case."""

    def respond(random, included):
        lie = random.random(len(included)) < 1 / (1 + math.exp(truth))
        return np.where(included ^ lie, 1.0, -1.0) + 0.01 * random.random(len(included))

    failures, bounds = _failures(respond, truth, delta=0.0)
    assert failures <= MOST_FAILURES
    assert np.median(bounds) > 0.6 * truth - 0.05  # and the bound is not trivial


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.4, 0.8, 2.0])
def test_the_gaussian_mechanism_is_bounded_by_its_epsilon(sigma):
    delta = 1e-5
    truth = _gaussian_epsilon(sigma, delta)

    def noised(random, included):
        return included + sigma * random.normal(size=len(included))

    failures, bounds = _failures(noised, truth, delta)
    assert failures <= MOST_FAILURES
    # One run of 400 canaries proves about a third of it; a bound that is always 0 would pass the line above, and not this.
    assert 0.1 * truth < np.median(bounds) < truth


def test_a_claim_that_is_too_small_is_refuted():
    """The negative control: half of the noise that is claimed."""
    claimed, delta = _gaussian_epsilon(2.0, 1e-5), 1e-5
    found = 0
    for trial in range(20):
        random = np.random.default_rng([trial, 9])
        included = _coins(random, 800)
        scores = included + 0.2 * random.normal(size=800)
        found += lower_bound({"score": scores}, included, delta).epsilon > claimed
    assert found == 20


@pytest.mark.integration
def test_choosing_the_best_of_many_attacks_keeps_the_confidence():
    """Twenty useless attacks: the best of them proves nothing either, in 95 of 100 trials."""
    proved = 0
    for trial in range(TRIALS):
        random = np.random.default_rng([trial, 11])
        included = _coins(random, 100)
        scores = {f"attack {number}": random.random(100) for number in range(20)}
        proved += lower_bound(scores, included, 0.0).epsilon > 0
    assert proved <= MOST_FAILURES


def test_equal_scores_prove_nothing_whatever_the_order_of_the_coins():
    included = np.arange(200) < 100
    assert lower_bound({"score": np.zeros(200)}, included, 0.0).epsilon == 0.0
    assert lower_bound({"score": np.full(200, np.nan)}, included, 0.0).epsilon == 0.0


def test_one_canary_and_none_prove_nothing():
    assert lower_bound({"score": np.ones(1)}, np.array([True]), 0.0).epsilon == 0.0
    assert lower_bound({"score": np.empty(0)}, np.empty(0, bool), 0.0).guesses == 0


# -- exposure and membership


def test_exposure_of_useless_scores_is_that_of_chance_and_of_perfect_ones_the_largest():
    random = np.random.default_rng(0)
    included = _coins(random, 4000)
    assert np.mean(canary_exposures(random.random(4000), included)) == pytest.approx(1.443, abs=0.1)
    perfect = canary_exposures(included.astype(float), included)
    assert np.allclose(perfect, np.log2((~included).sum() + 1))


def test_equal_scores_have_an_exposure_of_one_bit():
    """In the middle of all excluded ones: half of them, which saves one bit."""
    included = np.arange(2001) < 1
    assert canary_exposures(np.zeros(2001), included)[0] == pytest.approx(1.0, abs=0.01)


def test_membership_of_two_normals_has_the_area_that_theory_says():
    random = np.random.default_rng(1)
    included = _coins(random, 20_000)
    found = membership_attack(included + random.normal(size=20_000), included)
    assert found["auc"] == pytest.approx(norm.cdf(1 / math.sqrt(2)), abs=0.01)
    # One false alarm in a hundred lies at 2.326: a hit is a normal above 1.326.
    assert found["hits_low"] < norm.sf(norm.isf(0.01) - 1) < found["hits_high"]
    assert membership_attack(np.zeros(10), np.ones(10, bool))["auc"] is None
