"""Contrastive divergence: by hand with the same draws, its expectation from the joint table, its bias."""

import numpy as np
import pytest
from joint_table import SIZES, Table, binary_rows, machine

from refscore.energy import (
    RBM,
    cd_gradient,
    contrastive_gradient,
    expected_cd_gradient,
    gibbs,
    gibbs_spectrum,
    pcd_gradient,
)


def data(v, n=7, seed=1):
    return (np.random.default_rng((seed, v)).random((n, v)) < np.linspace(0.2, 0.9, v)) * 1.0


def assert_close(got, want, atol=1e-13):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize(("v", "m"), SIZES)
@pytest.mark.parametrize("k", [1, 3])
def test_two_phases_row_by_row(v, m, k):
    rbm, x = machine(v, m), data(v)
    negatives = gibbs(rbm, k).simulate(x, 11)
    table = Table(rbm)
    want = [np.mean([g[i] - g[j] for i, j in zip(table.number(x), table.number(negatives))], axis=0) for g in table.g]
    assert_close(cd_gradient(rbm, x, k, 11), want)
    chains = data(v, 4, 2)
    gradient, after = pcd_gradient(rbm, x, chains, k, 11)
    assert (after == gibbs(rbm, k).simulate(chains, 11)).all()
    want = [np.mean(g[table.number(x)], axis=0) - np.mean(g[table.number(after)], axis=0) for g in table.g]
    assert_close(gradient, want)


@pytest.mark.parametrize(("v", "m"), SIZES)
def test_expectation_from_the_joint_table(v, m):
    rbm, x = machine(v, m), data(v)
    table = Table(rbm)
    start, chains = table.law(x), data(v, 3, 5)
    for k in (1, 2, 5):
        move = np.linalg.matrix_power(table.forth @ table.back, k)
        for law, given in ((start, None), (table.law(chains), chains), (table.law(chains), table.law(chains))):
            want = [a - b for a, b in zip(table.mean(start), table.mean(law @ move), strict=True)]
            assert_close(expected_cd_gradient(rbm, x, k, given), want)


def test_mean_over_draws():
    """10^5 copies of the data: means within 6 standard errors of the expectation, entry by entry (20 entries, once in 10^7)."""
    rbm, x, copies = machine(4, 3), data(4, 3), 100_000
    got, want = cd_gradient(rbm, np.repeat(x, copies, axis=0), 2, 0), expected_cd_gradient(rbm, x, 2)
    assert_close(got, want, atol=6 * 0.5 / np.sqrt(3 * copies))  # what lies in [0, 1] has a deviation of at most 1/2


@pytest.mark.parametrize(("v", "m"), SIZES)
def test_bias_dies_out_like_the_second_eigenvalue(v, m):
    rbm, x = machine(v, m), data(v)
    exact = rbm.log_likelihood(x, grad=True)[1]
    rate = gibbs_spectrum(rbm)[1]
    sizes = []
    for k in (4, 5):
        bias = [a - b for a, b in zip(expected_cd_gradient(rbm, x, k), exact, strict=True)]
        sizes.append(np.sqrt(sum((b**2).sum() for b in bias)))
    third = gibbs_spectrum(rbm)[2] if min(v, m) > 1 else 0.0
    assert sizes[1] / sizes[0] == pytest.approx(rate, rel=20 * (third / rate) ** 4 + 1e-9)
    assert_close(expected_cd_gradient(rbm, x, 2000), exact)


def test_weights_of_all_states_give_the_likelihoods_gradient():
    rbm, x = machine(5, 3), data(5)
    states = binary_rows(5)
    assert_close(contrastive_gradient(rbm, x, states, np.exp(rbm.logpdf(states))), rbm.log_likelihood(x, grad=True)[1])


def test_no_bias_when_data_have_the_models_law():
    """Weights 1/2 and -1/2 of two rows twice: a machine without couplings whose means are 1/2 has the law of all states."""
    rbm, x = RBM(np.zeros((3, 2)), np.zeros(3), [0.4, -1.0]), binary_rows(3)
    for k in (1, 4):
        assert_close(expected_cd_gradient(rbm, x, k), [np.zeros((3, 2)), np.zeros(3), np.zeros(2)])


def test_refusals():
    rbm, x = machine(3, 2), data(3)
    for call, error, match in (
        (lambda: cd_gradient(rbm, x, 0, 0), ValueError, "k is 0: pass an integer of at least 1"),
        (lambda: cd_gradient(rbm, x, 1, None), TypeError, "rng is None"),
        (lambda: cd_gradient(rbm, x + 0.5, 1, 0), ValueError, "units are 0 or 1"),
        (lambda: contrastive_gradient(rbm, np.zeros((0, 3)), x), ValueError, "x has no rows"),
        (lambda: contrastive_gradient(rbm, x, np.zeros((0, 3))), ValueError, "negatives has no rows"),
        (lambda: contrastive_gradient(rbm, x, x, [1.0]), ValueError, r"weights has shape \(1,\)"),
        (lambda: expected_cd_gradient(machine(17, 2), data(17), 1), ValueError, r"2\^17 states"),
        (lambda: pcd_gradient(rbm, x, x[:, :2], 1, 0), ValueError, "x0 has 2 columns"),
    ):
        with pytest.raises(error, match=match):
            call()
