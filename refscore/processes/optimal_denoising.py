r"""Optimal denoising: the least mean squared error with which x_0 can be told from x~ = alpha x_0 + sigma z.

The posterior mean is the best denoiser, and what it leaves is the posterior variance,

    mmse = E||x_0 - E[x_0|x~]||^2 = E tr Cov[x_0|x~];      any other D:  E||x_0 - D(x~)||^2 = mmse + E||D(x~) - E[x_0|x~]||^2.

In terms of the law q of x~ (Tweedie, second order; I its Fisher information) and of the signal-to-noise ratio
snr = alpha^2/sigma^2 (Guo, Shamai & Verdu 2005, theorem 1):

    mmse = sigma^2/alpha^2 (d - sigma^2 I(q)) = 2 d/d(snr) [mutual information of x_0 and x~, in nats].

**Computed** without the difference, which loses all digits where the noise dominates (I -> d/sigma^2) and where points lie many
sigma apart. The components of a mixture are the first thing that x~ does not tell: by the law of total variance

    tr Cov[x_0|x~] = sum_k r_k tr V_k + sum_k r_k |mu_k - mu|^2,
    tr V_k = sum_i sigma^2 lambda_ki/(alpha^2 lambda_ki + sigma^2),      mu_k - mu = sigma^2/alpha (s_k - s),

lambda_ki the variances of component k (0 for a point set, whose posterior is over the points), s_k the scores of the components
of q. Both sums are positive. A single Gaussian has the first alone, in closed form in any dimension.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refscore import _validate

_EPS = float(np.finfo(np.float64).eps)
_DROPPED = math.exp(-50)  # posterior weights below this may be left out (`Components.reach`)
_COARSE = 0.8


def denoising_error(
    density: Any, alpha: float, sigma: float, *, tolerance: float = 1e-11, max_nodes: int = 4_000_000
) -> tuple[float, float]:
    """mmse = E tr Cov[x_0 | x~] of x~ = alpha x_0 + sigma z, summed over dimensions, and an absolute error.

    Parameters
    ----------
    density : Gaussian, DegenerateGaussian (any dimension), GaussianMixture, PointSet (as far as quadrature reaches)
        The law of x_0.
    alpha, sigma : floats
        Signal scale and standard deviation of the noise, both positive.
    tolerance, max_nodes :
        Of the quadrature over x~, see `GaussianMixture.expectation`; it warns where the tolerance is missed.

    Returns
    -------
    value, error : floats
        In squared units of x_0.

    Raises
    ------
    TypeError, ValueError
        For other densities; alpha = 0 (nothing is told: the error is the trace of ``density.cov``) or sigma = 0 (nothing is hidden:
        it is 0); where quadrature needs more than ``max_nodes``, or float64 is exceeded.

    Source: [e, "suitable for optimal denoising"]; systems B12.
    """
    if not hasattr(density, "spectrum"):
        raise TypeError(f"density is {type(density).__name__}: pass a Gaussian, a GaussianMixture or a PointSet")
    alpha, sigma = _validate.positive(alpha, "alpha"), _validate.positive(sigma, "sigma")
    law = density.corrupted(alpha, sigma)
    # sigma^2 lambda/(alpha^2 lambda + sigma^2), by ratios that neither overflow nor vanish
    root = np.sqrt(density.spectrum)
    shrink = sigma / np.hypot(alpha * root, sigma)
    variance = ((root * shrink) ** 2).sum(axis=1) * (law.dim / root.shape[1])
    within = float(law.weights @ variance)
    rounding = (law.dim + 16) * _EPS * within
    if len(law.means) == 1:
        return within, rounding
    scale = sigma * (sigma / alpha)

    def between(x):
        return scale * (scale * law.score_spread(x))

    value, error = law.expectation(lambda x: within + between(x), tolerance=tolerance, max_nodes=max_nodes)
    x, w = law.nodes(_COARSE, laws=(law,))
    square = between(x)
    step = 2 * _EPS * np.linalg.norm(x, axis=1)  # nodes are rounded
    e = scale * (np.linalg.norm(law.score_error(x), axis=1) + step * np.abs(law.score_jacobian(x)).sum(axis=(1, 2)))
    ratio = 4 * law.logpdf_error(x) + step * np.sqrt(law.score_spread(x))
    rounding += 2 * float(w @ ((2 * np.sqrt(square) + e) * e + ratio * square))
    steps = scale / law.spectrum.min() * np.linalg.norm(law.means - law.mean, axis=1)  # |mu_k - mu| at most
    error += rounding + _DROPPED * (2 * float(steps.max())) ** 2
    if not math.isfinite(error):
        raise ValueError(f"with alpha = {alpha}, sigma = {sigma} x~ or its score exceeds float64: rescale the coordinates")
    return value, error
