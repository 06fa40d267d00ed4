"""Rows that the screening leaves unsure: ties of components far out, overflow, offsets, rounded parameters.

Each case was chosen because a wrong careful path, a wrong screening bound or a wrong error bound shows there and nowhere
else. Bounds are checked from both sides: no smaller than the error at 50 digits, and not vacuous.
"""

import sys
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from mp_mixture import assert_within_bounds  # noqa: E402

from refscore.densities import GaussianMixture, PointSet  # noqa: E402


def ties(kind, d):
    """Components 0 and 1 alike, means +-(3, -4), tying on R (4, 3) exactly; a third that is wide one way and narrow the other."""
    m = np.zeros((3, d))
    m[0, :2], m[1, :2] = (3, -4), (-3, 4)
    if kind == "isotropic":
        covs = np.array([1.0, 1.0, 0.5])
    elif kind == "diagonal":
        covs = np.ones((3, d))
        covs[2, :2] = 4.0, 0.25
    else:
        covs = np.stack([np.eye(d)] * 3)
        covs[:2, :2, :2] = [[1.5, 0.0], [0.0, 1.5]]
        covs[2, :2, :2] = [[2.0, 1.2], [1.2, 1.0]]
        covs[:2, d - 1, d - 1] = 1.5
    return GaussianMixture([0.4, 0.4, 0.2], m, covs)


@pytest.mark.parametrize("d", [2, 5])
@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize("R", [100.0, 300.0, 1e6, 1e10])
def test_hard_rows_where_equal_components_tie(kind, d, R):
    density = ties(kind, d)
    rng = np.random.default_rng(0)
    x = np.zeros((12, d))
    x[:, :2] = np.floor(R * rng.uniform(0.8, 1.2, (12, 1))) * (4, 3)  # exactly on the hyperplane of the tie
    x[:, :2] += np.array((3, -4)) / 64 * rng.integers(-2, 3, (12, 1))  # a little off it
    assert_within_bounds(density, x, lambda size, row: 2e-13 * (1 + R * 1e-2) * (size + 30))
    assert (density.score_error(x) <= 1e-14 * (200 + 100 * R)).all(), (density.score_error(x) / R).max()


@pytest.mark.parametrize("kind", ["diagonal", "full"])
@pytest.mark.parametrize("R", [150.0, 1e3, 1e4])
def test_hard_rows_where_different_covariances_tie(kind, R):
    covs = np.array([[1.0, 2.0], [2.0, 1.0]])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]]) if kind == "full" else np.eye(2)
    means = np.array([[1.0, 0.25], [0.25, 1.0]])
    full = np.stack([turn @ np.diag(c) @ turn.T for c in covs])
    full = (full + full.transpose(0, 2, 1)) / 2
    density = GaussianMixture([0.3, 0.7], means @ turn.T, full if kind == "full" else covs)
    x = np.array([[R + c / R, R] for c in (-2.0, -0.7, 0.0, 0.4, 1.3, 3.0)]) @ turn.T
    slack = 1e-14 * R**2
    assert_within_bounds(density, x, lambda size, row: slack * (1 + R) ** 2)
    assert (density.score_error(x) <= 1e-14 * R**3).all()
    assert (density.logpdf_error(x) <= 2e-14 * R**2).all()


def test_reference_moves_when_the_screening_overflows():
    """|x|^2/sigma^2 = 1e320 is beyond float64: the heaviest component is not the nearest, and the reference has to move."""
    density = GaussianMixture([0.7, 0.2, 0.1], [[0.0], [1e60], [2e60]], [1e-200] * 3)
    x = np.array([[3e60]])
    assert density.logpdf(x)[0] == -np.inf
    np.testing.assert_allclose(density.score(x), [[-1e260]], rtol=1e-12)
    np.testing.assert_allclose(density.score_jacobian(x), [[[-1e200]]], rtol=1e-12)


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp <= 1024, reason="no extended range")
def test_differences_beyond_the_range_of_float64():
    density = GaussianMixture([0.7, 0.3], [[0.0, 0.0], [0.0, 0.0]], [[1e-200, 2e-200], [2e-200, 1e-200]])
    x = np.array([[3e60, 1e60], [1e60, 3e60]])
    np.testing.assert_allclose(density.score(x), [[-1.5e260, -1e260], [-1e260, -1.5e260]], rtol=1e-12)


