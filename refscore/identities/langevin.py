r"""Langevin dynamics at one noise level and down a ladder of them (systems C3).

Two conventions of the step size are in use, one kernel under eta = alpha/2:

    'eta'        x + eta s + sqrt(2 eta) z        [b, d, e]
    'half_eta'   x + alpha/2 s + sqrt(alpha) z    [c; Algorithm 1 of c and e]

Annealed, level i runs with alpha_i = eps sigma_i^2/sigma_L^2, and its score is that of q_i, the data convolved with
N(0, sigma_i^2 I). For N(m, C) data everything is known: along an eigenvector of C let c = lambda + sigma_i^2 and
a = 1 - alpha_i/(2 c). From mean mu and variance V, n steps of level i are a geometric series,

    mu -> m + a^n (mu - m),    V -> V_inf + a^{2n} (V - V_inf),    V_inf = alpha_i/(1 - a^2) = c/(1 - alpha_i/(4 c)),

so that what a level forgets is a^n, and its stationary law is too wide by 1/(1 - alpha_i/(4 c)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._nystrom import LAW_ERROR, Nystrom, Step, by_hand, nystrom, tv_by_quadrature
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity

SIGMAS = np.array([1.7, 0.9, 0.55])
"""Not geometric: what holds for any ladder is tried on one without special ratios."""


def corrupted_score(ops: Operations, density) -> Callable:
    """score(x, sigma) of q_sigma, by way of the operations."""
    return lambda x, sigma: ops.score(ops.corrupted(density, 1.0, sigma), x)


def scores(ops: Operations, seed: int) -> Iterator[tuple[str, int, Callable]]:
    """Scores that depend on the noise level, and a trained network that does not."""
    for d in _targets.DIMENSIONS:
        yield "mixture", d, corrupted_score(ops, _targets.mixture(d))
    network = _models.random_network(2, seed, takes_time=True)
    yield "random network", 2, lambda x, sigma: ops.forward(network, x, np.full(len(x), sigma))
    trained = _models.trained_network(_targets.mixture(3), seed)
    yield "trained network", 3, lambda x, sigma: ops.forward(trained, x)


@identity(
    id="C3",
    systems=("C3",),
    title="Langevin dynamics, annealed, in both conventions: one kernel, and its exact law",
    statement=r"x \leftarrow x + \tfrac{\alpha_i}{2} s(x, \sigma_i) + \sqrt{\alpha_i}\, z,\; "
    r"\alpha_i = \epsilon\, \sigma_i^2/\sigma_L^2;\quad "
    r"x \leftarrow x + \eta s + \sqrt{2\eta}\, z \text{ is the same with } \eta = \alpha/2",
    source="[b, sec. 2], [c], [d], [e], Algorithm 1; Song & Ermon 2019",
    method="the chain's kernels with chosen noise against Algorithm 1 as a loop; one convention against the other; the law of "
    "Gaussian data against geometric series along eigenvectors; laws of mixtures in one dimension against a Nystrom method",
    catches=(
        "langevin_noise_std_eta", "langevin_noise_std_2eta", "langevin_noise_sqrt_eta", "langevin_half_drift_full_noise",
        "langevin_score_sign", "langevin_last_step_noise_free", "langevin_one_step_short", "langevin_convention_ignored",
        "annealed_step_relative_to_first", "annealed_order_reversed", "annealed_sigma_for_sigma2", "annealed_equal_steps",
        "annealed_score_of_previous_level", "annealed_one_step_short", "annealed_last_step_noise_free",
        "annealed_full_drift", "annealed_noise_std_alpha", "annealed_last_level_left_out", "annealed_score_of_data",
        "law_variance_twice", "law_one_step_short", "law_from_standard_normal",
    ),
)
def langevin_dynamics(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 33))
    for name, d, score in scores(ops, seed):
        for n_steps in (7, 13):
            case = f"{name} score, d = {d}, {n_steps} steps"
            x, noise = rng.standard_normal((5, d)) + 0.4, rng.standard_normal((len(SIGMAS), n_steps, 5, d))
            yield from _plain(ops, lambda x, score=score: score(x, 0.55), x, noise[0], case)
            yield from _algorithm_1(ops, score, x, noise, case)
    for d in _targets.DIMENSIONS:
        yield from _gaussian_law(ops, _targets.gaussian(d), rng)
    yield from _mixture_laws(ops, seed)


def _plain(ops: Operations, score: Callable, x, noise, case: str) -> Iterator[Comparison]:
    """Both conventions against the formula, along one path; some ten roundings a step."""
    eta = 0.17
    chains = {"eta": ops.langevin(score, eta, len(noise)), "half_eta": ops.langevin(score, 2 * eta, len(noise), "half_eta")}
    found: dict[str, list] = {name: [] for name in chains}
    right, size = [], []
    for k, z in enumerate(noise):
        for name, chain in chains.items():
            found[name].append((chain.mean(k, x), chain.step(k, x, z)) if k < len(chain) else (np.full_like(x, np.inf),) * 2)
        s = score(x)
        size.append(np.abs(x) + eta * np.abs(s) + math.sqrt(2 * eta) * np.abs(z))
        right.append((x + eta * s, x + eta * s + math.sqrt(2 * eta) * z))
        x = right[-1][1]
    scale = np.array(size)[:, None]
    for name, chain in chains.items():
        yield Comparison(f"length, convention {name}: {case}", len(chain), len(noise), 0.0)
        both = np.array(found[name]), np.array(right)
        yield Comparison(f"x + eta s and its noise, convention {name}: {case}", *both, 16 * EPS * scale, scale)
    yield Comparison(f"one kernel: {case}", np.array(found["half_eta"]), np.array(found["eta"]), 8 * EPS * scale, scale)


def _algorithm_1(ops: Operations, score: Callable, x, noise, case: str) -> Iterator[Comparison]:
    """Algorithm 1 as a double loop; every kernel at the state where the loop is."""
    eps, (levels, n_steps) = 0.11, noise.shape[:2]
    chain = ops.annealed_langevin(score, SIGMAS, eps, n_steps)
    other = ops.annealed_langevin(score, SIGMAS, eps / 2, n_steps, "eta")
    yield Comparison(f"number of kernels: {case}", [len(chain), len(other)], [levels * n_steps] * 2, 0.0)
    left, left_other, right, size = [], [], [], []
    for i in range(levels):
        alpha = eps * SIGMAS[i] ** 2 / SIGMAS[-1] ** 2
        for t in range(n_steps):
            k, z, s = i * n_steps + t, noise[i, t], score(x, SIGMAS[i])
            left.append((chain.mean(k, x), chain.step(k, x, z)))
            left_other.append((other.mean(k, x), other.step(k, x, z)))
            size.append(np.abs(x) + alpha / 2 * np.abs(s) + math.sqrt(alpha) * np.abs(z))
            right.append((x + alpha / 2 * s, x + alpha / 2 * s + math.sqrt(alpha) * z))
            x = right[-1][1]
    scale = np.array(size)[:, None]
    yield Comparison(f"Algorithm 1, step by step: {case}", np.array(left), np.array(right), 16 * EPS * scale, scale)
    yield Comparison(f"Algorithm 1, one kernel: {case}", np.array(left_other), np.array(left), 8 * EPS * scale, scale)


def _gaussian_law(ops: Operations, data: Gaussian, rng) -> Iterator[Comparison]:
    """Start N(mu, sigma_1^2 I). The chain's recursion rounds each step by at most 64 eps of its terms (d <= 3), and contracts."""
    spectrum, axes = np.linalg.eigh(data.cov)
    for n_steps in (7, 13):
        start = Gaussian(rng.standard_normal(data.dim), SIGMAS[0] ** 2)
        law = ops.law(ops.annealed_langevin(corrupted_score(ops, data), SIGMAS, 0.11, n_steps), start)
        mean, variance = (start.mean - data.mean) @ axes, np.full(data.dim, SIGMAS[0] ** 2)
        scale = 1.0 + float(np.abs(start.mean).max()) + float(np.trace(start.cov + data.cov))
        for sigma in SIGMAS:
            alpha, c = 0.11 * (sigma / SIGMAS[-1]) ** 2, spectrum + sigma**2
            a, limit = 1 - alpha / (2 * c), c / (1 - alpha / (4 * c))
            mean, variance = a**n_steps * mean, limit + a ** (2 * n_steps) * (variance - limit)
        bound = len(SIGMAS) * n_steps * 64 * EPS * scale
        case = f"annealed, Gaussian in d = {data.dim}, {n_steps} steps"
        yield Comparison(f"mean of the law: {case}", law.mean, data.mean + axes @ mean, bound, scale)
        yield Comparison(f"covariance of the law: {case}", law.cov, (axes * variance) @ axes.T, bound, scale)


