"""Conditional score, conversions and Tweedie's formulas: definitions, round trips, and mistakes refused."""

import itertools
import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refscore.densities import GaussianMixture
from refscore.processes import OU, VP, MarginalScore, posterior_covariance, posterior_mean

EPS = np.finfo(float).eps
KINDS = ("score", "eps", "x0", "v")
PROCESSES = [OU(0.8, 0.6), OU(0.0, 1.3), OU(2.0, 3.0), VP()]


def everything(process, t, n=5, d=3, seed=1):
    """x_t and the four descriptions of how it arose, each from its definition."""
    rng = np.random.default_rng(seed)
    x0, eps = rng.normal(1.0, 2.0, size=(n, d)), rng.normal(size=(n, d))
    alpha, sigma = (np.broadcast_to(s, n)[:, None] for s in (process.alpha(t), process.sigma(t)))
    return alpha * x0 + sigma * eps, {"score": -eps / sigma, "eps": eps, "x0": x0, "v": alpha * eps - sigma * x0}


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
@pytest.mark.parametrize("source, target", list(itertools.product(KINDS, KINDS)))
@pytest.mark.parametrize("t", [0.03, 0.7, np.array([0.2, 1.0, 0.5, 0.9, 0.04])], ids=["early", "late", "rows"])
def test_every_conversion_gives_the_definition(process, source, target, t):
    xt, told = everything(process, t)
    got = process.convert(told[source], xt, t, source, target)
    alpha, sigma = np.min(process.alpha(t)), np.min(process.sigma(t))
    # conditioning: a chain of at most two divisions, by alpha or sigma, of quantities of size |x_t| + |x_0| + |eps|
    size = 1 + np.abs(xt).max() + max(np.abs(v).max() for v in told.values())
    assert np.abs(got - told[target]).max() <= 16 * EPS * size * max(1, 1 / alpha, 1 / sigma) ** 2


