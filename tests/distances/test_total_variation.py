"""Total variation against 30-digit integrals, closed forms and inequalities."""

import math
import sys
import warnings

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import Gaussian, GaussianMixture, PointSet, Product, PushForward, TruncatedGaussian
from refscore.distances import _gaussian_pair, _hellinger, _nested, _tapered, kl, total_variation
from refscore.distances._gaussian_pair import gaussian_pair

EPS = np.finfo(float).eps
module = sys.modules["refscore.distances.total_variation"]  # the package's attribute is the function


def mp_pdf(density):
    parts = [
        (mp.mpf(float(w)), mp.mpf(float(m)), mp.mpf(float(v)))
        for w, m, v in zip(density.weights, density.means[:, 0], density.covs.reshape(-1), strict=True)
    ]
    return lambda x: sum(w * mp.npdf(x, m, mp.sqrt(v)) for w, m, v in parts)


def by_quadrature(p, q, low, high, step):
    """1/2 int |p - q| by mpmath, split at the sign changes that a scan finds and mpmath's root finder polishes."""
    with mp.workdps(30):
        f, g = mp_pdf(p), mp_pdf(q)
        x = [low + step * i for i in range(int((high - low) / step) + 1)]
        d = [f(u) - g(u) for u in x]
        cuts = [mp.mpf(low)]
        for left, right, a, b in zip(x, x[1:], d, d[1:], strict=False):
            if a * b < 0:
                cuts.append(mp.findroot(lambda u: f(u) - g(u), (left, right), solver="anderson", tol=1e-50))
        cuts.append(mp.mpf(high))
        pieces = zip(cuts, cuts[1:], strict=False)
        return sum(abs(mp.quad(lambda u: f(u) - g(u), mp.linspace(a, b, 5))) for a, b in pieces) / 2


MIX = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
PAIRS = {
    "two Gaussians": (Gaussian([0.3], 1.0), Gaussian([-0.2], 2.5)),
    "mixture and Gaussian": (MIX, Gaussian([0.25], 1.7)),
    "two mixtures": (MIX, GaussianMixture([0.5, 0.2, 0.3], [[-1.2], [0.1], [1.3]], [0.3, 0.05, 0.2])),
    "almost equal": (MIX, GaussianMixture([0.3 + 1e-9, 0.7 - 1e-9], [[-1.5], [1.0]], [0.16, 0.36])),
    # p exceeds q again beyond 6.2, more than 4 standard deviations out for every component: worth 1e-9
    "thin tails": (GaussianMixture([0.999, 0.001], [[0.0], [0.0]], [1.0, 1.69]), Gaussian([0.0], 1.0404)),
    "a spike": (MIX, GaussianMixture([0.3, 0.699, 0.001], [[-1.5], [1.0], [0.2]], [0.16, 0.36, 1e-6])),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in ("mixture and Gaussian", "almost equal") else ()) for n in PAIRS]
)
def test_against_mpmath(name):
    p, q = PAIRS[name]
    value, error = total_variation(p, q)
    if name == "a spike":  # split where the spike is
        windows = (-8, 0.19, 0.03), (0.19, 0.21, 2e-4), (0.21, 8, 0.03)
        exact = sum(by_quadrature(p, q, *map(mp.mpf, window)) for window in windows)
    else:
        exact = by_quadrature(p, q, -16, 16, 0.05)  # 1e-23 of the widest law is left out
    assert abs(mp.mpf(value) - exact) <= error <= 1e-12


