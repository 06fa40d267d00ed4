"""Mixtures against 50-digit arithmetic: ordinary points, far tails, tiny scales and weights, nearly equal components.

The bounds are the densities' own (`logpdf_error`, `score_error`). The Jacobian has no published bound: its tolerance here
is 1e-13 times a condition number. Changing x by a relative eps moves Ds by |x| times the third derivative of log p, which
is at most |x| spread^3, and the centred sum over components adds a few eps per component; for well-scaled mixtures
(spread of the component scores <= a few units) both are below 1e-13 (1 + |x|) times the size of the Jacobian's parts.
"""

import sys
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from mp_mixture import assert_within_bounds, exact, matrices  # noqa: E402

from refscore.densities import Gaussian, GaussianMixture, PointSet  # noqa: E402


def mixture(d, kind, seed=0, count=3, scale=1.0):
    rng = np.random.default_rng(seed)
    weights = np.array([0.15, 0.25, 0.6])[:count] if count == 3 else rng.dirichlet(np.ones(count))
    means = 2 * rng.standard_normal((count, d)) + 0.5
    if kind == "isotropic":
        covs = rng.uniform(0.3, 1.5, count)
    elif kind == "diagonal":
        covs = rng.uniform(0.3, 1.5, (count, d))
    else:
        a = rng.standard_normal((count, d, d))
        covs = a @ a.transpose(0, 2, 1) + 0.2 * np.eye(d)
    return GaussianMixture(weights / weights.sum(), scale * means, scale**2 * covs)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
def test_ordinary_points_and_tails(d, kind):
    density = mixture(d, kind)
    rng = np.random.default_rng(1)
    far = [r * rng.standard_normal((1, d)) for r in (1e2, 1e4, 1e8, 1e16, 1e100, 1e150)]
    x = np.concatenate([3 * rng.standard_normal((6, d)), *far])
    spread = 1 / density._parts.spectrum.min()
    seen = assert_within_bounds(density, x, lambda size, row: 1e-13 * (size + spread) * (1 + min(np.abs(row).max(), 10)) ** 2)
    assert max(seen) > 1e-4, "bounds ten thousand times the error say nothing"


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_scales(kind, scale):
    """Everything is covariant under x -> c x; sigma = 1e-150 has variances of 1e-300."""
    density = mixture(2, kind, scale=1.2 * scale)
    x = scale * np.array([[0.3, -1.0], [2.0, 2.5], [-7.0, 1.0]])
    assert_within_bounds(density, x, lambda size, row: 1e-12 * size * 1e2)


def test_tiny_weights_matter_where_they_should():
    density = GaussianMixture([1 - 1e-300, 1e-300], [[0.0], [60.0]], [1.0, 1.0])
    x = np.array([[0.0], [20.0], [41.0], [41.513], [42.0], [60.0], [80.0]])
    assert_within_bounds(density, x, lambda size, row: 1e-11 * max(size, 1.0))
    assert density.score(np.array([[60.0]]))[0, 0] == pytest.approx(0.0, abs=1e-9)  # there the tiny component rules


def test_narrow_component_inside_a_wide_one():
    density = GaussianMixture([0.5, 0.5], [[0.0], [0.0]], [1.0, 1e-300])
    x = np.array([[0.0], [1e-150], [2e-149], [2.5e-149], [3e-149], [1e-148], [1e-3], [1.0]])
    assert_within_bounds(density, x)


def test_nearly_equal_components():
    up = np.nextafter
    density = GaussianMixture([0.3, 0.7], [[1.0, 2.0], [up(1.0, 2), 2.0]], [0.5, up(0.5, 1)])
    x = np.array([[1.0, 2.0], [3.0, -1.0], [1e5, -2e5], [1e8, 1e8], [1e16, 1e16], [1e150, -1e150]])
    assert_within_bounds(density, x, lambda size, row: 1e-13 * size)