def annealed_steps(density, sigmas, factor: float, n_steps: int) -> list[Step]:
    """Langevin at one level after another, alpha = factor sigma^2, for a mixture in one dimension, for the second road."""
    return [Step(1.0, factor * sigma**2 / 2, factor * sigma**2, score)
            for sigma in sigmas for score in [by_hand(density, 1.0, sigma**2)[1]] for _ in range(n_steps)]


def second_road(steps: list[Step], start: Callable, reach: float, width: float = 1.6) -> tuple[Nystrom, Nystrom, float]:
    """The law by a Nystrom method of two orders (fine, rough), and the L1 error that their difference does not show."""
    (fine, defect), (rough, _) = (nystrom(steps, start, order, reach, width) for order in (21, 17))
    return fine, rough, LAW_ERROR + defect + 16 * EPS * len(steps)


def compare_laws(
    case: str, law, log_density: Callable, steps: list[Step], start: Callable, reach: float, width: float = 1.6
) -> Comparison:
    """The law's density at 41 points; an L1 error e before the last kernel is at most e/sqrt(2 pi v) after it."""
    fine, rough, lost = second_road(steps, start, reach, width)
    y = np.linspace(-3.3, 3.1, 41)
    right = fine.density(y)
    bound = np.abs(right - rough.density(y)) + lost / math.sqrt(2 * math.pi * fine.v)
    return Comparison(f"density of the law: {case}", np.exp(log_density(law, y[:, None])), right, bound, right.max())


