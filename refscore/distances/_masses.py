"""P(X <= x) on the line as weights of whole components plus tails, so that it keeps its digits between modes that lie far apart.

There F is 1/2, say, to all digits, and what is left of it, 1e-30, decides which point of one law belongs to which of another. The
weights of the components below x are summed with their rounding errors: equal ones cancel exactly.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from refscore import _blocks
from refscore.densities import GaussianMixture, PushForward


def mass_below(law: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sums of weights (2, n, 2), tails (n,)): F = sums[0].sum(axis=1) + tails, 1 - F = sums[1].sum(axis=1) - tails.

    Each sum is a float and what rounding took away from it. For laws without components it is 0 or 1, whichever is nearer.
    """
    if isinstance(law, PushForward):
        law, x = law.base, law._preimage(x[:, None])[0][:, 0]
    if not isinstance(law, GaussianMixture):
        below, above = law.cdf(x[:, None]), law.sf(x[:, None])
        sums = np.zeros((2, len(x), 2))
        sums[0, :, 0], sums[1, :, 0] = below > above, below <= above
        return sums, np.where(below > above, -above, below)
    order = np.argsort(law.means[:, 0], kind="stable")
    means, stds, weights = law.means[order, 0], np.sqrt(law.covs.reshape(-1))[order], law.weights[order]
    passed = np.searchsorted(means, x)  # how many lie below x
    sums = np.stack([_running(weights)[passed], _running(weights[::-1])[len(means) - passed]])
    return sums, _blocks.map_rows(partial(_tails, means, stds, weights), x, row_bytes=32 * len(means))


def _running(weights: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ..., K weights and what rounding took away, (K + 1, 2)."""
    rows = [(0.0, 0.0)]
    for weight in weights.tolist():
        total, lost = rows[-1]
        new = total + weight
        shadow = new - total
        rows.append((new, lost + (total - (new - shadow)) + (weight - shadow)))
    return np.array(rows)


def _tails(means: np.ndarray, stds: np.ndarray, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    z = (x[:, None] - means) / stds
    return np.where(means < x[:, None], -1.0, 1.0) * ndtr(-np.abs(z)) @ weights
