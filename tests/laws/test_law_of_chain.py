"""Laws of chains against routes that share no code with them.

Affine chains: the recursion per eigen-direction in 50-digit mpmath. Quadrature: Gauss-Legendre panels over dense
arrays, nested adaptive quadrature, and simulation.
"""

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import quad

from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.distances import total_variation
from refscore.laws import grid, law, law_with_error
from refscore.processes import OU, VP, MarginalScore
from refscore.samplers import Chain, langevin, reverse_sde

EPS = np.finfo(float).eps
STANDARD = OU(1.0, np.sqrt(2))
DATA = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
UNEVEN = np.array([1.3, 1.1, 0.7, 0.62, 0.35, 0.2, 0.05])


def mixture_score(x, t):
    """Score of DATA under the standard process, written out again for a single number or an array."""
    alpha, noise = np.exp(-t), -np.expm1(-2 * t)
    up = down = 0.0
    for w, m, v in ((0.3, -1.5, 0.16), (0.7, 1.0, 0.36)):
        m, v = alpha * m, alpha**2 * v + noise
        part = w * np.exp(-((x - m) ** 2) / (2 * v)) / np.sqrt(v)
        up, down = up + part * (m - x) / v, down + part
    return up / down


def start_density(x, t):
    alpha, noise = np.exp(-t), -np.expm1(-2 * t)
    parts = [(w, alpha * m, alpha**2 * v + noise) for w, m, v in ((0.3, -1.5, 0.16), (0.7, 1.0, 0.36))]
    return sum(w * np.exp(-((x - m) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v) for w, m, v in parts)


def kernel(times, k, scheme, x):
    """Mean and variance of step k of the standard process, from the formulas of the two schemes."""
    h, score = times[k] - times[k + 1], mixture_score(x, times[k])
    if scheme == "euler_maruyama":
        return x + h * (x + 2 * score), 2 * h
    return np.exp(h) * x + 2 * (np.exp(h) - 1) * score, np.exp(2 * h) - 1


def panels(low, high, width, order=16):
    nodes, weights = np.polynomial.legendre.leggauss(order)
    edges = np.arange(low, high + width / 2, width)
    middle = (edges[1:] + edges[:-1]) / 2
    return (middle[:, None] + nodes * width / 2).ravel(), np.tile(weights * width / 2, len(middle))


def dense_law(times, scheme, points, width=0.25):
    """The density after all steps at the points: 16-point Gauss-Legendre panels on [-10, 10], dense sums.

    The integrand is analytic within 0.25 of the line (poles of the score), the panels are 0.25 wide: the error of a
    rule of order 16 is below rho^-32 with rho = 2 + sqrt(5), that is 1e-20; what remains is rounding, eps a term.
    """
    x, w = panels(-10, 10, width)
    p = start_density(x, times[0])
    for k in range(len(times) - 1):
        mean, v = kernel(times, k, scheme, x)
        y = points if k == len(times) - 2 else x
        p = np.exp(-((y[:, None] - mean) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v) @ (w * p)
    return p


def chain_for(times, scheme):
    chain = reverse_sde(STANDARD, MarginalScore(STANDARD, DATA), times, scheme)
    return chain, STANDARD.marginal(DATA, times[0])


@pytest.mark.parametrize("scheme", ["euler_maruyama", "exponential"])
@pytest.mark.parametrize("times", [UNEVEN, np.linspace(3, 0, 14), np.linspace(2, 0.3, 8)], ids=["uneven", "13", "7"])
def test_grid_against_dense_gauss_legendre(times, scheme):
    points = np.linspace(-5, 6, 45)
    density, error = law_with_error(*chain_for(times, scheme))
    expected = dense_law(times, scheme, points)
    # exponents up to 40 are rounded (40 eps), a few eps a step besides; the density is below 1
    assert np.abs(np.exp(density.logpdf(points[:, None])) - expected).max() <= 64 * EPS * len(times)
    assert error < 1e-12


def test_one_and_two_steps_against_adaptive_quadrature():
    times, scheme = UNEVEN[3:6], "euler_maruyama"

    def transition(k, x, y):
        mean, v = kernel(times, k, scheme, x)
        return np.exp(-((y - mean) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v)

    def integral(f, tolerance):
        return quad(f, -6, 7, epsabs=tolerance, epsrel=0, limit=200, points=[-1.5, 0.0, 1.0])

    def after_one(y):
        return integral(lambda x: start_density(x, times[0]) * transition(0, x, y), 1e-11)[0]

    chain, start = chain_for(times, scheme)
    one, two = law(chain[:1], start), law(chain, start)
    for y in (-1.3, 0.9):
        assert np.exp(one.logpdf([[y]]))[0] == pytest.approx(after_one(y), abs=1e-11)
    value, error = integral(lambda x: after_one(x) * transition(1, x, -0.4), 1e-9)
    assert np.exp(two.logpdf([[-0.4]]))[0] == pytest.approx(value, abs=2e-10 + error)


def test_total_variation_of_48_exponential_steps():
    """Exact p_T, T = 3, N = 48: 0.07758959366622562, by 64-bit-mantissa sums on two lattices and mpmath's erf."""
    chain, start = chain_for(np.linspace(3, 0, 49), "exponential")
    density, error = law_with_error(chain, start)
    value, bound = total_variation(density, DATA)
    assert abs(value - 0.07758959366622562) <= bound + error <= 1e-12


@pytest.mark.parametrize("scheme", ["euler_maruyama", "exponential"])
def test_law_against_simulation(scheme):
    """Dvoretzky-Kiefer-Wolfowitz: P(sup |F_n - F| > e) <= 2 exp(-2 n e^2) = 1e-9 for n = 40 000, e = 0.0164.

    That is less than the distance made by noise with v in place of sqrt(v), or by a score at the end of each step.
    """
    times, n = np.linspace(2.0, 0.1, 8), 40_000
    chain, start = chain_for(times, scheme)
    x = np.sort(chain.simulate(start.sample(n, 1), 2), axis=0)
    distance = np.abs(law(chain, start).cdf(x) - (np.arange(n) + 0.5) / n).max() + 0.5 / n
    assert distance < np.sqrt(np.log(2e9) / (2 * n))


MEAN, SPECTRUM = np.array([2.0, -1.0, 0.5]), np.array([0.3, 0.9, 2.1])
AXES = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]


@pytest.mark.parametrize("process", [STANDARD, VP(0.3, 4.0)], ids=repr)
@pytest.mark.parametrize("scheme", ["euler_maruyama", "exponential"])
def test_gaussian_target_in_three_dimensions(process, scheme):
    """The target's eigen-directions do not mix, so each is a scalar recursion, done here in mpmath."""
    times = np.linspace(0.98, 0, 8)
    target = Gaussian(AXES @ MEAN, (AXES * SPECTRUM) @ AXES.T)
    start = Gaussian(AXES @ [0.3, -0.7, 1.1], (AXES * [1.0, 0.5, 1.5]) @ AXES.T)
    chain = reverse_sde(process, MarginalScore(process, target), times, scheme)
    got, error = law_with_error(chain, start)
    assert isinstance(got, Gaussian) and error < 1e-11
    for i in range(3):
        with mp.workdps(50):
            mean, var = [mp.mpf(x) for x in ((0.3, -0.7, 1.1)[i], (1.0, 0.5, 1.5)[i])]
            for t, a, b, v in zip(chain.times, chain.a, chain.b, chain.v, strict=True):
                alpha, a, b, v = mp.mpf(float(process.alpha(t))), mp.mpf(float(a)), mp.mpf(float(b)), mp.mpf(float(v))
                total = alpha**2 * mp.mpf(SPECTRUM[i]) + mp.mpf(float(process.variance(t)))
                mean, var = a * mean + b * (alpha * mp.mpf(MEAN[i]) - mean) / total, (a - b / total) ** 2 * var + v
        # a few eps a step in d = 3, times condition 7 and the size of a (up to 3)
        assert AXES[:, i] @ got.mean == pytest.approx(float(mean), rel=0, abs=200 * EPS * (1 + abs(float(mean))))
        assert AXES[:, i] @ got.cov @ AXES[:, i] == pytest.approx(float(var), rel=200 * EPS)


def test_affine_means_that_do_not_commute_with_the_covariance():
    """A linear score that is no gradient, x W + c with W not symmetric, on a mixture: C -> A C A' + v I."""
    w, c = np.array([[-0.6, 0.9], [-0.2, -1.1]]), np.array([0.4, -0.3])
    chain = Chain(lambda x, t: x @ w + t * c, [0.9, 0.5], [1.1, 0.8], [0.3, 0.7], [0.2, 0.05])
    covs = [[[0.5, 0.2], [0.2, 0.3]], [[0.4, -0.1], [-0.1, 0.9]]]
    start = GaussianMixture([0.2, 0.8], [[1.0, -2.0], [0.3, 0.5]], covs)
    got, error = law_with_error(chain, start)
    for k in range(2):
        mean, cov = start.means[k], start.covs[k]
        for t, a, b, v in ((0.9, 1.1, 0.3, 0.2), (0.5, 0.8, 0.7, 0.05)):
            slope = a * np.eye(2) + b * w.T
            mean, cov = slope @ mean + b * t * c, slope @ cov @ slope.T + v * np.eye(2)
        # two steps with entries of size one: some ten roundings each
        assert np.allclose(got.means[k], mean, rtol=0, atol=32 * EPS)
        assert np.allclose(got.covs[k], cov, rtol=0, atol=32 * EPS)
    assert np.array_equal(got.weights, start.weights) and error < 1e-12


@pytest.mark.parametrize("n", [3, 40])
def test_affine_recursion_against_the_grid(n):
    """A Gaussian target in one dimension by both routes, started from a mixture."""
    target = Gaussian([0.7], 0.3)
    start = GaussianMixture([0.4, 0.6], [[-1.0], [0.8]], [0.2, 0.5])
    chain = reverse_sde(STANDARD, MarginalScore(STANDARD, target), np.geomspace(1.6, 0.05, n + 1), "exponential")
    closed, error = law_with_error(chain, start)
    assert len(closed.weights) == 2
    by_grid, grid_error = grid.propagate(chain, start)
    assert grid_error < 1e-13 and error < 1e-11
    distance, _ = total_variation(closed, by_grid)
    assert distance <= 1e-12
    x = np.linspace(-4, 4, 33)[:, None]
    assert np.abs(np.exp(closed.logpdf(x)) - np.exp(by_grid.logpdf(x))).max() <= 1e-12


def test_far_from_the_origin():
    """Slope and constant of an affine mean lose no digits when the law is narrow and far away."""
    score = Gaussian([1e6], 1e-2).score
    chain = Chain(lambda x, t: score(x), [1.0, 1.0], [1.0, 1.0], [1e-3, 2e-3], [1e-3, 2e-3])
    got, error = law_with_error(chain, Gaussian([1e6 + 0.25], 4e-2))
    assert got.mean[0] - 1e6 == pytest.approx(0.25 * 0.9 * 0.8, abs=1e-9)  # 1e6 eps = 2e-10
    assert got.cov[0, 0] == pytest.approx(0.64 * (0.81 * 4e-2 + 1e-3) + 2e-3, rel=1e-12)
    assert 1e-10 < error < 1e-6  # the shift of 1e6 eps against a width of 0.04 is reported


def test_curved_means_are_not_taken_for_affine():
    """A sine of amplitude 1e-6 on top of a linear score changes the law by some 1e-8, and that is seen."""
    chain = Chain(lambda x, t: -x + 1e-6 * np.sin(3 * x), [1.0] * 2, [1.0] * 2, [0.5, 0.4], [0.5, 0.4])
    start = Gaussian([0.3], 1.0)
    straight = Chain(lambda x, t: -x, chain.times, chain.a, chain.b, chain.v)
    assert isinstance(law(straight, start), Gaussian)
    assert 1e-9 < total_variation(law(chain, start), law(straight, start))[0] < 1e-6


def test_affine_first_then_quadrature():
    """The score of a mixture is affine to rounding at t = 14: the law is Gaussian up to there, a node mixture later."""
    chain, start = chain_for(np.arange(14.0, 0.5, -1.0), "exponential")
    assert len(law(chain[:1], Gaussian([0.2], 0.8)).weights) == 1
    by_both, _ = law_with_error(chain, Gaussian([0.2], 0.8))
    by_grid, _ = grid.propagate(chain, Gaussian([0.2], 0.8))
    assert len(by_both.weights) > 1 and total_variation(by_both, by_grid)[0] < 1e-12


def test_point_sets():
    points = PointSet([[-1.0, 0.3], [0.5, 0.2], [2.0, -1.0]], [0.2, 0.5, 0.3])
    data = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [1.0, 2.0]], [0.3, 0.4])
    chain = reverse_sde(VP(), MarginalScore(VP(), data), [0.5, 0.4], "exponential")
    one = law(chain, points)
    x = np.array([[0.1, 0.2], [1.0, -1.0]])
    apart = ((x[:, None] - chain.mean(0, points.points)) ** 2).sum(2)
    kernels = np.exp(-apart / (2 * chain.v[0])) / (2 * np.pi * chain.v[0])
    assert np.allclose(np.exp(one.logpdf(x)), kernels @ points.weights, rtol=1e-13)
    quiet = Chain(chain.score, chain.times, chain.a, chain.b, [0.0])
    assert np.array_equal(law(quiet, points).points, chain.mean(0, points.points))