@pytest.mark.parametrize("d", [1, 4])
def test_far_from_the_origin_nothing_is_lost(d):
    """Offset 2^30 (exact): the same scores, and bounds that stay those of an offset of one."""
    rng = np.random.default_rng(1)
    means, covs = np.round(rng.standard_normal((3, d)) * 64) / 64, np.array([0.5, 1.0, 2.0])
    x = np.round(rng.standard_normal((9, d)) * 64) / 64
    near, far = GaussianMixture([0.2, 0.3, 0.5], means, covs), GaussianMixture([0.2, 0.3, 0.5], means + 2.0**30, covs)
    assert (np.abs(near.score(x) - far.score(x + 2.0**30)) <= near.score_error(x) + far.score_error(x + 2.0**30)).all()
    assert (far.score_error(x + 2.0**30) <= 1e-12).all(), far.score_error(x + 2.0**30).max()


def test_scaling_a_density_scales_its_bounds():
    rng = np.random.default_rng(3)
    q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    c = (q * [1, 1e-4, 1e-8]) @ q.T
    density = GaussianMixture([1.0], rng.standard_normal((1, 3)), [(c + c.T) / 2])
    x = density.sample(5, 0)
    for alpha in (2.0**-20, 2.0**20):
        scaled = density.corrupted(alpha, 0.0)
        ratio = scaled.score_error(alpha * x) * alpha / density.score_error(x)
        assert (ratio > 0.99).all() and (ratio < 1.5).all(), ratio


@pytest.mark.parametrize(
    "make",
    [
        lambda m, a, s: (GaussianMixture([0.4, 0.6], m, [1e-6, 1e-6]).corrupted(a, s), mp.mpf(1e-6)),
        lambda m, a, s: (PointSet(m, [0.4, 0.6]).corrupted(a, s), mp.mpf(0)),
    ],
)
def test_rounding_of_alpha_m_is_in_the_bounds(make):
    """alpha m is rounded by 1e-8 x 1e-16, which a narrow component turns into a score error far above the rounding of the score."""
    m, alpha, sigma = np.array([[1e8 / 3], [1e8 / 7]]), 0.7, 1e-3
    law, var = make(m, alpha, sigma)
    x = alpha * m + 2e-3
    with mp.workdps(50):
        a, s = mp.mpf(alpha), mp.mpf(sigma)
        means = [mp.matrix([a * mp.mpf(float(v[0]))]) for v in m]
        covs = [mp.matrix([[a**2 * var + s**2]])] * 2
    assert_within_bounds(law, x, None, law.weights, means, covs)


FORMS = {
    "isotropic": lambda c, d: np.full(len(c), 1.0) * c,
    "diagonal": lambda c, d: np.outer(c, np.ones(d)),
    "full": lambda c, d: np.asarray(c)[:, None, None] * np.eye(d),
}


@pytest.mark.parametrize("d", [2, 3, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["diagonal", "full"])
@pytest.mark.parametrize("R", [40.0, 100.0, 300.0, 1000.0])
def test_ties_at_generic_points(kind, d, R):
    """Components 0 and 1 tie across; a third, wide one way and narrow the other, spoils the screening only."""
    m = np.zeros((3, d))
    m[0, 0], m[1, 0] = 0.5, -0.5
    c = np.ones((3, d))
    c[2, 1], c[2, 2 if d > 2 else 0] = 4.0, 0.25
    turn = np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0] if kind == "full" else np.eye(d)
    covs = c if kind == "diagonal" else np.stack([turn @ np.diag(v) @ turn.T for v in c])
    covs = covs if kind == "diagonal" else (covs + covs.transpose(0, 2, 1)) / 2
    density = GaussianMixture([0.45, 0.45, 0.1], m @ turn.T, covs)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((10, d))
    x[:, 1:] += R * rng.uniform(0.8, 1.2, (10, d - 1))
    x = x @ turn.T
    assert_within_bounds(density, x)
    if kind == "diagonal":  # entry 0 is untouched by the rounding of what lies far away across
        assert (density.score_error(x)[:, 0] <= 1e-11).all(), density.score_error(x)[:, 0].max()


