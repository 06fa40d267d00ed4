"""The second roads of the ladder's identities, judged by a third: closed forms, eigenvalues, simulation."""

import math

import mpmath as mp
import numpy as np
import pytest

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import annealing, low_density, noise_ladder
from refscore.identities._nystrom import Step, by_hand, nystrom, tv_by_quadrature
from refscore.samplers import langevin


def test_nystrom_of_a_linear_score_is_the_closed_recursion():
    """Kernels N(a x + b (c - x), v) keep Gaussians; repeated and changing steps."""
    steps = [Step(1.0, 0.2, 0.4, lambda y: 1.5 - y)] * 3 + [Step(0.9, 0.1, 0.3, lambda y: -2.0 * y)]
    mean, variance = 0.7, 0.5
    for a, b, v, score in steps:
        slope = a + b * float(score(1.0) - score(0.0))
        mean, variance = slope * mean + b * score(0.0), slope**2 * variance + v
    law, defect = nystrom(steps, by_hand(Gaussian([0.7], 0.5), 1.0, 0.0)[0], 17, 9.0)
    y = np.linspace(-2, 3, 11)
    np.testing.assert_allclose(law.density(y), by_hand(Gaussian([mean], variance), 1.0, 0.0)[0](y), rtol=1e-12)
    assert law.above(0.4) == pytest.approx(math.erfc((0.4 - mean) / math.sqrt(2 * variance)) / 2, rel=1e-12) and defect < 1e-13


def test_scores_by_hand_where_the_density_is_below_float64():
    mixture = GaussianMixture([0.3, 0.7], [[-1.0], [2.0]], [0.2, 0.1])
    y = np.array([-80.0, 0.3, 90.0])
    np.testing.assert_allclose(by_hand(mixture, 0.9, 0.01)[1](y), mixture.corrupted(0.9, 0.1).score(y[:, None])[:, 0], rtol=1e-12)


def test_tv_by_quadrature_of_two_shifted_gaussians():
    p, q = (by_hand(Gaussian([m], 0.64), 1.0, 0.0)[0] for m in (-0.3, 0.5))
    value, error = tv_by_quadrature(p, q)
    assert abs(value - math.erf(0.5 / math.sqrt(2))) < error < 1e-12


@pytest.mark.parametrize("sigma", [1.0, 0.5])
def test_steps_to_relax_by_running_two_chains(sigma):
    """The difference between starts on the left and on the right falls by e in that many steps, once faster modes are gone."""
    step, reach = annealing._step(sigma), 12.0
    apart = {}
    for n in (60, 61):
        left, right = (nystrom([step] * n, by_hand(Gaussian([m], 0.2), 1.0, 0.0)[0], 16, reach)[0] for m in (-2.0, 2.0))
        apart[n] = right.above(-0.2) - left.above(-0.2)
    steps = annealing.relaxation(step, 3 + 7 * math.hypot(0.5, sigma))
    assert steps == pytest.approx(-1 / math.log(apart[61] / apart[60]), rel=1e-6)


@pytest.mark.parametrize(
    ("apart", "v"), [(2.0, 0.5), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((6.0, 0.9), (10.0, 0.5)))]
)
def test_loss_of_wrong_weights_with_30_digits(apart, v):
    s, w = 0.7, 0.3
    with mp.workdps(30):
        D = mp.mpf(apart) * mp.mpf(s)

        def parts(x, weight):
            one, two = weight * mp.npdf(x, 0, s), (1 - weight) * mp.npdf(x, D, s)
            return one + two, (-one * x + two * (D - x)) / (one + two) / mp.mpf(s) ** 2

        def integrand(x):
            p, score = parts(x, mp.mpf(w))
            return p * (score - parts(x, mp.mpf(v))[1]) ** 2 / 2

        exact = mp.quad(integrand, mp.linspace(-8, D + 8, 41))
    assert abs(low_density._loss_in_logit(apart, s, w, v) / exact - 1) < 1e-13


def test_a_chain_from_the_valley_is_what_the_exact_law_says():
    """A9's numbers by simulation: n = 40 000, |z| < 6 (false alarm 2e-9 each): 1.5 % of the mass is seen, and 0.11 are at stake."""
    n, start = 40_000, low_density.BETWEEN
    for height, exact in ((0.0, 0.5913254798), (-15.0, 0.4040982853)):
        chain = langevin(lambda x, h=height: low_density.MODES.score(x) + low_density._gaussian_bump(x, -0.25, 0.3, h), 0.02, 13)
        right = float((chain.simulate(start.sample(n, 3), 4) > low_density.VALLEY).mean())
        assert abs(right - exact) < 6 * math.sqrt(exact * (1 - exact) / n)
        assert abs(right - 0.7) > 0.09


def test_the_shells_integrate_to_one_in_every_dimension():
    for d in (1, 2, 784, 10**6):
        E, u, w, _, error = noise_ladder._shells(d, 0.3 / math.sqrt(d))
        k = d / 2
        peak = math.exp(math.lgamma(k) - (k - 0.5) * math.log(k) + k - 0.5 * math.log(2 * math.pi))  # Gamma(k) over Stirling
        mass = float(w @ np.exp(-k * E(u))) * math.sqrt(k / (2 * math.pi))
        assert mass == pytest.approx(peak, rel=error + 1e-16 * k * math.log(k + 2))
