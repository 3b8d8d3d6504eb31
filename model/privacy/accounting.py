"""What a composition of Gaussian mechanisms costs, by two accountants that must agree.

Unit and relation: one record, added or removed. An event is a Gaussian mechanism on a sum to which one record contributes
at most 1, released `count` times, each time over a fresh Poisson sample of the records (rate 1: over all of them).

The claim comes from privacy loss distributions (PLD: Koskela et al. 2020, arXiv 1906.03049; Doroshenko et al. 2022, arXiv
2207.04380), rounded so that the result is an upper bound. Renyi accounting (RDP: Mironov 2017, arXiv 1702.07476; Mironov,
Talwar, Zhang 2019, arXiv 1908.10530) stands beside it as a second opinion, and alone where it exceeds `MAX_MEANINGFUL_EPSILON`: a
figure of that size protects nobody, and digits of it are not worth the memory. dp-accounting is imported on first use.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from linesmith.core.errors import ParameterError

MAX_MEANINGFUL_EPSILON = 50.0  # epsilon above which only RDP is used, and said to be no meaningful protection
MAX_NOISE_MULTIPLIER = 2000.0  # a calibration that needs more has failed
# Optimal orders lie near 1 for large epsilon and in the hundreds for small.
_ORDERS = (
    *(1.005, 1.01, 1.02, 1.03, 1.04, 1.05, 1.07, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.25, 2.5, 2.75, 3, 3.5),
    *range(4, 65),
    *(72, 80, 96, 112, 128, 160, 192, 256, 384, 512, 768, 1024),
)
_NOISE_DIGITS = 4  # significant digits of a calibrated noise multiplier, always rounded up


@dataclass(frozen=True)
class GaussianEvent:
    """`count` releases of a Gaussian mechanism over Poisson samples.

    Attributes:
        noise_multiplier: standard deviation of the noise over the sensitivity; 0 hides nothing.
        count: how many times.
        sample_rate: each record's independent chance to be in a sample; 1: always.
    """

    noise_multiplier: float
    count: int = 1
    sample_rate: float = 1.0


def epsilon(events: Sequence[GaussianEvent], delta: float) -> float:
    """Upper bound on epsilon of all events together, at `delta`. The figure to claim; grows with every event.

    Infinite where an event has no noise; 0 where nothing is released.

    Raises:
        ParameterError: dp-accounting is not installed.
    """
    return _epsilon(_canonical(events), delta)


def rdp_epsilon(events: Sequence[GaussianEvent], delta: float) -> float:
    """The second opinion: the same by Renyi accounting, looser and computed in another way."""
    return _rdp_epsilon(_canonical(events), delta)


def by(events: Sequence[GaussianEvent], delta: float) -> str:
    """Which accountant `epsilon` took: 'PLD', or 'RDP' where the figure means nothing."""
    return "PLD" if rdp_epsilon(events, delta) <= MAX_MEANINGFUL_EPSILON else "RDP"


def combined_noise_multiplier(*multipliers: float) -> float:
    """Noise multiplier of one Gaussian mechanism that costs the same as several on the same sample, exactly.

    Adaptive clipping releases a sum (z) and a centred count, to which a record adds plus or minus 1/2, with noise sigma_b:
    `combined_noise_multiplier(z, 2 * sigma_b)` (Andrew et al. 2021, arXiv 1905.03871, theorem 1).

    Example:
        >>> round(combined_noise_multiplier(1.0, 1.0), 4), combined_noise_multiplier(1.0, 0.0)
        (0.7071, 0.0)
    """
    if min(multipliers) == 0:
        return 0.0
    return 1 / math.sqrt(sum(z**-2 for z in multipliers))


def calibrate_noise(target: float, delta: float, events_at: Callable[[float], Sequence[GaussianEvent]]) -> float:
    """The least noise multiplier, to four digits, whose events cost at most `target`: never more, checked after rounding.

    Args:
        target: epsilon not to be exceeded.
        delta: for everything together.
        events_at: the events for a noise multiplier; less noise must cost more.

    Raises:
        ParameterError: LS302, no noise multiplier up to 2,000 is enough.
    """
    cheap = _least(lambda z: rdp_epsilon(events_at(z), delta), target, 0.05, MAX_NOISE_MULTIPLIER, 1e-2)
    if cheap is None:
        raise ParameterError(
            f"LS302: an epsilon of {target:g} at delta {delta:g} cannot be met with a noise multiplier up to "
            f"{MAX_NOISE_MULTIPLIER:g}; allow a larger epsilon, fewer epochs, or give more records. Nothing was spent.",
            code="LS302",
        )
    # PLD is tighter than RDP, by less than a factor 2 of the noise: its answer lies just below.
    exact = _least(lambda z: epsilon(events_at(z), delta), target, cheap / 2, cheap * 1.02, 1e-4)
    noise = _round_up(cheap if exact is None else exact)
    while epsilon(events_at(noise), delta) > target:
        noise = _round_up(noise * (1 + 10.0 ** (1 - _NOISE_DIGITS)))
    return noise


def max_steps_within(ceiling: float, planned: int, epsilon_after: Callable[[int], float]) -> int:
    """The largest step count up to `planned` that costs at most `ceiling`; 0 where the first step already costs more.

    Args:
        ceiling: epsilon not to be exceeded.
        planned: steps to run at most.
        epsilon_after: epsilon after so many steps; must not fall as steps grow.
    """
    if epsilon_after(planned) <= ceiling:
        return planned
    low, high = 0, planned  # low is permitted, high is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if epsilon_after(middle) <= ceiling else (low, middle)
    return low


def group(epsilon_one: float, delta_one: float, size: int) -> tuple[float, float]:
    """Epsilon and delta for `size` records together, such as a text that occurs `size` times.

    (size * eps, delta * (e^(size * eps) - 1) / (e^eps - 1)); delta is at most 1, where nothing is promised.

    Example:
        >>> group(0.5, 1e-6, 2)[0], round(1e6 * group(0.5, 1e-6, 2)[1], 3)
        (1.0, 2.649)
    """
    if math.isinf(epsilon_one):
        return math.inf, 1.0
    if epsilon_one == 0:
        return 0.0, min(1.0, size * delta_one)
    grown = _log_expm1(size * epsilon_one) - _log_expm1(epsilon_one) + math.log(delta_one)
    return size * epsilon_one, min(1.0, math.exp(min(grown, 0.0)))


def replace_one(epsilon_one: float, delta_one: float) -> tuple[float, float]:
    """The claim for one record changed instead of added or removed: (2 eps, (1 + e^eps) delta)."""
    if epsilon_one > -math.log(delta_one):
        return 2 * epsilon_one, 1.0
    return 2 * epsilon_one, min(1.0, (1 + math.exp(epsilon_one)) * delta_one)


def _log_expm1(value: float) -> float:
    return value + math.log(-math.expm1(-value))


def _canonical(events: Sequence[GaussianEvent]) -> tuple[GaussianEvent, ...]:
    kept = [event for event in events if event.count > 0 and event.sample_rate > 0]
    return tuple(sorted(kept, key=lambda e: (e.sample_rate, e.noise_multiplier, e.count)))


@functools.lru_cache(maxsize=4096)
def _epsilon(events: tuple[GaussianEvent, ...], delta: float) -> float:
    second = _rdp_epsilon(events, delta)
    if second > MAX_MEANINGFUL_EPSILON or second == 0:
        return second
    from dp_accounting import pld

    accountant = pld.PLDAccountant(value_discretization_interval=_interval(second))
    accountant.compose(_composed(events))
    return max(0.0, float(accountant.get_epsilon(delta)))


@functools.lru_cache(maxsize=16384)
def _rdp_epsilon(events: tuple[GaussianEvent, ...], delta: float) -> float:
    if not events:
        return 0.0
    if any(event.noise_multiplier == 0 for event in events):
        return math.inf
    bound = _require_dp_accounting().rdp.compute_epsilon

    def cost(order: float) -> float:
        return float(bound([order], [sum(event.count * _one_rdp(event, order) for event in events)], delta)[0])

    # Where so little is released that the lowest order bounds it by total variation, the curve is not in one piece.
    if cost(_ORDERS[0]) == 0:
        return 0.0
    whole = [order for order in _ORDERS if order == int(order)]  # a hundred times cheaper than those between
    at = _lowest(cost, whole)
    edges = [_ORDERS[0], *whole, _ORDERS[-1]]
    near = [order for order in _ORDERS if edges[at] <= order <= edges[at + 2]]
    return cost(near[_lowest(cost, near)])


def _one_rdp(event: GaussianEvent, order: float) -> float:
    """Renyi divergence of one release of an event."""
    return _rdp_at(event.noise_multiplier, event.sample_rate, order)


@functools.lru_cache(maxsize=65536)
def _rdp_at(noise_multiplier: float, sample_rate: float, order: float) -> float:
    accountant = _require_dp_accounting().rdp.RdpAccountant([order])
    accountant.compose(_composed((GaussianEvent(noise_multiplier, 1, sample_rate),)))
    return float(accountant.rdp[0])


def _lowest(cost: Callable[[float], float], orders: Sequence[float]) -> int:
    """Where the least cost is, by halving: as a function of the order, epsilon falls to its minimum and then rises.

    It is a convex function over a growing linear one: of (a - 1) times the divergence, and (a - 1) log(a - 1) - a log(a).
    """
    low, high = 0, len(orders) - 1
    while low < high:
        middle = (low + high) // 2
        if cost(orders[middle]) > cost(orders[middle + 1]):
            low = middle + 1
        else:
            high = middle
    return low


def _composed(events: tuple[GaussianEvent, ...]) -> Any:
    import dp_accounting as dp

    parts = []
    for event in events:
        gaussian = dp.GaussianDpEvent(event.noise_multiplier)
        one = gaussian if event.sample_rate >= 1 else dp.PoissonSampledDpEvent(event.sample_rate, gaussian)
        parts.append(dp.SelfComposedDpEvent(one, event.count))
    return dp.ComposedDpEvent(parts)


def _interval(size: float) -> float:
    """Width of the privacy loss grid. Coarser is a looser bound and cheaper; it only grows with epsilon, so that the
    bound stays monotone. Within 1 % of a ten times finer grid over the range that is used (tested)."""
    widths = ((15.0, 5e-3), (4.0, 1e-3), (0.8, 5e-4), (0.2, 1e-4))
    return next((width for above, width in widths if size > above), 2e-5)


def _least(cost: Callable[[float], float], target: float, low: float, high: float, precision: float) -> float | None:
    """The noise in [low, high] whose cost is the target, up to a relative `precision`; None where even `high` costs more."""
    from scipy.optimize import brentq

    def excess(log_noise: float) -> float:
        return math.log(min(max(cost(math.exp(log_noise)), 1e-12), 1e12) / target)

    if excess(math.log(high)) > 0:
        return None
    if excess(math.log(low)) <= 0:
        return low
    return math.exp(brentq(excess, math.log(low), math.log(high), xtol=precision))


def _round_up(value: float) -> float:
    """Up to four significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - _NOISE_DIGITS)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.12g}")


def _require_dp_accounting() -> Any:
    try:
        import dp_accounting
    except ImportError:
        raise ParameterError(
            "LS106: differential privacy needs dp-accounting: pip install 'linesmith[dp]'.", code="LS106"
        ) from None
    return dp_accounting