def test_noise_free_steps():
    chain, start = chain_for(UNEVEN[:4], "exponential")
    # noise-free in the middle: the same as one step with the composed mean
    composed = Chain(chain.score, chain.times, chain.a, chain.b, [chain.v[0], 0.0, chain.v[2]])
    x, w = panels(-10, 10, 0.25)
    mean, v = kernel(UNEVEN, 0, "exponential", x)
    first = np.exp(-((x[:, None] - mean) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v) @ (w * start_density(x, UNEVEN[0]))
    mean = kernel(UNEVEN, 2, "exponential", kernel(UNEVEN, 1, "exponential", x)[0])[0]
    v, y = chain.v[2], np.linspace(-3, 4, 15)
    expected = np.exp(-((y[:, None] - mean) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v) @ (w * first)
    assert np.abs(np.exp(law(composed, start).logpdf(y[:, None])) - expected).max() < 1e-12
    # noise-free and affine at the end: the law before it, rescaled
    shrunk = law(Chain(chain.score, [*chain.times, 0.1], [*chain.a, 0.5], [*chain.b, 0.0], [*chain.v, 0.0]), start)
    before = law(chain, start)
    assert np.allclose(shrunk.logpdf(y[:, None] / 2), before.logpdf(y[:, None]) + np.log(2), rtol=1e-12, atol=1e-12)


def test_nothing_happens_in_an_empty_chain():
    chain, start = chain_for(UNEVEN, "exponential")
    assert law(chain[:0], start) is start


def in_the_plane():
    data = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [1.0, 2.0]], [0.3, 0.4])
    return reverse_sde(VP(), MarginalScore(VP(), data), [0.5, 0.4]), VP().marginal(data, 0.5)


