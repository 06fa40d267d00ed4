r"""Where Langevin dynamics settles, and how far that is from its target (systems F1).

The kernel x + eta s + sqrt(2 eta) z does not leave p alone. For p = N(m, C), along an eigenvector of C with variance c, its
slope is a = 1 - eta/c and its stationary variance 2 eta/(1 - a^2) = c/(1 - eta/2c). For any p the chain settles at
p (1 + eta g) + O(eta^2),

    g = 1/2 div s + 1/4 |s|^2 + 1/4 I(p).

That g is right is a statement about one step from p, which is exact for polynomials f: E f(x') is then a polynomial in eta,
its term of order eta is E L f = 0 (p is stationary for the equation), and its term of order eta^2 is what eta g must balance,

    [eta^2] E f(x + eta s + sqrt(2 eta) z) = -E[g L f],      L f = s.grad f + lap f.

The coefficient is found without any expansion, by the mean over complex eta on a circle (Cauchy).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.identities import _models, _targets, _textbook
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._expectations import FINEST, refined
from refscore.identities._nystrom import Nystrom, Step, by_hand, normal, tv_by_quadrature
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.annealing import relaxation
from refscore.networks import MLP

TARGET = GaussianMixture([0.3, 0.7], [[-1.0], [1.1]], [0.25, 0.36])
SHARES = {"eta": 1.0, "half_eta": 0.5}


@identity(
    id="F1",
    systems=("F1", "X11"),
    title="Langevin dynamics settles beside its target: the stationary law, and its bias of first order",
    statement=r"N(m, C) \mapsto N\big(m, C (I - \tfrac{\eta}{2} C^{-1})^{-1}\big);\quad p_\eta = p\,(1 + \eta g) + O(\eta^2),\; "
    r"g = \tfrac12 \nabla\!\cdot s + \tfrac14 \|s\|^2 + \tfrac14 I(p);\quad "
    r"\mathrm{TV}(p_\eta, p) = \tfrac{\eta}{2} E|g| + O(\eta^2)",
    source="[c, 'Langevin dynamics'], [d, 'Recap'], [e]; Roberts & Tweedie 1996",
    method="closed form against the fixed point of the chain's law and against unrolled sums; laws in one dimension against the "
    "eigenvector of a Nystrom matrix; g against the eta^2 coefficient of E f after one step, by Cauchy's integral",
    catches=(
        "stationary_law_is_the_target", "stationary_eta_for_half_eta", "stationary_too_narrow", "stationary_convention_ignored",
        "stationary_std_for_variance", "stationary_inflates_alike", "stationary_after_one_round", "bias_without_information",
        "bias_divergence_sign", "bias_with_half_the_square", "bias_norm_not_squared", "bias_halved",
        "langevin_noise_sqrt_eta", "langevin_noise_std_eta", "langevin_half_drift_full_noise", "langevin_convention_ignored",
        "langevin_one_step_short", "langevin_score_sign", "langevin_last_step_noise_free", "law_variance_twice",
        "law_one_step_short",
    ),
)
def langevin_bias(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 61))
    for d in _targets.DIMENSIONS:
        for convention in SHARES:
            yield from _gaussian(ops, _targets.gaussian(d), convention, rng)
        if d > 1:
            yield from _linear_model(ops, d, seed)
        yield from _first_order(ops, _targets.mixture(d) if d < 3 else _targets.gaussian(d), rng)
    yield from _fixed_points(ops, seed)
    yield _bias_against_step(ops)


def _gaussian(ops: Operations, target: Gaussian, convention: str, rng) -> Iterator[Comparison]:
    """A step of 1.1 times the smallest variance: the mean overshoots. Roundings of d <= 3 eigenvectors, and of 1/(1 - a^2)."""
    variances, axes = np.linalg.eigh(target.cov)
    eta = 1.1 * float(variances[0])
    step = eta / SHARES[convention]
    a = 1 - eta / variances
    limit = 2 * eta / (1 - a**2)
    law = ops.langevin_stationary(target, step, convention)
    size = float(limit.max())
    bound = 64 * EPS * size / float(1 - np.abs(a).max())
    case = f"Gaussian in d = {target.dim}, convention {convention}"
    yield Comparison(f"stationary covariance: {case}", law.cov, (axes * limit) @ axes.T, bound, size)
    yield Comparison(f"stationary mean: {case}", law.mean, target.mean, 0.0)
    excess = limit / variances - 1
    divergence, error = ops.kl(law, target)
    right = float((excess - np.log1p(excess)).sum()) / 2
    yield Comparison(f"KL of the stationary law from p: {case}", divergence, right, error + bound / float(variances[0]))
    distance, error = ops.wasserstein2(law, target)
    right = float(np.linalg.norm(np.sqrt(limit) - np.sqrt(variances)))  # the covariances have their axes in common
    yield Comparison(f"W2 of the stationary law from p: {case}", distance, right, error + bound / math.sqrt(float(variances[0])))
    if target.dim == 1:
        distance, error = ops.total_variation(law, target)
        yield Comparison(f"TV: {case}", distance, tv_of_variances(float(variances[0]), float(limit[0])), error + bound)

    def chain(n_steps):
        return ops.langevin(lambda x: ops.score(target, x), step, n_steps, convention)

    after = ops.law(chain(7), law)
    yield Comparison(f"the chain leaves it alone, mean: {case}", after.mean, target.mean, bound, size)
    yield Comparison(f"the chain leaves it alone: {case}", after.cov, law.cov, bound, size)
    start = Gaussian(rng.standard_normal(target.dim), 1.3)
    settled, error = ops.stationary(chain(3), start)
    yield Comparison(f"and settles there: {case}", settled.cov, law.cov, bound + 2 * error * size, size)
    yield Comparison(f"and settles there, mean: {case}", settled.mean, law.mean, bound + 3 * error * math.sqrt(size), size)
    for n_steps in (7, 13):
        after = ops.law(chain(n_steps), start)
        mean = axes @ (a**n_steps * ((start.mean - target.mean) @ axes)) + target.mean
        variance = limit + a ** (2 * n_steps) * (1.3 - limit)
        scale = size + 1.3 + float(np.abs(start.mean - target.mean).max())
        bound = n_steps * 64 * EPS * scale
        yield Comparison(f"mean after {n_steps} steps: {case}", after.mean, mean, bound, scale)
        yield Comparison(f"covariance after {n_steps} steps: {case}", after.cov, (axes * variance) @ axes.T, bound, scale)


def tv_of_variances(c: float, wide: float) -> float:
    """TV of N(m, c) and N(m, wide), whose densities cross at m +- r, r^2 = c wide log(wide/c)/(wide - c)."""
    r = math.sqrt(c * wide * math.log1p((wide - c) / c) / (wide - c))
    return math.erf(r / math.sqrt(2 * c)) - math.erf(r / math.sqrt(2 * wide))


def _linear_model(ops: Operations, d: int, seed: int) -> Iterator[Comparison]:
    """A model s = x W + w whose Jacobian is not symmetric: C = 2 eta sum_k A^k A'^k, m = eta sum_k A^k w."""
    rng = np.random.default_rng((seed, 62, d))
    W, w = 0.2 * rng.standard_normal((d, d)) - np.eye(d), rng.standard_normal(d)
    model = MLP.from_arrays([W], [w], "tanh")
    eta = 0.31
    law, error = ops.stationary(ops.langevin(lambda x: ops.forward(model, x), eta, 2), Gaussian(np.ones(d), 0.8))
    power, mean, cov = np.eye(d), np.zeros(d), np.zeros((d, d))
    for _ in range(400):  # the spectral radius is about 0.8
        mean, cov = mean + power @ w, cov + power @ power.T
        power = power @ (np.eye(d) + eta * W.T)
    mean, cov = eta * mean, 2 * eta * cov
    scale = float(np.trace(cov) + np.abs(mean).max())
    yield Comparison(f"linear model in d = {d}, mean", law.mean, mean, (error + 1e-13) * scale, scale)
    yield Comparison(f"linear model in d = {d}, covariance", law.cov, cov, (error + 1e-13) * scale, scale)


