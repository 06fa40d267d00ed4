"""Laws that split, against lattices in the plane, laws on the line and draws."""

import numpy as np
import pytest

from refscore.densities import Gaussian, GaussianMixture, Product, PushForward
from refscore.laws import law, law_with_error
from refscore.networks import MLP
from refscore.processes import OU, VP, MarginalScore
from refscore.samplers import Chain, probability_flow, reverse_sde

STANDARD = OU(1.0, np.sqrt(2))
LINE = GaussianMixture([0.3, 0.7], [[-1.5], [1.0]], [0.16, 0.36])
TURN = np.array([[0.6, -0.8], [0.8, 0.6]])
TILTED = GaussianMixture(
    LINE.weights, [TURN @ [m, 0.4] for m in LINE.means[:, 0]], [TURN @ np.diag([v, 0.5]) @ TURN.T for v in LINE.covs]
)
GRID = Product([LINE, GaussianMixture([0.6, 0.4], [[-0.7], [0.8]], [0.2, 0.3])])
TIMES = [1.2, 0.6, 0.3]


def components(data, t):
    """Weights, means and covariances of alpha x + sigma z, written out for the four components of a product, too."""
    if isinstance(data, Product):
        a, b = data.factors
        weights = np.outer(a.weights, b.weights).ravel()
        means = np.array([[m, n] for m in a.means[:, 0] for n in b.means[:, 0]])
        covs = np.array([np.diag([v, w]) for v in a.covs for w in b.covs])
    else:
        weights, means, covs = data.weights, data.means, data.covs
    return weights, np.exp(-t) * means, np.exp(-2 * t) * covs - np.expm1(-2 * t) * np.eye(2)


def by_hand(data, t, x):
    """Density and score of the data at time t."""
    density, slope = np.zeros(len(x)), np.zeros_like(x)
    for weight, mean, cov in zip(*components(data, t), strict=True):
        pull = (mean - x) @ np.linalg.inv(cov)
        part = weight * np.exp(-(pull * (mean - x)).sum(axis=1) / 2) / (2 * np.pi * np.sqrt(np.linalg.det(cov)))
        density, slope = density + part, slope + part[:, None] * pull
    return density, slope / density[:, None]


