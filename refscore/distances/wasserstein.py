r"""Wasserstein's distance W_2(p, q) = min (E|X - Y|^2)^{1/2} over all couplings of X ~ p and Y ~ q.

In units of x, finite for laws without density; it sees how far mass lies apart, which TV and KL do not.

Gaussians: W_2^2 = |m_p - m_q|^2 + B^2 with Bures' distance B^2 = tr[A + C - 2 (A^{1/2} C A^{1/2})^{1/2}] of the covariances. As a
difference it loses the digits of laws that are nearly equal. Let S = (A^{1/2} C A^{1/2})^{1/2}, X = S - A. Then S X + X A =
A^{1/2}(C - A)A^{1/2}, a Sylvester equation, and B^2 = |X A^{-1/2}|_F^2. In the eigenvectors V of S (eigenvalues s_i) and Q of A
(eigenvalues a_j) it is solved entry by entry:

    B^2 = sum_ij [K_ij/(s_i + a_j)]^2,      K = V'A^{1/2}(C - A)Q;      on common axes B^2 = sum_i (sqrt c_i - sqrt a_i)^2.

On the line the monotone coupling F(x) = G(y) is optimal. Along it, z = x + y is a smooth parameter, whatever gaps p and q have:
f dx = g dy gives dx/dz = g/(f + g), hence

    W_2^2 = int_0^1 (F^{-1} - G^{-1})^2 dt = int (x - y)^2 fg/(f + g) dz.

Products add squares. Point sets: on the line by merging their cumulative weights; elsewhere, with equal weights and sizes, by an
optimal assignment.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refscore import _quadrature
from refscore.densities import GaussianMixture, PanelLaw, PointSet, PushForward
from refscore.distances._bisection import bisect
from refscore.distances._factors import paired_factors
from refscore.distances._gaussian_pair import UNIT
from refscore.distances._masses import mass_below

_LEVELS = 4
_TOLERANCE = 1e-14
_MOST_POINTS = 10_000


def wasserstein2(p: Any, q: Any) -> tuple[float, float]:
    """W_2(p, q), not its square, and an absolute error estimate; in units of x.

    Parameters
    ----------
    p, q : laws of the same dimension
        Gaussians in any dimension; Gaussians, mixtures, push-forwards and panel laws on the line; products of them in the same
        axes; point sets: any two on the line, in several dimensions with equally many points (up to 10^4) of equal weights, whose
        assignment costs the cube of their number: 3000 points half a minute.

    Raises
    ------
    TypeError, ValueError
        For other laws or pairs, dimensions that differ, distances beyond float64.

    Source: Olkin & Pukelsheim 1982; Villani 2003, sec. 2.2; systems H6.
    """
    for name, law in (("p", p), ("q", q)):
        if not hasattr(law, "dim"):
            raise TypeError(f"{name} is {type(law).__name__}: pass a law, such as a Gaussian, a GaussianMixture or a PointSet")
    if p.dim != q.dim:
        raise ValueError(f"p has dimension {p.dim} and q has dimension {q.dim}: they must agree")
    if (pairs := paired_factors(p, q)) is not None:
        found = [(math.sqrt(count), *wasserstein2(*pair)) for pair, count in pairs.items()]
        return math.hypot(*(root * value for root, value, _ in found)), math.hypot(*(root * error for root, _, error in found))
    if isinstance(p, PointSet) and isinstance(q, PointSet):
        return _on_a_line(p, q) if p.dim == 1 else _assignment(p, q)
    if isinstance(p, GaussianMixture) and isinstance(q, GaussianMixture) and len(p.means) == len(q.means) == 1:
        return _gaussians(p, q)
    if p.dim == 1 and all(isinstance(law, GaussianMixture | PushForward | PanelLaw) for law in (p, q)):
        return _quantiles(p, q)
    raise ValueError(f"W_2 of {type(p).__name__} and {type(q).__name__} in dimension {p.dim} is not known here: pass Gaussians, "
                     "two point sets (samples of both laws, with the error of sampling), laws on the line, or products of them")


# ---- Gaussians -------------------------------------------------------------------------------------------------------


def _gaussians(p: GaussianMixture, q: GaussianMixture) -> tuple[float, float]:
    with np.errstate(over="ignore"):
        away = math.hypot(*(p.means[0] - q.means[0]))
    if max(p.covs.ndim, q.covs.ndim) < 3:
        a, c = (np.broadcast_to(law.covs[0], p.dim) for law in (p, q))
        bures, error = math.hypot(*((c - a) / (np.sqrt(a) + np.sqrt(c)))), 0.0
    else:
        bures, error = _bures(*(law.covs[0] if law.covs.ndim == 3 else np.eye(p.dim) * law.covs[0] for law in (p, q)))
    value = math.hypot(away, bures)
    if not math.isfinite(value):
        raise ValueError("the means lie apart by more than float64 can hold: rescale the coordinates")
    return value, error + 8 * UNIT * value


def _bures(A: np.ndarray, C: np.ndarray) -> tuple[float, float]:
    """B and its error: A and C are taken apart to within (d + 4) units of their norms, their difference is exact to one."""
    (a, Q), (c, R) = np.linalg.eigh(A), np.linalg.eigh(C)
    a, c = (np.maximum(spectrum, UNIT * spectrum[-1]) for spectrum in (a, c))
    root = (Q * np.sqrt(a)) @ Q.T
    _, s, V = np.linalg.svd(((R * np.sqrt(c)) @ R.T) @ root)
    value = float(np.linalg.norm(V @ root @ (C - A) @ Q / (s[:, None] + a)))
    rounding = 8 * (len(a) + 4) * UNIT
    relative = rounding * max(spectrum[-1] / spectrum[0] for spectrum in (a, c))
    moved = rounding * sum(spectrum[-1] / math.sqrt(spectrum[0]) for spectrum in (a, c))  # W_2 of N(0, A) and N(0, A + dA)
    return value, float(min(relative * value, moved))


# ---- the line --------------------------------------------------------------------------------------------------------


def _quantiles(p: Any, q: Any) -> tuple[float, float]:
    """int (x - y)^2 fg/(f + g) dz on panels that resolve both laws, halved until it stands still."""
    x, y = p.grid(1.0), q.grid(1.0)
    ends = x[0], x[-1], y[0], y[-1]
    z = np.unique(np.concatenate([x + _partner(p, q, x), y + _partner(q, p, y)]))
    before = math.nan
    for level in range(_LEVELS):
        nodes, weights = _quadrature.panels(z, 2**level)
        low, high = np.maximum(ends[0], nodes - ends[3]), np.minimum(ends[1], nodes - ends[2])
        x = bisect(lambda x, z=nodes: _excess(p, q, x, z - x), low, high)
        square, blur = _cost(p, q, x, nodes - x, weights)
        change, before = abs(square - before), square
        if change <= _TOLERANCE * square:
            break
    value, blur = math.sqrt(square), blur + _mismatch(p, q)
    return value, blur + math.sqrt(change) * min(1.0, math.sqrt(change) / (value or 1.0)) + 16 * UNIT * value


def _mismatch(p: Any, q: Any) -> float:
    """What it costs that the weights of one law add up to more than the other's: that mass, across a gap in the middle."""
    low, high = p.grid(1.0)[[0, -1]]
    sums = mass_below(p, np.array([low]))[0] - mass_below(q, np.array([low]))[0]
    missing = abs(float(sums.sum()))
    if missing == 0:
        return 0.0
    level = 0.5 + 8 * max(missing, UNIT) * np.array([-1.0, 1.0])
    x = bisect(lambda x: p.cdf(x[:, None]) - level, np.full(2, low), np.full(2, high))
    return math.sqrt(missing) * float(x[1] - x[0])


