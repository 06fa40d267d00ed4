"""Predictor-corrector chains: the algorithm as a loop, their pieces, the step rule, refusals, the same bits."""

import numpy as np
import pytest

from refscore import _blocks
from refscore.densities import Gaussian, GaussianMixture
from refscore.distances import fisher_information, total_variation
from refscore.laws import langevin_stationary, law
from refscore.processes import OU, VP, MarginalScore
from refscore.samplers import langevin, predictor_corrector, reverse_sde, snr_steps

DATA = GaussianMixture([0.3, 0.7], [[-1.5, 0.2], [1.0, -0.4]], [0.16, 0.36])
TIMES = np.array([0.97, 0.8, 0.73, 0.4, 0.15, 0.02])
EPS_STEPS = np.array([0.3, 0.2, 0.15, 0.07, 0.01])
SCORE = MarginalScore(VP(), DATA)


@pytest.mark.parametrize("scheme", ["euler_maruyama", "exponential"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_predictor_steps_and_langevin_steps_take_turns(scheme, count):
    chain = predictor_corrector(VP(), SCORE, TIMES, count, EPS_STEPS, scheme)
    predictor = reverse_sde(VP(), SCORE, TIMES, scheme)
    assert len(chain) == 5 * (1 + count)
    x, z = np.random.default_rng(0).normal(size=(2, 4, 2))
    for i in range(5):
        first = i * (1 + count)
        np.testing.assert_array_equal(chain.step(first, x, z), predictor.step(i, x, z))
        corrector = langevin(lambda x, i=i: SCORE(x, TIMES[i + 1]), EPS_STEPS[i], 1)
        for k in range(first + 1, first + 1 + count):
            np.testing.assert_array_equal(chain.step(k, x, z), corrector.step(0, x, z))


def test_no_corrector_step_where_eps_is_zero():
    chain = predictor_corrector(VP(), SCORE, [0.5, 0.2, 0.0], 2, snr_steps(VP(), [0.2, 0.0], 0.1))
    np.testing.assert_array_equal(chain.times, [0.5, 0.2, 0.2, 0.2])


def test_many_corrector_steps_lead_to_the_corrector_s_own_law():
    """Whatever the predictor did, the corrector settles at ITS stationary law, which is not p_s."""
    target, process = Gaussian([0.7], 0.5), OU(0.8, 0.9)
    marginal = process.marginal(target, 0.1)
    chain = predictor_corrector(process, MarginalScore(process, target), [1.0, 0.1], 300, 0.2)
    settled = law(chain, Gaussian([3.0], 2.0))
    np.testing.assert_allclose(settled.cov, langevin_stationary(marginal, 0.2).cov, rtol=1e-12)
    assert total_variation(settled, marginal)[0] > 0.02


def test_step_rule():
    """eps |g| = r sqrt(2 eps d): with the noise's score 2 r^2 sigma^2, with the law's 2 r^2 d/I, which is longer."""
    times = np.array([0.9, 0.4, 0.1])
    plain = snr_steps(VP(), times, 0.16)
    np.testing.assert_allclose(plain, 2 * 0.16**2 * VP().sigma(times) ** 2, rtol=1e-14)
    norms = np.array([fisher_information(VP().marginal(DATA, t))[0] / 2 for t in times])
    exact = snr_steps(VP(), times, 0.16, norms)
    np.testing.assert_allclose(exact * norms, 2 * 0.16**2, rtol=1e-14)
    assert (exact > plain).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(dtype):
    x = np.random.default_rng(1).normal(size=(10_000, 2)).astype(dtype)
    chain = predictor_corrector(VP(), SCORE, TIMES, 1, EPS_STEPS)
    with _blocks.parallel(threads=1):
        one = chain.simulate(x, 3)
    with _blocks.parallel(threads=2):
        two = chain.simulate(x, 3)
    assert one.dtype == dtype and np.array_equal(one, two)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: predictor_corrector(VP(), SCORE, TIMES, -1, 0.1), ValueError, "corrector_steps is -1"),
        (lambda: predictor_corrector(VP(), SCORE, TIMES, 1, EPS_STEPS[:2]), ValueError, r"eps has shape \(2,\)"),
        (lambda: predictor_corrector(VP(), SCORE, TIMES, 1, -0.1), ValueError, "smallest -0.1"),
        (lambda: predictor_corrector(VP(), SCORE, TIMES, 1, np.inf), ValueError, "must be finite"),
        (lambda: predictor_corrector(VP(), SCORE, TIMES[::-1], 1, 0.1), ValueError, "strictly decreasing"),
        (lambda: predictor_corrector(VP(), SCORE, TIMES, 1, 0.1, "heun"), ValueError, "scheme is 'heun'"),
        (lambda: snr_steps(VP(), TIMES, 0.0), ValueError, "snr is 0.0"),
        (lambda: snr_steps(VP(), TIMES, 0.1, [1.0]), ValueError, "score_norms has shape"),
        (lambda: snr_steps(VP(), [0.5], 0.1, [0.0]), ValueError, "score_norms has shape"),
    ],
)
def test_refusals_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()
