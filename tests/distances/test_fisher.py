"""Fisher divergence and information against 30-digit integrals, closed forms, and what they must do under changes of variable."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore import parallel
from refscore.densities import DegenerateGaussian, Gaussian, GaussianMixture, PanelLaw, PointSet, UnnormalizedDensity
from refscore.distances import fisher, fisher_information

MIX = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
FAR = GaussianMixture([0.3, 0.7], [[-3.0], [3.0]], [0.1, 0.1])
PAIRS = {
    "two Gaussians": (Gaussian([0.3], 1.0), Gaussian([-0.2], 2.5)),
    "mixture to Gaussian": (MIX, Gaussian([0.25], 1.7)),
    "Gaussian to mixture": (Gaussian([0.25], 1.7), MIX),
    "two mixtures": (MIX, GaussianMixture([0.5, 0.2, 0.3], [[-1.2], [0.1], [1.3]], [0.3, 0.1, 0.2])),
    "almost equal": (MIX, GaussianMixture([0.3 + 1e-9, 0.7 - 1e-9], [[-1.5], [1.0]], [0.16, 0.36])),
    "other proportions, 9.5 sigma apart": (FAR, GaussianMixture([0.7, 0.3], FAR.means, FAR.covs)),
}


def mp_score(density):
    parts = [
        (mp.mpf(float(w)), mp.mpf(float(m)), mp.mpf(float(v)))
        for w, m, v in zip(density.weights, density.means[:, 0], density.covs.reshape(-1), strict=True)
    ]

    def pdf_and_score(x):
        terms = [w * mp.npdf(x, m, mp.sqrt(v)) for w, m, v in parts]
        total = sum(terms)
        return total, sum(t * (m - x) / v for t, (_, m, v) in zip(terms, parts, strict=True)) / total

    return pdf_and_score


def by_quadrature(p, q=None):
    """E_p (s_p - s_q)^2 at 30 digits by the trapezoidal rule, whose error is e^{-2 pi a/h} for a pole of the score at height a."""
    with mp.workdps(30):
        f, g = mp_score(p), mp_score(q) if q is not None else lambda x: (0, 0)

        def integrand(x):
            density, s = f(x)
            return density * (s - g(x)[1]) ** 2

        n = 250 if p is FAR else 80  # nodes a unit length: poles at 0.05, above 0.15 for the others
        return mp.fsum(integrand(mp.mpf(k) / n) for k in range(-14 * n, 14 * n + 1)) / n


LONG = ("other proportions, 9.5 sigma apart", "almost equal", "mixture to Gaussian")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in PAIRS])
def test_divergence_against_mpmath(name):
    p, q = PAIRS[name]
    exact = by_quadrature(p, q)
    tolerance = 1e-5 if name == "almost equal" else 1e-11  # equal to 1e-9: rounding leaves no more of the difference
    value, error = fisher(p, q, half=False, tolerance=tolerance)
    assert abs(mp.mpf(value) - exact) <= error <= 1e-10 * float(by_quadrature(p) + by_quadrature(q))
    half, half_error = fisher(p, q, tolerance=tolerance)
    assert (half, half_error) == (0.5 * value, 0.5 * error)


@pytest.mark.parametrize("density", [MIX, pytest.param(FAR, marks=pytest.mark.slow), Gaussian([0.4], 1.3)])
def test_information_against_mpmath(density):
    value, error = fisher_information(density)
    assert abs(mp.mpf(value) - by_quadrature(density)) <= error <= 1e-10 * value


@pytest.mark.parametrize("d", [1, 2, 5, 40])
def test_gaussians_of_any_dimension(d):
    rng = np.random.default_rng(d)
    roots, (m, n) = rng.standard_normal((2, d, d)), rng.standard_normal((2, d))
    C, D = roots @ roots.transpose(0, 2, 1) / d + 0.2 * np.eye(d)
    P, Q = np.linalg.inv(C), np.linalg.inv(D)
    want = 0.5 * np.trace((P - Q) @ C @ (P - Q)) + 0.5 * ((Q @ (m - n)) ** 2).sum()
    value, error = fisher(Gaussian(m, C), Gaussian(n, D))
    assert abs(value - want) <= error + 1e-12 * want and error <= 1e-8 * want
    value, error = fisher_information(Gaussian(m, C))
    assert abs(value - np.trace(P)) <= error + 1e-12 * np.trace(P) and error <= 1e-8 * value


@pytest.mark.parametrize("cov", [2.0, [2.0, 0.5, 1.0], np.diag([2.0, 0.5, 1.0])])
def test_all_forms_of_a_covariance(cov):
    want = np.sum(1 / np.diag(cov)) if np.ndim(cov) == 2 else np.sum(1 / (np.asarray(cov) * np.ones(3)))
    value, error = fisher_information(Gaussian([0.1, -3.0, 2.0], cov))
    assert abs(value - want) <= error <= 1e-12


@pytest.mark.parametrize("scale", [1e-150, 1e-60, 1e60, 1e150])
def test_extreme_scales(scale):
    """I scales like 1/sigma^2."""
    value, error = fisher_information(Gaussian([0.3 * scale], scale * scale))
    assert abs(value * scale * scale - 1) <= max(error * scale * scale, 1e-15) < 1e-12
    wide, unit = (Gaussian([m * s], v * s * s) for m, v, s in ((0.3, 1.0, scale), (0.3, 1.0, 1.0)))
    other, one = (Gaussian([-0.2 * s], 2.5 * s * s) for s in (scale, 1.0))
    assert fisher(wide, other)[0] * scale * scale == pytest.approx(fisher(unit, one)[0], rel=1e-13)


def test_the_error_knows_that_nodes_are_rounded():
    """A mean of 1e8 standard deviations: x itself is known to 1e-8 of one."""
    value, error = fisher_information(Gaussian([1e8 / 3], 2.0))
    assert 1e-13 < abs(value - 0.5) <= error < 1e-6


def test_equal_laws_and_bits():
    for d in (1, 2):
        rng = np.random.default_rng(d)
        p = GaussianMixture([0.4, 0.6], rng.standard_normal((2, d)), [0.5, 0.8])
        value, error = fisher(p, GaussianMixture(p.weights, p.means, p.covs))
        assert value == 0 and error < 1e-20
        with parallel(threads=1):
            one = fisher(p, Gaussian(np.zeros(d), 1.0))
        with parallel(threads=3):
            assert fisher(p, Gaussian(np.zeros(d), 1.0)) == one


mixtures = st.integers(0, 10**6).map(np.random.default_rng)


@given(rng=mixtures, shift=st.floats(-2, 2), scale=st.floats(0.2, 4))
@settings(deadline=None, max_examples=15)
def test_moving_turning_and_stretching(rng, shift, scale):
    """F(p, q) keeps its value when both laws are moved and turned alike, and is divided by c^2 when they are stretched by c."""
    w, m = rng.dirichlet([2, 2]), rng.uniform(-1, 1, (2, 2, 2))
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    covs = np.array([np.diag(rng.uniform(0.5, 1.5, 2)) for _ in range(4)]).reshape(2, 2, 2, 2)
    p, q = (GaussianMixture(w, m[i], covs[i]) for i in range(2))
    a, b = (GaussianMixture(w, scale * m[i] @ turn.T + shift, scale**2 * turn @ covs[i] @ turn.T) for i in range(2))
    before, after = fisher(p, q, tolerance=1e-9), fisher(a, b, tolerance=1e-9)
    assert abs(before[0] - scale**2 * after[0]) <= before[1] + scale**2 * after[1] + 1e-12 * before[0]


@given(rng=mixtures)
@settings(deadline=None, max_examples=15)
def test_noise_lowers_the_information(rng):
    """Stam's inequality: 1/I(x + y) >= 1/I(x) + 1/I(y) in one dimension, so that noise of variance v leaves at most 1/v."""
    p = GaussianMixture(rng.dirichlet([2, 2]), rng.uniform(-2, 2, (2, 1)), rng.uniform(0.3, 1.5, 2))
    v = rng.uniform(0.2, 2)
    clean, noisy = fisher_information(p, tolerance=1e-9)[0], fisher_information(p.corrupted(1.0, np.sqrt(v)), tolerance=1e-9)[0]
    assert 1 / noisy >= 1 / clean + v - 1e-8


