"""Log-likelihood along the flow: against exact log-densities, its terms one by one, its estimate by probes, its refusals."""

import itertools
import pickle

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refscore import _blocks
from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.networks import MLP, AnalyticScore
from refscore.processes import OU, VE, VP, MarginalScore, SubVP, VPCosine
from refscore.samplers import probability_flow

PROCESSES = [(OU(0.7, 1.3), 2.0), (OU(0.0, 1.7), 1.3), (VP(), 1.0), (SubVP(), 1.0), (VE(0.01, 5.0, "data"), 1), (VPCosine(), 0.99)]


def mixture(d):
    rng = np.random.default_rng(d)
    roots = rng.standard_normal((2, d, d)) / np.sqrt(d) + np.eye(d)
    return GaussianMixture([0.35, 0.65], rng.standard_normal((2, d)), roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(d))


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_mixture_under_any_process(data):
    """Weights, means, variances, dimension, process, T and t_min drawn; the total is the exact log-density at t_min."""
    d, count = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    density = GaussianMixture(rng.dirichlet(np.ones(count)), rng.normal(size=(count, d)), rng.uniform(0.05, 2.0, size=(count, d)))
    process = data.draw(st.sampled_from([process for process, _ in PROCESSES]))
    t_min, last = data.draw(st.floats(0.0, 0.4)), data.draw(st.floats(0.5, 0.99))
    score = MarginalScore(process, density)
    x = score.marginal(t_min).sample(4, rng)
    found = probability_flow(process, score).log_likelihood(x, t_min=t_min, t_max=last, prior=score.marginal(last))
    assert np.abs(found.total - score.marginal(t_min).logpdf(x)).max() <= 1e-8


def test_the_known_number():
    """N(0, 1/4) under VP: log p(0.3) = -0.4058; without the divergence -1.099, with its sign flipped -1.792.

    The flow of a Gaussian is a stretch by S = sqrt(a^2 + 4 sigma^2), so the divergence is log S: in closed form, at 50 digits.
    """
    process, data = VP(), Gaussian([0.0], [[0.25]])
    found = probability_flow(process, MarginalScore(process, data)).log_likelihood([[0.3]])
    with mpmath.workdps(50):
        a = mpmath.exp(-mpmath.mpf("10.05") / 2)
        sigma2 = 1 - a**2
        stretch = mpmath.sqrt(a**2 + 4 * sigma2)
        prior = -mpmath.log(2 * mpmath.pi * sigma2) / 2 - (stretch * mpmath.mpf("0.3")) ** 2 / (2 * sigma2)
    assert abs(found.prior[0] - float(prior)) <= 1e-10
    assert abs(found.divergence[0] - float(mpmath.log(stretch))) <= 1e-10
    assert found.truncation[0] == 0.0
    rounded = [round(float(v), 3) for v in (found.total[0], found.prior[0], found.prior[0] - found.divergence[0])]
    assert rounded == [-0.406, -1.099, -1.792]


@pytest.mark.parametrize("d", [2, *(pytest.param(d, marks=pytest.mark.slow) for d in (1, 5))])
@pytest.mark.parametrize(("process", "last"), PROCESSES, ids=repr)
def test_exact_log_density_of_mixtures(process, last, d):
    data = mixture(d)
    score, x = MarginalScore(process, data), data.sample(60, 1)
    found = probability_flow(process, score).log_likelihood(x, t_max=last, prior=score.marginal(last))
    assert np.abs(found.total - data.logpdf(x)).max() <= 1e-8
    assert np.array_equal(found.total, found.prior + found.divergence)
    assert np.abs(score.marginal(last).logpdf(found.end) - found.prior).max() == 0


def test_the_normal_prior_is_off_by_its_own_error():
    """With N(0, sigma_T^2 I) for p_T the total is off by the difference of the two log-densities at x_T."""
    process, data = OU(0.7, 1.3), mixture(2)
    score, x = MarginalScore(process, data), data.sample(20, 2)
    flow = probability_flow(process, score)
    plain, exact = (flow.log_likelihood(x, t_max=1.0, prior=prior) for prior in (None, score.marginal(1.0)))
    normal = Gaussian(np.zeros(2), process.variance(1.0) * np.eye(2))
    assert np.allclose(plain.prior, normal.logpdf(plain.end), rtol=0, atol=1e-13)
    assert np.array_equal(plain.divergence, exact.divergence)
    assert np.abs(plain.total - exact.total).min() > 1e-3