def folding_end():
    """A noise-free step of length 2 at t = 0.05, where the score falls as steeply as -1/0.2."""
    chain, start = chain_for(UNEVEN[:3], "exponential")
    return Chain(chain.score, [UNEVEN[0], 0.05], [1.0, 1.0], [0.5, 2.0], [0.5, 0.0]), start


def too_narrow():
    chain, start = chain_for(UNEVEN[:3], "exponential")
    return Chain(chain.score, chain.times, chain.a, chain.b, [1e-14, 1e-14]), start


def too_rough():
    return Chain(lambda x, t: np.sign(x) - x, [1.0], [1.0], [0.2], [0.02]), Gaussian([0.3], 1.0)


@pytest.mark.parametrize(
    "case, message",
    [
        (in_the_plane, "step 0 is not affine and the dimension is 2"),
        (folding_end, r"steps 1 to 1 are noise-free and not affine.*not increasing: from x = .*shorter steps; law\(chain\[:1\]"),
        (too_narrow, "quadrature nodes, more than"),
        (too_rough, "known only to"),
    ],
)
def test_refusals(case, message):
    with pytest.raises(ValueError, match=message):
        law(*case())


def test_a_rough_score_comes_with_its_error():
    """A jump costs first order in the spacing, so the reported error must be large too."""
    chain, start = too_rough()
    density, error = law_with_error(chain, start)
    x, w = panels(-9, 9, 0.1)  # the jump at 0 is an edge
    p = np.exp(-((x - 0.3) ** 2) / 2) / np.sqrt(2 * np.pi)
    mean, y = chain.mean(0, x[:, None])[:, 0], np.linspace(-6, 6, 1201)
    exact = np.exp(-((y[:, None] - mean) ** 2) / 0.04) / np.sqrt(0.04 * np.pi) @ (w * p)
    distance = 0.01 * np.abs(np.exp(density.logpdf(y[:, None])) - exact).sum() / 2
    assert 1e-8 < distance < 4 * error


