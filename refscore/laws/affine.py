"""One kernel of a chain applied to a mixture when its mean is affine: the law stays a mixture, in any dimension.

If m(x) = c + A x, the kernel N(m(x), v I) takes sum_j w_j N(mu_j, C_j) to sum_j w_j N(c + A mu_j, A C_j A' + v I): for
one component the closed recursion of a Gaussian target (systems H5). Whether m is affine is found by probing: A from
central differences over a span that loses no digits, then checked at points all over the law. What the check cannot see
is a departure between its points; what it does see is turned into a bound. If the computed mean is off by at most delta
then the kernel is off by at most delta/sqrt(2 pi v) in total variation, and as kernels never increase total variation,
such errors add over the steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refscore.densities import Gaussian, GaussianMixture

if TYPE_CHECKING:  # a chain is handed over as an object: laws share no code with samplers
    from refscore.samplers import Chain

AFFINE = 1e-12
"""Departure from affine, relative to the mean's size, up to which a mean counts as affine; it goes into the error."""

_EPS = np.finfo(np.float64).eps
_CENTRES = 64


def push(chain: Chain, k: int, law: GaussianMixture) -> tuple[GaussianMixture, float] | None:
    """The law after step k and the error it adds in total variation; None where m_k is not affine.

    The error covers rounding and the departure seen by the check; it knows nothing of the error of the score itself.
    """
    centre = law.mean
    constant, slope = _probe(chain, k, centre, np.sqrt(np.diag(law.cov)))
    points = _check_points(law)
    means = chain.mean(k, points)
    departure = float(np.abs(means - (constant + (points - centre) @ slope.T)).max())
    size = float(np.abs(means).max()) + float(np.sqrt(np.trace(law.cov)))
    if not departure <= AFFINE * size:
        return None
    v = float(chain.v[k])
    covs = slope @ _full(law) @ slope.T + v * np.eye(law.dim)
    covs = (covs + covs.transpose(0, 2, 1)) / 2
    after = _mixture(law.weights, constant + (law.means - centre) @ slope.T, covs)
    spectra = np.linalg.eigvalsh(covs)
    shortest = np.sqrt(v if v > 0 else spectra.min())
    # TV of two Gaussians <= 3/2 |C^{-1/2} dC C^{-1/2}|_F (Devroye, Mehrabian & Reddad 2018), dC of a few eps |C|
    rounding = 8 * law.dim * _EPS * float((spectra.max(axis=1) / spectra.min(axis=1)).max())
    return after, (departure + 4 * _EPS * size) / (np.sqrt(2 * np.pi) * shortest) + rounding


def _probe(chain: Chain, k: int, centre: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """m(centre) and the slope A, if m is affine. The span exceeds the centre's size, so that A loses no digits."""
    span = 2.0 ** np.ceil(np.log2(np.maximum(std, np.abs(centre).max())))
    steps = np.diag(span)
    values = chain.mean(k, np.concatenate([centre[None], centre + steps, centre - steps]))
    dim = len(centre)
    return values[0], ((values[1 : dim + 1] - values[dim + 1 :]) / (2 * span[:, None])).T


def _check_points(law: GaussianMixture) -> np.ndarray:
    """Points along the axes and in random directions up to 8 standard deviations away, and centres of components."""
    directions = np.random.default_rng(5).standard_normal((16, law.dim))
    units = np.concatenate([np.eye(law.dim), directions])
    away = np.concatenate([r * units for r in (-8, -3, -1, 1, 3, 8)]) * np.sqrt(np.diag(law.cov))
    stride = max(1, len(law.means) // _CENTRES)
    return np.concatenate([law.mean + away, law.means[::stride]])


def _full(law: GaussianMixture) -> np.ndarray:
    """Covariances as (K, d, d)."""
    if law.covs.ndim == 3:
        return law.covs
    return np.eye(law.dim) * law.covs.reshape(len(law.covs), -1)[:, None, :]


def _mixture(weights: np.ndarray, means: np.ndarray, covs: np.ndarray) -> GaussianMixture:
    if means.shape[1] == 1:
        covs = covs[:, 0, 0]
    return Gaussian(means[0], covs[0]) if len(weights) == 1 else GaussianMixture(weights, means, covs)
