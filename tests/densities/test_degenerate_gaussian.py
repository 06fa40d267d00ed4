"""Gaussians on a subspace: what is refused, and the corrupted law against 50-digit arithmetic down to sigma = 1e-60."""

import mpmath as mp
import numpy as np
import pytest

from refscore.densities import DegenerateGaussian, Gaussian

EPS = np.finfo(float).eps
MEAN = np.array([1.0, -0.5, 0.3])
PLANE = np.array([[0.9, 0.2], [-0.4, 0.7], [0.3, 0.5]])


def exact(law, alpha, sigma, x):
    """(log p, s) of alpha x0 + sigma z at one point, straight from the definition in 400 digits."""
    with mp.workdps(400):
        factor, d = alpha * mp.matrix(law.factor.tolist()), law.dim
        cov = factor * factor.T + mp.mpf(sigma) ** 2 * mp.eye(d)
        u = mp.matrix(x.tolist()) - alpha * mp.matrix(law.mean.tolist())
        pull = mp.lu_solve(cov, u)
        return -(u.T * pull)[0] / 2 - mp.log(mp.det(cov)) / 2 - d * mp.log(2 * mp.pi) / 2, -pull


@pytest.mark.parametrize("sigma", [2.0, 1e-3, 1e-6, 1e-8, 1e-12, 1e-60])
@pytest.mark.parametrize("factor", [PLANE, PLANE[:, :1], np.column_stack([PLANE, PLANE.sum(axis=1)])], ids=["2", "1", "2 of 3"])
def test_corrupted_score_in_any_direction(factor, sigma):
    """Off the subspace the score is n/sigma^2 and n is known to eps |x|: that is the error, and no more.

    The axes are off by an angle of at most 8 d eps (d = 3), and along the subspace the slope is at most 1/S_min^2.
    """
    law = DegenerateGaussian(MEAN, factor)
    noisy = law.corrupted(0.5, sigma)  # alpha = 1/2 rounds no mean
    rng = np.random.default_rng(3)
    x = noisy.mean + 0.5 * rng.standard_normal((4, factor.shape[1])) @ factor.T + sigma * rng.standard_normal((4, 3))
    s, log_p, reach = noisy.score(x), noisy.logpdf(x), np.abs(x - noisy.mean).max()
    steepest = 1 / np.linalg.svd(0.5 * factor)[1][law.rank - 1] ** 2
    for i, row in enumerate(x):
        want_log, want = exact(law, 0.5, sigma, row)
        slack = 24 * EPS * (reach / sigma**2 + reach * steepest + np.abs(s[i]).max())
        error = max(abs(mp.mpf(float(s[i, j])) - want[j]) for j in range(3))
        assert error <= slack and error <= noisy.score_error(x[i : i + 1]).max()
        assert abs(mp.mpf(float(log_p[i])) - want_log) <= noisy.logpdf_error(x[i : i + 1])[0]


@pytest.mark.parametrize("sigma", [1.0, 1e-8, 1e-60, 1e-150])
def test_along_the_axes_the_normal_pull_is_exact(sigma):
    law = DegenerateGaussian([1.0, 0.0, 0.0], [[2.0], [0.0], [0.0]]).corrupted(0.5, sigma)
    x = np.array([[0.7, sigma, -3 * sigma]])
    np.testing.assert_allclose(law.score(x)[0], [-0.2 / (1 + sigma**2), -1 / sigma, 3 / sigma], rtol=8 * EPS)
    np.testing.assert_allclose(law.score_divergence(x), -2 / sigma**2 - 1 / (1 + sigma**2), rtol=8 * EPS)


def test_corruption_is_a_semigroup_and_alpha_0_forgets_the_data():
    law = DegenerateGaussian(MEAN, PLANE)
    twice, once = law.corrupted(0.6, 0.3).corrupted(0.5, 0.2), law.corrupted(0.3, np.hypot(0.15, 0.2))
    x = np.random.default_rng(0).standard_normal((5, 3))
    assert type(twice) is Gaussian
    assert (np.abs(twice.score(x) - once.score(x)) <= twice.score_error(x) + once.score_error(x)).all()
    np.testing.assert_allclose(law.corrupted(0.0, 2.0).score(x), -x / 4, rtol=32 * EPS)


def test_moments_expectation_and_samples():
    """n = 1e5 draws; 9 moments within 5.6 standard errors, false alarm below 2e-7 in all; all draws lie in the plane."""
    law, n = DegenerateGaussian(MEAN, PLANE), 100_000
    second, error = law.expectation(lambda x: x[:, :, None] * x[:, None, :])
    assert (np.abs(second - np.outer(MEAN, MEAN) - PLANE @ PLANE.T) <= error).all() and error.max() < 1e-11
    np.testing.assert_allclose(law.cov, PLANE @ PLANE.T, rtol=1e-15)
    x = law.sample(n, 5)
    away = x - MEAN
    products = away[:, :, None] * away[:, None, :]
    assert (np.abs(away.mean(0)) <= 5.6 * away.std(0) / np.sqrt(n)).all()
    assert (np.abs(products.mean(0) - law.cov) <= 5.6 * products.std(0) / np.sqrt(n)).all()
    normal = np.cross(PLANE[:, 0], PLANE[:, 1])
    assert np.abs(away @ normal).max() <= 100 * EPS
    np.testing.assert_array_equal(x, law.sample(n, 5))


def test_a_single_point_is_a_subspace_of_dimension_0():
    law = DegenerateGaussian([0.5, 1.0], [[0.0], [0.0]])
    assert law.rank == 0 and abs(law.expectation(lambda x: x[:, 1])[0] - 1) < 1e-14
    np.testing.assert_allclose(law.corrupted(1.0, 1e-9).score([[0.5, 1.0 + 2e-9]]), [[0.0, -2e9]], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DegenerateGaussian(MEAN, PLANE).logpdf(np.zeros((1, 3))), r"dimension 2 in 3 .* \.corrupted\(alpha, sigma\)"),
        (lambda: DegenerateGaussian(MEAN, PLANE).score(np.zeros((1, 3))), r"no score.*\.corrupted\(alpha, sigma\)"),
        (lambda: DegenerateGaussian(MEAN, PLANE).score_divergence(np.zeros((1, 3))), r"\.corrupted\(alpha, sigma\)"),
        (lambda: DegenerateGaussian(MEAN, PLANE).score_error(np.zeros((1, 3))), r"\.corrupted\(alpha, sigma\)"),
        (lambda: DegenerateGaussian(MEAN, np.eye(3)), r"use Gaussian\(mean, factor @ factor.T\)"),
        (lambda: DegenerateGaussian([0.0], np.eye(3)), r"pass \(d,\) and \(d, k\)"),
        (lambda: DegenerateGaussian(MEAN, MEAN), r"pass \(d,\) and \(d, k\)"),
        (lambda: DegenerateGaussian([np.nan, 0.0], [[1.0], [0.0]]), "mean.* is nan"),
        (lambda: DegenerateGaussian(MEAN, PLANE).corrupted(1.0, 0.0), "sigma is 0.0"),
        (lambda: DegenerateGaussian(MEAN, PLANE).corrupted(-1.0, 1.0), "alpha is -1.0"),
        (lambda: DegenerateGaussian(MEAN, PLANE).corrupted(1.0, 1e-160), "rescale the coordinates"),
    ],
)
def test_refusals_name_the_fix(make, message):
    with pytest.raises(ValueError, match=message):
        make()