def test_wrong_kinds_are_refused():
    with pytest.raises(TypeError, match="initial is ndarray"):
        law(chain_for(UNEVEN, "exponential")[0], np.zeros(3))


def test_the_difference_of_two_laws_is_the_integral():
    from scipy.special import erf

    from refscore.laws.grid import _difference, _Nodes
    for away in (0.01, 0.3, 2.0):
        p, q = (_Nodes(np.ones(1), np.array([m]), 1.0) for m in (0.0, away))
        assert _difference(p, q) == pytest.approx(2 * erf(away / np.sqrt(8)), rel=0.02)


def test_a_weighted_point_set_keeps_its_weights():
    from refscore.laws import law
    from refscore.samplers import Chain
    chain = Chain(lambda x, t: np.tanh(x), [2.0, 1.0], [0.5, 1.0], [1.0, 1.0], [0.0, 0.3])
    points = PointSet([[-1.0], [2.0]], [0.2, 0.8])
    after = law(chain[:1], points)
    np.testing.assert_array_equal(after.weights, [0.2, 0.8])
    np.testing.assert_array_equal(law(chain, points).weights, [0.2, 0.8])


def test_a_narrow_feature_is_not_overlooked():
    """Half the target's mass within 0.02 of 0.37: the affine shortcut would be off by 1.0e-2, and so would wide quadrature."""
    target = GaussianMixture([0.5, 0.5], [[0.0], [0.37]], [1.0, 0.003**2])
    chain = Chain(lambda x, t: target.score(x), [0.0], [1.0], [0.1], [0.2])
    density, error = law_with_error(chain, Gaussian([0.0], 1.0))
    x, w = panels(-9, 9, 0.001)
    p, y = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), np.linspace(-6, 6, 301)
    mean = chain.mean(0, x[:, None])[:, 0]
    exact = [np.exp(-((z - mean) ** 2) / 0.4) / np.sqrt(0.4 * np.pi) @ (w * p) for z in y]
    distance = 0.04 * np.abs(np.exp(density.logpdf(y[:, None])) - exact).sum() / 2
    assert distance <= error
    if error > 1e-10:
        with pytest.raises(ValueError, match="known only to"):
            law(chain, Gaussian([0.0], 1.0))


