"""Total variation between two laws, TV(p, q) = 1/2 int |p - q|, without quadrature.

In one dimension let r_1 < ... < r_m be the points where p - q changes sign. Between two of them the integral of
|p - q| is an exact difference of distribution functions, so with D = P - Q, D(-inf) = D(inf) = 0,

    TV = 1/2 sum_i |D(r_{i+1}) - D(r_i)|.

An error e in a root costs (p - q)'(r) e^2/2 only, for p - q vanishes there. Roots are looked for on a grid with 8 to
16 points per standard deviation of the narrowest component around; where |log p/q| dips without a change of sign, at
the bottom of the dip too. What such a grid can overlook shows in the same computation on every other point, and the
difference is part of the error.

In any dimension, for Gaussians with equal covariance C: TV = 2 Phi(delta/2) - 1 = erf(delta/(2 sqrt 2)),
delta^2 = (m_p - m_q)' C^{-1} (m_p - m_q). Two covariances that differ by rounding count as equal, at the price
3/2 |C^{-1/2} dC C^{-1/2}|_F in the error (Devroye, Mehrabian & Reddad 2018, thm. 1.1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refscore.densities import GaussianMixture, PushForward
from refscore.densities._grid import NEGLIGIBLE

Line = GaussianMixture | PushForward
"""What has logpdf, score, cdf and sf on the line, and a grid that resolves it."""

_EPS = np.finfo(np.float64).eps
_PER_STD = 8
_EQUAL = 1e-10
_FAR = 1e3
_BISECTIONS = 48


def total_variation(p: Line, q: Line) -> tuple[float, float]:
    """TV(p, q) = 1/2 int |p - q| in [0, 1], and an absolute error estimate.

    Parameters
    ----------
    p, q : Gaussian, GaussianMixture or PushForward
        One-dimensional; or Gaussians of any dimension with equal covariance.

    Raises
    ------
    TypeError
        For anything but Gaussians, mixtures and push-forwards of them.
    ValueError
        In more than one dimension, unless both are Gaussian with covariances equal to 1e-10.

    Source: [e], the theorem of Chen et al. 2023 bounds this distance.
    """
    for name, density in (("p", p), ("q", q)):
        if not isinstance(density, Line):
            raise TypeError(f"{name} is {type(density).__name__}: pass a Gaussian, a GaussianMixture or a PushForward")
    if p.dim != q.dim:
        raise ValueError(f"p has dimension {p.dim} and q has dimension {q.dim}: they must agree")
    if isinstance(p, GaussianMixture) and isinstance(q, GaussianMixture):
        if all(np.array_equal(getattr(p, name), getattr(q, name)) for name in ("weights", "means", "covs")):
            return 0.0, 0.0
        if len(p.means) == len(q.means) == 1 and (found := _equal_covariances(p, q)) is not None:
            return found
    if p.dim == 1:
        return _one_dimension(p, q)
    raise ValueError(
        f"total variation in dimension {p.dim} is exact only for Gaussians with equal covariance: project to one "
        "dimension (a lower bound), or bound it from above by Pinsker's inequality sqrt(KL/2)"
    )


def _equal_covariances(p: GaussianMixture, q: GaussianMixture) -> tuple[float, float] | None:
    from scipy.special import erf

    cov = p.cov
    spectrum, axes = np.linalg.eigh(cov)
    whiten = axes / np.sqrt(spectrum)
    unequal = 1.5 * float(np.linalg.norm(whiten.T @ (q.cov - cov) @ whiten))
    if not unequal <= _EQUAL:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        delta = float(np.linalg.norm((p.means[0] - q.means[0]) @ whiten))
        size = float(np.linalg.norm((np.abs(p.means[0]) + np.abs(q.means[0])) @ np.abs(whiten)))
    relative = 4 * p.dim * _EPS * float(spectrum[-1] / spectrum[0])
    if not delta < _FAR:  # or past float64; if half of it at least is no rounding, 1 - TV < e^(-_FAR^2/32)
        return 1.0, unequal + 4 * _EPS if relative < 0.5 else 1.0
    value = float(erf(delta / np.sqrt(8)))
    # erf' <= 2/sqrt(pi); means are taken as given, so only their difference, C^{-1/2} and the norm are rounded
    slope = 0.4 * np.exp(-(delta**2) / 8)
    return value, float(unequal + slope * (_EPS * size + relative * delta) + 4 * _EPS * value)


def _one_dimension(p: Line, q: Line) -> tuple[float, float]:
    x = np.unique(np.concatenate([p.grid(_PER_STD), q.grid(_PER_STD)]))
    gap = _LogRatio(p, q)
    log_ratio, noise = gap.with_noise(x)
    value, rounding = _from_roots(p, q, _roots(gap, x, log_ratio, noise))
    coarse, _ = _from_roots(p, q, _roots(gap, x[::2], log_ratio[::2], noise[::2]))
    return min(value, 1.0), float(rounding + abs(value - coarse) + _left_out(p) + _left_out(q) + _NOISE)


def _left_out(density: Line) -> float:
    """What the weights lack to one, components too light for the grid, the error of the map."""
    weights = (density.base if isinstance(density, PushForward) else density).weights
    return float(abs(weights.sum() - 1) + weights[weights <= NEGLIGIBLE].sum() + 2 * getattr(density, "error", 0.0))


_NOISE = 256 * _EPS
"""Bound on 1/2 int |p - q| over the region where rounding hides the sign of p - q; what hides it in a `PushForward`, the error
of its map, costs as much as the error of the law itself."""


class _LogRatio:
    """log p/q, its slope, and how much of it may be rounding."""

    def __init__(self, p: Line, q: Line):
        self._p, self._q = p, q

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.with_noise(x)[0]

    def with_noise(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not len(x):
            return x, x
        log_p, log_q = self._p.logpdf(x[:, None]), self._q.logpdf(x[:, None])
        with np.errstate(invalid="ignore"):  # where one density only is past float64, the sign is clear
            ratio = log_p - log_q
        return ratio, np.where(np.isinf(ratio), 0.0, 8 * _EPS * (4 + np.abs(log_p) + np.abs(log_q)))

    def slope(self, x: np.ndarray) -> np.ndarray:
        if not len(x):
            return x
        return (self._p.score(x[:, None]) - self._q.score(x[:, None]))[:, 0]


def _roots(gap: _LogRatio, x: np.ndarray, log_ratio: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Sign changes of p - q: between neighbours of opposite sign, and beside a dip that reaches the other sign."""
    clear = np.abs(log_ratio) > noise
    x, size, sign = x[clear], np.abs(log_ratio[clear]), np.sign(log_ratio[clear])
    crossing = np.flatnonzero(sign[:-1] != sign[1:])
    lowest = 1 + np.flatnonzero((size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:]))
    lowest = lowest[(sign[lowest - 1] == sign[lowest]) & (sign[lowest] == sign[lowest + 1])]
    left, right, inside = x[lowest - 1], x[lowest + 1], sign[lowest]
    turns = (inside * gap.slope(left) < 0) & (inside * gap.slope(right) > 0)
    left, right, inside = left[turns], right[turns], inside[turns]
    bottom = _bisect(gap.slope, left, right)
    value, blur = gap.with_noise(bottom)
    through = (value * inside < 0) & (np.abs(value) > blur)
    starts = np.concatenate([x[crossing], left[through], bottom[through]])
    stops = np.concatenate([x[crossing + 1], bottom[through], right[through]])
    return np.sort(_bisect(gap, starts, stops))


def _bisect(function: Callable, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """One root of ``function`` in each interval whose ends have opposite signs."""
    if not len(low):
        return low
    sign = np.sign(function(low))
    for _ in range(_BISECTIONS):
        middle = low + (high - low) / 2
        same = np.sign(function(middle)) == sign
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return low + (high - low) / 2


def _from_roots(p: Line, q: Line, roots: np.ndarray) -> tuple[float, float]:
    """1/2 sum |D(r_{i+1}) - D(r_i)| and its rounding error; each D is a difference of the smaller tails."""
    if not len(roots):
        return 0.0, 0.0
    x = roots[:, None]
    below_p, below_q, above_p, above_q = p.cdf(x), q.cdf(x), p.sf(x), q.sf(x)
    upper = below_p + below_q > 1
    difference = np.where(upper, above_q - above_p, below_p - below_q)
    size = np.where(upper, above_p + above_q, below_p + below_q)
    steps = np.abs(np.diff(np.concatenate([[0.0], difference, [0.0]])))
    return float(steps.sum() / 2), float(16 * _EPS * size.sum() + 2 * _EPS)
