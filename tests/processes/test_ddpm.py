"""DDPM's chain against mpmath from the products that define it, its posteriors by Gaussian conditioning, its schedules."""

import pickle

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore.densities import Gaussian
from refscore.processes import DDPM, OU, VP, MarginalScore, cosine_betas, linear_betas, quadratic_betas

EPS = np.finfo(float).eps
TOP = 1 - 2.0**-53
CHAINS = {
    "linear": linear_betas(),
    "cosine": cosine_betas(50),
    "uneven": [0.3, 1e-17, 0.9, 0.0, 1e-9, TOP, 0.02],
    "tiny": np.full(10_000, 1e-17),
    "long": linear_betas(10_000, 1e-7, 0.02),
    "smallest": [5e-324, 1e-300, 1e-17, 0.5],
}

betas = st.lists(st.floats(1e-17, TOP), min_size=1, max_size=12)


@pytest.fixture(autouse=True)
def many_digits():
    with mp.workdps(700):  # 1 - (1 - 5e-324) is written naively here
        yield


def products(betas):
    """alpha-bar_0, ..., alpha-bar_N."""
    out = [mp.mpf(1)]
    for beta in betas:
        out.append(out[-1] * (1 - mp.mpf(float(beta))))
    return out


def digits_lost(computed, value, condition=1.0):
    return float(abs(mp.mpf(float(computed)) - value) / abs(value)) / (EPS * condition)


@pytest.mark.parametrize("name", CHAINS)
def test_alpha_and_sigma(name):
    """A few roundings; e^{-C/2} multiplies the rounding of C by C."""
    chain = DDPM(CHAINS[name])
    bars = products(CHAINS[name])
    picks = np.unique(np.linspace(1, len(chain), 40).astype(int))
    for i in picks:
        condition = 1 + float(-mp.log(bars[i]))
        assert digits_lost(chain.alpha(i), mp.sqrt(bars[i]), condition) <= 3
        assert digits_lost(chain.sigma(i), mp.sqrt(1 - bars[i])) <= 4
        assert digits_lost(chain.variance(i), 1 - bars[i]) <= 8
    assert np.array_equal(chain.alpha(picks), [chain.alpha(i) for i in picks])
    assert (chain.alpha(0), chain.sigma(0)) == (1, 0) and chain.sigma(1) > 0


@given(betas, st.data())
@settings(max_examples=60)
def test_transition_and_posterior(betas, data):
    """Any two indices; the posterior from the joint covariance of (x_s, x_t) given x_0, as conditioning says."""
    chain, bars = DDPM(betas), products(betas)
    t = data.draw(st.integers(1, len(betas)))
    s = data.draw(st.integers(0, t - 1))
    ratio = bars[t] / bars[s]
    a, variance = chain.transition(s, t)
    condition = 1 + float(-mp.log(ratio))
    assert digits_lost(a, mp.sqrt(ratio), condition) <= 3
    assert digits_lost(variance, 1 - ratio) <= 4
    x0, xt = np.array([[0.7, -1.3]]), np.array([[-0.4, 2.1]])
    mean, variance = chain.posterior(x0, xt, t, s)
    cross, own, other = mp.sqrt(ratio) * (1 - bars[s]), 1 - bars[t], 1 - bars[s]
    known = 1 + float(-mp.log(bars[t]))
    for j in range(2):
        expected = mp.sqrt(bars[s]) * x0[0, j] + cross / own * (xt[0, j] - mp.sqrt(bars[t]) * x0[0, j])
        terms = mp.sqrt(bars[s]) * (1 - ratio) / own * abs(x0[0, j]) + cross / own * abs(xt[0, j])
        assert float(abs(mean[0, j] - expected) / terms) <= 24 * known * EPS
    exact = other - cross**2 / own
    assert variance.shape == (1,) and (abs(variance[0] - exact) <= 24 * known * EPS * exact)
    assert s > 0 or (variance[0] == 0 and np.array_equal(mean, x0))


def test_posterior_of_the_step_before_one_index_a_row():
    chain = DDPM(linear_betas(20, 0.01, 0.3))
    rng = np.random.default_rng(0)
    x0, xt = rng.normal(size=(2, 5, 3))
    index = np.array([1, 7, 20, 2, 7])
    mean, variance = chain.posterior(x0, xt, index)
    for row, i in enumerate(index):
        one, v = chain.posterior(x0[row : row + 1], xt[row : row + 1], i)
        assert np.array_equal(mean[row], one[0]) and variance[row] == v[0]
        bar, before, beta = chain.alpha(i) ** 2, chain.alpha(i - 1) ** 2, chain.beta(i)  # Ho et al. 2020, eq. 7, as it stands
        formula = np.sqrt(before) * beta / (1 - bar) * x0[row] + np.sqrt(1 - beta) * (1 - before) / (1 - bar) * xt[row]
        assert np.allclose(mean[row], formula, rtol=1e-12, atol=1e-13)
        assert variance[row] == pytest.approx((1 - before) / (1 - bar) * beta, rel=1e-12, abs=1e-16)
    assert np.array_equal(mean[0], x0[0]) and variance[0] == 0


