"""Where chains settle: fixed points of laws, the closed form for Gaussians, the leading term for any law."""

import numpy as np
import pytest

from refscore.densities import Gaussian, GaussianMixture
from refscore.distances import fisher_information, total_variation
from refscore.laws import langevin_bias, langevin_stationary, law, stationary
from refscore.samplers import Chain, langevin, mala, sgld

CORRELATED = Gaussian([0.4, -1.0, 2.0], [[0.9, 0.3, 0.1], [0.3, 0.7, -0.2], [0.1, -0.2, 0.5]])
MODES = GaussianMixture([0.3, 0.7], [[-1.0], [1.1]], [0.25, 0.36])


@pytest.mark.parametrize(("convention", "share"), [("eta", 1.0), ("half_eta", 0.5)])
@pytest.mark.parametrize("step", [0.5, 1e-3, 1e-9])
def test_the_closed_form_is_left_alone_by_a_step(convention, share, step):
    """A C A' + 2 eta I = C with A = I - eta C_p^{-1}, in matrices as written."""
    settled = langevin_stationary(CORRELATED, step, convention)
    eta = share * step
    A = np.eye(3) - eta * np.linalg.inv(CORRELATED.cov)
    np.testing.assert_allclose(A @ settled.cov @ A.T + 2 * eta * np.eye(3), settled.cov, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(settled.mean, CORRELATED.mean)
    wider = np.linalg.eigvalsh(settled.cov - CORRELATED.cov)
    assert (wider > 0.4 * eta).all()


def test_stationary_finds_the_closed_form_from_any_start():
    chain = langevin(CORRELATED.score, 0.2, 5)
    right = langevin_stationary(CORRELATED, 0.2)
    for start in (Gaussian([0.0, 0.0, 0.0], 1.0), GaussianMixture([0.5, 0.5], [[9.0, 1.0, 1.0], [-4.0, 0.0, 1.0]], [0.1, 7.0])):
        found, error = stationary(chain, start)
        np.testing.assert_allclose(found.cov, right.cov, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(found.mean, right.mean, rtol=1e-13)
        assert 0 < error < 1e-11


def test_stationary_law_with_minibatches():
    """One datum of two a step, d = 1: V = a^2 V + eta + eta^2/4 N (N - n)/n G, with slope a = 1 - eta/2 (1 + 2)."""
    chain = sgld(lambda x, y: y - x, [[-0.5], [1.5]], 1, np.full(40, 0.3), lambda x: -x)
    found, error = stationary(chain, Gaussian([0.0], 1.0))
    a, spread = 1 - 0.15 * 3, 2 * 1 / 1 * 2.0
    assert abs(found.cov[0, 0] - (0.3 + 0.15**2 * spread) / (1 - a**2)) < 10 * error + 1e-13
    assert abs(found.mean[0] - 1.0 / 3) < 1e-12 and error < 1e-11


@pytest.mark.slow
def test_stationary_law_of_a_mixture_does_not_depend_on_the_start():
    chain = langevin(MODES.score, 0.2, 30)
    left, error = stationary(chain, Gaussian([-1.0], 0.25))
    right, other = stationary(chain, MODES)
    apart, doubt = total_variation(left, right)
    assert apart <= error + other + doubt < 1e-11
    after = law(chain[:1], left)
    assert total_variation(after, left)[0] < 3e-12
    assert total_variation(left, MODES)[0] > 0.09  # far from p: nothing above is trivial
    again, error = stationary(chain, left)  # from the fixed point itself
    assert total_variation(again, left)[0] <= error + other + 1e-12


@pytest.mark.slow
def test_the_leading_term_of_the_bias():
    """TV/eta tends to E|g|/2 like eta, so 2 f(eta/2) - f(eta) like eta^2. |g| has kinks, hence many nodes."""
    x, w = MODES.nodes(0.002)
    g = langevin_bias(MODES, x)
    limit = float(w @ np.abs(g)) / 2
    assert abs(float(w @ g)) < 1e-13
    slopes = [total_variation(stationary(langevin(MODES.score, eta, 40), MODES)[0], MODES)[0] / eta for eta in (0.1, 0.05)]
    assert abs(2 * slopes[1] - slopes[0] - limit) < 1e-3 * limit
    assert abs(slopes[1] - limit) > 4e-3 * limit


def test_the_leading_term_for_gaussians_in_closed_form():
    """d/d eta log N(x; m, C_eta) at 0, by differences of the exact stationary law."""
    x = CORRELATED.sample(20, 3)
    h = 1e-5
    wide = [langevin_stationary(CORRELATED, k * h).logpdf(x) for k in (1, 2)]
    slope = (4 * wide[0] - wide[1] - 3 * CORRELATED.logpdf(x)) / (2 * h)
    np.testing.assert_allclose(langevin_bias(CORRELATED, x, fisher_information(CORRELATED)[0]), slope, atol=2e-8)


def test_rate_of_convergence_is_the_spectral_radius():
    chain = langevin(CORRELATED.score, 0.1, 60)
    away = [np.linalg.norm(law(chain[:n], Gaussian([5.0, 5.0, 5.0], 1.0)).mean - CORRELATED.mean) for n in (50, 60)]
    slowest = 1 - 0.1 / np.linalg.eigvalsh(CORRELATED.cov)[-1]
    assert abs((away[1] / away[0]) ** 0.1 - slowest) < 1e-3


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: langevin_stationary(MODES, 0.1), TypeError, "target is GaussianMixture: pass a Gaussian"),
        (lambda: langevin_stationary(Gaussian([0.0], 0.5), 1.0), ValueError, "only below 1 .*shorter"),
        (lambda: langevin_stationary(Gaussian([0.0], 0.5), 2.0, "half_eta"), ValueError, "only below 2 "),
        (lambda: langevin_stationary(Gaussian([0.0], 0.5), -1.0), ValueError, "step is -1.0"),
        (lambda: langevin_stationary(Gaussian([0.0], 0.5), 0.1, "alpha"), ValueError, "convention is 'alpha'"),
        (lambda: langevin_bias(CORRELATED, np.ones(3)), ValueError, "x has shape"),
        (lambda: stationary(langevin(MODES.score, 0.1, 1), 3.0), TypeError, "initial is float"),
        (lambda: stationary(mala(MODES.score, MODES.logpdf, 0.1, 1), MODES), TypeError, "may refuse its steps"),
        (lambda: stationary(langevin(MODES.score, 0.1, 1), MODES, rounds=0), ValueError, "rounds is 0"),
        (lambda: stationary(langevin(MODES.score, 0.02, 1), MODES, rounds=3), ValueError, "after 3 rounds of 1 steps"),
        (lambda: stationary(langevin(lambda x: x, 0.1, 3), Gaussian([0.0], 1.0)), ValueError, "stretches by 1.331"),
        (lambda: stationary(Chain(lambda x, t: -x, *[[0.5]] * 3, [0.0]), Gaussian([0.0], 1.0)), ValueError, "without noise"),
    ],
)
def test_refusals_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_the_longest_step_is_sharp():
    target = Gaussian([1.0], 0.5)
    assert langevin_stationary(target, 1.0 - 1e-9).cov[0, 0] > 1e8


