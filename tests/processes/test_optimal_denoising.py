"""The optimal denoising error against 30 digits, closed forms, and inequalities it must obey."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore import parallel
from refscore.densities import DegenerateGaussian, Gaussian, GaussianMixture, PointSet
from refscore.processes import denoising_error

MIX = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
POINTS = PointSet([[-0.8], [0.1], [1.3]], [0.2, 0.5, 0.3])


def by_quadrature(density, alpha, sigma, nodes_a_unit):
    """E (x_0 - E[x_0|x~])^2 = E x_0^2 - E (E[x_0|x~])^2 by the trapezoidal rule at 60 digits."""
    with mp.workdps(60):
        alpha, sigma = mp.mpf(alpha), mp.mpf(sigma)
        points = density.points if isinstance(density, PointSet) else density.means
        variances = np.zeros(len(points)) if isinstance(density, PointSet) else density.covs
        parts = [tuple(map(mp.mpf, map(float, part))) for part in zip(density.weights, points[:, 0], variances, strict=True)]
        total = mp.fsum(w for w, _, _ in parts)

        def explained(x):
            terms = []
            for w, m, v in parts:
                c = alpha**2 * v + sigma**2
                terms.append((w * mp.npdf(x, alpha * m, mp.sqrt(c)), m + alpha * v / c * (x - alpha * m)))
            p = mp.fsum(t for t, _ in terms)
            return mp.fsum(t * mean for t, mean in terms) ** 2 / p if p else 0

        reach = max(abs(alpha * m) + 16 * mp.sqrt(alpha**2 * v + sigma**2) for _, m, v in parts)
        step = mp.mpf(1) / nodes_a_unit
        n = int(reach / step)
        second = mp.fsum(w * (m**2 + v) for w, m, v in parts) / total
        return second - step * mp.fsum(explained(k * step) for k in range(-n, n + 1)) / total


@pytest.mark.parametrize("density", [MIX, POINTS], ids=["mixture", "points"])
@pytest.mark.parametrize(
    ("alpha", "sigma", "nodes"),
    [(1.0, 0.6, 16), (0.7, 0.9, 12), (0.4, 7.0, 3), pytest.param(1.0, 0.15, 120, marks=pytest.mark.slow)],
)
def test_against_mpmath(density, alpha, sigma, nodes):
    exact = by_quadrature(density, alpha, sigma, nodes)
    value, error = denoising_error(density, alpha, sigma)
    assert abs(mp.mpf(value) - exact) <= error <= 1e-10 * value


def test_a_change_small_by_accident():
    """Two lattices that differ by less than they err, 1e-11 of the value: seen by the rate at which those before converged."""
    points = PointSet([[0.0], [1.0], [5.0]])
    value, error = denoising_error(points, 0.9, 0.3)
    assert abs(mp.mpf(value) - by_quadrature(points, 0.9, 0.3, 60)) <= error <= 1e-11 * value


def test_small_errors_keep_their_digits():
    """Points 18 sigma apart: d - sigma^2 I(q) would be all rounding."""
    exact = by_quadrature(POINTS, 1.0, 0.05, 500)
    value, error = denoising_error(POINTS, 1.0, 0.05)
    assert 1e-20 < exact < 1e-16 and abs(mp.mpf(value) - exact) <= min(error, 1e-11 * value) and error < 0.03 * exact


@pytest.mark.parametrize("shift", [2.0**25, 2.0**33])
def test_the_error_knows_what_is_lost_far_from_the_origin(shift):
    """x~ near 2^25 is known to 4e-9 only: the value moves by more than quadrature allows, and by less than is stated."""
    points = np.array([[-0.75], [0.125], [1.25]])
    for near, far in (
        (PointSet(points), PointSet(points + shift)),
        (GaussianMixture(np.full(3, 1 / 3), points, [0.25, 0.125, 0.5]),
         GaussianMixture(np.full(3, 1 / 3), points + shift, [0.25, 0.125, 0.5])),
    ):
        value, error = denoising_error(far, 1.0, 0.6, tolerance=1e-8)
        assert 1e-13 < abs(value - denoising_error(near, 1.0, 0.6)[0]) <= error < 1e-14 * shift


@pytest.mark.parametrize("noise", [1e3, 1e5])
def test_large_noise(noise):
    """mmse = v - v^2/sigma^2 + O(v^2 m_4/sigma^4): the points' variance, told apart from it where the digits reach."""
    v = float(POINTS.cov[0, 0])
    value, error = denoising_error(POINTS, 1.0, noise, tolerance=1e-8)
    assert abs(value - (v - (v / noise) ** 2)) <= error + 10 * v * noise**-4 and error < 1e-13 * noise