def test_jacobian_on_the_hyperplane_far_out():
    """|x| = 1e10 where two equally wide components meet: half and half, and the curvature across is (delta/2)^2 - 1."""
    density = GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]], [1.0, 1.0])
    x = np.array([[0.0, 1e10], [0.0, -1e150], [0.25, 3e7]])
    assert_within_bounds(density, x, lambda size, row: 1e-13)


@pytest.mark.parametrize("condition", [1e4, 1e8, 1e12])
def test_ill_conditioned_covariance(condition):
    rng = np.random.default_rng(3)
    q = np.linalg.qr(rng.standard_normal((2, 3, 3)))[0]
    covs = (q * np.geomspace(1, 1 / condition, 3)) @ q.transpose(0, 2, 1)
    covs = (covs + covs.transpose(0, 2, 1)) / 2
    density = GaussianMixture([0.4, 0.6], rng.standard_normal((2, 3)), covs)
    x = np.concatenate([density.sample(4, 0), 3 * rng.standard_normal((2, 3))])
    assert_within_bounds(density, x)


@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
def test_corruption_is_exact(kind):
    """alpha x + sigma z: bounds hold for the law of the unrounded parameters alpha m, alpha^2 C + sigma^2 I, twice over."""
    density = mixture(2, kind, seed=5)
    a1, s1, a2, s2 = 0.7, 0.3, 0.9, 1e-9
    twice = density.corrupted(a1, s1).corrupted(a2, s2)
    with mp.workdps(50):
        a1, s1, a2, s2 = (mp.mpf(v) for v in (a1, s1, a2, s2))
        means = [mp.matrix([a1 * a2 * mp.mpf(float(v)) for v in m]) for m in density.means]
        covs = [(a1 * a2) ** 2 * mp.matrix(c.tolist()) + (a2**2 * s1**2 + s2**2) * mp.eye(2) for c in matrices(density.covs, 2)]
    x = np.array([[0.1, 0.2], [3.0, -1.0], [-40.0, 25.0], [1e7, 1e8]])
    assert_within_bounds(twice, x, None, density.weights, means, covs)


@pytest.mark.slow
def test_ten_thousand_components():
    rng = np.random.default_rng(7)
    density = GaussianMixture(np.full(10_000, 1e-4), 3 * rng.standard_normal((10_000, 1)), rng.uniform(0.01, 1, 10_000))
    x = np.array([[0.2], [-4.0], [30.0]])
    log_p, s, jacobian = zip(*(exact(density.weights, density.means, matrices(density.covs, 1), row) for row in x), strict=True)
    for i in range(3):
        assert abs(mp.mpf(density.logpdf(x)[i]) - log_p[i]) <= density.logpdf_error(x)[i] < 1e-8
        assert abs(mp.mpf(density.score(x)[i, 0]) - s[i][0]) <= density.score_error(x)[i, 0]
        assert abs(mp.mpf(density.score_jacobian(x)[i, 0, 0]) - jacobian[i][0, 0]) <= 1e-11 * abs(jacobian[i][0, 0]) + 1e-10


def test_point_set_is_the_ideal_denoiser():
    """The corrupted score is (alpha E[x | x~] - x~)/sigma^2 with the posterior mean summed in 50 digits."""
    rng = np.random.default_rng(2)
    points = rng.standard_normal((40, 6))
    weights = rng.dirichlet(np.ones(40))
    for alpha, sigma in ((1.0, 0.5), (0.6, 0.8), (1.0, 0.01), (0.9, 1e-6)):
        corrupted = PointSet(points, weights).corrupted(alpha, sigma)
        x = np.concatenate([corrupted.sample(2, 1), 5 * rng.standard_normal((1, 6))])
        got, bound = corrupted.score(x), corrupted.score_error(x)
        with mp.workdps(50):
            a, s2 = mp.mpf(alpha), mp.mpf(sigma) ** 2
            for i, row in enumerate(x):
                logs = [mp.log(mp.mpf(w)) - sum((mp.mpf(u) - a * mp.mpf(v)) ** 2 for u, v in zip(row, p, strict=True)) / (2 * s2)
                        for w, p in zip(weights, points, strict=True)]
                top = max(logs)
                r = [mp.exp(v - top) for v in logs]
                for j in range(6):
                    mean = sum(rk * mp.mpf(p[j]) for rk, p in zip(r, points, strict=True)) / sum(r)
                    want = (a * mean - mp.mpf(row[j])) / s2
                    assert abs(mp.mpf(got[i, j]) - want) <= bound[i, j] <= 1e-8 / sigma**2
    assert np.isfinite(corrupted.logpdf(x)).all()


