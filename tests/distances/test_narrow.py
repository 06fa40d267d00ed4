"""Components within others up to 1e8 times as wide: divergences against integrals at 50 digits on graded panels."""

import itertools
import math
import warnings
from functools import cache, lru_cache

import mpmath as mp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from refscore.bounds import path_kl
from refscore.densities import Gaussian, GaussianMixture, Laplace, UnnormalizedDensity
from refscore.distances import fisher, fisher_information, kl
from refscore.objectives import irreducible_loss
from refscore.processes import OU

UNIT = Gaussian([0.0], 1.0)


def slow(*cases):
    return [pytest.param(case, marks=pytest.mark.slow) for case in cases]


def gauss_nodes(n=30):
    """Roots of the Legendre polynomial by Newton's method, and the weights, at the working precision."""
    found = []
    for start in np.polynomial.legendre.leggauss(n)[0]:
        z = mp.mpf(float(start))
        for _ in range(3):
            before, now = mp.mpf(1), z
            for k in range(2, n + 1):
                before, now = now, ((2 * k - 1) * z * now - (k - 1) * before) / k
            slope = n * (z * now - before) / (z * z - 1)
            z -= now / slope
        found.append((z, 2 / ((1 - z * z) * slope**2)))
    return found


with mp.workdps(50):
    NODES = gauss_nodes()


def rows_of(law):
    """Weights that sum to 1 in 50 digits, as those of double precision need not, means and variances."""
    with mp.workdps(50):
        rows = [tuple(mp.mpf(float(a)) for a in row) for row in zip(law.weights, law.means[:, 0], law.covs.ravel(), strict=True)]
        total = mp.fsum(w for w, _, _ in rows)
        return [(w / total, m, v) for w, m, v in rows]


@lru_cache(maxsize=8)
def mp_law(law):
    """x -> (log p, score) in one dimension at 50 digits, remembered: all integrals of the same laws have the same nodes."""
    rows = rows_of(law)

    @cache
    @mp.workdps(50)
    def values(x):
        logs = [mp.log(w) - (x - m) ** 2 / (2 * v) - mp.log(2 * mp.pi * v) / 2 for w, m, v in rows]
        top = max(logs)
        powers = [mp.exp(value - top) for value in logs]
        total = mp.fsum(powers)
        return top + mp.log(total), mp.fsum(r * (m - x) / v for r, (_, m, v) in zip(powers, rows, strict=True)) / total

    return values


def crossings(law):
    """Where two components are equally dense, and how fast their ratio changes there: a kink of log p seen from afar."""
    rows = rows_of(law)
    for (w, m, v), (u, n, r) in itertools.combinations(rows, 2):
        a, b = (1 / r - 1 / v) / 2, m / v - n / r
        c = mp.log(w / u) - mp.log(v / r) / 2 - m * m / (2 * v) + n * n / (2 * r)
        roots = [-c / b] if a == 0 and b else []
        if a and b * b >= 4 * a * c:
            big = -(b + (1 if b >= 0 else -1) * mp.sqrt(b * b - 4 * a * c)) / 2
            roots = [big / a] + ([c / big] if big else [])
        yield from ((x, 1 / abs(2 * a * x + b)) for x in roots if 2 * a * x + b)


def mp_expectation(p, f, laws):
    """E_p f, f of x: Gauss panels that end at whole standard deviations of components, powers of two of them, and around kinks."""
    steps = [0, *range(1, 16), *(2.0**j for j in range(4, 36))]
    with mp.workdps(50):
        log_p = mp_law(p)
        cuts = set()
        for law in laws:
            cuts |= {x + side * k * scale for x, scale in crossings(law) for k in (0, 4, 16, 64, 256, 2**12) for side in (-1, 1)}
            for m, v in zip(law.means[:, 0], law.covs.ravel(), strict=True):
                cuts |= {mp.mpf(float(m)) + side * k * mp.sqrt(mp.mpf(float(v))) for k in steps for side in (-1, 1)}
        reach = [(float(m), 16 * math.sqrt(v)) for m, v in zip(p.means[:, 0], p.covs.ravel(), strict=True)]
        low, high = min(m - r for m, r in reach), max(m + r for m, r in reach)
        cuts = sorted({c for c in cuts if low < c < high} | {mp.mpf(low), mp.mpf(high)})
        total = mp.mpf(0)
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            half = (b - a) / 2
            total += half * mp.fsum(w * mp.exp(log_p(a + half * (1 + z))[0]) * f(a + half * (1 + z)) for z, w in NODES)
        return total


def mp_kl(p, q):
    a, b = mp_law(p), mp_law(q)
    return mp_expectation(p, lambda x: a(x)[0] - b(x)[0], (p, q))


def mp_fisher(p, q):
    a, b = mp_law(p), mp_law(q)
    return mp_expectation(p, lambda x: (a(x)[1] - b(x)[1]) ** 2, (p, q))


