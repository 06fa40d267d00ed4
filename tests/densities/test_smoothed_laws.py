"""Laplace, two-sided exponential and uniform laws with noise, against 50-digit arithmetic over extreme parameters."""

import sys
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from mp_smoothed import exact  # noqa: E402

from refscore.densities import Gaussian, Laplace, TwoSidedExponential, Uniform  # noqa: E402

EPS = np.finfo(float).eps


def assert_within_bounds(law, spec, x, slope_tolerance=None):
    """Log-density and score of a law in one dimension within their own bounds, its slope within ``slope_tolerance(row)``."""
    rows = np.array(x, dtype=float)[:, None]
    got = law.logpdf(rows), law.score(rows)[:, 0], law.score_divergence(rows)
    bounds = law.logpdf_error(rows), law.score_error(rows)[:, 0]
    seen = [0.0, 0.0]
    for i, point in enumerate(rows[:, 0]):
        log_p, s, slope = exact(spec, float(point))
        if np.isneginf(got[0][i]):
            assert log_p < -1.79e308
        else:
            error = abs(mp.mpf(float(got[0][i])) - log_p)
            assert error <= bounds[0][i], (point, mp.nstr(log_p, 20), got[0][i], bounds[0][i])
            seen[0] = max(seen[0], float(error / bounds[0][i]))
        error = abs(mp.mpf(float(got[1][i])) - s)
        assert error <= bounds[1][i] or error < 1e-300, (point, mp.nstr(s, 20), got[1][i], bounds[1][i])
        seen[1] = max(seen[1], float(error / max(bounds[1][i], 1e-300)))
        if slope_tolerance is not None:
            error, slack = abs(mp.mpf(float(got[2][i])) - slope), slope_tolerance(float(point)) * abs(slope)
            assert error <= slack + mp.mpf("1e-60") * s * s + mp.mpf("1e-300"), (point, mp.nstr(slope, 20), got[2][i])
    return seen


LAWS = {
    "Laplace": (Laplace(0.0, 1.0), ("exponential", 0.0, 1.0, 1.0)),
    "asymmetric": (TwoSidedExponential(0.0, 0.01, 2.0), ("exponential", 0.0, 0.01, 2.0)),
    "uniform": (Uniform(0.0, 1.0), ("uniform", 0.0, 1.0)),
}