def _first_order(ops: Operations, target: GaussianMixture, rng) -> Iterator[Comparison]:
    """f = (u.x)^3 + (v.x)^4/2, u and v random: E f(x') is of degree 4 in eta, so that five points on a circle give its terms."""
    d = target.dim
    u, v = rng.standard_normal((2, d))
    uz, vz = np.linalg.norm(u), np.linalg.norm(v)
    circle = 0.3 * np.exp(2j * np.pi * np.arange(5) / 5)
    z, w = np.polynomial.hermite_e.hermegauss(5)  # u.z and v.z are normal: degree 4 in each
    w = w / w.sum()

    def sides(h):
        x, weights = _textbook.nodes(target, h)
        s = ops.score(target, x)
        p, q, su, sv = x @ u, x @ v, s @ u, s @ v
        coefficient = 0.0
        for eta in circle:
            root = np.sqrt(2 * eta)
            moved = sum(c * ((p + eta * su + root * uz * y) ** 3 + (q + eta * sv + root * vz * y) ** 4 / 2) for y, c in zip(z, w))
            coefficient += (weights @ moved / eta**2).real / len(circle)
        generator = 3 * p**2 * su + 6 * p * (u @ u) + 2 * q**3 * sv + 6 * q**2 * (v @ v)
        g = ops.langevin_bias(target, x, float(weights @ (s * s).sum(axis=1)))
        return {"left": coefficient, "right": -float(weights @ (g * generator)),
                "size": float(weights @ np.abs(generator) * 4), "mean": float(weights @ g)}

    value, bound = refined(sides, 0.8, finest=0.4 if d == 3 else FINEST[d])  # d = 3 is Gaussian: polynomials
    scale = 1 + abs(value["left"]) + value["size"]
    rounding = 256 * EPS * scale / 0.3**2
    yield Comparison(f"order eta^2 after one step, d = {d}", value["left"], value["right"],
                     bound["left"] + bound["right"] + rounding, scale)
    yield Comparison(f"E g = 0, d = {d}", value["mean"], 0.0, bound["mean"] + 64 * EPS * scale, scale)


