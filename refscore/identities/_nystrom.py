r"""The second road for laws of chains in one dimension: a Nystrom method on Gauss-Legendre panels, and TV by quadrature.

    p_{k+1}(y) = int p_k(x) N(y; a_k x + b_k s_k(x), v_k) dx = sum_j w_j p_k(x_j) N(y; a_k x_j + b_k s_k(x_j), v_k)

on fixed nodes x_j of [-reach, reach], panels of 1.6 sqrt(v) for the narrowest kernel: the integrand is then smooth on a panel, and
two orders tell the error. Where mass lies close to poles of the score narrower panels are asked for. The same step many times is
the same matrix many times. Nothing here is shared with `refscore.laws` or `refscore.distances`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from refscore.identities._calculus import EPS, gauss_legendre

LAW_ERROR = 2e-13
"""L1 error of a law in one dimension by `refscore.laws.grid`, which refines to 1e-13, plus eps a step."""


class Step(NamedTuple):
    """x <- a x + b score(x) + sqrt(v) z, score: (n,) -> (n,)."""

    a: float
    b: float
    v: float
    score: Callable


class Nystrom(NamedTuple):
    """sum_j weights_j N(y; centres_j, v): the density after the last step."""

    weights: np.ndarray
    centres: np.ndarray
    v: float

    def density(self, y: np.ndarray) -> np.ndarray:
        """p(y), (n,)."""
        return normal(y[:, None] - self.centres, self.v) @ self.weights

    def above(self, y: float) -> float:
        """The mass on (y, inf)."""
        from scipy.special import erfc

        return float(self.weights @ erfc((y - self.centres) / math.sqrt(2 * self.v)) / 2)


def normal(away: np.ndarray, v) -> np.ndarray:
    """N(away; 0, v)."""
    kernel = away * away
    kernel *= -0.5 / v
    np.exp(kernel, out=kernel)
    kernel *= 1 / np.sqrt(2 * np.pi * v)
    return kernel


def by_hand(density, alpha: float, variance: float) -> tuple[Callable, Callable]:
    """Density and score of alpha x0 + variance^{1/2} z, x0 a mixture in one dimension; both (n,) -> (n,)."""
    means, variances = alpha * density.means[:, 0], alpha**2 * density.covs.reshape(-1) + variance

    def score(y):
        away = means - y[:, None]
        exponents = np.log(density.weights / np.sqrt(variances)) - away**2 / (2 * variances)
        posterior = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        return (posterior * away / variances).sum(axis=1) / posterior.sum(axis=1)

    return lambda y: normal(y[:, None] - means, variances) @ density.weights, score


def nystrom(steps: Sequence[Step], density: Callable, order: int, reach: float, width: float = 1.6) -> tuple[Nystrom, float]:
    """The law after ``steps`` from ``density``, and how far its mass is from one (what lies outside, above all)."""
    panels = math.ceil(2 * reach / (width * math.sqrt(min(step.v for step in steps))))
    y, weights = gauss_legendre(-reach, reach, panels, order)
    values = density(y)
    kernel: np.ndarray | None = None
    for k, step in enumerate(steps):
        if k == 0 or step != steps[k - 1]:
            centres, kernel = step.a * y + step.b * step.score(y), None
        if k + 1 < len(steps):
            kernel = normal(y[:, None] - centres, step.v) if kernel is None else kernel
            values = kernel @ (weights * values)
    law = Nystrom(weights * values, centres, steps[-1].v)
    return law, abs(float(law.weights.sum()) - 1)


def tv_by_quadrature(p: Callable, q: Callable, reach: float = 8.0, width: float = 0.4) -> tuple[float, float]:
    """1/2 int |p - q| by Gauss-Legendre between the roots, panels of ``width``, and an error estimate from a second order."""
    x = np.linspace(-reach, reach, int(40 * reach / width) + 1)
    gap = p(x) - q(x)
    clear = np.abs(gap) > 1e-16
    x, sign = x[clear], np.sign(gap[clear])
    at = np.flatnonzero(sign[1:] != sign[:-1])
    low, high, left = x[at], x[at + 1], sign[at]
    for _ in range(34):  # a root within 2^-34 of the spacing costs slope times its square: nothing
        middle = (low + high) / 2
        same = np.sign(p(middle) - q(middle)) == left
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    edges = np.concatenate([[-reach], low, [reach]])
    values = []
    for order in (12, 16):
        total = 0.0
        pieces = zip(edges[:-1], edges[1:], strict=True)
        nodes = [gauss_legendre(a, b, max(1, math.ceil((b - a) / width)), order) for a, b in pieces]
        difference = p(np.concatenate([y for y, _ in nodes])) - q(np.concatenate([y for y, _ in nodes]))
        start = 0
        for y, w in nodes:
            total += abs(float(w @ difference[start:start + len(y)]))
            start += len(y)
        values.append(total / 2)
    return values[1], abs(values[1] - values[0]) + 64 * EPS
