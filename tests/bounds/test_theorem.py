"""The theorem's constants from its lemmas, its ingredients by brute force and at 30 digits, and what it refuses."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore import bounds, parallel
from refscore.bounds.hypotheses import _curvature, _maximum, _roots
from refscore.densities import Gaussian, GaussianMixture, PointSet

SKEWED = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
GIVEN = dict(kl=0.4, lipschitz=2.0, second_moment=1.2, score_error=0.1, dim=3, T=2.0, steps=40)


@given(L=st.floats(1, 1e3), part=st.floats(1e-6, 1), d=st.integers(1, 10**4), m2=st.floats(0, 1e3))
@settings(deadline=None, max_examples=200)
def test_the_constants_follow_from_the_lemmas(L, part, d, m2):
    """The sum of the three parts at r = h, in the L2 norm, is below the discretisation term of the theorem at T = N h."""
    steps = math.ceil(6 * L / part)
    h = 1 / steps
    a0, a1, a2 = bounds.score_change(L, d, h)
    M = max(d, m2 * m2)
    moved = math.sqrt(h * h * M + 2 * d * h)
    parts = a0 + a1 * (math.sqrt(d * L) + L * moved) + a2 * math.sqrt(M) + L * moved
    terms = bounds.chen2023(kl=0.0, lipschitz=L, second_moment=m2, score_error=0.0, dim=d, T=1.0, steps=steps)
    sharp = bounds.martingale_bound(kl=0.0, lipschitz=L, score_error=0.0, dim=d, T=1.0, steps=steps)
    assert sharp.discretisation <= parts / math.sqrt(2) <= terms.discretisation
    assert sharp.discretisation <= math.sqrt(2 / 3) * L * math.sqrt(d * h)


def test_terms_by_hand():
    terms = bounds.chen2023(**GIVEN)
    assert terms.initialisation == pytest.approx(math.sqrt(0.2) * math.exp(-2), rel=1e-15)
    assert terms.discretisation == pytest.approx((13.0 * math.sqrt(0.15) + 2.9 * 2 * 1.2 * 0.05) * math.sqrt(2), rel=1e-15)
    assert terms.score == pytest.approx(0.1, rel=1e-15) and terms.total == sum(terms)
    del (given := dict(GIVEN))["second_moment"]
    sharp = bounds.martingale_bound(**given)
    with mp.workdps(30):
        h = mp.mpf(2) / 40
        moved, shrunk = h - (1 - mp.exp(-2 * h)) / 2, h - 2 * (1 - mp.exp(-h)) + (1 - mp.exp(-2 * h)) / 2
        assert sharp.discretisation == pytest.approx(float(mp.sqrt(20 * (12 * moved + 6 * shrunk))), rel=1e-13)
    assert (sharp.initialisation, sharp.score) == (terms.initialisation, terms.score)


@pytest.mark.parametrize("h", [1e-12, 1e-6, 1e-3, 0.7, 5.0, 300.0])
@pytest.mark.parametrize("L", [1e-8, 1.0, 1e3])
def test_the_sharper_bound_keeps_its_digits(h, L):
    """Its closed form at 60 digits."""
    found = bounds.martingale_bound(kl=0.0, lipschitz=L, score_error=0.0, dim=3, T=10 * h, steps=10).discretisation
    with mp.workdps(60):
        h = mp.mpf(10 * h) / 10
        moved, shrunk = h - (1 - mp.exp(-2 * h)) / 2, h - 2 * (1 - mp.exp(-h)) + (1 - mp.exp(-2 * h)) / 2
        assert found == pytest.approx(float(mp.sqrt(5 * 3 * (mp.mpf(L) ** 2 * moved + L * shrunk))), rel=1e-14)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"lipschitz": 0.5}, ValueError, r"lipschitz is 0.5: .* pass max\(1, L\)"),
        ({"steps": 20}, ValueError, r"exceeds 1/\(6 L\) = 0.08333: pass steps=24 or more, or use martingale_bound"),
        ({"kl": -0.1}, ValueError, "kl is -0.1"),
        ({"lipschitz": math.inf}, ValueError, "lipschitz is inf"),
        ({"score_error": np.ones(2)}, TypeError, "score_error is ndarray"),
        ({"dim": 2.0}, TypeError, "dim is float"),
        ({"T": 0.0}, ValueError, "T is 0.0"),
    ],
)
def test_hypotheses_that_do_not_hold_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        bounds.chen2023(**{**GIVEN, **change})


def steepest_by_force(density, T):
    """max |(log q_t)''| on a fine lattice: what no certified constant may fall below."""
    largest = 0.0
    far = np.geomspace(0.3, 1e3, 4001)  # where two components of almost equal width meet again
    x = np.concatenate([-far, np.linspace(-0.3, 0.3, 121), far])[:, None]
    for t in np.concatenate([[0], np.geomspace(1e-3, T, 20)]):
        largest = max(largest, float(np.abs(bounds.STANDARD.marginal(density, t).score_jacobian(x)).max()))
    return largest


@given(seed=st.integers(0, 10**6), K=st.integers(2, 4))
@settings(deadline=None, max_examples=12)
def test_certified_constant_against_brute_force(seed, K):
    rng = np.random.default_rng(seed)
    density = GaussianMixture(rng.dirichlet(np.ones(K)), rng.uniform(-2, 2, (K, 1)), rng.uniform(0.1, 1.5, K))
    low, high = bounds.score_lipschitz(density, 2.0)
    force = steepest_by_force(density, 2.0)
    assert max(low, force) <= high


@pytest.mark.slow
@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=12)
def test_two_components_apart_know_their_maximum(seed):
    """Between them the score is steeper than in either: certified is the maximum, to the steps in time and the force's grid."""
    rng = np.random.default_rng(seed)
    apart = np.array([[-1.0], [1.0]]) * rng.uniform(1.5, 2.5) + rng.uniform(-1, 1)
    density = GaussianMixture(rng.dirichlet(np.full(2, 3.0)), apart, rng.uniform(0.5, 0.9, 2))
    low, high = bounds.score_lipschitz(density, 2.0)
    force = steepest_by_force(density, 2.0)
    components = max(1 / float(bounds.STANDARD.marginal(density, t).covs.min()) for t in (0.0, 2.0))
    assert 1.1 * components < max(low, force) <= high <= 1.003 * force


