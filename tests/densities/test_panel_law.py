"""Polynomials on panels as a density: against the law they came from, a law with a jump by hand, distances, refusals."""

import pickle

import numpy as np
import pytest
from scipy.integrate import quad

from refscore import _blocks
from refscore.densities import Gaussian, GaussianMixture, Laplace, PanelLaw, PushForward
from refscore.densities.panel_law import gauss
from refscore.distances import kl, total_variation, wasserstein2

MODES = GaussianMixture([0.3, 0.7], [[-1.0], [1.1]], [0.25, 0.36])
OTHER = Gaussian([0.4], 0.8)


def on_panels(density, edges, order=16):
    nodes, _ = gauss(np.asarray(edges, dtype=float), order)
    return PanelLaw(edges, np.exp(density.logpdf(nodes[:, None])).reshape(-1, order))


LAW = on_panels(MODES, np.linspace(-7, 7.5, 40))


def stairs(x):
    """Density 3/2 on (0, 1/2) and 1/4 (1 + 4 (x - 1/2)) on (1/2, 1): a jump, and a slope."""
    return np.where(x < 0.5, 1.5, 0.25 + (x - 0.5))


STAIRS = PanelLaw([0.0, 0.5, 1.0], 3 * stairs(gauss(np.array([0.0, 0.5, 1.0]), 8)[0]).reshape(2, 8))


def test_it_has_what_the_mixture_has():
    x = np.linspace(-4, 4.5, 60)[:, None]
    for name in ("logpdf", "score", "cdf", "sf"):
        np.testing.assert_allclose(getattr(LAW, name)(x), getattr(MODES, name)(x), rtol=1e-8, atol=1e-12, err_msg=name)
    assert (np.abs(LAW.logpdf(x) - MODES.logpdf(x)) <= LAW.logpdf_error(x)).all()
    np.testing.assert_allclose(LAW.mean, MODES.mean, rtol=1e-12)
    np.testing.assert_allclose(LAW.cov, MODES.cov, rtol=1e-12)
    assert 1e-15 < LAW.error < 1e-11


def test_a_law_with_a_jump_by_hand():
    """The two pieces have mass 3/4 and 1/8 + 1/8: 1 in all, so that the factor 3 of the values is divided out."""
    x = np.array([[0.2], [0.5], [0.7], [1.0]])
    np.testing.assert_allclose(STAIRS.density(x), stairs(x[:, 0]), rtol=1e-14)
    np.testing.assert_allclose(STAIRS.score([[0.2], [0.7]])[:, 0], [0.0, 1 / 0.45], atol=1e-12)
    np.testing.assert_allclose(STAIRS.cdf(x), [0.3, 0.75, 0.75 + 0.05 + 0.02, 1.0], rtol=1e-14)
    np.testing.assert_allclose(STAIRS.sf(x), 1 - STAIRS.cdf(x), atol=1e-15)
    np.testing.assert_allclose(STAIRS.mean, [quad(lambda x: x * stairs(x), 0, 1, points=[0.5])[0]], rtol=1e-13)
    outside = np.array([[-0.1], [1.1]])
    assert (STAIRS.density(outside) == 0).all() and (STAIRS.score(outside) == 0).all()
    assert (STAIRS.logpdf(outside) == -np.inf).all() and (STAIRS.logpdf_error(outside) == 0).all()
    assert STAIRS.cdf(outside).tolist() == [0.0, 1.0] and STAIRS.sf(outside).tolist() == [1.0, 0.0]


def test_small_tails_keep_their_digits():
    x = np.array([[5.0], [6.0]])
    np.testing.assert_allclose(LAW.sf(x), MODES.sf(x), rtol=1e-6)
    assert LAW.sf(x)[1] < 1e-14


def test_expectation_halves_panels_until_they_resolve_f():
    for f, right in ((lambda x: x, MODES.mean), (lambda x: np.cos(40 * x[:, 0]), None), (lambda x: np.abs(x[:, 0] - 0.123), None)):
        if right is None:
            right = quad(lambda x, f=f: f(np.array([[x]]))[0] * np.exp(MODES.logpdf([[x]])[0]), -7, 7, points=[0.123], limit=900,
                         epsabs=1e-13)[0]
        value, error = LAW.expectation(f, tolerance=1e-12)
        assert (np.abs(value - right) <= error + 1e-12).all() and np.max(error) < 1e-11
    x, w = LAW.nodes(0.3)
    np.testing.assert_allclose([w.sum(), *(w @ x)], [1.0, *MODES.mean], rtol=1e-12)
    with pytest.warns(RuntimeWarning, match="above tolerance"):
        LAW.expectation(lambda x: np.cos(400 * x[:, 0]), max_nodes=1000)


