r"""Edges under Gaussian noise: an exponential flank and a box, convolved with N(0, 1), in units of the noise.

Everything is the mass of a Gaussian on an interval that begins at distance t and is w wide, told from its near end:

    I(t, w) = int_0^w e^{-ts - s^2/2} ds,   G = mean of s,   H = t + G,   E = w e^{-q}/I,   q = w (t + w/2)

under the density proportional to e^{-ts - s^2/2} on [0, w]. Integration by parts gives its variance, V - 1 = -H G - E, a sum of
one sign. With x = v relative to the end of a flank that falls off at rate theta (w infinite, t = theta - v), or t = -v for a box,

    log p = -v^2/2 + log I + const,   s = -v + G = -theta + H,   Ds = V - 1 = -H G - E

are free of cancellation too if s is taken from its first form for t >= 0, where G = O(1/t), and from its second for t < 0, where
H is small. What remains is to have I and G to full relative accuracy:

* w infinite, t >= 0: I = R(t) = Q(t)/phi(t), Mills' ratio, by erfcx; G = 1/R - t, from t = 5 by Laplace's continued fraction
  G = 1/(t + 2/(t + 3/(t + ...)));
* a wide box seen from outside: I = R(t) - e^{-q} R(t + w), likewise G; for q >= 1 that loses less than a digit;
* a narrow box, w (|t| + w/2) <= 1: Gauss-Legendre, exact to rounding as the exponent moves by no more than one;
* t < 0: I e^{-t^2/2} is a normal probability near one.

Source: systems A6. The exponentially modified Gaussian is due to Grushka, Anal. Chem. 44 (1972);
the continued fraction is DLMF 7.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

UNIT = 2.0**-53
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_FAR, _TERMS = 5.0, 32  # from t = 5 on, 32 terms of the continued fraction leave 1e-16 of G


@dataclass(frozen=True, eq=False)
class Edge:
    """One component on a block of rows, (n, d) each, in units of the noise and seen along its own direction.

    log_density; relative: log_density + v^2/2 + const, in which edges at the same place compare without their common v^2;
    slope: -theta; score: the derivative of log_density; pull: H; mean: G; curvature: the second derivative; and bounds for the
    errors of log_density, relative, score and slope.
    """

    log_density: np.ndarray
    relative: np.ndarray
    slope: np.ndarray
    score: np.ndarray
    pull: np.ndarray
    mean: np.ndarray
    curvature: np.ndarray
    log_error: np.ndarray
    relative_error: np.ndarray
    score_error: np.ndarray
    slope_error: np.ndarray


def flank(v: np.ndarray, theta: np.ndarray, v_error: np.ndarray, relative: float) -> Edge:
    """theta e^{-theta s}, s > 0, plus noise, at v; theta is good to ``relative``."""
    theta = np.broadcast_to(theta, v.shape)
    t = theta - v
    outside, theta_error = t >= 0, relative * theta
    log_density, beside, pull, mean = _by_case([outside, ~outside], [_flank_from_outside, _flank_from_inside], t, v, theta)
    score = np.where(outside, mean - v, pull - theta)
    moved = (1 + theta * mean) * relative + 16 * UNIT
    rounding = np.where(outside, v * v, 3 * theta * np.abs(v - theta / 2)) + 3 * np.abs(log_density)
    log_error = (np.abs(score) + v_error) * v_error + moved + UNIT * rounding
    relative_error = (mean + v_error) * v_error + moved + UNIT * (np.where(outside, 0, t * t) + 3 * np.abs(beside))
    rounding = np.where(outside, _mean_rounding(t, mean) + np.abs(v), _normal_rounding(t, pull)) + np.abs(score)
    # V <= 1, and V <= G^2 as for every log-concave law on the half-line, which makes G at t - error at most 1/(1/G - error)
    steady = theta_error / np.maximum(1 / mean - theta_error, 1) ** 2
    score_error = _moved(t, pull * mean, v_error) + steady + UNIT * rounding
    return Edge(log_density, beside, -theta, score, pull, mean, -pull * mean,
                log_error, relative_error, score_error, theta_error)


def box(t: np.ndarray, w: np.ndarray, t_error: np.ndarray, relative: float) -> Edge:
    """The uniform law on an interval of width w plus noise, seen from its nearer end at distance t > 0, or -t inside it."""
    w = np.broadcast_to(w, t.shape)
    narrow = w * (np.abs(t) + w / 2) <= 1
    cases = [narrow, ~narrow & (t >= 0), ~narrow & (t < 0)]
    log_density, pull, mean, far_end = _by_case(cases, [_narrow_box, _box_from_outside, _box_from_inside], t, w)
    curvature = -pull * mean - far_end
    rounding = np.where(cases[2], 0, t * t) + 3 * np.abs(log_density) + 32
    log_error = (pull + t_error) * t_error + np.abs(far_end - 1) * relative + UNIT * rounding
    outside = np.where(narrow, 32 * mean, 8 * _mean_rounding(t, mean)) + np.abs(t)
    rounding = np.where(cases[2], _normal_rounding(t, pull) + 2 * far_end * w, outside) + np.abs(pull)
    score_error = _moved(t, -curvature, t_error) + far_end * w * relative + UNIT * rounding
    none = np.zeros_like(t)
    return Edge(log_density, none, none, pull, pull, mean, curvature, log_error, none, score_error, none)


def _moved(t: np.ndarray, slope: np.ndarray, error: np.ndarray) -> np.ndarray:
    """What an error of the place does to H: its slope 1 - V lies in [0, 1] and changes by |third cumulant| <= 2 V^{3/2} <= 2; from
    t = -39 down H and its slope are 0 in float64."""
    return np.where(t + error < -39, 0.0, np.minimum(slope + error, 1) * error)


def _by_case(cases, functions, *arrays) -> np.ndarray:
    """The results of each function on the rows of its case, stacked."""
    values = None
    for case, function in zip(cases, functions, strict=True):
        if case.any():
            results = function(*(a[case] for a in arrays))
            values = np.empty((len(results), *case.shape)) if values is None else values
            values[:, case] = results
    return np.empty((4, *cases[0].shape)) if values is None else values  # no rows at all


def _flank_from_outside(t, v, theta):
    ratio, mean = _mills(t)
    relative = np.log(theta * ratio)
    return relative - 0.5 * v * v - _HALF_LOG_2PI, relative, t + mean, mean


def _flank_from_inside(t, v, theta):
    from scipy.special import log_ndtr, ndtr

    pull = np.exp(-0.5 * t * t - _HALF_LOG_2PI) / ndtr(-t)
    mass = np.log(theta) + log_ndtr(-t)
    return mass - theta * (v - theta / 2), mass + 0.5 * t * t + _HALF_LOG_2PI, pull, pull - t


def _narrow_box(t, w):
    nodes, weights = _gauss_legendre()
    mass, first = np.zeros_like(t), np.zeros_like(t)
    for node, weight in zip(nodes, weights, strict=True):
        s = w * node
        part = weight * np.exp(-s * (t + s / 2))
        mass += part
        first += part * s
    mean = first / mass
    return -0.5 * t * t - _HALF_LOG_2PI + np.log(mass), t + mean, mean, np.exp(-w * (t + w / 2)) / mass


def _box_from_outside(t, w):
    (near, near_mean), (far, far_mean), fading = _mills(t), _mills(t + w), np.exp(-w * (t + w / 2))
    mass = near - fading * far
    mean = (near_mean * near - fading * far * (far_mean + w)) / mass
    return -0.5 * t * t - _HALF_LOG_2PI + np.log(mass / w), t + mean, mean, w * fading / mass


def _box_from_inside(t, w):
    from scipy.special import erf

    mass = 0.5 * (erf((t + w) / math.sqrt(2)) + erf(-t / math.sqrt(2)))
    q = w * (t + w / 2)
    height = np.exp(-0.5 * t * t - _HALF_LOG_2PI) / mass
    pull = -height * np.expm1(-q)
    return np.log(mass) - np.log(w), pull, pull - t, height * (w * np.exp(-q))


def _mills(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R, G) at t >= 0: Mills' ratio Q(t)/phi(t), and 1/R - t, the mean of the half-line beyond t less t."""
    from scipy.special import erfcx

    ratio = math.sqrt(math.pi / 2) * erfcx(t / math.sqrt(2))
    mean = 1 / ratio - t
    far = t > _FAR
    z = tail = t[far]
    for k in range(_TERMS, 1, -1):
        tail = z + k / tail
    mean[far] = 1 / tail
    return ratio, mean


def _mean_rounding(t: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Error of G by `_mills`, in units of rounding: of the difference 1/R - t, or of the continued fraction."""
    return np.where(np.abs(t) <= _FAR, 8 * (1 + np.abs(t)), 8 * mean)


def _normal_rounding(t: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """Error of H as phi(t) over a probability, in units of rounding: that of the exponent, and 16 for what is left."""
    return (2 * t * pull) * t + 16 * pull


@lru_cache(maxsize=1)
def _gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes on [0, 1], weights that sum to one; 12 integrate e^{-u}, |u| <= 1, to 1e-30."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    return (nodes + 1) / 2, weights / 2
