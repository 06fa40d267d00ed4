"""Laws of chains that may refuse a step: stationarity, closed forms, moments by adaptive quadrature of one step, refusals."""

import numpy as np
import pytest

from refscore.densities import Gaussian, GaussianMixture, Laplace, TwoSidedExponential
from refscore.distances import kl, total_variation
from refscore.laws import acceptance_rate, law, law_with_error
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


@pytest.mark.parametrize(("density", "step"), [(TARGET, 0.4), pytest.param(MODES, 0.15, marks=pytest.mark.slow)])
def test_p_is_left_alone(density, step):
    settled, error = law_with_error(adjusted(density, step, 7), density)
    away, doubt = total_variation(settled, density)
    assert away <= error + doubt and error < 1e-10 and doubt < 1e-11
    x = np.linspace(-2, 2.5, 30)[:, None]
    np.testing.assert_allclose(settled.density(x), np.exp(density.logpdf(x)), rtol=0, atol=1e-11)
    np.testing.assert_allclose(settled.cdf(x), density.cdf(x), rtol=0, atol=1e-11)
    np.testing.assert_allclose([settled.mean[0], settled.cov[0, 0]], [density.mean[0], density.cov[0, 0]], rtol=1e-10)


@pytest.mark.slow
def test_far_from_the_origin_the_law_is_the_shifted_one_within_its_error():
    """At 2^20, where floats are 2e-10 apart: MODES shifted by it, which rounds nothing but the states."""
    far, u = 2.0**20, np.linspace(-4, 4, 2001)[:, None]
    moved = GaussianMixture([0.3, 0.7], [[far - 1.0], [far + 1.125]], [0.25, 0.36])
    near = GaussianMixture([0.3, 0.7], [[-1.0], [1.125]], [0.25, 0.36])
    found, error = law_with_error(adjusted(moved, 0.15, 3), Gaussian([far], 0.8))
    right, doubt = law_with_error(adjusted(near, 0.15, 3), Gaussian([0.0], 0.8))
    away = 8 / 2 * float(np.abs(found.density(far + u) - right.density(u)).mean())
    assert 1e-12 < away <= error + doubt < 1e-8


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
    after = [total_variation(law(adjusted(TARGET, 0.4, n), start), TARGET)[0] for n in (1, 10, 60)]
    assert after[0] > 0.3 > 0.02 > after[1] > 1e-5 and after[2] < 1e-9


def test_a_jump_of_the_score_is_an_edge_of_a_panel():
    """Asymmetric Laplace law around 0.7, where its score does not exist and bisection arrives; MALA settles there."""
    kinked, start = TwoSidedExponential([0.7], [1.0], [0.6]), Gaussian([0.9], 1.0)
    chain = adjusted(kinked, 0.3, 300)
    settled, error = law_with_error(chain, start)
    assert error < 1e-10 and 0.7 in np.round(settled.edges, 15)
    away, doubt = total_variation(settled, kinked)
    assert away <= error + doubt + 1e-12 and doubt < 1e-11
    divergence, doubt = kl(settled, kinked)
    assert abs(divergence) < doubt + 1e-15
    assert total_variation(law(chain[:5], start), kinked)[0] > 0.01


@pytest.mark.slow
def test_two_steps_towards_a_kink_agree_with_simulation():
    """E cos and P(X <= 0.7) of 4e5 draws within 5 standard errors, of 8e-4 each."""
    kinked, start, n = Laplace([0.7], 1.0), Gaussian([0.2], 0.3), 400_000
    chain = adjusted(kinked, 0.8, 2)
    found, x = law(chain, start), chain.simulate(start.sample(n, 5), 6)
    for f in (lambda x: np.cos(x[:, 0]), lambda x: np.sin(2 * x[:, 0])):
        assert abs(found.expectation(f)[0] - f(x).mean()) < 5 * f(x).std() / np.sqrt(n)
    for at in (0.3, 0.7, 1.0):
        assert abs(found.cdf([[at]])[0] - (x <= at).mean()) < 5 * 0.5 / np.sqrt(n)


@pytest.mark.slow
def test_memory_does_not_follow_the_square_of_the_nodes():
    """Tables of a block of rows against all nodes, and the kernel itself: for 1500 nodes a dozen of 4 MB and one of 18 MB."""
    import tracemalloc

    kinked = Laplace([0.7], 1.0)
    chain = adjusted(kinked, 0.04, 2)
    tracemalloc.start()
    try:
        found = law(chain, Gaussian([0.9], 0.25))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.values.size > 1300 and peak < 8 * 2.5 * found.values.size**2 + 150e6


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: law(adjusted(Gaussian([0.0, 0.0], 1.0), 0.1), Gaussian([0.0, 0.0], 1.0)), ValueError, "one dimension, here are 2"),
        (lambda: acceptance_rate(adjusted(TARGET, 0.1), 3.0), TypeError, "density is float"),
        (lambda: acceptance_rate(adjusted(TARGET, 0.1).proposal, TARGET), TypeError, "takes every step"),
        (lambda: law(adjusted(TARGET, 0.1), 3.0), TypeError, "initial is float"),
        (lambda: law(adjusted(TARGET, 1e-7), TARGET), ValueError, "nodes, more than"),
        (lambda: law(adjusted(Gaussian([1e9], 0.7), 0.3), Gaussian([1e9], 0.7)), ValueError, "around 1e.09, .*shift it"),
        (lambda: law(adjusted(Gaussian([1e6], 0.7), 0.3), Gaussian([1e6], 0.7)), ValueError, "known only to .*shift chain and law"),
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
