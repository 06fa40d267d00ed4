"""Ladders of what is made of a whole model: likelihoods of points, and samples."""

from __future__ import annotations

import numpy as np

from refscore.conformance.ladders.setting import Rung, Setting, mixture, points
from refscore.conformance.spec import Spec


def gaussian(d: int, variance: float = 0.25, mean: float = 0.0) -> Spec:
    """The score of N((mean, ...), variance I) along the process."""
    arrays = {"weights": np.ones(1), "means": np.full((1, d), mean), "variances": np.array([variance])}
    return Spec("mixture", arrays, takes_time=True)


def likelihood(s: Setting) -> list[Rung]:
    return [
        Rung("d = 1, one row, N(0, 1/4)", {"model": gaussian(1), "x": np.array([[0.3]])}),
        Rung("d = 1, batch of 7, mixture", {"model": mixture(1, True), "x": points(7, 1)}),
        Rung("d = 2, batch of 5, mixture", {"model": mixture(2, True), "x": points(5, 2)}),
        Rung("d = 3, batch of 5, mixture", {"model": mixture(3, True), "x": points(5, 3)}),
    ]


def sample(s: Setting) -> list[Rung]:
    return [Rung("d = 2, N((0.7, 0.7), 0.4 I)", {"model": gaussian(2, 0.4, 0.7), "n": 5_000, "seed": 0}),
            Rung("d = 1, mixture", {"model": mixture(1, True), "n": 5_000, "seed": 0})]
