"""Boltzmann machines with two hidden layers against all triples of states, and where they reduce to restricted ones."""

import itertools

import mp_boltzmann as exact
import mpmath as mp
import numpy as np
import pytest
from mp_boltzmann import binary_rows

from refscore import parallel
from refscore.energy import RBM, DeepBoltzmannMachine


def machine(v, m, n, strength=1.0, seed=0):
    rng = np.random.default_rng((seed, v, m, n))
    shapes = (v, m), (m, n), (v,), (m,), (n,)
    return DeepBoltzmannMachine(*(strength * rng.standard_normal(s) + 0.2 for s in shapes))


def table(dbm):
    """{(x, z1, z2): exponent} in mpmath."""
    W1, W2 = (mp.matrix(W.tolist()) for W in (dbm.W1, dbm.W2))
    b, c1, c2 = map(exact.numbers, (dbm.b, dbm.c1, dbm.c2))
    layers = [list(itertools.product((0, 1), repeat=len(a))) for a in (b, c1, c2)]
    out = {}
    for x, z1, z2 in itertools.product(*layers):
        lower = [W1[i, j] for i in range(len(b)) for j in range(len(c1)) if x[i] and z1[j]]
        upper = [W2[j, k] for j in range(len(c1)) for k in range(len(c2)) if z1[j] and z2[k]]
        biases = [a for bias, layer in ((b, x), (c1, z1), (c2, z2)) for a, unit in zip(bias, layer, strict=True) if unit]
        out[x, z1, z2] = mp.fsum(lower + upper + biases)
    return out


@pytest.mark.parametrize("sizes", [(3, 2, 2), (2, 3, 2), (1, 2, 4), (3, 3, 1)])
@pytest.mark.parametrize("strength", [1.0, 200.0])
def test_within_the_stated_error_of_50_digits(sizes, strength):
    dbm, x = machine(*sizes, strength), binary_rows(sizes[0])
    with mp.workdps(exact.DIGITS):
        states = table(dbm)
        log_z = exact.log_sum(states.values())
        value, error = dbm.log_partition()
        assert abs(value - log_z) <= error < 1e-12 * (1 + abs(value))
        want = [exact.log_sum(t for (a, _, _), t in states.items() if a == tuple(row)) - log_z for row in x]
        assert (exact.differences(dbm.logpdf(x), want) <= dbm.logpdf_error(x)).all()
        assert (exact.differences(dbm.free_energy(x), [-log_z - t for t in want]) <= dbm.logpdf_error(x) - error).all()
        p = {triple: mp.exp(t - log_z) for triple, t in states.items()}
        for k, got in enumerate(dbm.moments()):
            below, above = ((0, 1), (1, 2), (0, None), (1, None), (2, None))[k]
            for at in np.ndindex(got.shape):
                units = [(below, at[0])] + ([(above, at[1])] if above else [])
                mean = mp.fsum(w for triple, w in p.items() if all(triple[layer][unit] for layer, unit in units))
                assert abs(got[at] - mean) <= 3 * error


def test_error_of_a_density_whose_terms_nearly_cancel():
    """b'x = -(W1'x) up to a number near 1: log p is small, its terms near 1e6, and the bound is that of the terms."""
    W1, x = np.array([[1e6 / 3], [1e6 / 7], [1e6 / 11]]), binary_rows(3)
    dbm = DeepBoltzmannMachine(W1, [[0.7]], -W1[:, 0] - 0.3, [0.3], [0.1])
    with mp.workdps(exact.DIGITS):
        states = table(dbm)
        free = [-exact.log_sum(t for (a, _, _), t in states.items() if a == tuple(row)) for row in x]
    errors = exact.differences(dbm.free_energy(x), free)
    assert np.abs(dbm.free_energy(x)).max() < 10 and errors.max() > 1e-12
    assert (errors <= dbm.logpdf_error(x) - dbm.log_partition()[1]).all() and (dbm.logpdf_error(x) < 1e-7).all()


def test_conditional_means_and_energy():
    dbm = machine(3, 2, 2)
    states = {triple: float(t) for triple, t in table(dbm).items()}
    x, z1, z2 = (np.array(a, dtype=float) for a in zip(*states, strict=True))
    exponents = np.array(list(states.values()))
    np.testing.assert_allclose(dbm.energy(x, z1, z2), -exponents, rtol=0, atol=1e-14)
    weights = np.exp(exponents)

    def given(rows, condition, layer):
        chosen = [(condition == row).all(axis=1) for row in rows]
        return np.array([weights[same] @ layer[same] / weights[same].sum() for same in chosen])

    first = binary_rows(2)
    np.testing.assert_allclose(dbm.visible_mean(first), given(first, z1, x), rtol=1e-13)
    np.testing.assert_allclose(dbm.second_mean(first), given(first, z1, z2), rtol=1e-13)
    even = binary_rows(5)
    want = given(even, np.concatenate([x, z2], axis=1), z1)
    np.testing.assert_allclose(dbm.first_mean(even[:, :3], even[:, 3:]), want, rtol=1e-13)


