r"""The Gaussian N(m, C): log p = -1/2 (x - m)'C^{-1}(x - m) - 1/2 log det(2 pi C), s = C^{-1}(m - x), Ds = -C^{-1}.

A mixture with one component, and computed as one (systems A2).
"""

from __future__ import annotations

import numpy as np

from refscore.densities._literal import literal
from refscore.densities.gaussian_mixture import GaussianMixture


class Gaussian(GaussianMixture):
    """Gaussian law in d dimensions.

    Parameters
    ----------
    mean : (d,)
    cov : scalar variance (isotropic), (d,) variances along the axes, or (d, d) covariance, positive definite

    Raises
    ------
    ValueError
        As `GaussianMixture`.

    Source: systems A2; [b, sec. 1].
    """

    def __init__(self, mean, cov):
        mean = np.array(mean, dtype=np.float64)
        if mean.ndim != 1 or not mean.size:
            raise ValueError(f"mean has shape {mean.shape}: pass shape (d,), for one dimension [m]")
        cov = np.array(cov, dtype=np.float64)
        if cov.shape not in {(), mean.shape, mean.shape * 2}:
            raise ValueError(f"cov has shape {cov.shape}: pass a scalar, ({mean.size},) or ({mean.size}, {mean.size})")
        super().__init__(np.ones(1), mean[None], cov[None])

    def __repr__(self):
        return f"Gaussian(mean={literal(self.means[0])}, cov={literal(self.covs[0])})"