def _cost(p: Any, q: Any, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The integral, and what F and G known to a few eps leave open: mass that crosses a gap costs the square root of it."""
    log_f, log_g = (np.maximum(law.logpdf(at[:, None]), -1e5) for law, at in ((p, x), (q, y)))  # e^-1e5 is 0, and so is e^-inf
    mass = weights * np.exp(log_f + log_g - np.logaddexp(log_f, log_g))
    (first, a), (second, b) = mass_below(p, x), mass_below(q, y)
    tail = np.abs(a) + np.abs(b) + np.abs((first[0] - second[0]).sum(axis=1))
    with np.errstate(over="ignore"):
        blur = 16 * UNIT * (np.abs(x) + np.abs(y) + tail * np.exp(-np.logaddexp(log_f, log_g)))
    blur = np.minimum(blur, x[-1] - x[0] + y[-1] - y[0])  # in a gap it is infinite, and its mass zero
    return float(mass @ (x - y) ** 2), 2 * math.sqrt(float(mass @ blur**2))


def _excess(p: Any, q: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """F(x) - G(y): weights of components first, which cancel exactly between modes, then tails; from the nearer end."""
    (first, a), (second, b) = mass_below(p, x), mass_below(q, y)
    from_below, from_above = ((i[side] - j[side]).sum(axis=1) for i, j, side in ((first, second, 0), (second, first, 1)))
    middle = first[0].sum(axis=1) + a + second[0].sum(axis=1) + b > 1
    return np.where(middle, from_above, from_below) + (a - b)


def _partner(p: Any, q: Any, x: np.ndarray) -> np.ndarray:
    """y with G(y) = F(x), within the range of q."""
    low, high = q.grid(1.0)[[0, -1]]
    return bisect(lambda y: _excess(p, q, x, y), np.full(x.shape, low), np.full(x.shape, high))


# ---- point sets ------------------------------------------------------------------------------------------------------


def _on_a_line(p: PointSet, q: PointSet) -> tuple[float, float]:
    """Sorted points, and the pieces of [0, 1] on which both quantile functions stand still."""
    sides = []
    for law in (p, q):
        order = np.argsort(law.points[:, 0], kind="stable")
        sides.append((law.points[order, 0], np.cumsum(law.weights[order]) / law.weights.sum()))
    cuts = np.unique(np.concatenate([cumulative for _, cumulative in sides] + [[0.0, 1.0]]))
    cuts = cuts[cuts <= 1.0]
    middle = (cuts[1:] + cuts[:-1]) / 2
    x, y = (points[np.minimum(np.searchsorted(cumulative, middle), len(points) - 1)] for points, cumulative in sides)
    square, size = float(np.diff(cuts) @ (x - y) ** 2), max(len(p.points), len(q.points)) * UNIT
    # cumulative weights are rounded: that much mass may belong to the neighbour
    moved = size * float(np.abs(np.diff((x - y) ** 2)).sum()) if len(x) > 1 else 0.0
    value = math.sqrt(square)
    return value, math.sqrt(moved) * min(1.0, math.sqrt(moved) / (value or 1.0)) + (size + 8 * UNIT) * value


def _assignment(p: PointSet, q: PointSet) -> tuple[float, float]:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    n = len(p.points)
    alike = len(q.points) == n and all(np.allclose(law.weights, 1 / n, rtol=1e-9, atol=0) for law in (p, q))
    if not alike or n > _MOST_POINTS:
        raise ValueError(f"point sets of {n} and {len(q.points)} points in dimension {p.dim}: pass equally many, "
                         f"at most {_MOST_POINTS}, of equal weights; any two on the line")
    cost = cdist(p.points, q.points, "sqeuclidean")
    rows, columns = linear_sum_assignment(cost)
    value = math.sqrt(float(cost[rows, columns].mean()))
    return value, (p.dim + n.bit_length() + 8) * UNIT * value