class TwoRoads(NamedTuple):
    """One number by the package, by the second road, and a bound on their difference."""

    value: float
    right: float
    bound: float


def modes_and_distance(
    ops: Operations, chain, initial, steps: list[Step], reach: float, target, valley: float, width: float = 1.6
) -> tuple[TwoRoads, TwoRoads]:
    """The mass of the chain's law above ``valley``, and its total variation from ``target``."""
    law = ops.law(chain, initial)
    fine, rough, lost = second_road(steps, by_hand(initial, 1.0, 0.0)[0], reach, width)
    distance, error = ops.total_variation(law, target)
    exact, estimate = tv_by_quadrature(fine.density, by_hand(target, 1.0, 0.0)[0], reach)
    y, w = gauss_legendre(-reach, reach, math.ceil(4 * reach), 12)
    loss = float(w @ np.abs(rough.density(y) - fine.density(y)))
    weight, mass = float(law.sf(np.array([[valley]]))[0]), fine.above(valley)
    return (TwoRoads(weight, mass, abs(mass - rough.above(valley)) + lost),
            TwoRoads(distance, exact, error + estimate + loss + lost))


def _mixture_laws(ops: Operations, seed: int) -> Iterator[Comparison]:
    data = GaussianMixture([0.25, 0.4, 0.35], [[-1.2], [0.1], [1.1]], [0.2, 0.3, 0.15])
    start = Gaussian([0.3], SIGMAS[0] ** 2)
    begin = by_hand(start, 1.0, 0.0)[0]
    for n_steps in (7, 13):
        law = ops.law(ops.annealed_langevin(corrupted_score(ops, data), SIGMAS, 0.11, n_steps), start)
        case = f"annealed, three components, {n_steps} steps"
        yield compare_laws(case, law, ops.logpdf, annealed_steps(data, SIGMAS, 0.11 / SIGMAS[-1] ** 2, n_steps), begin, 14.0)
    score = by_hand(data, 1.0, 0.0)[1]
    for convention, step in (("eta", 0.03), ("half_eta", 0.06)):
        law = ops.law(ops.langevin(lambda x: ops.score(data, x), step, 7, convention), start)
        steps = [Step(1.0, 0.03, 0.06, score)] * 7
        yield compare_laws(f"Langevin, {convention}, three components", law, ops.logpdf, steps, begin, 14.0)
    network = _models.random_network(1, seed, "tanh", takes_time=True)  # bounded, and pulled inwards, as scores are

    def model(x, sigma):
        return ops.forward(network, x, np.full(len(x), sigma)) - x

    law = ops.law(ops.annealed_langevin(model, SIGMAS, 0.11, 7), start)
    levels = [(0.11 * (sigma / SIGMAS[-1]) ** 2, lambda y, sigma=sigma: model(y[:, None], sigma)[:, 0]) for sigma in SIGMAS]
    steps = [Step(1.0, alpha / 2, alpha, s) for alpha, s in levels for _ in range(7)]
    yield compare_laws("annealed, random network minus x", law, ops.logpdf, steps, begin, 14.0)