@given(st.floats(0, 5), st.floats(0.05, 4), st.floats(0.01, 3), st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_round_trips(beta, g, t, source, target):
    process = OU(beta, g)
    xt, told = everything(process, t, seed=2)
    there = process.convert(told[source], xt, t, source, target)
    back = process.convert(there, xt, t, target, source)
    alpha, sigma = process.alpha(t), process.sigma(t)
    size = 1 + np.abs(xt).max() + max(np.abs(v).max() for v in told.values())
    assert np.abs(back - told[source]).max() <= 64 * EPS * size * max(1, sigma, 1 / alpha, 1 / sigma) ** 3


def test_same_parametrisation_is_a_copy():
    xt, told = everything(VP(), 0.5)
    same = VP().convert(told["v"], xt, 0.0, "v", "v")
    assert np.array_equal(same, told["v"]) and not np.shares_memory(same, told["v"])


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_conditional_score_is_the_gradient(process):
    """Against the complex step of log N(x_t; alpha x_0, sigma^2), which is analytic in x_t."""
    xt, told = everything(process, 0.4)
    alpha, sigma, h = process.alpha(0.4), process.sigma(0.4), 1e-150

    def log_kernel(x):
        return -((x - alpha * told["x0"]) ** 2) / (2 * sigma**2)

    gradient = log_kernel(xt + 1j * h).imag / h  # coordinates do not mix, so one step serves them all
    rounding = 8 * EPS * (np.abs(xt) + np.abs(alpha * told["x0"])).max() / sigma**2
    assert np.abs(process.conditional_score(xt, told["x0"], 0.4) - gradient).max() <= rounding
    assert np.abs(process.conditional_score(xt, told["x0"], 0.4) - told["score"]).max() <= rounding


def test_conversions_at_time_zero():
    """sigma = 0: what does not divide by it still works, the rest is refused with the reason."""
    process, x = OU(1.0, 1.0), np.array([[1.0, 2.0]])
    assert np.array_equal(process.convert(x, x, 0.0, "eps", "x0"), x)
    assert np.array_equal(process.convert(x, x, 0.0, "v", "x0"), x)
    assert np.array_equal(process.convert(x, x, 0.0, "v", "eps"), x)
    for source, target in [("x0", "eps"), ("x0", "v"), ("x0", "score"), ("eps", "score"), ("v", "score")]:
        with pytest.raises(ValueError, match="sigma is 0 at t = 0.0: converting"):
            process.convert(x, x, 0.0, source, target)
    with pytest.raises(ValueError, match="sigma is 0 at t = 0.0: the conditional score"):
        process.conditional_score(x, x, np.array([0.0]))


def test_conversions_where_alpha_underflows():
    process, x = OU(1.0, 1.0), np.array([[1.0, 2.0]])
    assert np.allclose(process.convert(x, x, 800.0, "x0", "v"), -np.sqrt(0.5) * x, rtol=4 * EPS)
    for source, target in [("eps", "x0"), ("score", "x0"), ("eps", "v")]:
        with pytest.raises(ValueError, match="alpha is 0 at t = 800.0"):
            process.convert(x, x, 800.0, source, target)
    with pytest.raises(ValueError, match="float64"):  # alpha = e^{-744}: x_0 would exceed 1e308
        process.convert(x, x, 744.0, "eps", "x0")


def test_tiny_noise_keeps_its_digits():
    """sigma_t = 1e-130: sigma^2 would be representable, sigma^2 times anything small would not."""
    process = OU(0.0, 1e-130)
    xt, told = everything(process, 1.0)
    assert np.allclose(process.convert(told["eps"], xt, 1.0, "eps", "score"), told["score"], rtol=4 * EPS)
    assert np.allclose(process.convert(told["score"], xt, 1.0, "score", "eps"), told["eps"], rtol=4 * EPS)


DATA = GaussianMixture([0.3, 0.7], [[-1.5, 0.2], [1.0, -0.4]], [[[0.5, 0.2], [0.2, 0.3]], [[0.4, -0.1], [-0.1, 0.9]]])


def posterior_by_hand(x, alpha, sigma):
    """Mean and covariance of x_0 given x_t = x by conjugacy, component by component (no score involved)."""
    weights, means, covs = [], [], []
    for weight, mean, cov in zip(DATA.weights, DATA.means, DATA.covs, strict=True):
        total = alpha**2 * cov + sigma**2 * np.eye(2)
        away = x - alpha * mean
        weights.append(weight * np.exp(-0.5 * away @ np.linalg.solve(total, away)) / np.sqrt(np.linalg.det(total)))
        precision = np.linalg.inv(cov) + alpha**2 / sigma**2 * np.eye(2)
        covs.append(np.linalg.inv(precision))
        means.append(covs[-1] @ (np.linalg.solve(cov, mean) + alpha / sigma**2 * x))
    weights = np.array(weights) / sum(weights)
    centre = weights @ np.array(means)
    spread = sum(w * (c + np.outer(m - centre, m - centre)) for w, c, m in zip(weights, covs, means, strict=True))
    return centre, spread


@pytest.mark.parametrize("alpha, sigma", [(1.0, 0.5), (0.3, 1.2), (2.0, 0.7)])
def test_tweedie_against_conjugacy(alpha, sigma):
    x = np.array([[0.3, -0.8], [-1.0, 0.9], [2.0, 2.0]])
    marginal = DATA.corrupted(alpha, sigma)
    mean = posterior_mean(x, marginal.score(x), alpha, sigma)
    cov = posterior_covariance(marginal.score_jacobian(x), alpha, sigma)
    for i in range(3):
        centre, spread = posterior_by_hand(x[i], alpha, sigma)
        # 2x2 inverses of condition number < 30, then sums of terms of size (sigma/alpha)^2
        assert np.allclose(mean[i], centre, rtol=0, atol=1e-13 * (1 + (sigma / alpha) ** 2))
        assert np.allclose(cov[i], spread, rtol=0, atol=1e-13 * (1 + (sigma / alpha) ** 2))


def test_tweedie_takes_scales_one_a_row_and_tiny_ones():
    x = np.array([[0.3, -0.8], [-1.0, 0.9]])
    alpha, sigma = np.array([1.0, 0.4]), np.array([0.5, 1.1])
    score, jacobian = np.array([[1.0, 2.0], [3.0, -4.0]]), np.array([np.eye(2), [[0.0, 1.0], [2.0, 3.0]]])
    for i in range(2):
        mean = posterior_mean(x, score, alpha, sigma)[i]
        assert np.array_equal(mean, posterior_mean(x[[i]], score[[i]], alpha[i], sigma[i])[0])
        assert np.allclose(mean, (x[i] + sigma[i] ** 2 * score[i]) / alpha[i], rtol=1e-15)
        expected = (sigma[i] / alpha[i]) ** 2 * (np.eye(2) + sigma[i] ** 2 * jacobian[i])
        assert np.allclose(posterior_covariance(jacobian, alpha, sigma)[i], expected, rtol=1e-15)
    # sigma^2 = 1e-320 is subnormal, sigma (sigma score) is not
    tiny = posterior_mean(np.zeros((1, 1)), np.array([[1e300]]), 1.0, 1e-160)
    with mp.workdps(50):
        assert float(abs(mp.mpf(float(tiny[0, 0])) / (mp.mpf(1e-160) ** 2 * mp.mpf(1e300)) - 1)) <= 2 * EPS


X = np.zeros((2, 3))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: OU(-1.0, 1.0), "beta is -1.0"),
        (lambda: OU(1.0, 0.0), "sigma is 0.0"),
        (lambda: OU(np.nan, 1.0), "beta is nan"),
        (lambda: VP(3.0, 1.0), "beta_min = 3.0 exceeds beta_max"),
        (lambda: VP(0.0, 0.0), "beta_max is 0.0"),
        (lambda: VP().alpha(1.5), "t is 1.5: VP runs from time 0 to 1.0"),
        (lambda: OU(1.0, 1.0).alpha(-0.1), "time runs from 0"),
        (lambda: OU(1.0, 1.0).sigma(np.nan), "finite"),
        (lambda: OU(1.0, 1.0).sigma(np.ones((2, 2))), "shape"),
        (lambda: OU(1.0, 1.0).transition(0.5, 0.4), "pass s <= t"),
        (lambda: OU(1.0, 1.0).exponential_step(0.4, 0.5), "pass s <= t"),
        (lambda: OU(1.0, 1.0).exponential_step(np.ones(2), np.zeros(3)), "equal shapes"),
        (lambda: OU(1.0, 1.0).exponential_step(400.0, 0.0), "v of the exponential step exceeds"),
        (lambda: OU(1.0, 1.0).exponential_step(800.0, 0.0), "a of the exponential step exceeds"),
        (lambda: VP().drift(np.zeros(3), 0.5), "expected \\(n, d\\)"),
        (lambda: VP().corrupt(X, np.zeros(5), X), "one time a row"),
        (lambda: VP().corrupt(X, 0.5, np.zeros((2, 1))), "noise has shape"),
        (lambda: VP().conditional_score(X, np.zeros((1, 3)), 0.5), "x0 has shape"),
        (lambda: VP().marginal(DATA, np.ones(2)), "a marginal is one law"),
        (lambda: VP().convert(X, X, 0.5, "noise", "x0"), "source is 'noise'"),
        (lambda: VP().convert(X, X, 0.5, "eps", "energy"), "target is 'energy'"),
        (lambda: OU(0.0, 1e-200).conditional_score(X + 1e-10, X, 1.0), "the conditional score exceeds"),
        (lambda: posterior_mean(X, X, 0.0, 1.0), "alpha is 0"),
        (lambda: posterior_mean(X, X[:1], 1.0, 1.0), "score has shape"),
        (lambda: posterior_mean(X, X, 1.0, -1.0), "sigma is -1.0"),
        (lambda: posterior_mean(X + 1e200, X, 1e-200, 1.0), "exceeds the range"),
        (lambda: posterior_mean(X, X, np.ones(3), 1.0), "alpha has shape"),
        (lambda: posterior_covariance(np.zeros((2, 3)), 1.0, 1.0), "score_jacobian has shape"),
        (lambda: posterior_covariance(np.zeros((1, 2, 2)), 1e-200, 1.0), "exceeds the range"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("time", ["now", None, True, 1j])
def test_times_that_are_no_numbers(time):
    with pytest.raises(TypeError, match="t is"):
        VP().alpha(time)


def test_processes_are_values():
    assert OU(1, 2) == OU(1.0, 2.0) != OU(1.0, 3.0)
    assert repr(OU(1, 2)) == "OU(beta=1.0, sigma=2.0)"
    for process in PROCESSES:
        assert pickle.loads(pickle.dumps(process)) == process
    score = pickle.loads(pickle.dumps(MarginalScore(VP(), DATA)))
    assert np.array_equal(score(np.ones((2, 2)), 0.5), MarginalScore(VP(), DATA)(np.ones((2, 2)), 0.5))