def test_overflow_is_infinity_or_refused_never_nan():
    density = Gaussian([0.0], 1e-300)
    assert density.logpdf(np.array([[1e150]]))[0] == -np.inf  # -5e599, beyond float64: documented
    mixture = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], [[1e-300, 1.0], [1.0, 1e-300]])
    x = np.array([[1e150, 1e150]])
    for method in (mixture.logpdf, mixture.score, mixture.score_jacobian, mixture.score_divergence):
        try:
            assert not np.isnan(method(x)).any()
        except OverflowError as error:
            assert "rescale" in str(error)


@pytest.mark.parametrize("K", [1, 2])
def test_parts_beyond_float64_with_opposite_signs_are_refused(K):
    """Along the axes of C^{-1} the score is (inf, -inf): turned back, their sum is no number."""
    covs = np.full((K, 1, 1), 1e-300) * [[2.0, 1.0], [1.0, 2.0]]
    density = GaussianMixture(np.full(K, 1 / K), np.arange(2.0 * K).reshape(K, 2), covs)
    with pytest.raises(OverflowError, match=r"at x = \[1\.e\+20 0\.e\+00\] .*opposite signs.*rescale"):
        density.score([[0.5, 0.5], [1e20, 0.0]])
    assert density.logpdf([[1e20, 0.0]])[0] == -np.inf


def test_a_component_out_of_reach_may_overflow():
    """|x - m|/variance = 1e310 of a component whose posterior weight is 0: 0 times inf must not come in."""
    density, x = GaussianMixture([0.5, 0.5], [[0.0], [1e10]], [1.0, 1e-300]), np.array([[0.3], [-0.2]])
    np.testing.assert_array_equal(density.score_jacobian(x), np.full((2, 1, 1), -1.0))
    np.testing.assert_array_equal(density.score_divergence(x), [-1.0, -1.0])
    np.testing.assert_array_equal(density.score(x), -x)


@pytest.mark.parametrize("K", [1, 2])
def test_no_rows(K):
    density, x = GaussianMixture(np.full(K, 1 / K), np.arange(2.0 * K).reshape(K, 2), np.ones(K)), np.empty((0, 2))
    shapes = [f(x).shape for f in (density.logpdf, density.score, density.score_jacobian, density.score_divergence)]
    assert shapes == [(0,), (0, 2), (0, 2, 2), (0,)]


@pytest.mark.parametrize("far", [50.0, 1e3, 1e8])
@pytest.mark.parametrize("kind", ["isotropic", "full"])
def test_half_way_between_distant_components(far, kind):
    """Where two posterior weights are comparable, (x - m_j) + (x - m_k) cancels: its roundings decide the score."""
    rng = np.random.default_rng(int(far))
    for d in (1, 2, 4):
        means = far * rng.standard_normal((2, d))
        if kind == "full":
            a = rng.standard_normal((d, d))
            covs = np.stack([a @ a.T + 0.5 * np.eye(d)] * 2)
        else:
            covs = np.ones(2)
        density = GaussianMixture([0.4, 0.6], means, covs)
        middle = means.mean(axis=0)
        x = np.concatenate([middle + 0.02 / far * rng.standard_normal((5, d)), [middle]])
        assert_within_bounds(density, x)


