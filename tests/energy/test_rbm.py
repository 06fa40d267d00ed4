"""Restricted Boltzmann machines against 50 digits, all pairs of states, symmetries, and what large machines must satisfy."""

import warnings

import mp_boltzmann as exact
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mp_boltzmann import binary_rows

from refscore import parallel
from refscore.energy import RBM

SIZES = [(5, 3), (3, 6), (4, 4), (6, 1), (1, 5)]


def machine(v, m, strength=1.0, seed=0):
    rng = np.random.default_rng((seed, v, m))
    return RBM(strength * rng.standard_normal((v, m)), rng.standard_normal(v) - 0.3, rng.standard_normal(m) + 0.2)


@pytest.mark.parametrize(("v", "m"), SIZES)
@pytest.mark.parametrize("strength", [1.0, 30.0, 1e3, 1e-8])
def test_within_the_stated_error_of_50_digits(v, m, strength):
    rbm, x, z = machine(v, m, strength), binary_rows(v), binary_rows(m)
    with mp.workdps(exact.DIGITS):
        table = exact.exponents(*rbm.parameters)
        log_z = exact.log_sum(table.values())
        value, error = rbm.log_partition()
        assert abs(value - log_z) <= error < 3e-14 * (v + m + 10) * (1 + abs(value))
        visible = [exact.log_sum(t for (a, _), t in table.items() if a == tuple(row)) - log_z for row in x]
        hidden = [exact.log_sum(t for (_, a), t in table.items() if a == tuple(row)) - log_z for row in z]
        assert (exact.differences(rbm.logpdf(x), visible) <= rbm.logpdf_error(x)).all()
        free = [-log_z - t for t in visible]
        assert (exact.differences(rbm.free_energy(x), free) <= rbm.logpdf_error(x) - error).all()
        assert (exact.differences(rbm.hidden_logpdf(z), hidden) <= rbm.swapped.logpdf_error(z)).all()
        for got, want in zip(rbm.moments(), exact.moments(table, log_z), strict=True):
            assert (exact.differences(got, want) <= 3 * error).all()


def test_errors_are_not_idle():
    """Over many machines the largest error comes within a few hundred of its bound, which grows with the weights."""
    ratios = []
    with mp.workdps(exact.DIGITS):
        for seed in range(12):
            rbm = machine(4, 3, 100.0, seed)
            value, error = rbm.log_partition()
            ratios.append(float(abs(value - exact.log_sum(exact.exponents(*rbm.parameters).values()))) / error)
    assert 1 / 300 < max(ratios) <= 1
    assert machine(4, 3, 100.0).log_partition()[1] > 20 * machine(4, 3, 1.0).log_partition()[1]


def test_conditionals_and_free_energy_by_50_digits():
    rbm = machine(3, 2, 2.0)
    x, z = binary_rows(3), binary_rows(2)
    with mp.workdps(exact.DIGITS):
        table = exact.exponents(*rbm.parameters)
        for row, free, mean in zip(x, rbm.free_energy(x), rbm.hidden_mean(x), strict=True):
            here = {pair: t for pair, t in table.items() if pair[0] == tuple(row)}
            total = exact.log_sum(here.values())
            assert abs(free + total) < 4e-15
            assert (exact.differences(mean, exact.moments(here, total)[2]) < 1e-15).all()
        for row, mean in zip(z, rbm.visible_mean(z), strict=True):
            here = {pair: t for pair, t in table.items() if pair[1] == tuple(row)}
            assert (exact.differences(mean, exact.moments(here, exact.log_sum(here.values()))[1]) < 1e-15).all()
    pairs = np.repeat(x, len(z), axis=0), np.tile(z, (len(x), 1))
    want = [-float(table[tuple(a), tuple(b)]) for a, b in zip(*pairs, strict=True)]
    np.testing.assert_allclose(rbm.energy(*pairs), want, rtol=1e-14, atol=1e-14)


def test_the_far_ends_of_the_logistic_function():
    rbm = RBM(np.zeros((1, 5)), [0.0], [-800.0, -40.0, 0.0, 40.0, 800.0])
    warnings.simplefilter("error")
    np.testing.assert_allclose(rbm.hidden_mean([[0.0]])[0], [0, np.exp(-40.0), 0.5, 1, 1], rtol=1e-15)
    assert rbm.free_energy([[1.0]])[0] == -(840 + np.log(2))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 99), st.sampled_from([0.5, 5.0, 100.0]))
