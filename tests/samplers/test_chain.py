"""Chains and reverse SDEs: every step against its formula, simulation against exact moments, the same bits always."""

import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from refscore import _blocks
from refscore.densities import Gaussian, GaussianMixture
from refscore.processes import OU, VP, MarginalScore
from refscore.samplers import Chain, langevin, reverse_drift, reverse_sde

EPS = np.finfo(float).eps
TIMES = np.array([0.97, 0.8, 0.73, 0.4, 0.32, 0.15, 0.02])  # not uniform, does not end at 0
DATA = GaussianMixture([0.3, 0.7], [[-1.5, 0.2], [1.0, -0.4]], [0.16, 0.36])
PROCESSES = [OU(0.8, 0.6), OU(0.0, 1.3), VP(0.3, 4.0)]


def zero(x, t):
    return np.zeros_like(x)


def normals(n, *, rng):
    return rng.standard_normal((n, 1))


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_euler_maruyama_step_is_the_formula(process):
    """x + h (r x + g^2 s(x, t)) + g sqrt(h) z, r and g at the start t of the step [a, sec. 4]."""
    chain = reverse_sde(process, MarginalScore(process, DATA), TIMES)
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 5, 2))
    for k, (t, s) in enumerate(zip(TIMES[:-1], TIMES[1:], strict=True)):
        h, g = t - s, process.diffusion(t)
        drift = process.rate(t) * x + g**2 * process.marginal(DATA, t).score(x)
        assert np.allclose(reverse_drift(process, MarginalScore(process, DATA), x, t), drift, rtol=1e-14, atol=1e-14)
        assert np.allclose(chain.mean(k, x), x + h * drift, rtol=1e-14, atol=1e-14)
        assert np.allclose(chain.step(k, x, z), x + h * drift + g * np.sqrt(h) * z, rtol=1e-14, atol=1e-14)
    assert len(chain) == 6


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_exponential_step_is_the_limit_of_frozen_euler_steps(process):
    """Euler steps of size h/n with the score frozen at the start converge to the kernel at rate 1/n; Richardson's
    extrapolation of n and 2n leaves O(1/n^2), here about (h r)^2/n^2 ~ 1e-7."""
    chain = reverse_sde(process, MarginalScore(process, DATA), TIMES, "exponential")
    x = np.array([[0.4, -1.2]])

    def frozen(k, n):
        t, s = TIMES[k], TIMES[k + 1]
        score, mean, variance, h = process.marginal(DATA, t).score(x), x.copy(), 0.0, (t - s) / n
        for u in t - h * np.arange(n):
            rate, g = process.rate(u), process.diffusion(u)
            mean = mean + h * (rate * mean + g**2 * score)
            variance = (1 + h * rate) ** 2 * variance + g**2 * h
        return np.append(mean, variance)

    for k in range(3):
        limit = 2 * frozen(k, 2000) - frozen(k, 1000)
        assert np.allclose(np.append(chain.mean(k, x), chain.v[k]), limit, rtol=1e-6, atol=0)


def test_first_order_agreement_of_the_schemes():
    """Both schemes discretise the same equation: a, b, v agree up to O(h^2), and differ at that order."""
    process, h = VP(), np.array([1e-3, 1e-4])
    chains = [
        [reverse_sde(process, MarginalScore(process, DATA), [0.5, 0.5 - step], scheme) for step in h]
        for scheme in ("euler_maruyama", "exponential")
    ]
    for name in ("a", "b", "v"):
        apart = [abs(getattr(e, name)[0] - getattr(x, name)[0]) for e, x in zip(*chains, strict=True)]
        assert 80 < apart[0] / apart[1] < 125


def test_reverse_drift_sign_and_time_per_row():
    """For p = N(0, sigma^2/(2 beta)), stationary under OU, the reverse drift is the forward drift."""
    process = OU(0.8, 0.6)
    stationary = Gaussian([0.0, 0.0], 0.6**2 / 1.6)
    x = np.array([[1.0, -2.0], [0.3, 0.7]])
    score = MarginalScore(process, stationary)
    assert np.allclose(reverse_drift(process, score, x, 0.3), -0.8 * x, rtol=1e-14)
    vp = VP()
    rows = reverse_drift(vp, MarginalScore(vp, DATA), x, np.array([0.3, 0.9]))
    for i, t in enumerate((0.3, 0.9)):
        assert np.allclose(rows[i], reverse_drift(vp, MarginalScore(vp, DATA), x[[i]], t)[0], rtol=1e-13)