def test_an_early_stop_and_what_it_loses():
    """The total is log p_{t_min}; the truncation is off by the second order, so by four times as much at twice t_min."""
    process, data = VP(), mixture(2)
    score, x = MarginalScore(process, data), data.sample(20, 3)
    left = []
    for t_min in (2e-3, 1e-3):
        found = probability_flow(process, score).log_likelihood(x, t_min=t_min, prior=score.marginal(1.0))
        assert np.abs(found.total - score.marginal(t_min).logpdf(x)).max() <= 1e-8
        left.append(np.abs(found.total + found.truncation - data.logpdf(x)).max())
    assert 3.6 < left[0] / left[1] < 5.5 and left[1] < 1e-3  # beta grows from 0.1 with slope 19.9: d^2 log p/dt^2 does, too


def test_points_have_no_density_but_their_corruption_has():
    process, data = VP(), PointSet([[0.0, 1.0], [1.0, 0.4], [-0.5, 0.3]], [0.2, 0.3, 0.5])
    score = MarginalScore(process, data)
    x = score.marginal(0.01).sample(30, 4)
    found = probability_flow(process, score).log_likelihood(x, t_min=0.01, prior=score.marginal(1.0))
    assert np.abs(found.total - score.marginal(0.01).logpdf(x)).max() <= 1e-8
    with pytest.raises(ValueError, match="point set has no density.*the score at t = 0.* t_min=1e-4"):
        probability_flow(process, score).log_likelihood(x)


def test_a_network_against_finite_differences_of_the_map():
    """For any score: log |det D(x -> x_T)| by central differences of `integrate`, whose error is h^2 = 1e-6 and 1e-11/h."""
    network = MLP((3, 6, 6, 2), "silu", 5)
    flow, x = probability_flow(VP(), network), mixture(2).sample(5, 6)
    found = flow.log_likelihood(x)
    h = 1e-3
    columns = [(flow.integrate(x + h * e, 0, 1, 1e-12, 1e-12) - flow.integrate(x - h * e, 0, 1, 1e-12, 1e-12)) / (2 * h)
               for e in np.eye(2)]
    determinant = np.linalg.slogdet(np.stack(columns, axis=2))
    assert (determinant[0] == 1).all()
    assert np.abs(found.divergence - determinant[1]).max() <= 1e-5
    assert np.abs(found.end - flow.integrate(x, 0, 1)).max() <= 1e-8


def test_one_pass_or_two_for_score_and_trace():
    """A model that gives both at once is asked once, and gives what it gives in two."""
    network = MLP((3, 6, 6, 2), "silu", 5)

    class Apart:
        def __call__(self, x, t):
            return network(x, t)

        def divergence(self, x, t):
            return network.divergence(x, t)

    x, times = mixture(2).sample(5, 6), np.linspace(0, 1, 8)
    one, two = (probability_flow(VP(), model).steps(times, "heun").log_likelihood(x) for model in (network, Apart()))
    assert np.array_equal(one.total, two.total) and np.array_equal(one.end, two.end)


@pytest.mark.slow
def test_probes_average_to_the_exact_trace():
    """All 2^d Rademacher vectors together give the trace itself, by enumeration; one alone does not."""
    network, d = MLP((4, 6, 3), "tanh", 7), 3
    flow, x = probability_flow(VP(), network), mixture(3).sample(4, 8)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=d)))
    every = np.repeat(signs[:, None], len(x), axis=1)
    exact, mean, one = flow.log_likelihood(x), flow.log_likelihood(x, probes=every), flow.log_likelihood(x, probes=every[0])
    assert np.abs(mean.total - exact.total).max() <= 1e-8
    assert np.abs(one.divergence - exact.divergence).min() > 1e-3
    apart = np.mean([flow.log_likelihood(x, probes=v).divergence for v in every], axis=0)
    assert np.abs(apart - exact.divergence).max() <= 1e-8


def test_probes_of_a_marginal_score():
    process, data = VP(), mixture(3)
    score, x = MarginalScore(process, data), data.sample(3, 9)
    signs = np.array([[1.0, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]])
    probes = np.repeat(signs[:, None], 3, axis=1)
    found = probability_flow(process, score).log_likelihood(x, prior=score.marginal(1.0), probes=probes)
    assert np.abs(found.total - data.logpdf(x)).max() <= 1e-8


@pytest.mark.parametrize(("method", "order"), [pytest.param("euler", 1, marks=pytest.mark.slow), ("heun", 2), ("rk4", 4)])
def test_on_a_grid(method, order):
    """The error of the total falls by 2^order from n to 2n steps, and the end is that of the same steps without likelihood."""
    process, data = VP(0.3, 4.0), mixture(2)
    score, x = MarginalScore(process, data), data.sample(20, 10)
    flow, n = probability_flow(process, score), {"euler": 800, "heun": 200, "rk4": 40}[method]
    errors = []
    for steps in (n, 2 * n):
        chain = flow.steps(np.linspace(0, 1, steps + 1) ** 1.3, method)
        found = chain.log_likelihood(x, prior=score.marginal(1.0))
        assert np.allclose(found.end, chain.integrate(x), rtol=0, atol=1e-13)
        errors.append(np.abs(found.total - data.logpdf(x)).max())
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15


