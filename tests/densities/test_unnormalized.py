"""Densities given by log p alone: against 50 digits, against closed forms, on every kind of piece; and what is refused."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import GaussianMixture, UnnormalizedDensity

INF = math.inf

LAWS = {  # log p, the same in mpmath, support, exact log Z or None
    "quartic": (lambda x: x**3 - x**4, lambda x: x**3 - x**4, (-INF, INF), None),
    "narrow and far": (lambda x: -((x - 100.0) ** 2) * 1e4, None, (-INF, INF), 0.5 * math.log(math.pi * 1e-4)),
    "wide": (lambda x: -((x - 1.0) ** 2) * 1e-12, None, (-INF, INF), 0.5 * math.log(math.pi * 1e12)),
    "Cauchy": (lambda x: -np.log1p(x * x), None, (-INF, INF), math.log(math.pi)),
    "Gamma(0.1)": (lambda x: -0.9 * np.log(x) - x, None, (0, INF), math.lgamma(0.1)),
    "two scales": (lambda x: np.logaddexp(-((x - 3) ** 2) * 50, -((x + 20) ** 2) / 2e-4 - 3), None, (-INF, INF),
                   math.log(math.sqrt(2 * math.pi) * (0.1 + math.exp(-3) * 1e-2))),
    "flat": (np.zeros_like, None, (0.3, 2.0), math.log(1.7)),
    "kink": (lambda x: -np.abs(x - 0.7), None, ((-INF, 0.7), (0.7, INF)), math.log(2)),
    "falling at both ends": (lambda x: -1 / (x * (1 - x)), lambda x: -1 / (x * (1 - x)), (0, 1), None),
    "left half-line": (lambda x: 3 * x, None, (-INF, -2.0), -6 - math.log(3)),
}


@pytest.mark.parametrize("name", LAWS)
def test_log_normalizer_is_within_its_error(name):
    log_p, exact, support, log_z = LAWS[name]
    if log_z is None:
        with mp.workdps(50):
            low, high = (mp.mpf(end) for end in support)
            log_z = float(mp.log(mp.quad(lambda x: mp.exp(exact(x)), [low, (-5 if low == -mp.inf else 0.2), 0.75, high])))
    value, error = UnnormalizedDensity(log_p, support).log_normalizer()
    assert abs(value - log_z) <= error + 2e-16 * abs(log_z)
    assert error < 1e-10


def test_a_peak_that_floats_cannot_resolve_is_reported():
    """At x = 1e6 neighbouring floats are 1e-10 apart: of a peak of width 1e-3 no more than 1e-7 can be known."""
    with pytest.warns(RuntimeWarning, match="error estimate"):
        density = UnnormalizedDensity(lambda x: -((x - 1e6) ** 2) / 2e-6)
    value, error = density.log_normalizer()
    assert abs(value - 0.5 * math.log(2 * math.pi * 1e-6)) <= error < 1e-5
    with pytest.warns(RuntimeWarning, match="expectation"):
        one, its_error = density.expectation(lambda x: np.ones(len(x)))
    assert abs(one - 1) <= its_error and its_error >= 1.9 * error  # the errors of the integral and of Z


@settings(max_examples=25, deadline=None)
@given(st.floats(-50, 50), st.floats(-3, 3), st.floats(0.2, 5))
def test_constants_shifts_and_scales(constant, shift, scale):
    """l + c has the same law; y = scale x + shift has p(x)/scale and s(x)/scale."""
    base = UnnormalizedDensity(lambda x: x - np.cosh(x))
    other = UnnormalizedDensity(lambda y: (y - shift) / scale - np.cosh((y - shift) / scale) + constant)
    x = np.array([[-1.3], [0.2], [1.9]])
    y = scale * x + shift
    slack = base.logpdf_error(x) + other.logpdf_error(y) + 1e-14 * (1 + abs(constant))
    assert (np.abs(other.logpdf(y) + np.log(scale) - base.logpdf(x)) <= slack).all()
    slack = base.score_error(x) + scale * other.score_error(y) + 1e-14
    assert (np.abs(scale * other.score(y) - base.score(x)) <= slack).all()
    assert slack.max() < 1e-9


def test_score_and_jacobian_from_values_are_within_their_errors():
    """d/dx and d^2/dx^2 of log(2 + sin x) - x^2/2 by hand; the error estimate covers what it says, and is worth something."""
    density = UnnormalizedDensity(lambda x: np.log(2 + np.sin(x)) - x * x / 2)
    x = np.linspace(-6, 7, 41)[:, None]
    s = np.cos(x) / (2 + np.sin(x)) - x
    bend = (-np.sin(x) * (2 + np.sin(x)) - np.cos(x) ** 2) / (2 + np.sin(x)) ** 2 - 1
    assert (np.abs(density.score(x) - s) <= density.score_error(x)).all() and density.score_error(x).max() < 1e-10
    assert (np.abs(density.score_jacobian(x)[:, 0] - bend) <= density.score_jacobian_error(x)[:, 0]).all()
    assert density.score_jacobian_error(x).max() < 1e-7
    np.testing.assert_array_equal(density.score_divergence(x), density.score_jacobian(x)[:, 0, 0])


def test_a_mean_without_a_variance():
    """p ~ (1 + x^2)^{-3/2}, Student with two degrees of freedom, moved by 0.3."""
    density = UnnormalizedDensity(lambda x: -1.5 * np.log1p((x - 0.3) ** 2))
    assert density.mean[0] == pytest.approx(0.3, abs=1e-12)
    with pytest.raises(ValueError, match="does not converge"):
        _ = density.cov


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # at 1e4 a peak of width 0.3 is known to 1e-10 only
def test_moments_far_from_zero_do_not_cancel():
    density = UnnormalizedDensity(lambda x: -np.cosh((x - 1e4) / 0.3), ((-INF, 1e4), (1e4, INF)))
    centred = UnnormalizedDensity(lambda x: -np.cosh(x))
    assert density.mean[0] == pytest.approx(1e4, rel=1e-14)
    assert density.cov[0, 0] == pytest.approx(0.09 * centred.cov[0, 0], rel=1e-9)


@pytest.mark.parametrize(
    ("f", "exact"),
    [
        (np.sin, mp.sin),
        (np.square, lambda x: x**2),
        (np.abs, abs),
        (lambda x: (x > 0.3) * 1.0, lambda x: mp.mpf(x > 0.3)),
        (lambda x: np.exp(3 * x), lambda x: mp.exp(3 * x)),
    ],
)
@pytest.mark.filterwarnings("ignore:expectation")
def test_expectations_are_honest(f, exact):
    """Waves, moments, a kink, a jump, an exponential under the standard normal law, by 50-digit quadrature."""
    with mp.workdps(30):
        density = UnnormalizedDensity(lambda x: -x * x / 2)
        want = float(mp.quad(lambda x: exact(x) * mp.npdf(x), [-mp.inf, -2, 0, mp.mpf(0.3), 3, 6, mp.inf]))
    value, error = density.expectation(lambda x: f(x[:, 0]))
    assert abs(value - want) <= error + 1e-15
    assert error <= 1e-9 * (1 + abs(want))


@pytest.mark.slow
def test_corruption_against_mixtures_far_into_the_tails():
    mixture = GaussianMixture([0.3, 0.7], [[-1.0], [2.0]], [0.3, 0.8])
    density = UnnormalizedDensity(lambda x: mixture.logpdf(x[:, None]) + 3)
    y = np.linspace(-30, 40, 23)[:, None]
    for alpha, sigma in ((1.0, 0.5), (0.6, 0.05), (0.3, 3.0), (0.0, 1.0)):
        got, want = density.corrupted(alpha, sigma), mixture.corrupted(alpha, sigma)
        assert (np.abs(got.logpdf(y) - want.logpdf(y)) <= got.logpdf_error(y) + want.logpdf_error(y)).all()
        assert (np.abs(got.score(y) - want.score(y)) <= got.score_error(y) + want.score_error(y)).all()
        slack = got.score_jacobian_error(y) + 1e-12 / sigma**2
        assert (np.abs(got.score_jacobian(y) - want.score_jacobian(y)) <= slack).all()
        assert got.logpdf_error(y).max() < 1e-10 and (got.score_error(y) * sigma).max() < 1e-10
        assert (got.score_jacobian_error(y) * sigma**2).max() < 1e-10
        np.testing.assert_allclose(got.mean, want.mean, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(got.cov, want.cov, rtol=1e-12)


def test_noise_much_narrower_than_the_density():
    """sigma = 1e-7: the kernel is met because the pieces are cut at its peak; Var[z | x] - 1 of 1e-14 is then rounding."""
    mixture = GaussianMixture([0.3, 0.7], [[-1.0], [2.0]], [0.3, 0.8])
    density = UnnormalizedDensity(lambda x: mixture.logpdf(x[:, None]))
    y = np.linspace(-3, 5, 9)[:, None]
    got = density.corrupted(0.8, 1e-7)
    want = mixture.corrupted(0.8, 1e-7)
    np.testing.assert_allclose(got.logpdf(y), want.logpdf(y), atol=1e-8)
    assert (np.abs(got.logpdf(y) - want.logpdf(y)) <= got.logpdf_error(y) + 1e-14).all()
    assert (np.abs(got.score(y) - want.score(y)) <= got.score_error(y) + 1e-13).all()


@pytest.mark.parametrize("alpha, sigma", [(1e-6, 1e6), (1e-100, 1e100), (1.0, 1e3), (0.5, 1e-9)])
def test_half_normal_under_any_noise(alpha, sigma):
    """2 N(x; 0, v) Phi(alpha x/(sigma sqrt v)), v = alpha^2 + sigma^2; noise that hides all of the law, and nearly none."""
    law = UnnormalizedDensity(lambda x: -x * x / 2, (0.0, INF), np.negative).corrupted(alpha, sigma)
    x = np.array([0.3, 1.0, -0.4, 2.5]) * max(alpha, sigma)
    x = x if sigma > alpha else np.abs(x)
    with mp.workdps(250):
        variance = mp.mpf(alpha) ** 2 + mp.mpf(sigma) ** 2
        k = mp.mpf(alpha) / (sigma * mp.sqrt(variance))
        for i, z in enumerate(map(mp.mpf, x.tolist())):
            hazard = mp.npdf(k * z) / mp.ncdf(k * z)
            want = (mp.log(2 * mp.ncdf(k * z)) + mp.log(mp.npdf(z, 0, mp.sqrt(variance))), k * hazard - z / variance,
                    -1 / variance - k * k * hazard * (k * z + hazard))
            row = x[i : i + 1, None]
            values = (law.logpdf(row)[0], law.score(row)[0, 0], law.score_divergence(row)[0])
            errors = (law.logpdf_error(row)[0], law.score_error(row)[0, 0], law.score_jacobian_error(row)[0, 0, 0])
            for value, exact, error in zip(values, want, errors, strict=True):
                assert abs(mp.mpf(float(value)) - exact) <= mp.mpf(float(error))
            assert errors[1] <= 1e-12 * (abs(values[1]) + 1 / sigma) or sigma < alpha


def test_expectations_of_a_corrupted_law():
    """E cos(2 y) e.g. for y = alpha x + sigma z: the characteristic functions multiply. And the moments."""
    law = UnnormalizedDensity(np.zeros_like, (0.0, 3.0)).corrupted(0.8, 0.5)
    value, error = law.expectation(lambda y: np.stack([np.cos(2 * y[:, 0]), y[:, 0], y[:, 0] ** 2], axis=1))
    want = [math.sin(4.8) / 4.8 * math.exp(-0.5), 1.2, law.cov[0, 0] + 1.44]
    assert (np.abs(value - want) <= error).all() and error.max() < 1e-11
    value, error = law.corrupted(0.0, 0.5).expectation(lambda y: np.cos(2 * np.pi / 0.32 / 0.5 * y[:, 0]))
    assert 0.1 < abs(value) <= error  # a wave that the finer lattice takes for a constant; it is e^{-193}
    value, error = law.expectation(lambda y: y[:, 0] ** 4)
    assert isinstance(value, float) and abs(value - (0.8**4 * 81 / 5 + 6 * 0.64 * 3 * 0.25 + 3 * 0.5**4)) <= error


def test_corruption_is_a_semigroup():
    density = UnnormalizedDensity(lambda x: 2 * x, (-0.5, 1.0))
    x = np.array([[-1.0], [0.4], [2.0]])
    twice, once = density.corrupted(0.8, 0.3).corrupted(0.6, 0.4), density.corrupted(0.48, math.hypot(0.18, 0.4))
    np.testing.assert_allclose(twice.score(x), once.score(x), rtol=1e-13)


def test_corruption_against_fifty_digits():
    """A kink and a gap: e^{-|x|} on (-1, 2), and on (3, 4)."""
    density = UnnormalizedDensity(lambda x: -np.abs(x), ((-1, 0), (0, 2), (3, 4)))
    alpha, sigma = 0.7, 0.4
    law = density.corrupted(alpha, sigma)
    with mp.workdps(40):
        for y in (-1.5, 0.1, 1.9, 5.0):
            def q(t):
                def joint(x):
                    return mp.exp(-abs(x)) * mp.npdf(t, mp.mpf(alpha) * x, mp.mpf(sigma))

                return mp.quad(joint, [-1, 0, 1, 2]) + mp.quad(joint, [3, 3.5, 4])

            mass = 2 - mp.exp(-1) - mp.exp(-2) + mp.exp(-3) - mp.exp(-4)
            assert law.logpdf([[y]])[0] == pytest.approx(float(mp.log(q(mp.mpf(y)) / mass)), abs=1e-12)
            assert law.score([[y]])[0, 0] == pytest.approx(float(mp.diff(lambda t: mp.log(q(t)), mp.mpf(y))), rel=1e-11)


def test_samples_follow_the_law():
    """n = 4e4 draws of a law with a gap and an unbounded end: the Kolmogorov distance at 40 points stays below the bound of
    Dvoretzky, Kiefer, Wolfowitz and Massart for a false alarm of 1e-9; it would catch an error of 1.7 % in any probability."""
    density = UnnormalizedDensity(lambda x: np.where(x < 2, -0.5 * np.log(x), -x), ((0, 1), (2, INF)))
    n = 40_000
    x = density.sample(n, 5)[:, 0]
    np.testing.assert_array_equal(x, density.sample(n, 5)[:, 0])
    mass = 2 + math.exp(-2)
    t = np.concatenate([np.linspace(0.01, 0.99, 20), np.linspace(2.05, 8, 20)])
    exact = np.where(t < 1, 2 * np.sqrt(t), 2 + math.exp(-2) - np.exp(-t)) / mass
    observed = (x[:, None] <= t).mean(axis=0)
    assert np.abs(observed - exact).max() <= math.sqrt(math.log(2 / 1e-9) / (2 * n))
    corrupted = density.corrupted(0.5, 0.3).sample(n, 6)
    assert abs(corrupted.mean() - 0.5 * density.mean[0]) <= 6.2 * corrupted.std() / math.sqrt(n)


def test_same_bits_for_any_number_of_threads():
    from refscore import parallel

    density = UnnormalizedDensity(lambda x: -np.cosh(x), (-1, 3))
    y = np.linspace(-2, 4, 101)[:, None]
    results = []
    for threads in (1, 3):
        with parallel(threads=threads):
            law = density.corrupted(0.8, 0.4)
            results.append(np.concatenate([law.score(y), density.sample(101, 4), law.score_jacobian(y)[:, 0]]))
    np.testing.assert_array_equal(*results)


def test_logpdf_outside_and_the_shape_of_everything():
    density = UnnormalizedDensity(lambda x: -x, ((0, 1), (2, 3)))
    assert density.dim == 1 and density.support == ((0.0, 1.0), (2.0, 3.0))
    inside = np.isfinite(density.logpdf([[-1.0], [0.0], [0.5], [1.5], [3.0]]))
    np.testing.assert_array_equal(inside, [False, True, True, False, True])
    x = np.array([[0.5], [2.5]])
    assert density.score(x).shape == (2, 1) and density.score_jacobian(x).shape == (2, 1, 1)
    for law in (density, density.corrupted(0.5, 0.5)):
        assert law.score(np.zeros((0, 1))).shape == (0, 1) and law.score_jacobian(np.zeros((0, 1))).shape == (0, 1, 1)
    value, error = density.expectation(lambda x: np.stack([x, x**2], axis=1))
    assert value.shape == error.shape == (2, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UnnormalizedDensity(lambda x: -np.log(x), (1, INF)), "not normalisable"),
        (lambda: UnnormalizedDensity(lambda x: -np.log(x), (0, 1)), "not normalisable"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, INF)), "not normalisable"),
        (lambda: UnnormalizedDensity(lambda x: x), "not normalisable"),
        (lambda: UnnormalizedDensity(lambda x: np.full_like(x, -INF), (0, 1)), "no mass"),
        (lambda: UnnormalizedDensity(lambda x: -np.cosh(x - 1e7)), "cut the support there"),
        (lambda: UnnormalizedDensity(lambda x: np.where(x > 0.5, np.nan, 0), (0, 1)), "log_p is nan at x = "),
        (lambda: UnnormalizedDensity(lambda x: np.where(x > 0.5, INF, 0.0), (0, 1)), "log_p is inf at x = "),
        (lambda: UnnormalizedDensity(lambda x: 0.0, (0, 1)), r"log_p returned shape \(\)"),
        (lambda: UnnormalizedDensity(3.0, (0, 1)), "log_p is 3.0"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1), slope=1.0), "slope is 1.0"),
        (lambda: UnnormalizedDensity(np.zeros_like, (1, 0)), "low < high"),
        (lambda: UnnormalizedDensity(np.zeros_like, ((0, 2), (1, 3))), "not overlap"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1, 2)), "pass .low, high."),
        (lambda: UnnormalizedDensity(lambda x: -np.log1p(x * x)).mean, "does not converge"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).score([[0.0]]), "not inside the support"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).score([[1.5]]), "not inside the support"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).score([0.5]), r"x\[:, None\]"),
        (lambda: UnnormalizedDensity(lambda x: np.log(x - 0.5), (0.5, 1)).score([[0.5 + 2**-53]]), "pass slope="),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).sample(3, None), "never global"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).corrupted(1.0, 0.0), "sigma is 0.0"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).corrupted(-1.0, 1.0), "alpha is -1.0"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).corrupted(1.0, 1e-17).score([[1.5], [0.3]]), "floats at x = 0.3"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).corrupted(1.0, 1e-100).score([[-1.0]]), "errors exceed float64"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).corrupted(1.0, 1.0).score([[0.0], [1e200]]), "at x = 1e.200 log q"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).expectation(lambda x: 1.0), "f returned shape"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).expectation(lambda x: x[:, 0] * np.nan), "f.x.* is nan"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).nodes(2), "at most 1"),
        (lambda: UnnormalizedDensity(np.zeros_like, (0, 1)).nodes(-1), "spacing is -1"),
        (lambda: UnnormalizedDensity(np.zeros_like, (1, 2), lambda x: x[:1]).score([[1.5], [1.6]]), "slope returned shape"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_refusals_name_the_argument_and_the_fix(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_kink_that_nobody_declared_is_seen_or_doubted():
    """log p = -|x| on one piece: at every distance from the kink the score is -1 within its error, exact from a tenth on."""
    law = UnnormalizedDensity(lambda x: -np.abs(x))
    x = 10.0 ** np.arange(-8, 1.5, 0.02)[:, None]
    score, error = law.score(x)[:, 0], law.score_error(x)[:, 0]
    assert (np.abs(score + 1) <= error).all()
    assert error[x[:, 0] > 0.2].max() < 1e-12
