"""MALA: steps and ratios against the formula, simulation against the exact law, exactness, refusals, the same bits."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refscore import _blocks
from refscore.densities import Gaussian, GaussianMixture, Uniform
from refscore.laws import acceptance_rate, law
from refscore.samplers import Chain, MetropolisChain, langevin, mala

DATA = GaussianMixture([0.3, 0.7], [[-1.5, 0.2], [1.0, -0.4]], [0.16, 0.36])
LINE = GaussianMixture([0.3, 0.7], [[-1.0], [1.1]], [0.25, 0.36])


def chain(step=0.3, n_steps=7, convention="eta"):
    return mala(DATA.score, DATA.logpdf, step, n_steps, convention)


@pytest.mark.parametrize(("convention", "share"), [("eta", 1.0), ("half_eta", 0.5)])
def test_a_step_is_the_formula(convention, share):
    rng = np.random.default_rng(1)
    x, z, u = rng.normal(size=(200, 2)), rng.normal(size=(200, 2)), rng.random(200)
    eta = share * 0.9
    right, refused = np.empty_like(x), 0
    for i in range(200):
        y = x[i] + eta * DATA.score(x[i : i + 1])[0] + np.sqrt(2 * eta) * z[i]
        there = np.exp(-((y - x[i] - eta * DATA.score(x[i : i + 1])[0]) ** 2).sum() / (4 * eta))
        back = np.exp(-((x[i] - y - eta * DATA.score(y[None])[0]) ** 2).sum() / (4 * eta))
        r = np.exp(DATA.logpdf(y[None]) - DATA.logpdf(x[i : i + 1]))[0] * back / there
        right[i] = y if u[i] < r else x[i]
        refused += u[i] >= r
    assert 20 < refused < 180
    np.testing.assert_allclose(chain(0.9, 1, convention).step(0, x, z, u), right, rtol=1e-13, atol=1e-13)


@given(eta=st.floats(1e-3, 5.0), slope=st.floats(-3.0, 3.0), seed=st.integers(0, 999))
def test_log_r_is_odd(eta, slope, seed):
    """log r(x, y) = -log r(y, x), and 0 at y = x, whatever the proposal's score."""
    x, y = np.random.default_rng(seed).normal(size=(2, 5, 2))
    one = mala(lambda x: slope * np.tanh(x) - x, DATA.logpdf, eta, 1)
    there, back = one.log_ratio(0, x, y), one.log_ratio(0, y, x)
    np.testing.assert_allclose(there, -back, rtol=1e-9, atol=1e-9)
    assert (one.log_ratio(0, x, x) == 0).all()


def test_steps_of_a_gaussian_go_inwards_unhindered():
    """log r = eta (|x - m|^2 - |y - m|^2)/4c^2 for N(m, c I)."""
    target, eta = Gaussian([0.4, -1.0, 2.0], 0.7), 0.2
    x, y = np.random.default_rng(2).normal(size=(2, 9, 3))
    found = mala(target.score, target.logpdf, eta, 1).log_ratio(0, x, y)
    right = eta * (((x - target.mean) ** 2).sum(axis=1) - ((y - target.mean) ** 2).sum(axis=1)) / (4 * 0.7**2)
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_simulation_agrees_with_the_exact_law():
    """n = 60 000, distribution function at 5 points, each |z| < 6 (false alarm 1e-8 in all); unadjusted steps, and refused
    proposals that are kept, are seen at more than 12."""
    adjusted = mala(LINE.score, LINE.logpdf, 0.3, 5)
    start, n = Gaussian([-1.2], 0.5), 60_000
    at = np.array([-1.6, -0.9, -0.2, 0.6, 1.4])
    exact = law(adjusted, start)
    p = exact.cdf(at[:, None])
    found = (adjusted.simulate(start.sample(n, 5), 6) < at).mean(axis=0)
    assert (np.abs(found - p) / np.sqrt(p * (1 - p) / n)).max() < 6
    for wrong in (langevin(LINE.score, 0.3, 5), mala(LINE.score, LINE.logpdf, 0.3, 3)):
        q = law(wrong, start).cdf(at[:, None])
        assert (np.abs(found - q) / np.sqrt(p * (1 - p) / n)).max() > 12


@pytest.mark.slow
def test_acceptance_by_simulation():
    """The share of rows that move in one step from p. n = 60 000, |z| < 6."""
    x = LINE.sample(60_000, 3)
    adjusted = mala(LINE.score, LINE.logpdf, 0.5, 1)
    rate, error = acceptance_rate(adjusted, LINE)
    moved = (adjusted.simulate(x, 4) != x).mean()
    assert abs(moved - rate) / np.sqrt(rate * (1 - rate) / 60_000) < 6 and error < 1e-10


def test_a_wrong_score_costs_acceptance_and_not_exactness():
    """n = 60 000 rows started at p: second moments after 20 steps with a score that is half of what it should be, and shifted."""
    target, n = Gaussian([0.4, -1.0], [[0.5, 0.3], [0.3, 0.4]]), 60_000
    wrong = mala(lambda x: target.score(x) / 2 + 0.3, target.logpdf, 0.3, 20)
    x = wrong.simulate(target.sample(n, 8), 9) - target.mean
    for i, j in ((0, 0), (1, 1), (0, 1)):
        product = x[:, i] * x[:, j]
        assert abs(product.mean() - target.cov[i, j]) / (product.std() / np.sqrt(n)) < 6
    unadjusted = wrong.proposal.simulate(target.sample(n, 8), 9) - target.mean
    assert abs((unadjusted[:, 0] ** 2).mean() - 0.5) > 0.1


