r"""Chains that draw one of B Gaussian kernels in each step: a law by enumeration, moments without (systems F2).

    p_{k+1}(y) = 1/B sum_b int p_k(x) N(y; m_b(x), v) dx,      b running over the C(N, n) minibatches

In one dimension that is the quadrature of `grid` with B components a node. When the score of every datum is affine in x, so that
one datum alone would give the mean x + b_k (s_0 + N s_i) = A_i x + c_i, the moments close, and no minibatch needs to be enumerated:
with A x + c their mean and D_i = (A_i - A) x + (c_i - c),

    m' = A m + c,     C' = A C A' + v I + (N - n)/(n (N - 1)) mean_i E[D_i D_i'],     E[D_i D_i'] = G C G' + (G m + h)(G m + h)',

G = A_i - A, h = c_i - c. The factor is that of draws without replacement; it is 0 for n = N.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore.densities import GaussianMixture

_AFFINE = 1e-11
_REACH = 8.0


def means(chain: Any, k: int, x: np.ndarray) -> np.ndarray:
    """Means of the kernels one of which step k draws, (B, n, d); one only for a chain without minibatches."""
    return chain.means(k, x) if hasattr(chain, "means") else chain.mean(k, x)[None]


def refuse_dimensions(dim: int) -> None:
    """The law of such a chain is known in one dimension only."""
    if dim > 1:
        raise ValueError(f"the law of a chain with minibatches has no finite description in dimension {dim}: take its moments, "
                         "minibatch_moments(chain, initial), one dimension, or simulate")


def minibatch_moments(chain: Any, initial: GaussianMixture) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) of the last state of a chain that `refscore.samplers.sgld` made, exactly, in any dimension.

    Parameters
    ----------
    chain : MinibatchChain
        The score of each datum must be affine in x: Gaussian likelihoods with known covariance, and a Gaussian prior.
    initial : Gaussian or GaussianMixture
        Of which mean and covariance are all that matters.

    Raises
    ------
    ValueError
        For a score that is not affine; it is looked at 8 standard deviations around the mean of the law, in every step.

    Source: Welling & Teh 2011; sampling without replacement: Cochran 1977, sec. 2.5. systems F2.
    """
    if not isinstance(initial, GaussianMixture):
        raise TypeError(f"initial is {type(initial).__name__}: pass a Gaussian or a GaussianMixture")
    if not hasattr(chain, "alone"):
        raise TypeError(f"chain is {type(chain).__name__}: pass what sgld returns; other chains have refscore.laws.law")
    mean, cov = initial.mean, initial.cov
    for k in range(len(chain)):
        slopes, shifts = _affine(chain, k, mean, np.sqrt(np.diag(cov)))
        A, c = slopes.mean(axis=0), shifts.mean(axis=0)
        G, h = slopes - A, shifts - c
        there = G @ mean + h
        spread = (G @ cov @ G.transpose(0, 2, 1)).mean(axis=0) + there.T @ there / len(there)
        data, batch = len(shifts), chain.batch
        share = (data - batch) / (batch * (data - 1)) if data > 1 else 0.0
        mean, cov = A @ mean + c, A @ cov @ A.T + chain.v[k] * np.eye(len(mean)) + share * spread
        cov = (cov + cov.T) / 2
    return mean, cov


def _affine(chain: Any, k: int, centre: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A_i (N, d, d) and c_i (N, d) with A_i x + c_i the mean of step k that datum i alone gives."""
    d = len(centre)
    steps = np.diag(np.maximum(std, np.abs(centre).max()))
    at = chain.alone(k, np.concatenate([centre[None], centre + steps, centre - steps]))
    slopes = ((at[:, 1 : d + 1] - at[:, d + 1 :]) / (2 * np.diag(steps)[:, None])).transpose(0, 2, 1)
    units = np.concatenate([np.eye(d), np.random.default_rng(5).standard_normal((8, d))])
    away = np.concatenate([r * units for r in (-_REACH, -1.7, 0.6, 3.0)]) * std
    found, expected = chain.alone(k, centre + away), at[:, :1] + away @ slopes.transpose(0, 2, 1)
    if not np.abs(found - expected).max() <= _AFFINE * np.abs(found).max():
        raise ValueError(f"the score of a datum in step {k} is not affine in x, and moments do not close: take law(chain, initial) "
                         "in one dimension, or simulate")
    return slopes, at[:, 0] - slopes @ centre
