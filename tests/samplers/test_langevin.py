"""Langevin chains: every step against its formula, simulation against exact laws, refusals, the same bits always."""

import pickle

import numpy as np
import pytest

from refscore import _blocks
from refscore.densities import Gaussian, GaussianMixture
from refscore.laws import law
from refscore.networks import MLP
from refscore.processes import geometric_ladder
from refscore.samplers import annealed_langevin, langevin

DATA = GaussianMixture([0.3, 0.7], [[-1.5, 0.2], [1.0, -0.4]], [0.16, 0.36])
SIGMAS = np.array([2.1, 1.3, 0.4])
EPS = np.finfo(float).eps


def corrupted(x, sigma):
    return DATA.corrupted(1.0, sigma).score(x)


@pytest.mark.parametrize("n_steps", [1, 7, 13])
@pytest.mark.parametrize(("convention", "drift", "variance"), [("eta", 1.0, 2.0), ("half_eta", 0.5, 1.0)])
def test_a_step_is_the_formula(n_steps, convention, drift, variance):
    x, z = np.random.default_rng(1).normal(size=(2, 5, 2))
    chain = langevin(DATA.score, 0.07, n_steps, convention)
    assert len(chain) == n_steps
    for k in (0, n_steps - 1):
        right = x + drift * 0.07 * DATA.score(x) + np.sqrt(variance * 0.07) * z
        np.testing.assert_allclose(chain.step(k, x, z), right, rtol=0, atol=16 * EPS * np.abs(right).max())


def test_eta_is_the_default_of_langevin_and_half_eta_that_of_algorithm_1():
    assert langevin(DATA.score, 0.1, 1).b == 0.1 and langevin(DATA.score, 0.1, 1).v == 0.2
    chain = annealed_langevin(corrupted, SIGMAS, 0.1, 1)
    np.testing.assert_allclose(chain.b, 0.05 * (SIGMAS / 0.4) ** 2, rtol=4 * EPS)
    np.testing.assert_allclose(chain.v, 0.1 * (SIGMAS / 0.4) ** 2, rtol=4 * EPS)


