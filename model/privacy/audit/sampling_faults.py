"""Statistical test of a trainer's draws: are they the Poisson samples that the claim is computed for?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

FALSE_ALARM_RATE = 0.001  # of all parts of the test together


def sampling_faults(counts: npt.NDArray[np.int64], sizes: list[int], units: int, rate: float) -> list[str]:
    """Test whether units were drawn independently at the planned rate.

    Under Poisson sampling the number of draws of a unit is binomial, and so is the size of a sample. Another rate changes the
    total; a shuffle draws each unit equally often; batches of one size have sizes without variance. The false alarm rate of the
    three tests together is `FALSE_ALARM_RATE`.

    Args:
        counts: how often each unit was drawn, [units].
        sizes: size of the sample of each step.
        units: number of units.
        rate: q, the planned sampling rate.

    Returns:
        Names of the failed tests: 'rate', 'repetition' and 'size'. Empty without steps, or at rate 1.

    Example:
        >>> sampling_faults(np.full(100, 5), [10] * 50, 100, 0.1)  # five epochs of a shuffle
        ['repetition', 'size']
    """
    steps = len(sizes)
    if rate >= 1 or not steps:
        return []
    limit = norm.isf(FALSE_ALARM_RATE / 3 / 2)  # three tests, each with two tails
    trials = steps * units
    faults = []
    if abs(sum(sizes) - trials * rate) > limit * np.sqrt(trials * rate * (1 - rate)):
        faults.append("rate")
    if abs(_variance_score(counts, steps, rate)) > limit:
        faults.append("repetition")
    if abs(_variance_score(np.array(sizes), units, rate)) > limit:
        faults.append("size")
    return faults


def _variance_score(numbers: npt.NDArray[np.int64], trials: int, rate: float) -> float:
    """Compare the variance of numbers with that of Binomial(trials, rate).

    Returns:
        A score that is standard normal if they are binomial (Wilson and Hilferty 1931).
    """
    n, variance = len(numbers), trials * rate * (1 - rate)
    ratio = float(((numbers - trials * rate) ** 2).sum() / variance / n)
    excess = 1 + (1 - 6 * rate * (1 - rate)) / variance / 2  # the fourth moment of a binomial differs from a normal's
    return float((ratio ** (1 / 3) - (1 - 2 / (9 * n))) / np.sqrt(2 / (9 * n) * excess))
