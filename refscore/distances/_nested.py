r"""Total variation of products in which one coordinate is not Gaussian, where the Hellinger transform decays too slowly.

    TV = 1/2 int int |p_A(x) p_B(y) - q_A(x) q_B(y)| dy dx = int I(p_A(x), q_A(x)) dx,     I(a, b) = 1/2 int |a p_B - b q_B| dy.

Inside, if B is one coordinate, the sign changes where L_B = log p_B/q_B is log b/a: at one point at most between neighbouring
extrema of L_B, found by bisection, and between such points the integral is a difference of distribution functions. Cuts where the
sign does not change cost nothing, so that the extrema serve as cuts throughout.

If B is a block of m Gaussian coordinates, then int min(a p_B, b q_B) by their transform, on the contour of `_hellinger`,

    1/pi int a^s b^(1-s) phi_B(s)/cosh(v - i t) dv,    s(v) = 1/2 + (i/2) sinh(v - i t).

Far out phi_B(s) goes like e^{h s} s^{-m/2}, h the sum of the extrema of all L_i, and like e^{-|delta|^2 s (1 - s)/2} where L_i has
none (equal variances): of the two bends, and for each pair of a and b, that one is taken on which the integrand stays smaller until
it has died away. What it does beyond does not matter: there the contour may return to the line.

Outside, Gauss-Legendre panels. I is analytic except where log q_A/p_A equals the value of L_B at an extremum (there two inner
points meet), where it behaves like a power m/2 + 1 of the distance. Panels are cut there, and x = l + (r - l) sin^2(theta) makes
a power 3 of a power 3/2, which is smooth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refscore.distances import _hellinger
from refscore.distances._bisection import bisect, roots
from refscore.distances._gaussian_pair import GaussianPair

_EPS = float(np.finfo(np.float64).eps)
_INSIDE, _OUTSIDE = 8, 1
_ORDERS = 14, 20
_FAR = 700.0
_TILT = 0.55
_SPACINGS = 1 / 10, 1 / 16
_DEEP = 42.0

Pair = tuple[Any, Any]
"""p and q on the line."""


def of_two_coordinates(a: Pair, b: Pair) -> tuple[float, float]:
    """TV and an error estimate; the simpler pair goes inside."""
    outer, inner = sorted((a, b), key=lambda pair: -sum(law.grid(1.0).size for law in pair))
    cuts, heights = _extrema(*inner)
    return _nested(outer, heights, lambda level: partial(_by_roots, inner, cuts))


def of_coordinate_and_block(outer: Pair, block: GaussianPair) -> tuple[float, float]:
    """TV and an error estimate, for a coordinate of any kind and a block of Gaussian ones."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        height = -0.5 * (block.repeats * block.log_ratio + block.squares / block.excess).sum(keepdims=True)
    transform = _hellinger.of_gaussians(block)
    return _nested(outer, height[np.abs(height) < _FAR], lambda level: partial(_by_contour, transform, _SPACINGS[level]))


def _nested(outer: Pair, heights: np.ndarray, inside: Callable) -> tuple[float, float]:
    """``inside(level)`` gives I as a function of log a and log b; what changes from level 0 to 1 counts as error."""
    edges = np.unique(np.concatenate([law.grid(_OUTSIDE) for law in outer]))
    edges = np.unique(np.concatenate([edges, *(_crossings(outer, -height) for height in heights)]))
    coarse, fine = (_outside(outer, inside(level), edges, order) for level, order in enumerate(_ORDERS))
    return min(max(fine, 0.0), 1.0), abs(fine - coarse) + 256 * _EPS


def _ratio(pair: Pair, x: np.ndarray) -> np.ndarray:
    """log p/q, within +-700."""
    with np.errstate(invalid="ignore"):
        value = pair[0].logpdf(x[:, None]) - pair[1].logpdf(x[:, None])
    return np.clip(np.nan_to_num(value, nan=0.0), -_FAR, _FAR)