def kernel(y, centres, v):
    return np.exp(-((y[:, None] - centres) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v)


@pytest.mark.parametrize("data", [TILTED, GRID], ids=["along a tilted line", "four modes"])
@pytest.mark.parametrize("start", ["marginal", pytest.param("standard", marks=pytest.mark.slow)])
def test_two_steps_against_a_lattice_in_the_plane(data, start):
    """The trapezoidal rule with spacing 0.2 in both directions: integrands at least 0.35 wide, so 2 exp(-2 pi^2 3) = 1e-25."""
    chain = reverse_sde(STANDARD, MarginalScore(STANDARD, data), TIMES, "euler_maruyama")
    initial = STANDARD.marginal(data, TIMES[0]) if start == "marginal" else Gaussian([0.0, 0.0], 1.0)
    got, error = law_with_error(chain, initial)
    assert isinstance(got, Product) and error < 1e-11
    line = 0.2 * np.arange(-50, 51)
    x = np.stack(np.meshgrid(line, line, indexing="ij"), axis=2).reshape(-1, 2)
    p = by_hand(data, TIMES[0], x)[0] if start == "marginal" else np.exp(-(x**2).sum(axis=1) / 2) / (2 * np.pi)
    centres = [(1 + h) * x + 2 * h * by_hand(data, t, x)[1] for t, h in ((1.2, 0.6), (0.6, 0.3))]
    for centre, v in zip(centres, (1.2, 0.6), strict=True):  # the kernel at all points of the lattice is a product over the axes
        p = 0.04 * ((kernel(line, centre[:, 0], v) * p) @ kernel(line, centre[:, 1], v).T).ravel()
    assert np.exp(got.logpdf(x)) == pytest.approx(p, rel=0, abs=1e-13)


@pytest.mark.parametrize("dim", [2, 3, pytest.param(6, marks=pytest.mark.slow)])
def test_the_direction_carries_the_law_of_the_line(dim):
    """In axes drawn at random: the mixture's factor is the law in one dimension, the others are Gaussian recursions."""
    rng = np.random.default_rng(dim)
    turn = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    rest, spreads = rng.standard_normal(dim - 1), rng.uniform(0.2, 2, dim - 1)
    data = GaussianMixture(LINE.weights, [turn @ np.append(m, rest) for m in LINE.means[:, 0]],
                           [(turn * np.append(v, spreads)) @ turn.T for v in LINE.covs])
    times = np.linspace(2, 0.02, 13)
    for start in (STANDARD.marginal(data, 2.0), Gaussian(np.zeros(dim), 1.0)):
        chain = reverse_sde(STANDARD, MarginalScore(STANDARD, data), times, "exponential")
        got = law(chain, start)
        first = Gaussian([0.0], 1.0) if isinstance(start, Gaussian) else STANDARD.marginal(LINE, 2.0)
        line = law(reverse_sde(STANDARD, MarginalScore(STANDARD, LINE), times, "exponential"), first)
        at = int(np.argmax(np.abs(got.axes.T @ turn[:, 0])))
        sign = np.sign(got.axes[:, at] @ turn[:, 0])
        u = np.linspace(-3, 3, 13)[:, None]
        assert got.factors[at].logpdf(sign * u) == pytest.approx(line.logpdf(u), rel=0, abs=1e-11)
        assert sum(isinstance(factor, Gaussian) for factor in got.factors) == dim - 1
        mean, cov = turn.T @ got.mean, turn.T @ got.cov @ turn
        assert np.abs(cov - np.diag(np.diag(cov))).max() < 1e-11 and mean[0] == pytest.approx(line.mean[0], abs=1e-11)
        for i, (centre, spread) in enumerate(zip(rest, spreads, strict=True)):
            rest_of_data = Gaussian([centre], spread)
            one = law(reverse_sde(STANDARD, MarginalScore(STANDARD, rest_of_data), times, "exponential"),
                      STANDARD.marginal(rest_of_data, 2.0) if not isinstance(start, Gaussian) else first)
            assert [mean[i + 1], cov[i + 1, i + 1]] == pytest.approx([one.mean[0], one.cov[0, 0]], abs=1e-11)


def test_flows_split_too():
    process = VP(0.3, 4.0)
    times = np.linspace(1, 0, 25)
    got = law(probability_flow(process, MarginalScore(process, TILTED)).steps(times, "heun"), process.marginal(TILTED, 1.0))
    line = law(probability_flow(process, MarginalScore(process, LINE)).steps(times, "heun"), process.marginal(LINE, 1.0))
    at = int(np.argmax(np.abs(got.axes.T @ TURN[:, 0])))
    assert isinstance(got.factors[at], PushForward) and isinstance(got.factors[1 - at], Gaussian)
    u = np.linspace(-3, 3, 13)[:, None]
    assert got.factors[at].logpdf(np.sign(got.axes[:, at] @ TURN[:, 0]) * u) == pytest.approx(line.logpdf(u), abs=1e-10)


def test_a_law_of_draws():
    """Dvoretzky-Kiefer-Wolfowitz on three projections: sup above 0.0169 with probability 3e-9/3 for n = 40 000."""
    chain = reverse_sde(STANDARD, MarginalScore(STANDARD, TILTED), np.linspace(2, 0.1, 6), "exponential")
    got = law(chain, Gaussian([0.0, 0.0], 1.0))
    n = 40_000
    x, y = chain.simulate(Gaussian([0.0, 0.0], 1.0).sample(n, 1), 2), got.sample(n, 3)
    for direction in ([1.0, 0.0], [0.0, 1.0], [0.7, 0.7]):
        a, b = np.sort(x @ direction), np.sort(y @ direction)
        distance = np.abs(np.searchsorted(a, b) / n - (np.arange(n) + 0.5) / n).max()
        assert distance < 2 * np.sqrt(np.log(2e9) / (2 * n))


def test_affine_steps_before_the_chain_splits():
    """Two affine steps, then one that is not: the law is split after two, and the rest of the chain alone is taken apart."""
    chain = Chain(lambda x, t: -x if t > 1 else np.tanh(x) - x, [3.0, 2.0, 0.5], [1.0] * 3, [0.2] * 3, [0.3] * 3)
    got = law(chain, Gaussian([0.4, -0.5], [0.8, 1.3]))
    x = np.linspace(-2, 2, 9)[:, None]
    for factor, mean, variance in zip(got.factors, (0.4, -0.5), (0.8, 1.3), strict=True):
        assert factor.logpdf(x) == pytest.approx(law(chain, Gaussian([mean], variance)).logpdf(x), abs=1e-11)


def test_affine_chains_of_products():
    target = Product([Gaussian([0.5], 0.3), Gaussian([-1.0], 1.5)], TURN)
    chain = Chain(lambda x, t: target.score(x), [0.0] * 3, [1.0] * 3, [0.2] * 3, [0.4, 0.3, 0.0])
    start = Product([Gaussian([1.0], 1.0), Gaussian([0.3], 0.2)], TURN)
    got = law(chain, start)
    plain = law(chain, Gaussian(start.mean, start.cov))
    assert isinstance(got, Product) and isinstance(plain, Gaussian)
    assert got.mean == pytest.approx(plain.mean, abs=1e-14) and got.cov == pytest.approx(plain.cov, abs=1e-14)
    assert law(chain[:0], start) is start


def not_along_one_line():
    data = GaussianMixture([0.3, 0.3, 0.4], [[0, 0], [1, 2], [1, 0]], [0.3, 0.3, 0.3])
    return reverse_sde(STANDARD, MarginalScore(STANDARD, data), TIMES), STANDARD.marginal(data, TIMES[0])


def not_symmetric():
    network = MLP((2, 16, 2), "tanh", 3)
    return Chain(lambda x, t: network(x), [1.0], [1.0], [0.2], [0.2]), Gaussian([0.0, 0.0], 1.0)


def turned_against_each_other():
    chain = Chain(lambda x, t: np.tanh(x), [1.0], [1.0], [0.2], [0.2])
    return chain, Gaussian([0.0, 0.0], [[1.0, 0.5], [0.5, 2.0]])


def coupled_where_the_chain_goes():
    """The first step takes everything to 50, and only there do the coordinates see each other."""
    def score(x, t):
        return np.tanh(x) + (50.0 if t > 1 else 1e-3 * np.exp(-((x[:, ::-1] - 50) ** 2) / 2))

    return Chain(score, [2.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.2, 0.2]), Gaussian([0.3, -0.2], [1.0, 1.5])


def a_small_coupling():
    return Chain(lambda x, t: np.tanh(x) + 1e-7 * x[:, ::-1] ** 2, [1.0], [1.0], [0.2], [0.2]), GRID


@pytest.mark.parametrize(
    "case, message",
    [
        (not_along_one_line, "components differ along the axes|moves by .* with the other coordinates"),
        (not_symmetric, "Jacobian of the mean is not symmetric"),
        (turned_against_each_other, r"at step 0 a coordinate of the mean moves by \S+ with the other coordinates"),
        (coupled_where_the_chain_goes, r"at step 1 a coordinate of the mean moves by 0.001 with the other coordinates"),
        (a_small_coupling, r"at step 0 a coordinate of the mean moves by \S+ with the other coordinates"),
    ],
)
def test_refusals(case, message):
    with pytest.raises(ValueError, match=message):
        law(*case())


def test_a_coupling_just_seen_is_in_the_error():
    chain = Chain(lambda x, t: np.tanh(x) + 1e-9 * x[:, ::-1] ** 2, [1.0], [1.0], [0.2], [0.2])
    assert 1e-10 < law_with_error(chain, GRID)[1] < 1e-7