SIGMAS = [1e-12, 0.1, 7.0, 1e6, *(pytest.param(sigma, marks=pytest.mark.slow) for sigma in (1e-6, 1e-3, 1.0, 1e3, 1e12))]


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("name", LAWS)
def test_from_the_centre_to_the_far_tails(name, sigma):
    """x down to a hundredth and up to 1e150 of noise or scale. No parameter is rounded, so the relative error of Ds is 1e-13 times
    the condition number 1 + v^2, as it carries e^{-v^2/2} inside an edge, v the distance to it in sigmas."""
    law, spec = LAWS[name]
    noisy = law.corrupted(1.0, sigma)
    near = sigma * np.array([0.0, 0.1, -0.7, 2.0, -5.5, 8.0, -30.0])
    wide = max(1.0, sigma) * np.array([0.01, 0.5, 0.9, -2.0, 5.0, -30.0, 1e2, -1e4, 1e8, 1e16])
    x = np.concatenate([near, 1.0 + near, wide, [1e100, 1e150, -1e150]])

    def tolerance(point):
        v = min(abs(point), abs(point - 1)) / sigma
        return 1e-13 * (1 + v**2 if v < 40 else 1 + sigma)

    seen = assert_within_bounds(noisy, (*spec, sigma), x, tolerance if sigma < 1e6 or name == "uniform" else None)
    assert seen[0] > 1e-3, "bounds a thousand times the error say nothing"
    rows = x[:, None]
    natural = np.abs(noisy.score(rows)) + 1 / np.sqrt(noisy.cov[0, 0])
    assert (noisy.score_error(rows) <= 1e-12 * (1 + np.minimum(np.abs(rows / sigma), 40) ** 2) * natural).all()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_random_scales_rounded_parameters_and_repeated_corruption(seed):
    """Locations off zero, factors alpha that round them, noise added twice: the bounds take the rounding into account."""
    rng = np.random.default_rng(seed)
    for _ in range(10):
        loc, (left, right) = rng.standard_normal() * 10 ** rng.uniform(-3, 3), 10 ** rng.uniform(-4, 4, 2)
        alpha, sigma, again = 10 ** rng.uniform(-2, 1), left * 10 ** rng.uniform(-4, 4), rng.uniform(0.2, 2)
        with mp.workdps(60):
            scale = mp.mpf(alpha) * mp.mpf(again)
            noise = mp.sqrt((mp.mpf(again) * mp.mpf(sigma)) ** 2 + mp.mpf(sigma) ** 2)
            uniform = Uniform(loc, loc + left)
            specs = {
                "exponential": ("exponential", scale * mp.mpf(loc), scale * mp.mpf(left), scale * mp.mpf(right), noise),
                "uniform": ("uniform", scale * mp.mpf(uniform.low[0]), scale * mp.mpf(uniform.high[0]), noise),
            }
        for law in (TwoSidedExponential(loc, left, right), uniform):
            noisy = law.corrupted(alpha, sigma).corrupted(again, sigma)
            assert type(noisy) is type(law)
            spec = specs["uniform" if law is uniform else "exponential"]
            size = np.array([float(noise), float(scale) * left, float(scale) * right])
            x = float(spec[1]) + rng.choice([-1, 1], 5) * rng.choice(size, 5) * 10 ** rng.uniform(-2, 1.5, 5)
            assert_within_bounds(noisy, spec, x)


@pytest.mark.parametrize("theta", [0.05, 1.0, 20.0])
def test_rounding_that_drifts(theta):
    """alpha = 1 - 2^-53 takes a whole unit in the last place off 1.05 where it should take half of one, and so 300 times: scale and
    width are then off by 270 roundings, the noise, just below a power of two, by few. Bounds that do not count them fail."""
    alpha, steps, sigma = 1 - 2.0**-53, 300, 1.95
    scale, width = 1.05 * 2.0 ** round(np.log2(sigma / theta)), 1.05 * 2.0 ** round(np.log2(sigma * theta))
    law, box = Laplace(0.0, scale).corrupted(1.0, sigma), Uniform(0.0, width).corrupted(1.0, sigma)
    for _ in range(steps):
        law, box = law.corrupted(alpha, 0.0), box.corrupted(alpha, 0.0)
    with mp.workdps(60):
        shrunk = mp.mpf(alpha) ** steps
        scale, width, sigma = shrunk * scale, shrunk * width, shrunk * sigma
    x = np.array([-9.0, -3.0, -1.0, 0.0, 0.4, 1.7, 5.0, 30.0])
    assert_within_bounds(law, ("exponential", mp.mpf(0), scale, scale, sigma), x)
    assert_within_bounds(box, ("uniform", mp.mpf(0), width, sigma), np.concatenate([x, float(width) + x]))


def test_where_the_forms_meet():
    """Both sides of t = 0, of t = 5 (where the continued fraction takes over) and of q = 1 (where a box counts as narrow)."""
    for theta in (0.3, 1.0, 5.0, 12.0):
        law, spec = Laplace(0.0, 1 / theta).corrupted(1.0, 1.0), ("exponential", 0.0, 1 / theta, 1 / theta, 1.0)
        x = theta + np.array([-1e-9, 0.0, -5 - 1e-9, -5 + 1e-9, 5.0, 37.0])
        assert_within_bounds(law, spec, np.concatenate([x, -x]), lambda x: 1e-13 * (1 + x * x))
    for width in (1e-9, 0.1, 1.0, 1.5, 3.0):
        law, spec = Uniform(0.0, width).corrupted(1.0, 1.0), ("uniform", 0.0, width, 1.0)
        edge = 1 / width - width / 2
        x = np.array([-edge * (1 - 1e-9), -edge * (1 + 1e-9), 0.0, width / 2, width / 2 * (1 + 1e-7), width, width + edge, 40.0])
        assert_within_bounds(law, spec, x, lambda x: 1e-13 * (1 + x * x))


