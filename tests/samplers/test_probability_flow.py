"""The probability flow: against Gaussians in closed form and monotone transport, both ways, on grids and to tolerances."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from refscore import _blocks
from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.networks import MLP
from refscore.processes import OU, VE, VP, MarginalScore, SubVP
from refscore.samplers import probability_flow

PROCESSES = [OU(0.8, 0.6), OU(0.0, 1.3), VP(0.3, 4.0), SubVP(0.3, 4.0), VE(0.2, 2.5, "data")]
METHODS = {"euler": 1, "heun": 2, "rk4": 4}
UNEVEN = 0.9 * np.linspace(0, 1, 14) ** 1.7
DATA = GaussianMixture([0.3, 0.7], [[-1.5, 0.2], [1.0, -0.4]], [0.16, 0.36])
NORMAL = Gaussian([0.7, -1.2], [[1.3, 0.5], [0.5, 0.4]])


def flow(process, density):
    return probability_flow(process, MarginalScore(process, density))


def transported(process, density, x, t):
    """m + S_t^{1/2} S_0^{-1/2} (x - m_0): all S_t commute, and the drift is -r x + g^2/2 S_t^{-1} (x - alpha_t m)."""
    values, vectors = np.linalg.eigh(density.cov)
    a, v = process.alpha(t), process.variance(t)
    stretched = (x - density.mean) @ vectors * np.sqrt(a**2 + v / values)
    return a * density.mean + stretched @ vectors.T


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_drift_is_the_formula_and_half_of_the_score(process):
    x = DATA.sample(5, 1)
    for t in (0.0, 0.37):
        s = process.marginal(DATA, t).score(x)
        expected = -process.rate(t) * x - process.diffusion(t) ** 2 * s / 2
        assert np.allclose(flow(process, DATA).drift(x, t), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_a_gaussian_is_stretched_in_closed_form(process):
    x = NORMAL.sample(6, 2)
    y = flow(process, NORMAL).integrate(x, 0, 0.9)
    assert np.abs(y - transported(process, NORMAL, x, 0.9)).max() <= 1e-9  # a hundred steps or so of 1e-10 at most


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_one_dimension_is_monotone_transport(process):
    """A flow on the line keeps order, so P(X_t <= x_t) = P(X_0 <= x_0) along every curve."""
    w, m, v = np.array([0.2, 0.8]), np.array([-1.1, 0.7]), np.array([0.09, 0.5])
    x = np.linspace(-1.9, 2.2, 7)[:, None]
    t = 0.9
    y = flow(process, GaussianMixture(w, m[:, None], v)).integrate(x, 0, t)

    def cdf(x, a, s):
        return ndtr((x - a * m) / np.sqrt(a**2 * v + s**2)) @ w

    assert np.abs(cdf(y, process.alpha(t), process.sigma(t)) - cdf(x, 1, 0)).max() <= 1e-9


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_the_pass_back_is_the_inverse(process):
    x = DATA.sample(40, 3)
    there = flow(process, DATA).integrate(x, 0, 0.9)
    assert np.abs(flow(process, DATA).integrate(there, 0.9, 0) - x).max() <= 2e-8  # what contracts there expands here
    assert np.abs(there - x).max() > 0.1


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(process=st.sampled_from(PROCESSES), times=st.tuples(*3 * [st.floats(0.0, 1.0)]), seed=st.integers(0, 1000))
def test_passes_compose(process, times, seed):
    """From a to b and on to c is from a to c, whatever their order."""
    a, b, c = times
    f = flow(process, DATA)
    x = process.marginal(DATA, a).sample(3, seed) if a > 0 else DATA.sample(3, seed)
    direct = f.integrate(x, a, c)
    assert np.abs(f.integrate(f.integrate(x, a, b), b, c) - direct).max() <= 1e-8 * (1 + np.abs(direct).max())


@pytest.mark.parametrize("direction", [-1, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", METHODS)
def test_orders(method, direction):
    """The error at n and 2n steps of an uneven grid falls by 2^order."""
    f, x = flow(VP(0.3, 4.0), DATA), DATA.sample(10, 4)
    n = {"euler": 400, "heun": 100, "rk4": 40}[method]
    grid = [0.9 * np.linspace(0, 1, k + 1)[::direction] ** 1.3 for k in (n, 2 * n)]
    exact = f.integrate(x, *grid[0][[0, -1]], rtol=1e-13, atol=1e-13)
    one, two = (np.abs(f.steps(times, method).integrate(x) - exact).max() for times in grid)
    assert abs(np.log2(one / two) - METHODS[method]) < 0.1


def test_a_step_of_each_method_is_its_definition():
    f, x, t, s = flow(VP(), DATA), DATA.sample(5, 5), 0.31, 0.44
    b, h = f.drift, s - t
    euler = x + h * b(x, t)
    heun = x + h / 2 * (b(x, t) + b(euler, s))
    k1 = b(x, t)
    k2 = b(x + h / 2 * k1, t + h / 2)
    k3 = b(x + h / 2 * k2, t + h / 2)
    rk4 = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + b(x + h * k3, s))
    for method, expected in {"euler": euler, "heun": heun, "rk4": rk4}.items():
        assert np.allclose(f.steps([0.2, t, s], method).mean(1, x), expected, rtol=1e-14, atol=1e-14)


def test_steps_are_a_chain_without_noise():
    f, x = flow(VP(), DATA), DATA.sample(5, 6)
    chain = f.steps(UNEVEN[::-1], "rk4")
    assert len(chain) == 13 and not chain.v.any() and chain.v.shape == (13,)
    y = x
    for k in range(13):
        y = chain.mean(k, y)
    assert np.array_equal(chain.integrate(x), y)
    assert np.array_equal(chain[4:].integrate(chain[:4].integrate(x)), y)
    assert np.array_equal(chain.mean(-1, x), chain.mean(12, x)) and len(chain[:0]) == 0
    with pytest.raises(IndexError):
        chain.mean(13, x)
    with pytest.raises(TypeError, match="slice"):
        chain[3]


def test_same_bits_for_any_number_of_threads():
    f, x = flow(VP(), DATA), DATA.sample(4001, 7)
    results = []
    for threads in (1, 3):
        with _blocks.parallel(threads=threads):
            results.append([f.integrate(x, 0, 0.5, 1e-6, 1e-6), f.steps(UNEVEN[:4], "heun").integrate(x)])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_a_row_depends_on_the_others_within_the_tolerance_only():
    f, x = flow(VP(), DATA), DATA.sample(2000, 8)
    assert np.abs(f.integrate(x, 0, 1)[:3] - f.integrate(x[:3], 0, 1)).max() <= 1e-9


def test_float32_stays_float32():
    network = MLP((3, 8, 2), "tanh", 1, np.float32)
    f, x = probability_flow(VP(), network), DATA.sample(5, 9).astype(np.float32)
    double = probability_flow(VP(), MLP.from_arrays(network.weights, network.biases, "tanh")).integrate(x.astype(float), 0, 1)
    for y in (f.integrate(x, 0, 1), f.steps(np.linspace(0, 1, 30), "rk4").integrate(x), f.drift(x, 0.3)):
        assert y.dtype == np.float32
    assert np.abs(f.integrate(x, 0, 1) - double).max() <= 1e-3 * np.abs(double).max()


def test_float32_points_under_a_float64_score():
    f, x = flow(VP(), DATA), DATA.sample(5, 9).astype(np.float32)
    assert f.drift(x, 0.3).dtype == f.steps([0.1, 0.2], "rk4").mean(0, x).dtype == f.integrate(x, 0, 1).dtype == np.float32
    assert np.abs(f.integrate(x, 0, 1) - f.integrate(x.astype(float), 0, 1)).max() <= 1e-6


def test_points_are_reached_from_any_positive_time():
    points = PointSet([[0.0, 1.0], [1.0, 1.0], [-0.5, 0.3]])
    f = flow(VP(), points)
    end = f.integrate(np.random.default_rng(10).standard_normal((20, 2)), 1, 1e-8)
    nearest = np.abs(end[:, None] - points.points).max(axis=2).min(axis=1)
    assert nearest.max() <= 5 * VP().sigma(1e-8)
    with pytest.raises(ValueError, match="point set has no density"):
        f.integrate(end, 1e-8, 0)


def test_nothing_to_do_and_no_rows():
    f, x = flow(VP(), DATA), DATA.sample(3, 11)
    still = f.integrate(x, 0.4, 0.4)
    assert np.array_equal(still, x) and not np.shares_memory(still, x)
    assert f.integrate(np.empty((0, 2)), 0, 1).shape == (0, 2)
    assert f.steps([0.1, 0.2]).integrate(np.empty((0, 2))).shape == (0, 2)


def test_pickles():
    f, x = flow(VP(), DATA), DATA.sample(3, 12)
    chain = pickle.loads(pickle.dumps(f.steps(UNEVEN, "heun")))
    assert np.array_equal(chain.integrate(x), f.steps(UNEVEN, "heun").integrate(x))


def test_refusals():
    score = MarginalScore(VP(), DATA)
    f, x = probability_flow(VP(), score), DATA.sample(3, 13)
    with pytest.raises(TypeError, match="pass an SDE, such as"):
        probability_flow(DATA, score)
    with pytest.raises(TypeError, match="pass a callable"):
        probability_flow(VP(), DATA)
    with pytest.raises(ValueError, match="t1 is 1.5: VP runs from time 0 to 1"):
        f.integrate(x, 0, 1.5)
    with pytest.raises(ValueError, match="t0 is -0.5"):
        f.integrate(x, -0.5, 1)
    with pytest.raises(ValueError, match="rtol"):
        f.integrate(x, 0, 1, rtol=0)
    with pytest.raises(ValueError, match="x has shape"):
        f.integrate(x[0], 0, 1)
    for times in ([0.3, 0.2, 0.25], [0.3, 0.3], [[0.1, 0.2]], []):
        with pytest.raises(ValueError, match="strictly increasing or decreasing"):
            f.steps(times)
    with pytest.raises(ValueError, match="times is 2.0: VP runs"):
        f.steps([0.5, 2.0])
    with pytest.raises(ValueError, match="method is 'midpoint': choose one of 'euler'"):
        f.steps([0, 1], "midpoint")
    with pytest.raises(ValueError, match=r"score\(x, 0.5\) has shape \(3, 1\)"):
        probability_flow(VP(), lambda x, t: x[:, :1]).drift(x, 0.5)
    with pytest.raises(ValueError, match="score is not finite"):
        probability_flow(VP(), lambda x, t: x * np.inf).integrate(x, 0, 1)
    wild = probability_flow(OU(0.0, 1e3), lambda x, t: x**3).steps(np.linspace(0, 1, 9), "euler")
    with pytest.raises(ValueError, match="slope of the flow .* is -?(inf|nan)"), np.errstate(over="ignore", invalid="ignore"):
        wild.integrate(1e30 * x)
    with pytest.raises(ValueError, match="cannot be integrated"):
        probability_flow(OU(0.0, 1.0), lambda x, t: -(x**2) * np.sign(x)).integrate(np.full((1, 1), 2.0), 0, 3)