def test_affine_rounding_counts():
    """Means of 1e8 in steps of width 0.8 are rounded by 1e-8 each: not known to 1e-10."""
    far = Gaussian([1e8], 1.0)
    chain = Chain(lambda x, t: far.score(x), [0.0] * 20, [1.0] * 20, [0.3] * 20, [0.6] * 20)
    assert 1e-8 < law_with_error(chain, Gaussian([0.0], 1.0))[1] < 1e-6
    with pytest.raises(ValueError, match="known only to"):
        law(chain, Gaussian([0.0], 1.0))


@pytest.mark.parametrize(
    "spectrum", [[1.0, 1e-3, 1e-6], *(pytest.param(values, marks=pytest.mark.slow) for values in ([0.75], [1e-6], [1.0, 1e-6]))]
)
def test_long_affine_chains_are_handed_out(spectrum):
    """A contracting chain forgets its roundings, so 1024 steps stay far from the 1e-10 that `law` promises."""
    axes = np.linalg.qr(np.random.default_rng(4).normal(size=(len(spectrum),) * 2))[0]
    target = Gaussian(np.arange(1.0, 1 + len(spectrum)), (axes * spectrum) @ axes.T)
    chain = reverse_sde(STANDARD, MarginalScore(STANDARD, target), np.linspace(3, 0, 1025), "exponential")
    assert isinstance(law(chain, STANDARD.marginal(target, 3.0)), Gaussian)