@given(betas)
@settings(max_examples=30)
def test_steps_make_the_marginals(betas):
    """alpha-bar and 1 - alpha-bar by running the steps themselves."""
    chain, alpha, variance = DDPM(betas), 1.0, 0.0
    for i, beta in enumerate(betas, 1):
        alpha, variance = np.sqrt(1 - beta) * alpha, (1 - beta) * variance + beta
        assert chain.beta(i) == beta
        assert chain.variance(i) == pytest.approx(variance, rel=8 * EPS * i)
        assert chain.alpha(i) == pytest.approx(alpha, rel=8 * EPS * i * (1 - 2 * np.log(alpha)), abs=1e-300)


def test_what_noising_gives_works_by_index():
    chain, data = DDPM(linear_betas(30, 0.01, 0.2)), Gaussian([0.4, -0.3], [[0.5, 0.2], [0.2, 0.3]])
    x0, noise = np.random.default_rng(1).normal(size=(2, 4, 2))
    index = np.array([3, 30, 1, 12])
    xt = chain.corrupt(x0, index, noise)
    assert np.allclose(xt, chain.alpha(index)[:, None] * x0 + chain.sigma(index)[:, None] * noise)
    assert np.allclose(chain.conditional_score(xt, x0, index) * chain.sigma(index)[:, None], -noise, rtol=1e-12)
    assert np.allclose(chain.convert(noise, xt, index, "eps", "x0"), x0, rtol=1e-11, atol=1e-12)
    law = chain.marginal(data, 12)
    assert np.allclose(law.cov, chain.alpha(12) ** 2 * data.cov + chain.variance(12) * np.eye(2))
    assert np.allclose(MarginalScore(chain, data)(x0, index)[3:], law.score(x0[3:]))
    assert chain.marginal(data, 0) is data
    with pytest.raises(ValueError, match="read-only"):
        chain.betas[0] = 0.5
    again = pickle.loads(pickle.dumps(chain))
    assert np.array_equal(again.alpha(index), chain.alpha(index)) and len(again) == 30


@pytest.mark.parametrize("times", [np.linspace(0, 1, 14), np.array([0.0, 1e-9, 0.3, 0.31, 1.0])])
def test_from_vp_is_the_process_at_its_times(times):
    process = VP(0.3, 18.0)
    chain = DDPM.from_vp(process, times)
    index = np.arange(len(times))
    clock = 0.3 * times + (18.0 - 0.3) * times**2 / 2
    assert np.allclose(chain.alpha(index), process.alpha(times), rtol=8 * EPS * (1 + clock.max()))
    assert np.allclose(chain.sigma(index), process.sigma(times), rtol=16 * EPS)
    b = -np.expm1(-np.diff(clock))
    assert np.allclose(chain.betas[2:], b[2:], rtol=1e-13)


def test_schedules_against_their_formulas():
    n = 40
    i = np.arange(1, n + 1)
    assert np.allclose(linear_betas(n), 1e-4 + (0.02 - 1e-4) * (i - 1) / (n - 1), rtol=1e-14)
    assert np.allclose(quadratic_betas(n), (0.01 + (np.sqrt(0.02) - 0.01) * (i - 1) / (n - 1)) ** 2, rtol=1e-14)
    assert np.array_equal(linear_betas(1), [1e-4]) and len(linear_betas()) == len(cosine_betas()) == len(quadratic_betas()) == 1000


