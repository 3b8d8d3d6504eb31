"""Accounting against the closed form, published tables, and a second implementation; calibration never overshoots."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from linesmith.core.errors import ParameterError
from linesmith.model.privacy import accounting
from linesmith.model.privacy.accounting import (
    MAX_MEANINGFUL_EPSILON,
    GaussianEvent,
    accountant_name,
    combined_noise_multiplier,
    epsilon,
    group_privacy,
    rdp_epsilon,
    replace_one_privacy,
)
from linesmith.model.privacy.calibration import calibrate_noise, max_steps_within

DELTA = 1e-6
RIDES = 21_690  # records of the file that examples use


def normal_tail(x: float) -> float:
    return math.erfc(x / math.sqrt(2)) / 2


def gaussian_delta(eps: float, noise: float) -> float:
    """Compute the exact delta of one Gaussian mechanism (Balle & Wang 2018, arXiv 1805.06530, theorem 8)."""
    tail = normal_tail(eps * noise + 1 / (2 * noise))
    # For large epsilon the second term underflows before the exponential overflows.
    return normal_tail(eps * noise - 1 / (2 * noise)) - (math.exp(eps) * tail if tail else 0.0)


def solved(delta_of, delta: float, high: float = 200.0) -> float:
    """Find the epsilon at which a falling delta is reached, by bisection."""
    low = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(middle) > delta else (low, middle)
    return high


def by_convolution(noise: float, rate: float, count: int, delta: float, *, up: bool, width: float = 2e-4) -> float:
    """Compute epsilon of a Poisson sampled Gaussian from its definition alone: losses on a grid, convolved by FFT.

    Rounding every loss up gives an upper bound, down a lower bound. The worse of adding and removing.
    """
    size = 2**19
    x = np.linspace(-14 * noise - 1, 14 * noise + 2, 400_001)
    density = {mean: np.exp(-((x - mean) ** 2) / (2 * noise**2)) for mean in (0, 1)}
    present = (1 - rate) * density[0] + rate * density[1]
    worst = 0.0
    for upper, lower in ((present, density[0]), (density[0], present)):
        loss = np.log(upper / lower) / width
        cells = (np.ceil(loss) if up else np.floor(loss)).astype(int)
        mass = np.bincount(cells % size, upper / upper.sum(), minlength=size)
        total = np.fft.irfft(np.fft.rfft(mass) ** count, size)
        values = np.where(np.arange(size) < size // 2, np.arange(size), np.arange(size) - size) * width

        def delta_of(eps: float, total=total, values=values) -> float:
            above = values > eps
            return float(np.sum(total[above] * -np.expm1(eps - values[above])))

        worst = max(worst, solved(delta_of, delta, 50.0))
    return worst


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-9])
def test_gaussian_is_the_closed_form(noise, count, delta):
    exact = solved(lambda eps: gaussian_delta(eps, noise / math.sqrt(count)), delta)
    if exact > MAX_MEANINGFUL_EPSILON:
        assert epsilon([GaussianEvent(noise, count)], delta) >= exact
        return
    assert exact - 1e-4 <= epsilon([GaussianEvent(noise, count)], delta) <= exact * 1.005 + 2e-4


@pytest.mark.integration
@pytest.mark.parametrize(("noise", "rate", "count"), [(1.0, 0.05, 100), (0.7, 0.01, 60), (2.0, 0.2, 100)])
def test_poisson_sampling_is_what_its_definition_gives(noise, rate, count):
    ours = epsilon([GaussianEvent(noise, count, rate)], DELTA)
    low, high = (by_convolution(noise, rate, count, DELTA, up=up) for up in (False, True))
    assert high - low < 0.05
    assert low <= ours <= high


# (noise, rate, steps, delta, epsilon by PLD on a grid of 1e-5, epsilon published for moments or older RDP accountants)
GOLDEN = [
    (4.0, 0.01, 10_000, 1e-5, 0.9469, 1.26),  # Abadi et al. 2016, arXiv 1607.00133, section 3.2
    (1.3, 256 / 60_000, 3_515, 1e-5, 0.8644, 1.19),  # tensorflow-privacy's MNIST table, three rows
    (1.1, 256 / 60_000, 14_062, 1e-5, 2.3816, 3.01),
    (0.7, 256 / 60_000, 10_546, 1e-5, 5.6394, 7.10),
]


@pytest.mark.parametrize(("noise", "rate", "steps", "delta", "fine", "published"), GOLDEN)
def test_golden_values(noise, rate, steps, delta, fine, published):
    events = [GaussianEvent(noise, steps, rate)]
    assert fine * 0.9999 <= epsilon(events, delta) <= fine * 1.01
    # Both tables are upper bounds by looser conversions: our values lie below them, but not far below.
    assert 0.7 * published < epsilon(events, delta) < rdp_epsilon(events, delta) < published


@pytest.mark.parametrize(
    ("noise", "rate", "count"),
    [(0.5, 0.003, 3390), (1.0, 0.05, 1000), (2.0, 0.05, 2000), (0.8, 1.0, 1), (5.0, 0.3, 50)],
)
def test_the_second_opinion_is_above_and_near(noise, rate, count):
    events = [GaussianEvent(noise, count, rate)]
    claim, second = epsilon(events, DELTA), rdp_epsilon(events, DELTA)
    assert claim <= second
    if claim <= 10:
        assert second <= 1.3 * claim
    assert accountant_name(events, DELTA) == "PLD"


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.05, 0.3, 1.342, 4.3, 20.0, 2000.0])
@pytest.mark.parametrize("rate", [1e-4, 0.05, 0.43, 1.0])
def test_the_order_that_bisection_finds_is_the_best_of_all(noise, rate):
    """The result is that of the library with every order, to the last bit, also at the ends of the range."""
    import dp_accounting as dp

    others = ([], [GaussianEvent(50.0)])
    for count, delta, other in itertools.product((1, 24, 20_000), (1e-3, 1e-9), others):
        events = accounting._canonical([GaussianEvent(noise, count, rate), *other])
        everything = dp.rdp.RdpAccountant(list(accounting._ORDERS))
        everything.compose(accounting._as_dp_event(events))
        assert rdp_epsilon(events, delta) == max(0.0, everything.get_epsilon(delta))


# (noise, rate, steps, epsilon by PLD on a much finer grid), one for each grid width that we use
FINE = [
    (10.0, 0.02, 500, 0.16986),
    (3.0, 0.003, 10_000, 0.41192),
    (1.0, 0.003, 10_000, 1.81247),
    (8.0, 0.05, 2000, 1.20836),
    (0.7, 256 / 60_000, 10_546, 6.42910),
    (0.3, 0.01, 100, 31.56989),
]


@pytest.mark.parametrize(("noise", "rate", "steps", "fine"), FINE)
def test_the_grid_is_fine_enough(noise, rate, steps, fine):
    assert fine * 0.9999 <= epsilon([GaussianEvent(noise, steps, rate)], DELTA) <= fine * 1.01


def test_the_old_default_noise_protects_nobody():
    """One epoch at noise 0.1, batch 64: about 400. RDP alone, and above the PLD figure of 397.6."""
    events = [GaussianEvent(0.1, math.ceil(RIDES / 64), 64 / RIDES)]
    assert 397.6 < epsilon(events, DELTA) < 460
    assert accountant_name(events, DELTA) == "RDP"


def test_edges():
    assert epsilon([], DELTA) == epsilon([GaussianEvent(1.0, 0)], DELTA) == 0
    assert epsilon([GaussianEvent(1.0, 5, 0.0)], DELTA) == 0
    assert epsilon([GaussianEvent(0.0, 1, 0.1)], DELTA) == math.inf
    assert epsilon([GaussianEvent(1.0, 9), GaussianEvent(0.0)], DELTA) == math.inf


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.02, 1.0])
def test_more_steps_less_noise_larger_rate_cost_more(rate):
    steps = [epsilon([GaussianEvent(2.0, n, rate)], DELTA) for n in (1, 2, 5, 20, 100, 300)]
    noise = [epsilon([GaussianEvent(z, 100, rate)], DELTA) for z in (30.0, 8.0, 3.0, 1.5, 0.9, 0.4)]
    rates = [epsilon([GaussianEvent(2.0, 100, q)], DELTA) for q in (0.001, 0.01, 0.1, 0.5, 1.0)]
    deltas = [epsilon([GaussianEvent(2.0, 100, rate)], d) for d in (1e-3, 1e-5, 1e-7)]
    for values in (steps, noise, rates, deltas):
        assert all(a < b for a, b in itertools.pairwise(values))


@pytest.mark.slow
def test_epsilon_never_falls_from_one_step_to_the_next():
    """This holds across changes of the grid, too; bisection for the last step relies on it."""
    values = [epsilon([GaussianEvent(1.2, n, 0.03)], DELTA) for n in range(1, 1500, 60)]
    assert values[0] < 0.8 < 4 < values[-1]
    assert all(a <= b for a, b in itertools.pairwise(values))


@pytest.mark.integration
def test_the_order_of_events_does_not_matter_and_parts_add_up():
    a, b = GaussianEvent(1.0, 100, 0.05), GaussianEvent(8.0)
    together = epsilon([a, b], DELTA)
    assert together == epsilon([b, a], DELTA)
    assert max(epsilon([a], DELTA), epsilon([b], DELTA)) < together < epsilon([a], DELTA / 2) + epsilon([b], DELTA / 2)
    assert epsilon([a, a], DELTA) == pytest.approx(epsilon([GaussianEvent(1.0, 200, 0.05)], DELTA), rel=1e-3)


@pytest.mark.integration
@pytest.mark.parametrize("target", [0.1, 1.0, 2.0, 8.0, 30.0])
@pytest.mark.parametrize(("rate", "steps"), [(0.05, 400), (0.003, 1000), (1.0, 10)])
def test_calibration_never_overshoots_and_wastes_little(target, rate, steps):
    def events(z):
        return [GaussianEvent(z, steps, rate)]

    noise = calibrate_noise(target, DELTA, events)
    assert epsilon(events(noise), DELTA) <= target
    assert epsilon(events(noise * 0.995), DELTA) > target
    assert float(f"{noise:.4g}") == noise


@pytest.mark.integration
def test_calibration_leaves_room_for_what_else_is_released():
    other = GaussianEvent(6.0)
    noise = calibrate_noise(2.0, DELTA, lambda z: [GaussianEvent(z, 100, 0.05), other])
    assert epsilon([GaussianEvent(noise, 100, 0.05), other], DELTA) <= 2.0
    assert noise > calibrate_noise(2.0, DELTA, lambda z: [GaussianEvent(z, 100, 0.05)])
    with pytest.raises(ParameterError, match=r"LS302.*epsilon of 0\.1"):
        calibrate_noise(0.1, DELTA, lambda z: [GaussianEvent(z, 100, 0.05), other])


@pytest.mark.integration
def test_the_last_permitted_step_is_the_one_brute_force_finds():
    def after(n):
        return epsilon([GaussianEvent(6.0, n)], DELTA)

    costs = [after(n) for n in range(26)]
    for ceiling in (costs[1] * 0.99, costs[1], 2.0, 3.0, costs[13], costs[25], 99.0):
        brute = max(n for n in range(26) if costs[n] <= ceiling)
        assert max_steps_within(ceiling, 25, after) == brute
    assert max_steps_within(1.0, 0, after) == 0


def test_the_last_step_takes_few_evaluations():
    looked = []
    assert max_steps_within(12_345.5, 10**6, lambda n: looked.append(n) or float(n)) == 12_345
    assert len(looked) < 25


@pytest.mark.parametrize("z", [0.5, 1.0, 4.0])
def test_two_gaussians_on_one_sample_are_one(z):
    """Independent releases with noise z and y of the same record: a Gaussian in two dimensions."""
    two = epsilon([GaussianEvent(z, 3), GaussianEvent(2 * z, 3)], DELTA)
    assert epsilon([GaussianEvent(combined_noise_multiplier(z, 2 * z), 3)], DELTA) == pytest.approx(two, rel=2e-3)
    assert combined_noise_multiplier(z, 1e9) == pytest.approx(z)


def test_groups_and_replacement():
    eps, delta = 1.5, 1e-6
    for size in (1, 2, 5):  # applied one record at a time, as the definition goes
        total = sum(delta * math.exp(i * eps) for i in range(size))
        assert group_privacy(eps, delta, size) == (size * eps, pytest.approx(total))
    assert replace_one_privacy(eps, delta) == (2 * eps, pytest.approx((1 + math.exp(eps)) * delta))
    assert group_privacy(eps, delta, 100)[1] == 1.0
    assert group_privacy(math.inf, delta, 2) == (math.inf, 1.0)
    assert group_privacy(0.0, delta, 2) == (0.0, 2e-6)
    assert group_privacy(2000.0, delta, 3) == (6000.0, 1.0)
    assert replace_one_privacy(2000.0, delta) == (4000.0, 1.0)
    assert replace_one_privacy(math.inf, delta) == (math.inf, 1.0)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    accounting._rdp_epsilon.cache_clear()
    with pytest.raises(ParameterError, match=r"LS106.*pip install 'linesmith\[dp\]'"):
        rdp_epsilon([GaussianEvent(1.234)], DELTA)


def test_importing_the_module_does_not_need_the_library():
    source = importlib.util.find_spec("linesmith.model.privacy.accounting").origin
    head = Path(source).read_text("utf-8").split("\ndef ")[0]
    assert "import dp_accounting" not in head


def test_a_shuffle_would_be_refused_by_the_library():
    """The accountants accept Poisson sampling only for add-or-remove-one: `replace` is a conversion, never a claim."""
    import dp_accounting as dp

    accountant = dp.rdp.RdpAccountant(neighboring_relation=dp.NeighboringRelation.REPLACE_ONE)
    with pytest.raises(dp.UnsupportedEventError):
        accountant.compose(dp.PoissonSampledDpEvent(0.1, dp.GaussianDpEvent(1.0)))


@pytest.mark.parametrize("unknown", [0, 1, 3, 5])
def test_orders_on_which_a_library_gives_up_do_not_hide_the_best_one(unknown):
    costs = [math.inf] * unknown + [9.0, 7.0, 4.0, 5.0, 8.0, 11.0]
    found = accounting._index_of_minimum(lambda order: costs[int(order)], range(len(costs)))
    assert costs[found] == 4.0


def test_the_bound_for_little_noise_is_near_that_of_the_privacy_loss():
    events = (accounting.GaussianEvent(0.604824, 100, 0.05),)
    bound, claim = accounting._rdp_epsilon(events, 1e-6), accounting._epsilon(events, 1e-6)
    assert claim <= bound <= 1.3 * claim
