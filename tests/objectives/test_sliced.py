"""The variance of sliced losses over their directions, against moments of the losses themselves; where SSM-VR loses."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from refscore.densities import Gaussian
from refscore.networks import MLP, AnalyticScore
from refscore.objectives import sliced_variance, ssm, ssm_vr

EPS = np.finfo(float).eps


def moments(law, d):
    """Directions and weights that are exact for polynomials of degree 4."""
    if law == "rademacher":
        signs = np.array(list(itertools.product([-1.0, 1.0], repeat=d)))
        return signs, np.full(len(signs), 1 / len(signs))
    if law == "gaussian":
        z, w = np.polynomial.hermite_e.hermegauss(4)
        return (np.array(list(itertools.product(z, repeat=d))),
                np.prod(list(itertools.product(w / w.sum(), repeat=d)), axis=1))
    angle = 2 * np.pi * (np.arange(7) + 0.2) / 7
    return np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1), np.full(7, 1 / 7)


@pytest.mark.parametrize("law, d", [("rademacher", 1), ("rademacher", 3), ("gaussian", 1), ("gaussian", 3), ("sphere", 2)])
@pytest.mark.parametrize("objective, reduced", [(ssm, False), (ssm_vr, True)])
@pytest.mark.parametrize("time", [None, 0.7])
def test_against_second_moments(law, d, objective, reduced, time):
    model = MLP((d + (time is not None), 6, 5, d), "tanh", 4)
    x = np.random.default_rng(d).normal(size=(5, d))
    v, w = moments(law, d)
    losses = np.stack([objective(model, x, np.tile(row, (5, 1)), t=time, over_batch="none") for row in v])
    mean = w @ losses
    wanted = w @ (losses - mean) ** 2
    found = sliced_variance(model, x, law, variance_reduced=reduced, t=time)
    assert np.abs(found - wanted).max() <= 1e4 * EPS * np.square(losses).max()
    three = sliced_variance(model, x, law, variance_reduced=reduced, directions=3, t=time)
    assert np.abs(three - found / 3).max() <= 4 * EPS * found.max()


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_variance_reduction_depends_on_the_dimension(d):
    """N(0, I), its score, Gaussian directions: E of the variances is d^2/2 + d and 2 d; 3 Gauss-Hermite nodes are exact."""
    z, w = np.polynomial.hermite_e.hermegauss(3)
    x = np.array(list(itertools.product(z, repeat=d)))
    weights = np.prod(list(itertools.product(w / w.sum(), repeat=d)), axis=1)
    score = AnalyticScore(Gaussian(np.zeros(d), np.eye(d)))
    sliced, reduced = (weights @ sliced_variance(score, x, "gaussian", variance_reduced=flag) for flag in (False, True))
    assert abs(sliced - (d * d / 2 + d)) <= 1e3 * EPS * d * d
    assert abs(reduced - 2 * d) <= 1e3 * EPS * d


def test_refusals():
    model = MLP((2, 3, 2), "tanh", 0)
    with pytest.raises(ValueError, match="law is 'uniform': choose one of 'gaussian', 'rademacher', 'sphere'"):
        sliced_variance(model, np.zeros((1, 2)), "uniform")
    with pytest.raises(TypeError, match=r"model is a function, without jacobian\(x\)"):
        sliced_variance(lambda x: x, np.zeros((1, 2)), "gaussian")
    with pytest.raises(ValueError, match="directions is 0"):
        sliced_variance(model, np.zeros((1, 2)), "gaussian", directions=0)