def test_refusals():
    g, points = Gaussian([0.0], 1.0), PointSet([[0.0], [1.0]])
    for p, q, name in ((points, g, "p"), (g, points, "q")):
        with pytest.raises(ValueError, match=rf"{name} is a point set.*{name}\.corrupted\(alpha, sigma\)"):
            fisher(p, q)
    with pytest.raises(ValueError, match="p is a point set"):
        fisher_information(points)
    with pytest.raises(TypeError, match="p is PanelLaw, which has a score but no score_error and no score_jacobian.*p.expectation"):
        fisher(PanelLaw([-1.0, 0.0, 1.0], np.ones((2, 4))), g)
    with pytest.raises(TypeError, match="q is str: pass a density"):
        fisher(g, "normal")
    with pytest.raises(ValueError, match="p has dimension 1 and q has dimension 2"):
        fisher(g, Gaussian([0.0, 1.0], 1.0))
    with pytest.raises(TypeError, match="half is 'yes'"):
        fisher(g, g, half="yes")
    with pytest.raises(ValueError, match="max_nodes is 0"):
        fisher(MIX, g, max_nodes=0)
    with pytest.raises(ValueError, match="raise max_nodes"):
        fisher(GaussianMixture([0.5, 0.5], np.zeros((2, 9)), [1.0, 2.0]), Gaussian(np.zeros(9), 1.0))
    with pytest.raises(ValueError, match="exceeds float64: rescale"):
        fisher(g, Gaussian([0.0], 1e-300))


@pytest.mark.parametrize("sigma", [1e-2, 1e-5, 1e-8, 1e-11])
def test_information_of_a_narrow_law(sigma):
    """Data on a line, with noise: 1/(tau^2 + sigma^2) + 1/sigma^2. The corners are rounded to eps |x|, eps |x|/sigma of sigma."""
    law = DegenerateGaussian([0.5, -0.3], [[1.2], [0.7]]).corrupted(1.0, sigma)
    want = 1 + sigma**2 / (1.2**2 + 0.7**2 + sigma**2)
    assert abs(fisher_information(law)[0] * sigma**2 - want) <= 32 * np.finfo(float).eps / sigma


def test_a_law_without_nodes_serves_as_q_only():
    noisy = UnnormalizedDensity(lambda x: -(x**4)).corrupted(1.0, 0.5)
    assert fisher(Gaussian([0.0], 0.5), noisy, tolerance=1e-6, max_nodes=400)[0] > 0
    for call in (lambda: fisher(noisy, noisy), lambda: fisher_information(noisy)):
        with pytest.raises(TypeError, match="CorruptedDensity, which has a score but no quadrature nodes: as q it will do"):
            call()
