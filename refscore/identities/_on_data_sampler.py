r"""The law of the ideal denoiser's sampler on the user's data, projected to the first principal axis.

Data x_0 uniform on n points, dX = -X dt + sqrt 2 dW (so alpha = e^{-t}, sigma^2 = 1 - e^{-2t}), reverse chain from the
exact p_T down to p_{t_min} with the exact scores, on a non-uniform grid of times:

    Euler-Maruyama           x <- (1 + h) x + 2 h s(x, t) + sqrt(2 h) z
    exponential integrator   x <- e^h x + 2 (e^h - 1) s(x, t) + sqrt(e^{2h} - 1) z

Second route: transition matrices on one fixed lattice with scores by finite sums, and TV = 1/2 int |p - q| by
Gauss-Legendre quadrature between the sign changes of p - q.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq

from refscore.identities._finite_posterior import UNIT
from refscore.identities._on_data import Points
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table

TIMES = (1.6, 1.15, 0.8, 0.55, 0.37, 0.24, 0.15, 0.09)
_BLOCK = 1 << 20


def sampler_law(ops: Operations, seed: int, points: Points) -> Iterator[Comparison | Table]:
    """H5: the propagated law of both schemes, and its distance from the law it aims at."""
    from refscore.densities import PointSet
    from refscore.processes import OU

    data, process = _within(points.line), OU(1.0, float(np.sqrt(2.0)))
    score = _ExactScore(ops, process, PointSet(data))
    truth = _OnLattice(data[:, 0])
    rows = []
    for scheme in ("euler_maruyama", "exponential"):
        chain = ops.reverse_sde(process, score, np.array(TIMES), scheme)
        law = ops.law(chain, score.marginal(TIMES[0]))
        (density, rounding), (coarse, _) = truth.propagated(scheme, 1), truth.propagated(scheme, 2)
        target = truth.marginal(TIMES[-1])
        x = np.linspace(data.min() - 1, data.max() + 1, 41)
        right = density(x)
        peak = float(density(density.nodes).max())
        settled = float(np.abs(right - coarse(x)).max())
        bound = 2 * settled + rounding / density.std  # the last kernel turns an L1 error e into at most 0.4 e/std
        left = np.exp(ops.logpdf(law, x[:, None]))
        yield Comparison(f"density after {len(TIMES) - 1} steps, {scheme}", left, right, bound, peak)
        value, error = ops.total_variation(law, score.marginal(TIMES[-1]))
        distance, quadrature = _total_variation(density, target)
        other, _ = _total_variation(coarse, target)
        bound = error + quadrature + 2 * abs(distance - other) + rounding
        yield Comparison(f"total variation, {scheme}", value, distance, bound)
        rows.append((scheme, len(TIMES) - 1, value, error + bound))
    title = f"TV(sampler, p_t) at t = {TIMES[-1]}, started from the exact p_T, T = {TIMES[0]}"
    yield Table(title, ("scheme", "steps", "TV", "uncertainty"), rows)


def _within(line: np.ndarray, reach: float = 4.0) -> np.ndarray:
    """The points (n, 1), scaled down when one lies beyond ``reach``: far outliers would need ever finer nodes."""
    largest = float(np.abs(line).max())
    return line if largest <= reach else line * (reach / largest)


@dataclass
class _ExactScore:
    """score(x, t) of the corrupted points, through the operations."""

    ops: Operations
    process: object
    points: object
    known: dict = field(default_factory=dict)

    def marginal(self, t: float):
        if t not in self.known:
            alpha, sigma = float(self.ops.alpha(self.process, t)), float(self.ops.sigma(self.process, t))
            self.known[t] = self.ops.corrupted(self.points, alpha, sigma)
        return self.known[t]

    def __call__(self, x, t):
        return self.ops.score(self.marginal(float(t)), x)


@dataclass(frozen=True)
class _Density:
    """sum_j weights_j N(x; nodes_j, std_j^2), any number of components."""

    weights: np.ndarray
    nodes: np.ndarray
    std: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        value, rows = np.empty(len(x)), max(1, _BLOCK // len(self.nodes))
        for i in range(0, len(x), rows):
            z = (x[i : i + rows, None] - self.nodes) / self.std
            value[i : i + rows] = np.exp(-0.5 * z * z) @ self.weights
        return value / (self.std * np.sqrt(2 * np.pi))


class _OnLattice:
    """The chain on one lattice for all times, with scores as finite sums over the points (n,)."""

    def __init__(self, points: np.ndarray):
        self.points = points
        narrowest = np.sqrt(2 * (TIMES[-2] - TIMES[-1]))
        reach = float(np.abs(points).max()) + 9.5
        self.spacing = float(narrowest) / 20
        self.x = np.arange(-np.ceil(reach / self.spacing), np.ceil(reach / self.spacing) + 1) * self.spacing
        self.scores = {t: self._score(t) for t in TIMES[:-1]}

    @staticmethod
    def sigma(t: float) -> float:
        return float(np.sqrt(-np.expm1(-2 * t)))

    def marginal(self, t: float) -> _Density:
        n = len(self.points)
        return _Density(np.full(n, 1 / n), np.exp(-t) * self.points, self.sigma(t))

    def _score(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """The score at every node, and what rounding may do to it.

        With offsets z = (alpha x_i - x)/sigma, each rounded by u (|x| + |alpha x_i|)/sigma, a log weight -z^2/2 within
        50 of the largest is off by |z| times that and a few u; this moves the mean of z by twice its mean deviation
        times it.
        """
        score, error, sigma = np.empty(len(self.x)), np.empty(len(self.x)), self.sigma(t)
        rows = max(1, _BLOCK // len(self.points))
        for i in range(0, len(self.x), rows):
            x = self.x[i : i + rows]
            z = (np.exp(-t) * self.points - x[:, None]) / sigma
            height = -0.5 * z * z
            top = height.max(axis=1, keepdims=True)
            ratio = np.exp(height - top)
            ratio /= ratio.sum(axis=1, keepdims=True)
            mean = (ratio * z).sum(axis=1)
            farthest = np.sqrt(100 - 2 * top[:, 0])
            rounded = 2 * UNIT * (2 * np.abs(x) / sigma + farthest)
            deviation = (ratio * np.abs(z - mean[:, None])).sum(axis=1)
            score[i : i + rows] = mean / sigma
            error[i : i + rows] = (2 * deviation * (farthest * rounded + 64 * UNIT) + rounded) / sigma
        return score, error

    def propagated(self, scheme: str, every: int) -> tuple[_Density, float]:
        """(the law after all steps, from every ``every``-th node; what rounding does to it in the L1 norm).

        A mean off by m moves a kernel of variance v by 2 m/sqrt(2 pi v) in L1, and no kernel increases an L1 norm; both
        routes round, hence twice that. Sums over nodes and points add log2 of their length in every step.
        """
        x, h = self.x[::every], self.spacing * every
        density: _Density = self.marginal(TIMES[0])
        rounding = 16 * len(TIMES) * UNIT * float(np.log2(len(self.points) * len(self.x)))
        for t, s in zip(TIMES, TIMES[1:]):
            step, (score, error) = t - s, (part[::every] for part in self.scores[t])
            if scheme == "euler_maruyama":
                a, b, variance = 1 + step, 2 * step, 2 * step
            else:
                a, b, variance = np.exp(step), 2 * np.expm1(step), np.expm1(2 * step)
            weights = h * density(x)
            moved = b * error + 8 * UNIT * np.abs(x)
            rounding += 2 * float(weights @ moved) * 2 / np.sqrt(2 * np.pi * variance)
            density = _Density(weights, a * x + b * score, float(np.sqrt(variance)))
        return density, float(rounding)


def _total_variation(p: _Density, q: _Density) -> tuple[float, float]:
    """(1/2 int |p - q|, its error): Gauss-Legendre on panels that end at the sign changes of p - q."""

    def difference(x):
        return p(np.atleast_1d(x)) - q(np.atleast_1d(x))

    width = min(p.std, q.std) / 2
    low = min(p.nodes.min() - 10 * p.std, q.nodes.min() - 10 * q.std)
    high = max(p.nodes.max() + 10 * p.std, q.nodes.max() + 10 * q.std)
    cuts = np.linspace(low, high, int(np.ceil((high - low) / width)) + 1)
    values = difference(cuts)
    changes = np.flatnonzero((values[1:] * values[:-1] < 0) & (np.abs(values[1:]) + np.abs(values[:-1]) > 1e-14))
    roots = [brentq(lambda x: float(difference(x)[0]), cuts[i], cuts[i + 1], xtol=1e-13) for i in changes]
    ends = np.unique(np.concatenate([cuts, roots]))
    totals = []
    for order in (8, 12):
        z, w = np.polynomial.legendre.leggauss(order)
        half = np.diff(ends) / 2
        x = (ends[:-1] + ends[1:])[:, None] / 2 + half[:, None] * z
        totals.append(0.5 * float((half[:, None] * w * np.abs(difference(x.ravel()).reshape(x.shape))).sum()))
    return totals[1], abs(totals[1] - totals[0]) + 1e-14