def test_a_unit_turned_over(v, m, seed, strength):
    """x_i -> 1 - x_i is the machine with row i of W and b_i negated, c + W_i, and log Z less by b_i."""
    rbm = machine(v, m, strength, seed)
    i = seed % v
    W, b, c = (a.copy() for a in rbm.parameters)
    c += W[i]
    W[i], b[i] = -W[i], -b[i]
    turned = RBM(W, b, c)
    slack = rbm.log_partition()[1] + turned.log_partition()[1]
    assert abs(turned.log_partition()[0] - (rbm.log_partition()[0] - rbm.b[i])) <= slack
    x = binary_rows(v)
    other = x.copy()
    other[:, i] = 1 - other[:, i]
    np.testing.assert_allclose(turned.logpdf(other), rbm.logpdf(x), rtol=0, atol=2 * slack)
    pairs, visible, hidden = rbm.moments()
    pairs_turned, visible_turned, hidden_turned = turned.moments()
    np.testing.assert_allclose(hidden_turned, hidden, rtol=0, atol=3 * slack)
    assert abs(visible_turned[i] - (1 - visible[i])) <= 3 * slack
    np.testing.assert_allclose(pairs_turned[i], hidden - pairs[i], rtol=0, atol=6 * slack)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_layers_exchanged(v, m, seed):
    rbm = machine(v, m, 2.0, seed)
    other = rbm.swapped
    assert rbm.log_partition() == other.log_partition() or v == m  # the same walk, unless both layers could be walked over
    for got, want in zip(other.moments(), (rbm.moments().pairs.T, rbm.moments().hidden, rbm.moments().visible), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=6 * rbm.log_partition()[1])
    z = binary_rows(m)
    np.testing.assert_allclose(rbm.hidden_logpdf(z), other.logpdf(z), rtol=0, atol=3 * rbm.log_partition()[1])
    np.testing.assert_array_equal(rbm.visible_mean(z), other.hidden_mean(z))


def test_uncoupled_units_and_many_of_them():
    """2500 visible units: the product of their factors 1 + e^-|a| alone would overflow."""
    rng = np.random.default_rng(1)
    b, c = rng.standard_normal(2500) * 0.1, rng.standard_normal(3)
    rbm = RBM(np.zeros((2500, 3)), b, c)
    value, error = rbm.log_partition()
    assert abs(value - np.logaddexp(0, b).sum() - np.logaddexp(0, c).sum()) <= error < 1e-8
    pairs, visible, hidden = rbm.moments()
    np.testing.assert_allclose(visible, 1 / (1 + np.exp(-b)), rtol=0, atol=3 * error)
    np.testing.assert_allclose(hidden, 1 / (1 + np.exp(-c)), rtol=0, atol=3 * error)
    np.testing.assert_allclose(pairs, np.outer(visible, hidden), rtol=0, atol=1e-13)


def test_images_of_784_pixels():
    """Many blocks: hidden probabilities sum to one, and the likelihood's gradient is its slope along random directions."""
    rng = np.random.default_rng(2)
    rbm = RBM(0.1 * rng.standard_normal((784, 10)), rng.standard_normal(784) - 1, rng.standard_normal(10))
    assert abs(np.exp(rbm.hidden_logpdf(binary_rows(10))).sum() - 1) < 2 * rbm.log_partition()[1] < 1e-9
    x = (rng.random((40, 784)) < 0.3).astype(float)
    value, slopes = rbm.log_likelihood(x, grad=True)
    assert value == rbm.log_likelihood(x)
    way = [rng.standard_normal(a.shape) for a in rbm.parameters]
    h = 1e-4

    def along(t):
        return RBM(*(a + t * w for a, w in zip(rbm.parameters, way, strict=True))).log_likelihood(x)

    central = [(along(k * h) - along(-k * h)) / (2 * k * h) for k in (1, 2)]
    slope = sum((s * w).sum() for s, w in zip(slopes, way, strict=True))
    assert abs(slope - (4 * central[0] - central[1]) / 3) < 1e-6 * abs(slope)


def test_the_model_is_where_its_own_likelihood_is_flat():
    """Data that are the whole law, each state as often as it is likely: with weights p(x) the mean gradient is zero."""
    rbm = machine(4, 3)
    x = binary_rows(4)
    p = np.exp(rbm.logpdf(x))
    gradients = [rbm.log_likelihood(row[None], grad=True)[1] for row in x]
    for k in range(3):
        assert np.abs(sum(w * g[k] for w, g in zip(p, gradients, strict=True))).max() < 1e-14


