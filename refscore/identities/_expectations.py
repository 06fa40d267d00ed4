r"""Expectations for identities of section B.

Expectations are trapezoidal sums over lattices carried into every component (`_textbook.nodes`, `joint_nodes`); the nodes
enter the objectives as data and noise with ``sample_weight``, so that what is checked is the objective itself. Two
objectives that agree up to a constant agree in expectation only: the bound is the change of both sides from one lattice to
the next finer one, plus rounding.
"""

from __future__ import annotations

import math

import numpy as np

from refscore.densities import PointSet
from refscore.identities import _textbook

EPS = np.finfo(float).eps
ROUNDING = 1024 * EPS
"""Relative rounding error of a sum over nodes: the square root of their number, at most 1e6."""


def refined(compute, spacing: float, *, finest: float, enough: float = 3e-11):
    """``compute(spacing)``, a dict of arrays, on ever finer lattices until no entry moves by ``enough`` of its size.

    The error of a lattice is e^{-2 pi a/h} times a phase, so a change c relative to the value becomes c^sqrt(2) as the spacing
    h shrinks by sqrt 2. A phase can make one change small by accident: what counts is the envelope e' = max(c', e^sqrt(2)) of all
    changes so far. And a steep part of the integrand may hide a shallow one, so that the rate of decay may fall by half: what is
    left is taken to be twice e' sqrt(e'/e). Returns the dict of the finest lattice and a dict of these bounds, plus rounding.
    """
    spacing = finest * 2 ** (round(2 * math.log2(spacing / finest)) / 2)  # so that the last lattice worth its time is met
    values = [compute(spacing)]
    envelope: dict[str, float] = {}
    while True:
        spacing /= math.sqrt(2)
        values.append(compute(spacing))
        last, before = values[-1], envelope
        size = {k: 1 + float(np.abs(last[k]).max()) for k in last}
        envelope = {}
        for k in last:
            change = float(np.abs(np.asarray(last[k]) - values[-2][k]).max()) / size[k]
            envelope[k] = max(change, ROUNDING, min(before.get(k, 0.0), 1.0) ** math.sqrt(2))
        if before:
            bound = {k: size[k] * (ROUNDING + 2 * envelope[k] * math.sqrt(min(1.0, envelope[k] / before[k]))) for k in last}
            if spacing < 1.2 * finest or all(bound[k] <= enough * size[k] for k in last):
                return last, bound


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
