"""Find the noise that meets a target epsilon, and the last step that a ceiling permits.

Both searches go through `linesmith.model.privacy.accounting`, and neither result ever exceeds what was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from linesmith.core.errors import ParameterError
from linesmith.model.privacy.accounting import GaussianEvent, epsilon, rdp_epsilon

MAX_NOISE_MULTIPLIER = 2000.0  # a calibration that needs more has failed
_NOISE_DIGITS = 4  # significant digits of a calibrated noise multiplier, always rounded up


def calibrate_noise(target: float, delta: float, events_at: Callable[[float], Sequence[GaussianEvent]]) -> float:
    """Find the smallest noise multiplier, to four significant digits, whose events cost at most `target`.

    Args:
        target: epsilon not to be exceeded.
        delta: delta of everything together.
        events_at: returns the events for a noise multiplier; less noise must cost more.

    Returns:
        The noise multiplier, rounded up. Its epsilon was checked after rounding and does not exceed `target`.

    Raises:
        ParameterError: no noise multiplier up to 2,000 is enough.
    """
    # RDP brackets the result and is much cheaper than PLD.
    by_rdp = _solve_for_noise(lambda z: rdp_epsilon(events_at(z), delta), target, 0.05, MAX_NOISE_MULTIPLIER, 1e-2)
    if by_rdp is None:
        raise ParameterError(
            "LS302",
            f"--dp-target-epsilon {target:g}",
            f"an epsilon of {target:g} at delta {delta:g} cannot be met with a noise multiplier up to {MAX_NOISE_MULTIPLIER:g}",
            "Allow a larger epsilon or fewer epochs, or give more records. Nothing was spent.",
        )
    # PLD is tighter than RDP, by less than a factor 2 of the noise: its result lies just below.
    by_pld = _solve_for_noise(lambda z: epsilon(events_at(z), delta), target, by_rdp / 2, by_rdp * 1.02, 1e-4)
    noise = _round_up(by_rdp if by_pld is None else by_pld)
    while epsilon(events_at(noise), delta) > target:
        noise = _round_up(noise * (1 + 10.0 ** (1 - _NOISE_DIGITS)))
    return noise


def max_steps_within(ceiling: float, planned: int, epsilon_after: Callable[[int], float]) -> int:
    """Find the largest number of steps up to `planned` that costs at most `ceiling`.

    Args:
        ceiling: epsilon not to be exceeded.
        planned: largest number of steps to consider.
        epsilon_after: epsilon after a number of steps; must not fall as steps grow.

    Returns:
        The number of steps; 0 where the first step already costs more.
    """
    if epsilon_after(planned) <= ceiling:
        return planned
    low, high = 0, planned  # low is permitted, high is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if epsilon_after(middle) <= ceiling else (low, middle)
    return low


def _solve_for_noise(
    cost: Callable[[float], float], target: float, low: float, high: float, precision: float
) -> float | None:
    """Find the noise in [low, high] whose cost is the target, to a relative `precision`; None where even `high` costs more."""
    from scipy.optimize import brentq

    def excess(log_noise: float) -> float:
        # In logarithms of noise and cost the curve is almost straight; the bounds keep infinity and 0 out of it.
        return math.log(min(max(cost(math.exp(log_noise)), 1e-12), 1e12) / target)

    if excess(math.log(high)) > 0:
        return None
    if excess(math.log(low)) <= 0:
        return low
    return math.exp(brentq(excess, math.log(low), math.log(high), xtol=precision))


def _round_up(value: float) -> float:
    """Round up to four significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - _NOISE_DIGITS)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.12g}")
