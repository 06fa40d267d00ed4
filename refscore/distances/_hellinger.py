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

Whatever a road to TV may say of its error, phi(1/2), Bhattacharyya's affinity, bounds TV from both sides (`within`):

    1 - phi(1/2) <= TV <= sqrt(1 - phi(1/2)^2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from refscore import _blocks
from refscore.distances._gaussian_pair import UNIT, GaussianPair, log_gap

Transform = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""s -> log phi(s), and how many units in the last place it may be off."""

_TILT = 0.55
_LEVELS = 4
_SPACING = 0.25
_SCAN = 0.5
_DEEP = 42.0  # e^-42 = 6e-19
_ENOUGH = 4e-15
_UNDERFLOW = 1e-300
_TINY = 1e-250  # of H^2: the contour would leave the range of float64


def total_variation_of(log_phi: Transform, *, bends: bool = True) -> tuple[float, float]:
    """TV and an error estimate from the transform; ``bends=False``: on the line itself."""
    squared = float(-np.expm1(log_phi(np.array([0.5 + 0j]))[0].real[0]))  # Hellinger's distance: H^2 <= TV <= sqrt(2 H^2)
    if not squared > _TINY:
        return 0.0, math.sqrt(2 * max(squared, 0.0)) + 1e-150
    end = _DEEP - math.log(squared)
    tilt, reach = _bend(log_phi, np.arange(0.0, end, _SCAN), math.log(squared) - _DEEP, bends)
    value, error, changes = math.nan, math.inf, [1.0]
    for level in range(_LEVELS):
        angle = tilt * (1 if level % 2 else 0.9)
        before, (value, rounding) = value, _sum(log_phi, _SPACING / 2**level, angle, end, reach)
        if level:
            changes.append(abs(value - before) / value)
            error = rounding + value * what_is_left(*changes[-2:])
            if error <= rounding + _ENOUGH * value:
                break
    return min(value, 1.0), error


def what_is_left(before: float, last: float) -> float:
    """Error after two relative changes: ``last``^1.5 where they fall faster than geometrically, else ten times the larger."""
    return min(1.0, last**1.5 if last <= max(before**1.3, _ENOUGH) else 10 * max(before, last))


def within(value: float, error: float, log_affinity: float, doubt: float) -> tuple[float, float]:
    """The value and its error, or the middle of the bounds by log phi(1/2), known up to ``doubt``, where these lie closer."""
    low = -math.expm1(min(log_affinity + doubt, 0.0))
    high = math.sqrt(-math.expm1(2 * min(log_affinity - doubt, 0.0) - _UNDERFLOW))
    if error <= (high - low) / 2:
        return value, error
    return (low + high) / 2, (high - low) / 2 + 4 * UNIT * high


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
        size = log_phi(_contour(v, tilt)[0])[0].real
        matters = np.flatnonzero(size - v >= negligible)
        reach = float(v[matters[-1]]) + _SCAN if matters.size else 0.0
        if reach < best[1] and not size.max() > 1:
            best = tilt, reach
        v = v[v <= best[1]]
    return best


def _sum(log_phi: Transform, spacing: float, angle: float, end: float, reach: float) -> tuple[float, float]:
    """The trapezoidal rule on s(v), and its rounding error."""
    v = spacing * np.arange(math.ceil(end / spacing))
    near = v <= reach + _SCAN
    s, cosh = _contour(v, angle)
    log, ulps = log_phi(s[near])
    lacking = np.ones(len(v), dtype=complex)
    lacking[near] = -np.expm1(log)
    weights = np.where(v == 0, 1.0, 2.0) * spacing / math.pi
    rounding = weights[near] @ (np.exp(log.real) * ulps / np.abs(cosh[near])) + 16 * weights @ np.abs(lacking / cosh)
    return float(weights @ (lacking / cosh).real), UNIT * float(rounding)


# ---- Gaussians ---------------------------------------------------------------------------------------------------------


def of_gaussians(pair: GaussianPair) -> Transform:
    """log phi of two Gaussians, a sum over groups of axes."""
    columns = np.stack([pair.excess, pair.log_ratio, pair.squares, pair.repeats], axis=1)

    def log_phi(s):
        return tuple(_blocks.sum_rows(partial(_gaussian_rows, s), columns, row_bytes=160 * len(s)))

    return log_phi


def gaussian_doubt(pair: GaussianPair) -> float:
    """What errors of the pair cost in TV, by Pinsker's inequality sqrt(KL/2) for a Gaussian and its neighbour."""
    shift = 0.5 * pair.squares_error / math.sqrt(total) if (total := float(pair.squares.sum())) > 0 else 0.0
    return math.sqrt(float(pair.repeats @ pair.ratio_error**2) / 8 + shift**2 / 4)


def log_affinity(pair: GaussianPair) -> tuple[float, float]:
    """log phi(1/2) = sum_i log(4 lam/(1 + lam)^2)/4 - delta_i^2/(4 (1 + lam)) and its error: |d/d log lam| <= 1/4 + |second|."""
    value, ulps = (float(part.real[0]) for part in of_gaussians(pair)(np.array([0.5 + 0j])))
    off = UNIT * ulps + float(pair.repeats @ pair.ratio_error) / 4 - value * float(pair.ratio_error.max())
    return value, off + pair.squares_error / 4


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
    drift = s * (squares * inverse) * t / w
    return [(0.5 * (repeats * shape - drift)).sum(axis=0), 8 * (repeats * size + np.abs(drift)).sum(axis=0)]
