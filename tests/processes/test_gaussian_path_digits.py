"""alpha, sigma, transition and exponential_step against mpmath, from the integrals that define them."""

import mpmath as mp
import numpy as np
import pytest

from refscore.processes import OU, VP

EPS = np.finfo(float).eps
BETA_T = [1e-17, 1e-12, 1e-8, 1e-3, 0.4, 0.9999, 1.0, 7.0, 36.7, 300.0, 700.0]


def exact(process, s, t):
    """(R, V, b, v) on (s, t) from R = int rate, V = int e^{-2R} g^2 and so on, each integral in closed form."""
    s, t = mp.mpf(float(s)), mp.mpf(float(t))
    if isinstance(process, OU):
        beta, g2, h = mp.mpf(process.beta), mp.mpf(process.g) ** 2, t - s
        if beta == 0:
            return mp.mpf(0), g2 * h, g2 * h, g2 * h
        return beta * h, g2 * (1 - mp.exp(-2 * beta * h)) / (2 * beta), g2 * (mp.exp(beta * h) - 1) / beta, (
            g2 * (mp.exp(2 * beta * h) - 1) / (2 * beta)
        )
    low, high = mp.mpf(process.beta_min), mp.mpf(process.beta_max)
    clock = low * (t - s) + (high - low) * (t**2 - s**2) / 2
    return clock / 2, 1 - mp.exp(-clock), 2 * (mp.exp(clock / 2) - 1), mp.exp(clock) - 1


def digits_lost(computed, value, condition):
    """Relative error in units of eps times the condition number."""
    return float(abs(mp.mpf(float(computed)) - value) / abs(value)) / (EPS * condition)


@pytest.fixture(autouse=True)
def many_digits():
    # far more than the 50 digits wanted: 1 - e^{-x} is written naively here, and x goes down to 1e-604
    with mp.workdps(700):
        yield


# A handful of roundings (products, exp, sqrt, a square), each eps/2; e^R multiplies the rounding of R by R.
ROUNDINGS = 5


@pytest.mark.parametrize("beta_t", BETA_T)
@pytest.mark.parametrize("beta", [1e-9, 0.37, 1.0, 5.0])
@pytest.mark.parametrize("g", [0.3, np.sqrt(2), 1e-100])
def test_ou_alpha_and_sigma(beta_t, beta, g):
    process, t = OU(beta, g), beta_t / beta
    rate, variance, _, _ = exact(process, 0, t)
    assert digits_lost(process.alpha(t), mp.exp(-rate), 1 + float(rate)) <= ROUNDINGS
    assert digits_lost(process.sigma(t), mp.sqrt(variance), 1) <= ROUNDINGS
    assert digits_lost(process.variance(t), variance, 1) <= 2 * ROUNDINGS


WEAK = [OU(0.0, 0.7), OU(5e-324, 0.7), OU(1e-300, 1.3), OU(1e-17, 1.3)]


@pytest.mark.parametrize("process", [*WEAK, OU(0.8, 0.6), VP()], ids=repr)
@pytest.mark.parametrize("t", [1e-280, 1e-17, 1e-5, 0.25, 1.0])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.9, 1 - 1e-15, "neighbour"])
def test_steps_of_every_length(process, t, part):
    """From a step over the whole path to one between neighbouring floats: t - s loses nothing."""
    s = np.nextafter(t, 0) if part == "neighbour" else part * t
    rate, variance, b, v = exact(process, s, t)
    for computed, value in zip(process.exponential_step(t, s), (mp.exp(rate), b, v), strict=True):
        assert digits_lost(computed, value, 1 + float(rate)) <= 2 * ROUNDINGS
    alpha, transition = process.transition(s, t)
    assert digits_lost(alpha, mp.exp(-rate), 1 + float(rate)) <= ROUNDINGS
    assert digits_lost(transition, variance, 1) <= 2 * ROUNDINGS


@pytest.mark.parametrize("beta_t", [b for b in BETA_T if 1e-15 < b < 350])
def test_ou_exponential_step_over_the_range(beta_t):
    process, s = OU(0.7, 1.7), 0.125
    t = s + beta_t / 0.7
    rate, _, b, v = exact(process, s, t)
    for computed, value in zip(process.exponential_step(t, s), (mp.exp(rate), b, v), strict=True):
        assert digits_lost(computed, value, 1 + 2 * float(rate)) <= 2 * ROUNDINGS


@pytest.mark.parametrize("t", [1e-16, 1e-9, 1e-3, 0.05, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("process", [VP(), VP(0.0, 3.0), VP(2.0, 2.0), VP(1e-3, 1390.0)])
def test_vp_alpha_and_sigma(process, t):
    rate, variance, _, _ = exact(process, 0, t)
    assert digits_lost(process.alpha(t), mp.exp(-rate), 1 + float(rate)) <= ROUNDINGS
    assert digits_lost(process.sigma(t), mp.sqrt(variance), 1) <= ROUNDINGS


def test_far_end():
    """alpha underflows to 0, sigma reaches its limit; nothing overflows on the way, not even beta t itself."""
    process = OU(1e200, 1e80)
    assert process.alpha(1e200) == 0
    assert process.sigma(1e200) == pytest.approx(1e80 / np.sqrt(2e200), rel=4 * EPS)
    assert OU(2.0, 3.0).sigma(1e6) == pytest.approx(1.5, rel=4 * EPS)
    # 2 beta exceeds float64; the spacing of subnormal numbers near 1/(2 beta) = 5e-309 is 1e-15 of it
    assert OU(1e308, 1.0).sigma(1.0) == pytest.approx(np.sqrt(0.5) * 1e-154, rel=1e-15)


@pytest.mark.parametrize(
    "compute, message",
    [
        (lambda: OU(1.0, 1e200).variance(1.0), r"the variance sigma_t\^2 exceeds the range of float64"),
        (lambda: OU(1.0, 1e200).transition(0.0, 1.0), "the variance of the transition exceeds the range of float64"),
        (lambda: OU(0.0, 1e200).sigma(1e300), "sigma_t exceeds the range of float64"),
    ],
)
def test_what_exceeds_float64_is_refused(compute, message):
    with pytest.raises(ValueError, match=message):
        compute()
