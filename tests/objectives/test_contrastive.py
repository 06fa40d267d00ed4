"""The likelihood's gradient by differences of log Z on a lattice; refusals."""

from __future__ import annotations

import numpy as np
import pytest

from refscore.networks import MLP, EnergyMLP
from refscore.objectives import contrastive_divergence

EPS = np.finfo(float).eps


def test_negatives_of_the_model_give_the_gradient_of_the_likelihood():
    """-(mean log p) on a lattice of states; central differences at two steps, whose change bounds their error."""
    model = EnergyMLP((2, 6, 1), "softplus", 5)
    rng = np.random.default_rng(0)
    x, states = rng.normal(size=(4, 2)), rng.normal(size=(50, 2))
    p = np.exp(-model.energy(states))
    value, gradient = contrastive_divergence(model, x, states, negative_weight=p / p.sum(), grad=True)
    assert abs(value - (model.energy(x).mean() - p @ model.energy(states) / p.sum())) <= 64 * EPS * 10

    def likelihood(arrays):
        moved = model.with_parameters(arrays)
        return moved.energy(x).mean() + np.log(np.exp(-moved.energy(states)).sum())

    for i, array in enumerate(model.parameters):
        direction = rng.normal(size=array.shape)

        def along(h, i=i, direction=direction):
            return likelihood([a + h * direction if i == j else a for j, a in enumerate(model.parameters)])

        slopes = [(along(h) - along(-h)) / (2 * h) for h in (1e-4, 2e-4)]
        bound = abs(slopes[0] - slopes[1]) + 64 * EPS * 10 / 1e-4
        assert abs((gradient[i] * direction).sum() - slopes[0]) <= bound < 1e-5


def test_equal_weights_are_means_and_equal_batches_cancel():
    model = EnergyMLP((3, 5, 1), "tanh", 1)
    x, y = np.random.default_rng(2).normal(size=(2, 6, 3))
    assert abs(contrastive_divergence(model, x, x)) <= 64 * EPS * 10
    forth, back = contrastive_divergence(model, x, y, grad=True), contrastive_divergence(model, y, x, grad=True)
    assert abs(forth[0] + back[0]) <= 64 * EPS * 10
    assert all(np.abs(a + b).max() <= 64 * EPS * 10 for a, b in zip(forth[1], back[1], strict=True))
    timed = EnergyMLP((4, 5, 1), "tanh", 1, takes_time=True)
    want = timed.energy(x, 0.3).mean() - timed.energy(y[:2], 0.3).mean()
    assert abs(contrastive_divergence(timed, x, y[:2], t=0.3) - want) <= 64 * EPS * 10


X = np.zeros((4, 2))
MODEL = EnergyMLP((2, 3, 1), "tanh", 0)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: contrastive_divergence(MLP((2, 3, 2), "tanh", 0), X, X), TypeError, "without an energy: pass an EnergyMLP"),
        (lambda: contrastive_divergence(MODEL, X, X[:, :1]), ValueError, "negatives has 1 columns"),
        (lambda: contrastive_divergence(MODEL, X, X[:0]), ValueError, "negatives has no rows"),
        (lambda: contrastive_divergence(MODEL, X[:0], X), ValueError, "x has no rows"),
        (lambda: contrastive_divergence(MODEL, X, X, negative_weight=np.ones(3)), ValueError, r"negative_weight has shape \(3,\)"),
        (lambda: contrastive_divergence(MODEL, X, X, t=np.zeros(8)), ValueError, r"t has shape \(8,\): pass one time"),
        (lambda: contrastive_divergence(MODEL, X, X, grad=1), TypeError, "grad is 1"),
        (lambda: contrastive_divergence(MODEL, X, X, t=0.5), ValueError, "leave out t"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
