r"""Derivatives, integrals and differential equations, for the second roads of processes and samplers; all spectrally accurate.

derivative      f'(0) of f sampled at n Chebyshev points of [-1, 1]: f = sum c_k T_k, T_k'(0) = k sin(k pi/2). For f analytic the
                c_k decay geometrically, so the last odd terms overstate what is left out (Trefethen, Approximation Theory and
                Approximation Practice, 2013, ch. 8); rounding of f is magnified by ``gain``, about n, over the radius.
integral        composite Gauss-Legendre.
collocate       y' = F(t, y) by Gauss-Legendre collocation with 12 stages, order 24 (Hairer, Norsett & Wanner, Solving
                Ordinary Differential Equations I, 1993, sec. II.7), stages found by fixed-point iteration.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre

EPS = float(np.finfo(np.float64).eps)
POINTS = 25
"""Chebyshev points of `derivative`: odd, so that 0 is one of them."""

_STAGES = 12
_SWEEPS = 60


def chebyshev_points(n: int = POINTS) -> np.ndarray:
    """cos((j + 1/2) pi/n), (n,), decreasing."""
    return np.cos((np.arange(n) + 0.5) * np.pi / n)


def derivative(values: np.ndarray, radius) -> tuple[np.ndarray, np.ndarray]:
    """(derivative at the centre, error) of a function given at centre + radius * `chebyshev_points`, along the first axis.

    The error is that of the polynomial plus 4 eps per value; values known less well add ``gain``/radius times their error.
    """
    weights, gain, terms = _weights(len(values))
    last = np.abs(np.tensordot(terms, values, axes=1)).sum(axis=0)
    rounding = 4 * EPS * gain * np.abs(values).max(axis=0)
    return np.tensordot(weights, values, axes=1) / radius, (last + rounding) / radius


def gain(n: int = POINTS) -> float:
    """Sum of the absolute weights of `derivative` at radius 1."""
    return _weights(n)[1]


@lru_cache(maxsize=8)
def _weights(n: int) -> tuple[np.ndarray, float, np.ndarray]:
    """(weights of f'(0), their absolute sum, the last two odd terms of the series as functionals of f)."""
    angle = (np.arange(n) + 0.5) * np.pi / n
    odd = np.arange(1, n, 2)
    terms = 2 / n * np.cos(np.outer(odd, angle)) * (odd * np.sin(odd * np.pi / 2))[:, None]
    weights = terms.sum(axis=0)
    return weights, float(np.abs(weights).sum()), terms[-2:]


def gauss_legendre(start: float, stop: float, panels: int, order: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [start, stop], (panels * order,)."""
    x, w = legendre.leggauss(order)
    edges = np.linspace(start, stop, panels + 1)
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()


@lru_cache(maxsize=2)
def _tableau(stages: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Butcher's (c, A, b): integrals over [0, c_i] and [0, 1] of the polynomials that are 1 at one Gauss node."""
    x, w = legendre.leggauss(stages)
    inner = (x[:, None] + 1) / 2 * x + (x[:, None] - 1) / 2  # the same nodes mapped to [-1, x_i]
    basis = legendre.legvander(x, stages - 1)
    coefficients = (np.arange(stages) + 0.5)[:, None] * (basis * w[:, None]).T  # f = sum_k c_k P_k, exact by Gauss
    integrals = np.einsum("ij,ijk->ik", np.outer((x + 1) / 4, w), legendre.legvander(inner, stages - 1))
    return (x + 1) / 2, integrals @ coefficients, w / 2


def stage_times(start: float, stop: float, panels: int) -> np.ndarray:
    """Times (panels, stages) at which `collocate` wants its coefficients."""
    edges = np.linspace(start, stop, panels + 1)
    return edges[:-1, None] + np.diff(edges)[:, None] * _tableau(_STAGES)[0]


def collocate(slopes, y: np.ndarray, start: float, stop: float, panels: int) -> np.ndarray:
    """y(stop) of y' = slopes(i, Y), Y (stages, ...) the states at ``stage_times(...)[i]``; ``stop`` may lie before ``start``."""
    _, inner, outer = _tableau(_STAGES)
    h = (stop - start) / panels
    for i in range(panels):
        states = np.broadcast_to(y, (_STAGES, *np.shape(y)))
        for _ in range(_SWEEPS):
            moved = y + h * np.tensordot(inner, slopes(i, states), axes=1)
            small = np.abs(moved - states).max() <= EPS * np.abs(moved).max()
            states = moved
            if small:
                break
        y = y + h * np.tensordot(outer, slopes(i, states), axes=1)
    return y


def extrapolate(h: np.ndarray, values: np.ndarray) -> tuple:
    """(value at 0 of the polynomial through all nodes, |difference| from the one without the coarsest, its weights)."""
    full, fewer = (np.array([np.prod(np.delete(x, j) / (np.delete(x, j) - x[j])) for j in range(len(x))])
                   for x in (h, h[1:]))
    value = full @ values
    return value, np.abs(value - fewer @ values[1:]), full