@pytest.mark.parametrize("most", [1, 40, 1000, 20_000])
def test_few_nodes_give_a_value_within_its_error_and_a_warning(most):
    """E cos 60x in closed form: the 624 nodes of the law do not resolve it. The error covers what is left, however few."""
    asked = []

    def f(x):
        asked.append(len(x))
        return np.cos(60 * x[:, 0])

    right = float((MODES.weights * np.cos(60 * MODES.means[:, 0]) * np.exp(-0.5 * 60**2 * MODES.covs)).sum())
    if most < 20_000:
        with pytest.warns(RuntimeWarning, match="max_nodes is too small"):
            value, error = LAW.expectation(f, max_nodes=most)
        assert error > 1e-11
    else:
        value, error = LAW.expectation(f, max_nodes=most)
        assert error < 1e-11
    assert abs(value - right) <= error
    assert all(n <= max(most, 1) for n in asked[1:])


def test_draws_follow_the_distribution_function():
    """n = 1e5: the largest gap between the empirical and the true function is above 2.8/sqrt(n) with probability 3e-7 (Massart)."""
    n = 100_000
    for law in (LAW, STAIRS):
        x = np.sort(law.sample(n, 3)[:, 0])
        assert np.abs(law.cdf(x[:, None]) - (np.arange(n) + 0.5) / n).max() < 2.8 / np.sqrt(n)
    with _blocks.parallel(threads=2):
        np.testing.assert_array_equal(np.sort(STAIRS.sample(n, 3)[:, 0]), x)
    assert pickle.loads(pickle.dumps(STAIRS)).sample(3, 1).tolist() == STAIRS.sample(3, 1).tolist()


PUSHED = PushForward(OTHER, lambda x: x + 0.3 * np.tanh(x))


@pytest.mark.slow
@pytest.mark.parametrize("other", [OTHER, PUSHED, on_panels(OTHER, np.linspace(-8, 8, 33))], ids=["mixture", "pushed", "panels"])
def test_distances_are_those_of_the_mixture(other):
    as_before = OTHER if isinstance(other, PanelLaw) else other
    for distance, bound in ((total_variation, 1e-10), (wasserstein2, 1e-6)):
        for one, two, plain in ((LAW, other, (MODES, as_before)), (other, LAW, (as_before, MODES))):
            value, error = distance(one, two)
            right, doubt = distance(*plain)
            slack = 0.0 if distance is total_variation else 1e-9  # W_2 sees the polynomials: mass 1e-12 moved by 1 costs 1e-6
            assert abs(value - right) <= error + doubt + slack and error < bound, distance.__name__
    if not isinstance(other, PushForward):
        value, error = kl(LAW, other)
        right, doubt = kl(MODES, as_before)
        assert abs(value - right) <= error + doubt and error < 1e-10


def test_total_variation_of_stairs_by_hand():
    """Against a uniform law: 1/2 int |p - 1| = (3/2 - 1) 1/2; and against panels that lie elsewhere, 1."""
    uniform, away = PanelLaw([0.0, 1.0], np.ones((1, 8))), PanelLaw([3.0, 4.0], np.ones((1, 8)))
    value, error = total_variation(STAIRS, uniform)
    assert abs(value - 0.25) <= error < 1e-12
    value, error = total_variation(STAIRS, away)
    assert abs(value - 1) <= error < 1e-12
    value, error = wasserstein2(uniform, away)
    assert abs(value - 3) <= error < 1e-12


def test_a_density_that_knows_no_distribution_function():
    """TV(Laplace(0, 1), Laplace(0, 2)): they cross at |x| = 2 log 2, where the tails are e^{-2 log 2} = 1/4 and 1/2."""
    narrow = on_panels(Laplace([0.0], 1.0), np.linspace(-40, 40, 81))
    value, error = total_variation(narrow, Laplace([0.0], 2.0))
    assert abs(value - 0.25) <= error < 1e-7  # e^-20 of the wider law lies outside
    assert total_variation(Laplace([0.0], 2.0), narrow)[0] == value


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: PanelLaw([0.0, 1.0], np.ones((2, 4))), ValueError, "pass .1, order."),
        (lambda: PanelLaw([1.0, 0.0], np.ones((1, 4))), ValueError, "strictly increasing"),
        (lambda: PanelLaw([0.0, 1.0], -np.ones((1, 4))), ValueError, "mass -1"),
        (lambda: PanelLaw([0.0, 1.0], np.full((1, 4), np.nan)), ValueError, "values.0, 0. is nan"),
        (lambda: LAW.nodes(2.0), ValueError, "at most 1"),
        (lambda: LAW.expectation(lambda x: 1.0), ValueError, "f returned shape"),
        (lambda: kl(Gaussian([0.0], 4.0), LAW), ValueError, "no mass outside its panels"),
        (lambda: total_variation(LAW, 3.0), TypeError, "q is float"),
    ],
)
def test_refusals_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()