def _extrema(p, q) -> tuple[np.ndarray, np.ndarray]:
    """Cuts: both ends and the extrema of log p/q between; and the values at the extrema."""
    y = np.unique(np.concatenate([p.grid(_INSIDE), q.grid(_INSIDE)]))

    def slope(y):
        return (p.score(y[:, None]) - q.score(y[:, None]))[:, 0]

    tops = roots(slope, y)
    return np.concatenate([y[:1], tops, y[-1:]]), _ratio((p, q), tops)


def _crossings(pair: Pair, height: float) -> np.ndarray:
    """Where log p/q equals ``height``."""
    x = np.unique(np.concatenate([law.grid(8 * _OUTSIDE) for law in pair]))
    return roots(lambda x: _ratio(pair, x) - height, x)


def _outside(outer: Pair, inside: Callable, edges: np.ndarray, order: int) -> float:
    z, w = np.polynomial.legendre.leggauss(order)
    theta = (z + 1) * math.pi / 4
    length = np.diff(edges)[:, None]
    x = (edges[:-1, None] + length * np.sin(theta) ** 2).ravel()
    weights = (length * np.sin(2 * theta) * w * math.pi / 4).ravel()
    log_p, log_q = (law.logpdf(x[:, None]) for law in outer)
    kept = np.maximum(log_p, log_q) + np.log(np.maximum(weights, 1e-300)) > -60
    return float(weights[kept] @ inside(np.maximum(log_p[kept], -_FAR), np.maximum(log_q[kept], -_FAR)))


def _by_roots(inner: Pair, cuts: np.ndarray, log_a: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """I for each pair of a and b, (n,)."""
    wanted = log_b - log_a
    heights = _ratio(inner, cuts)
    piece = np.tile(np.arange(len(cuts) - 1), (len(wanted), 1))
    left, right, level = cuts[piece], cuts[piece + 1], np.broadcast_to(wanted[:, None], piece.shape)
    through = (heights[piece] - level) * (heights[piece + 1] - level) < 0
    target, points = level[through], left.copy()
    points[through] = bisect(lambda y: _ratio(inner, y) - target, left[through], right[through])
    y = np.sort(np.concatenate([points, np.broadcast_to(cuts, (len(wanted), len(cuts)))], axis=1), axis=1)
    masses = []
    for law, log_scale in zip(inner, (log_a, log_b), strict=True):
        masses.append(np.exp(log_scale)[:, None] * np.diff(law.cdf(y.reshape(-1, 1)).reshape(y.shape)))
    return np.abs(masses[0] - masses[1]).sum(axis=1) / 2


def _by_contour(transform: Callable, spacing: float, log_a: np.ndarray, log_b: np.ndarray) -> np.ndarray:
    """I for each pair of a and b, (n,): (a + b)/2 less the integral of the smaller."""
    v = spacing * np.arange(math.ceil(_DEEP / spacing))
    weights = np.where(v == 0, 1.0, 2.0) * spacing / math.pi
    smaller, peak = np.zeros(len(log_a)), np.full(len(log_a), np.inf)
    gap, larger = (log_a - log_b)[:, None], np.maximum(log_a, log_b)[:, None]
    for tilt in (_TILT, -_TILT):
        w = v - 1j * tilt
        s = 0.5 + 0.5j * np.sinh(w)
        exponent = gap * s + transform(s)[0] + log_b[:, None]
        dead = np.logical_or.accumulate(exponent.real < larger - _DEEP, axis=1)
        size = np.where(dead, -np.inf, exponent.real)
        rows = size.max(axis=1) < peak
        terms = np.exp(np.minimum(size, _FAR)[rows] + 1j * exponent.imag[rows]) / np.cosh(w)
        smaller[rows], peak[rows] = terms.real @ weights, size.max(axis=1)[rows]
    return (np.exp(log_a) + np.exp(log_b)) / 2 - smaller
