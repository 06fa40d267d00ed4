"""Truncated Gaussians, Beta laws, products and non-negative functions, against 50 digits and SciPy."""

import math
import pickle

import mpmath as mp
import numpy as np
import pytest

from refscore.densities import Beta, Product, TruncatedGaussian, UnnormalizedDensity, nonnegative
from refscore.distances import fisher_information

INF = math.inf
CASES = [(0.3, 1.2, -0.5, 2.0), (0.0, 1.0, 30.0, INF), (0.0, 1.0, 37.5, 37.6), (1.0, 0.5, -INF, -3.0), (0.2, 2.0, -1e-9, 1e-9),
         (0.0, 1.0, 1e6, INF), (2.0, 3.0, -INF, INF), (-1.0, 0.3, -1.1, INF), (0.0, 1.0, -8.0, 9.0)]


@pytest.mark.filterwarnings("ignore:the integral of p")  # far out, x itself is known to 1e-16 only
@pytest.mark.parametrize("case", CASES, ids=str)
def test_truncated_gaussian_against_fifty_digits(case):
    mean, sigma, low, high = case
    density = TruncatedGaussian(*case)
    near = min(max(mean, low), high)
    width = min(sigma, sigma**2 / max(abs(near - mean), sigma), high - low)
    x = near + np.array([0.01, 0.2, 0.6]) * width * (1 if near < high else -1)
    got = density.logpdf(x[:, None])
    with mp.workdps(60):
        m, s = mp.mpf(mean), mp.mpf(sigma)
        # erfc is accurate in the upper tail only: flip
        a, b = (mp.mpf(low) - m) / s, (mp.mpf(high) - m) / s
        tail = (lambda u: mp.erfc(u / mp.sqrt(2)) / 2 if u < mp.inf else mp.mpf(0)) if near > mean else None
        if tail is None:
            mass = (mp.ncdf(b) if b < mp.inf else mp.mpf(1)) - (mp.ncdf(a) if a > -mp.inf else mp.mpf(0))
        else:
            mass = tail(a) - tail(b)
        for value, point in zip(got, x, strict=True):
            want = float(-(((mp.mpf(float(point)) - m) / s) ** 2) / 2 - mp.log(s * mp.sqrt(2 * mp.pi) * mass))
            rounding = 4e-16 * abs(point - near) * 2 * abs(near - mean) / sigma**2  # of x - near, times the score
            assert abs(value - want) <= 3e-14 * (1 + abs(want)) + rounding
    np.testing.assert_allclose(density.score(x[:, None])[:, 0], (mean - x) / sigma**2, rtol=1e-15)
    np.testing.assert_allclose(density.score_divergence(x[:, None]), -1 / sigma**2, rtol=1e-15)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_truncated_gaussian_moments_and_corruption():
    from scipy.stats import truncnorm

    density = TruncatedGaussian(0.3, 1.2, -0.5, 2.0)
    same = truncnorm(-0.8 / 1.2, 1.7 / 1.2, 0.3, 1.2)
    assert density.mean[0] == pytest.approx(same.mean(), rel=1e-12)
    assert density.cov[0, 0] == pytest.approx(same.var(), rel=1e-11)
    far = TruncatedGaussian(0.0, 1.0, 1e4)  # e^{-1e8/2}: the excess over the end is close to exponential, of mean 1/r - 2/r^3
    assert far.expectation(lambda x: x[:, 0] - 1e4)[0] == pytest.approx(1e-4 - 2e-12, rel=1e-7)
    whole, gaussian = TruncatedGaussian(0.4, 0.7), UnnormalizedDensity(lambda x: -(((x - 0.4) / 0.7) ** 2) / 2)
    np.testing.assert_allclose(whole.corrupted(0.5, 0.3).score([[1.0]]), -(1.0 - 0.2) / (0.25 * 0.49 + 0.09), rtol=1e-12)
    np.testing.assert_allclose(whole.logpdf([[1.0]]), gaussian.logpdf([[1.0]]), rtol=1e-13)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (2.5, 3.5), (1.0, 3.0), (0.4, 2.0), (40.0, 0.9)])
