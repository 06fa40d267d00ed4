"""Ladders of what is made of a whole model: likelihoods of points, and samples."""

from __future__ import annotations

import numpy as np

from refscore.conformance.ladders.setting import Rung, Setting, mixture, points
from refscore.conformance.spec import Spec

SHORT = 200
"""Chains of at most so many steps are computed; that of longer ones is further from the data by less than is seen."""
FEWEST, MOST = 5_000, 20_000
"""Draws: the fewer steps a chain has, the more."""


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
    """Of a short chain, whose law is exact, more draws, and also data as narrow as its last step: there alone it shows.

    Where noise is all that is added, data nearly as wide as the last of it: of others the start is forgotten.
    """
    n = FEWEST
    models = {"d = 2, N((0.7, 0.7), 0.4 I)": gaussian(2, 0.4, 0.7), "d = 1, mixture": mixture(1, True)}
    if s.chain and s.end <= SHORT:
        variance = float(2 * s.process.beta(1))
        models[f"d = 1, N(0.7, {variance:.3g})"] = gaussian(1, variance, 0.7)
        n = max(FEWEST, min(MOST, 40 * int(25_000 / s.end)))
    if not s.chain and np.isfinite(s.process.t_max) and s.process.alpha(s.end) > 0.5:
        variance = float(np.round(s.process.sigma(s.end) ** 2 / 3, 4))
        mean = float(np.round(np.sqrt(variance), 2))
        models[f"d = 1, N({mean:.4g}, {variance:.4g})"] = gaussian(1, variance, mean)
    return [Rung(name, {"model": model, "n": n, "seed": 0}) for name, model in models.items()]
