"""Laws of chains that may refuse a step: stationarity, closed forms, moments by adaptive quadrature of one step, refusals."""

import numpy as np
import pytest

from refscore.densities import Gaussian, GaussianMixture
from refscore.distances import total_variation
from refscore.laws import PanelLaw, acceptance_rate, law, law_with_error
from refscore.samplers import mala
from refscore.samplers.mala import MetropolisChain

TARGET = Gaussian([0.4], 0.7)
MODES = GaussianMixture([0.3, 0.7], [[-1.0], [1.1]], [0.25, 0.36])


def adjusted(density, step, n_steps=1):
    return mala(density.score, density.logpdf, step, n_steps)


@pytest.mark.parametrize("step", [0.03, 0.4, 1.3])
def test_acceptance_rate_of_a_gaussian_is_an_arcsine(step):
    """2 P(|Y - m| < |X - m|), X ~ N(m, c), Y = m + rho (X - m) + sqrt(2 eta) z: 1 - 2/pi arcsin corr(Y - X, X + Y - 2m)."""
    c, rho = 0.7, 1 - step / 0.7
    y = rho**2 * c + 2 * step
    right = 1 - 2 / np.pi * np.arcsin((y - c) / np.sqrt((c + y) ** 2 - 4 * (rho * c) ** 2))
    rate, error = acceptance_rate(adjusted(TARGET, step), TARGET)
    assert abs(rate - right) <= error < 1e-11


@pytest.mark.parametrize(("density", "step"), [(TARGET, 0.4), (MODES, 0.15)])
def test_p_is_left_alone(density, step):
    settled, error = law_with_error(adjusted(density, step, 7), density)
    assert settled.distance(density) <= error < 1e-10
    x = np.linspace(-2, 2.5, 30)[:, None]
    np.testing.assert_allclose(settled.density(x), np.exp(density.logpdf(x)), rtol=0, atol=1e-11)
    np.testing.assert_allclose(settled.cdf(x), density.cdf(x), rtol=0, atol=1e-11)
    np.testing.assert_allclose([settled.mean[0], settled.cov[0, 0]], [density.mean[0], density.cov[0, 0]], rtol=1e-10)


def test_one_step_against_adaptive_quadrature():
    """p_1(y) and P(X_1 <= y) for a mixture, by SciPy's adaptive rule with the kinks found on a fine grid."""
    from scipy.integrate import quad

    start, eta = Gaussian([-0.3], 0.5), 0.25
    chain = adjusted(MODES, eta)
    found = law(chain, start)

    def flux(x, y):
        there = np.exp(-((y - x - eta * MODES.score([[x]])[0, 0]) ** 2) / (4 * eta)) / np.sqrt(4 * np.pi * eta)
        return there * np.exp(min(0.0, chain.log_ratio(0, [[x]], [[y]])[0]))

    def p0(x):
        return np.exp(start.logpdf([[x]]))[0]

    for y in (-1.3, 0.2, 1.5):
        grid = np.linspace(-5.5, 5.5, 2001)[:, None]
        sign = chain.log_ratio(0, grid, np.full_like(grid, y)) > 0
        kinks = [*grid[1:, 0][sign[1:] != sign[:-1]], y]
        edges = np.unique(np.clip([-5.5, *kinks, 5.5], -5.5, 5.5))
        inflow = sum(quad(lambda x, y=y: p0(x) * flux(x, y), a, b, epsabs=1e-12)[0] for a, b in zip(edges, edges[1:], strict=False))
        leaving = sum(quad(lambda z, y=y: flux(y, z), a, b, epsabs=1e-12)[0] for a, b in zip(edges, edges[1:], strict=False))
        assert abs(found.density([[y]])[0] - inflow - (1 - leaving) * p0(y)) < 3e-8  # the kinks are known to 0.005 here: e^2 slope


def test_many_steps_lead_to_p_from_anywhere():
    start = Gaussian([2.0], 0.1)
    after = [law(adjusted(TARGET, 0.4, n), start).distance(TARGET) for n in (1, 10, 60)]
    assert after[0] > 0.3 > 0.02 > after[1] > 1e-5 and after[2] < 1e-9


def test_the_law_has_mass_one_and_agrees_with_its_own_distribution_function():
    settled = law(adjusted(MODES, 0.3, 3), Gaussian([-1.0], 0.25))
    assert isinstance(settled, PanelLaw) and settled.dim == 1
    assert abs(settled.expectation(lambda x: np.ones(len(x)))[0] - 1) < 1e-11
    x, h = np.array([[-1.2], [0.1], [1.3]]), 1e-4
    np.testing.assert_allclose((settled.cdf(x + h) - settled.cdf(x - h)) / (2 * h), settled.density(x), rtol=1e-6)
    assert settled.cdf([[-50.0], [50.0]])[0] == 0 and settled.logpdf([[-50.0]])[0] == -np.inf
    assert settled.distance(settled) < 1e-14


def test_distance_is_total_variation():
    settled, other = law(adjusted(TARGET, 0.4, 3), TARGET), Gaussian([1.0], 0.4)
    exact, error = total_variation(TARGET, other)
    assert abs(settled.distance(other) - exact) < 1e-12 + error
    assert abs(settled.distance(law(adjusted(other, 0.1, 2), other)) - exact) < 1e-11


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: law(adjusted(Gaussian([0.0, 0.0], 1.0), 0.1), Gaussian([0.0, 0.0], 1.0)), ValueError, "one dimension, here are 2"),
        (lambda: acceptance_rate(adjusted(TARGET, 0.1), 3.0), TypeError, "density is float"),
        (lambda: acceptance_rate(adjusted(TARGET, 0.1).proposal, TARGET), TypeError, "takes every step"),
        (lambda: law(adjusted(TARGET, 0.1), 3.0), TypeError, "initial is float"),
        (lambda: law(adjusted(TARGET, 1e-7), TARGET), ValueError, "nodes, more than"),
        (lambda: law(mala(TARGET.score, lambda x: np.where(x[:, 0] > 0, 0.0, -np.inf), 0.1, 1), TARGET), ValueError, "p > 0"),
        (lambda: law(_unequal(), TARGET), ValueError, "steps of the chain differ"),
    ],
)
def test_refusals_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()


def _unequal():
    from refscore.samplers import annealed_langevin

    return MetropolisChain(annealed_langevin(lambda x, s: -x, [1.0, 0.5], 0.1, 1), TARGET.logpdf)