@pytest.mark.parametrize(("n", "s"), [(1000, 0.008), (10_000, 0.008), (17, 0.3), (50, 0.0)])
def test_cosine_schedule_to_the_last_digit(n, s):
    """beta_i = 1 - f(i)/f(i-1) in 700 digits; some ten roundings."""

    def f(i):
        return mp.cos(mp.pi / 2 * (mp.mpf(i) / n + mp.mpf(s)) / (1 + mp.mpf(s))) ** 2

    found = cosine_betas(n, s)
    for i in sorted({1, 2, 7, n // 2, n - 2, n - 1}):
        assert digits_lost(found[i - 1], 1 - f(i) / f(i - 1)) <= 12
    assert found[-1] == 0.999 and (np.diff(found) > 0).all()
    assert DDPM(found).alpha(n - 1) == pytest.approx(float(mp.sqrt(f(n - 1) / f(0))), rel=1e-10)


X = np.zeros((3, 2))
CHAIN = DDPM([0.1, 0.2, 0.3])
REFUSED = [
    (lambda: DDPM([]), ValueError, r"betas has shape \(0,\): pass one variance a step"),
    (lambda: DDPM(0.1), ValueError, r"betas has shape \(\)"),
    (lambda: DDPM([[0.1]]), ValueError, r"betas has shape \(1, 1\)"),
    (lambda: DDPM(["a"]), TypeError, "betas is"),
    (lambda: DDPM([0.1, np.nan]), ValueError, r"betas\[1\] is nan"),
    (lambda: DDPM([0.1, -0.1]), ValueError, r"betas\[1\] is -0.1.*pass variances"),
    (lambda: DDPM([0.1, 1.0]), ValueError, r"betas\[1\] is 1.0.*np.minimum\(betas, 0.999\)"),
    (lambda: DDPM([0.0, 0.1]), ValueError, r"betas\[0\] is 0: x_1 would be the data"),
    (lambda: CHAIN.alpha(0.5), ValueError, "t is 0.5: a chain has indices 0, ..., 3.*pass an integer"),
    (lambda: CHAIN.alpha([1, 2.25]), ValueError, "t is 2.25"),
    (lambda: CHAIN.sigma(4), ValueError, "t is 4.0: DDPM runs from time 0 to 3"),
    (lambda: CHAIN.sigma(-1), ValueError, "t is -1"),
    (lambda: CHAIN.sigma(True), TypeError, "t is True"),
    (lambda: CHAIN.beta(0), ValueError, "index is 0: steps are numbered 1, ..., 3"),
    (lambda: CHAIN.posterior(X, X, 0), ValueError, "index is 0"),
    (lambda: CHAIN.posterior(X, X, 1.5), ValueError, "index is 1.5"),
    (lambda: CHAIN.posterior(X, X, [1, 2]), ValueError, r"index has shape \(2,\)"),
    (lambda: CHAIN.posterior(X[:1], X, 1), ValueError, "x0 has shape"),
    (lambda: CHAIN.posterior(X, X, 2, 2), ValueError, "previous = 2 is not below index = 2"),
    (lambda: CHAIN.posterior(X, X, 2, 0.5), ValueError, "previous is 0.5"),
    (lambda: CHAIN.transition(2, 1), ValueError, "s = 2.0 is later than t = 1.0"),
    (lambda: CHAIN.conditional_score(X, X, 0), ValueError, "sigma is 0 at t = 0"),
    (lambda: DDPM.from_vp(OU(0.7, 1.3), [0, 1]), ValueError, "do not keep the variance 1"),
    (lambda: DDPM.from_vp(VP, [0, 1]), TypeError, "pass a VP process, such as VP"),
    (lambda: CHAIN.diffusion(1), AttributeError, "a DDPM has no diffusion: there is nothing between two indices; sample with"),
    (lambda: CHAIN.beto, AttributeError, "no attribute 'beto'"),
    (lambda: DDPM.from_vp(VP(), [0.1, 1]), ValueError, "increasing times from 0 on"),
    (lambda: DDPM.from_vp(VP(), [0, 0.5, 0.5]), ValueError, "increasing times from 0 on"),
    (lambda: linear_betas(0), ValueError, "n is 0"),
    (lambda: linear_betas(10, 0.2, 0.1), ValueError, "beta_min = 0.2 exceeds beta_max = 0.1"),
    (lambda: quadratic_betas(10, 0.1, 1.0), ValueError, "beta_max is 1.0"),
    (lambda: cosine_betas(10, -0.1), ValueError, "s is -0.1"),
    (lambda: cosine_betas(10, beta_max=1.0), ValueError, "beta_max is 1.0"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals_name_the_argument_and_the_way_out(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_posteriors_of_an_earlier_state_row_by_row():
    process, x = DDPM(linear_betas(100)), np.arange(6.0).reshape(3, 2)
    mean, variance = process.posterior(x, 2 * x, 50, [1, 20, 49])
    for row, previous in enumerate((1, 20, 49)):
        one = process.posterior(x[row : row + 1], 2 * x[row : row + 1], 50, previous)
        assert np.array_equal(one[0][0], mean[row]) and one[1][0] == variance[row]
    with pytest.raises(ValueError, match=r"previous has shape \(2,\): .* shape \(3,\)"):
        process.posterior(x, x, 50, [1, 2])
    with pytest.raises(ValueError, match="previous = 6 is not below index = 6 in row 1:"):
        process.posterior(x, x, [5, 6, 7], [1, 6, 3])
    with pytest.raises(ValueError, match="previous = 7 is not below index = 7: the posterior"):
        process.posterior(x, x, 7, 7)