@pytest.mark.slow
@pytest.mark.parametrize("T", [0.3, 0.5, *(pytest.param(T, marks=pytest.mark.slow) for T in (0.4, 0.6, 0.7, 0.8, 0.9, 1.0))])
def test_steps_in_time_do_not_outrun_the_certificate(T):
    """Wide laws far apart only shrink: sup (log q_t)'' grows like e^{2t} up to T, as fast as it can, and is largest there."""
    low, high = bounds.score_lipschitz(GaussianMixture([0.5, 0.5], [[-300.0], [300.0]], [1e4, 1e4]), T)
    assert low <= high <= 1.0011 * low


def test_of_three_components_the_widest_bends_least():
    """A third, narrow and almost without weight, changes nothing: the constant is that of the pair, (D/2)^2 - 1 half way."""
    density = GaussianMixture([0.5 - 1e-12, 0.5 - 1e-12, 2e-12], [[-2.0], [2.0], [0.0]], [1.0, 1.0, 0.4])
    low, high = bounds.score_lipschitz(density, 0.01)
    assert low <= high <= 1.0011 * low and low == pytest.approx(3.0, rel=1e-6)


@pytest.mark.parametrize("line", [(3.0, 0.7, 1.0, 2.0), (40.0, -9.0, 6.0, 3.0), (0.3, 50.0, 0.5, 8.0), (100.0, 0.0, 5.0, 5.0)])
def test_the_maximum_over_the_log_ratio_is_certified(line):
    """Not below what a grid 100 times finer finds, and above it by no more than the grid's own error."""
    p, q, P, Q = line
    l = np.arange(-30, 30, 1e-4)
    r = 1 / (1 + np.exp(-l))
    force = float((r * (1 - r) * np.maximum(p + q * l, 0) - P * r - Q * (1 - r)).max())
    assert force <= _maximum(*line) <= force + 1e-4 * (p + abs(q) + P + Q)


