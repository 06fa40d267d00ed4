"""Total variation against 30-digit integrals, closed forms and inequalities."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.distances import total_variation

EPS = np.finfo(float).eps


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


@pytest.mark.parametrize("name", PAIRS)
def test_against_mpmath(name):
    p, q = PAIRS[name]
    value, error = total_variation(p, q)
    if name == "a spike":  # split where the spike is
        windows = (-8, 0.19, 0.03), (0.19, 0.21, 2e-4), (0.21, 8, 0.03)
        exact = sum(by_quadrature(p, q, *map(mp.mpf, window)) for window in windows)
    else:
        exact = by_quadrature(p, q, -12, 12, 0.05)
    assert abs(mp.mpf(value) - exact) <= error <= 1e-12


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
    rng = np.random.default_rng(dim)
    root = rng.normal(size=(dim, dim)) + 2 * np.eye(dim)
    cov, away = root @ root.T, shift * rng.normal(size=dim)
    value, error = total_variation(Gaussian(np.zeros(dim), cov), Gaussian(away, cov))
    with mp.workdps(40):
        delta = mp.norm(mp.lu_solve(mp.matrix(np.linalg.cholesky(cov).tolist()), mp.matrix(away.tolist())))
        exact = mp.erf(delta / mp.sqrt(8))
    assert abs(mp.mpf(value) - exact) <= error + 8 * EPS * float(exact) * np.linalg.cond(cov)
    assert error <= 1e-12 * max(value, 1e-3) * np.linalg.cond(cov)
    if dim == 1 and shift > 1e-6:  # the same by roots: a second component of weight 1e-300 forbids the closed form
        general, bound = total_variation(
            GaussianMixture([1.0, 1e-300], [[0.0], [0.0]], [cov[0, 0]] * 2), Gaussian(away, cov)
        )
        assert abs(general - value) <= bound + error


def test_covariances_equal_up_to_rounding():
    cov = np.array([[1.0, 0.3], [0.3, 0.5]])
    value, error = total_variation(Gaussian([0.0, 0.0], cov), Gaussian([1.0, 0.0], cov * (1 + 1e-12)))
    exact, tight = total_variation(Gaussian([0.0, 0.0], cov), Gaussian([1.0, 0.0], cov))
    assert abs(value - exact) <= error and 1e-12 < error < 1e-11 and tight < 1e-14


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
        value, error = total_variation(Gaussian([p, 0.0], [1e-20, 1.0]), Gaussian([q, 0.0], [1e-20, 1.0]))
        assert value == 1 and error == 1  # closed form, condition 1e20: the distance is all rounding
    value, error = total_variation(Gaussian([1e150], 1e-20), Gaussian([0.0], 2e-20))  # by roots, log p/q = inf
    assert 1 - value <= error <= 1e-12
    # swapped components: the same law in another order
    value, error = total_variation(MIX, GaussianMixture(MIX.weights[::-1], MIX.means[::-1], MIX.covs[::-1]))
    assert value <= error <= 1e-12
    # sigma versus sigma (1 + e): TV ~ 2 e phi(1) = e 0.4839
    value, error = total_variation(unit, Gaussian([0.0], (1 + 1e-8) ** 2))
    assert value == pytest.approx(1e-8 * 2 * np.exp(-0.5) / np.sqrt(2 * np.pi), rel=1e-5)


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
        (Gaussian([0.0, 0.0], 1.0), Gaussian([0.0, 0.0], 2.0), ValueError, "equal covariance"),
        (GaussianMixture([0.5, 0.5], np.eye(2), [1.0, 1.0]), Gaussian([0.0, 0.0], 1.0), ValueError, "equal covariance"),
        (many_spikes(), MIX, ValueError, "components too narrow"),
    ],
)
def test_refusals(p, q, error, message):
    with pytest.raises(error, match=message):
        total_variation(p, q)
