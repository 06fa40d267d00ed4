"""Noise-free steps at the end of a chain, against the same maps differentiated and inverted in 40 digits."""

import mpmath as mp
import numpy as np
import pytest

from refscore.densities import Gaussian, GaussianMixture, PushForward
from refscore.distances import total_variation
from refscore.laws import law, law_with_error
from refscore.networks import MLP
from refscore.processes import OU, MarginalScore
from refscore.samplers import Chain, probability_flow, reverse_sde

STANDARD = OU(1.0, np.sqrt(2))
DATA = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
TIMES = np.array([1.3, 1.0, 0.62, 0.35, 0.2, 0.05])


def parts(t):
    alpha, noise = mp.exp(-t), -mp.expm1(-2 * t)
    rows = zip(DATA.weights, DATA.means[:, 0], DATA.covs, strict=True)
    return [(mp.mpf(float(w)), alpha * mp.mpf(float(m)), alpha**2 * mp.mpf(float(v)) + noise) for w, m, v in rows]


def mp_density(x, t):
    return sum(w * mp.npdf(x, m, mp.sqrt(v)) for w, m, v in parts(t))


def mp_score(x, t):
    return sum(w * mp.npdf(x, m, mp.sqrt(v)) * (m - x) / v for w, m, v in parts(t)) / mp_density(x, t)


def mp_drift(x, t):
    return -x - mp_score(x, t)


def mp_flow(x, times, method):
    for t, s in zip(times, times[1:], strict=False):
        t, s = mp.mpf(float(t)), mp.mpf(float(s))
        h, k1 = s - t, mp_drift(x, t)
        if method == "euler":
            x = x + h * k1
        elif method == "heun":
            x = x + h / 2 * (k1 + mp_drift(x + h * k1, s))
        else:
            k2 = mp_drift(x + h / 2 * k1, t + h / 2)
            k3 = mp_drift(x + h / 2 * k2, t + h / 2)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + mp_drift(x + h * k3, s))
    return x


@pytest.mark.parametrize("method", ["euler", "heun", "rk4"])
def test_flow_against_forty_digits(method):
    """At images y = m(x) of given x: no inverse is needed there, and the derivative is mpmath's."""
    chain = probability_flow(STANDARD, MarginalScore(STANDARD, DATA)).steps(TIMES, method)
    density, error = law_with_error(chain, STANDARD.marginal(DATA, TIMES[0]))
    assert isinstance(density, PushForward) and error < 1e-11
    with mp.workdps(40):
        for x in (-2.6, -0.9, -0.35, 0.1, 1.7):
            y = mp_flow(mp.mpf(x), TIMES, method)
            slope = mp.diff(lambda u: mp_flow(u, TIMES, method), mp.mpf(x), h=mp.mpf("1e-12"))
            expected = mp.log(mp_density(mp.mpf(x), mp.mpf(float(TIMES[0])))) - mp.log(slope)
            assert abs(density.logpdf([[float(y)]])[0] - expected) < 1e-11


def test_the_last_step_without_noise():
    """Noisy steps first, as DDPM: density before the last step at x, over the slope of the step, at y = m(x)."""
    noisy = reverse_sde(STANDARD, MarginalScore(STANDARD, DATA), TIMES, "exponential")
    start = STANDARD.marginal(DATA, TIMES[0])
    chain = Chain(noisy.score, noisy.times, noisy.a, noisy.b, np.append(noisy.v[:-1], 0.0))
    density, before = law(chain, start), law(chain[:-1], start)
    a, b = mp.mpf(float(chain.a[-1])), mp.mpf(float(chain.b[-1]))
    t = mp.mpf(float(chain.times[-1]))
    with mp.workdps(40):
        for x in (-2.0, -0.8, -0.3, 0.2, 1.4):
            slope = a + b * mp.diff(lambda u: mp_score(u, t), mp.mpf(x), h=mp.mpf("1e-12"))
            y = float(a * mp.mpf(x) + b * mp_score(mp.mpf(x), t))
            assert density.logpdf([[y]])[0] == pytest.approx(before.logpdf([[x]])[0] - float(mp.log(slope)), abs=1e-11)
            assert density.cdf([[y]])[0] == pytest.approx(before.cdf([[x]])[0], abs=1e-13)


def test_flows_of_a_gaussian_stay_gaussian():
    target = Gaussian([0.4, -1.0], [[0.5, 0.2], [0.2, 0.9]])
    chain = probability_flow(STANDARD, MarginalScore(STANDARD, target)).steps(np.linspace(2, 0, 30), "rk4")
    got = law(chain, STANDARD.marginal(target, 2.0))
    assert isinstance(got, Gaussian)
    assert np.abs(got.mean - target.mean).max() < 1e-4 and np.abs(got.cov - target.cov).max() < 1e-4


def test_a_law_of_draws():
    """Dvoretzky-Kiefer-Wolfowitz, 1e-9 at n = 40 000: distances above 0.0164 show; a forgotten Jacobian moves the cdf by 0.1."""
    chain = probability_flow(STANDARD, MarginalScore(STANDARD, DATA)).steps(np.linspace(3, 0, 13), "euler")
    start, n = STANDARD.marginal(DATA, 3.0), 40_000
    y = np.sort(chain.integrate(start.sample(n, 2)), axis=0)
    density = law(chain, start)
    assert np.abs(density.cdf(y) - (np.arange(n) + 0.5) / n).max() < np.sqrt(np.log(2e9) / (2 * n))
    mass = np.trapezoid(np.exp(density.logpdf(np.linspace(-8, 8, 4001)[:, None])), dx=16 / 4000)
    assert mass == pytest.approx(1, abs=1e-9)


def test_a_network_as_the_score():
    """The density by central differences of the composed map: third order in 1e-4, and rounding over it."""
    network = MLP((1, 16, 16, 1), "tanh", 7)
    chain = Chain(lambda x, t: network(x) - x, [0.0] * 6, [1.0] * 6, [0.2] * 6, [0.3, 0.2, 0.0, 0.0, 0.0, 0.0])
    density, before = law(chain, Gaussian([0.2], 1.5)), law(chain[:2], Gaussian([0.2], 1.5))
    x, h = np.linspace(-2, 2, 9)[:, None], 1e-4

    def moved(x):
        for k in range(2, 6):
            x = chain.mean(k, x)
        return x

    slope = ((moved(x + h) - moved(x - h)) / (2 * h))[:, 0]
    assert density.logpdf(moved(x)) == pytest.approx(before.logpdf(x) - np.log(slope), abs=1e-7)


def test_the_error_of_the_map_is_that_of_the_law():
    """A score with a kink, as networks with ReLU have: known to what lies in the narrow panel around it, and no better."""
    chain = Chain(lambda x, t: 0.5 * np.abs(x - 0.1), [1.0], [1.0], [1.0], [0.0])
    density, error = law_with_error(chain, Gaussian([0.2], 1.0))
    assert error == density.error > 1e-13


@pytest.mark.slow
def test_orders_of_the_flow():
    """TV to the data falls like h, h^2, h^4 (and not faster): ratios of halved steps within 2^(order +- 0.25)."""
    start = STANDARD.marginal(DATA, 3.0)
    flow = probability_flow(STANDARD, MarginalScore(STANDARD, DATA))
    for method, order, steps in (("euler", 1, 48), ("heun", 2, 48), ("rk4", 4, 128)):
        laws = [law(flow.steps(np.linspace(3, 0, n + 1), method), start) for n in (steps, 2 * steps)]
        coarse, fine = (total_variation(density, DATA)[0] for density in laws)
        assert abs(np.log2(coarse / fine) - order) < 0.25