def test_a_chain_that_diverges_is_told_so():
    """Steps of 5 stretch one axis by 5.3 and the other by 1.3: after 14 of them float64 no longer holds both variances."""
    data = Gaussian([0.0, 0.0], [[1.0, 0.5], [0.5, 2.0]])
    with pytest.raises(ValueError, match=r"after step 14 .*the chain diverges \(a step stretches by 5.31\), take shorter steps"):
        law(langevin(data.score, 5.0, 20), data)
    with pytest.raises(TypeError, match="chain is NoneType: pass what langevin"):
        law(None, data)


def test_sixty_four_dimensions():
    """Scalars along the eigenvectors of the data; the bound on the error stays below what `law` promises."""
    rng = np.random.default_rng(1)
    axes, spectrum, centre = np.linalg.qr(rng.standard_normal((64, 64)))[0], np.geomspace(0.05, 3, 64), rng.standard_normal(64)
    data = Gaussian(axes @ centre, (axes * spectrum) @ axes.T)
    chain = reverse_sde(STANDARD, MarginalScore(STANDARD, data), np.linspace(3, 0, 25), "exponential")
    got = law(chain, STANDARD.marginal(data, 3.0))
    mean, variance = np.exp(-3.0) * centre, np.exp(-6.0) * spectrum - np.expm1(-6.0)
    for t, a, b, v in zip(chain.times, chain.a, chain.b, chain.v, strict=True):
        precision = 1 / (np.exp(-2 * t) * spectrum - np.expm1(-2 * t))
        mean = (a - b * precision) * mean + b * precision * np.exp(-t) * centre
        variance = (a - b * precision) ** 2 * variance + v
    assert np.abs(axes.T @ got.mean - mean).max() < 1e-13
    assert np.abs(axes.T @ got.cov @ axes - np.diag(variance)).max() < 1e-12


@pytest.mark.parametrize("dim", [1, 3])
def test_a_chain_that_leaves_float64_is_told_so(dim):
    data = Gaussian(np.ones(dim), 1.0)
    with pytest.raises(ValueError, match=r"size float64 does not resolve: the chain diverges \(a step stretches by 4\)"):
        law(langevin(data.score, 5.0, 300), data)
