"""Path KL against joint integrals at 25 digits and Gaussian moments; the lemmas by sampling nodes; the ends."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore import bounds, parallel
from refscore.bounds.path_kl import _total_noise
from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.processes import OU, VE, VP, VPCosine, VPSchedule

SKEWED = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
PROCESSES = {"standard": bounds.STANDARD, "OU(0.7, 1.3)": OU(0.7, 1.3), "VP": VP()}


def by_joint_nodes(process, density, score, times):
    """sum_k E int g_u^2/2 |s_t(X_t) - S_u(X_u)|^2 du on nodes of (u, X_u, noise): the definition as it stands."""
    z, w = np.polynomial.hermite_e.hermegauss(90)
    w = w / w.sum()
    roots, weights = np.polynomial.legendre.leggauss(16)
    total = 0.0
    for t, s in zip(times[:-1], times[1:]):
        for u, share in zip((t + s) / 2 + (t - s) / 2 * roots, (t - s) / 2 * weights):
            law = process.marginal(density, u)
            A, V = process.transition(u, t)
            for p, m, v in zip(law.weights, law.means[:, 0], law.covs):
                x = m + np.sqrt(v) * z
                later = A * x[:, None] + np.sqrt(V) * z
                s_t = np.asarray(score(later.reshape(-1, 1), float(t))).reshape(later.shape)
                gap = s_t - law.score(x[:, None])
                total += share * process.diffusion(u) ** 2 / 2 * p * float(w @ gap**2 @ w)
    return total


@pytest.mark.parametrize("name", PROCESSES)
def test_against_the_definition(name):
    process = PROCESSES[name]
    density = GaussianMixture([0.4, 0.6], [[-0.5], [0.6]], [0.7, 0.5])
    times = np.array([1.0, 0.7, 0.45, 0.3])

    def wrong(x, t):
        return -0.8 * x + 0.3 * np.sin(x) + 0.2 * t

    found = bounds.path_kl(process, density, wrong, times)
    assert found.value == pytest.approx(by_joint_nodes(process, density, wrong, times), rel=1e-9)
    assert found.value == pytest.approx(found.score + found.discretisation + found.cross, rel=1e-14)
    exact = bounds.path_kl(process, density, lambda x, t: process.marginal(density, t).score(x), times)
    assert exact.value == exact.discretisation == pytest.approx(found.discretisation, rel=1e-11)
    assert exact.score == exact.cross == 0 and exact.error < 1e-10


def test_parts_of_a_constant_error():
    """e = (c, c): sum G/2 |e|^2 = d c^2 T for g = sqrt 2, and E e.S = 0 for E S = 0."""
    data, times = Gaussian([0.4, -0.2], [[0.5, 0.1], [0.1, 1.5]]), np.linspace(1.5, 0.0, 6)
    found = bounds.path_kl(bounds.STANDARD, data, lambda x, t: bounds.STANDARD.marginal(data, t).score(x) + 0.3, times)
    assert found.score == pytest.approx(2 * 0.09 * 1.5, rel=1e-12) and abs(found.cross) < 1e-12


def test_pieces_of_a_path_add_up():
    times = np.linspace(2.0, 0.0, 9)

    def score(x, t):
        return -x / (1 + x * x) + 0 * t

    whole = bounds.path_kl(VP(), SKEWED, score, times / 2)
    halves = [bounds.path_kl(VP(), SKEWED, score, part / 2) for part in (times[:4], times[3:])]
    assert abs(whole.value - sum(h.value for h in halves)) <= whole.error + sum(h.error for h in halves)


@pytest.mark.slow
@given(seed=st.integers(0, 10**6), steps=st.integers(2, 12))
@settings(deadline=None, max_examples=6)
def test_below_the_martingale_bound_and_first_order(seed, steps):
    rng = np.random.default_rng(seed)
    data = GaussianMixture(rng.dirichlet([2, 2]), rng.uniform(-1.5, 1.5, (2, 1)), rng.uniform(0.3, 1.5, 2))
    L = bounds.score_lipschitz(data, 2.0).certified

    def exact(x, t):
        return bounds.STANDARD.marginal(data, t).score(x)

    found = [bounds.path_kl(bounds.STANDARD, data, exact, np.linspace(2, 0, n + 1)) for n in (steps, 2 * steps)]
    for n, path in zip((steps, 2 * steps), found):
        bound = bounds.martingale_bound(kl=0.0, lipschitz=L, score_error=0.0, dim=1, T=2.0, steps=n)
        assert 0 <= math.sqrt(path.value / 2) <= bound.discretisation
    assert found[1].value < found[0].value


def test_lemmas_against_moments():
    data, (s, t) = Gaussian([0.4, -0.2], [0.5, 1.5]), (0.3, 0.8)
    law, (A, V) = VP().marginal(data, s), VP().transition(s, t)
    assert bounds.displacement(VP(), data, s, t) == pytest.approx((1 - A) ** 2 * (law.mean @ law.mean + np.trace(law.cov)) + 2 * V)
    after = VP().marginal(data, t)
    P, Q = 1 / np.diag(law.cov), 1 / np.diag(after.cov)
    want = (P + Q - 2 * P * Q * A * np.diag(law.cov)).sum()  # Cov(X_s, X_t) = A C_s
    assert bounds.score_motion(VP(), data, s, t)[0] == pytest.approx(want, rel=1e-12)
    m2 = bounds.second_moment(data)
    law = bounds.STANDARD.marginal(data, t)
    assert bounds.second_moment_along(m2, 2, t) == pytest.approx(law.mean @ law.mean + np.trace(law.cov), rel=1e-14)
    assert bounds.second_moment_along(m2, 2, np.array([0.0, 900.0])) == pytest.approx([m2**2, 2.0])


def test_score_change_at_every_point():
    L = bounds.score_lipschitz(SKEWED, 3.0).certified
    x = np.linspace(-9, 9, 2001)[:, None]
    for s, part in ((0.0, 0.3), (0.1, 0.9), (0.0, 0.01)):
        r = part * math.log1p(1 / L) / 2
        before, after = (bounds.STANDARD.marginal(SKEWED, u).score(x) for u in (s, s + r))
        a0, a1, a2 = bounds.score_change(L, 1, r)
        assert (np.abs(after - before) <= a0 + a1 * np.abs(before) + a2 * np.abs(x)).all()


def test_ends():
    value, error = bounds.start_error(OU(0.7, 1.3), Gaussian([0.4], 0.5), 2.0)
    from refscore.distances import total_variation

    alpha, sigma2 = math.exp(-1.4), 1.69 / 1.4 * -math.expm1(-2.8)
    direct = total_variation(Gaussian([0.4 * alpha], alpha**2 * 0.5 + sigma2), Gaussian([0.0], sigma2))
    assert abs(value - direct[0]) <= error + direct[1]
    assert bounds.stop_error(VP(), SKEWED, 0.0) == (0.0, 0.0)
    plain, better = (bounds.stop_error(OU(0.7, 0.2), SKEWED, 0.1, rescaled=flag)[0] for flag in (False, True))
    assert 0 < better < plain < 1
    points = PointSet([[0.0], [1.0]])
    assert bounds.stop_error(VP(), points, 1e-6) == bounds.stop_error(VE(0.1, 2.0), points, 0.0) == (1.0, 0.0)
    assert bounds.stop_error(VP(), points, 0.0) == (0.0, 0.0)  # where there is no noise yet it is the data


@pytest.mark.parametrize("process, t", [(VPCosine(), 1.0), (OU(1.0, 1.0), 800.0), (OU(1.0, 1.0), 730.0), (OU(1.0, 1.0), 340.0)])
def test_nothing_is_rescaled_where_the_signal_has_vanished(process, t):
    with pytest.raises(ValueError, match=rf"alpha is .* at t_min = {t}.*pass an earlier t_min, or rescaled=False"):
        bounds.stop_error(process, SKEWED, t, rescaled=True)
    assert 0 < bounds.stop_error(process, SKEWED, t)[0] < 1
    value, error = bounds.stop_error(OU(1.0, 1.0), SKEWED, 300.0, rescaled=True)
    assert 1 - value <= error < 1e-12


def test_bits_and_refusals():
    times = np.linspace(1.0, 0.0, 4)

    def score(x, t):
        return -x

    with parallel(threads=1):
        one = bounds.path_kl(VP(), SKEWED, score, times)
    with parallel(threads=3):
        assert bounds.path_kl(VP(), SKEWED, score, times) == one
    with pytest.raises(TypeError, match="density is PointSet: pass a Gaussian"):
        bounds.path_kl(VP(), PointSet([[0.0]]), score, times)
    with pytest.raises(ValueError, match=r"strictly decreasing times, such as np.linspace\(3, 0, 49\)"):
        bounds.path_kl(VP(), SKEWED, score, times[::-1])
    with pytest.raises(ValueError, match=r"score\(x, 1.0\) has shape .* they must agree"):
        bounds.path_kl(VP(), SKEWED, lambda x, t: x[:, 0], times)
    with pytest.raises(ValueError, match=r"L \(e\^\(2r\) - 1\) is .* pass r < 0.2027"):
        bounds.score_change(2.0, 1, 0.5)
    with pytest.raises(ValueError, match="T is 0.0"):
        bounds.start_error(VP(), SKEWED, 0)


def test_independent_coordinates_add_up():
    """A mixture in the plane that is one on the first axis times a Gaussian on the second; a score that splits alike."""
    line, other = GaussianMixture([0.4, 0.6], [[-0.5], [0.6]], [0.7, 0.5]), Gaussian([0.3], 0.8)
    means, covs = np.column_stack([line.means, [0.3, 0.3]]), np.column_stack([line.covs, [0.8, 0.8]])
    plane = GaussianMixture(line.weights, means, covs)
    times = np.array([0.9, 0.5, 0.3])

    def first(x, t):
        return 0.2 * np.sin(x) - x

    def second(x, t):
        return 0.1 * t - 0.7 * x

    whole = bounds.path_kl(VP(), plane, lambda x, t: np.column_stack([first(x[:, 0], t), second(x[:, 1], t)]), times)
    parts = bounds.path_kl(VP(), line, first, times), bounds.path_kl(VP(), other, second, times)
    for name in ("value", "score", "discretisation", "cross"):
        total, one, two = (getattr(path, name) for path in (whole, *parts))
        assert abs(total - one - two) <= whole.error + parts[0].error + parts[1].error, name
    assert whole.error < 1e-9


JUMP, ROOT = VPSchedule(lambda t: np.where(t < 1 / 3, 0.1, 5.0)), VPSchedule(lambda t: t**-0.5)


@pytest.mark.parametrize("process", [VPCosine(), JUMP, ROOT])
@pytest.mark.parametrize(("s", "t"), [(0.0, 0.999999), (0.1, 0.5), (0.5, 0.99)])
def test_total_noise_is_the_clock_of_vp_whatever_the_schedule(process, s, t):
    """int g^2 = int beta = -2 log(alpha_t/alpha_s): where beta grows without bound, jumps, or starts infinite."""
    clock = -2 * np.log(process.transition(s, t)[0])
    assert _total_noise(process, s, t) == pytest.approx(clock, rel=1e-12)
