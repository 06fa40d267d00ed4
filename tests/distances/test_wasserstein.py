"""W_2 against 50-digit closed forms, quantiles by bisection at 20 digits, all permutations, and what a metric must do."""

import itertools
import warnings

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import Gaussian, GaussianMixture, PanelLaw, PointSet, Product, PushForward, Uniform
from refscore.distances import wasserstein2

EPS = float(np.finfo(float).eps)
MIX = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])


def mp_gaussians(p, q):
    """|m|^2 + tr[A + C - 2 (A^{1/2} C A^{1/2})^{1/2}] at 60 digits, the trace of the root by eigenvalues of A C."""
    with mp.workdps(60):
        A, C = (mp.matrix((law.covs[0] if law.covs.ndim == 3 else np.eye(law.dim) * law.covs[0]).tolist()) for law in (p, q))
        roots = mp.fsum(mp.sqrt(mp.re(e)) for e in mp.eig(A * C, left=False, right=False))
        away = mp.fsum((mp.mpf(float(x)) - mp.mpf(float(y))) ** 2 for x, y in zip(p.means[0], q.means[0], strict=True))
        return mp.sqrt(away + mp.fsum(A[i, i] + C[i, i] for i in range(p.dim)) - 2 * roots)


@pytest.mark.parametrize("change", [1e-10, 1e-4, 0.3, 3.0])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
def test_gaussians_against_mpmath(form, d, change):
    """Relative accuracy, without and with a difference of the means."""
    rng = np.random.default_rng(d)
    roots = rng.standard_normal((2, d, d))
    base, other = roots[0] @ roots[0].T + 0.3 * np.eye(d), roots[1] @ roots[1].T
    covs = {"isotropic": (0.7, 0.7 + change), "diagonal": (np.diag(base), np.diag(base + change * other)),
            "full": (base, base + change * (other + other.T) / 2)}[form]
    for away in (0.0, change):
        p, q = Gaussian(np.ones(d), covs[0]), Gaussian(1 + away * rng.standard_normal(d), covs[1])
        value, error = wasserstein2(p, q)
        assert abs(mp.mpf(value) - mp_gaussians(p, q)) <= error
        assert error <= (2e-15 if form != "full" else 2e-14 * d * np.linalg.cond(base)) * value
        assert wasserstein2(q, p)[0] == pytest.approx(value, rel=1e-14 * (1 if form != "full" else np.linalg.cond(base)))


def test_covariances_almost_singular():
    """One direction of width 1e-6 and one of width 1: B is no more sensitive than the root of the smallest variance."""
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    p, q = Gaussian([0.0, 0.0], (turn * [1.0, 1e-12]) @ turn.T), Gaussian([0.0, 0.0], [2.0, 1.0])
    value, error = wasserstein2(p, q)
    assert abs(mp.mpf(value) - mp_gaussians(p, q)) <= error <= 1e-7


def mp_quantiles(p, q):
    """int (x - T(x))^2 f dx with G(T) = F(x), T by bisection."""
    with mp.workdps(20):
        def law(density):
            parts = [(mp.mpf(float(w)), mp.mpf(float(m)), mp.sqrt(mp.mpf(float(v))))
                     for w, m, v in zip(density.weights, density.means[:, 0], density.covs.reshape(-1), strict=True)]
            return (lambda x: mp.fsum(w * mp.npdf(x, m, s) for w, m, s in parts),
                    lambda x: mp.fsum(w * mp.erfc((m - x) / s / mp.sqrt(2)) / 2 for w, m, s in parts),
                    lambda x: mp.fsum(w * mp.erfc((x - m) / s / mp.sqrt(2)) / 2 for w, m, s in parts))

        (f, F, above), (_, G, beyond) = law(p), law(q)
        h, total = mp.mpf(1) / 30, mp.mpf(0)
        for k in range(-225, 225):
            x = h * (k + mp.mpf(1) / 3)
            low, target = (G, F(x)) if F(x) < mp.mpf(1) / 2 else (beyond, above(x))
            if target < mp.mpf(10) ** -22:
                continue
            left, right = mp.mpf(-15), mp.mpf(15)
            for _ in range(50):
                T = (left + right) / 2
                left, right = (T, right) if (low(T) < target) == (low is G) else (left, T)
            total += h * f(x) * (x - T) ** 2
        return mp.sqrt(total)


@pytest.mark.parametrize("q", [pytest.param(GaussianMixture([0.5, 0.5], [[-1.2], [0.9]], [0.3, 0.5]), marks=pytest.mark.slow),
                               Gaussian([0.25], 1.7)])