def test_alpha_0_leaves_the_noise_and_wide_noise_a_gaussian():
    x = np.array([[-1.3, 0.2], [0.7, 2.5]])
    for law in (Laplace([0.3, 1.0], 2.0), TwoSidedExponential(0.1, [1.0, 2.0], 0.5), Uniform([-1.0, 0.0], 1.5)):
        noise, gaussian = law.corrupted(0.0, 0.8), Gaussian([0.0, 0.0], 0.64)
        for method in ("logpdf", "score", "score_jacobian"):
            np.testing.assert_allclose(getattr(noise, method)(x), getattr(gaussian, method)(x), rtol=1e-14)
        np.testing.assert_allclose(noise.corrupted(0.5, 0.3).score(x), -x / (0.4**2 + 0.3**2), rtol=1e-14)
        blurred = law.corrupted(1.0, 1e9)
        np.testing.assert_allclose(blurred.score(1e9 * x), -1e9 * x / 1e18, rtol=1e-8)


def test_without_noise():
    law = TwoSidedExponential([0.0, 1.0], [1.0, 2.0], 4.0)
    x = np.array([[-2.0, 3.0]])
    np.testing.assert_allclose(law.logpdf(x), [-2 - np.log(5) - 0.5 - np.log(6)], rtol=1e-15)
    np.testing.assert_array_equal(law.score(x), [[1.0, -0.25]])
    np.testing.assert_array_equal(law.score_jacobian(x), np.zeros((1, 2, 2)))
    box = Uniform([0.0, 1.0], [2.0, 4.0])
    np.testing.assert_allclose(box.logpdf([[0.0, 4.0], [1.0, 2.0], [1.0, 5.0]]), [-np.log(6), -np.log(6), -np.inf], rtol=1e-15)
    np.testing.assert_array_equal(box.score([[0.5, 2.0]]), [[0.0, 0.0]])
    halved = law.corrupted(0.5, 0.0)
    np.testing.assert_allclose(halved.score(x / 2), 2 * law.score(x), rtol=1e-15)
    # little noise changes little away from the kink
    np.testing.assert_allclose(law.corrupted(1.0, 1e-3).score(x), law.score(x), rtol=1e-14)


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_scores_fall_and_smoothing_keeps_log_concavity(left, right, sigma, seed):
    """The laws are log-concave, so their convolution with a Gaussian is: -1/sigma^2 <= Ds <= 0, s within [-1/right, 1/left]."""
    x = np.sort(np.random.default_rng(seed).standard_normal(30) * 5 * max(left, right, sigma))[:, None]
    law = TwoSidedExponential(0.0, left, right).corrupted(1.0, sigma)
    for density in (law, Uniform(0.0, left).corrupted(1.0, sigma)):
        s, slopes = density.score(x)[:, 0], density.score_divergence(x)
        assert (np.diff(s) <= density.score_error(x)[1:, 0] + density.score_error(x)[:-1, 0]).all()
        assert (slopes <= 0).all() and (slopes >= -(1 + 1e-13) / sigma**2).all()
    s = law.score(x)[:, 0]
    assert (s <= (1 + 8 * EPS) / left).all() and (s >= -(1 + 8 * EPS) / right).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Laplace(0.0, 0.0), "left must lie in"),
        (lambda: Laplace([0.0, 1.0], [1.0, 2.0, 3.0]), r"pass scalars, or arrays with one entry a coordinate"),
        (lambda: Laplace(np.nan, 1.0), "loc.* is nan"),
        (lambda: TwoSidedExponential(0.0, 1.0, -2.0), "right must lie in"),
        (lambda: TwoSidedExponential([[0.0]], 1.0, 2.0), r"shape \(d,\)"),
        (lambda: Uniform(1.0, 1.0), "low must be below high"),
        (lambda: Uniform([0.0, 2.0], 1.0), r"low\[1\] = 2.0"),
        (lambda: Uniform(0.0, 1e200), "rescale the coordinates"),
        (lambda: Laplace([0.0, 2.0], 1.0).score([[1.0, 2.0]]), r"coordinate 1, where the two sides meet .* use \.corrupted"),
        (lambda: Laplace(0.0, 1.0).score_divergence([[0.0]]), "kink"),
        (lambda: Uniform(0.0, 1.0).score([[1.0]]), r"boundary of the box or outside it; use \.corrupted\(alpha, sigma\)"),
        (lambda: Uniform(0.0, 1.0).score_error([[3.0]]), "outside it"),
        (lambda: Uniform(0.0, 1.0).corrupted(0.0, 0.0), "noise after corruption with alpha = 0.0"),
        (lambda: Uniform(0.0, 1.0).corrupted(-1.0, 1.0), "alpha is -1.0"),
        (lambda: Laplace(0.0, 1.0).corrupted(1e-200, 0.0), "left after corruption with alpha = 1e-200"),
        (lambda: Laplace(1e200, 1.0).corrupted(1e200, 1.0), "loc after corruption with alpha = 1e[+]200.* must be finite"),
        (lambda: Uniform(0.0, 1.0).corrupted(1.0, 1e-160), "rescale the coordinates"),
        (lambda: Laplace(0.0, 1.0).corrupted(1.0, 1.0).logpdf([0.0]), r"x\[:, None\]"),
        (lambda: Laplace(0.0, 1.0).nodes(1.5), "pass at most 1"),
        (lambda: Laplace(np.zeros(3), 1.0).expectation(lambda x: x[:, 0]), "dimension 3 needs more"),
        (lambda: Laplace(0.0, 1.0).expectation(lambda x: 1.0), "f returned shape"),
        (lambda: Laplace(0.0, 1.0).sample(3, None), "never global"),
    ],
)
def test_refusals_name_the_fix(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize("reach", [1e151, 1e200, 1e290])
def test_nothing_is_nan_far_beyond_what_is_promised(reach):
    x = reach * np.array([[1.0], [-1.0]])
    for law in (Laplace(0.3, 2.0), TwoSidedExponential(0.3, 1e-3, 5.0), Uniform(-1.0, 2.0)):
        for sigma in (1e-6, 1.0, 1e6, 1e150):
            noisy = law.corrupted(1.0, sigma)
            for value in (noisy.score(x), noisy.score_jacobian(x)):
                assert np.isfinite(value).all()
            for value in (noisy.logpdf(x), noisy.logpdf_error(x), noisy.score_error(x)):  # -inf, and the bound of it
                assert not np.isnan(value).any()


def test_too_far_for_float64():
    for law, x in ((Laplace(0.0, 1.0).corrupted(1.0, 1e-120), 1e200), (Uniform(0.0, 1.0).corrupted(1.0, 1e-6), 1e300)):
        with pytest.raises(OverflowError, match="rescale"):
            law.score([[x]])


@pytest.mark.parametrize("law", [Uniform(0.0, 1.0), Laplace(0.3, 0.5), Uniform([0.0, 1.0], 2.0).corrupted(0.8, 0.3)], ids=repr)
def test_the_expectation_of_nothing_is_nothing(law):
    """f = 0 everywhere meets a tolerance relative to E|f| = 0 with an error of 0; the uniform law's Fisher information is one."""
    assert law.expectation(lambda x: 0 * x[:, 0]) == (0.0, 0.0)