def test_beta_against_scipy(a, b):
    from scipy import stats

    density, same = Beta(a, b), stats.beta(a, b)
    x = np.array([[1e-9], [0.2], [0.7], [0.999]])
    np.testing.assert_allclose(density.logpdf(x), same.logpdf(x[:, 0]), rtol=1e-12, atol=1e-12)
    with mp.workdps(40):
        exact = [mp.diff(lambda t: (a - 1) * mp.log(t) + (b - 1) * mp.log(1 - t), mp.mpf(float(v)), h=mp.mpf(v) * mp.mpf("1e-15"))
                 for v in x[:, 0]]
    np.testing.assert_allclose(density.score(x)[:, 0], np.array(exact, dtype=float), rtol=1e-12, atol=1e-12)
    bend = -(a - 1) / x**2 - (b - 1) / (1 - x) ** 2
    np.testing.assert_allclose(density.score_jacobian(x)[:, 0], bend, rtol=1e-14)
    slope = UnnormalizedDensity(density.log_p, (0, 1), density.slope).score_jacobian(x[1:3])[:, 0]  # by differences of the score
    np.testing.assert_allclose(slope, bend[1:3], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(density.mean, same.mean(), rtol=1e-14)
    np.testing.assert_allclose(density.cov, [[same.var()]], rtol=1e-14)
    if b >= 1:
        value, error = density.expectation(lambda x: x[:, 0] ** 3)
        assert abs(value - same.moment(3)) <= error + 1e-14 and error < 1e-12
    n = 40_000
    draws = density.sample(n, 3)
    assert draws.shape == (n, 1) and abs(draws.mean() - same.mean()) <= 6 * same.std() / math.sqrt(n)


@pytest.mark.filterwarnings("ignore:expectation", "ignore:the integral of p")
@pytest.mark.parametrize("a, b", [(1e4, 1e4), (1e8, 1e8), (1e6, 1e3), (2.0, 1e12), (9.99, 10.01), (1e15, 3e14)])
def test_narrow_beta_at_fifty_digits(a, b):
    """log p is the small sum of large terms: within its error, which stays small where the mass is."""
    density, mean = Beta(a, b), a / (a + b)
    sd = math.sqrt(mean * (b / (a + b)) / (a + b + 1))
    x = np.clip(mean + sd * np.array([-8.0, -1.0, 0.0, 0.7, 6.0]), mean / 50, 1 - (1 - mean) / 50)
    value, error = density.logpdf(x[:, None]), density.logpdf_error(x[:, None])
    with mp.workdps(60):
        log_b = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(mp.mpf(a) + mp.mpf(b))
        for i, z in enumerate(map(mp.mpf, x.tolist())):
            assert abs(mp.mpf(float(value[i])) - ((mp.mpf(a) - 1) * mp.log(z) + (mp.mpf(b) - 1) * mp.log1p(-z) - log_b)) <= error[i]
    assert (error <= 1e-13 * (1 + math.sqrt(a * (b / (a + b))))).all()
    for f, exact in ((lambda x: np.ones(len(x)), 1.0), (lambda x: x[:, 0], mean)):
        found, slack = density.expectation(f)
        assert abs(found - exact) <= slack + 1e-15 * exact


@pytest.mark.filterwarnings("ignore:the integral of p")
def test_beta_near_one_admits_what_it_cannot_know():
    """p ~ (1 - x)^{-1/2}: within 1e-16 of 1 lies 1e-8 of the mass."""
    with pytest.warns(RuntimeWarning, match="expectation"):
        value, error = Beta(0.5, 0.5).expectation(lambda x: x[:, 0])
    assert abs(value - 0.5) <= error < 1e-6


@pytest.mark.parametrize(("a", "b"), [(2.5, 3.5), (3.0, 4.2), (1.0, 3.5), (1.0, 1.0), (60.0, 30.0)])
def test_fisher_information_of_beta(a, b):
    value, error = fisher_information(Beta(a, b))
    with mp.workdps(30):
        def term(t):
            return ((a - 1) / t - (b - 1) / (1 - t)) ** 2 * t ** (mp.mpf(a) - 1) * (1 - t) ** (mp.mpf(b) - 1)
        want = float(mp.quad(term, [0, 0.01, 0.3, 0.6, 0.99, 1]) / mp.beta(a, b))
    assert abs(value - want) <= error + 1e-11 * (1 + want)


@pytest.mark.parametrize(("a", "b"), [(0.6, 3.0), (1.5, 3.0), (2.0, 3.0), (3.0, 2.0), (3.0, 1.5)])
def test_fisher_information_that_is_infinite_is_refused(a, b):
    with pytest.raises(ValueError, match="does not converge"):
        fisher_information(Beta(a, b))


def test_product():
    ray = UnnormalizedDensity(lambda x: -x, (0, INF), lambda x: -np.ones_like(x))
    factors = [TruncatedGaussian(0.3, 1.2, -0.5, 2.0), Beta(2.5, 3.0), ray]
    density = Product(factors)
    x = np.array([[0.1, 0.4, 1.0], [1.5, 0.9, 0.2]])
    assert density.dim == 3
    np.testing.assert_allclose(density.logpdf(x), sum(f.logpdf(x[:, [i]]) for i, f in enumerate(factors)), rtol=1e-15)
    for i, factor in enumerate(factors):
        np.testing.assert_array_equal(density.score(x)[:, [i]], factor.score(x[:, [i]]))
    jacobian = density.score_jacobian(x)
    np.testing.assert_array_equal(np.trace(jacobian, axis1=1, axis2=2), density.score_divergence(x))
    assert (jacobian[:, 0, 1:] == 0).all()
    np.testing.assert_allclose(density.mean, [f.mean[0] for f in factors])
    assert density.cov.shape == (3, 3) and density.sample(5, 0).shape == (5, 3)
    flat = Product(factors[:2])
    nodes, w = flat.nodes()
    np.testing.assert_allclose([w.sum(), w @ nodes[:, 0], w @ nodes[:, 1]], [1, *flat.mean], rtol=1e-12)
    np.testing.assert_allclose(flat.corrupted(0.5, 0.3).score(x[:, :2])[:, [1]], factors[1].corrupted(0.5, 0.3).score(x[:, [1]]))
    with pytest.raises(TypeError, match=r"factors\[1\]"):
        Product([factors[0], 3])
    with pytest.raises(ValueError, match="empty"):
        Product([])


def test_nonnegative_functions_in_closed_form():
    """f = (x - 1/2) e^{-x^2/4}: int f^2 = sqrt(2 pi) 5/4; int |f| and 4 int f'^2/Z in 30 digits."""
    f = lambda x: (x - 0.5) * np.exp(-(x**2) / 4)  # noqa: E731
    slope = lambda x: (1 - (x - 0.5) * x / 2) * np.exp(-(x**2) / 4)  # noqa: E731
    square = nonnegative(f, slope, "square")
    assert square.support[0][1] == pytest.approx(0.5, abs=1e-15) and len(square.support) == 2
    value, error = square.log_normalizer()
    assert abs(value - math.log(math.sqrt(2 * math.pi) * 1.25)) <= error < 1e-11
    with mp.workdps(30):
        g = lambda x: (x - mp.mpf("0.5")) * mp.exp(-(x**2) / 4)  # noqa: E731
        fisher = float(4 * mp.quad(lambda x: mp.diff(g, x) ** 2, [-mp.inf, -2, 0, 2, mp.inf]) / mp.sqrt(2 * mp.pi) / 1.25)
        mass = float(mp.quad(lambda x: abs(g(x)), [-mp.inf, -2, 0.5, 2, mp.inf]))
    value, error = fisher_information(square)
    assert abs(value - fisher) <= error + 1e-12 < 1e-9
    absolute = nonnegative(f, slope, "abs")
    assert absolute.log_normalizer()[0] == pytest.approx(math.log(mass), abs=1e-12)
    with pytest.raises(ValueError, match="does not converge"):
        fisher_information(absolute)
    x = np.array([[-1.0], [0.2], [0.7], [2.0]])
    np.testing.assert_allclose(square.score(x), 2 * absolute.score(x), rtol=1e-14)


def test_curvature_of_nonnegative_functions():
    f, slope, bend = (lambda x: 2 + np.sin(x)), np.cos, (lambda x: -np.sin(x))
    x = np.array([[0.3], [1.7]])
    for form in ("exp", "square", "abs"):
        by_hand, by_difference = nonnegative(f, slope, form, (0, 2), bend), nonnegative(f, slope, form, (0, 2))
        np.testing.assert_allclose(by_hand.score_divergence(x), by_difference.score_divergence(x), rtol=1e-9)


def test_closed_forms_survive_pickling():
    x = np.array([[0.3], [0.6]])
    for density in (TruncatedGaussian(0.3, 1.2, -0.5, 2.0), Beta(2.5, 3.5), Product([Beta(2.0, 3.0)])):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(density)).score(x), density.score(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TruncatedGaussian(0.0, 0.0, 0, 1), "sigma is 0.0"),
        (lambda: TruncatedGaussian(0.0, 1.0, 1, 0), "low < high"),
        (lambda: TruncatedGaussian(math.nan, 1.0, 0, 1), "mean.* is nan"),
        (lambda: TruncatedGaussian(0.0, 1e-200, 1.0, 2.0), "rescale"),
        (lambda: Beta(0.0, 1.0), "a is 0.0"),
        (lambda: Beta(1e-3, 1.0).expectation(np.ravel), "or not in float64"),
        (lambda: Beta(1.0, "x"), "b is str"),
        (lambda: nonnegative(np.sin, np.cos, "cube", (0, 1)), "form is 'cube'"),
        (lambda: nonnegative(np.sin, np.cos, "square"), "changes sign at least"),
        (lambda: nonnegative(np.ones_like, np.zeros_like, "square"), "not normalisable"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_refusals(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_named_laws_say_what_they_are():
    assert repr(TruncatedGaussian(0.3, 1.2, -0.5)) == "TruncatedGaussian(mean=0.3, sigma=1.2, low=-0.5, high=inf)"
    assert repr(Beta(3, 4.5)) == "Beta(a=3.0, b=4.5)"