@pytest.mark.parametrize("away", [0.0, 1e-6, 0.05])
@pytest.mark.parametrize("d", [1, 2])
def test_components_inside_one_another(away, d):
    """Where two count alike, not half way between their centres; t = 0 counts, whatever T."""
    means = np.zeros((2, d))
    means[0, 0] = away
    density = GaussianMixture([0.5, 0.5], means, [1e-4, 1.0])
    x = np.zeros((400_001, d))
    x[:, 0] = np.linspace(-0.2, 0.2, len(x))
    force = float(np.abs(np.linalg.eigvalsh(density.score_jacobian(x))).max())
    for T in (0.0, 1e-9, 1.0):
        low, high = bounds.score_lipschitz(density, T)
        assert 0.999 * force <= low <= high and force <= high
        assert d > 1 or high <= 1.003 * force


@pytest.mark.parametrize("A, b, c", [(0.0, 2.0, 1.0), (1e-30, -2.0, 1.0), (3.0, 0.0, -1.0), (2.0, 7.0, 1e-12), (0.0, 0.0, 1.0)])
def test_where_the_components_count_alike(A, b, c):
    """Every root of A r^2 + b r + c that float64 holds; none where there is none."""
    found = _roots(A, b, np.array([c]))
    wanted = mp.polyroots([c, b, A], extraprec=200, asc=True) if A else [mp.mpf(-c) / b] if b else []
    for root in wanted:
        assert min(abs(found - float(root))) <= 4e-16 * abs(root) or abs(root) > 1e50
    assert len(found) == len(wanted) + bool(A)


def test_gaussians_exactly():
    spread = Gaussian([0.5, -1.0, 0.2], [0.25, 2.0, 1.0])
    assert bounds.score_lipschitz(spread, 3.0) == (4.0, 4.0)
    wide = Gaussian([7.0], 5.0)  # steepest at the end
    late = 1 / (1 + 4 * math.exp(-2 * 1.5))
    assert bounds.score_lipschitz(wide, 1.5) == pytest.approx((late, late), rel=1e-15)


def test_equal_covariances_in_several_dimensions():
    """One cluster split in two: Ds is that of the line through the centres, maximal half way where r = 1/2."""
    C = np.array([[0.5, 0.2], [0.2, 0.4]])
    density = GaussianMixture([0.5, 0.5], [[-1.0, 0.3], [1.2, -0.4]], [C, C])
    low, high = bounds.score_lipschitz(density, 1.0)
    assert low <= high and math.isfinite(high)
    pull = np.linalg.solve(C, density.means[0] - density.means[1])
    assert high <= 1.002 * (pull @ pull / 4)


@pytest.mark.parametrize("order", [1, -1])
def test_precisions_that_differ_by_a_definite_matrix(order):
    """One component wider than the other in every direction: a constant exists, and is seen not to be exceeded."""
    density = GaussianMixture([0.6, 0.4], [[-0.4, 0.2], [0.9, -0.5]], [[0.3, 0.5], [0.9, 2.0]][::order])
    low, high = bounds.score_lipschitz(density, 1.0)
    line = np.linspace(-9, 9, 301)
    x = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    laws = [bounds.STANDARD.marginal(density, t) for t in (0.0, 0.01, 0.1, 1.0)]
    force = [np.abs(np.linalg.eigvalsh(law.score_jacobian(x))).max() for law in laws]
    assert max(low, *force) <= high < math.inf
    # one inside the other: |grad l|^2 <= 2 |A| |l - l*| is attained along the axis on which the precisions differ most
    nested = GaussianMixture([0.4, 0.6][::order], np.zeros((2, 2)), [[0.01, 0.9], [1.0, 1.0]][::order])
    along = nested.score_jacobian(np.column_stack([np.linspace(0, 2, 4001), np.zeros(4001)]))
    steep = float(np.linalg.eigvalsh(along)[:, -1].max())
    assert 0.7 * _curvature(nested) < steep <= _curvature(nested)


