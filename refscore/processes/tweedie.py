"""Tweedie's formulas: the posterior of the clean point from the score of the corrupted law.

For x_t = alpha x_0 + sigma z with any law of x_0, and s = grad log p_t the score of the law of x_t (Robbins 1956; Efron
2011; [e]):

    E[x_0 | x_t]   = (x_t + sigma^2 s(x_t))/alpha
    Cov[x_0 | x_t] = sigma^2/alpha^2 (I + sigma^2 Ds(x_t)),   Ds the Jacobian of s

They are exact for the score of p_t; with a model in place of s they are what the model implies, which need not be a
posterior of anything (the "covariance" can fail to be symmetric or positive).
"""

from __future__ import annotations

import numpy as np

from refscore import _validate
from refscore.processes._noising import like, representable


def posterior_mean(xt, score, alpha, sigma) -> np.ndarray:
    """E[x_0 | x_t] = (x_t + sigma^2 score)/alpha, shape (n, d).

    Parameters
    ----------
    xt, score : (n, d)
        Points and the score of p_t there.
    alpha, sigma : scalar or (n,)
        Signal scale (not 0) and noise standard deviation (>= 0).

    Raises
    ------
    ValueError
        Where alpha = 0: x_t then says nothing about x_0; or where the result exceeds float64.
    """
    xt = _validate.batch(xt, name="xt")
    score = like(score, xt, "score", "xt")
    alpha, sigma = _scales(alpha, sigma, xt.shape[0])
    with np.errstate(over="ignore", invalid="ignore"):
        mean = (xt + sigma[:, None] * (sigma[:, None] * score)) / alpha[:, None]
    return representable(mean, "the posterior mean", "alpha is too small, or the score too large, for these points")


def posterior_covariance(score_jacobian, alpha, sigma) -> np.ndarray:
    """Cov[x_0 | x_t] = sigma^2/alpha^2 (I + sigma^2 Ds), shape (n, d, d).

    Parameters
    ----------
    score_jacobian : (n, d, d)
        Ds at the points x_t.
    alpha, sigma : scalar or (n,)
        As in `posterior_mean`.
    """
    jacobian = np.asarray(score_jacobian, dtype=np.float64)
    if jacobian.ndim != 3 or jacobian.shape[1] != jacobian.shape[2]:
        raise ValueError(f"score_jacobian has shape {jacobian.shape}: pass one Jacobian a point, shape (n, d, d)")
    _validate.finite(jacobian, "score_jacobian")
    alpha, sigma = (scale[:, None, None] for scale in _scales(alpha, sigma, jacobian.shape[0]))
    with np.errstate(over="ignore", invalid="ignore"):
        covariance = (sigma / alpha) ** 2 * (np.eye(jacobian.shape[1]) + sigma * (sigma * jacobian))
    return representable(covariance, "the posterior covariance", "alpha is too small for this sigma")


def _scales(alpha, sigma, n: int) -> tuple[np.ndarray, np.ndarray]:
    alpha, sigma = _scale(alpha, n, "alpha"), _scale(sigma, n, "sigma")
    if not alpha.all():
        raise ValueError("alpha is 0: x_t then carries nothing of x_0; pass alpha > 0 (an earlier time)")
    return alpha, sigma


def _scale(value, n: int, name: str) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if array.shape not in ((), (n,)):
        raise ValueError(f"{name} has shape {array.shape}: pass a scalar, or one {name} a row, shape ({n},)")
    _validate.finite(np.atleast_1d(array), name)
    if (array < 0).any():
        raise ValueError(f"{name} is {array.min()}: pass {name} >= 0 (sigma is a standard deviation, alpha a scale)")
    return np.broadcast_to(array, (n,))
