r"""The second road: Gaussian mixtures as a textbook writes them, sharing no code with `refscore.densities`.

Determinants and inverses by `numpy.linalg`, sums over components as they stand, derivatives by the complex step
f'(x) = Im f(x + i h)/h, exact to rounding because nothing is subtracted (Squire & Trapp, SIAM Review 40, 1998). Fit for
moderate points and scales only, which is where identities are checked; the tails are compared with 50 digits in the tests.
"""

from __future__ import annotations

import numpy as np

from refscore import _quadrature

_STEP = 1e-30


def matrices(density) -> np.ndarray:
    """Covariances of a mixture in any of their three forms as (K, d, d)."""
    covs = np.asarray(density.covs)
    return covs if covs.ndim == 3 else np.stack([np.eye(density.dim) * c for c in covs])


def log_terms(density, x) -> np.ndarray:
    """log w_k N(x; m_k, C_k), (n, K); x may be complex."""
    columns = []
    for w, m, c in zip(density.weights, density.means, matrices(density), strict=True):
        u = x - m
        square = np.einsum("ni,ij,nj->n", u, np.linalg.inv(c), u)
        columns.append(np.log(w) - 0.5 * square - 0.5 * np.log(np.linalg.det(2 * np.pi * c)))
    return np.stack(columns, axis=1)


def log_density(density, x) -> np.ndarray:
    """log p(x), (n,); x may be complex."""
    terms = log_terms(density, x)
    top = terms.real.max(axis=1)
    return top + np.log(np.exp(terms - top[:, None]).sum(axis=1))


def score(density, x) -> np.ndarray:
    """sum_k w_k N_k C_k^{-1}(m_k - x)/p, (n, d); x may be complex."""
    terms = log_terms(density, x)
    weights = np.exp(terms - terms.real.max(axis=1, keepdims=True))
    total = 0
    for k, (m, c) in enumerate(zip(density.means, matrices(density), strict=True)):
        total = total + weights[:, k, None] * ((m - x) @ np.linalg.inv(c))
    return total / weights.sum(axis=1, keepdims=True)


def gradient(f, x) -> np.ndarray:
    """Gradient (n, d, ...) of f: (n, d) -> (n, ...) by complex steps."""
    columns = []
    for i in range(x.shape[1]):
        moved = x.astype(complex)
        moved[:, i] += 1j * _STEP
        columns.append(np.asarray(f(moved)).imag / _STEP)
    return np.stack(columns, axis=1)


def rounding(density, x) -> np.ndarray:
    """A bound on the rounding errors of the functions above at rows x, relative to 1 + |result|, (n, 1).

    Inverting C costs d eps cond(C); the exponent -q/2 of a component that matters carries that times q.
    """
    covs = matrices(density)
    condition = max(np.linalg.cond(c) for c in covs)
    q = 2 * np.abs(log_terms(density, x).max(axis=1)) + 2 * np.log(len(covs)) + 100
    return (8 * density.dim * condition * np.finfo(float).eps * q)[:, None]


def nodes(density, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature nodes and weights: the lattice carried into every component by its Cholesky factor."""
    u, w = _quadrature.normal_lattice(density.dim, spacing)
    x = [m + u @ np.linalg.cholesky(c).T for m, c in zip(density.means, matrices(density), strict=True)]
    return np.concatenate(x), np.outer(density.weights, w).ravel()