def test_no_constant_exists_where_precisions_cross():
    """diag(1, 2) and diag(2, 1): |Ds| grows like |x|^2 along the lines where both components count alike."""
    density = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]])
    assert bounds.score_lipschitz(density, 1.0).certified == math.inf
    away = np.array([[10.0, 10.0], [100.0, 100.0]])
    for t in (0.0, 0.7):
        steep = np.linalg.norm(bounds.STANDARD.marginal(density, t).score_jacobian(away), 2, axis=(1, 2))
        assert steep[1] > 80 * steep[0] > 80


def test_second_moment_and_score_errors():
    assert bounds.second_moment(Gaussian([3.0, 4.0], 1.5)) == pytest.approx(math.sqrt(28), rel=1e-15)
    assert bounds.second_moment(PointSet([[1.0], [-3.0]])) == pytest.approx(math.sqrt(5), rel=1e-15)
    data = Gaussian([0.4, -0.2], [0.5, 1.5])
    times = np.array([0.2, 1.1])
    values, errors = bounds.score_errors(data, lambda x, t: -x + t, times)  # error: (P - I)(x - m) + t - m, plus nothing else
    for t, value, error in zip(times, values, errors):
        law = bounds.STANDARD.marginal(data, t)
        c, m = np.diag(law.cov), law.mean
        want = ((1 / c - 1) ** 2 * c).sum() + ((t - m) ** 2).sum()
        assert abs(value - want) <= error + 1e-14 and error < 1e-11


def test_an_exact_score_that_is_rounded_otherwise_costs_nothing():
    """What is left is rounding: a value below its error, no warning, no lattice after lattice."""

    def rounded(x, t):
        return bounds.STANDARD.marginal(SKEWED, t).score(x) * (1 + 1e-16) + 1e-17 * np.sin(1e3 * x)

    values, errors = bounds.score_errors(SKEWED, rounded, [0.1, 1.0])
    assert (values <= errors).all() and (errors < 1e-25).all()


def test_same_bits_for_any_number_of_threads():
    with parallel(threads=1):
        one = bounds.score_errors(SKEWED, lambda x, t: -x, [0.3])[0], bounds.score_lipschitz(SKEWED, 2.0)
    with parallel(threads=3):
        assert (bounds.score_errors(SKEWED, lambda x, t: -x, [0.3])[0], bounds.score_lipschitz(SKEWED, 2.0)) == one


def test_point_sets_are_refused_where_nothing_is_finite():
    for call in (lambda p: bounds.score_lipschitz(p, 1.0), lambda p: bounds.score_errors(p, lambda x, t: x, [1.0])):
        with pytest.raises(TypeError, match=r"density is PointSet: pass .* corrupted\(alpha, sigma\)"):
            call(PointSet([[0.0], [1.0]]))


@pytest.mark.parametrize("variance", [1e-8, *(pytest.param(v, marks=pytest.mark.slow) for v in (1e-12, 1e-13))])
def test_the_steps_in_time_are_longer_than_nothing_beside_a_narrow_component(variance):
    """At t = 0 they are 1e-16, and the steepest point is where the wide component takes over: there (log q)'' at 50 digits."""
    found = bounds.score_lipschitz(GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [1.0, variance]), 3.0)
    with mp.workdps(50):
        v = mp.mpf(variance)

        def log_ratio(s):  # log of the narrow one's share over the wide one's, at 1 - s
            return ((1 - s) ** 2 - s * s / v - mp.log(v)) / 2

        def curvature(s):
            r = 1 / (1 + mp.exp(-log_ratio(s)))
            return r * (1 - r) * (s - 1 - s / v) ** 2 - r / v - (1 - r)

        middle = mp.findroot(log_ratio, mp.sqrt(v * (1 - mp.log(v))))
        width = 1 / abs(middle - 1 - middle / v)
        exact = max(curvature(middle + k * width / 1000) for k in range(-3000, 3001))
    assert found.attained <= exact * (1 + 1e-6) and exact <= found.certified <= 1.003 * exact
