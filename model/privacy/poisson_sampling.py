"""Exact Poisson samples of units.

A sample holds each unit independently with the same probability, which is what the accountant assumes. It is drawn by the
gaps between drawn units, which are geometric, so that its cost grows with the sample and not with the data. A sample has any
size, 0 included, and is never cut short.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.model.privacy.secret_key import Seed, random_generator


def poisson_sample(units: int, rate: float, seed: Seed) -> npt.NDArray[np.int64]:
    """Draw each of `units` units independently with probability `rate`.

    Args:
        units: number of units.
        rate: q, above 0 and at most 1.
        seed: 128 secret bits; the sample is a pure function of the arguments.

    Returns:
        Indices of the drawn units, ascending, [drawn] int64; may be empty.

    Raises:
        ValueError: the rate does not lie in (0, 1].
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate must lie in (0, 1], found {rate}")
    if rate == 1:
        return np.arange(units, dtype=np.int64)
    random = random_generator(seed)
    expected = units * rate
    # Almost always one chunk of gaps covers all units.
    chunk = int(expected + 4 * np.sqrt(expected) + 16)
    parts: list[npt.NDArray[np.int64]] = []
    last = -1
    while last < units:
        # All gaps beyond the last unit mean the same, and unlimited ones would overflow when added up.
        gaps = np.minimum(random.geometric(rate, chunk), units + 1)
        found = last + np.cumsum(gaps, dtype=np.int64)
        last = int(found[-1])
        parts.append(found)
    drawn = np.concatenate(parts)
    return drawn[drawn < units]
