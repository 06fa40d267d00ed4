"""Restricted Boltzmann machines against all pairs of states, one by one."""

import itertools

import numpy as np
import pytest

from refscore.energy import RBM

SIZES = [(5, 3), (3, 6), (4, 4), (6, 1), (1, 5)]


def machine(v, m, scale=1.0, seed=0):
    rng = np.random.default_rng((seed, v, m))
    return RBM(scale * rng.standard_normal((v, m)), rng.standard_normal(v) - 0.3, rng.standard_normal(m) + 0.2)


def binary_rows(n):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def joint(rbm):
    """x, z and log p(x, z) + log Z over all pairs, (2^v, 2^m), from the exponent alone."""
    x, z = binary_rows(len(rbm.b)), binary_rows(len(rbm.c))
    return x, z, x @ rbm.W @ z.T + (x @ rbm.b)[:, None] + z @ rbm.c


@pytest.mark.parametrize(("v", "m"), SIZES)
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3])
def test_partition_function_and_marginals(v, m, scale):
    rbm = machine(v, m, scale)
    x, z, exponent = joint(rbm)
    top = exponent.max()
    log_z = top + np.log(np.exp(exponent - top).sum())
    value, error = rbm.log_partition()
    slack = 2 * error + 1e-15 * abs(top)
    assert abs(value - log_z) <= slack < 1e-12 * (1 + abs(value))
    p = np.exp(exponent - log_z)
    np.testing.assert_allclose(np.exp(rbm.logpdf(x)), p.sum(axis=1), rtol=0, atol=2 * slack)
    np.testing.assert_allclose(np.exp(rbm.hidden_logpdf(z)), p.sum(axis=0), rtol=0, atol=2 * slack)
    for got, want in zip(rbm.moments(), (x.T @ p @ z, x.T @ p.sum(axis=1), z.T @ p.sum(axis=0)), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=2 * slack)


def test_refusals():
    with pytest.raises(ValueError, match=r"b has shape \(2,\), but W \(3, 2\) has 3 visible units.*or W.T"):
        RBM(np.ones((3, 2)), np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match=r"c has shape \(4,\), but .* 2 hidden units: pass one bias a hidden unit, shape \(2,\)$"):
        RBM(np.ones((3, 2)), np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match=r"x\[0, 1\] is 0.5: units are 0 or 1"):
        RBM(np.ones((3, 2)), np.ones(3), np.ones(2)).free_energy([[0, 0.5, 1]])
    with pytest.raises(ValueError, match=r"2\^40 = 1.1e\+12 states with 60 terms each, about 7.6 days"):
        RBM(np.ones((60, 40)), np.ones(60), np.ones(40)).log_partition()
