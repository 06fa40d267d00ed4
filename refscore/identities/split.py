r"""Laws that split in several dimensions (systems H5): x = R u with coordinates that neither the law nor the chain couples.

Then the law of the chain is a product of laws on the line in the axes R. Data of this kind: products, and mixtures along one
direction times a Gaussian, in any axes. Here the same laws are computed a second time without splitting anything, by the
trapezoidal rule on a lattice in the plane,

    p_{k+1}(y) = h^2 sum_j p_k(x_j) N(y; m_k(x_j), v_k I),

exact to e^{-2 pi^2 (w/h)^2} for integrands that vary over w (a coarser lattice tells), with the score of the data in the plane;
and in more dimensions with the axes of the data known: a Nystrom law on one of them, scalar recursions on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture, Product
from refscore.identities import _models
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._nystrom import LAW_ERROR, Step, by_hand, normal, nystrom
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.samplers import exact_score, settings
from refscore.identities.theory import SKEWED, STANDARD, _coefficients, _scales

TURN = np.array([[0.6, -0.8], [0.8, 0.6]])
TILTED = GaussianMixture(
    SKEWED.weights, [TURN @ [m, 0.4] for m in SKEWED.means[:, 0]], [TURN @ np.diag([v, 0.5]) @ TURN.T for v in SKEWED.covs]
)
FOUR = Product([SKEWED, GaussianMixture([0.6, 0.4], [[-0.7], [0.8]], [0.2, 0.3])])
COARSE, FINE, REACH = 0.2, 0.16, 9.0


@identity(
    id="H5.split",
    systems=("H5",),
    title="The law of a chain that splits is a product of laws on the line",
    statement=r"x = R u,\ m_k(x) = R\,(f_{k1}(u_1), \dots, f_{kd}(u_d)) \;\Rightarrow\; p_k(x) = \prod_i p_{ki}((R^\top x)_i)",
    source="[e]; Trefethen & Weideman 2014",
    method="densities in the plane against the trapezoidal rule on a lattice that knows of no axes, for data along a tilted line, "
    "data with four modes and random networks on each axis; in d = 3 and 5 against a Nystrom law on one axis and scalars on the "
    "others; total variation in the plane by one integral within the other, between the roots of a quadratic",
    catches=(
        "law_factors_swapped", "law_axes_transposed", "law_axes_forgotten", "law_rest_at_rest", "law_one_step_short",
        "law_variance_twice", "law_std_for_variance", "law_from_standard_normal", "law_gaussian_of_same_moments",
        "reverse_sde_score_at_the_end", "reverse_sde_noise_std_h", "total_variation_not_halved",
    ),
)
def products_of_lines(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    times = (1.2, 0.6, 0.3)
    for name, data in (("along a tilted line", TILTED), ("four modes", FOUR)):
        score = exact_score(ops, STANDARD.process, data)
        chain = ops.reverse_sde(STANDARD.process, score, times, "euler_maruyama")
        for start in (ops.marginal(STANDARD.process, data, times[0]), Gaussian([0.0, 0.0], 1.0)):
            case = f"{name}, from {'its marginal' if start.mean.any() else 'N(0, I)'}"
            yield _on_the_lattice(ops.law(chain, start), ops, start, _scores(data, times), times, case)
    yield _networks(ops, seed)
    yield from _distance(ops)
    for d in (3, 5):
        yield from _known_axes(ops, d)


def _scores(data, times) -> list[Callable]:
    """Scores in the plane by hand, at each step's start."""
    if isinstance(data, Product):
        first, second = data.factors
        weights = np.outer(first.weights, second.weights).ravel()
        means = np.array([[m, n] for m in first.means[:, 0] for n in second.means[:, 0]])
        covs = np.array([np.diag([v, w]) for v in first.covs for w in second.covs])
    else:
        weights, means, covs = data.weights, data.means, data.covs

    def score(x, t):
        alpha, noise = _scales(STANDARD, t)
        density, slope = np.zeros(len(x)), np.zeros_like(x)
        for weight, mean, cov in zip(weights, alpha * means, alpha**2 * covs + noise * np.eye(2), strict=True):
            (a, b), (_, c) = cov
            det = a * c - b * b
            away = mean - x
            pull = away @ np.array([[c, -b], [-b, a]]) / det
            part = weight * np.exp(-(pull * away).sum(axis=1) / 2) / math.sqrt(det)
            density, slope = density + part, slope + part[:, None] * pull
        with np.errstate(invalid="ignore"):
            return np.where(density[:, None] > 0, slope / density[:, None], 0.0)  # 40 standard deviations away: no mass there

    return [lambda x, t=t: score(x, t) for t in times[:-1]]


