r"""Densities on the line in closed form: the second road for `UnnormalizedDensity`, with no code in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refscore.densities import UnnormalizedDensity
from refscore.identities import _textbook
from refscore.identities._calculus import gauss_legendre
from refscore.identities._targets import mixture

INF = math.inf


@dataclass(frozen=True)
class Law:
    """e^shape on a support, with log Z and the first two derivatives of ``shape`` as known on paper."""

    shape: Callable
    support: tuple[float, float]
    log_z: float
    score: Callable
    curvature: Callable
    bulk: tuple[float, float]  # an interval with most of the mass, strictly inside the support
    whole: tuple[float, float]  # all mass to 1e-16

    def log_density(self, x: np.ndarray) -> np.ndarray:
        return self.shape(x) - self.log_z

    def points(self, rng, n: int) -> np.ndarray:
        return rng.uniform(*self.bulk, n)

    def mean_of(self, f: Callable) -> float:
        x, w = gauss_legendre(*self.whole, 400)
        return math.fsum(w * np.exp(self.log_density(x)) * f(x))


def laws() -> dict[str, Law]:
    """One of each kind of support and tail, off centre and skewed."""
    target = mixture(1)

    def derivative(x):
        return _textbook.score(target, x[:, None])[:, 0]

    m, b, k, theta, c = 0.4, 0.7, 3.0, 0.8, -1.7

    def gumbel(x):
        with np.errstate(over="ignore"):
            return -(x - m) / b - np.exp(-(x - m) / b)

    return {
        "mixture of Gaussians": Law(
            lambda x: _textbook.log_density(target, x[:, None]), (-INF, INF), 0.0, derivative,
            lambda x: _textbook.gradient(lambda z: _textbook.score(target, z)[:, 0], x[:, None])[:, 0], (-2.0, 3.0), (-12.0, 12.0),
        ),
        "quartic": Law(
            lambda x: -((x - m) ** 4), (-INF, INF), math.log(2) + math.lgamma(1.25), lambda x: -4 * (x - m) ** 3,
            lambda x: -12 * (x - m) ** 2, (-0.8, 1.7), (-2.5, 3.3),
        ),
        "Gumbel": Law(
            gumbel, (-INF, INF), math.log(b), lambda x: (np.exp(-(x - m) / b) - 1) / b,
            lambda x: -np.exp(-(x - m) / b) / b**2, (-0.5, 3.0), (-3.0, 30.0),
        ),
        "Gamma on a half-line": Law(
            lambda x: (k - 1) * np.log(x) - x / theta, (0.0, INF), math.lgamma(k) + k * math.log(theta),
            lambda x: (k - 1) / x - 1 / theta, lambda x: -(k - 1) / x**2, (0.4, 5.0), (0.0, 45.0),
        ),
        "exponential on an interval": Law(
            lambda x: c * x, (-0.6, 1.9), math.log((math.exp(1.9 * c) - math.exp(-0.6 * c)) / c), lambda x: np.full(x.shape, c),
            lambda x: np.zeros(x.shape), (-0.5, 1.8), (-0.6, 1.9),
        ),
    }


@dataclass(frozen=True)
class Quadratic:
    """p ~ e^{c1 x - c2 x^2/2} on (low, high): uniform, exponential or truncated Gaussian; its corruption in closed form.

    Given the noisy point y, x is Gaussian of precision c = c2 + (alpha/sigma)^2 and mean mu(y) = (c1 + alpha y/sigma^2)/c,
    truncated, so

        q(y) = e^{c mu^2/2 - y^2/(2 sigma^2)} [Phi(sqrt c (high - mu)) - Phi(sqrt c (low - mu))] / (Z sigma sqrt c).
    """

    c1: float
    c2: float
    low: float
    high: float
    middle: float
    spread: float

    def density(self) -> UnnormalizedDensity:
        return UnnormalizedDensity(lambda x: self.c1 * x - self.c2 * x * x / 2, (self.low, self.high))

    def log_z(self) -> float:
        if self.c2:
            mu, root = self.c1 / self.c2, math.sqrt(self.c2)
            mass = float(_between(np.array(root * (self.low - mu)), np.array(root * (self.high - mu))))
            return self.c2 * mu * mu / 2 + math.log(math.sqrt(2 * math.pi) / root * mass)
        if self.c1:
            return math.log((math.exp(self.c1 * self.high) - math.exp(self.c1 * self.low)) / self.c1)
        return math.log(self.high - self.low)

    def corrupted_log_density(self, y, alpha, sigma):
        """log q(y); y may be complex."""
        c, mu, ends = self._posterior(y, alpha, sigma)
        value = c * mu * mu / 2 - y * y / (2 * sigma**2) + np.log(_between(*ends))
        return value - 0.5 * math.log(c) - math.log(sigma) - self.log_z()

    def corrupted_score(self, y, alpha, sigma):
        """d/dy log q(y); y may be complex."""
        c, mu, ends = self._posterior(y, alpha, sigma)
        low, high = (np.exp(-u * u / 2) / math.sqrt(2 * math.pi) if np.isfinite(u.real).all() else np.zeros_like(u) for u in ends)
        d_mu = alpha / sigma**2 / c
        return c * mu * d_mu - y / sigma**2 - math.sqrt(c) * d_mu * (high - low) / _between(*ends)

    def reach(self, y, alpha, sigma):
        """How many standard deviations the nearer finite end lies from mu(y): the condition of the above is its square."""
        _, _, ends = self._posterior(y, alpha, sigma)
        return np.min([np.where(np.isfinite(u), np.abs(u), np.inf) for u in ends], axis=0)

    def _posterior(self, y, alpha, sigma):
        """Precision c, mean mu(y), and the ends in standard deviations from it."""
        c = self.c2 + (alpha / sigma) ** 2
        mu = (self.c1 + alpha * y / sigma**2) / c
        ends = [math.sqrt(c) * (end - mu) if math.isfinite(end) else np.full_like(mu, end) for end in (self.low, self.high)]
        return c, mu, ends


def _between(low, high):
    """Phi(high) - Phi(low) for real or complex arguments, by the tails on the side where it does not cancel."""
    from scipy.special import erfc

    def normal(u):
        return erfc(-u / math.sqrt(2)) / 2 if np.isfinite(u.real).all() else np.where(u.real > 0, 1.0, 0.0)

    right = low.real + high.real > 0
    return np.where(right, normal(-low) - normal(-high), normal(high) - normal(low))


QUADRATIC = {
    "uniform": Quadratic(0.0, 0.0, -0.7, 1.2, 0.25, 0.55),
    "exponential": Quadratic(-1.4, 0.0, 0.3, INF, 1.0, 0.7),
    "truncated Gaussian on an interval": Quadratic(0.9, 1.3, -0.4, 1.5, 0.5, 0.5),
    "truncated Gaussian on a half-line": Quadratic(0.9, 1.3, -INF, 0.8, 0.1, 0.6),
}


def two_sided(loc: float, left: float, right: float) -> UnnormalizedDensity:
    """e^{(x - loc)/left} left of loc, e^{(loc - x)/right} right of it: continuous with a kink, hence two pieces that touch."""
    return UnnormalizedDensity(
        lambda x: np.where(x < loc, (x - loc) / left, (loc - x) / right), ((-INF, loc), (loc, INF)),
        lambda x: np.where(x < loc, 1 / left, -1 / right), np.zeros_like,
    )


def sign_changes(f: Callable, grid: np.ndarray) -> list[float]:
    """Zeros of f between neighbours of a grid, by bisection to the last bit."""
    y = f(grid)
    roots = []
    for i in np.flatnonzero(y[1:] * y[:-1] < 0):
        low, high = grid[i], grid[i + 1]
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if f(np.array([middle]))[0] * y[i] > 0 else (low, middle)
        roots.append(float((low + high) / 2))
    return roots


def total_variation(ops, p, q) -> tuple[float, float]:
    """TV = 1/2 E_p|1 - q/p| and its error, for q that vanishes where p does; the 1 gives the integrand a size where q = p."""
    value, error = ops.expectation(p, lambda x: 1 + 0.5 * np.abs(1 - np.exp(ops.logpdf(q, x) - ops.logpdf(p, x))))
    return value - 1, error


def gap_between(w: float) -> UnnormalizedDensity:
    """w of the mass on (-2, -1), where p ~ e^{0.8 x}, the rest on (0.5, 2), where p ~ e^{-x^2/2}."""
    from scipy.special import ndtr

    left = math.log(w * 0.8 / (math.exp(-0.8) - math.exp(-1.6)))
    right = math.log((1 - w) / math.sqrt(2 * math.pi) / (ndtr(2.0) - ndtr(0.5)))
    return UnnormalizedDensity(
        lambda x: np.where(x < 0, left + 0.8 * x, right - x * x / 2), ((-2.0, -1.0), (0.5, 2.0)), lambda x: np.where(x < 0, 0.8, -x)
    )


def zero_between(w: float) -> UnnormalizedDensity:
    """w x^2 e^{-x^2/2} to the left of zero and (1 - w) times it to the right: continuous, with a continuous derivative."""
    def log_p(x):
        with np.errstate(divide="ignore"):
            return 2 * np.log(np.abs(x)) - x * x / 2 + np.where(x < 0, math.log(w), math.log(1 - w))

    return UnnormalizedDensity(log_p, ((-INF, 0.0), (0.0, INF)), lambda x: 2 / x - x)