def test_mixtures_against_mpmath(q):
    """The trapezoidal rule in x, which sees T's steepest places at 1/30."""
    value, error = wasserstein2(MIX, q)
    assert abs(value - float(mp_quantiles(MIX, q))) <= error + 1e-13 and error <= 1e-12
    assert wasserstein2(q, MIX)[0] == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize("shift, ratio", [(0.5, 2.0), (1e-6, 1.0), (0.0, 1 + 1e-8), (30.0, 0.01), (0.0, 1e-6)])
def test_quantiles_of_gaussians_in_disguise(shift, ratio):
    """Two equal components take the way of mixtures."""
    p = GaussianMixture([0.5, 0.5], [[shift], [shift]], [ratio, ratio])
    value, error = wasserstein2(p, Gaussian([0.0], 1.0))
    exact = wasserstein2(Gaussian([shift], ratio), Gaussian([0.0], 1.0))[0]
    assert abs(value - exact) <= error <= 1e-14 * (1 + shift) * 2


def test_mass_that_crosses_a_gap():
    """Weights 0.3 and 0.7 against 0.5 and 0.5 of modes that are points, nearly: 0.2 of the mass crosses 18."""
    p, q = (GaussianMixture(w, [[-9.0], [9.0]], [1e-6, 1e-6]) for w in ([0.3, 0.7], [0.5, 0.5]))
    value, error = wasserstein2(p, q)
    assert error < 1e-6 and value == pytest.approx(np.sqrt(0.2) * 18, rel=1e-3)
    points = [PointSet([[-9.0], [9.0]], w) for w in ([0.3, 0.7], [0.5, 0.5])]
    assert wasserstein2(*points)[0] == pytest.approx(np.sqrt(0.2) * 18, rel=1e-14)


def test_push_forwards():
    """An increasing map of p is the optimal transport: W_2^2 = E (m(x) - x)^2."""
    def bent(x):
        return x + 0.3 * np.sin(x) + 0.1

    value, error = wasserstein2(PushForward(MIX, bent), MIX)
    exact = np.sqrt(MIX.expectation(lambda x: (bent(x) - x)[:, 0] ** 2)[0])
    assert abs(value - exact) <= error + 1e-11 and error < 1e-10


def test_products_and_their_axes():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    p, q = Gaussian([0.5], 2.0), Gaussian([0.0], 1.0)
    squares = 2 * wasserstein2(p, q)[0] ** 2 + wasserstein2(MIX, q)[0] ** 2
    assert wasserstein2(Product([p, p, MIX]), Product([q, q, q]))[0] == pytest.approx(np.sqrt(squares), rel=1e-14)
    turned = wasserstein2(Product([p, q], turn), Product([q, p], turn))[0]
    full = [Gaussian(turn @ m, (turn * v) @ turn.T) for m, v in (([0.5, 0.0], [2.0, 1.0]), ([0.0, 0.5], [1.0, 2.0]))]
    assert turned == pytest.approx(wasserstein2(*full)[0], rel=1e-13)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_all_permutations(d):
    rng = np.random.default_rng(d)
    x, y = rng.standard_normal((2, 6, d))
    best = min(((x - y[list(order)]) ** 2).sum() / 6 for order in itertools.permutations(range(6)))
    value, error = wasserstein2(PointSet(x), PointSet(y))
    assert abs(value - np.sqrt(best)) <= error + 4 * EPS * value and error < 1e-7
    assert wasserstein2(PointSet(x), PointSet(x[::-1].copy()))[0] == 0