def _on_the_lattice(law, ops: Operations, start, scores: list[Callable], times, case: str) -> Comparison:
    """Euler-Maruyama steps. The error of the lattice is below its change from a coarser one."""
    rows = _coefficients(STANDARD, np.array(times), "euler_maruyama")
    y = np.random.default_rng(8).uniform(-2.5, 2.5, (60, 2))
    coarse, fine = (_plane(ops, start, scores, rows, spacing, y) for spacing in (COARSE, FINE))
    scale = fine.max()
    # each coordinate is known to LAW_ERROR in L1, before a last kernel that makes at most 1/sqrt(2 pi v) of it, times the other's p
    bound = 2 * LAW_ERROR / math.sqrt(2 * math.pi * rows[-1, 2]) + np.abs(fine - coarse) + 256 * EPS * scale
    return Comparison(f"density in the plane: {case}, {len(rows)} steps", np.exp(ops.logpdf(law, y)), fine, bound, scale)


def _plane(ops: Operations, start, scores: list[Callable], rows: np.ndarray, spacing: float, y: np.ndarray) -> np.ndarray:
    """The density at y after all steps. At the points of the lattice a kernel is a product over the coordinate axes."""
    line = spacing * np.arange(-round(REACH / spacing), round(REACH / spacing) + 1)
    x = np.stack(np.meshgrid(line, line, indexing="ij"), axis=2).reshape(-1, 2)
    p = np.exp(ops.logpdf(start, x))
    for k, ((a, b, v), score) in enumerate(zip(rows, scores, strict=True)):
        centre = a * x + b * score(x)
        last = k == len(rows) - 1
        first, second = (normal((y[:, i] if last else line)[:, None] - centre[:, i], v) for i in (0, 1))
        p = spacing**2 * ((first * second) @ p if last else ((first * p) @ second.T).ravel())
    return p


def _networks(ops: Operations, seed: int) -> Comparison:
    """A score R (f_1(u_1) - u_1, f_2(u_2) - u_2) of two random networks: no gradient of a mixture, and not affine."""
    first, second = (_models.random_network(1, seed + i, "tanh") for i in (0, 1))

    def score(x, t):
        u = x @ TURN
        return np.column_stack([ops.forward(first, u[:, :1]) - u[:, :1], ops.forward(second, u[:, 1:]) - u[:, 1:]]) @ TURN.T

    times, start = (1.1, 0.6, 0.2), Product([Gaussian([0.3], 1.2), SKEWED.corrupted(1.0, 0.5)], TURN)
    law = ops.law(ops.reverse_sde(STANDARD.process, score, times, "euler_maruyama"), start)
    scores = [lambda x, t=t: score(x, t) for t in times[:-1]]
    return _on_the_lattice(law, ops, start, scores, times, "random networks on tilted axes")


def _distance(ops: Operations) -> Iterator[Comparison]:
    """TV to the data along the tilted line: a Nystrom law in one coordinate, N(m, v) in the other, nested integrals."""
    setting, times = STANDARD, np.array([1.5, 1.0, 0.6, 0.3, 0.0])
    rows, scales = _coefficients(setting, times, "exponential"), [_scales(setting, t) for t in times]
    chain = ops.reverse_sde(setting.process, exact_score(ops, setting.process, TILTED), times, "exponential")
    value, error = ops.total_variation(ops.law(chain, ops.marginal(setting.process, TILTED, times[0])), TILTED)
    steps = [Step(a, b, v, by_hand(SKEWED, *scale)[1]) for (a, b, v), scale in zip(rows, scales, strict=False)]
    line, defect = nystrom(steps, by_hand(SKEWED, *scales[0])[0], 17, 10.0)
    mean, variance = scales[0][0] * 0.4, scales[0][0] ** 2 * 0.5 + scales[0][1]
    for (a, b, v), (alpha, noise) in zip(rows, scales, strict=False):
        c = alpha**2 * 0.5 + noise
        mean, variance = (a - b / c) * mean + b / c * alpha * 0.4, (a - b / c) ** 2 * variance + v
    data = by_hand(SKEWED, 1.0, 0.0)[0]
    values = [_plane_distance(line.density, data, (mean, variance), (0.4, 0.5), order) for order in (12, 18)]
    bound = error + abs(values[1] - values[0]) + LAW_ERROR + defect + 256 * EPS
    yield Comparison("TV to the data along a tilted line, 4 exponential steps", value, values[1], bound)


