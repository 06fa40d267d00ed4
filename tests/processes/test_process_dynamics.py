"""The closed forms against the SDE itself: moment equations and integrals of rate and diffusion, numerically."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from refscore.densities import GaussianMixture
from refscore.processes import OU, VE, VP, MarginalScore, Path, SubVP, VPCosine, VPSchedule

PROCESSES = [
    OU(0.8, 0.6), OU(1.0, np.sqrt(2)), OU(0.0, 1.3), VP(), VP(0.3, 4.0), VPCosine(), VPCosine(0.3), SubVP(0.3, 4.0),
    VE(0.2, 2.5, "data"), VPSchedule(lambda t: 0.4 + 9 * np.abs(t - 0.25)),
    Path(lambda t: 1 - t, lambda t: t, alpha_slope=lambda t: -1 + 0 * t, sigma_slope=lambda t: 1 + 0 * t),
]  # fmt: skip
NAMES = [f"{type(process).__name__} {k}" for k, process in enumerate(PROCESSES)]  # without addresses
EPS = np.finfo(float).eps
RTOL = 1e-12  # of the ODE solver per step; some 1e2 steps, so 1e-10 overall
OVERALL = 1e-10

processes = st.one_of(
    st.builds(OU, st.floats(0, 4), st.floats(0.1, 3)),
    st.builds(lambda low, more: VP(low, low + more), st.floats(0, 2), st.floats(0.1, 20)),
    st.builds(lambda low, more: SubVP(low, low + more), st.floats(0, 2), st.floats(0.1, 20)),
    st.builds(lambda low, more: VE(low, low + more, "data"), st.floats(0.01, 1), st.floats(0.1, 20)),
)


def solve(right_hand_side, start, length):
    return solve_ivp(right_hand_side, (0, length), start, method="DOP853", rtol=RTOL, atol=1e-14).y[:, -1]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("s, t", [(0.0, 0.7), (0.2, 0.9), (0.61, 0.63)])
def test_transition_solves_the_moment_equations(process, s, t):
    """dm/dt = -r m,  dV/dt = -2 r V + g^2, from (1, 0) at time s."""

    def moments(u, y):
        rate, g = process.rate(s + u), process.diffusion(s + u)
        return [-rate * y[0], -2 * rate * y[1] + g**2]

    assert np.allclose(process.transition(s, t), solve(moments, [1.0, 0.0], t - s), rtol=OVERALL, atol=1e-13)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("s, t", [(0.0, 0.7), (0.2, 0.9), (0.61, 0.63)])
def test_exponential_step_solves_the_frozen_reverse_equation(process, s, t):
    """In tau = t - u: dY = [r Y + g^2 c] dtau + g dW, the score frozen at c; its mean is a y + b c, its variance v."""
    y, c = 1.7, -0.9

    def moments(tau, m):
        rate, g = process.rate(t - tau), process.diffusion(t - tau)
        return [rate * m[0] + g**2 * c, 2 * rate * m[1] + g**2]

    a, b, v = process.exponential_step(t, s)
    assert np.allclose([a * y + b * c, v], solve(moments, [y, 0.0], t - s), rtol=OVERALL, atol=1e-13)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_exponential_step_in_terms_of_alpha_and_sigma(process):
    """b = alpha_s int alpha_u d(sigma_u^2/alpha_u^2),  v = alpha_s^2 (sigma_t^2/alpha_t^2 - sigma_s^2/alpha_s^2)."""
    s, t = 0.3, 0.55
    alpha, sigma = process.alpha, process.sigma

    def ratio(u):
        return (sigma(u) / alpha(u)) ** 2

    # integrated by parts, so that only alpha and sigma enter: int alpha d(ratio) = [alpha ratio] - int ratio d(alpha)
    integral, error = quad(lambda u: ratio(u) * -process.rate(u) * alpha(u), s, t, epsabs=1e-14, epsrel=1e-13)
    by_parts = alpha(s) * (alpha(t) * ratio(t) - alpha(s) * ratio(s) - integral)
    a, b, v = process.exponential_step(t, s)
    scale = alpha(s) ** 2 * ratio(t)  # of the terms that cancel
    assert a == pytest.approx(alpha(s) / alpha(t), rel=8 * EPS * 10)
    assert abs(b - by_parts) <= 1e-13 * scale + error + 1e-13 * abs(b)
    assert abs(v - alpha(s) ** 2 * (ratio(t) - ratio(s))) <= 64 * EPS * scale


@given(processes, st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted))
def test_semigroup(process, times):
    """transition(r, t) is transition(r, s) followed by transition(s, t); likewise exponential_step's a and v."""
    r, s, t = times
    (first, var_first), (second, var_second) = process.transition(r, s), process.transition(s, t)
    alpha, variance = process.transition(r, t)
    rounding = 32 * EPS * (1 + 2 * 11)  # R <= 11 here; e^{-R} magnifies the rounding of R by R
    assert alpha == pytest.approx(first * second, rel=rounding)
    assert variance == pytest.approx(second**2 * var_first + var_second, rel=rounding, abs=1e-300)
    a, _, v = process.exponential_step(t, r)
    a1, _, v1 = process.exponential_step(t, s)
    a2, _, v2 = process.exponential_step(s, r)
    assert a == pytest.approx(a1 * a2, rel=rounding)
    assert v == pytest.approx(a2**2 * v1 + v2, rel=rounding, abs=1e-300)


