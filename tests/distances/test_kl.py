"""KL divergences against 50-digit closed forms and 40-digit integrals, and under changes of variable and noise."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore import parallel
from refscore.densities import (
    DegenerateGaussian,
    Gaussian,
    GaussianMixture,
    PointSet,
    Product,
    PushForward,
    TruncatedGaussian,
    UnnormalizedDensity,
)
from refscore.distances import kl

EPS = float(np.finfo(float).eps)
MIX = GaussianMixture([0.25, 0.75], [[-1.5], [1.0]], [0.16, 0.36])


def mp_gaussians(p, q):
    """1/2 [tr C_q^{-1} C_p - d + log det C_q/C_p + |m|^2] at 80 digits, so that 50 are left of a difference of 1e-15."""
    with mp.workdps(80):
        full = [mp.matrix((d.covs[0] if d.covs.ndim == 3 else np.eye(d.dim) * d.covs[0]).tolist()) for d in (p, q)]
        away = mp.matrix([mp.mpf(float(a)) - mp.mpf(float(b)) for a, b in zip(p.means[0], q.means[0], strict=True)])
        ratio = mp.inverse(full[1]) * full[0]
        trace = mp.fsum(ratio[i, i] for i in range(p.dim))
        return (trace - p.dim - mp.log(mp.det(ratio)) + (away.T * mp.inverse(full[1]) * away)[0]) / 2


def mp_mixtures(p, q, nodes=60, reach=12):
    """int p log p/q - p + q by the trapezoidal rule at 40 digits."""
    with mp.workdps(40):
        def pdf(law):
            parts = [(mp.mpf(float(w)), mp.mpf(float(m)), mp.sqrt(mp.mpf(float(v))))
                     for w, m, v in zip(law.weights, law.means[:, 0], law.covs.reshape(-1), strict=True)]
            return lambda x: mp.fsum(w * mp.npdf(x, m, s) for w, m, s in parts)

        f, g = pdf(p), pdf(q)
        total = mp.mpf(0)
        for k in range(-reach * nodes, reach * nodes + 1):
            a, b = f(mp.mpf(k) / nodes), g(mp.mpf(k) / nodes)
            total += a * mp.log(a / b) - a + b
        return total / nodes


@pytest.mark.parametrize("change", [1e-14, 1e-9, 1e-4, 0.3, 3.0, 1e4])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("form", ["isotropic", "diagonal", "full"])
def test_gaussians_against_mpmath(form, d, change):
    """Relative accuracy: KL is of order change^2, down to 1e-28."""
    rng = np.random.default_rng(d)
    roots = rng.standard_normal((2, d, d))
    base, turn = roots[0] @ roots[0].T + 0.3 * np.eye(d), roots[1] @ roots[1].T
    covs = {"isotropic": (0.7, 0.7 * (1 + change)), "diagonal": (np.diag(base), np.diag(base) + change * np.diag(turn)),
            "full": (base, base + change * (turn + turn.T) / 2)}[form]
    m = rng.standard_normal(d)
    p, q = Gaussian(m, covs[0]), Gaussian(m + change * rng.standard_normal(d), covs[1])
    for a, b in ((p, q), (q, p)):
        exact = mp_gaussians(a, b)
        value, error = kl(a, b)
        assert abs(mp.mpf(value) - exact) <= error
        assert error <= 1e-14 * (1 if form != "full" else 40 * d * np.linalg.cond(base)) * float(exact)


@pytest.mark.parametrize("d, form", [(1024, "isotropic"), (10**5, "isotropic"), (512, "diagonal"), (300, "full")])
def test_many_dimensions(d, form):
    rng = np.random.default_rng(7)
    spread = rng.uniform(0.5, 2, d)
    covs = (0.25, 0.26) if form == "isotropic" else (spread, spread * 1.01)
    if form == "full":
        covs = np.diag(covs[0]), np.diag(covs[1])
    value, error = kl(Gaussian(np.full(d, 0.1), covs[0]), Gaussian(np.full(d, 0.1), covs[1]))
    e = (0.25 - 0.26) / 0.26 if form == "isotropic" else 1 / 1.01 - 1
    with mp.workdps(40):
        exact = d * (mp.mpf(e) - mp.log(1 + mp.mpf(e))) / 2
    assert abs(value - float(exact)) <= error + 64 * EPS * value and error <= 1e-11 * value


def test_covariances_that_do_not_commute_and_are_graded():
    """Standard deviations from 1e-5 to 1e5: units do not matter, and p's lie across q's."""
    scale = np.array([1e-5, 1.0, 1e5])
    a = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 3.0]])
    b = np.array([[1.0, -0.6, 0.2], [-0.6, 2.0, 0.4], [0.2, 0.4, 1.0]])
    p, q = (Gaussian([0.0, 0.0, 0.0], c * np.outer(scale, scale)) for c in (a, b))
    value, error = kl(p, q)
    assert abs(mp.mpf(value) - mp_gaussians(p, q)) <= error <= 1e-11


PAIRS = {
    "to a Gaussian": (MIX, Gaussian([0.25], 1.7)),
    "from a Gaussian": (Gaussian([0.25], 1.7), MIX),
    "two mixtures": (MIX, GaussianMixture([0.5, 0.25, 0.25], [[-1.2], [0.1], [1.3]], [0.3, 0.1, 0.2])),
    "apart": (MIX, GaussianMixture([0.5, 0.5], [[-4.0], [5.0]], [0.3, 0.2])),
    "nearly equal": (MIX, GaussianMixture([0.25 + 2.0**-20, 0.75 - 2.0**-20], [[-1.5], [1.0 + 1e-6]], [0.16, 0.36])),
    "closer": (MIX, GaussianMixture([0.25, 0.75], [[-1.5], [1.0 + 1e-10]], [0.16, 0.36])),
    "masses that are not quite one": (MIX, GaussianMixture([0.5, 0.5 + 2.0**-40], [[-1.2], [1.1]], [0.3, 0.5])),
    "a little mass far away": (MIX, GaussianMixture([0.25, 0.75 - 2.0**-30, 2.0**-30], [[-1.5], [1.0], [7.0]], [0.16, 0.36, 0.04])),
}


LONG = ("apart", "closer", "nearly equal", "from a Gaussian")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in PAIRS])
def test_mixtures_against_mpmath(name):
    p, q = PAIRS[name]
    exact = mp_mixtures(p, q)
    value, error = kl(p, q)
    assert abs(mp.mpf(value) - exact) <= error
    assert error <= 2e-10 * float(exact) + 2e-12 * float(mp.sqrt(exact))


@pytest.mark.parametrize("more", [9e-13, -9e-13])
def test_masses_are_taken_as_given(more):
    """KL(p || (1 + e) q) = KL - log(1 + e) + e and KL((1 + e) p || q) = KL + e KL, both to e^2: on the same nodes, to a few eps."""
    p, q = PAIRS["two mixtures"]
    heavier = [GaussianMixture((1 + more) * law.weights, law.means, law.covs) for law in (p, q)]
    value = kl(p, q)[0]
    assert abs(kl(p, heavier[1])[0] - value) <= 16 * EPS
    assert abs(kl(heavier[0], q)[0] - value * (1 + more)) <= 16 * EPS


def test_far_from_the_origin():
    """At 1e8 nodes are rounded to 1e-8, and the error says so."""
    far = [GaussianMixture(law.weights, law.means + 1e8, law.covs) for law in PAIRS["two mixtures"]]
    (value, error), (exact, doubt) = kl(*far, tolerance=1e-6), kl(*PAIRS["two mixtures"])
    assert abs(value - exact) <= error + doubt and 1e-10 < error < 1e-5


@pytest.mark.parametrize("d", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_mixtures_in_several_dimensions(d):
    """q turned and moved: KL of both is that of both turned back; and nearly equal laws keep their digits."""
    rng = np.random.default_rng(d)
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    w, means, covs = [0.5, 0.5], rng.uniform(-1, 1, (2, d)), np.stack([np.eye(d), 0.5 * np.eye(d)])
    p, q = GaussianMixture(w, means, [1.0, 0.5]), GaussianMixture([1.0], np.zeros((1, d)), np.array([[2.0] * d]))
    turned = GaussianMixture(w, means @ turn.T, covs), Gaussian(np.zeros(d), 2 * np.eye(d))
    (one, e), (other, f) = kl(p, q, tolerance=1e-9), kl(*turned, tolerance=1e-9)
    assert abs(one - other) <= e + f + 1e-14 and e <= 2e-9 * one
    near = [kl(p, GaussianMixture(w, means + h, [1.0, 0.5]), tolerance=1e-6) for h in (1e-3, 1e-5)]
    assert near[0][0] / near[1][0] == pytest.approx(1e4, rel=1e-2) and near[1][1] <= 2e-5 * near[1][0]


def test_laws_given_by_their_logarithm():
    quartic = UnnormalizedDensity(lambda x: -(x**4) + x)
    with mp.workdps(30):
        z = mp.quad(lambda x: mp.exp(-(x**4) + x), [-6, -1, 0, 1, 6])
        exact = mp.quad(lambda x: mp.exp(-(x**4) + x) / z * (-(x**4) + x - mp.log(z) - mp.log(mp.npdf(x, 0, 1))), [-6, -1, 0, 1, 6])
    value, error = kl(quartic, Gaussian([0.0], 1.0))
    assert abs(value - float(exact)) <= error <= 1e-11


def test_products_add_up():
    unit, wide = Gaussian([0.0], 1.0), Gaussian([0.3], 2.0)
    p, q = Product([MIX, unit, unit]), Product([unit, wide, wide])
    value, error = kl(p, q)
    want = kl(MIX, unit)[0] + 2 * kl(unit, wide)[0]
    assert abs(value - want) <= error <= 1e-11
    mixed, error = kl(GaussianMixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], [1.0, 1.0]), Product([unit, unit]))
    assert abs(mixed - kl(GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [1.0, 1.0]), unit)[0]) <= 2 * error <= 1e-10


seeds = st.integers(0, 10**6).map(np.random.default_rng)


@given(rng=seeds, shift=st.floats(-3, 3), scale=st.floats(0.1, 10), noise=st.floats(0.1, 2))
@settings(deadline=None, max_examples=15)
def test_moving_stretching_and_noise(rng, shift, scale, noise):
    """KL keeps its value when both laws are moved and stretched alike; noise lowers it, to no less than zero."""
    w, m, v = rng.dirichlet([2, 2], 2), rng.uniform(-1, 1, (2, 2, 1)), rng.uniform(0.3, 1.5, (2, 2))
    p, q = (GaussianMixture(w[i], m[i], v[i]) for i in range(2))
    value, error = kl(p, q, tolerance=1e-9)
    moved, other = kl(*(GaussianMixture(w[i], scale * m[i] + shift, scale**2 * v[i]) for i in range(2)), tolerance=1e-9)
    assert abs(value - moved) <= error + other + 64 * EPS * (1 + abs(shift) / scale)
    noisy, doubt = kl(p.corrupted(1.0, noise), q.corrupted(1.0, noise), tolerance=1e-9)
    assert -doubt <= noisy <= value + error + doubt


def test_equal_laws_and_bits():
    assert kl(MIX, GaussianMixture(MIX.weights, MIX.means, MIX.covs)) == (0.0, 0.0)
    assert kl(Gaussian([1.0, 2.0], np.eye(2)), Gaussian([1.0, 2.0], np.eye(2)))[0] == 0.0
    results = []
    for threads in (1, 3):
        with parallel(threads=threads):
            results.append(kl(MIX, Gaussian([0.1], 1.0)))
    assert results[0] == results[1]


def test_refusals():
    unit = Gaussian([0.0], 1.0)
    for p, q, name in ((PointSet([[0.0]]), unit, "p"), (unit, PointSet([[0.0]]), "q")):
        with pytest.raises(ValueError, match=rf"{name} is PointSet.*KL is infinite. Pass {name}\.corrupted\(alpha, sigma\)"):
            kl(p, q)
    with pytest.raises(ValueError, match="p is DegenerateGaussian"):
        kl(DegenerateGaussian([0.0, 0.0], [[1.0], [1.0]]), Gaussian([0.0, 0.0], 1.0))
    with pytest.raises(ValueError, match="q vanishes.*infinite or too large.*q.corrupted"):
        kl(unit, TruncatedGaussian(0.0, 1.0, -1.0, 1.0))
    with pytest.raises(TypeError, match="q is str: pass a density"):
        kl(unit, "normal")
    with pytest.raises(TypeError, match="p is CorruptedDensity, which has no quadrature nodes: as q it will do"):
        kl(UnnormalizedDensity(lambda x: -(x**4)).corrupted(1.0, 0.5), unit)
    with pytest.raises(ValueError, match="p has dimension 1 and q has dimension 2"):
        kl(unit, Gaussian([0.0, 0.0], 1.0))
    with pytest.raises(ValueError, match="tolerance is 0.0"):
        kl(MIX, unit, tolerance=0.0)
    with pytest.raises(ValueError, match="p exceeds 1e154 standard deviations of q.*rescale"):
        kl(Gaussian([1e200], 1.0), Gaussian([0.0], 1e-200))
    with pytest.raises(ValueError, match="raise max_nodes"):
        kl(GaussianMixture([0.5, 0.5], np.zeros((2, 9)), [1.0, 2.0]), Gaussian(np.zeros(9), 1.0))
    with pytest.raises(ValueError, match="singular to rounding"):
        near = np.array([[1.0, 1 - 2.0**-52], [1 - 2.0**-52, 1.0]])
        kl(Gaussian([0.0, 0.0], near), Gaussian([0.0, 0.0], 1.0))


def test_images_under_one_map_are_as_far_apart_as_what_they_are_images_of():
    """An affine map, after which they are mixtures again; and a bent one, on both sides."""
    unit, image = Gaussian([0.3], 2.0), PushForward(MIX, lambda x: 1.3 * x + 0.2)
    moved = GaussianMixture(MIX.weights, 1.3 * MIX.means + 0.2, 1.69 * MIX.covs)
    bent = [PushForward(law, lambda x: x + 0.3 * np.sin(x)) for law in (MIX, unit)]
    for found, exact in ((kl(image, unit), kl(moved, unit)), (kl(unit, image), kl(unit, moved)), (kl(*bent), kl(MIX, unit))):
        assert abs(found[0] - exact[0]) <= found[1] + exact[1] and found[1] < 1e-9


def test_classes_are_no_laws():
    with pytest.raises(TypeError, match="q is the class Gaussian: pass one of its laws"):
        kl(MIX, Gaussian)