def test_easy_rows_know_the_rounding_of_the_screening():
    density = GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]], [1.0, 1.0])
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.uniform(-0.5, 0.5, 40), rng.uniform(50, 58, 40)])
    assert_within_bounds(density, x)


@pytest.mark.parametrize("kind", ["isotropic", "diagonal"])
@pytest.mark.parametrize("difference", [0, 1, 3, 7])
@pytest.mark.parametrize("R", [1e2, 1e4, 1e6])
def test_nearly_equal_covariances_are_rounded_all_the_same(R, difference, kind):
    """Covariances some units in the last place apart: far out the rounding of 1/C outweighs that of their difference."""
    means = np.zeros((2, 5))
    means[0, 0], means[1, 1] = 0.5, -0.5
    variance = 1.3
    covs = FORMS[kind](np.array([variance, variance + difference * np.spacing(variance)]), 5)
    x = np.random.default_rng(1).standard_normal((6, 5))
    x *= R / np.linalg.norm(x, axis=1, keepdims=True)
    assert_within_bounds(GaussianMixture([0.4, 0.6], means, covs), x)


@pytest.mark.parametrize("d", [2, 5])
@pytest.mark.parametrize("kind", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize("away", [1e3, 1e6])
def test_a_pair_far_from_the_centre(kind, d, away):
    means = np.zeros((3, d))
    means[0, 0], means[1, 0], means[2, 0] = away + 8, away - 8, -away
    turn = np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0] if kind == "full" else np.eye(d)
    means = means @ turn.T
    density = GaussianMixture([0.3, 0.3, 0.4], means, FORMS[kind](np.full(3, 1.0), d))
    rng = np.random.default_rng(0)
    x = (means[0] + means[1]) / 2 + 0.02 * rng.standard_normal((10, d))
    assert_within_bounds(density, x)
    assert (density.score_error(x) <= 1e-10 + 1e-15 * away * (kind == "full") * 300).all(), density.score_error(x).max()


@pytest.mark.parametrize("R", [1e3, 1e4])
def test_a_tie_of_different_covariances_is_no_better_than_its_terms(R):
    density = GaussianMixture([0.3, 0.7], [[1.0, 0.3], [0.3, 1.0]], [[1.1, 2.3], [2.3, 1.1]])
    x = np.array([[R / 3 + c / R, R / 3] for c in np.linspace(-6, 6, 12)])
    assert_within_bounds(density, x)


def test_rounded_parameters_of_a_pair():
    """Points 30 sigma apart at 1e7: alpha x_i is rounded, and at the tie that moves the posterior weights."""
    alpha, sigma = 0.7, 1e-3
    for shift in range(8):
        points = np.array([[1e8 / 3 + shift / 7], [1e8 / 3 + shift / 7 + 30e-3 / 0.7]])
        law = PointSet(points, [0.4, 0.6]).corrupted(alpha, sigma)
        x = law.means.mean(0) + np.array([[-2e-5], [0.0], [3e-5]])
        with mp.workdps(50):
            a, s = mp.mpf(alpha), mp.mpf(sigma)
            assert_within_bounds(
                law, x, None, law.weights, [mp.matrix([a * mp.mpf(float(p[0]))]) for p in points], [mp.matrix([[s**2]])] * 2
            )


def test_rounded_covariances_of_a_pair():
    """alpha^2 C + sigma^2 is rounded: at |x| = 1e6 across, that moves the log-ratio by 1e-4 though C_k - C_j is 1e-13."""
    a, s = 0.7, 0.9
    for step in range(1, 9):
        density = GaussianMixture([0.5, 0.5], [[0.5, 0.0], [-0.5, 0.0]], [1.0, 1.0 + step * 1.1e-13])
        law = density.corrupted(a, s)
        x = np.array([[0.1, 1e6 / 3], [-0.2, 1e6]])
        with mp.workdps(50):
            A, S = mp.mpf(a), mp.mpf(s)
            covs = [(A**2 * mp.mpf(float(c)) + S**2) * mp.eye(2) for c in density.covs]
            means = [mp.matrix([A * mp.mpf(float(v)) for v in m]) for m in density.means]
        assert_within_bounds(law, x, None, law.weights, means, covs)
