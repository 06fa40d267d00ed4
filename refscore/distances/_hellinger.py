r"""Total variation from the Hellinger transform phi(s) = int p^s q^{1-s} dx, in any number of dimensions.

With L = log p/q, min(p, q) = sqrt(pq) e^{-|L|/2}, and e^{-|L|/2} = 1/(2 pi) int e^{iuL}/(1/4 + u^2) du.
Hence, with s = 1/2 + iu and s (1 - s) = 1/4 + u^2,

    1 - TV = 1/(2 pi) int phi(1/2 + iu)/(1/4 + u^2) du,      TV = 1/(2 pi) int (1 - phi(1/2 + iu))/(1/4 + u^2) du.

phi of a product is the product of the phi's, so the dimension costs nothing. For Gaussians, in the coordinates of `_gaussian_pair`,
with t = 1 - s, w = 1 + t e = s + t lam and g(z) = z - log(1 + z),

    phi(s) = prod_i lam_i^{t/2} w_i^{-1/2} e^{-s t delta_i^2/(2 w_i)},
    log phi(s) = sum_i 1/2 [g(t e_i) - t g(e_i)] - s t delta_i^2/(2 w_i),

where nothing cancels for laws that are nearly equal: 1 - phi = -expm1(log phi) and TV keep their relative accuracy.

The contour. phi decays slowly along the line: like u^{-d/2}, and it oscillates. It is analytic up to the cuts, on the real axis
beyond the poles s = 0 and 1, so the line may be bent round the cuts of one side, where phi decays exponentially. On

    s(v) = 1/2 + (i/2) sinh(v - i a):      s (1 - s) = cosh^2(v - i a)/4,      TV = 1/pi int (1 - phi(s(v)))/cosh(v - i a) dv,

a hyperbola through (1 + sin a)/2 (the line itself for a = 0), the integrand is analytic in a strip and the trapezoidal rule
converges geometrically. The scale 1/TV on which phi changes costs its logarithm in nodes. Two spacings are compared, on two
hyperbolas.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from refscore import _blocks, _quadrature
from refscore.distances._gaussian_pair import UNIT, GaussianPair, log_gap

Transform = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""(s, level) -> log phi(s), NaN where ``level`` does not resolve it, and how many units in the last place it may be off."""

_TILT = 0.55
_LEVELS = 4
_SPACING = 0.25
_SCAN = 0.5
_DEEP = 42.0  # e^-42 = 6e-19
_ENOUGH = 4e-15


def total_variation_of(log_phi: Transform, *, bends: bool = True) -> tuple[float, float]:
    """TV and an error estimate from the transform; ``bends``: whether it continues to complex s off the line Re s = 1/2."""
    squared = float(-np.expm1(log_phi(np.array([0.5 + 0j]), 0)[0].real[0]))  # Hellinger's distance: H^2 <= TV <= sqrt(2 H^2)
    if not squared > 0:
        return 0.0, 1e-150
    end = _DEEP - math.log(squared)
    tilt, reach = _bend(log_phi, np.arange(0.0, end, _SCAN), math.log(squared) - _DEEP, bends)
    value, error, changes = math.nan, math.inf, [1.0]
    for level in range(_LEVELS):
        before, (value, rest) = value, _sum(log_phi, level, tilt * (1 if level % 2 else 0.9), end, reach)
        if not level:
            continue
        changes.append(abs(value - before) / value)
        geometric = changes[-1] <= max(changes[-2] ** 1.3, _ENOUGH)
        error = rest + value * (changes[-1] ** 1.5 if geometric else 10 * max(changes[-2:]))
        if geometric and changes[-1] ** 1.5 < _ENOUGH:
            break
    return min(value, 1.0), error


