r"""Noise-free samplers in one dimension with their derivative, by hand: where x goes, and dy/dx, step by step by the chain rule.

With them the law of y = m(x) is known without an inverse: log q(m(x)) = log p(x) - log m'(x), and in the coordinate x

    TV(m#p, q) = 1/2 int |p(x) - q(m(x)) m'(x)| dx.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refscore.identities._nystrom import by_hand, tv_by_quadrature
from refscore.identities._operations import Operations

Slopes = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]
"""(y, t) -> score and its derivative, each (n,)."""


class Curve(NamedTuple):
    """Points y and their derivatives with respect to where they started."""

    y: np.ndarray
    slope: np.ndarray

    def plus(self, h: float, rate: Curve) -> Curve:
        return Curve(self.y + h * rate.y, self.slope + h * rate.slope)


def mixture_slopes(data, scales: Callable) -> Slopes:
    """Those of alpha x0 + sigma z, x0 a mixture on the line; ``scales(t)`` gives (alpha, sigma^2)."""

    def slopes(y, t):
        alpha, noise = scales(t)
        variances = alpha**2 * data.covs.reshape(-1) + noise
        pull = (alpha * data.means[:, 0] - y[:, None]) / variances
        exponents = np.log(data.weights / np.sqrt(variances)) - pull**2 * variances / 2
        share = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        score = (share * pull).sum(axis=1)
        return score, (share * ((pull - score[:, None]) ** 2 - 1 / variances)).sum(axis=1)

    return slopes


def model_slopes(ops: Operations, model: Any, pull: float = 0.0, takes_time: bool = False) -> Slopes:
    """Those of a network with one input and one output, minus ``pull`` x."""

    def slopes(y, t):
        x, more = y[:, None], (np.full(len(y), t),) if takes_time else ()
        return ops.forward(model, x, *more)[:, 0] - pull * y, ops.jvp(model, x, np.ones_like(x), *more)[:, 0] - pull

    return slopes


def flow(slopes: Slopes, rate: Callable, diffusion2: Callable, times, method: str, x: np.ndarray) -> Curve:
    """Euler, Heun or the classical Runge-Kutta method for dx/dt = -r x - g^2 s/2 from times[0] to times[-1]."""

    def drift(at: Curve, t: float) -> Curve:
        score, bend = slopes(at.y, t)
        r, half = float(rate(t)), float(diffusion2(t)) / 2
        return Curve(-r * at.y - half * score, (-r - half * bend) * at.slope)

    at = Curve(x, np.ones_like(x))
    for t, s in zip(times[:-1], times[1:], strict=True):
        h = s - t
        k1 = drift(at, t)
        if method == "euler":
            at = at.plus(h, k1)
        elif method == "heun":
            at = at.plus(h / 2, k1).plus(h / 2, drift(at.plus(h, k1), s))
        else:
            k2 = drift(at.plus(h / 2, k1), t + h / 2)
            k3 = drift(at.plus(h / 2, k2), t + h / 2)
            k4 = drift(at.plus(h, k3), s)
            at = at.plus(h / 6, k1).plus(h / 3, k2).plus(h / 3, k3).plus(h / 6, k4)
    return at


def ddim(slopes: Slopes, scales: Callable, times, x: np.ndarray) -> Curve:
    """DDIM without noise: x_s = alpha_s x0-hat + sigma_s eps, eps = -sigma_t s, x0-hat = (x_t - sigma_t eps)/alpha_t."""
    at = Curve(x, np.ones_like(x))
    for t, s in zip(times[:-1], times[1:], strict=True):
        (before, v), (after, w) = scales(t), scales(s)
        score, bend = slopes(at.y, t)
        b = after / before * v - np.sqrt(v * w)
        at = Curve(after / before * at.y + b * score, (after / before + b * bend) * at.slope)
    return at


def tv_before_the_map(density: Callable, curve: Callable, data, reach: float = 9.0) -> tuple[float, float]:
    """TV between the law of m(x), x with the given density on [-reach, reach], and a mixture, in the coordinate x; and its error.

    Panels are narrow, for the map is steep between modes. What the map leaves to the data alone, beyond m(+-reach), counts half.
    """
    target = by_hand(data, 1.0, 0.0)[0]

    def pulled_back(x):
        at = curve(x)
        return target(at.y) * at.slope

    value, error = tv_by_quadrature(density, pulled_back, reach, 0.05)
    low, high = curve(np.array([-reach, reach])).y
    parts = zip(data.weights, data.means[:, 0], np.sqrt(2 * data.covs.reshape(-1)), strict=True)
    return value + sum(w * (math.erfc((m - low) / s) + math.erfc((high - m) / s)) for w, m, s in parts) / 4, error