def affine_moments(chain, mean, cov, target_mean, target_cov, process):
    """Mean and covariance of a chain towards a Gaussian target, straight from the definition of its kernels."""
    for t, a, b, v in zip(chain.times, chain.a, chain.b, chain.v, strict=True):
        alpha, variance = process.alpha(t), process.variance(t)
        precision = np.linalg.inv(alpha**2 * target_cov + variance * np.eye(len(mean)))
        slope = a * np.eye(len(mean)) - b * precision
        mean, cov = slope @ mean + b * precision @ (alpha * target_mean), slope @ cov @ slope.T + v * np.eye(len(mean))
    return mean, cov


@pytest.mark.parametrize("scheme", ["euler_maruyama", "exponential"])
def test_simulated_moments(scheme):
    """Sample moments of a Gaussian chain against their exact values.

    n = 40 000; two means, two variances and a covariance, each |z| < 6: false alarm 2e-9 each, 1e-8 in all. It sees a
    standard deviation off by 6/sqrt(2n) = 2 %: noise removed, v for sqrt(v) (v is below 0.3), a factor sqrt 2.
    """
    process, n = OU(0.8, 0.6), 40_000
    target = Gaussian([2.0, -1.0], [[0.5, 0.3], [0.3, 0.4]])
    chain = reverse_sde(process, MarginalScore(process, target), TIMES, scheme)
    start = Gaussian([0.5, 1.5], [[1.0, -0.4], [-0.4, 0.7]])
    x = chain.simulate(start.sample(n, 11), 12)
    mean, cov = affine_moments(chain, start.mean, start.cov, target.mean, target.cov, process)
    assert np.abs((x.mean(0) - mean) / np.sqrt(np.diag(cov) / n)).max() < 6
    away = x - mean
    products = [away[:, 0] ** 2, away[:, 1] ** 2, away[:, 0] * away[:, 1]]
    for product, exact in zip(products, (cov[0, 0], cov[1, 1], cov[0, 1]), strict=True):
        assert abs(product.mean() - exact) / (product.std() / np.sqrt(n)) < 6


def test_noise_is_fresh_in_every_row_step_and_block():
    """Increments of a random walk over many blocks: the sample correlations are those of independent draws."""
    n, steps = 30_000, 3
    ones = np.ones(steps)
    chain = Chain(zero, ones, ones, 0 * ones, ones)
    x = np.zeros((n, 2))
    walk = [chain[:k].simulate(x, 5) for k in range(1, steps + 1)]  # the same streams, cut short
    increments = np.column_stack([walk[0], *(b - a for a, b in zip(walk, walk[1:], strict=False))])
    correlation = np.corrcoef(increments.T) - np.eye(2 * steps)
    assert np.abs(correlation).max() < 6 / np.sqrt(n)  # 15 pairs, 2e-9 each
    assert len(np.unique(increments)) == increments.size


def mixture_chain(scheme="exponential"):
    return reverse_sde(VP(), MarginalScore(VP(), DATA), TIMES, scheme)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(dtype):
    x = np.random.default_rng(1).normal(size=(20_000, 2)).astype(dtype)
    with _blocks.parallel(threads=1):
        one = mixture_chain().simulate(x, 3)
    with _blocks.parallel(threads=2):
        two = mixture_chain().simulate(x, 3)
    assert one.dtype == dtype and np.array_equal(one, two)
    assert np.array_equal(one, mixture_chain().simulate(x, 3))
    assert not np.array_equal(one, mixture_chain().simulate(x, 4))


def test_same_bits_in_other_processes():
    chain, x = mixture_chain(), np.random.default_rng(1).normal(size=(8_000, 2))
    here = chain.simulate(x, 3)
    with ProcessPoolExecutor(1) as executor, _blocks.parallel(executor=executor):
        assert np.array_equal(chain.simulate(x, 3), here)
    assert np.array_equal(pickle.loads(pickle.dumps(chain)).simulate(x, 3), here)


def test_seed_of_the_start_is_not_the_seed_of_the_noise():
    """Who makes x0 from seed 7, by blocks or from a Generator, must not meet the same normals in simulate(x0, 7)."""
    noise = Chain(zero, [1.0], [0.0], [0.0], [1.0]).simulate(np.zeros((500, 1)), 7)
    for rng in (7, np.random.default_rng(7)):
        x = _blocks.map_rows(normals, n=500, row_bytes=48, rng=rng)
        assert abs(np.corrcoef(x[:, 0], noise[:, 0])[0, 1]) < 6 / np.sqrt(500)
    x = np.random.default_rng(7).standard_normal(500)
    assert abs(np.corrcoef(x, noise[:, 0])[0, 1]) < 6 / np.sqrt(500)