@pytest.mark.slow
def test_many_roots():
    """A comb of 16 narrow teeth crosses a wide Gaussian 30 times; the roots are found once more by mpmath."""
    p = Gaussian([0.1], 1.0)
    q = GaussianMixture(np.full(16, 1 / 16), np.linspace(-2, 2, 16)[:, None], np.full(16, 0.0625**2))
    value, error = total_variation(p, q)
    with mp.workdps(30):
        f, g = mp_pdf(p), mp_pdf(q)
        x = [mp.mpf(i) / 400 for i in range(-1000, 1000)]  # two of the roots are 0.005 apart
        d = [f(u) - g(u) for u in x]
        cells = [(a, b) for a, b, s, t in zip(x, x[1:], d, d[1:], strict=False) if s * t < 0]
        roots = [mp.findroot(lambda u: f(u) - g(u), cell, solver="anderson", tol=1e-40) for cell in cells]
        width = mp.mpf(0.0625)

        def cdf_difference(u):
            return mp.ncdf(u - mp.mpf(0.1)) - sum(mp.ncdf((u - mp.mpf(float(m))) / width) for m in q.means[:, 0]) / 16

        steps = [mp.mpf(0), *map(cdf_difference, roots), mp.mpf(0)]
        exact = sum(abs(b - a) for a, b in zip(steps, steps[1:], strict=False)) / 2
    assert len(roots) == 30 and abs(mp.mpf(value) - exact) <= error <= 1e-12


@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-7])
def test_roots_closer_than_the_grid(gap):
    """q exceeds p = N(0, 1) only for |x| < gap (and far away): two roots within one cell of the grid.

    q's first component w N(0, s^2) has w/s = exp(gap^2 (1/s^2 - 1)/2), so it meets p at +- gap; TV is the mass by which
    q exceeds p, the lobe at 0 (of order gap^3) and the far component.
    """
    s = 0.25
    weight = s * np.exp(gap**2 / 2 * (1 / s**2 - 1))
    q = GaussianMixture([weight, 1 - weight], [[0.0], [40.0]], [s**2, 1.0])
    value, error = total_variation(Gaussian([0.0], 1.0), q)
    with mp.workdps(40):
        w, far = mp.mpf(float(q.weights[0])), mp.mpf(float(q.weights[1]))
        root = mp.sqrt(2 * mp.log(w / s) / (1 / mp.mpf(s) ** 2 - 1))
        lobe = w * mp.erf(root / s / mp.sqrt(2)) - mp.erf(root / mp.sqrt(2))
    assert abs(mp.mpf(value) - (far + lobe)) <= error <= 1e-12
    if gap == 1e-3:
        assert lobe > 1e3 * error  # so the lobe was not simply overlooked


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("shift", [1e-12, 1e-3, 1.0, 9.0, 60.0])
def test_equal_covariances(dim, shift):
    """2 Phi(delta/2) - 1, to relative accuracy."""
    rng = np.random.default_rng(dim)
    root = rng.normal(size=(dim, dim)) + 2 * np.eye(dim)
    cov, away = root @ root.T, shift * rng.normal(size=dim)
    value, error = total_variation(Gaussian(np.zeros(dim), cov), Gaussian(away, cov))
    with mp.workdps(40):
        delta = mp.sqrt((mp.matrix(away.tolist()).T * mp.inverse(mp.matrix(cov.tolist())) * mp.matrix(away.tolist()))[0])
        exact = mp.erf(delta / mp.sqrt(8))
    assert abs(mp.mpf(value) - exact) <= error <= 1e-14 * (1 + shift) * np.linalg.cond(cov) * float(exact)