def test_what_leaves_the_support_is_refused():
    box = Uniform(np.array([-1.0]), np.array([1.0]))

    def flat(x):
        assert (np.abs(x) < 1).all()  # there is no score where p = 0, and none is asked for
        return np.zeros_like(x)

    x = mala(flat, lambda x: np.where(np.abs(x[:, 0]) < 1, 0.0, -np.inf), 0.2, 9).simulate(box.sample(5000, 1), 2)
    assert (np.abs(x) < 1).all() and abs((x**2).mean() - 1 / 3) < 6 * np.sqrt(4 / 45 / 5000)


def test_simulation_is_steps_with_the_stream_s_draws():
    x, rng = np.ones((40, 2)), np.random.default_rng(3)
    right = chain(0.9).step(1, x, rng.standard_normal(x.shape), rng.random(40))
    np.testing.assert_allclose(chain(0.9)._advance(1, x, np.random.default_rng(3)), right, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(dtype):
    x = np.random.default_rng(1).normal(size=(20_000, 2)).astype(dtype)
    with _blocks.parallel(threads=1):
        one = chain().simulate(x, 3)
    with _blocks.parallel(threads=2):
        two = chain().simulate(x, 3)
    assert one.dtype == dtype and np.array_equal(one, two)
    assert not np.array_equal(one, chain().simulate(x, 4))


def test_chains_can_be_sliced_and_sent_to_other_processes():
    x = np.ones((2, 2))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(chain())).simulate(x, 1), chain().simulate(x, 1))
    assert len(chain()[:3]) == 3 and isinstance(chain()[:3], MetropolisChain)


ONE = np.ones((2, 2))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mala(DATA.score, None, 0.1, 3), TypeError, "logpdf is None"),
        (lambda: mala(3, DATA.logpdf, 0.1, 3), TypeError, "score is 3"),
        (lambda: chain(-0.1), ValueError, "step is -0.1"),
        (lambda: chain(0.1, 0), ValueError, "n_steps is 0"),
        (lambda: chain(0.1, 1, "alpha"), ValueError, "convention is 'alpha'"),
        (lambda: MetropolisChain(Chain(lambda x, t: x, *[[1.0]] * 3, [0.0]), DATA.logpdf), ValueError, "noise in every step"),
        (lambda: chain().step(0, ONE, ONE, [0.5]), ValueError, r"uniform has shape \(1,\)"),
        (lambda: chain().step(0, ONE, ONE, [0.5, 1.5]), ValueError, r"one number in \[0, 1\)"),
        (lambda: chain().step(0, ONE, ONE[:1], [0.5, 0.5]), ValueError, "noise has shape"),
        (lambda: chain().log_ratio(0, ONE, np.ones(2)), ValueError, "y has shape"),
        (lambda: chain()[0], TypeError, "pass a slice"),
        (lambda: mala(DATA.score, lambda x: x, 0.1, 1).simulate(ONE, 0), ValueError, "logpdf"),
        (lambda: mala(DATA.score, lambda x: np.full(len(x), np.nan), 0.1, 1).simulate(ONE, 0), ValueError, "NaN"),
        (lambda: mala(DATA.score, lambda x: np.full(len(x), -np.inf), 0.1, 1).simulate(ONE, 0), ValueError, "start where p > 0"),
    ],
)
def test_refusals_name_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_every_step_goes_by_its_own_kernel_there_and_back():
    """log r = log p(y) q(y, x) / p(x) q(x, y) for steps that differ in all their numbers."""
    from scipy.stats import norm

    p, levels = Gaussian([0.3], 0.8), (0.0, 0.7)
    proposal = Chain(lambda x, t: (1 + t) * p.score(x), levels, [1.0, 0.9], [0.2, 0.4], [0.3, 0.7])
    chain = MetropolisChain(proposal, p.logpdf)
    x, y = np.array([[0.1], [-1.2]]), np.array([[0.6], [0.4]])
    for k, (t, a, b, v) in enumerate(zip(levels, (1.0, 0.9), (0.2, 0.4), (0.3, 0.7), strict=True)):
        def q(u, w, t=t, a=a, b=b, v=v):
            return norm.logpdf(w[:, 0], a * u[:, 0] - b * (1 + t) * (u[:, 0] - 0.3) / 0.8, np.sqrt(v))

        expected = p.logpdf(y) + q(y, x) - p.logpdf(x) - q(x, y)
        np.testing.assert_allclose(chain.log_ratio(k, x, y), expected, rtol=1e-12)


@pytest.mark.parametrize("change", [{"v": [0.3, 0.4]}, {"times": [0.0, 1.0]}, {"a": [1.0, 0.9]}, {"b": [0.1, 0.2]}])
def test_laws_want_equal_steps(change):
    numbers = {"times": [0.0, 0.0], "a": [1.0, 1.0], "b": [0.1, 0.1], "v": [0.3, 0.3]} | change
    p = Gaussian([0.3], 0.8)
    chain = MetropolisChain(Chain(lambda x, t: p.score(x), **numbers), p.logpdf)
    with pytest.raises(ValueError, match="steps of the chain differ"):
        law(chain, p)
