r"""Two Gaussians, p = N(m_p, C_p) and q = N(m_q, C_q), in the coordinates in which q is N(0, I) and p is N(delta, diag(lam)).

With C_q = L L' the covariance of p becomes I + E, E = L^{-1}(C_p - C_q)L^{-T}, and one rotation takes it to its axes: the
covariances need not commute. All that distances ask for are the lam_i, the squares delta_i^2, and how often each occurs.

Laws that are nearly equal must keep the digits of what distinguishes them, so the excess e = lam - 1 is computed from the
difference of the covariances, whose relative rounding survives whitening (Ostrowski's theorem); where they are far apart,
lam = s^2 with s the singular values of L_q^{-1} L_p, which resolves small ones against large ones.

Equal covariances C are the one-dimensional case along C^{-1/2} a, a = m_p - m_q, whatever C: all that is asked for is |delta|^2 =
a'C^{-1}a, and for any y, with r = a - C y,

    a'C^{-1}a = a'y + r'y + r'C^{-1}r,      0 <= r'C^{-1}r <= |r|^2/lambda_min,

so that a y that solves C y = a to some digits leaves an error of twice as many.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from refscore.densities import GaussianMixture

UNIT = 2.0**-53
_EXTENDED = np.longdouble  # float64 on some machines
_NEAR = 0.5
_SINGULAR = "the covariance of {} is singular to rounding (no Cholesky factor): add to its diagonal"
_UNKNOWN = 0.1  # relative error of an eigenvalue from which on nothing is handed out


class GaussianPair(NamedTuple):
    """p seen from q, along groups of k axes on which the variances agree."""

    excess: np.ndarray  # (k,) lam - 1
    log_ratio: np.ndarray  # (k,) log lam
    squares: np.ndarray  # (k,) sum of delta_i^2 over the axes of a group
    repeats: np.ndarray  # (k,) how many axes
    ratio_error: np.ndarray  # (k,) relative error of lam
    squares_error: float  # absolute error of the sum of all squares


def gaussian_pair(p: GaussianMixture, q: GaussianMixture) -> GaussianPair:
    """The pair of two laws with one component each, of equal dimension.

    Excess and squares are inf where they exceed float64; ValueError where it does not resolve one covariance against the other.
    """
    with np.errstate(over="ignore"):
        away = p.means[0] - q.means[0]
    if p.covs.ndim == q.covs.ndim == 3 and np.array_equal(p.covs, q.covs):
        found = _equal(p, away)
    elif max(p.covs.ndim, q.covs.ndim) == 3:
        found = _full(_matrix(p), _matrix(q), away)
    else:
        found = _diagonal(p.covs[0], q.covs[0], away)
    if not (found.ratio_error < _UNKNOWN).all():
        raise ValueError("float64 does not resolve the covariance of p in terms of that of q: one of them is singular to rounding "
                         "(pass variances along common axes, shape (d,), if there are such)")
    return found


def _diagonal(a: np.ndarray, b: np.ndarray, away: np.ndarray) -> GaussianPair:
    """Variances a and b, scalar or (d,); axes with the same pair of variances make one group."""
    pairs = np.stack(np.broadcast_arrays(a, b), axis=-1).reshape(-1, 2)
    pairs, group = np.unique(pairs, axis=0, return_inverse=True)
    a, b = pairs.T
    with np.errstate(over="ignore"):
        excess = (a - b) / b
        squares = away**2 / (b[0] if len(b) == 1 else b[group.ravel()])
    log_ratio = np.where(np.abs(excess) < _NEAR, np.log1p(np.maximum(excess, -_NEAR)), np.log(a) - np.log(b))
    if len(b) == 1:
        squares, repeats = squares.sum(keepdims=True), np.array([float(len(away))])
    else:
        squares, repeats = np.bincount(group.ravel(), squares), np.bincount(group.ravel()).astype(np.float64)
    # a difference and a quotient: relative to e where p is near, to lam elsewhere
    rounding = 2 * UNIT * np.minimum(1.0, np.abs(excess) / np.exp(np.clip(log_ratio, -600, 0)))
    return GaussianPair(excess, log_ratio, squares, repeats, rounding, (len(away).bit_length() + 8) * UNIT * float(squares.sum()))


def _equal(p: GaussianMixture, away: np.ndarray) -> GaussianPair:
    """One group without excess; sums in extended precision, whose unit counts where there is none."""
    from scipy.linalg import cho_factor, cho_solve

    dim, cov = len(away), p.covs[0]
    scale = float(np.abs(away).max()) or 1.0
    least = float(p.spectrum.min() - 4 * dim * UNIT * p.spectrum.max())
    if not least > 0:
        raise ValueError(_SINGULAR.format("p"))
    y = cho_solve(cho_factor(cov, lower=True), away / scale)
    wide_y, wide_a = y.astype(_EXTENDED), away.astype(_EXTENDED) / scale
    r = wide_a - cov.astype(_EXTENDED) @ wide_y
    size = float(np.abs(away / scale) @ np.abs(y) + np.abs(y) @ (np.abs(cov) @ np.abs(y)))
    square = float((wide_a + r) @ wide_y)
    error = float(r @ r) / least + (dim + 8) * float(np.finfo(_EXTENDED).eps) * size + 4 * UNIT * square
    with np.errstate(over="ignore"):
        return GaussianPair(np.zeros(1), np.zeros(1), np.array([square]) * scale * scale, np.array([float(dim)]), np.zeros(1),
                            error * scale * scale)


def _full(a: np.ndarray, b: np.ndarray, away: np.ndarray) -> GaussianPair:
    dim = len(away)
    root, inverse, doubt = _factor(b, "q")
    whitened = inverse @ (a - b) @ inverse.T
    excess, axes = np.linalg.eigh((whitened + whitened.T) / 2)
    size = float(np.abs(excess).max())
    if size < _NEAR:
        log_ratio, ratio_error = np.log1p(excess), doubt * size / (1 - _NEAR) * np.ones(dim)
    else:
        other, _, other_doubt = _factor(a, "p")
        axes, singular, _ = np.linalg.svd(inverse @ other)
        excess, log_ratio = (singular - 1) * (singular + 1), 2 * np.log(singular)
        ratio_error = doubt + other_doubt + 8 * (dim + 4) * UNIT * singular[0] / singular
    with np.errstate(over="ignore", invalid="ignore"):
        delta = axes.T @ (inverse @ away)
        squares = delta * delta
    return GaussianPair(excess, log_ratio, squares, np.ones(dim), ratio_error, doubt * float(squares.sum()))


def _factor(cov: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, float]:
    """(L, L^{-1}, relative error in which both leave quadratic forms): LL' = C + dC with |dC| <= (d + 1) u |L||L|'.

    |L^{-1}||L| bounds what dC, and the products with L^{-1}, become in whitened coordinates; it does not see units.
    """
    try:
        root = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        raise ValueError(_SINGULAR.format(name)) from None
    inverse = np.linalg.inv(root)
    magnitude = np.abs(inverse) @ np.abs(root)
    norm2 = float(magnitude.sum(axis=0).max() * magnitude.sum(axis=1).max())  # |M|_2^2 <= |M|_1 |M|_inf
    return root, inverse, 4 * (len(cov) + 4) * UNIT * norm2


def _matrix(p: GaussianMixture) -> np.ndarray:
    cov = p.covs[0]
    return cov if cov.ndim == 2 else np.eye(p.dim) * cov


def log_gap(z: np.ndarray) -> np.ndarray:
    """g(z) = z - log(1 + z), real or complex, without cancellation: with y = z/(2 + z) it is z y - 2 (y^3/3 + y^5/5 + ...)."""
    result = np.empty_like(z)
    near = np.abs(z) <= 0.5
    x, far = z[near], z[~near]
    y = x / (2 + x)
    square, tail = y * y, np.zeros_like(x)
    for k in range(16, -1, -1):  # |y| <= 1/3
        tail = tail * square + 1 / (2 * k + 3)
    result[near], result[~near] = x * y - 2 * y * square * tail, far - np.log(1 + far)
    return result