@pytest.mark.parametrize("extended", [np.longdouble, np.float64])
def test_equal_covariances_of_any_condition(monkeypatch, extended):
    """C = H diag(lam) H with H = I - vv'/32, v of ones and minus ones, and lam powers of 2: C, H and a = H b are exact, and so is
    a'C^{-1}a = sum b^2/lam."""
    monkeypatch.setattr(_gaussian_pair, "_EXTENDED", extended)
    d = 64
    v = np.where(np.arange(d) % 3, 1.0, -1.0)
    k = np.arange(d) % 21
    lam, b = 0.5**k, np.where(np.arange(d) % 2, 1.0, -0.5) * 0.5 ** (5 + k // 2)
    cov = np.diag(lam) - (np.outer(v, lam * v) + np.outer(lam * v, v)) / 32 + np.outer(v, v) * lam.sum() / 32**2
    p, q = Gaussian(b - v * (v @ b) / 32, cov), Gaussian(np.zeros(d), cov)
    delta = np.sqrt((b * b / lam).sum())
    value, error = total_variation(p, q)
    assert abs(value - float(mp.erf(delta / mp.sqrt(8)))) <= error + EPS and error <= 1e-9
    value, error = kl(p, q)
    assert abs(value - delta**2 / 2) <= error <= 1e-9 * value


def test_equal_covariances_with_a_poor_solver(monkeypatch):
    """C y = a to five digits gives a'C^{-1}a to ten."""
    cov, away = np.array([[0.04, 0.01], [0.01, 0.02]]), np.array([30.0, -50.0])
    solve = scipy.linalg.cho_solve
    monkeypatch.setattr(scipy.linalg, "cho_solve", lambda factor, b: solve(factor, b) * (1 + 1e-5))
    pair = gaussian_pair(Gaussian(away, cov), Gaussian([0.0, 0.0], cov))
    exact = (0.02 * 900 + 0.02 * 1500 + 0.04 * 2500) / 7e-4
    off = abs(pair.squares[0] - exact)
    assert 1e-11 * exact < off <= pair.squares_error <= 1e-9 * exact


def test_an_error_stays_within_what_is_known():
    """1 - phi(1/2) <= TV <= sqrt(1 - phi(1/2)^2) whatever the error of a road; 1/2 +- 1/2 is no answer."""
    p, q = Gaussian([0.4, 0.0], [1.0, 2.0]), Gaussian([0.0, 0.3], 1.5)
    value, error = total_variation(p, q)
    affinity, doubt = _hellinger.log_affinity(gaussian_pair(p, q))
    assert _hellinger.within(value, error, affinity, doubt) == (value, error)
    middle, half = _hellinger.within(0.9, 7e8, affinity, doubt)
    assert abs(value - middle) <= half < 0.5 and middle - half >= 0
    near, far = _hellinger.within(0.3, 1.0, -1e-20, 0.0), _hellinger.within(0.3, 1.0, -50.0, 0.0)
    assert near == pytest.approx((7.1e-11, 7.1e-11), rel=0.01) and far == pytest.approx((1.0, 0), abs=4 * EPS)
    assert _hellinger.within(0.3, 1.0, -1e-3, 1.0) == pytest.approx((np.sqrt(-np.expm1(-2.002)) / 2,) * 2)


@pytest.mark.parametrize("value, error", [(0.3, 0.5), (1.0, 7e8), (0.0, np.nan)])
def test_what_says_nothing_is_refused(monkeypatch, value, error):
    monkeypatch.setattr(module, "_one_dimension", lambda p, q: (value, error))
    with pytest.raises(ValueError, match="says nothing.*Pinsker"):
        total_variation(MIX, Gaussian([0.0], 1.0))
    monkeypatch.setattr(module, "_one_dimension", lambda p, q: (0.6, 0.45))
    assert total_variation(MIX, Gaussian([0.0], 1.0)) == (0.6, 0.45)


@pytest.mark.parametrize("d", [1, 2, 3, 16, 1024, 10**5])
@pytest.mark.parametrize("change", [1e-13, 1e-6, 1e-2, 0.7, 30.0])
def test_isotropic_gaussians(d, change):
    """|x|^2 has chi-square laws: TV = P(d/2, a) - P(d/2, a/lam), a = d/2 lam log lam/(lam - 1), at 40 digits."""
    lam = 1 + change / np.sqrt(d)
    value, error = total_variation(Gaussian(np.full(d, 2.0), 0.25 * lam), Gaussian(np.full(d, 2.0), 0.25))
    with mp.workdps(60):
        exact_lam = mp.mpf(0.25 * lam) * 4
        a = mp.mpf(d) / 2 * exact_lam * mp.log(exact_lam) / (exact_lam - 1)
        exact = mp.gammainc(mp.mpf(d) / 2, a / exact_lam, a, regularized=True)
    assert abs(mp.mpf(value) - exact) <= error <= 4e-14 * float(exact)


@pytest.mark.parametrize("d, known", [(1, 1.2224300e-2), (64, 1.1333456e-1)])
def test_outside_numbers(d, known):
    """N(0, I/4), OU(1, sqrt 2) from p_T, T = 5, 400 exponential steps: x <- e^h x + 2 (e^h - 1) s(x) + (e^{2h} - 1)^{1/2} z."""
    h, v = 5 / 400, 0.25 * np.exp(-10) + 1 - np.exp(-10)
    for k in range(400):
        c = 1 - 0.75 * np.exp(-2 * (5 - k * h))
        v = (np.exp(h) - 2 * np.expm1(h) / c) ** 2 * v + np.expm1(2 * h)
    value, _ = total_variation(Gaussian(np.zeros(d), v), Gaussian(np.zeros(d), 0.25))
    assert value == pytest.approx(known, rel=5e-8)


def mp_plane(p, q):
    """TV of two Gaussians in the plane, in polar coordinates around p's mean.

    Along a ray log p/q is a quadratic polynomial, and between its roots both densities times r have closed integrals."""
    with mp.workdps(25):
        P, Q = (mp.inverse(mp.matrix(law.covs[0].tolist())) for law in (p, q))
        away = mp.matrix([mp.mpf(float(x)) - mp.mpf(float(y)) for x, y in zip(p.means[0], q.means[0], strict=True)])
        heights = [mp.sqrt(mp.det(M)) / (2 * mp.pi) for M in (P, Q)]

        def ray(angle):
            n = mp.matrix([mp.cos(angle), mp.sin(angle)])
            return [((n.T * P * n)[0], mp.mpf(0), mp.mpf(0)), ((n.T * Q * n)[0], (n.T * Q * away)[0], (away.T * Q * away)[0])]

        def primitive(height, a, b, c, r):
            """int_r^inf height e^{-(a x^2 + 2 b x + c)/2} x dx."""
            if r == mp.inf:
                return mp.mpf(0)
            edge = mp.exp(-(a * r * r + 2 * b * r + c) / 2)
            tail = mp.exp((b * b / a - c) / 2) * mp.sqrt(mp.pi / (2 * a)) * mp.erfc((a * r + b) / mp.sqrt(2 * a))
            return height * (edge - b * tail) / a

        def polynomial(angle):
            (a, _, _), (e, f, g) = ray(angle)
            return (e - a) / 2, f, g / 2 + mp.log(heights[0] / heights[1])  # log p/q

        def along(angle):
            A, B, C = polynomial(angle)
            discriminant = B * B - 4 * A * C
            both = [(-B + sign * mp.sqrt(discriminant)) / (2 * A) for sign in (-1, 1) if discriminant > 0 and A]
            cuts = [mp.mpf(0), *sorted(r for r in both if r > 0), mp.inf]
            values = [primitive(heights[0], *ray(angle)[0], r) - primitive(heights[1], *ray(angle)[1], r) for r in cuts]
            return sum(abs(x - y) for x, y in zip(values, values[1:], strict=False)) / 2

        breaks = [2 * mp.pi * k / 16 for k in range(17)]
        grid = [2 * mp.pi * k / 180 for k in range(181)]
        for f in (lambda t: polynomial(t)[1] ** 2 - 4 * polynomial(t)[0] * polynomial(t)[2], lambda t: polynomial(t)[0]):
            values = [f(t) for t in grid]
            breaks += [mp.findroot(f, (s, t), solver="anderson", tol=1e-30) for s, t, x, y in
                       zip(grid, grid[1:], values, values[1:], strict=False) if x * y < 0]
        return mp.quad(along, sorted(breaks), maxdegree=7)


@pytest.mark.slow
@pytest.mark.parametrize("change", [1e-6, 3.0, pytest.param(0.3, marks=pytest.mark.slow)])
def test_covariances_that_do_not_commute(change):
    base, other = np.array([[1.0, 0.4], [0.4, 0.5]]), np.array([[0.3, -0.5], [-0.5, 1.5]])
    for away in ([0.0, 0.0], [0.4, -0.7]):
        p, q = Gaussian(np.multiply(change, away), base + change * other), Gaussian([0.0, 0.0], base)
        value, error = total_variation(p, q)
        assert abs(mp.mpf(value) - mp_plane(p, q)) <= error + 1e-13 * value and error <= 1e-12 * value
        assert total_variation(q, p)[0] == pytest.approx(value, rel=1e-14)


def test_spectra_of_both_signs():
    """Variances larger and smaller, shifts where they hardly differ: whichever side the contour bends to, TV is that of the laws
    moved by one linear map, of the swapped laws, and the line itself agrees within its error."""
    rng = np.random.default_rng(3)
    turn = rng.standard_normal((4, 4))
    for ratios, shifts in (([2.0, 1 - 1e-6], [0.0, 1e-3]), ([3.0, 1 / 3], [0.0, 0.0]),
                           ([1.1, 0.9, 1.2, 0.85], [0.1, 0.0, -0.2, 0.0]), ([1 + 1e-3, 1 - 2e-9], [0.0, 0.3])):
        d = len(ratios)
        p, q = Gaussian(shifts, ratios), Gaussian(np.zeros(d), 1.0)
        value, error = total_variation(p, q)
        assert error <= 1e-13 * value and total_variation(q, p)[0] == pytest.approx(value, rel=1e-14)
        A = turn[:d, :d]
        turned = total_variation(Gaussian(A @ shifts, A * ratios @ A.T), Gaussian(np.zeros(d), A @ A.T))
        assert abs(turned[0] - value) <= turned[1] + 16 * EPS * np.linalg.cond(A) ** 2
        line = _hellinger.total_variation_of(_hellinger.of_gaussians(gaussian_pair(p, q)), bends=False)
        assert abs(line[0] - value) <= error + line[1]


def test_products_are_gaussians_and_laws_on_the_line():
    narrow, wide = Gaussian([0.2], 1.0), Gaussian([0.0], 1.3)
    value, error = total_variation(Product([narrow] * 7), Product([wide] * 7))
    joint = total_variation(Gaussian(np.full(7, 0.2), 1.0), Gaussian(np.zeros(7), 1.3))
    assert value == pytest.approx(joint[0], rel=1e-14) and error <= 1e-14
    assert total_variation(Product([MIX, narrow]), Product([MIX, wide])) == total_variation(narrow, wide)
    assert total_variation(Product([MIX, MIX]), Product([MIX, MIX])) == (0.0, 0.0)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = Product([narrow, narrow], turn), Gaussian([0.0, 0.0], [1.3, 1.1])
    tilted = Product([wide, Gaussian([0.0], 1.1)], turn)
    assert total_variation(turned[0], tilted) == total_variation(Product([narrow] * 2), turned[1])
    two = GaussianMixture(MIX.weights, [[-1.5, 0.2], [1.0, 0.2]], [[0.16, 1.0], [0.36, 1.0]])
    assert total_variation(two, Product([MIX, wide])) == total_variation(narrow, wide)
    mixed = Product([MIX, narrow, narrow]), Product([narrow, wide, narrow])
    pushed = PushForward(MIX, lambda x: x), PushForward(narrow, lambda x: x)
    value, error = total_variation(*mixed)
    same, other = total_variation(Product([pushed[0], narrow]), Product([pushed[1], wide]))
    assert abs(value - same) <= error + other and error < 1e-10


@pytest.mark.parametrize("d, known", [(2, 1e-6), (16, 1e-11), (64, 1e-11), (400, 1e-11)])
def test_products_of_factors_that_are_gaussian_in_disguise(d, known):
    """Two equal components: to the quadrature of phi the factors are mixtures."""
    p, q = Gaussian([0.0], 1.0), GaussianMixture([0.5, 0.5], [[0.03], [0.03]], [1.05, 1.05])
    value, error = total_variation(Product([p] * d), Product([q] * d))
    exact, _ = total_variation(Gaussian(np.zeros(d), 1.0), Gaussian(np.full(d, 0.03), 1.05))
    assert abs(value - exact) <= error + 1e-14 * exact and error <= known


def test_two_roads_to_products():
    """Coordinates nested, and the transform tapered; laws that have nothing in common; laws that are equal in disguise."""
    q = GaussianMixture([0.4, 0.6], [[-1.2], [0.9]], [0.2, 0.5])
    narrow, wide = Gaussian([0.2], 1.0), Gaussian([0.0], 1.3)
    nested = _nested.of_two_coordinates((MIX, q), (narrow, wide))
    tapered = _tapered.total_variation_of([(MIX, q, 1), (narrow, wide, 1)])
    assert abs(nested[0] - tapered[0]) <= nested[1] + tapered[1] and tapered[1] < 1e-10
    far = GaussianMixture([0.5, 0.5], [[1e4], [1e4 + 1]], [1.0, 2.0])
    value, error = total_variation(Product([MIX] * 3), Product([far] * 3))
    assert 1 - value <= error < 1e-10
    heavy = GaussianMixture([0.5, 0.5 + 2.0**-40], [[0.03], [0.03]], [1.05, 1.05])  # 1 + 2^-40, 400 times
    value, error = total_variation(Product([Gaussian([0.0], 1.0)] * 400), Product([heavy] * 400))
    exact, _ = total_variation(Gaussian(np.zeros(400), 1.0), Gaussian(np.full(400, 0.03), 1.05))
    assert abs(value - exact) <= error < 1e-9
    halves = GaussianMixture([0.3, 0.35, 0.35], [[-1.5], [1.0], [1.0]], [0.16, 0.36, 0.36])
    value, error = total_variation(Product([MIX] * 3), Product([halves] * 3))
    assert value <= error < 1e-10


def test_product_of_mixtures_against_a_plain_sum():
    """Midpoint rule in the plane: kinks along curves cost h^2 times their length and slope."""
    q = GaussianMixture([0.4, 0.6], [[-1.2], [0.9]], [0.2, 0.5])
    h = 0.01
    x = np.arange(-7, 7, h)[:, None] + h / 2
    f, g = np.exp(MIX.logpdf(x)), np.exp(q.logpdf(x))
    plain = sum(np.abs(a * f - b * g).sum() for a, b in zip(f, g, strict=True)) * h * h / 2
    value, error = total_variation(Product([MIX] * 2), Product([q] * 2))
    assert abs(value - plain) <= error + 1e-4 and error < 1e-11


def test_covariances_equal_up_to_rounding():
    """They are not taken for equal."""
    cov = np.array([[1.0, 0.3], [0.3, 0.5]])
    value, error = total_variation(Gaussian([0.0, 0.0], cov), Gaussian([1.0, 0.0], cov * (1 + 1e-12)))
    exact, tight = total_variation(Gaussian([0.0, 0.0], cov), Gaussian([1.0, 0.0], cov))
    assert 1e-14 < abs(value - exact) < 1e-12 and max(error, tight) < 1e-14
    value, error = total_variation(Gaussian([0.0, 0.0], cov), Gaussian([0.0, 0.0], cov * (1 + 2.0**-40)))
    change, _ = total_variation(Gaussian([0.0, 0.0], 1.0), Gaussian([0.0, 0.0], 1 + 2.0**-40))
    assert value == pytest.approx(change, rel=1e-3) and error < 1e-12 * value  # the entries of cov are rounded


def test_extremes():
    unit = Gaussian([0.0], 1.0)
    assert total_variation(MIX, GaussianMixture(MIX.weights, MIX.means, MIX.covs)) == (0.0, 0.0)
    far = GaussianMixture([0.5, 0.5], [[-1e8], [1e8]], [1e-8, 3.0])
    for other in (Gaussian([1e3], 1.0), Gaussian([1e3], 2.0), far):
        value, error = total_variation(unit, other)
        assert 1 - value <= error <= 1e-12
    value, error = total_variation(unit, Gaussian([0.0], 1e-200))
    assert 1 - value <= error <= 1e-12
    # whitened distances of 1e160 (its square overflows) and of 1e314
    for p, q in ((1e150, 0.0), (1e304, -1e304), (1e308, -1e308)):
        assert total_variation(Gaussian([p], 1e-20), Gaussian([q], 1e-20)) == (1.0, pytest.approx(0, abs=4 * EPS))
        assert total_variation(Gaussian([p, 0.0], [1e-20, 1.0]), Gaussian([q, 0.0], [1e-20, 1.0])) == (1.0, 4 * EPS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for variance in (1e-300, 1e-150, 1.0):  # 1e150, 1e75 and 1 standard deviations
            value, error = total_variation(Gaussian([0.0], variance), Gaussian([1.0], variance))
            assert value == pytest.approx(math.erf(1 / math.sqrt(8 * variance)), abs=error) and error <= 1e-14
    value, error = total_variation(Gaussian([1e150], 1e-20), Gaussian([0.0], 2e-20))
    assert 1 - value <= error <= 1e-12
    value, error = total_variation(Gaussian([0.0, 0.0], [1e-300, 1e300]), Gaussian([1.0, 0.0], [1e300, 1e-300]))
    assert 1 - value <= error <= 1e-12
    for shift in (1e-200, 1e-150, 1e-126, 1e-124, 1e-100):
        value, error = total_variation(Gaussian([shift], 1.0), Gaussian([0.0], 1.0))
        assert abs(value - shift / np.sqrt(2 * np.pi)) <= error <= 1e-113
    # a mixture that is far away, by roots, log p/q = inf
    value, error = total_variation(GaussianMixture([0.5, 0.5], [[1e150], [2e150]], [1e-20, 1e-20]), Gaussian([0.0], 2e-20))
    assert 1 - value <= error <= 1e-12
    # swapped components: the same law in another order
    value, error = total_variation(MIX, GaussianMixture(MIX.weights[::-1], MIX.means[::-1], MIX.covs[::-1]))
    assert value <= error <= 1e-12
    # sigma versus sigma (1 + e): TV ~ 2 e phi(1) = e 0.4839
    value, error = total_variation(unit, Gaussian([0.0], (1 + 1e-8) ** 2))
    assert value == pytest.approx(1e-8 * 2 * np.exp(-0.5) / np.sqrt(2 * np.pi), rel=1e-5)


@pytest.mark.parametrize("wide", [1.1, 1e8, 1e14, 1e130])
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_widths_far_apart(wide, shift):
    """The sign changes between the last grid point of the narrow law and the next of the wide one; Gaussians, one in disguise."""
    law = GaussianMixture([0.5, 0.5], [[shift], [shift]], [wide**2, wide**2])
    value, error = total_variation(Gaussian([0.0], 1.0), law)
    exact, bound = total_variation(Gaussian([0.0], 1.0), Gaussian([shift], wide**2))
    assert abs(value - exact) <= error + bound < 1e-12


@pytest.mark.slow
def test_thousands_of_components():
    """3001 Gaussians on a lattice with spacing half their width make one Gaussian, to 2 exp(-2 pi^2 4) = 1e-34."""
    step = 0.01
    centres = step * np.arange(-1500, 1501)
    weights = np.exp(-(centres**2) / 2 / 2.0)
    many = GaussianMixture(weights / weights.sum(), centres[:, None], np.full(3001, (2 * step) ** 2))
    value, error = total_variation(many, Gaussian([0.0], 2.0 + (2 * step) ** 2))
    assert value <= error + 1e-13 and error <= 1e-11
    value, error = total_variation(many, Gaussian([0.5], 2.0 + (2 * step) ** 2))
    expected, _ = total_variation(Gaussian([0.0], 2.0 + (2 * step) ** 2), Gaussian([0.5], 2.0 + (2 * step) ** 2))
    assert value == pytest.approx(expected, abs=1e-12)


@st.composite
def mixtures(draw):
    size = draw(st.integers(1, 4))
    weights = np.array(draw(st.lists(st.floats(0.05, 1), min_size=size, max_size=size)))
    means = draw(st.lists(st.floats(-3, 3), min_size=size, max_size=size))
    stds = np.array(draw(st.lists(st.floats(0.05, 2), min_size=size, max_size=size)))
    return GaussianMixture(weights / weights.sum(), np.array(means)[:, None], stds**2)


@settings(deadline=None, max_examples=12)
@given(mixtures(), mixtures(), mixtures(), st.floats(0.1, 10), st.floats(-5, 5))
def test_metric(p, q, r, scale, shift):
    """A distance in [0, 1], symmetric, with the triangle inequality, unchanged by an affine change of coordinates."""
    (pq, e1), (qr, e2), (pr, e3) = total_variation(p, q), total_variation(q, r), total_variation(p, r)
    assert 0 <= pq <= 1 and max(e1, e2, e3) < 1e-10
    assert total_variation(q, p)[0] == pytest.approx(pq, rel=0, abs=2 * e1)
    assert pr <= pq + qr + e1 + e2 + e3
    moved = [GaussianMixture(d.weights, scale * d.means + shift, scale**2 * d.covs) for d in (p, q)]
    value, error = total_variation(*moved)
    # rounding of the moved means, at most (5 + 30) eps, over the smallest width 0.05 scale
    assert value == pytest.approx(pq, rel=0, abs=error + e1 + 35 * EPS / (0.05 * min(scale, 1)))


@settings(deadline=None, max_examples=20)
@given(mixtures(), mixtures())
def test_against_a_plain_sum(p, q):
    """The midpoint rule for |p - q|: kinks cost at most slope h^2/4 each, and a lobe that was missed would show."""
    h = 1e-3
    x = np.arange(-20, 20, h)[:, None] + h / 2
    d = np.abs(np.exp(p.logpdf(x)) - np.exp(q.logpdf(x)))
    # |d'| <= 0.25/0.05^2 = 100 a law: at most 15 kinks, and the smooth part converges spectrally
    assert total_variation(p, q)[0] == pytest.approx(h * d.sum() / 2, abs=15 * 200 * h**2 / 8)


def many_spikes():
    return GaussianMixture(np.full(30_000, 1 / 30_000), np.arange(30_000.0)[:, None], np.full(30_000, 1e-7))


@pytest.mark.parametrize(
    "p, q, error, message",
    [
        (PointSet([[0.0]]), MIX, TypeError, "p is PointSet"),
        (MIX, None, TypeError, "q is NoneType"),
        (MIX, Gaussian([0.0, 0.0], 1.0), ValueError, "they must agree"),
        (GaussianMixture([0.5, 0.5], np.eye(2), [1.0, 1.0]), Gaussian([0.0, 0.0], 1.0), ValueError, "project.*Pinsker"),
        (Product([MIX, MIX]), Gaussian([0.0, 0.0], np.eye(2) + 0.1), ValueError, r"Product\(\[...\]\) on both sides"),
        (Product([MIX, TruncatedGaussian(0.0, 1.0, -1.0, 1.0)]), Product([MIX, MIX]), TypeError, "a factor is TruncatedGaussian"),
        (many_spikes(), MIX, ValueError, "components too narrow"),
    ],
)
def test_refusals(p, q, error, message):
    with pytest.raises(error, match=message):
        total_variation(p, q)