def test_without_upper_couplings_it_is_the_restricted_machine():
    lower = machine(4, 3, 2)
    dbm = DeepBoltzmannMachine(lower.W1, 0 * lower.W2, lower.b, lower.c1, lower.c2)
    rbm, x = RBM(lower.W1, lower.b, lower.c1), binary_rows(4)
    assert dbm.log_partition()[0] == pytest.approx(rbm.log_partition()[0] + np.logaddexp(0, lower.c2).sum(), rel=1e-14)
    np.testing.assert_allclose(dbm.logpdf(x), rbm.logpdf(x), rtol=0, atol=1e-14)
    value, (dW1, dW2, db, dc1, dc2) = dbm.log_likelihood(x[3:9], grad=True)
    want, slopes = rbm.log_likelihood(x[3:9], grad=True)
    assert value == pytest.approx(want, rel=1e-14)
    for got, slope in zip((dW1, db, dc1), slopes, strict=True):
        np.testing.assert_allclose(got, slope, rtol=0, atol=1e-14)
    np.testing.assert_allclose(dc2, 0, atol=1e-15)
    np.testing.assert_allclose(dW2, np.outer(dc1, 1 / (1 + np.exp(-lower.c2))), rtol=0, atol=1e-15)  # z2 is independent of z1


def test_the_gradient_is_the_slope_of_the_likelihood():
    dbm = machine(5, 3, 4)
    rng = np.random.default_rng(0)
    x = (rng.random((30, 5)) < 0.5).astype(float)
    value, slopes = dbm.log_likelihood(x, grad=True)
    assert value == dbm.log_likelihood(x)
    h = 1e-3
    for k, slope in enumerate(slopes):
        way = [rng.standard_normal(a.shape) if i == k else np.zeros(a.shape) for i, a in enumerate(dbm.parameters)]

        def along(t, way=way):
            return DeepBoltzmannMachine(*(a + t * w for a, w in zip(dbm.parameters, way, strict=True))).log_likelihood(x)

        difference = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
        assert (slope * way[k]).sum() == pytest.approx(difference, rel=1e-8, abs=1e-9)


def test_draws_follow_the_law():
    """chi^2 over the 2^3 states of x, n = 20000; the bound is passed by chance but for 1e-9."""
    dbm, n = machine(3, 2, 3), 20_000
    seen = np.bincount((dbm.sample(n, 3) @ [4, 2, 1]).astype(int), minlength=8)
    expected = n * np.exp(dbm.logpdf(binary_rows(3)))
    from scipy.stats import chi2

    assert expected.min() > 5 and ((seen - expected) ** 2 / expected).sum() < chi2.isf(1e-9, 7)


def test_the_same_bits_for_any_number_of_threads():
    x = (np.random.default_rng(1).random((100, 6)) < 0.5).astype(float)
    results = []
    for threads in (1, 3):
        with parallel(threads=threads):
            value, slopes = machine(6, 4, 5).log_likelihood(x, grad=True)
            results.append([np.array(value), *slopes])
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


def test_refusals():
    W1, W2, b, c1, c2 = machine(4, 3, 2).parameters
    with pytest.raises(ValueError, match=r"W1 has shape \(4, 3\) and W2 \(2, 3\): pass \(v, m1\) and \(m1, m2\)"):
        DeepBoltzmannMachine(W1, W2.T, b, c1, c2)
    with pytest.raises(ValueError, match=r"c2 has shape \(3,\), but W2 \(3, 2\) has 2 columns"):
        DeepBoltzmannMachine(W1, W2, b, c1, np.ones(3))
    with pytest.raises(ValueError, match=r"c1 has shape \(2,\), but W1 \(4, 3\) has 3 columns"):
        DeepBoltzmannMachine(W1, W2, b, np.ones(2), c2)
    with pytest.raises(ValueError, match=r"W1 has shape \(3,\)"):
        DeepBoltzmannMachine(np.ones(3), W2, b, c1, c2)
    dbm = machine(4, 3, 2)
    with pytest.raises(ValueError, match="x has 2 rows and z2 3"):
        dbm.first_mean(np.ones((2, 4)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"x\[0, 0\] is 2"):
        dbm.posterior([2.0, 0, 0, 0])
    with pytest.raises(ValueError, match=r"x has shape \(1, 4\): pass one state \(4,\)"):
        dbm.posterior(np.ones((1, 4)))
    wide = DeepBoltzmannMachine(np.zeros((50, 40)), np.zeros((40, 45)), np.zeros(50), np.zeros(40), np.zeros(45))
    with pytest.raises(ValueError, match=r"2\^40 = 1.1e\+12 states with 95 terms"):
        wide.log_partition()
    with pytest.raises(ValueError, match="no rows"):
        dbm.log_likelihood(np.empty((0, 4)))
