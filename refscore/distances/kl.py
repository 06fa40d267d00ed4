r"""Kullback-Leibler divergence, KL(p || q) = E_p log p/q, in nats.

Not symmetric, zero for equal laws only, infinite where p has mass and q has none. Gaussians in the coordinates in which
q = N(0, I) and p = N(delta, diag(1 + e)), see `_gaussian_pair`:

    KL = 1/2 sum_i [e_i - log(1 + e_i)] + 1/2 |delta|^2,

a sum of positive terms; e - log(1 + e) is e^2/2 for small e and must not be computed as a difference. With z = e/(2 + e),
log(1 + e) = 2 artanh z and e - 2 z = e z, so that e - log(1 + e) = e z - 2 (z^3/3 + z^5/5 + ...).

All other laws by quadrature. The integrand log p/q changes sign: laws that differ by eta have a KL of order eta^2 as a
difference of parts of order eta. For mixtures these parts are taken away before the sum: with u = log p/q and m = (p + q)/2,

    KL = int p u - p + q = E_m 2 (u - 1 + e^{-u})/(1 + e^{-u}),

whose integrand is positive, and smooth wherever the laws are within a few orders of magnitude of each other.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from refscore import _validate
from refscore.densities import DegenerateGaussian, GaussianMixture, PanelLaw, PointSet
from refscore.distances._factors import paired_factors
from refscore.distances._gaussian_pair import UNIT, gaussian_pair, log_gap

_COARSE = 0.8
"""Spacing of the lattice on which rounding errors are averaged: a factor, not a digit, is asked of them."""


def kl(p: Any, q: Any, *, tolerance: float = 1e-11, max_nodes: int = 4_000_000) -> tuple[float, float]:
    """KL(p || q) = E_p log p/q, and an absolute error.

    Parameters
    ----------
    p, q : densities of the same dimension
        Gaussians of any covariances in any dimension, in closed form; otherwise p must have nodes: mixtures as far as
        quadrature reaches (d <= 3 with ease), noisy Laplace and uniform laws, laws on the line that are given by log p or by
        panels; products in the same axes, of any dimension.
    tolerance, max_nodes :
        Of the quadrature, see `GaussianMixture.expectation`; it warns where the tolerance is missed. Components of
        either law that lie within much wider ones are resolved, or refused. In two and three dimensions narrow components of q
        meet at surfaces within p: what these may hide between nodes is part of the error. A thin one that lies askew to the
        boxes leaves, with the nodes there may be, about 1e-8 of KL and 1e-4 of Fisher's divergence in the plane, 1e-4 and 1e-2 in
        space, where each takes its ten seconds; true errors are a hundredth of that.

    Returns
    -------
    value, error : floats
        Nats. As p approaches q, Gaussians keep their relative accuracy, mixtures about eps/sqrt(KL) of it. Mixtures are measured
        with their masses as given (weights sum to one up to rounding): int p log p/q - p + q.

    Raises
    ------
    TypeError, ValueError
        Where KL is infinite: for point sets and degenerate laws, which have no density, and where q vanishes on a part of p; for
        dimensions that differ; where quadrature needs more than ``max_nodes``; where the value exceeds float64.

    Source: [e], theorem of Chen et al. 2023 (KL(q || gamma) starts the bound); systems H1, H2, H4.
    """
    for name, law in (("p", p), ("q", q)):
        if isinstance(law, (PointSet, DegenerateGaussian)):
            raise ValueError(f"{name} is {type(law).__name__}, which has no density: KL is infinite. Pass "
                             f"{name}.corrupted(alpha, sigma) with sigma > 0, the law of alpha x + sigma z")
        if isinstance(law, type):
            raise TypeError(f"{name} is the class {law.__name__}: pass one of its laws, such as Gaussian([0.0], 1.0)")
        if not all(hasattr(law, member) for member in ("dim", "logpdf", "logpdf_error", "score")):
            raise TypeError(f"{name} is {type(law).__name__}: pass a density, such as a Gaussian or a GaussianMixture")
    if p.dim != q.dim:
        raise ValueError(f"p has dimension {p.dim} and q has dimension {q.dim}: they must agree")
    if (pairs := paired_factors(p, q)) is not None:
        parts = [(n, *kl(a, b, tolerance=tolerance, max_nodes=max_nodes)) for (a, b), n in pairs.items()]
        return sum(n * value for n, value, _ in parts), sum(n * error for n, _, error in parts)
    tolerance, max_nodes = _validate.positive(tolerance, "tolerance"), _validate.count(max_nodes, "max_nodes")
    mixtures = isinstance(p, GaussianMixture) and isinstance(q, GaussianMixture)
    if mixtures and len(p.means) == len(q.means) == 1:
        return _gaussians(p, q)
    if not hasattr(p, "nodes") or not hasattr(p, "expectation"):
        raise TypeError(f"p is {type(p).__name__}, which has no quadrature nodes: as q it will do; as p pass one that has "
                        "nodes(spacing), or average p.logpdf(x) - q.logpdf(x) over x = p.sample(n, rng)")
    if not mixtures:
        return _plain(p, q, tolerance, max_nodes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is replaced below
        found = _plain(p, q, tolerance, max_nodes)
    if found[1] <= tolerance * found[0] or found[0] > 1:  # E_p max(0, log q/p) <= 1: above one nat little cancels
        return found
    other = _positive(p, q, tolerance, max_nodes)
    apart = abs(found[0] - other[0])
    best, worst = sorted((found, other), key=lambda result: result[1])
    return best if apart <= best[1] + worst[1] else (best[0], apart + worst[1])


def _gaussians(p: GaussianMixture, q: GaussianMixture) -> tuple[float, float]:
    pair = gaussian_pair(p, q)
    if not (np.isfinite(pair.excess).all() and np.isfinite(pair.squares.sum())):
        raise ValueError("p exceeds 1e154 standard deviations of q, and KL float64: rescale the coordinates")
    value = 0.5 * float(pair.repeats @ _excess_minus_log(pair.excess, pair.log_ratio) + pair.squares.sum())
    # d(e - log lam) = e dlam/lam
    error = 0.5 * float(pair.repeats @ (np.abs(pair.excess) * pair.ratio_error)) + 0.5 * pair.squares_error
    return value, error + (16 + len(pair.excess).bit_length()) * UNIT * value


def _excess_minus_log(excess: np.ndarray, log_ratio: np.ndarray) -> np.ndarray:
    """e - log(1 + e) >= 0 to relative accuracy, given both."""
    return np.where(np.abs(excess) <= 0.5, log_gap(np.clip(excess, -0.5, 0.5)), excess - log_ratio)


def _plain(p, q, tolerance: float, max_nodes: int) -> tuple[float, float]:
    """E_p log p/q, and for mixtures what their masses lack of one."""
    value, error = _average(p, p, q, lambda u: u, lambda u: 1.0, tolerance, max_nodes)
    if isinstance(p, GaussianMixture) and isinstance(q, GaussianMixture):
        value += float(q.weights.sum() - p.weights.sum())
    return value, error


def _positive(p, q, tolerance: float, max_nodes: int) -> tuple[float, float]:
    """E_m g(u), g = 2 (u - 1 + e^{-u})/(1 + e^{-u}), half of it under p, half under q."""
    def g(u):
        right, left = np.maximum(u, -0.5), np.exp(np.minimum(u, 0))
        excess = np.expm1(-right)
        return np.where(u > -0.5, 2 * _excess_minus_log(excess, -right) / (2 + excess), 2 * (1 + (u - 1) * left) / (1 + left))

    halves = [_average(law, p, q, g, lambda u: 4 * np.abs(np.tanh(u / 2)), tolerance, max_nodes) for law in (p, q)]  # >= |g'|
    return sum(value for value, _ in halves) / 2, sum(error for _, error in halves) / 2


def _average(measure, p, q, g, slope, tolerance: float, max_nodes: int) -> tuple[float, float]:
    """E g(u) under ``measure``, u = log p/q, and its error, rounding of u included; no lattice can do better than that rounding."""
    def rounding(x):
        """|slope(u)| |du|: u rounded by the laws' own bounds, and at nodes that are rounded to eps |x|."""
        u = _log_ratio(p, q, x)
        steep = np.abs(p.score(x) - q.score(x)).sum(axis=1) * np.abs(x).max(axis=1)
        return slope(u) * (p.logpdf_error(x) + q.logpdf_error(x) + 4 * UNIT * steep)

    seen = {"laws": (p, q)} if isinstance(measure, GaussianMixture) else {}
    if measure.dim > 1:  # refuses what is too large before any lattice is laid out
        measure.expectation(lambda x: np.zeros(len(x)), max_nodes=max_nodes, **seen)
    x, w = measure.nodes(_COARSE, **seen)
    lost = 2 * float(w @ rounding(x))
    size = float(w @ np.abs(g(_log_ratio(p, q, x))))
    tolerance = max(tolerance, 10 * lost / size) if size > 0 else 1.0
    value, error = measure.expectation(lambda x: g(_log_ratio(p, q, x)), tolerance=tolerance, max_nodes=max_nodes, **seen)
    return value, error + lost


def _log_ratio(p, q, x: np.ndarray) -> np.ndarray:
    log_q = q.logpdf(x)
    if np.isneginf(log_q).any():
        where = x[np.isneginf(log_q)][0]
        raise ValueError(f"q vanishes, or is below the range of float64, at x = {where}, where p does not: KL(p || q) "
                         "is infinite or too large. " + ("A PanelLaw has no mass outside its panels: take it as p"
                         if isinstance(q, PanelLaw) else "Pass laws of the same support, such as those of noisy data, "
                         "q.corrupted(alpha, sigma)"))
    return p.logpdf(x) - log_q