def _contour(v: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """s(v) and cosh(v - i a)."""
    w = v - 1j * angle
    return 0.5 + 0.5j * np.sinh(w), np.cosh(w)


def _bend(log_phi: Transform, v: np.ndarray, negligible: float, bends: bool) -> tuple[float, float]:
    """(a, from which v on phi may be left out) of the contour that is soonest done.

    Where phi vanishes on the line, the two may be joined again: what phi does beyond, on a bent contour, does not matter.
    """
    best = 0.0, math.inf
    for tilt in (0.0, _TILT, -_TILT) if bends else (0.0,):
        size = log_phi(_contour(v, tilt)[0], _LEVELS - 1)[0].real
        matters = np.flatnonzero(~(size - v < negligible))
        reach = float(v[matters[-1]]) + _SCAN if matters.size else 0.0
        if reach < best[1] and not np.nanmax(size) > 1:
            best = tilt, reach
        v = v[v <= best[1]]
    return best


def _sum(log_phi: Transform, level: int, angle: float, end: float, reach: float) -> tuple[float, float]:
    """The trapezoidal rule on s(v), and its error apart from the spacing: rounding, and phi where it is not resolved."""
    spacing = _SPACING / 2**level
    v = spacing * np.arange(math.ceil(end / spacing))
    near = v <= reach + _SCAN
    s, cosh = _contour(v, angle)
    log, ulps = log_phi(s[near], level)
    resolved = ~np.isnan(log)
    if not resolved.all():  # from the first gap on phi is no more than there
        resolved &= np.cumsum(~resolved) == 0
    log, ulps, count = log[resolved], ulps[resolved], int(resolved.sum())
    missing = 4 * math.exp(log.real[-1] - v[count - 1]) if count < near.sum() else 0.0
    lacking = np.ones(len(v), dtype=complex)
    lacking[:count] = -np.expm1(log)
    weights = np.where(v == 0, 1.0, 2.0) * spacing / (math.pi * np.abs(cosh))
    terms = weights * np.abs(cosh) * (lacking / cosh).real
    rounding = UNIT * float(weights[:count] @ (np.exp(log.real) * ulps) + 16 * weights @ np.abs(lacking))
    return float(terms.sum()), rounding + missing


# ---- Gaussians ---------------------------------------------------------------------------------------------------------


def of_gaussians(pair: GaussianPair) -> Transform:
    """log phi of two Gaussians, a sum over groups of axes."""
    columns = np.stack([pair.excess, pair.log_ratio, pair.squares, pair.repeats], axis=1)

    def log_phi(s, level):
        return tuple(_blocks.sum_rows(partial(_gaussian_rows, s), columns, row_bytes=160 * len(s)))

    return log_phi


def gaussian_doubt(pair: GaussianPair) -> float:
    """What errors of the pair cost in TV, by Pinsker's inequality sqrt(KL/2) for a Gaussian and its neighbour."""
    shift = 0.5 * pair.squares_error / math.sqrt(total) if (total := float(pair.squares.sum())) > 0 else 0.0
    return math.sqrt(float(pair.repeats @ pair.ratio_error**2) / 8 + shift**2 / 4)


def _gaussian_rows(s: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    """Sum over groups, along s; lam beyond 3/2 by log w = log lam + log(t + s/lam), which does not overflow."""
    excess, log_ratio, squares, repeats = columns.T[:, :, None]
    t = 1 - s
    near, wide = np.abs(excess) <= 0.5, excess > 0.5
    inverse = np.exp(-np.where(wide, log_ratio, 0.0))
    w = np.where(wide, t + s * inverse, 1 + t * np.minimum(excess, 0.5))  # w/lam where p is wide
    shape = np.empty(w.shape, dtype=complex)
    size = np.empty(w.shape)
    i, j = near[:, 0], ~near[:, 0]
    e = excess[i]
    one, other = log_gap(t * e), t * log_gap(e)
    shape[i], size[i] = one - other, np.abs(one) + np.abs(other)
    log_w, power = np.log(w[j]), np.where(wide[j], -s, t) * log_ratio[j]
    shape[j], size[j] = power - log_w, np.abs(power) + np.abs(log_w)
    with np.errstate(over="ignore", invalid="ignore"):  # NaN, not resolved: laws within 1e-135 of each other
        drift = s * (squares * inverse) * t / w
    return [(0.5 * (repeats * shape - drift)).sum(axis=0), 8 * (repeats * size + np.abs(drift)).sum(axis=0)]


# ---- one coordinate of a product ---------------------------------------------------------------------------------------


def of_factors(p: Any, q: Any, count: int) -> Transform:
    """log phi of ``count`` coordinates with laws p and q on the line, by Gauss-Legendre between the points of their grids.

    1 - phi = int (1 - s) q + s p - p^s q^{1-s} dx, small where p and q are close; for |L| < 1 its integrand is
    q [s k(L) - k(s L)], k(z) = e^z - 1 - z.
    """
    tables: dict[int, tuple] = {}

    def log_phi(s, level):
        if level not in tables:
            tables[level] = _table(p, q, 2.0**level)
        columns, steep = tables[level]
        lacking, size = _blocks.sum_rows(partial(_factor_rows, s), columns, row_bytes=160 * len(s))
        resolved = np.abs(s) * steep < 1
        phi = np.where(resolved, 1 - lacking, np.nan)
        return count * np.where(resolved, np.log1p(-lacking), np.nan), count * size / (UNIT * np.maximum(np.abs(phi), 1e-300))

    return log_phi


def _table(p, q, per_std: float) -> tuple[np.ndarray, float]:
    """Columns L, its error, log q and weights at the nodes, (N, 4); and how far L moves between nodes where there is mass."""
    points = np.unique(np.concatenate([p.grid(per_std), q.grid(per_std)]))
    x, weights = _quadrature.panels(np.append(points[:-1:2], points[-1]), 1)
    log_p, log_q = p.logpdf(x[:, None]), q.logpdf(x[:, None])
    kept = np.maximum(log_p, log_q) > -700
    log_p, log_q, weights = log_p[kept], np.maximum(log_q[kept], -1e4), weights[kept]
    gap = np.maximum(log_p, -1e4) - log_q
    bulk = (log_p + log_q)[1:] / 2 > -_DEEP
    steep = float(np.abs(np.diff(gap))[bulk].max(initial=0.0))
    return np.stack([gap, 8 * UNIT * (4 + np.abs(log_p) + np.abs(log_q)), log_q, weights], axis=1), steep


def _factor_rows(s: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    gap, error, log_q, weights = columns.T[:, :, None]
    q = weights * np.exp(log_q)
    p, between = weights * np.exp(gap + log_q), weights * np.exp(s * gap + log_q)
    close = np.abs(gap[:, 0]) < 1
    lacking = np.where(close[:, None], 0.0, (1 - s) * q + s * p - between)
    lacking[close] = q[close] * (s * exp_gap(gap[close] + 0j) - exp_gap(s * gap[close]))
    slope = np.where(close[:, None], np.abs(p - between), p + np.abs(between))
    return [lacking.sum(axis=0), (np.abs(s) * slope * error + 4 * UNIT * np.abs(lacking)).sum(axis=0)]


def exp_gap(z: np.ndarray) -> np.ndarray:
    """k(z) = e^z - 1 - z without cancellation, by its series for |z| <= 1/2."""
    result = np.empty_like(z)
    near = np.abs(z) <= 0.5
    x, far = z[near], z[~near]
    tail = np.zeros_like(x)
    for k in range(15, 1, -1):
        tail = (tail * x + 1) / k
    # tail = 1/2 (1 + x/3 (1 + x/4 (...)))
    result[near], result[~near] = x * x * tail, np.expm1(far) - far
    return result
