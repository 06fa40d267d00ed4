"""Properties every density has, over random mixtures, and the refusals of bad input."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore import _blocks
from refscore.densities import DegenerateGaussian, Gaussian, GaussianMixture, Laplace, PointSet, TwoSidedExponential, Uniform
from refscore.strategies import SMOOTH, densities, points

EPS = np.finfo(float).eps
MIXTURES = densities(kinds=SMOOTH[1:])


EVERY = {
    "mixture": GaussianMixture([0.3, 0.7], [[0.2, 1.0], [-0.5, 0.4]], [[0.3, 0.9], [1.2, 0.5]]),
    "Laplace": Laplace([0.3, -1.0], [0.5, 2.0]),
    "two-sided exponential": TwoSidedExponential([0.3, -1.0], [0.5, 2.0], [1.5, 0.4]),
    "uniform": Uniform([0.3, -1.0], [1.5, 0.4]),
    "inflated line": DegenerateGaussian([0.3, -1.0], [[1.0], [0.5]]).corrupted(1.0, 0.4),
}
EVERY |= {f"corrupted {name}": law.corrupted(0.6, 0.5) for name, law in EVERY.items()}
every_density = pytest.mark.parametrize("density", EVERY.values(), ids=EVERY)


@every_density
def test_score_and_slopes_are_derivatives(density):
    """Central differences with step h = 1e-4: the error of a third derivative, at most 1e2 h^2 here, and 1e-16/h of rounding."""
    x, h = density.sample(20, 0), 1e-4
    value, jacobian = density.score(x), density.score_jacobian(x)
    for i in range(density.dim):
        step = h * np.eye(density.dim)[i]
        np.testing.assert_allclose((density.logpdf(x + step) - density.logpdf(x - step)) / (2 * h), value[:, i], atol=1e-6)
        np.testing.assert_allclose((density.score(x + step) - density.score(x - step)) / (2 * h), jacobian[:, i], atol=1e-6)
    np.testing.assert_allclose(density.score_divergence(x), np.trace(jacobian, axis1=1, axis2=2), rtol=1e-13, atol=1e-13)


@every_density
def test_mass_mean_and_covariance_by_quadrature(density):
    for f, want in ((lambda x: np.ones(len(x)), 1.0), (lambda x: x, density.mean),
                    (lambda x: x[:, :, None] * x[:, None, :], density.cov + np.outer(density.mean, density.mean))):
        value, error = density.expectation(f)
        assert (np.abs(value - want) <= error).all() and np.max(error) < 1e-10
    x, w = density.nodes(0.2)
    np.testing.assert_allclose(w @ x, density.mean, rtol=1e-9)


@every_density
def test_draws_have_the_moments_and_the_tails_of_the_law(density):
    """n = 1e5; mean, covariance and E cos of both coordinates within 5.6 standard errors each, false alarm below 2e-7 in all.
    A scale off by 3 % shows."""
    n = 100_000
    x = density.sample(n, 7)
    away = x - density.mean
    products = away[:, :, None] * away[:, None, :]
    assert (np.abs(away.mean(0)) <= 5.6 * away.std(0) / np.sqrt(n)).all()
    assert (np.abs(products.mean(0) - density.cov) <= 5.6 * products.std(0) / np.sqrt(n)).all()
    value, error = density.expectation(np.cos)
    assert (np.abs(np.cos(x).mean(0) - value) <= 5.6 * np.cos(x).std(0) / np.sqrt(n) + error).all()
    with _blocks.parallel(threads=2):
        np.testing.assert_array_equal(x, density.sample(n, 7))


@every_density
def test_corrupting_twice_is_corrupting_once(density):
    twice, once = density.corrupted(0.7, 0.4).corrupted(0.6, 0.9), density.corrupted(0.42, np.hypot(0.24, 0.9))
    x = once.sample(20, 3)
    assert type(twice) is type(density)
    assert (np.abs(twice.score(x) - once.score(x)) <= twice.score_error(x) + once.score_error(x)).all()
    assert (np.abs(twice.logpdf(x) - once.logpdf(x)) <= twice.logpdf_error(x) + once.logpdf_error(x)).all()
    np.testing.assert_allclose(twice.cov, 0.42**2 * density.cov + (0.24**2 + 0.81) * np.eye(2), rtol=1e-14)


@every_density
def test_pickles_batches_and_threads(density):
    x = density.sample(9000, 0)
    same = pickle.loads(pickle.dumps(density)).score(x)
    np.testing.assert_array_equal(same, density.score(x))
    with _blocks.parallel(threads=3):
        np.testing.assert_array_equal(same, density.score(x))
    assert density.score(x[:0]).shape == (0, 2) and density.logpdf(x[:0]).shape == (0,)
    assert density.score_jacobian(x[:0]).shape == (0, 2, 2)
    assert (np.abs(density.score(x[5:6]) - same[5:6]) <= 2 * density.score_error(x[5:6])).all()


@settings(max_examples=60, deadline=None)
@given(densities(kinds=SMOOTH), st.data())
def test_rows_do_not_depend_on_their_company(density, data):
    """A row alone and in a batch: equal up to the rounding that a different matrix product may have, i.e. within the bounds."""
    x = density.mean + data.draw(points(7, density.dim))
    together = density.score(x)
    alone = np.concatenate([density.score(row[None]) for row in x])
    assert (np.abs(together - alone) <= 2 * density.score_error(x)).all()
    assert (np.abs(density.logpdf(x)[3:4] - density.logpdf(x[3:4])) <= 2 * density.logpdf_error(x[3:4])).all()


@settings(max_examples=60, deadline=None)
@given(MIXTURES, st.integers(0, 1000))
def test_permuting_components_changes_nothing(density, seed):
    order = np.random.default_rng(seed).permutation(len(density.weights))
    other = GaussianMixture(density.weights[order], density.means[order], density.covs[order])
    x = density.mean + 3 * np.random.default_rng(seed).standard_normal((5, density.dim))
    assert (np.abs(density.score(x) - other.score(x)) <= density.score_error(x) + other.score_error(x)).all()


@settings(max_examples=40, deadline=None)
@given(MIXTURES, st.floats(-3, 3), st.floats(0.01, 100))
def test_covariance_under_shift_and_scale(density, shift, scale):
    """y = scale x + shift: log p_y(y) = log p_x(x) - d log scale, s_y(y) = s_x(x)/scale, up to the rounding of parameters:
    a relative error of 4 eps in mean, covariance and point moves the score by 4 eps (|x| + |m|) times its slope."""
    other = GaussianMixture(density.weights, scale * density.means + shift, scale**2 * density.covs)
    x = density.mean + 2 * np.random.default_rng(0).standard_normal((5, density.dim))
    y = scale * x + shift
    steepest = 1 / density._parts.spectrum.min()
    slope = np.abs(density.score_jacobian(x)).sum(axis=(1, 2)) + steepest + np.abs(density.score(x)).max(axis=1)
    reach = (np.abs(x).max(axis=1) + np.abs(density.means).max() + abs(shift) / scale) * density.dim
    slack = 8 * EPS * slope * reach * (1 + slope * reach)
    left, right = scale * other.score(y), density.score(x)
    assert (np.abs(left - right) <= slack[:, None] + density.score_error(x) + scale * other.score_error(y)).all()
    left, right = other.logpdf(y) + density.dim * np.log(scale), density.logpdf(x)
    slack = slack * reach + 8 * EPS * density.dim * (1 + abs(np.log(scale)))
    assert (np.abs(left - right) <= slack + density.logpdf_error(x) + other.logpdf_error(y)).all()


@settings(max_examples=30, deadline=None)
@given(MIXTURES, st.floats(0.1, 1), st.floats(0.1, 2), st.floats(0.1, 1), st.floats(0.1, 2))
def test_corruption_is_a_semigroup(density, a1, s1, a2, s2):
    twice = density.corrupted(a1, s1).corrupted(a2, s2)
    once = density.corrupted(a1 * a2, np.hypot(a2 * s1, s2))
    x = once.mean + np.random.default_rng(1).standard_normal((4, density.dim))
    assert (np.abs(twice.score(x) - once.score(x)) <= twice.score_error(x) + once.score_error(x)).all()
    assert type(twice) is type(density)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_moments_by_quadrature_and_by_formula(d):
    rng = np.random.default_rng(d)
    a = rng.standard_normal((3, d, d))
    density = GaussianMixture([0.2, 0.3, 0.5], rng.standard_normal((3, d)), a @ a.transpose(0, 2, 1) + 0.3 * np.eye(d))
    for f, want in ((lambda x: x, density.mean),
                    (lambda x: x[:, :, None] * x[:, None, :], density.cov + np.outer(density.mean, density.mean)),
                    (lambda x: np.cos(x[:, 0]), None)):
        value, error = density.expectation(f)
        if want is None:  # E cos x = Re of the characteristic function
            m, v = density.means[:, 0], density.covs[:, 0, 0]
            want = density.weights @ (np.exp(-v / 2) * np.cos(m))
        assert (np.abs(value - want) <= error).all()
        assert np.max(error) < 1e-11


def test_expectation_reports_the_error_of_a_kink_and_refuses_high_dimensions():
    density = Gaussian([0.1], [2.0])
    with pytest.warns(RuntimeWarning, match="not smooth"):
        value, error = density.expectation(lambda x: np.abs(x[:, 0]), max_nodes=20_000)
    exact = np.sqrt(4 / np.pi) * np.exp(-0.01 / 4) + 0.1 * (1 - 2 * 0.5 * (1 + _erf(-0.1 / 2)))
    assert abs(value - exact) <= error < 1e-4
    with pytest.raises(ValueError, match="dimension 7"):
        Gaussian(np.zeros(7), 1.0).expectation(lambda x: x[:, 0])
    with pytest.raises(ValueError, match="f returned shape"):
        density.expectation(lambda x: 1.0)
    with pytest.raises(ValueError, match="f.x..* is nan"):
        density.expectation(lambda x: x[:, 0] * np.nan)


def _erf(x):
    from math import erf

    return erf(x)


def test_joint_nodes_carry_the_moments_of_data_and_noise():
    """Second moments of (x0, noise), and E cos(x~) noise noise', smooth in x~ and quadratic in the noise."""
    rng = np.random.default_rng(4)
    a = rng.standard_normal((2, 2, 2))
    density = GaussianMixture([0.4, 0.6], rng.standard_normal((2, 2)), a @ a.transpose(0, 2, 1) + 0.3 * np.eye(2))
    alpha, sigma = 0.8, 0.7
    x0, noise, w = density.joint_nodes(alpha, sigma, 0.4)
    np.testing.assert_allclose(w.sum(), 1, atol=1e-13)
    np.testing.assert_allclose(w @ x0, density.mean, atol=1e-12)
    np.testing.assert_allclose((w[:, None] * noise).T @ noise, np.eye(2), atol=1e-12)
    np.testing.assert_allclose((w[:, None] * x0).T @ noise, np.zeros((2, 2)), atol=1e-12)
    np.testing.assert_allclose((w[:, None] * x0).T @ x0, density.cov + np.outer(density.mean, density.mean), atol=1e-12)
    # E e^{i u.x~} z z' = phi(u) (I - sigma^2 u u'), phi the characteristic function of x~
    u = np.array([0.6, -0.3])
    law = density.corrupted(alpha, sigma)
    phi = law.weights @ (np.exp(1j * law.means @ u) * np.exp(-0.5 * np.einsum("i,kij,j->k", u, law.covs, u)))
    wave = np.exp(1j * (alpha * x0 + sigma * noise) @ u)
    got = np.einsum("n,ni,nj->ij", w * wave, noise, noise)
    np.testing.assert_allclose(got, phi * (np.eye(2) - sigma**2 * np.outer(u, u)), atol=1e-12)