@pytest.mark.parametrize(("v", "m"), [(5, 3), (3, 5)])
def test_draws_follow_the_law(v, m):
    """chi^2 over all 2^v states at n = 40000; the bound is passed by chance but for 1e-9."""
    rbm, n = machine(v, m, 1.5), 40_000
    x = rbm.sample(n, 7)
    seen = np.bincount((x @ (2 ** np.arange(v)[::-1])).astype(int), minlength=2**v)
    expected = n * np.exp(rbm.logpdf(binary_rows(v)))
    assert expected.min() > 5
    from scipy.stats import chi2

    assert ((seen - expected) ** 2 / expected).sum() < chi2.isf(1e-9, 2**v - 1)
    np.testing.assert_array_equal(x, rbm.sample(n, np.random.default_rng(7)))


def test_draws_of_a_machine_with_one_likely_state():
    rbm = RBM(np.zeros((2, 1)), [900.0, -900.0], [900.0])
    assert (rbm.sample(50, 0) == [1.0, 0.0]).all()
    assert (rbm.swapped.sample(50, 0) == 1).all()


def test_the_same_bits_for_any_number_of_threads():
    rbm = machine(40, 15)
    rng = np.random.default_rng(3)
    x = (rng.random((3000, 40)) < 0.4).astype(float)
    results = []
    for threads in (1, 3):
        with parallel(threads=threads):
            fresh = RBM(*rbm.parameters)
            slopes = fresh.log_likelihood(x, grad=True)[1]
            results.append([np.array(fresh.log_partition()), *fresh.moments(), fresh.logpdf(x), *slopes])
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


def test_parameters_are_copied_and_fixed():
    W = np.ones((2, 1))
    rbm = RBM(W, [0.0, 0.0], [1])
    before = rbm.log_partition()
    W += 1
    assert rbm.log_partition() == before == RBM(*rbm.parameters).log_partition()
    with pytest.raises(ValueError, match="read-only"):
        rbm.W += 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones((3, 2)), np.ones(2), np.ones(3)), ValueError,
         r"^b has shape \(2,\), but W \(3, 2\) has 3 rows.* shape \(3,\), or W.T if its rows are the hidden units$"),
        ((np.ones((3, 2)), np.ones(3), np.ones(4)), ValueError, r"c has shape \(4,\), but W \(3, 2\) has 2 columns.*shape \(2,\)$"),
        ((np.ones(3), np.ones(3), np.ones(1)), ValueError, r"W has shape \(3,\): pass couplings"),
        ((np.ones((0, 2)), np.ones(0), np.ones(2)), ValueError, r"W has shape \(0, 2\)"),
        (([[1.0, np.nan]], [1.0], [1.0, 2.0]), ValueError, r"W\[0, 1\] is nan"),
        (([[1.0]], [np.inf], [1.0]), ValueError, r"b\[0\] is inf"),
        (([[1e308]], [1e308], [1.0]), ValueError, "sum to inf: energies must stay below 1e300"),
        (([[1j]], [1.0], [1.0]), TypeError, "W is .*complex"),
    ],
)
def test_refused_parameters(arguments, error, message):
    with pytest.raises(error, match=message):
        RBM(*arguments)


def test_refused_states_and_sizes():
    rbm = machine(3, 2)
    with pytest.raises(ValueError, match=r"x\[1, 2\] is 0.5: units are 0 or 1; pass \(x >= threshold\).astype\(float\)"):
        rbm.free_energy([[0, 0, 1], [0, 1, 0.5]])
    with pytest.raises(ValueError, match=r"z\[0, 0\] is -1: .*\(z \+ 1\) / 2 for units of -1 and 1"):
        rbm.visible_mean([[-1, 1]])
    with pytest.raises(ValueError, match="x has 2 columns, but the dimension here is 3"):
        rbm.hidden_mean([[0, 1]])
    with pytest.raises(ValueError, match="x has 2 rows and z 1"):
        rbm.energy(np.ones((2, 3)), np.ones((1, 2)))
    with pytest.raises(ValueError, match="n is 0"):
        rbm.sample(0, 0)
    with pytest.raises(TypeError, match="rng is None"):
        rbm.sample(1, None)
    large = RBM(np.ones((60, 40)), np.ones(60), np.ones(40))
    for refused in (large.log_partition, large.moments, lambda: large.logpdf(np.ones((1, 60))), lambda: large.sample(1, 0)):
        with pytest.raises(ValueError, match=r"2\^40 = 1.1e\+12 states with 60 terms each, about 3.8 days .*outside this package$"):
            refused()
    assert large.free_energy(np.ones((1, 60))) < 0  # what needs no Z works at any size


def test_no_rows():
    rbm = machine(3, 2)
    empty = np.empty((0, 3))
    assert rbm.free_energy(empty).shape == (0,) and rbm.hidden_mean(empty).shape == (0, 2)
    with pytest.raises(ValueError, match="no rows"):
        rbm.log_likelihood(empty)