@pytest.mark.parametrize("sigma", [1e-8, 1e-9, 1e-12])
def test_rounded_means_matter_when_sigma_is_tiny(sigma):
    """0.7 times the point is rounded: at sigma = 1e-9 that is 0.1 sigma, and the log-density at the mean knows it."""
    point, alpha = 1e6 + 0.1 if sigma > 1e-10 else 1.2, 0.7
    law = PointSet([[point]]).corrupted(alpha, sigma)
    with mp.workdps(50):
        means, covs = [mp.matrix([mp.mpf(alpha) * mp.mpf(point)])], [mp.matrix([[mp.mpf(sigma) ** 2]])]
    assert_within_bounds(law, law.means, None, [1.0], means, covs)


@pytest.mark.parametrize(
    ("weights", "means", "covs", "x"),
    [
        ([0.5, 0.5], [[0.0], [0.0]], [1.0, 1e-300], [[1.0], [0.0], [1e-149]]),
        ([0.5, 0.5], [[0.0], [1e20]], [1.0, 1e-300], [[0.5], [1e20]]),
        ([0.5, 0.5], [[0.0], [1e150]], [1.0, 1e-100], [[0.5], [-3.0]]),
        ([0.5, 0.5], [[0.0] * 5, [1e20] * 5], [1.0, 1e-300], [[0.5] * 5]),
        ([0.4, 0.3, 0.3], [[0.0] * 4, [10.2, 0, 0, 0], [1e7, 0, 0, 0]], [1.0, 1.0, 1.0], [[0.0] * 4]),
        ([1.0], [[0.0] * 3], [[1.0851105699191371e-86, 4.152073437014981e-149, 2.2195297976374597e234]], [[0.0] * 3]),
        ([0.5, 0.5], [[0.0, 0.0], [1e-31, 0.0]], [5.14e-200 * np.eye(2)] * 2, [[1e-31, 2e-31], [0.0, 0.0]]),
    ],
)
def test_wide_ranges_of_scale(weights, means, covs, x):
    """Components whose scales differ by up to 150 orders of magnitude: plain answers, finite bounds, no overflow."""
    density = GaussianMixture(weights, means, covs)
    x = np.array(x)
    assert_within_bounds(density, x)
    assert np.isfinite(density.score_error(x)).all() and np.isfinite(density.logpdf_error(x)).all()
    trace = np.trace(density.score_jacobian(x), axis1=1, axis2=2)
    np.testing.assert_allclose(density.score_divergence(x), trace, rtol=1e-12)


def test_a_tiny_alpha_keeps_its_digits():
    law = Gaussian([0.0], 1e300).corrupted(1e-160, 0.0)  # variance 1e-20 by way of 1e-320, were alpha squared first
    with mp.workdps(50):
        covs = [mp.matrix([[mp.mpf(1e-160) ** 2 * mp.mpf(1e300)]])]
        assert_within_bounds(law, np.array([[1e-10]]), None, [1.0], [mp.matrix([0])], covs)


def test_components_of_weight_zero_are_not_there():
    """In every form and dimension, next to the same mixture without them."""
    for d in (2, 5):
        means = np.vstack([np.zeros(d), np.ones(d), 1e6 * np.ones(d)])
        with_zero = GaussianMixture([0.4, 0.6, 0.0], means, [1.0, 0.5, 1e-12])
        without = GaussianMixture([0.4, 0.6], means[:2], [1.0, 0.5])
        x = np.concatenate([np.random.default_rng(0).standard_normal((4, d)), means, [[1e9] * d]])
        assert (np.abs(with_zero.score(x) - without.score(x)) <= with_zero.score_error(x) + without.score_error(x)).all()
        assert (np.abs(with_zero.logpdf(x) - without.logpdf(x)) <= with_zero.logpdf_error(x) + without.logpdf_error(x)).all()