@pytest.mark.parametrize("sigma", [1e-150, 1e-60, 1e-9, 1e-3, 1.0, 1e3, 1e9, 1e60, 1e150])
@pytest.mark.parametrize("d", [1, 4, 60])
def test_gaussians(d, sigma):
    rng = np.random.default_rng(d)
    lam = np.exp(rng.uniform(-3, 3, d))
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    want = float(sum(mp.mpf(sigma) ** 2 * v / (mp.mpf(0.8) ** 2 * v + mp.mpf(sigma) ** 2) for v in lam))
    for cov in (lam, (turn * lam) @ turn.T):
        value, error = denoising_error(Gaussian(rng.standard_normal(d), cov), 0.8, sigma)
        assert abs(value - want) <= max(error, 1e-13 * want) and error <= 1e-13 * want
    flat = np.where(np.arange(d + 1) < d, np.append(lam, 0), 0)
    value, error = denoising_error(DegenerateGaussian(np.zeros(d + 1), np.diag(np.sqrt(flat))[:, :d]), 0.8, sigma)
    assert abs(value - want) <= 1e-13 * want


def test_limits():
    """No noise leaves nothing; all noise leaves the variance; components far apart leave what one of them leaves."""
    for density in (MIX, POINTS):
        assert denoising_error(density, 1.0, 1e4)[0] == pytest.approx(float(density.cov[0, 0]), rel=1e-6)
        assert denoising_error(density, 1.0, 1e-4)[0] <= 1e-8
    assert denoising_error(POINTS, 1.0, 1e-3)[0] == 0.0
    assert denoising_error(MIX, 1.0, 1e-3)[0] == pytest.approx(1e-6, rel=1e-5)


mixtures = st.integers(0, 10**6).map(np.random.default_rng)


@given(rng=mixtures, alpha=st.floats(0.2, 2), sigma=st.floats(0.3, 3), c=st.floats(0.3, 3))
@settings(deadline=None, max_examples=20)
def test_order_and_scaling(rng, alpha, sigma, c):
    """More noise, more error; no more than the best linear denoiser; only alpha/sigma counts; data stretched by c give c^2."""
    w, m, v = rng.dirichlet([2, 2]), rng.uniform(-2, 2, (2, 1)), rng.uniform(0.2, 1.5, 2)
    p = GaussianMixture(w, m, v)
    value, error = denoising_error(p, alpha, sigma)
    linear, _ = denoising_error(Gaussian(p.mean, p.cov), alpha, sigma)
    more, more_error = denoising_error(p, alpha, 1.1 * sigma)
    assert 0 < value <= linear + error and value <= more + error + more_error
    same, same_error = denoising_error(p, 3 * alpha, 3 * sigma)
    assert abs(value - same) <= error + same_error
    stretched, slack = denoising_error(GaussianMixture(w, c * m, c * c * v), alpha, c * sigma)
    assert abs(stretched - c * c * value) <= slack + c * c * error + 1e-13 * stretched


def test_a_mixture_of_equal_components_is_one_component():
    g = Gaussian([0.4, -1.0], [0.7, 1.2])
    three = GaussianMixture([0.2, 0.3, 0.5], np.tile(g.means, (3, 1)), np.tile(g.covs, (3, 1)))
    value, error = denoising_error(three, 0.9, 0.8)
    assert abs(value - denoising_error(g, 0.9, 0.8)[0]) <= error <= 1e-11


def test_same_bits_for_any_number_of_threads():
    p = GaussianMixture([0.4, 0.6], [[0.1, -0.9], [1.0, 0.4]], [0.5, 0.8])
    with parallel(threads=1):
        one = denoising_error(p, 0.9, 0.8)
    with parallel(threads=3):
        assert denoising_error(p, 0.9, 0.8) == one


def test_refusals():
    with pytest.raises(ValueError, match="alpha is 0"):
        denoising_error(MIX, 0.0, 1.0)
    with pytest.raises(ValueError, match="sigma is 0"):
        denoising_error(MIX, 1.0, 0.0)
    with pytest.raises(ValueError, match="alpha = 1e.200, sigma = 1.0 x~"), np.errstate(all="ignore"):
        denoising_error(POINTS, 1e200, 1.0)
    with pytest.raises(TypeError, match="density is ndarray: pass a Gaussian"):
        denoising_error(np.zeros(3), 1.0, 1.0)
    with pytest.raises(ValueError, match="raise max_nodes"):
        denoising_error(PointSet(np.eye(9)), 1.0, 1.0)
