r"""Expectations for identities of section B.

Expectations are trapezoidal sums over lattices carried into every component (`_textbook.nodes`, `joint_nodes`); the nodes
enter the objectives as data and noise with ``sample_weight``, so that what is checked is the objective itself. Two
objectives that agree up to a constant agree in expectation only: the bound is the change of both sides from one lattice to
the next finer one, plus rounding.
"""

from __future__ import annotations

import math

import numpy as np

from refscore._quadrature import refined as refined
from refscore.densities import PointSet
from refscore.identities import _textbook

EPS = np.finfo(float).eps


def flat(gradient) -> np.ndarray:
    return np.concatenate([np.ravel(g) for g in gradient]) if gradient else np.zeros(0)


FINEST = {1: 0.02, 2: 0.08, 3: 0.205}
"""The finest lattice worth its time, by dimension."""


def data_nodes(density, alpha, sigma):
    """Nodes of the data law fine enough for integrands with the factor N(x_t; alpha x0, sigma^2 I)."""
    if isinstance(density, PointSet):
        return density.points, density.weights
    return _textbook.nodes(density, 0.72 / math.sqrt(1 + (1.1 * alpha / sigma) ** 2))


POSTERIOR_ROUNDING = 1e-12
"""Relative error of a posterior mean over nodes: exponents up to 40 matter, each good to 8 eps of itself (7e-14); up to 3e5
terms are summed (1e-13); the lattice leaves e^{-2 pi^2/0.72^2} = 3e-17 of the largest term. Their sum with room for d."""


def posterior_weights(row, x0, w, alpha, sigma):
    """Posterior weights of the nodes x0 at x_t = row."""
    square = ((row - alpha * x0) ** 2).sum(axis=1) / (2 * sigma**2)
    weights = w * np.exp(square.min() - square)
    return weights / weights.sum()