def mp_information(p):
    a = mp_law(p)
    return mp_expectation(p, lambda x: a(x)[1] ** 2, (p,))


def within(found, exact, enough):
    value, error = found
    assert abs(value - exact) <= error <= enough * abs(float(exact)), (value, error, float(abs(value - exact)))


@pytest.mark.parametrize("variances", [(1e-12, 1e-10), (0.04, 0.02), *slow((1e-4, 4e-4), (1e-12, 1e-12), (0.01, 0.02))])
def test_one_narrow_component_takes_over_from_another_within_a_wide_law(variances):
    """Far from both, in the bulk of p, the score of q jumps: within 1e-12 of a distance, in the steepest case."""
    q = GaussianMixture([0.4, 0.6], [[0.0], [3.0]], variances)
    within(kl(UNIT, q), mp_kl(UNIT, q), 1e-10)
    within(fisher(UNIT, q, half=False), mp_fisher(UNIT, q), 1e-10)


@pytest.mark.parametrize("ratio", [1e5, *slow(10.0, 1e2, 1e3, 1e8)])
def test_a_narrow_component_within_a_wide_one(ratio):
    """What is allowed beside 1e-9 is what the rounding of x, 1e-16 from 1, is to the narrow component."""
    q = GaussianMixture([0.5, 0.5], [[0.7], [0.0]], [ratio**-2, 1.0])
    rounding = 1e-16 * ratio
    within(kl(UNIT, q), mp_kl(UNIT, q), 1e-10)
    within(kl(q, UNIT), mp_kl(q, UNIT), 1e-10 + rounding)
    within(fisher(UNIT, q, half=False), mp_fisher(UNIT, q), 1e-9 + 100 * rounding)
    information = mp_information(q)
    within(fisher_information(q), information, 1e-9 + 100 * rounding)
    within(q.expectation(q.logpdf), mp_expectation(q, lambda x, law=mp_law(q): law(x)[0], (q,)), 1e-10)
    sigma = 0.5 / ratio
    noisy = q.corrupted(1.0, sigma)
    with mp.workdps(50):  # q~ has the rounded widths, exactly known; C = 1/2 (1/sigma^2 - I)
        exact = (1 / mp.mpf(sigma) ** 2 - mp_information(noisy)) / 2
    within(irreducible_loss(q, 1.0, sigma), exact, 1e-9 + 100 * rounding)


