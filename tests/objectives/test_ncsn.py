"""One level a row is DSM at that level; all levels are the average over every index; weights by name and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from refscore.networks import MLP
from refscore.objectives import dsm, ncsn

EPS = np.finfo(float).eps
N, D, SIGMAS = 3, 2, np.array([1.7, 0.6, 0.25])
MODEL = MLP((D + 1, 5, D), "silu", 3)
X0 = np.random.default_rng(1).normal(size=(N, D))
NOISE = np.random.default_rng(2).normal(size=(len(SIGMAS), N, D))
WEIGHTS = {"sigma2": lambda s: s**2, "one": lambda s: 1.0, "prediction": lambda s: 1.0}


def at_level(i, z, weight):
    """The definition, level by level, with the model called at that level."""
    s = MODEL(X0 + SIGMAS[i] * z, SIGMAS[i])
    return WEIGHTS[weight](SIGMAS[i]) * 0.5 * ((s + z / SIGMAS[i]) ** 2).sum(axis=1)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_level_a_row(weight):
    index = np.array([2, 0, 1])
    wanted = [at_level(i, NOISE[0], weight)[row] for row, i in enumerate(index)]
    rows = ncsn(MODEL, X0, SIGMAS, index, NOISE[0], weight=weight, over_batch="none")
    assert np.abs(rows - wanted).max() <= 256 * EPS * max(wanted)
    assert ncsn(MODEL, X0, SIGMAS, index, NOISE[0], weight=weight) == dsm(
        MODEL, X0, SIGMAS[index], NOISE[0], weight=weight, t=SIGMAS[index])


@pytest.mark.parametrize("weight", WEIGHTS)
def test_all_levels(weight):
    wanted = np.mean([at_level(i, z, weight) for i, z in enumerate(NOISE)], axis=0)
    rows = ncsn(MODEL, X0, SIGMAS, None, NOISE, weight=weight, over_batch="none")
    assert np.abs(rows - wanted).max() <= 256 * EPS * wanted.max()
    weights = np.array([0.2, 0.5, 0.9])
    value = ncsn(MODEL, X0, SIGMAS, None, NOISE, weight=weight, sample_weight=weights)
    assert abs(value - weights @ wanted) <= 256 * EPS * (weights @ wanted)
    value, gradient = ncsn(MODEL, X0, SIGMAS, None, NOISE, weight=weight, grad=True)
    assert abs(value - wanted.mean()) <= 256 * EPS * wanted.mean()
    each = [dsm(MODEL, X0, s, z, weight=weight, t=s, grad=True)[1] for s, z in zip(SIGMAS, NOISE, strict=True)]
    for found, *parts in zip(gradient, *each, strict=True):
        assert np.abs(found - np.mean(parts, axis=0)).max() <= 256 * EPS * np.abs(parts).max()


def test_a_callable_weight_sees_the_levels():
    index = np.array([1, 1, 2])
    rows = ncsn(MODEL, X0, SIGMAS, index, NOISE[1], weight=lambda s: s**3, over_batch="none")
    wanted = ncsn(MODEL, X0, SIGMAS, index, NOISE[1], over_batch="none") * SIGMAS[index]
    assert np.abs(rows - wanted).max() <= 64 * EPS * wanted.max()


def test_sampled_levels_are_unbiased():
    """The average over all L^n indices, each as likely, is the sum over levels: enumerated, nothing is drawn."""
    z = NOISE[0]
    values = [ncsn(MODEL, X0, SIGMAS, np.array(index), z) for index in itertools.product(range(len(SIGMAS)), repeat=N)]
    whole = ncsn(MODEL, X0, SIGMAS, None, np.stack([z] * len(SIGMAS)))
    assert abs(np.mean(values) - whole) <= 256 * EPS * whole