@given(processes, st.floats(0.01, 1), st.floats(0.01, 1))
def test_times_one_a_row(process, s, t):
    """Arrays of times give what scalars give, up to the last bits of vectorised functions, and keep the shape."""
    s, t = sorted([s, t])
    column = np.array([t, t / 2, t])
    for method in (process.alpha, process.sigma, process.variance, process.rate, process.diffusion):
        assert np.allclose(method(column), [method(u) for u in column], rtol=4 * EPS, atol=0)
        assert np.shape(method(t)) == ()
    for many, one in zip(process.exponential_step(np.array([t, t]), s), process.exponential_step(t, s), strict=True):
        assert np.allclose(many, [one, one], rtol=8 * EPS, atol=0)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_drift_corrupt_covariance(process):
    rng = np.random.default_rng(3)
    x, noise, t = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), np.array([0.1, 0.9, 0.5, 0.5])
    for i in range(4):
        assert np.allclose(process.drift(x, t)[i], -process.rate(t[i]) * x[i], rtol=4 * EPS)
        expected = process.alpha(t[i]) * x[i] + process.sigma(t[i]) * noise[i]
        assert np.allclose(process.corrupt(x, t, noise)[i], expected, rtol=4 * EPS, atol=4 * EPS)
    assert np.array_equal(process.drift(x, 0.5)[2], process.drift(x, t)[2])
    # x_t = alpha_{t|s} x_s + independent noise, hence Cov(x_s, x_t | x_0) = alpha_{t|s} sigma_s^2
    onward = process.alpha(0.8) / process.alpha(0.3)
    assert process.covariance(0.3, 0.8) == pytest.approx(onward * process.sigma(0.3) ** 2)
    assert process.covariance(0.4, 0.4) == process.variance(0.4)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_marginal_is_the_law_of_the_corrupted_point(process):
    data = GaussianMixture([0.3, 0.7], [[-1.5, 0.2], [1.0, -0.4]], [0.16, 0.36])
    alpha, sigma, x = process.alpha(0.6), process.sigma(0.6), np.array([[0.3, -0.8], [-1.0, 0.9]])
    means, variances = alpha * data.means, alpha**2 * data.covs + sigma**2
    kernels = np.exp(-((x[:, None] - means) ** 2).sum(2) / (2 * variances)) / (2 * np.pi * variances) * data.weights
    density = kernels.sum(1)
    score = (kernels[:, :, None] * (means - x[:, None]) / variances[:, None]).sum(1) / density[:, None]
    assert np.allclose(np.exp(process.marginal(data, 0.6).logpdf(x)), density, rtol=1e-13)
    assert np.allclose(MarginalScore(process, data)(x, 0.6), score, rtol=1e-13, atol=1e-14)
    mixed = MarginalScore(process, data)(x, np.array([0.6, 0.2]))
    for row, time in enumerate((0.6, 0.2)):
        assert np.allclose(mixed[row], MarginalScore(process, data)(x, time)[row], rtol=1e-14)
    assert process.marginal(data, 0.0) is data