def test_steps_whose_slopes_do_not_commute():
    """Two noise levels of scores with different axes: the order of the steps shows."""
    axes = np.array([[[-1.0, 0.9], [0.0, -0.5]], [[-0.4, 0.0], [0.8, -1.1]]])
    chain = Chain(lambda x, t: x @ axes[int(t)].T + 0.3, [0.0, 1.0], [1.0, 1.0], [0.3, 0.5], [0.2, 0.4])
    settled, _ = stationary(chain, Gaussian([0.0, 0.0], 1.0))
    again = law(chain, settled)
    np.testing.assert_allclose(again.cov, settled.cov, rtol=1e-13)
    np.testing.assert_allclose(again.mean, settled.mean, rtol=1e-13)


def test_weighted_points_under_minibatches():
    """Every datum is drawn alike, every point keeps its weight."""
    from refscore.densities import PointSet

    data, points = np.array([[0.0], [1.0], [4.0]]), PointSet([[0.0], [1.0], [2.0]], [0.1, 0.2, 0.7])
    chain = sgld(lambda x, y: y - x, data, 1, np.array([0.1]), lambda x: -x)
    after = law(chain, points)
    expected = points.weights @ chain.means(0, points.points).mean(axis=0)
    np.testing.assert_allclose(after.mean, expected, rtol=1e-14)