def fixed_point(score: Callable, eta: float, order: int, reach: float, width: float = 1.6) -> Nystrom:
    """The stationary law of Langevin dynamics in one dimension: p = T p with mass one on Gauss-Legendre nodes."""
    v = 2 * eta
    y, w = gauss_legendre(-reach, reach, math.ceil(2 * reach / (width * math.sqrt(v))), order)
    centres = y + eta * score(y)
    matrix = normal(y[:, None] - centres, v) * w - np.eye(len(y))
    matrix[0], right = w, np.zeros(len(y))  # the rows of T - I are dependent, for mass stays: one makes room for sum w p = 1
    right[0] = 1.0
    return Nystrom(w * np.linalg.solve(matrix, right), centres, v)


def _fixed_points(ops: Operations, seed: int) -> Iterator[Comparison]:
    """Densities at 41 points; an L1 error e before the last kernel is at most e/sqrt(2 pi v) after it."""
    network = _models.random_network(1, seed, "tanh")  # bounded, and pulled inwards, as scores are
    trained = _models.trained_network(_targets.mixture(1), seed, "tanh")
    cases: tuple[tuple[str, Callable, Callable, float, str], ...] = (
        ("mixture", lambda x: ops.score(TARGET, x), by_hand(TARGET, 1.0, 0.0)[1], 0.2, "half_eta"),
        ("random network minus x", *_pulled(ops, network), 0.4, "eta"),
        ("trained network minus x", *_pulled(ops, trained), 0.2, "half_eta"),
    )
    y = np.linspace(-2.8, 2.7, 41)
    for name, score, plain, eta, convention in cases:
        law, error = ops.stationary(ops.langevin(score, eta / SHARES[convention], 20, convention), Gaussian([0.3], 1.1))
        fine, rough = (fixed_point(plain, eta, order, 10.0) for order in (21, 17))
        right = fine.density(y)
        bound = np.abs(right - rough.density(y)) + (2 * error + 1e-13) / math.sqrt(2 * math.pi * fine.v)
        yield Comparison(f"stationary density: {name}", np.exp(ops.logpdf(law, y[:, None])), right, bound, right.max())


def _pulled(ops: Operations, network) -> tuple[Callable, Callable]:
    def score(x):
        return ops.forward(network, x) - x

    return score, lambda y: score(y[:, None])[:, 0]


def _bias_against_step(ops: Operations) -> Table:
    """Numbers without a verdict: how TV/eta and KL/eta^2 tend to their limits, and the steps it takes to settle.

    Steps: -1/log |lambda_2|, lambda_2 the second eigenvalue of the kernel; it is 1/eta times a number that depends on p alone.
    """
    x, w = _textbook.nodes(TARGET, 0.002)  # |g| has kinks
    g = ops.langevin_bias(TARGET, x)
    first, second = float(w @ np.abs(g)) / 2, float(w @ g**2) / 2
    density, score = by_hand(TARGET, 1.0, 0.0)
    rows: list[tuple] = []
    for eta in (0.2, 0.1, 0.05):
        law = fixed_point(score, eta, 12, 7.0)
        distance = tv_by_quadrature(law.density, density)[0]
        y, weights = gauss_legendre(-4.0, 4.6, 100, 8)  # beyond, rounding hides what p_eta is
        settled = law.density(y)
        divergence = float(weights @ (settled * np.log(settled / density(y)) - settled + density(y)))
        rows.append((eta, distance, distance / eta, divergence / eta**2, relaxation(Step(1.0, eta, 2 * eta, score), 7.0)))
    rows.append(("-> 0", "-> 0", first, second, "1/eta"))
    title = "p = 0.3 N(-1, 0.5^2) + 0.7 N(1.1, 0.6^2): where Langevin dynamics settles"
    return Table(title, ("eta", "TV(p_eta, p)", "TV/eta", "KL/eta^2", "steps to settle"), rows)
