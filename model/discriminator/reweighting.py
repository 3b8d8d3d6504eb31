"""The log of a density ratio from noised shares: the least change of a model's records under which their cells have them.

Among all weights of the records whose shares of the cells are as measured, those of the least relative entropy are products of
one factor for each cell (Csiszár 1975, "I-divergence geometry of probability distributions"). Shares that are uncertain count
by their variance (Altun and Smola 2006, "Unifying divergence minimization and statistical inference via convex duality").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linesmith.model.discriminator.partitions import Cells

_STRENGTH = 0.1  # by how many records one record of the model counts against the shares that were measured
_ITERATIONS = 300
Numbers = npt.NDArray[np.float64]


def fit_log_factors(cells: Cells, shares: Numbers, variances: Numbers, real_count: float) -> Numbers:
    """Return the log of the factor of each cell.

    Args:
        cells: of the model's records, [N, partitions].
        shares: of the real records that were measured in each cell, [cells].
        variances: of these shares, [cells].
        real_count: about how many real records there are.
    """
    from scipy.optimize import minimize

    penalty = _STRENGTH * real_count * variances
    flat = cells.ravel()

    def objective(factors: Numbers) -> tuple[float, Numbers]:
        scores = factors[cells].sum(axis=1)
        weights = np.exp(scores - scores.max())
        total = weights.sum()
        reached = np.bincount(flat, np.repeat(weights / total, cells.shape[1]), minlength=len(shares))
        value = scores.max() + np.log(total / len(scores)) - factors @ shares + penalty @ factors**2 / 2
        return float(value), reached - shares + penalty * factors

    found = minimize(
        objective, np.zeros(len(shares)), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS, "gtol": 1e-7}
    )
    return np.asarray(found.x)
