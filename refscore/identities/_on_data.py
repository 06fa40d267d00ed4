"""What the identities on a user's data share: the points, their projections, the noise levels, the models."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from refscore._dataset import Dataset
from refscore.identities._finite_posterior import UNIT, FinitePosterior, posterior

FULL = 4_000_000
"""Largest n d with which the identities of several dimensions run; beyond it the points are projected first."""

BETA, G = 0.6, 1.1
"""OU(0.6, 1.1): alpha^2 + sigma^2 is not 1 and sigma not alpha, so that no mistake hides behind an equality."""


@dataclass(frozen=True)
class Level:
    """A noise level: x~ = alpha x_0 + sigma z at time t of OU(BETA, G); ``relative`` = sigma/alpha."""

    relative: float
    t: float = field(init=False)
    alpha: float = field(init=False)
    sigma: float = field(init=False)

    def __post_init__(self):
        t = math.log1p(2 * BETA * self.relative**2 / G**2) / (2 * BETA)
        object.__setattr__(self, "t", t)
        object.__setattr__(self, "alpha", math.exp(-BETA * t))
        object.__setattr__(self, "sigma", G * math.sqrt(-math.expm1(-2 * BETA * t) / (2 * BETA)))

    def __str__(self) -> str:
        return f"sigma/alpha = {self.relative:g}"


LEVELS = (Level(1.0), Level(0.3), Level(0.1))


@dataclass(frozen=True)
class Points:
    """The data set as the identities use it, (n, d) of order one, and its projections on its principal axes."""

    values: np.ndarray

    @cached_property
    def axes(self) -> np.ndarray:
        """Principal axes as columns (d, min(n, d)), the one of largest variance first."""
        n, d = self.values.shape
        if d <= n:
            return np.linalg.eigh(self.values.T @ self.values)[1][:, ::-1]
        spectrum, left = np.linalg.eigh(self.values @ self.values.T)
        return np.linalg.qr(self.values.T @ left[:, ::-1])[0]

    def projected(self, dim: int) -> np.ndarray:
        """Coordinates along the first ``dim`` axes, (n, dim), of root-mean-square norm one (unless all are equal)."""
        flat = self.values @ self.axes[:, :dim] if self.values.shape[1] > 1 else self.values
        size = math.sqrt(float((flat**2).sum(axis=1).mean()))
        return flat / size if size > 1e-8 else np.zeros_like(flat)

    @cached_property
    def full(self) -> np.ndarray:
        """All coordinates where n d <= FULL, else the projection on as many axes as that allows."""
        return self._at_most(FULL // len(self.values))

    @cached_property
    def second_order(self) -> np.ndarray:
        """All coordinates where n d^2 <= FULL, else the projection on as many axes as that allows."""
        return self._at_most(math.isqrt(FULL // len(self.values)))

    @cached_property
    def line(self) -> np.ndarray:
        """The projection on the first principal axis, (n, 1)."""
        return self.projected(1)

    def _at_most(self, dim: int) -> np.ndarray:
        dim = max(dim, 1)
        return self.values if self.values.shape[1] <= dim else self.projected(dim)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know about projections."""
        n, d = self.values.shape
        notes = []
        for points, what in ((self.full, "the identities of several dimensions"), (self.second_order, "Cov[x0 | x~]")):
            if points.shape[1] < d:
                size = f"{n} rows x {d} columns are many"
                notes.append(f"{size}: {what} on the projection to the first {points.shape[1]} principal axes")
        return tuple(notes)


def prepared(dataset: Dataset) -> Points:
    """The data set as the identities use it."""
    return Points(dataset.points)


def places(points: np.ndarray, level: Level, rng: np.random.Generator, most: int = 24) -> np.ndarray:
    """Points x~ drawn from the corrupted law, and in its tails 30 and 300 scales away, fewer for large data sets."""
    n, d = points.shape
    count = int(np.clip(FULL // (n * d), 1, most))
    drawn = level.alpha * points[rng.integers(n, size=count)] + level.sigma * rng.standard_normal((count, d))
    directions = rng.standard_normal((2, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.concatenate([drawn, directions * [[30.0], [300.0]]])[: max(count, 3)]


def posteriors(points: np.ndarray, x: np.ndarray, level: Level) -> Iterator[FinitePosterior]:
    """The finite posterior at each row of x."""
    for row in x:
        yield posterior(points, row, level.alpha, level.sigma)


def networks(points: np.ndarray, level: Level, rng: np.random.Generator) -> dict:
    """A linear score, an MLP with random weights, and the same MLP briefly trained on this noise level."""
    from refscore.networks import MLP
    from refscore.objectives import dsm

    n, d = points.shape
    hidden = 8 if d <= 64 else 16
    linear, random = MLP((d, d), "tanh", rng), MLP((d, hidden, hidden, d), "tanh", rng)
    trained, step = random, 0.05 * level.sigma**2
    for _ in range(20):
        x0 = level.alpha * points[rng.integers(n, size=64)]
        _, gradient = dsm(trained, x0, level.sigma, rng.standard_normal(x0.shape), grad=True)
        trained = trained.with_parameters([p - step * g for p, g in zip(trained.parameters, gradient)])
    return {"linear score": linear, "MLP, random": random, "MLP, trained": trained}


def network_error(model, x: np.ndarray, moved: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on the rounding errors of s (n, d) and of tr Ds (n,) of a tanh MLP whose input is off by ``moved``.

    A layer z = a W + b of k inputs adds (k + 2) u (|a||W| + |b|) to what its input's error becomes; |tanh'| <= 1 passes
    it on and the function adds 4 u. In tr Ds every product of weights and slopes is off by the rounding of its slopes
    (|tanh''| <= 1 times the error of z) and by u a factor; its absolute value is at most tr |W_1|...|W_L|.
    """
    a, e, worst = x, np.full(x.shape, moved), np.zeros(len(x))
    product = np.eye(x.shape[1])
    for i, (W, b) in enumerate(zip(model.weights, model.biases)):
        absolute, k = np.abs(W), len(W)
        e = e @ absolute + (k + 2) * UNIT * (np.abs(a) @ absolute + np.abs(b))
        a = a @ W + b
        if i < len(model.weights) - 1:
            worst = np.maximum(worst, e.max(axis=1))
            a = np.tanh(a)
            e = e + 4 * UNIT * np.abs(a)
        product = product @ absolute
    layers, width = len(model.weights), max(W.shape[0] for W in model.weights)
    return e, float(np.trace(product)) * layers * (worst + (width + 8) * UNIT)
