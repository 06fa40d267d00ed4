r"""Fisher divergence and Fisher information, the distances that score matching minimises.

    F(p, q) = 1/2 E_p||grad log p - grad log q||^2,        I(p) = E_p||grad log p||^2

The lectures put the 1/2 into the divergence ([c], [e]; [a] leaves it to the weight), so that explicit score matching IS the
divergence between the data and the model; ``half=False`` leaves it out, as the relative Fisher information of analysis does
(log-Sobolev inequality, de Bruijn's identity). The information never has it. F is not symmetric, not a metric, and blind
to weights: modes far apart whose proportions are wrong cost next to nothing, for the score sees them between the modes only.

Quadrature gives both, with its error. For Gaussians the integrand is a quadratic form, which the d + 1 corners of a simplex
integrate exactly in any dimension; for mixtures it is the trapezoidal rule of `GaussianMixture.expectation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refscore import _quadrature, _validate
from refscore.densities import GaussianMixture, PointSet

_EPS = float(np.finfo(np.float64).eps)
_COARSE = 0.8
"""Spacing of the lattice on which rounding errors are averaged: a factor, not a digit, is asked of them."""


def fisher(p: Any, q: Any, *, half: bool = True, tolerance: float = 1e-11, max_nodes: int = 4_000_000) -> tuple[float, float]:
    """F(p, q) = 1/2 E_p||grad log p - grad log q||^2 (``half=False``: without the 1/2), and an absolute error.

    Parameters
    ----------
    p, q : densities of the same dimension
        Gaussians in any dimension; mixtures as far as quadrature reaches, d <= 3 with ease.
    half : bool
        The convention, see the module.
    tolerance, max_nodes :
        Of the quadrature, see `GaussianMixture.expectation`; it warns where the tolerance is missed. Components of
        either law that lie within much wider ones are resolved, or refused. In two and three dimensions narrow components of q
        meet at surfaces within p: what these may hide between nodes is part of the error. A thin one that lies askew to the
        boxes leaves, with the nodes there may be, about 1e-8 of KL and 1e-4 of Fisher's divergence in the plane, 1e-4 and 1e-2 in
        space, where each takes its ten seconds; true errors are a hundredth of that.

    Returns
    -------
    value, error : floats
        Nats per squared unit of x. The error is that of `GaussianMixture.expectation` (changes between lattices) plus what the
        bounds `score_error` of both scores make of it: for p close to q the value may lie below it.

    Raises
    ------
    TypeError, ValueError
        For point sets, which have no score; for dimensions that differ; where quadrature needs more than ``max_nodes``; where the
        value exceeds float64.

    Source: [c, "Fisher divergence"], [e, "Score matching"]; systems B1.
    """
    if not isinstance(half, (bool, np.bool_)):
        raise TypeError(f"half is {half!r}: pass True for 1/2 E||.||^2 or False for E||.||^2")
    _has_score(p, "p")
    _has_score(q, "q")
    if p.dim != q.dim:
        raise ValueError(f"p has dimension {p.dim} and q has dimension {q.dim}: they must agree")
    _has_nodes(p)
    value, error = _mean_square(p, (p, q), tolerance, max_nodes)
    return (0.5 * value, 0.5 * error) if half else (value, error)


def fisher_information(p: Any, *, tolerance: float = 1e-11, max_nodes: int = 4_000_000) -> tuple[float, float]:
    """I(p) = E_p||grad log p||^2 = -E_p div grad log p (tr C^{-1} for a Gaussian), and an absolute error.

    The trace of the Fisher information matrix of location. Parameters, error and refusals as in `fisher`.
    Source: systems B2, B9 (the constants of implicit and denoising score matching).
    """
    _has_score(p, "p")
    _has_nodes(p)
    return _mean_square(p, (p,), tolerance, max_nodes)


def _has_score(density, name: str) -> None:
    if isinstance(density, PointSet):
        raise ValueError(f"{name} is a point set, which has no density and no score: pass {name}.corrupted(alpha, sigma) with "
                         "sigma > 0, the law of alpha x + sigma z")
    needed = ("dim", "score", "score_error", "score_jacobian", "expectation")
    missing = [method for method in needed if not hasattr(density, method)]
    if "dim" in missing or "score" in missing:
        raise TypeError(f"{name} is {type(density).__name__}: pass a density, such as a Gaussian or a GaussianMixture")
    if missing:
        raise TypeError(f"{name} is {type(density).__name__}, which has a score but no {' and no '.join(missing)}, which give the "
                        "error: pass a law that has them, such as a Gaussian or a GaussianMixture, or average the squared "
                        "difference of the scores by p.expectation or over p.sample(n, rng)")


def _has_nodes(p) -> None:
    """Expectations are taken under p alone."""
    if not hasattr(p, "nodes"):
        raise TypeError(f"p is {type(p).__name__}, which has a score but no quadrature nodes: as q it will do; as p pass one with "
                        "nodes(spacing), or average over p.sample(n, rng) with esm")


def _mean_square(p, laws, tolerance: float, max_nodes: int) -> tuple[float, float]:
    """E_p||s||^2, s the score of the first law minus that of the second, if there is one, and its error."""
    tolerance, max_nodes = _validate.positive(tolerance, "tolerance"), _validate.count(max_nodes, "max_nodes")

    def square(x):
        s = _difference(laws, "score", x)
        with np.errstate(over="ignore"):
            value = (s * s).sum(axis=1)
        if not np.isfinite(value).all():
            raise ValueError("the squared difference of the scores exceeds float64: rescale the coordinates")
        return value

    def rounding(x, roundings=2):
        """|s + e|^2 - |s|^2 <= (2 |s| + |e|) |e|, e from the scores and from nodes that are rounded to eps |x|."""
        slope = np.abs(_difference(laws, "score_jacobian", x)).sum(axis=(1, 2))
        e = np.linalg.norm(sum(law.score_error(x) for law in laws), axis=1) + roundings * _EPS * slope * np.linalg.norm(x, axis=1)
        return (2 * np.sqrt(square(x)) + e) * e

    if all(isinstance(law, GaussianMixture) and len(law.means) == 1 for law in (p, *laws)):
        corners = p.placed(0, _quadrature.simplex(p.dim))  # by the axes: a Cholesky factor of C loses narrow directions
        value = float(square(corners).mean())
        return value, float(rounding(corners, p.dim + 8).mean() + (p.dim + 8) * _EPS * value)
    seen = {"laws": laws} if isinstance(p, GaussianMixture) else {}
    value, error = p.expectation(square, tolerance=tolerance, max_nodes=max_nodes, **seen)
    x, w = p.nodes(_COARSE, **seen)
    return value, error + 2 * float(w @ rounding(x))


def _difference(laws, method: str, x: np.ndarray) -> np.ndarray:
    first, *others = (getattr(law, method)(x) for law in laws)
    return first - others[0] if others else first