def test_cdf_and_sf():
    from scipy.stats import norm

    density = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
    x = np.array([[-40.0], [-1.0], [0.3], [12.0]])
    want = 0.3 * norm.cdf(x[:, 0], -1.5, 0.4) + 0.7 * norm.cdf(x[:, 0], 1, 0.6)
    np.testing.assert_allclose(density.cdf(x), want, rtol=1e-13)
    want = 0.3 * norm.sf(x[:, 0], -1.5, 0.4) + 0.7 * norm.sf(x[:, 0], 1, 0.6)
    np.testing.assert_allclose(density.sf(x), want, rtol=1e-13)
    with pytest.raises(ValueError, match="d = 1"):
        Gaussian([0.0, 0.0], 1.0).cdf(np.zeros((1, 2)))


def test_samples_follow_the_law():
    """n = 1e5 draws; each of the 9 first and second moments within 5.6 standard errors: false alarm below 2e-7 in all.
    Would catch a mean off by 2 % of a standard deviation, a variance off by 3 %."""
    a = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.6]])
    density = GaussianMixture([0.25, 0.75], [[0.0, 1.0, 2.0], [1.0, -1.0, 0.0]], np.stack([a @ a.T, a.T @ a]))
    n = 100_000
    x = density.sample(n, 11)
    away = x - density.mean
    products = away[:, :, None] * away[:, None, :]
    assert (np.abs(away.mean(0)) <= 5.6 * away.std(0) / np.sqrt(n)).all()
    assert (np.abs(products.mean(0) - density.cov) <= 5.6 * products.std(0) / np.sqrt(n)).all()
    np.testing.assert_array_equal(x, density.sample(n, 11))
    points = PointSet([[0.0], [1.0]], [0.25, 0.75]).sample(n, 3)
    assert abs(points.mean() - 0.75) <= 5.6 * np.sqrt(0.1875 / n)


