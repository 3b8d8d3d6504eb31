"""The log of a density ratio from shares: the least change of a model's records under which their cells have them.

Among all weights of the records whose shares of the cells are as measured, those of the least relative entropy are products of
one factor for each cell (Csiszár 1975, "I-divergence geometry of probability distributions"). Shares that are uncertain count
by their variance (Altun and Smola 2006, "Unifying divergence minimization and statistical inference via convex duality").
Records are kept with a probability that ends at 1, so weights that end there are looked for: a few times, the factors are found
beside what the last ones lose at that end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.model.discriminator.discriminator import log_bound
from linesmith.model.discriminator.partitions import Cells
from linesmith.model.discriminator.trees import Scores

_ROUNDS = 3
_ITERATIONS = 200
# Of the log of a cell's factor, which nothing holds where a cell is empty and noise is none: 64 of them must not exceed what a
# stored discriminator may have.
_LARGEST = 7.0
_DRAFTS = 10.0  # the default of `gen_drafts`
Numbers = npt.NDArray[np.float64]


def fit_log_factors(cells: Cells, scores: Scores, shares: Numbers, penalties: Numbers) -> Numbers:
    """Return the log of the factor of each cell.

    Args:
        cells: of the model's records, [N, partitions].
        scores: of these records, to which the factors of their cells are added, [N].
        shares: of the real records in each cell, [cells].
        penalties: variance of each share, times by how many real records it counts that a record keeps its weight, [cells].
    """
    factors = np.zeros(len(shares))
    for _ in range(_ROUNDS):
        own = factors[cells].sum(axis=1)
        kept = np.minimum(scores + own, log_bound(scores + own, _DRAFTS))
        factors = _fit(cells, kept - own, shares, penalties, factors)
    return np.clip(factors, -_LARGEST, _LARGEST)


def _fit(cells: Cells, scores: Scores, shares: Numbers, penalties: Numbers, begin: Numbers) -> Numbers:
    """Return the factors under which records of these scores have the shares."""
    from scipy.optimize import minimize

    flat = cells.ravel()

    def objective(factors: Numbers) -> tuple[float, Numbers]:
        reached = scores + factors[cells].sum(axis=1)
        weights = np.exp(reached - reached.max())
        total = weights.sum()
        found = np.bincount(flat, np.repeat(weights / total, cells.shape[1]), minlength=len(shares))
        value = reached.max() + np.log(total / len(scores)) - factors @ shares + penalties @ factors**2 / 2
        return float(value), found - shares + penalties * factors

    options = {"maxiter": _ITERATIONS, "gtol": 1e-7}
    return np.asarray(minimize(objective, begin, jac=True, method="L-BFGS-B", options=options).x)
