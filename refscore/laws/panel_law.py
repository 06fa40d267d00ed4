"""A law on the line by its density at Gauss-Legendre nodes of panels, a polynomial on each.

What is left of a law when it is neither a mixture nor the image of one, such as that of a chain that may refuse a step. Outside the
panels it has no mass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from refscore import _validate

_PER_PANEL = 8
_BISECTIONS = 28  # of a gap between nodes: an error e of a root, or of a kink, costs e^2
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class PanelLaw:
    """Panels (edges[i], edges[i+1]) with the density at ``values.shape[1]`` Gauss-Legendre nodes on each."""

    edges: np.ndarray
    values: np.ndarray

    @property
    def dim(self) -> int:
        """Dimension, 1."""
        return 1

    @property
    def mean(self) -> np.ndarray:
        """E x, (1,)."""
        return np.array([self.expectation(lambda x: x[:, 0])[0]])

    @property
    def cov(self) -> np.ndarray:
        """Var x, (1, 1)."""
        mean = self.mean[0]
        return np.array([[self.expectation(lambda x: (x[:, 0] - mean) ** 2)[0]]])

    def logpdf(self, x) -> np.ndarray:
        """log p(x), (n,); -inf outside the panels, and where p is lost in rounding."""
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(self.density(x), 0.0))

    def density(self, x) -> np.ndarray:
        """p(x), (n,), for x (n, 1)."""
        x = _validate.batch(x, 1)[:, 0]
        panel = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, len(self.values) - 1)
        middle, half = (self.edges[1:] + self.edges[:-1])[panel] / 2, np.diff(self.edges)[panel] / 2
        value = (lagrange((x - middle) / half, self.values.shape[1]) * self.values[panel]).sum(axis=1)
        return np.where((x < self.edges[0]) | (x > self.edges[-1]), 0.0, value)

    def cdf(self, x) -> np.ndarray:
        """P(X <= x), (n,), for x (n, 1): whole panels, and a rule of the same order on the piece."""
        x = np.clip(_validate.batch(x, 1)[:, 0], self.edges[0], self.edges[-1])
        order = self.values.shape[1]
        _, weights = gauss(self.edges, order)
        below = np.append(0.0, np.cumsum((weights * self.values.ravel()).reshape(-1, order).sum(axis=1)))
        panel = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, len(self.values) - 1)
        u, w = np.polynomial.legendre.leggauss(order)
        half = (x - self.edges[panel]) / 2
        inside = self.density((self.edges[panel][:, None] + half[:, None] * (1 + u)).reshape(-1, 1)).reshape(len(x), -1) @ w
        return below[panel] + half * inside

    def expectation(self, f) -> tuple[float, float]:
        """E f(x) for f: (n, 1) -> (n,), smooth on every panel, and an error estimate: rounding, and what a polynomial leaves."""
        order = self.values.shape[1]
        nodes, weights = gauss(self.edges, order)
        values = self.values * np.asarray(f(nodes[:, None]), dtype=np.float64).reshape(-1, order)
        terms = weights * values.ravel()
        return float(terms.sum()), float(64 * _EPS * np.abs(terms).sum() + np.diff(self.edges) @ tails(values))

    def distance(self, other) -> float:
        """Total variation from another law on the line (a `PanelLaw`, or a density with logpdf), pieces between sign changes."""
        edges = np.union1d(self.edges, other.edges) if isinstance(other, PanelLaw) else self.edges

        def gap(x: np.ndarray) -> np.ndarray:
            theirs = other.density(x[:, None]) if isinstance(other, PanelLaw) else np.exp(other.logpdf(x[:, None]))
            return self.density(x[:, None]) - theirs

        fractions = np.linspace(0, 1, _PER_PANEL + 1)[:-1]
        x = np.append((edges[:-1, None] + np.diff(edges)[:, None] * fractions).ravel(), edges[-1])
        sign = gap(x) > 0
        at = np.flatnonzero(sign[1:] != sign[:-1])
        roots = crossings(lambda y: gap(y) > 0, x[at], x[at + 1])
        nodes, weights = gauss(np.union1d(edges, roots), self.values.shape[1])
        pieces = (weights * gap(nodes)).reshape(-1, self.values.shape[1]).sum(axis=1)
        return float(np.abs(pieces).sum() / 2)


def gauss(edges: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on all panels, ((len(edges) - 1) order,)."""
    u, w = np.polynomial.legendre.leggauss(order)
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    return (middle[:, None] + half[:, None] * u).ravel(), (half[:, None] * w).ravel()


def crossings(positive: Callable, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A place in each interval (low, high) where ``positive``, points to booleans, changes."""
    if not len(low):
        return low
    before = positive(low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        as_before = positive(middle) == before
        low, high = np.where(as_before, middle, low), np.where(as_before, high, middle)
    return (low + high) / 2


def lagrange(u: np.ndarray, order: int) -> np.ndarray:
    """The polynomials that are 1 at one Gauss-Legendre node and 0 at the others, at u in [-1, 1]: (..., order)."""
    return np.polynomial.legendre.legvander(u, order - 1) @ _coefficients(order)


def tails(values: np.ndarray) -> np.ndarray:
    """The last three Legendre coefficients of (panels, order) values at nodes, summed without sign, (panels,)."""
    return np.abs(values @ _coefficients(values.shape[1])[-3:].T).sum(axis=1)


@lru_cache(maxsize=4)
def _coefficients(order: int) -> np.ndarray:
    """(order, order): column j has the Legendre coefficients of the polynomial that is 1 at node j; exact by Gauss."""
    u, w = np.polynomial.legendre.leggauss(order)
    return (np.arange(order)[:, None] + 0.5) * np.polynomial.legendre.legvander(u, order - 1).T * w