def _plane_distance(p: Callable, q: Callable, one: tuple, other: tuple, order: int) -> float:
    """int 1/2 int |p(x) N(y; m, v) - q(x) N(y; n, w)| dy dx. The sign changes at the roots of A y^2 + B y + C, and where they meet
    the inner integral has a singularity in x: panels end there, and sin^2 smoothes it."""
    (m, v), (n, w) = one, other
    A, B = (1 / w - 1 / v) / 2, m / v - n / w
    fixed = n * n / (2 * w) - m * m / (2 * v) - math.log(v / w) / 2
    edges = np.linspace(-11, 11, 89)
    fine = np.linspace(-11, 11, 3001)

    def meet(x):
        return B * B - 4 * A * (np.log(p(x)) - np.log(q(x)) + fixed)

    at = np.flatnonzero(np.diff(np.sign(meet(fine))))
    low, high, left = fine[at], fine[at + 1], np.sign(meet(fine[at]))
    for _ in range(40):
        middle = (low + high) / 2
        same = np.sign(meet(middle)) == left
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    edges = np.unique(np.concatenate([edges, low]))
    theta, weights = gauss_legendre(0.0, math.pi / 2, 1, order)
    width = np.diff(edges)[:, None]
    x = (edges[:-1, None] + width * np.sin(theta) ** 2).ravel()
    weights = (width * np.sin(2 * theta) * weights).ravel()
    a, b = p(x), q(x)
    root = np.sqrt(np.maximum(meet(x), 0.0))
    ends = np.sort(np.stack([(-B - root) / (2 * A), (-B + root) / (2 * A)]), axis=0)
    below = [a * _below(y, m, v) - b * _below(y, n, w) for y in ends]
    return float(weights @ (np.abs(below[0]) + np.abs(below[1] - below[0]) + np.abs(a - b - below[1]))) / 2


def _below(y: np.ndarray, mean: float, variance: float) -> np.ndarray:
    from scipy.special import erfc

    return erfc((mean - y) / math.sqrt(2 * variance)) / 2


def _known_axes(ops: Operations, d: int) -> Iterator[Comparison]:
    """A mixture along the first of ``d`` axes drawn at random, Gaussians along the others."""
    rng = np.random.default_rng((d, 7))
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
    centre, spread = rng.standard_normal(d - 1), rng.uniform(0.2, 2, d - 1)
    data = GaussianMixture(SKEWED.weights, [axes @ np.append(m, centre) for m in SKEWED.means[:, 0]],
                           [(axes * np.append(v, spread)) @ axes.T for v in SKEWED.covs])
    setting, times = settings()[0], np.array([1.4, 1.0, 0.7, 0.45, 0.2])
    chain = ops.reverse_sde(setting.process, exact_score(ops, setting.process, data), times, "exponential")
    law = ops.law(chain, ops.marginal(setting.process, data, times[0]))
    scales = [_scales(setting, t) for t in times]
    rows = _coefficients(setting, times, "exponential")
    steps = [Step(a, b, v, by_hand(SKEWED, *scale)[1]) for (a, b, v), scale in zip(rows, scales, strict=False)]
    (alpha, noise) = scales[0]
    line, defect = nystrom(steps, by_hand(SKEWED, alpha, noise)[0], 17, 12.0)
    mean, variance = alpha * centre, alpha**2 * spread + noise
    for (a, b, v), (alpha, noise) in zip(rows, scales, strict=False):
        c = alpha**2 * spread + noise
        mean, variance = (a - b / c) * mean + b / c * alpha * centre, (a - b / c) ** 2 * variance + v
    u = np.column_stack([rng.uniform(-2, 2, 40), mean + np.sqrt(variance) * rng.standard_normal((40, d - 1))])
    log_rest = -((u[:, 1:] - mean) ** 2 / variance + np.log(2 * np.pi * variance)).sum(axis=1) / 2
    density = line.density(u[:, 0])
    right = np.log(density) + log_rest
    scale = 1 + np.abs(np.log(density)) + np.abs(log_rest)
    # the L1 error before the last kernel, and axes found to 64 eps: log p moves by its score times that
    bound = (LAW_ERROR + defect) / math.sqrt(2 * math.pi * line.v) / density + 1024 * EPS * d * scale
    case = f"mixture along one of {d} axes, {setting.name}, 4 exponential steps"
    yield Comparison(f"log-density: {case}", ops.logpdf(law, u @ axes.T), right, bound, scale)
