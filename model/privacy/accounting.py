"""Epsilon of a composition of Gaussian mechanisms, by two accountants that must agree.

Unit and adjacency: one unit (a record or a user) added or removed. An event is a Gaussian mechanism on a sum to which one
unit contributes at most 1 in L2 norm (sensitivity 1), released `count` times, each time on a fresh Poisson sample of the
units (rate 1: on all of them).

The claim comes from privacy loss distributions (PLD: Koskela et al. 2020, arXiv 1906.03049; Doroshenko et al. 2022, arXiv
2207.04380), rounded so that the result is an upper bound. Renyi accounting (RDP: Mironov 2017, arXiv 1702.07476; Mironov,
Talwar, Zhang 2019, arXiv 1908.10530) is computed beside it as a second opinion, and is used alone where it exceeds
`MAX_MEANINGFUL_EPSILON`: such an epsilon protects nobody, and its exact digits do not justify the memory that PLD takes
there. dp-accounting is imported on first use, so that importing this module stays cheap.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from linesmith.core.errors import ParameterError

MAX_MEANINGFUL_EPSILON = 50.0  # above it only RDP is used, and the statement says "no meaningful protection"
# Renyi orders to minimize over: the best one lies near 1 for a large epsilon and in the hundreds for a small one.
_ORDERS = (
    *(1.005, 1.01, 1.02, 1.03, 1.04, 1.05, 1.07, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.25, 2.5, 2.75, 3, 3.5),
    *range(4, 65),
    *(72, 80, 96, 112, 128, 160, 192, 256, 384, 512, 768, 1024),
)


@dataclass(frozen=True)
class GaussianEvent:
    """`count` releases of a Gaussian mechanism, each on a fresh Poisson sample.

    Attributes:
        noise_multiplier: standard deviation of the noise divided by the L2 sensitivity; 0 hides nothing.
        count: number of releases.
        sample_rate: probability with which each unit is in a sample, independently of all others; 1: always.
    """

    noise_multiplier: float
    count: int = 1
    sample_rate: float = 1.0


def epsilon(events: Sequence[GaussianEvent], delta: float) -> float:
    """Compute an upper bound on the epsilon of all events together: the figure to claim.

    Args:
        events: everything that is released about one unit, in any order.
        delta: delta of the whole composition.

    Returns:
        Epsilon, never smaller with one event more. Infinite where an event has no noise, 0 where nothing is released.
        From PLD accounting up to `MAX_MEANINGFUL_EPSILON`, from RDP above it.

    Raises:
        ParameterError: dp-accounting is not installed.
    """
    return _epsilon(_canonical(events), delta)


def rdp_epsilon(events: Sequence[GaussianEvent], delta: float) -> float:
    """Compute the same by Renyi accounting: a looser bound, computed in another way, as a second opinion.

    Args:
        events: everything that is released about one unit, in any order.
        delta: delta of the whole composition.

    Returns:
        Epsilon; infinite where an event has no noise, 0 where nothing is released.

    Raises:
        ParameterError: dp-accounting is not installed.
    """
    return _rdp_epsilon(_canonical(events), delta)


def accountant_name(events: Sequence[GaussianEvent], delta: float) -> str:
    """Return which accountant `epsilon` uses for these events: 'PLD', or 'RDP' above `MAX_MEANINGFUL_EPSILON`."""
    return "PLD" if rdp_epsilon(events, delta) <= MAX_MEANINGFUL_EPSILON else "RDP"


def combined_noise_multiplier(*multipliers: float) -> float:
    """Compute the noise multiplier of the one Gaussian mechanism that costs exactly as much as several on the same sample.

    The result is (sum of z ** -2) ** (-1/2). Adaptive clipping releases a gradient sum with noise multiplier z, and a
    centered count, to which a record adds plus or minus 1/2, with noise of standard deviation sigma_b:
    `combined_noise_multiplier(z, 2 * sigma_b)` (Andrew et al. 2021, arXiv 1905.03871, theorem 1).

    Args:
        multipliers: noise multipliers of the mechanisms, at least one; the result is 0 if any is.

    Example:
        >>> round(combined_noise_multiplier(1.0, 1.0), 4), combined_noise_multiplier(1.0, 0.0)
        (0.7071, 0.0)
    """
    if min(multipliers) == 0:
        return 0.0
    return 1 / math.sqrt(sum(z**-2 for z in multipliers))


def group_privacy(epsilon_one: float, delta_one: float, size: int) -> tuple[float, float]:
    """Compute epsilon and delta for a group of `size` units, such as a text that occurs `size` times.

    The conversion is (size * eps, delta * (e^(size * eps) - 1) / (e^eps - 1)).

    Args:
        epsilon_one: epsilon for one unit; may be infinite.
        delta_one: delta for one unit.
        size: units in the group.

    Returns:
        Epsilon and delta of the group; a delta of 1, the largest returned, means that nothing is promised.

    Example:
        >>> group_privacy(0.5, 1e-6, 2)[0], round(1e6 * group_privacy(0.5, 1e-6, 2)[1], 3)
        (1.0, 2.649)
    """
    if math.isinf(epsilon_one):
        return math.inf, 1.0
    if epsilon_one == 0:
        return 0.0, min(1.0, size * delta_one)
    # In logarithms, since e^(size * eps) overflows for large epsilon.
    log_delta = _log_expm1(size * epsilon_one) - _log_expm1(epsilon_one) + math.log(delta_one)
    return size * epsilon_one, min(1.0, math.exp(min(log_delta, 0.0)))


def replace_one_privacy(epsilon_one: float, delta_one: float) -> tuple[float, float]:
    """Convert an add-or-remove claim to replace-one adjacency: (2 eps, (1 + e^eps) delta).

    Args:
        epsilon_one: epsilon for one unit added or removed.
        delta_one: delta for one unit added or removed.

    Returns:
        Epsilon and delta for one unit that is changed; delta is at most 1, where nothing is promised.
    """
    # The second term is then at least 1; asking first also avoids an overflow of e^eps.
    if epsilon_one > -math.log(delta_one):
        return 2 * epsilon_one, 1.0
    return 2 * epsilon_one, min(1.0, (1 + math.exp(epsilon_one)) * delta_one)


def _log_expm1(value: float) -> float:
    """Compute log(e^value - 1) without overflow, for value > 0."""
    return value + math.log(-math.expm1(-value))


def _canonical(events: Sequence[GaussianEvent]) -> tuple[GaussianEvent, ...]:
    """Return the events that release anything, sorted: equal compositions then share a cache entry and equal bits."""
    kept = [event for event in events if event.count > 0 and event.sample_rate > 0]
    return tuple(sorted(kept, key=lambda e: (e.sample_rate, e.noise_multiplier, e.count)))


@functools.lru_cache(maxsize=4096)
def _epsilon(events: tuple[GaussianEvent, ...], delta: float) -> float:
    rdp_bound = _rdp_epsilon(events, delta)
    if rdp_bound > MAX_MEANINGFUL_EPSILON or rdp_bound == 0:
        return rdp_bound
    from dp_accounting import pld

    accountant = pld.PLDAccountant(value_discretization_interval=_loss_grid_width(rdp_bound))
    accountant.compose(_as_dp_event(events))
    return max(0.0, float(accountant.get_epsilon(delta)))


@functools.lru_cache(maxsize=16384)
def _rdp_epsilon(events: tuple[GaussianEvent, ...], delta: float) -> float:
    if not events:
        return 0.0
    if any(event.noise_multiplier == 0 for event in events):
        return math.inf
    compute_epsilon = _require_dp_accounting().rdp.compute_epsilon

    def epsilon_by(order: float) -> float:
        divergence = sum(e.count * _renyi_divergence(e.noise_multiplier, e.sample_rate, order) for e in events)
        return float(compute_epsilon([order], [divergence], delta)[0])

    # Where so little is released that the lowest order bounds it by total variation, epsilon is 0 there, and as a
    # function of the order it does not fall and then rise, which the search below relies on.
    if epsilon_by(_ORDERS[0]) == 0:
        return 0.0
    # Integer orders are a hundred times cheaper to compute: find the best one, then look at the orders around it.
    integers = [order for order in _ORDERS if order == int(order)]
    best = _index_of_minimum(epsilon_by, integers)
    edges = [_ORDERS[0], *integers, _ORDERS[-1]]
    nearby = [order for order in _ORDERS if edges[best] <= order <= edges[best + 2]]
    return epsilon_by(nearby[_index_of_minimum(epsilon_by, nearby)])


@functools.lru_cache(maxsize=65536)
def _renyi_divergence(noise_multiplier: float, sample_rate: float, order: float) -> float:
    """Compute the Renyi divergence of one release. Cached: a calibration asks for the same figures many times."""
    accountant = _require_dp_accounting().rdp.RdpAccountant([order])
    accountant.compose(_as_dp_event((GaussianEvent(noise_multiplier, 1, sample_rate),)))
    return float(accountant.rdp[0])


def _index_of_minimum(cost: Callable[[float], float], orders: Sequence[float]) -> int:
    """Return the index of the order of least cost, by bisection: epsilon falls to its minimum and then rises.

    As a function of the order a it is a convex function, the sum of (a - 1) times the divergence and of
    (a - 1) log(a - 1) - a log(a), divided by a growing linear one. Newer versions of dp-accounting (0.5 and 0.6, on Python 3.13)
    give up on some of the lowest fractional orders and call them infinite: the minimum lies above those.
    """
    low, high = 0, len(orders) - 1
    while low < high:
        middle = (low + high) // 2
        here = cost(orders[middle])
        if math.isinf(here) or here > cost(orders[middle + 1]):
            low = middle + 1
        else:
            high = middle
    return low


def _as_dp_event(events: tuple[GaussianEvent, ...]) -> Any:
    """Return the composition of the events as dp-accounting describes it."""
    import dp_accounting as dp

    parts = []
    for event in events:
        gaussian = dp.GaussianDpEvent(event.noise_multiplier)
        release = gaussian if event.sample_rate >= 1 else dp.PoissonSampledDpEvent(event.sample_rate, gaussian)
        parts.append(dp.SelfComposedDpEvent(release, event.count))
    return dp.ComposedDpEvent(parts)


def _loss_grid_width(rdp_bound: float) -> float:
    """Return the width of the privacy loss grid for an epsilon of about this size.

    A coarser grid is cheaper and gives a looser bound. The width only grows with epsilon, so that the bound stays monotone.
    The bound lies within 1 % of that of a ten times finer grid over the range that is used (tested).
    """
    widths = ((15.0, 5e-3), (4.0, 1e-3), (0.8, 5e-4), (0.2, 1e-4))
    return next((width for above, width in widths if rdp_bound > above), 2e-5)


def _require_dp_accounting() -> Any:
    try:
        import dp_accounting
    except ImportError:
        raise ParameterError(
            "LS106",
            "--dp",
            "differential privacy needs dp-accounting, which is not installed",
            "Install it: pip install 'linesmith[dp]'.",
        ) from None
    return dp_accounting