def test_densities_survive_pickling():
    density = GaussianMixture([0.3, 0.7], [[0.0, 1.0], [1.0, 0.0]], [1.0, 0.5]).corrupted(0.5, 0.5)
    x = np.zeros((2, 2))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(density)).score(x), density.score(x))


def test_a_batch_of_none():
    density = GaussianMixture([0.3, 0.7], [[0.0, 1.0], [1.0, 0.0]], [1.0, 0.5])
    assert density.score(np.zeros((0, 2))).shape == (0, 2) and density.logpdf(np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianMixture([0.5, 0.4], [[0.0], [1.0]], [1.0, 1.0]), "weights / weights.sum"),
        (lambda: GaussianMixture([1.5, -0.5], [[0.0], [1.0]], [1.0, 1.0]), "non-negative"),
        (lambda: GaussianMixture([1.0], [[0.0], [1.0]], [1.0, 1.0]), "same K"),
        (lambda: GaussianMixture([1.0], [[0.0]], [-1.0]), "variances must lie"),
        (lambda: GaussianMixture([1.0], [[0.0]], [0.0]), "variances must lie"),
        (lambda: GaussianMixture([1.0], [[0.0, 1.0]], [[[1.0, 2.0], [2.0, 1.0]]]), "positive definite"),
        (lambda: GaussianMixture([1.0], [[0.0, 1.0]], [[[1.0, 0.5], [0.0, 1.0]]]), "symmetric"),
        (lambda: GaussianMixture([1.0], [[np.nan]], [1.0]), "means.* is nan"),
        (lambda: Gaussian(0.0, 1.0), r"pass shape \(d,\)"),
        (lambda: Gaussian([0.0, 1.0], [1.0, 2.0, 3.0]), "cov has shape"),
        (lambda: Gaussian([0.0], 1.0).logpdf([0.0]), r"x\[:, None\]"),
        (lambda: Gaussian([0.0], 1.0).logpdf([[0.0, 1.0]]), "2 columns"),
        (lambda: Gaussian([0.0], 1.0).score([[np.inf]]), "must be finite"),
        (lambda: Gaussian([0.0], 1.0).corrupted(-1.0, 1.0), "alpha is -1.0"),
        (lambda: Gaussian([0.0], 1.0).corrupted(0.0, 0.0), "variances must lie"),
        (lambda: Gaussian([0.0], 1.0).nodes(-1.0), "spacing is -1.0"),
        (lambda: Gaussian([0.0], 1.0).nodes(2.0), "at most 0.9"),
        (lambda: Gaussian([0.0], 1.0).joint_nodes(1.0, 0.0, 0.3), "sigma is 0.0"),
        (lambda: Gaussian([0.0], 1.0).sample(10, None), "never global"),
        (lambda: PointSet(np.zeros((3, 2))).score(np.zeros((1, 2))), r"\.corrupted\(alpha, sigma\)"),
        (lambda: PointSet(np.zeros((3, 2))).corrupted(1.0, 0.0), "sigma is 0.0"),
        (lambda: PointSet(np.zeros((0, 2))), "at least one point"),
        (lambda: PointSet(np.zeros((3, 2)), [1.0, 1.0]), "one weight a row"),
    ],
)
def test_refusals_name_the_argument_and_the_fix(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize(
    ("f", "exact"),
    [
        (lambda x: x[:, 0] ** 8, 105.0),
        (lambda x: x[:, 0] ** 20, 654729075.0),
        (lambda x: np.exp(2 * x[:, 0]), np.exp(2.0)),
        (lambda x: np.exp(4 * x[:, 0]), np.exp(8.0)),
        (lambda x: 1 / (1 + x[:, 0] ** 2), 0.65567954241879847154),
        pytest.param(lambda x: (x[:, 0] > 0.01) * 1.0, 0.49601064368536843, marks=pytest.mark.slow),
        (lambda x: np.abs(x[:, 0] - 0.1), 0.80187066240942933),
    ],
)
@pytest.mark.filterwarnings("ignore:expectation")
def test_expectation_is_honest_on_the_standard_normal(f, exact):
    """Moments, exponentials (mass far out), a pole at distance 1, a jump and a kink."""
    value, error = Gaussian([0.0], 1.0).expectation(f)
    assert abs(value - exact) <= error
    assert error <= 1e-3 * abs(exact)


def test_moments_of_a_weighted_point_set():
    points = PointSet([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]], [0.5, 0.25, 0.25])
    np.testing.assert_allclose(points.mean, [0.5, 1.0], rtol=1e-15)
    np.testing.assert_allclose(points.cov, [[0.75, -0.5], [-0.5, 3.0]], rtol=1e-15)
    value, error = points.expectation(lambda x: x[:, 0] ** 2 + x[:, 1])
    assert abs(value - 2.0) <= error < 1e-14


def test_nodes_carry_the_weights_of_the_components():
    density = GaussianMixture([0.2, 0.8], [[-1.0], [1.5]], [0.5, 0.2])
    x, w = density.nodes(0.4)
    np.testing.assert_allclose([w.sum(), w @ x[:, 0]], [1.0, density.mean[0]], rtol=1e-12)
    np.testing.assert_allclose(w @ (x[:, 0] - density.mean[0]) ** 2, density.cov[0, 0], rtol=1e-12)