def test_weights_on_the_line_by_repetition():
    """Weights k/12 are k points of weight 1/12."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((4, 1)), rng.standard_normal((3, 1))
    a, b = np.array([1, 5, 4, 2]), np.array([6, 1, 5])
    value, error = wasserstein2(PointSet(x, a / 12), PointSet(y, b / 12))
    other = np.sqrt(np.mean((np.sort(np.repeat(x, a)) - np.sort(np.repeat(y, b))) ** 2))
    assert abs(value - other) <= error + 4 * EPS and error < 1e-7


def test_rounded_weights():
    """0.1 + 0.1 + 0.1 is not 0.3: what crosses costs its root, and the error says so."""
    p = PointSet([[-1.0]] * 3 + [[1.0]] * 7, np.full(10, 0.1))
    value, error = wasserstein2(p, PointSet([[-1.0], [1.0]], [0.3, 0.7]))
    assert 0 <= value <= error < 1e-6


seeds = st.integers(0, 10**6).map(np.random.default_rng)


@pytest.mark.slow
@given(rng=seeds, shift=st.floats(-3, 3), scale=st.floats(0.1, 10))
@settings(deadline=None, max_examples=10)
def test_metric(rng, shift, scale):
    """The triangle inequality; both laws moved and stretched by c: W_2 is multiplied by c; the means are a lower bound."""
    p, q, r = (GaussianMixture(rng.dirichlet([2, 2]), rng.uniform(-1, 1, (2, 1)), rng.uniform(0.1, 1.5, 2)) for _ in range(3))
    (pq, e), (qr, f), (pr, g) = wasserstein2(p, q), wasserstein2(q, r), wasserstein2(p, r)
    assert max(e, f, g) < 1e-7 and pr <= pq + qr + e + f + g
    assert abs(p.mean[0] - q.mean[0]) <= pq + e
    moved, other = wasserstein2(*(GaussianMixture(law.weights, scale * law.means + shift, scale**2 * law.covs) for law in (p, q)))
    assert abs(moved - scale * pq) <= other + scale * e + 64 * EPS * (scale + abs(shift))


def test_refusals():
    unit = Gaussian([0.0], 1.0)
    with pytest.raises(TypeError, match="q is str: pass a law"):
        wasserstein2(unit, "normal")
    with pytest.raises(ValueError, match="p has dimension 1 and q has dimension 2"):
        wasserstein2(unit, Gaussian([0.0, 0.0], 1.0))
    with pytest.raises(ValueError, match="GaussianMixture and Gaussian in dimension 2 is not known here"):
        wasserstein2(GaussianMixture([0.5, 0.5], np.eye(2), [1.0, 1.0]), Gaussian([0.0, 0.0], 1.0))
    with pytest.raises(ValueError, match="Gaussian and Uniform"):
        wasserstein2(unit, Uniform([0.0], [1.0]))
    with pytest.raises(ValueError, match="2 and 3 points in dimension 2: pass equally many"):
        wasserstein2(PointSet(np.eye(2)), PointSet(np.ones((3, 2))))
    with pytest.raises(ValueError, match="of equal weights"):
        wasserstein2(PointSet(np.eye(2), [0.4, 0.6]), PointSet(np.eye(2)))
    with pytest.raises(ValueError, match="more than float64 can hold"):
        wasserstein2(Gaussian([1e308], 1.0), Gaussian([-1e308], 1.0))


@pytest.mark.parametrize("far", [1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("weight", [0.5, 0.3])
def test_far_modes_of_which_one_moves_by_one(weight, far):
    """sqrt of the weight of the mode that moves: F is the weight of the other one to all digits between the modes."""
    p, q = (GaussianMixture([weight, 1 - weight], [[-far], [far + step]], [1.0, 1.0]) for step in (0.0, 1.0))
    value, error = wasserstein2(p, q)
    assert abs(value - np.sqrt(1 - weight)) <= error <= 1e-12 + 1e-14 * far


def test_mass_that_crosses_a_wide_gap():
    """A tenth of it, to 2e6 away, and weights whose sums differ by rounding."""
    p = GaussianMixture([0.5, 0.5], [[-1e6], [1e6]], [1.0, 1.0])
    value, error = wasserstein2(p, GaussianMixture([0.4, 0.6], [[-1e6], [1e6]], [1.0, 1.0]))
    assert abs(value - 2e6 * np.sqrt(0.1)) <= error + 2.0 and error < 1.0  # the quantiles within the modes take away 0.9
    parts = [0.1] * 5 + [0.5 - 2.0**-54]
    q = GaussianMixture(parts, [[-1e6]] * 5 + [[1e6]], [1.0] * 6)
    value, error = wasserstein2(p, q)
    assert value <= error


def test_laws_with_a_gap_in_the_middle():
    """There both densities are 0: nothing is carried there, and the distance is that of a shift."""
    halves = np.repeat([[0.5], [0.0], [0.5]], 8, axis=1)
    p, q = PanelLaw([0.0, 1.0, 2.0, 3.0], halves), PanelLaw([0.25, 1.25, 2.25, 3.25], halves)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value, error = wasserstein2(p, q)
        assert abs(value - 0.25) <= error <= 0.002  # the panels of z end where a gap begins only to the last halving
        value, error = wasserstein2(p, p)
    assert value <= error <= 1e-13