def test_simulation_is_steps_with_the_stream_s_noise():
    x, chain = np.ones((4, 2)), mixture_chain()
    right = chain.step(1, x, np.random.default_rng(3).standard_normal(x.shape))
    assert np.allclose(chain._advance(1, x, np.random.default_rng(3)), right, rtol=1e-14, atol=0)


def test_generators_advance_and_x0_is_left_alone():
    rng, chain, x = np.random.default_rng(0), mixture_chain(), np.ones((10, 2))
    assert not np.array_equal(chain.simulate(x, rng), chain.simulate(x, rng))
    assert np.array_equal(x, np.ones((10, 2)))
    shared = np.ones((3, 1))
    returns_its_argument = Chain(lambda x, t: x, [1.0, 0.5], [1.0, 1.0], [2.0, 3.0], [0.0, 0.0])
    assert np.array_equal(returns_its_argument.simulate(shared, 0), np.full((3, 1), 12.0))
    assert np.array_equal(shared, np.ones((3, 1)))


def test_slices_negative_steps_and_noise_free_kernels():
    chain, x = mixture_chain(), np.array([[0.4, -1.2]])
    assert np.array_equal(chain[2:].mean(0, x), chain.mean(2, x))
    assert np.array_equal(chain.mean(-1, x), chain.mean(5, x)) and len(chain[:2]) == 2 and len(chain[:0]) == 0
    quiet = Chain(chain.score, chain.times, chain.a, chain.b, np.zeros(6))
    by_hand = x
    for k in range(6):
        by_hand = quiet.step(k, by_hand, np.full_like(x, 1e3))
    assert np.allclose(quiet.simulate(x, 0), by_hand, rtol=1e-13)
    assert np.array_equal(chain[:0].simulate(x, 0), x)
    with pytest.raises(ValueError, match="read-only"):
        chain.v[0] = 1.0


ONE = np.ones((2, 1))


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: Chain(None, [1.0], [1.0], [1.0], [1.0]), TypeError, "score is None"),
        (lambda: Chain(zero, [1.0], [1.0, 2.0], [1.0], [1.0]), ValueError, "a has shape"),
        (lambda: Chain(zero, [1.0], [1.0], [np.nan], [1.0]), ValueError, "b\\[0\\] is nan"),
        (lambda: Chain(zero, [1.0], [1.0], [1.0], [-1.0]), ValueError, "v\\[0\\] is -1.0"),
        (lambda: mixture_chain()[0], TypeError, "pass a slice"),
        (lambda: mixture_chain().mean(6, np.ones((1, 2))), IndexError, "range"),
        (lambda: mixture_chain().mean(0, np.ones(2)), ValueError, "expected \\(n, d\\)"),
        (lambda: mixture_chain().step(0, np.ones((1, 2)), np.ones((2, 2))), ValueError, "noise has shape"),
        (lambda: mixture_chain().simulate(np.ones((1, 2)), None), TypeError, "rng is None"),
        (lambda: Chain(lambda x, t: x[:, 0], *[[1.0]] * 4).mean(0, ONE), ValueError, "score\\(x, 1.0\\) has"),
        (lambda: Chain(lambda x, t: x * np.inf, *[[1.0]] * 4).simulate(ONE, 0), ValueError, "step 0 of the"),
        (lambda: reverse_sde(VP(), zero, [1.0, 0.0], "heun"), ValueError, "scheme is 'heun'"),
        (lambda: reverse_sde(VP(), zero, [0.0, 1.0]), ValueError, "strictly decreasing"),
        (lambda: reverse_sde(VP(), zero, [1.0]), ValueError, "at least two"),
        (lambda: reverse_sde(VP(), zero, [1.0, 1.0]), ValueError, "strictly decreasing"),
        (lambda: reverse_sde(VP(), zero, [0.5, -0.1]), ValueError, "strictly decreasing"),
        (lambda: reverse_sde(VP(), zero, [2.0, 0.0]), ValueError, "VP runs from time 0 to 1.0"),
        (lambda: reverse_sde(OU(1.0, 1.0), zero, [800.0, 0.0], "exponential"), ValueError, "several steps"),
        (lambda: reverse_drift(VP(), lambda x, t: x[:1], ONE, 0.5), ValueError, "score\\(x, t\\) has shape"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_no_steps_give_a_copy():
    chain = langevin(lambda x: -x, 0.1, 3)
    x = np.zeros((4, 2))
    assert not np.shares_memory(chain[:0].simulate(x, 0), x)