def test_same_bits_for_any_number_of_threads_and_pickles():
    process, data = VP(), mixture(2)
    score, x = MarginalScore(process, data), data.sample(2501, 11)
    flow = pickle.loads(pickle.dumps(probability_flow(process, score)))
    probes = np.random.default_rng(12).choice([-1.0, 1.0], size=(2, *x.shape))
    results = []
    for threads in (1, 3):
        with _blocks.parallel(threads=threads):
            found = flow.log_likelihood(x, 0.01, 0.4, probes=probes, rtol=1e-5, atol=1e-5)
            results.append([found.total, found.truncation, found.end])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_float32_networks_are_taken_as_accurate_as_they_are():
    network = MLP((3, 8, 8, 2), "tanh", 13, np.float32)
    same = MLP.from_arrays([W.astype(float) for W in network.weights], [b.astype(float) for b in network.biases], "tanh")
    x = mixture(2).sample(20, 14)
    one, two = (probability_flow(VP(), model).log_likelihood(x) for model in (network, same))
    assert one.total.dtype == np.float64
    assert np.abs(one.total - two.total).max() <= 1e-3 * np.abs(two.total).max()


def test_refusals():
    process, data = VP(), mixture(2)
    score, x = MarginalScore(process, data), data.sample(3, 15)
    flow = probability_flow(process, score)
    with pytest.raises(ValueError, match="t_max is inf, as OU has no last time"):
        probability_flow(OU(1.0, 1.0), score).log_likelihood(x)
    with pytest.raises(ValueError, match="t_min = 0.5 is not below t_max = 0.5"):
        flow.log_likelihood(x, t_min=0.5, t_max=0.5)
    with pytest.raises(ValueError, match="t_max is 2.0: VP runs"):
        flow.log_likelihood(x, t_max=2.0)
    with pytest.raises(TypeError, match="prior is 'normal', without logpdf"):
        flow.log_likelihood(x, prior="normal")
    with pytest.raises(ValueError, match="dimension here is 3"):
        flow.log_likelihood(x, prior=mixture(3))
    with pytest.raises(TypeError, match="without divergence: give it a method divergence"):
        probability_flow(process, lambda x, t: -x).log_likelihood(x)
    with pytest.raises(TypeError, match="without jvp: give it a method jvp"):
        probability_flow(process, lambda x, t: -x).log_likelihood(x, probes=np.ones_like(x))
    for probes in (np.ones(2), np.ones((2, 2)), np.ones((1, 2, 3))):
        with pytest.raises(ValueError, match=r"probes has shape .*: pass \(3, 2\) or \(k, 3, 2\)"):
            flow.log_likelihood(x, probes=probes)
    with pytest.raises(ValueError, match="times run down"):
        flow.steps([1.0, 0.5, 0.0]).log_likelihood(x)
    with pytest.raises(TypeError, match="MarginalScore"):
        probability_flow(process, AnalyticScore(data)).log_likelihood(x)

    class Column:
        def __call__(self, x, t):
            return -x

        def divergence(self, x, t):
            return np.full((len(x), 1), -2.0)

    with pytest.raises(ValueError, match=r"divergence\(x, 0.0\) has shape \(3, 1\)"):
        probability_flow(process, Column()).log_likelihood(x)


ON_THE_LINE = GaussianMixture([0.3, 0.7], [[-1.0], [1.1]], [0.25, 0.36])


@pytest.mark.parametrize("density", [Gaussian([0.3], 0.25), pytest.param(ON_THE_LINE, marks=pytest.mark.slow)])
def test_far_from_the_data_errors_keep_their_ratio_to_the_log_likelihood(density):
    """Local errors below 1e-10 |x|, and log p is a square: twice the stated 1e-11 (1 + |log p|)."""
    score = MarginalScore(VP(), density)
    x = np.array([[1.0], [10.0], [-1e3], [1e4]])
    found = probability_flow(VP(), score).log_likelihood(x, t_max=1.0, prior=score.marginal(1.0)).total
    right = density.logpdf(x)
    assert (np.abs(found - right) <= 2e-11 * (1 + np.abs(right))).all()
    assert np.abs(found - right)[2] > 1e-8  # the absolute error is not what stays small
