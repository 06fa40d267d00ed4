"""The RBM with Gaussian visible units against 50 digits, its mixture, and its own differences."""

import mp_boltzmann as exact
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from refscore import parallel
from refscore.energy import GaussianRBM


def machine(v, m, sigma, seed=0, strength=1.0):
    rng = np.random.default_rng((seed, v, m))
    return GaussianRBM(strength * rng.standard_normal((v, m)), rng.standard_normal(v) + 0.5, rng.standard_normal(m) - 0.2, sigma)


def masses(rbm):
    """log of int p~(x, z) dx without its (2 pi sigma^2)^{v/2}, and E[x|z], for all z in mpmath."""
    v, m = rbm.W.shape
    W, b, c, s = mp.matrix(rbm.W.tolist()), exact.numbers(rbm.b), exact.numbers(rbm.c), mp.mpf(rbm.sigma)
    logs, means = [], []
    for z in exact.binary_rows(m):
        means.append([b[i] + mp.fsum(W[i, j] for j in range(m) if z[j]) for i in range(v)])
        bias = mp.fsum(c[j] for j in range(m) if z[j])
        logs.append(bias + mp.fsum((mean**2 - b[i] ** 2) / (2 * s**2) for i, mean in enumerate(means[-1])))
    return logs, means


def by_definition(rbm, x):
    """(log p~(x), score, log Z) in mpmath: the exponent as it is written, and one Gaussian integral a hidden state."""
    v, m = rbm.W.shape
    W, b, c, s, x = mp.matrix(rbm.W.tolist()), exact.numbers(rbm.b), exact.numbers(rbm.c), mp.mpf(rbm.sigma), exact.numbers(x)
    terms, slopes, masses = [], [], []
    for z in exact.binary_rows(m):
        shift = [mp.fsum(W[i, j] for j in range(m) if z[j]) for i in range(v)]
        bias = mp.fsum(c[j] for j in range(m) if z[j])
        terms.append(bias + mp.fsum(-((x[i] - b[i]) ** 2) / (2 * s**2) + x[i] * shift[i] / s**2 for i in range(v)))
        slopes.append([(b[i] - x[i] + shift[i]) / s**2 for i in range(v)])
        masses.append(bias + mp.fsum(((b[i] + shift[i]) ** 2 - b[i] ** 2) / (2 * s**2) for i in range(v)))
    total = exact.log_sum(terms)
    score = [mp.fsum(mp.exp(t - total) * slope[i] for t, slope in zip(terms, slopes, strict=True)) for i in range(v)]
    return total, score, exact.log_sum(masses) + mp.mpf(v) / 2 * mp.log(2 * mp.pi * s**2)


@pytest.mark.parametrize(("v", "m"), [(1, 1), (2, 3), (3, 2)])
@pytest.mark.parametrize(("sigma", "unit"), [(0.7, 1.0), (3.0, 1.0), (0.01, 1.0), (1e-120, 1e-120), (1e120, 1e120)])
def test_against_50_digits(v, m, sigma, unit):
    """Near and far from the data, narrow and wide; with all lengths in a unit of 1e-120 or 1e120 nothing but units changes."""
    rng = np.random.default_rng(5)
    rbm = GaussianRBM(unit * rng.standard_normal((v, m)), unit * (rng.standard_normal(v) + 0.5), rng.standard_normal(m), sigma)
    x = rbm.b + unit * np.array([[0.3], [-2.0], [15.0]]) * rng.standard_normal(v)
    with mp.workdps(exact.DIGITS):
        for row, free, score in zip(x, rbm.free_energy(x), rbm.score(x), strict=True):
            total, want, log_z = by_definition(rbm, row)
            size = 1 + ((np.abs(row) + np.abs(rbm.b) + np.abs(rbm.W).sum(axis=1)) ** 2).sum() / sigma**2
            assert abs(free + total) < 1e-15 * (v + m + 4) * size
            steep = (1 + size) * size**0.5 / sigma
            assert (exact.differences(score, want) < 1e-15 * (v + m + 4) * steep).all()
        value, error = rbm.log_partition()
        assert abs(value - log_z) <= error < 1e-12 * size


def test_log_partition_of_weights_that_nearly_cancel():
    """g(z) = c'z + (Wz)'(2b + Wz)/2 is a small difference of numbers near 1e6: the bound is that of the numbers."""
    seen = []
    for seed in range(5):
        rbm = machine(3, 1, 1.0, seed, strength=1e3)
        rbm = GaussianRBM(rbm.W, rbm.b, -(rbm.W**2 / 2 + rbm.b[:, None] * rbm.W).sum(axis=0) - 1, 1.0)
        value, error = rbm.log_partition()
        with mp.workdps(exact.DIGITS):
            seen.append(float(abs(value - by_definition(rbm, rbm.b)[2])) / error)
        assert error < 1e-7
    assert 1e-3 < max(seen) <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 99), st.sampled_from([0.3, 1.0, 4.0]))