@pytest.mark.parametrize("n_steps", [7, 13])
def test_levels_one_after_another(n_steps):
    chain = annealed_langevin(corrupted, SIGMAS, 0.1, n_steps)
    np.testing.assert_array_equal(chain.times, [s for s in SIGMAS for _ in range(n_steps)])
    by_level = [langevin(lambda x, s=s: corrupted(x, s), 0.1 * (s / SIGMAS[-1]) ** 2, n_steps, "half_eta") for s in SIGMAS]
    x, z = np.random.default_rng(2).normal(size=(2, 4, 2))
    for k in range(len(chain)):
        np.testing.assert_allclose(chain.step(k, x, z), by_level[k // n_steps].step(k % n_steps, x, z), rtol=1e-14, atol=1e-14)


def test_one_level_is_plain_langevin():
    x = np.random.default_rng(0).normal(size=(50, 2))
    one = annealed_langevin(corrupted, [0.4], 0.05, 7).simulate(x, 3)
    np.testing.assert_array_equal(one, langevin(lambda y: corrupted(y, 0.4), 0.05, 7, "half_eta").simulate(x, 3))


def test_a_score_of_two_arguments_is_asked_at_the_data():
    seen = []

    def score(x, t):
        seen.append(t)
        return -x

    langevin(score, 0.1, 2).simulate(np.ones((3, 1)), 0)
    assert set(seen) == {0.0}
    network = MLP((2, 4, 1), "tanh", 0)  # t is optional in its signature: it is called without, and says what it lacks
    with pytest.raises(ValueError, match="pass t"):
        langevin(network, 0.1, 1).mean(0, np.ones((3, 1)))


def test_stationary_law_of_a_gaussian():
    """C (I - eta/2 C^{-1})^{-1}, too wide, exactly: the step maps it to itself."""
    target, eta = Gaussian([2.0, -1.0], [[0.5, 0.3], [0.3, 0.4]]), 0.11
    wide = target.cov @ np.linalg.inv(np.eye(2) - eta / 2 * np.linalg.inv(target.cov))
    after = law(langevin(target.score, eta, 7), Gaussian(target.mean, wide))
    np.testing.assert_allclose(after.cov, wide, rtol=1e-13)
    np.testing.assert_allclose(after.mean, target.mean, rtol=1e-13)
    right = target.cov @ np.linalg.inv(np.eye(2) - eta * np.linalg.inv(target.cov))  # twice the bias: not stationary
    assert np.abs(law(langevin(target.score, eta, 7), Gaussian(target.mean, right)).cov - right).max() > 1e-2


def test_simulation_agrees_with_the_exact_law():
    """Sample quantiles against the law of a mixture's annealed chain in one dimension.

    n = 40 000, distribution function at 5 points, each |z| < 6 (false alarm 2e-9, 1e-8 in all): it sees 1.5 % of the mass
    misplaced, such as noise left out in a level, levels reversed, a step length off by a factor 2.
    """
    data = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
    chain = annealed_langevin(lambda x, s: data.corrupted(1.0, s).score(x), SIGMAS, 0.1, 7)
    start, n = Gaussian([0.2], 4.0), 40_000
    exact, x = law(chain, start), chain.simulate(start.sample(n, 5), 6)
    at = np.array([-2.5, -1.4, -0.2, 0.8, 1.9])
    p = exact.cdf(at[:, None])
    found = (x < at).mean(axis=0)
    assert (np.abs(found - p) / np.sqrt(p * (1 - p) / n)).max() < 6
    for wrong in (chain[::-1], chain[:7], annealed_langevin(chain.score, SIGMAS, 0.2, 7)):
        q = law(wrong, start).cdf(at[:, None])
        assert (np.abs(found - q) / np.sqrt(p * (1 - p) / n)).max() > 12  # the design sees these


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(dtype):
    x = np.random.default_rng(1).normal(size=(20_000, 2)).astype(dtype)
    chain = annealed_langevin(corrupted, SIGMAS, 0.1, 2)
    with _blocks.parallel(threads=1):
        one = chain.simulate(x, 3)
    with _blocks.parallel(threads=2):
        two = chain.simulate(x, 3)
    assert one.dtype == dtype and np.array_equal(one, two)


def test_chains_can_be_sent_to_other_processes():
    chain = langevin(DATA.score, 0.1, 3)
    x = np.ones((2, 2))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(chain)).simulate(x, 1), chain.simulate(x, 1))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: langevin(DATA.score, 0.0, 3), ValueError, "step is 0.0"),
        (lambda: langevin(DATA.score, -0.1, 3), ValueError, "step is -0.1"),
        (lambda: langevin(DATA.score, np.nan, 3), ValueError, "step is nan"),
        (lambda: langevin(DATA.score, 0.1, 0), ValueError, "n_steps is 0"),
        (lambda: langevin(DATA.score, 0.1, 2.0), TypeError, "n_steps is float"),
        (lambda: langevin(DATA.score, 0.1, 3, "sqrt"), ValueError, "convention is 'sqrt'"),
        (lambda: langevin(3, 0.1, 3), TypeError, "density.score"),
        (lambda: annealed_langevin(corrupted, SIGMAS[::-1], 0.1, 3), ValueError, r"strictly decreasing, pass sigmas\[::-1\]"),
        (lambda: annealed_langevin(corrupted, [1.0, 1.0], 0.1, 3), ValueError, "strictly decreasing"),
        (lambda: annealed_langevin(corrupted, [1.0, 0.0], 0.1, 3), ValueError, "positive"),
        (lambda: annealed_langevin(corrupted, [], 0.1, 3), ValueError, "sigmas has shape"),
        (lambda: annealed_langevin(corrupted, 1.0, 0.1, 3), ValueError, "sigmas has shape"),
        (lambda: annealed_langevin(corrupted, [np.inf, 1.0], 0.1, 3), ValueError, "must be finite"),
        (lambda: annealed_langevin(corrupted, SIGMAS, 0.0, 3), ValueError, "eps is 0.0"),
        (lambda: annealed_langevin(corrupted, SIGMAS, 0.1, 0), ValueError, "n_steps is 0"),
        (lambda: annealed_langevin(corrupted, [1e200, 1e-200], 0.1, 3), ValueError, "exceeds float64"),
        (lambda: annealed_langevin(corrupted, SIGMAS, 0.1, 3, "alpha"), ValueError, "convention is 'alpha'"),
    ],
)
def test_refusals_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_step_too_long_is_refused_when_it_diverges():
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="shorter steps"):
        langevin(lambda x: -1e10 * x, 1.0, 40).simulate(np.ones((1, 1)), 0)


def test_before_it_overflows_a_chain_that_diverges_hands_out_its_states():
    """Slope 1 - 1e10 a step: about 1e220 after 22 of them, and beyond float64 after 31."""
    score = Gaussian([0.0], 1e-10).score
    far = langevin(score, 1.0, 22).simulate(np.ones((2, 1)), 0)
    assert (np.abs(far) > 1e219).all() and np.isfinite(far).all()
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="shorter steps"):
        langevin(lambda x: -1e10 * x, 1.0, 31).simulate(np.ones((2, 1)), 0)


def test_no_level_overshoots_below_the_stated_step():
    """eps <= 2 sigma_L^2 keeps the slope of the mean at or above 0; data in one point, whose score is steepest, reach 0."""
    ladder = geometric_ladder(5.0, 0.2, 4)
    point = Gaussian([0.7], 1e-18)
    chain = annealed_langevin(lambda x, s: point.corrupted(1.0, s).score(x), ladder, 2 * 0.2**2, 1)
    for k in range(4):
        mean = chain.mean(k, np.array([[-1.0], [3.0]]))
        assert abs((mean[1] - mean[0])[0]) < 1e-14  # slope 1 - eps/(2 sigma_L^2) = 0
