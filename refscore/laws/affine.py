"""One kernel of a chain applied to a mixture when its mean is affine: the law stays a mixture, in any dimension.

If m(x) = c + A x, the kernel N(m(x), v I) takes sum_j w_j N(mu_j, C_j) to sum_j w_j N(c + A mu_j, A C_j A' + v I): for
one component the closed recursion of a Gaussian target (systems H5). Whether m is affine is found by probing: A from
central differences over a span that loses no digits, then checked at points all over the law. What the check cannot see
is a departure between its points (`law` says how far apart they are); what it does see is turned into a bound.

Error. Let the mean of step j be off by at most delta_j, and let the steps after it map x to Phi_j x + noise, noise since
and with step j of covariance V_j. Exchanging the steps one by one, each exchange shifts Gaussians N(., V_j) by
Phi_j delta_j, so together they cost sum_j |V_j^{-1/2} Phi_j| delta_j/sqrt(2 pi) in total variation: a contracting chain
forgets. Covariances rounded by dC_j end as Phi_j dC_j Phi_j', which costs at most 3/2 |C^{-1/2} Phi_j dC_j Phi_j' C^{-1/2}|_F
with C the last covariance (Devroye, Mehrabian & Reddad 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from refscore.densities import Gaussian, GaussianMixture

if TYPE_CHECKING:  # a chain is handed over as an object: laws share no code with samplers
    from refscore.samplers import Chain

AFFINE = 1e-12
"""Departure from affine, relative to the mean's size, up to which a mean counts as affine; it goes into the error."""

_EPS = np.finfo(np.float64).eps
_LARGEST = 1e150
_CENTRES = 64
_FINE = 1024
_REACH = 9.0


class Step(NamedTuple):
    """x -> slope x + c + sqrt(v) z, how far off its mean may be, and how far off the covariances."""

    slope: np.ndarray
    v: float
    mean_error: float
    cov_error: float


def push(chain: Chain, k: int, law: GaussianMixture) -> tuple[GaussianMixture, Step] | None:
    """The law after step k, and the step with its errors; None where m_k is not affine.

    The errors cover rounding and the departure seen by the check; they know nothing of the error of the score itself.
    """
    centre = law.mean
    constant, slope = _probe(chain, k, centre, np.sqrt(np.diag(law.cov)))
    departure = size = 0.0
    for points in _check_points(law):
        means = chain.mean(k, points)
        departure = max(departure, float(np.abs(means - (constant + (points - centre) @ slope.T)).max()))
        size = max(size, float(np.abs(means).max()) + float(np.sqrt(np.trace(law.cov))))
        if not departure <= AFFINE * size:
            return None
    v = float(chain.v[k])
    covs = slope @ _full(law) @ slope.T + v * np.eye(law.dim)
    covs = (covs + covs.transpose(0, 2, 1)) / 2
    smallest, largest = np.linalg.eigvalsh(covs)[:, [0, -1]].T
    if not ((smallest > _EPS * largest) & (largest < _LARGEST)).all():
        growth = np.linalg.norm(slope, 2)
        why = f"the chain diverges (a step stretches by {growth:.3g}), take shorter steps"
        if growth <= 1:
            why = "steps without noise leave a direction without width"
        what = "ratio" if (largest < _LARGEST).all() else "size"
        raise ValueError(f"after step {k + 1} the law's covariance has eigenvalues from {smallest.min():.3g} to "
                         f"{largest.max():.3g}, whose {what} float64 does not resolve: {why}")
    after = _mixture(law.weights, constant + (law.means - centre) @ slope.T, covs)
    summands = np.abs(slope) @ np.abs(_full(law)) @ np.abs(slope).T + v * np.eye(law.dim)  # n of them: n roundings of their size
    rounding = 2 * (law.dim + 4) * _EPS * float(np.linalg.norm(summands, axis=(1, 2)).max())
    return after, Step(slope, v, np.sqrt(law.dim) * (departure + 4 * _EPS * size), rounding)


def error(steps: list[Step], law: GaussianMixture) -> float:
    """Bound on the error in total variation of ``law``, the law after these steps (module docstring)."""
    if not steps:
        return 0.0
    whiten = np.linalg.inv(np.linalg.cholesky(_full(law)))
    flow, noise, total = np.eye(law.dim), np.zeros((law.dim, law.dim)), 0.0
    for step in reversed(steps):
        noise = noise + step.v * flow @ flow.T
        spread = np.linalg.norm(whiten @ flow, 2, axis=(1, 2)).max()
        # without noise since, there is the spread of the law only: enough for rounding, which shifts it as a whole
        shift = np.linalg.norm(np.linalg.solve(np.linalg.cholesky(noise), flow), 2) if noise.any() else spread
        total += shift * step.mean_error / np.sqrt(2 * np.pi) + 1.5 * spread**2 * step.cov_error
        flow = flow @ step.slope
    return float(total)


def _probe(chain: Chain, k: int, centre: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """m(centre) and the slope A, if m is affine. The span exceeds the centre's size, so that A loses no digits."""
    span = 2.0 ** np.ceil(np.log2(np.maximum(std, np.abs(centre).max())))
    steps = np.diag(span)
    values = chain.mean(k, np.concatenate([centre[None], centre + steps, centre - steps]))
    dim = len(centre)
    return values[0], ((values[1 : dim + 1] - values[dim + 1 :]) / (2 * span[:, None])).T


def _check_points(law: GaussianMixture) -> Iterator[np.ndarray]:
    """Along the axes and in random directions up to 8 standard deviations away, and centres; then finely, if d = 1."""
    directions = np.random.default_rng(5).standard_normal((16, law.dim))
    units = np.concatenate([np.eye(law.dim), directions])
    away = np.concatenate([r * units for r in (-8, -3, -1, 1, 3, 8)]) * np.sqrt(np.diag(law.cov))
    centres = law.means[:: max(1, len(law.means) // _CENTRES)]
    yield np.concatenate([law.mean + away, centres])
    if law.dim == 1:
        reach = _REACH * np.sqrt(law.covs.reshape(-1)[:: max(1, len(law.means) // _CENTRES)])
        yield (centres[:, 0] + np.linspace(-1, 1, _FINE // len(centres))[:, None] * reach).reshape(-1, 1)
        if len(law.means) > 1:
            yield law.mean + np.linspace(-_REACH, _REACH, _FINE)[:, None] * np.sqrt(law.cov)


def _full(law: GaussianMixture) -> np.ndarray:
    """Covariances as (K, d, d)."""
    if law.covs.ndim == 3:
        return law.covs
    return np.eye(law.dim) * law.covs.reshape(len(law.covs), -1)[:, None, :]


def _mixture(weights: np.ndarray, means: np.ndarray, covs: np.ndarray) -> GaussianMixture:
    if means.shape[1] == 1:
        covs = covs[:, 0, 0]
    return Gaussian(means[0], covs[0]) if len(weights) == 1 else GaussianMixture(weights, means, covs)