def test_the_mixture_is_the_same_law(v, m, seed, sigma):
    rbm = machine(v, m, sigma, seed, strength=sigma)
    mixture = rbm.mixture()
    x = rbm.b + 2 * sigma * np.random.default_rng(seed).standard_normal((6, v))
    size = 1 + (np.abs(x).max() + np.abs(rbm.b).sum() + np.abs(rbm.W).sum()) ** 2 / sigma**2
    np.testing.assert_allclose(rbm.logpdf(x), mixture.logpdf(x), rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(rbm.score(x) * sigma, mixture.score(x) * sigma, rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(rbm.score_jacobian(x) * sigma**2, mixture.score_jacobian(x) * sigma**2, rtol=0, atol=1e-13 * size)
    np.testing.assert_allclose(rbm.score_divergence(x), np.trace(rbm.score_jacobian(x), axis1=1, axis2=2), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rbm.visible_mean(exact.binary_rows(m)), mixture.means, rtol=0, atol=0)


def test_means_given_either_layer():
    """E[x|z] from the joint density on a grid of the line, E[z|x] from its values."""
    rbm, z = machine(1, 2, 0.8), exact.binary_rows(2)
    grid = rbm.b + np.arange(-20, 20, 0.1)[:, None]
    joint = np.exp(-((grid - rbm.b) ** 2) / (2 * 0.8**2) + grid @ rbm.W @ z.T / 0.8**2 + z @ rbm.c)
    np.testing.assert_allclose(rbm.visible_mean(z)[:, 0], (grid * joint).sum(axis=0) / joint.sum(axis=0), rtol=1e-13)
    np.testing.assert_allclose(rbm.hidden_mean(grid), joint @ z / joint.sum(axis=1, keepdims=True), rtol=1e-11, atol=1e-15)
    assert rbm.log_partition()[0] == pytest.approx(np.log(0.1 * joint.sum()), rel=1e-13)


@pytest.mark.parametrize(("v", "m", "sigma"), [(1, 1, 1.0), (2, 3, 0.7), (3, 2, 4.0), (2, 4, 1e-100)])
def test_moments_against_50_digits(v, m, sigma):
    """sum_z p(z) of (b + Wz) z', b + Wz and z, one state after another; in the units of sigma the machines are alike."""
    unit = machine(v, m, 1.0)
    rbm = GaussianRBM(sigma * unit.W, sigma * unit.b, unit.c, sigma)
    with mp.workdps(exact.DIGITS):
        weights, means = masses(rbm)
        log_z = exact.log_sum(weights)
        p = [mp.exp(w - log_z) for w in weights]
        states = exact.binary_rows(m).tolist()
        hidden = [mp.fsum(w for w, z in zip(p, states, strict=True) if z[j]) for j in range(m)]
        visible = [mp.fsum(w * mean[i] for w, mean in zip(p, means, strict=True)) for i in range(v)]
        pairs = [[mp.fsum(w * mean[i] for w, mean, z in zip(p, means, states, strict=True) if z[j]) for j in range(m)]
                 for i in range(v)]
        error, size = rbm.log_partition()[1], np.abs(rbm.b) + np.abs(rbm.W).sum(axis=1)
        assert (exact.differences(rbm.moments().hidden, hidden) <= 3 * error).all()
        assert (exact.differences(rbm.moments().visible, visible) <= 4 * error * size).all()
        assert (exact.differences(rbm.moments().pairs, pairs).reshape(v, m) <= 4 * error * size[:, None]).all()


@pytest.mark.parametrize("along", [(1.0, 0.0), (0.0, 1.0), (0.6, -0.8)])
def test_draws_follow_the_law(along):
    """Their distribution function along a line: by Dvoretzky, Kiefer, Wolfowitz and Massart it is off by more but for 1e-9."""
    rbm, n = machine(2, 3, 0.6, strength=0.6), 40_000
    with mp.workdps(exact.DIGITS):
        weights, means = masses(rbm)
        log_z = exact.log_sum(weights)
        p, centres = np.array([float(mp.exp(w - log_z)) for w in weights]), np.array(means, dtype=float) @ along
    x = np.sort(rbm.sample(n, 7) @ along)
    below = ndtr((x[:, None] - centres) / 0.6) @ p
    off = max(np.abs(below - np.arange(n) / n).max(), np.abs(below - np.arange(1, n + 1) / n).max())
    assert off < np.sqrt(np.log(2 / 1e-9) / (2 * n)) and (p > 0.01).sum() >= 3
    np.testing.assert_array_equal(rbm.sample(5, 7), rbm.sample(5, np.random.default_rng(7)))


def test_draws_need_no_mixture():
    """z = 0 weighs e^-800 beside z = 1, which `mixture` refuses; and 200 units are too many to list."""
    x = GaussianRBM([[40.0]], [0.0], [0.0]).sample(1000, 0)
    assert np.abs(x - 40).max() < 7
    with pytest.raises(ValueError, match=r"2\^200 .*free_energy and score"):
        machine(2, 200, 1.0).sample(1, 0)


def test_states_of_the_mixture_are_its_samples():
    """Far apart components: a draw lies by the mean of its z, and E z counted so is that of the weights."""
    rbm = GaussianRBM([[40.0, 0.0], [0.0, 40.0]], [3.0, -1.0], [-799.5, -801.0], 1.0)
    x = rbm.mixture().sample(4000, 1)
    z = (x - rbm.b > 20).astype(float)
    assert np.abs(x - rbm.visible_mean(z)).max() < 6
    want = 1 / (1 + np.exp(-(rbm.c + (rbm.W**2 / 2 + rbm.b[:, None] * rbm.W).sum(axis=0))))
    assert np.abs(z.mean(axis=0) - want).max() < 6 * 0.5 / np.sqrt(4000)


def test_many_hidden_units_need_no_list_of_states():
    rbm = machine(5, 300, 1.0)
    x = np.random.default_rng(0).standard_normal((3, 5))
    h = 1e-5
    for i in range(5):
        below, above = ([rbm.free_energy(x + k * h * np.eye(5)[i]) for k in ks] for ks in ((-1, -2), (1, 2)))
        slope = (8 * (below[0] - above[0]) - (below[1] - above[1])) / (12 * h)
        np.testing.assert_allclose(rbm.score(x)[:, i], slope, rtol=1e-7, atol=1e-6)
    with pytest.raises(ValueError, match=r"2\^300 = 2e\+90 states .*free_energy and score, which do not need it"):
        rbm.logpdf(x)
    with pytest.raises(ValueError, match=r"2\^300 = 2e\+90 means of 5 coordinates.*free_energy and score"):
        rbm.mixture()


def test_the_same_bits_for_any_number_of_threads():
    x = np.random.default_rng(0).standard_normal((4000, 12))
    results = []
    for threads in (1, 3):
        with parallel(threads=threads):
            rbm = machine(12, 13, 0.9)
            results.append([rbm.logpdf(x), rbm.score(x), rbm.score_jacobian(x[:99]), rbm.mixture().weights])
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianRBM(np.ones((2, 3)), np.ones(3), np.ones(2)), r"b has shape \(3,\), but W \(2, 3\) has 2 rows"),
        (lambda: GaussianRBM([[1.0]], [0.0], [0.0], 0.0), "sigma is 0.0"),
        (lambda: GaussianRBM([[1e100]], [0.0], [0.0], 1e-100), r"sum to 1e\+200 times sigma"),
        (lambda: machine(2, 2, 1e-10).score([[1e145, 0.0]]), r"x reaches 1e\+155 times sigma"),
        (lambda: machine(2, 2, 1e-10).score([[0.0, -1e145]]), r"x reaches 1e\+155 times sigma"),
        (lambda: machine(2, 2, 1.0).score([[np.nan, 0.0]]), r"x\[0, 0\] is nan"),
        (lambda: machine(2, 2, 1.0).score([[1.0]]), "x has 1 columns, but the dimension here is 2"),
        (lambda: machine(2, 2, 1.0).visible_mean([[0.5, 1.0]]), r"z\[0, 0\] is 0.5"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_points_far_out_are_finite():
    rbm = machine(2, 3, 1.0)
    x = np.array([[1e150, -1e150]])
    assert all(np.isfinite(value).all() for value in (rbm.free_energy(x), rbm.score(x), rbm.score_jacobian(x), rbm.logpdf(x)))


def test_components_that_floats_would_lose_are_refused():
    """W = 40: z = 0 weighs e^-800 beside z = 1, and at x = -40 it is all there is; in logarithms nothing is lost."""
    rbm = GaussianRBM([[40.0]], [0.0], [0.0])
    with pytest.raises(ValueError, match="weight e\\^-800.*use logpdf and score"):
        rbm.mixture()
    exact = -0.5 * 40.0**2 - 800 - 0.5 * np.log(2 * np.pi)
    assert abs(rbm.logpdf(np.array([[-40.0]]))[0] - exact) <= 1e-11 and abs(rbm.score(np.array([[-40.0]]))[0, 0] - 40) <= 1e-13
    assert GaussianRBM([[37.0]], [0.0], [0.0]).mixture().weights.min() > 0
