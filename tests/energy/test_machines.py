"""The same names over the restricted machine, the Gaussian one and the two-layer one, each by a second route."""

import itertools

import numpy as np
import pytest
from mp_boltzmann import binary_rows
from scipy.special import logsumexp

from refscore.energy import RBM, DeepBoltzmannMachine, GaussianRBM, MaximumLikelihood
from refscore.training import SGD, minibatch, train

RNG = np.random.default_rng(11)
W, U, B, C, C2 = (RNG.standard_normal(shape) + 0.2 for shape in ((4, 3), (3, 2), (4,), (3,), (2,)))
MACHINES = [RBM(W, B, C), GaussianRBM(0.5 * W, B, C, 0.7), DeepBoltzmannMachine(W, U, B, C, C2)]
each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: type(machine).__name__)


def points(machine, n=25):
    """Rows for it, which it has not drawn."""
    rng = np.random.default_rng(3)
    return 2 * rng.standard_normal((n, 4)) if isinstance(machine, GaussianRBM) else rng.integers(0, 2, (n, 4)).astype(float)


def exponents(machine, x):
    """-E(x, h) of every row x and all states h of its hidden units, as the class states it, (n, states)."""
    z = binary_rows(3)
    if isinstance(machine, RBM):
        return x @ W @ z.T + (x @ B)[:, None] + z @ C
    if isinstance(machine, GaussianRBM):
        return -((x - B) ** 2).sum(axis=1)[:, None] / (2 * 0.49) + x @ (0.5 * W) @ z.T / 0.49 + z @ C
    pairs = itertools.product(z, binary_rows(2))
    return np.stack([x @ W @ z1 + z1 @ U @ z2 + x @ B + z1 @ C + z2 @ C2 for z1, z2 in pairs], axis=1)


@each_machine
def test_the_exponent_is_the_sum_over_hidden_states(machine):
    x = points(machine)
    want = logsumexp(exponents(machine, x), axis=1)
    np.testing.assert_allclose(machine.exponent(x), want, rtol=0, atol=2e-15 * 20 * np.abs(exponents(machine, x)).max())
    np.testing.assert_array_equal(machine.exponent(x), -machine.free_energy(x))
    np.testing.assert_allclose(machine.logpdf(x), want - machine.log_partition()[0], rtol=0, atol=1e-12)
    assert machine.dim == 4


def test_the_energy_of_the_gaussian_machine_is_its_exponent():
    machine, z = MACHINES[1], binary_rows(3)
    x = points(machine, 8)
    np.testing.assert_allclose(machine.energy(x, z), -np.diag(exponents(machine, x)), rtol=1e-13)
    with pytest.raises(ValueError, match="x has 8 rows and z 2: pass one row of z per row of x"):
        machine.energy(x, z[:2])


@each_machine
def test_with_parameters_changes_what_is_given(machine):
    moved = machine.with_parameters([2 * a for a in machine.parameters])
    assert type(moved) is type(machine) and getattr(moved, "sigma", None) == getattr(machine, "sigma", None)
    for a, b in zip(moved.parameters, machine.parameters, strict=True):
        np.testing.assert_array_equal(a, 2 * b)


@each_machine
def test_the_likelihood_has_the_slope_that_it_says(machine):
    """Along a random direction in each parameter: central differences at h and 2h, h^4/30 times the fifth derivative apart."""
    x, rng, h = points(machine), np.random.default_rng(5), 1e-3
    value, slopes = machine.log_likelihood(x, grad=True)
    assert value == machine.log_likelihood(x) == machine.logpdf(x).mean()
    for k, slope in enumerate(slopes):
        way = [rng.standard_normal(a.shape) * (i == k) for i, a in enumerate(machine.parameters)]
        likelihood = {t: machine.with_parameters([a + t * h * w for a, w in zip(machine.parameters, way)]).log_likelihood(x)
                      for t in (-2, -1, 1, 2)}
        difference = (8 * (likelihood[1] - likelihood[-1]) - (likelihood[2] - likelihood[-2])) / (12 * h)
        assert (slope * way[k]).sum() == pytest.approx(difference, rel=1e-8, abs=1e-9)


@each_machine
def test_steps_of_maximum_likelihood_are_those_of_its_gradient(machine):
    data = points(machine)
    run = train(machine, data, MaximumLikelihood(), SGD(0.1), steps=3, batch=20, seed=0)
    by_hand = machine
    for k in range(1, 4):
        slopes = by_hand.log_likelihood(minibatch(data, MaximumLikelihood(), 20, 0, k)[0], grad=True)[1]
        by_hand = by_hand.with_parameters([a + 0.1 * g for a, g in zip(by_hand.parameters, slopes, strict=True)])
    for a, b in zip(run.model.parameters, by_hand.parameters, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)
    assert run.model.log_likelihood(data) > machine.log_likelihood(data) + 0.01


@each_machine
def test_no_rows(machine):
    assert machine.exponent(np.empty((0, 4))).shape == (0,)
    with pytest.raises(ValueError, match=r"x has no rows: pass data, shape \(n, 4\)"):
        machine.log_likelihood(np.empty((0, 4)))