def test_the_case_that_was_wrong():
    """0.6931 and 0 were found where 0.6698 and 1796 are right, with errors of 1e-12."""
    q = GaussianMixture([0.5, 0.5], [[1.0], [0.0]], [1e-5, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kl(UNIT, q)[0] == pytest.approx(0.66983593, abs=1e-8)
        assert fisher(UNIT, q, half=False)[0] == pytest.approx(1796.333217, rel=1e-9)


COMPONENTS = st.lists(st.tuples(st.floats(0.1, 1.0), st.floats(-2.0, 2.0), st.floats(-8.0, 2.0)), min_size=3, max_size=3)


@pytest.mark.slow
@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(COMPONENTS, st.booleans())
def test_widths_over_ten_decades(parts, all_in_q):
    """Three components of any widths, all of q or one of p: values within their errors, errors small or the warning."""
    check_widths(parts, all_in_q)


@pytest.mark.slow
@settings(max_examples=24, deadline=None, phases=[Phase.generate])
@given(COMPONENTS, st.booleans())
def test_many_widths_over_ten_decades(parts, all_in_q):
    check_widths(parts, all_in_q)


def check_widths(parts, all_in_q):
    weight, mean, decade = (np.array(column) for column in zip(*parts, strict=True))
    widths = 100.0**decade

    def mixture(rows):
        return GaussianMixture(weight[rows] / weight[rows].sum(), mean[rows, None], widths[rows])

    p, q = (UNIT, mixture(np.arange(3))) if all_in_q else (mixture(np.arange(1)), mixture(np.arange(1, 3)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value, error = kl(p, q)
    exact = mp_kl(p, q)
    assert abs(value - exact) <= error + 1e-40, (value, error, float(abs(value - exact)), p, q)
    assert error <= 1e-7 * abs(value) + 1e-12 or caught


def mp_radial(d, ratio):
    """KL(N(0, I), 1/2 N(0, I/ratio^2) + 1/2 N(0, I)) as an integral over the radius."""
    with mp.workdps(30):
        r = mp.mpf(ratio)

        def density(t):
            gap = mp.log(mp.mpf(1) / 2 + r**d / 2 * mp.exp(-t * t * (r * r - 1) / 2))
            return -gap * t ** (d - 1) * mp.exp(-t * t / 2) * 2 / (mp.mpf(2) ** (mp.mpf(d) / 2) * mp.gamma(mp.mpf(d) / 2))

        near = [k / r for k in range(15) if k < 14 * r]
        return mp.quad(density, near + [mp.mpf(2) ** j for j in range(-30, 4) if mp.mpf(2) ** j > 14 / r] + [14])


@pytest.mark.parametrize("d, ratio", [(2, 1e3), (2, 1e8), (3, 1e5), pytest.param(2, 30.0, marks=pytest.mark.slow)])
def test_a_round_component_in_the_plane_and_in_space(d, ratio):
    q = GaussianMixture([0.5, 0.5], np.zeros((2, d)), [ratio**-2, 1.0])
    within(kl(Gaussian(np.zeros(d), 1.0), q), mp_radial(d, ratio), 2e-11)


@pytest.mark.parametrize("angle", [0.4, *slow(0.0)])
def test_a_thin_sheet_is_a_problem_on_the_line(angle):
    """Along the axes, where the two rows agree to rounding, or askew, where the covariance has lost half its digits."""
    ratio = 1e3
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    sheet = (turn * [ratio**-2, 1.0]) @ turn.T
    q = GaussianMixture([0.5, 0.5], np.zeros((2, 2)), np.stack([(sheet + sheet.T) / 2, np.eye(2)]))
    value, error = kl(Gaussian(np.zeros(2), 1.0), q)
    exact = mp_kl(UNIT, GaussianMixture([0.5, 0.5], [[0.0], [0.0]], [ratio**-2, 1.0]))
    assert abs(value - exact) <= error <= 1e-8


def test_sheets_across_each_other_are_refused():
    flat = np.array([[0.5, 0.5 - 1e-12], [0.5 - 1e-12, 0.5]])
    q = GaussianMixture([0.3, 0.3, 0.4], np.zeros((3, 2)), np.stack([np.diag([1e-12, 1.0]), flat, np.eye(2)]))
    with pytest.raises(ValueError, match="much narrower than one in which they lie.*laws=\\(\\)"):
        kl(Gaussian(np.zeros(2), 1.0), q)
    value, error = q.expectation(lambda x: x[:, 0] ** 2, laws=())
    assert abs(value - (0.3 * 1e-12 + 0.15 + 0.4)) <= error + 1e-15 and error < 1e-12


def test_narrow_laws_of_other_kinds_are_seen():
    """Against a Laplace law of scale 1e-4: E|x - a|/b + log 2b - h. Against a Cauchy law, which has no variance, of width 1e-5."""
    a, b = 0.3, 1e-4
    entropy = 0.5 * math.log(2 * math.pi * math.e)
    with mp.workdps(30):
        away = 2 * (mp.npdf(a) + a * (mp.ncdf(a) - mp.mpf(1) / 2))
        within(kl(UNIT, Laplace(a, b)), away / b + mp.log(2 * mp.mpf(b)) - entropy, 1e-10)
        edges = [0, *(mp.mpf(10) ** j for j in range(-8, 1)), 2, 4, 8, 14]
        spread = 2 * mp.quad(lambda x: mp.npdf(x) * mp.log1p((x * 1e5) ** 2), edges)
        narrow = UnnormalizedDensity(lambda x: -np.log1p((x * 1e5) ** 2))
        within(kl(UNIT, narrow), spread + mp.log(mp.pi * mp.mpf("1e-5")) - entropy, 1e-10)


def test_functions_that_grow_reach_beyond_nine_deviations():
    """E e^{4 x} under a wide law with a narrow one in it: half of e^{8} and of e^{4 m + 8 v}."""
    p = GaussianMixture([0.5, 0.5], [[0.0], [0.5]], [1.0, 1e-8])
    within(p.expectation(lambda x: np.exp(4 * x[:, 0])), (math.exp(8) + math.exp(2 + 8e-8)) / 2, 1e-11)


def test_many_columns_and_the_path():
    """An array of functions at once; and KL between paths from data of two widths: their entropies by mpmath, score part 0."""
    p = GaussianMixture([0.5, 0.5], [[0.0], [0.5]], [1.0, 1e-8])
    value, error = p.expectation(lambda x: x[:, :, None] ** np.arange(3))
    assert value.shape == error.shape == (1, 3) and (error < 1e-11).all()
    np.testing.assert_allclose(value, [[1.0, 0.25, 0.5 * (1 + 1e-8) + 0.125]], rtol=1e-12)
    found = path_kl(OU(1.0, math.sqrt(2)), p, lambda x, t: OU(1.0, math.sqrt(2)).marginal(p, t).score(x), [0.2, 0.1])
    start, end = (OU(1.0, math.sqrt(2)).marginal(p, t) for t in (0.2, 0.1))
    fall = [mp_expectation(law, lambda x, f=mp_law(law): f(x)[0], (law,)) for law in (start, end)]
    a, b, _ = OU(1.0, math.sqrt(2)).exponential_step(0.2, 0.1)
    exact = float(fall[1] - fall[0]) + 0.1 + (0.1 - float(b / a)) * float(mp_information(start))
    assert abs(found.value - exact) <= found.error + 1e-13 and found.error < 1e-9
