r"""The KL divergence between paths (systems H2): what freezing the score costs, and what a wrong score costs besides.

`refscore.bounds.path_kl` needs single marginals only: entropies and Fisher informations. Here the same number is found from the
joint law of (X_t, X_u), as Girsanov's theorem states it: for Gaussians and affine scores by moments,

    E|W X_t + w - S_u|^2 = |W m_t + w|^2 + tr W C_t W' + tr C_u^{-1} + 2 A tr W,        A = alpha_t/alpha_u,

for mixtures on the line on nodes of (u, X_u, noise); and once more without stochastic calculus, from the laws of FINITELY many
points of the path: both paths are Gaussian for Gaussian data, their joint covariances are written down, and

    KL(Q_m||P_m) = KL of all (X_{kh}, and m - 1 points inside every step)  rises to KL(Q||P) as m grows,

with an expansion in 1/m that is extrapolated. m = 1 is the law of what the sampler's loop sees.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore._quadrature import normal_lattice, refined
from refscore.densities import Gaussian
from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS, extrapolate, gauss_legendre
from refscore.identities._inequalities import holds
from refscore.identities._nystrom import by_hand
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.samplers import Setting, exact_score, settings
from refscore.identities.theory import STANDARD, _coefficients, _grid, _scales
from refscore.identities.variational import _kl


@identity(
    id="H2",
    systems=("H2",),
    title="Girsanov: the KL divergence between the exact reverse path and the sampler's",
    statement=r"\mathrm{KL}(Q\|P) = \sum_k E\int_{t_{k+1}}^{t_k} \tfrac{g_u^2}{2}\,\|s(X_{t_k}) - \nabla\log q_u(X_u)\|^2 du"
    r" = H_T - H_0 + d\log\tfrac{\alpha_0}{\alpha_T} + \sum_k E\big[\tfrac{G_k}{2}\|s\|^2 - c_k\, s\cdot\nabla\log q_{t_k}\big]",
    source="[e, 'Girsanov's theorem'], g = sqrt 2, where the factor is 1",
    method="entropies and single marginals against joint moments (Gaussians, affine scores), against nodes of the joint law "
    "(mixtures; exact, random, trained scores), against the KL divergence of finitely many points of Gaussian paths, extrapolated",
    catches=(
        "path_kl_half", "path_kl_twice", "path_kl_g_for_g2", "path_kl_of_standard_noise", "path_kl_one_step_short",
        "path_kl_score_at_the_end", "path_kl_without_discretisation", "path_kl_without_cross", "path_kl_over_T",
    ),
)
def path_divergence(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    for setting, dimensions in zip((STANDARD, *settings()), ((1, 3), (2,), (1,), (2,), (1, 2))):
        for d in dimensions:  # in three dimensions a lattice has 1e5 nodes: one step
            yield from _by_moments(ops, setting, _targets.gaussian(d), 1 if d == 3 else 5, seed)
    for setting, d in ((STANDARD, 1), (settings()[0], 2)):
        yield from _by_finite_paths(ops, setting, _targets.gaussian(d), seed)
    rows: list[tuple] = []
    for setting in (STANDARD, settings()[3]):
        yield from _by_joint_nodes(ops, setting, seed, rows)
    columns = ("case", "KL(Q||P)", "score", "discretisation", "cross", "by simulation", "its standard error")
    yield Table("path KL and its parts; by 20000 simulated pairs (X_t, X_u), u uniform in every step", columns, rows)


def affine_score(setting: Setting, d: int, seed: int) -> Callable:
    """s(x, t) = x W'(1 + t) + w - x: its Jacobian is not symmetric."""
    rng = np.random.default_rng((seed, d, 22))
    W, w = 0.3 * rng.standard_normal((d, d)) - np.eye(d), 0.4 * rng.standard_normal(d)
    return lambda t: ((1 + t / 3) * W, w * (1 - t / 5))


def _by_moments(ops: Operations, setting: Setting, data: Gaussian, steps: int, seed: int) -> Iterator[Comparison]:
    times, model = _grid(setting.last, 0.0, steps), affine_score(setting, data.dim, seed)

    def score(x, t):
        W, w = model(t)
        return x @ W.T + w

    def precise(t):  # the exact score
        alpha, noise = _scales(setting, t)
        P = np.linalg.inv(alpha**2 * data.cov + noise * np.eye(data.dim))
        return -P, alpha * P @ data.mean

    for name, function, affine in (("affine", score, model), ("exact", exact_score(ops, setting.process, data), precise)):
        found = ops.path_kl(setting.process, data, function, times)
        right, size = _moments(setting, data, affine, times)
        case = f"{name} score, {setting.name}, Gaussian in d = {data.dim}"
        # 20 Gauss nodes on 8 panels, each an inverse of a well-conditioned matrix
        yield Comparison(f"KL(Q||P): {case}", found.value, right, found.error + 1024 * EPS * size, size)
        parts = found.score + found.discretisation + found.cross
        yield Comparison(f"parts add up: {case}", parts, right, found.error + 1024 * EPS * size, size)


def _moments(setting: Setting, data: Gaussian, affine: Callable, times) -> tuple[float, float]:
    """Girsanov's integral from the joint moments of (X_t, X_u), and the size of what is added."""
    total = size = 0.0
    unit = np.eye(data.dim)
    for t, s in itertools.pairwise(times):
        W, w = affine(t)
        alpha_t, noise_t = _scales(setting, t)
        drift = alpha_t * W @ data.mean + w
        own = drift @ drift + np.trace(W @ (alpha_t**2 * data.cov + noise_t * unit) @ W.T)
        for u, share in zip(*gauss_legendre(s, t, 8)):
            alpha, noise = _scales(setting, u)
            information = np.trace(np.linalg.inv(alpha**2 * data.cov + noise * unit))
            factor = share * float(setting.diffusion2(u)) / 2
            total += factor * (own + information + 2 * alpha_t / alpha * np.trace(W))
            size += factor * (own + information)
    return float(total), float(size)


def _by_finite_paths(ops: Operations, setting: Setting, data: Gaussian, seed: int) -> Iterator[Comparison | Table]:
    """KL(Q_m||P_m) for m points a step; the limit by the polynomial in 1/m, its error from leaving out the coarsest."""
    times, affine = np.linspace(1.2, 0.3, 4), affine_score(setting, data.dim, seed)
    inner = np.array([2, 3, 4, 6, 8, 12, 16])
    found = ops.path_kl(setting.process, data, lambda x, t: x @ affine(t)[0].T + affine(t)[1], times)
    values = np.array([_finite_path(setting, data, affine, times, m) for m in (1, *inner)])
    limit, error, weights = extrapolate(1 / inner, values[1:])
    # dimension up to 100, condition up to some 1e3: the KL divergence of a pair is good to 1e-13 of its dimension
    rounding = float(np.abs(weights).sum()) * 1e-13 * 16 * data.dim
    scale = float(np.abs(weights) @ values[1:]) + 1
    case = f"{setting.name}, affine score, d = {data.dim}"
    yield Comparison(f"limit of finite paths: {case}", found.value, limit, found.error + float(error) + rounding, scale)
    steps = zip(values[:-1], values[1:])
    yield holds(f"more points tell more: {case}", max(a - b for a, b in steps), 0.0, 1e-12)
    yield holds(f"finitely many points tell less: {case}", values[-1], found.value, found.error + 1e-12)
    rows: list[tuple] = [(str(m), float(v), found.value - float(v)) for m, v in zip((1, *inner), values)]
    yield Table(f"KL of finitely many points, {case}, 3 steps", ("points a step", "KL", "below KL(Q||P)"),
                [*rows, ("infinitely many", found.value, 0.0)])


def _finite_path(setting: Setting, data: Gaussian, affine: Callable, times, m: int) -> float:
    """KL of the joint Gaussian laws of all points, m a step: of the forward process, and of the chain with frozen scores."""
    d, unit = data.dim, np.eye(data.dim)
    grid = np.concatenate([np.linspace(t, s, m + 1)[:-1] for t, s in itertools.pairwise(times)] + [times[-1:]])
    alpha, noise = _scales(setting, grid)
    n = len(grid)
    covs = alpha[:, None, None] ** 2 * data.cov + noise[:, None, None] * unit
    cov = np.zeros((n, d, n, d))
    for i, j in itertools.combinations_with_replacement(range(n), 2):  # times fall, so j comes first in the forward process
        cov[i, :, j], cov[j, :, i] = alpha[i] / alpha[j] * covs[j], alpha[i] / alpha[j] * covs[j]
    mean, root = np.zeros((n, d)), np.zeros((n, d, n, d))  # the chain's points as mean + root z, z ~ N(0, I)
    mean[0], root[0, :, 0] = alpha[0] * data.mean, np.linalg.cholesky(covs[0])
    for i, (a, b, v) in enumerate(_coefficients(setting, grid, "exponential")):
        frozen = i - i % m
        if i == frozen:
            W, w = affine(grid[i])
        mean[i + 1] = a * mean[i] + b * (W @ mean[frozen] + w)
        root[i + 1] = a * root[i] + b * np.tensordot(W, root[frozen], axes=1)
        root[i + 1, :, i + 1] += math.sqrt(v) * unit
    square = root.reshape(n * d, n * d)
    return _kl((alpha[:, None] * data.mean).ravel(), cov.reshape(n * d, n * d), mean.ravel(), square @ square.T)


def _by_joint_nodes(ops: Operations, setting: Setting, seed: int, rows: list[tuple]) -> Iterator[Comparison]:
    """Mixtures on the line: the definition on nodes of (u, X_u, noise), u by Gauss-Legendre; all refined together."""
    data, times = _targets.mixture(1), np.array([0.8, 0.5, 0.2]) * setting.last
    network = _models.random_network(1, seed, "tanh", takes_time=True)
    trained = _models.trained_network(STANDARD.process.marginal(data, 0.6), seed)
    models = {
        "exact": exact_score(ops, setting.process, data),
        "random": lambda x, t: ops.forward(network, x / 2, np.full(len(x), t)) - x,  # by half: its poles twice as far away
        "trained": lambda x, t: ops.forward(trained, x),
    }
    for name, score in models.items():
        found = ops.path_kl(setting.process, data, score, times)

        def compute(spacing, score=score):
            return {"kl": np.array([_on_nodes(setting, data, score, times, spacing)])}

        value, bound = refined(compute, 0.5, finest=0.25)
        case = f"{name} score, {setting.name}, mixture on the line"
        yield Comparison(f"KL(Q||P): {case}", found.value, value["kl"][0], found.error + bound["kl"], 1 + value["kl"][0])
        parts = found.value, found.score, found.discretisation, found.cross
        rows.append((case, *parts, *_simulated(setting, data, score, times, seed)))


def _on_nodes(setting: Setting, data, score: Callable, times, spacing: float) -> float:
    z, w = normal_lattice(1, spacing)
    z, total = z[:, 0], 0.0
    for t, s in itertools.pairwise(times):
        u, shares = gauss_legendre(s, t, 1, round(5 / spacing))
        alpha_t, noise_t = _scales(setting, t)
        for at, share in zip(u, shares):
            alpha, noise = _scales(setting, at)
            ratio = alpha_t / alpha
            x = alpha * data.means + np.sqrt(alpha**2 * data.covs.reshape(-1, 1) + noise) * z  # (K, nodes)
            later = ratio * x[..., None] + math.sqrt(noise_t - ratio**2 * noise) * z
            true = by_hand(data, alpha, noise)[1](x.ravel()).reshape(x.shape)
            gap = score(later.reshape(-1, 1), float(t)).reshape(later.shape) - true[..., None]
            total += share * float(setting.diffusion2(at)) / 2 * float(data.weights @ ((gap * gap) @ w @ w))
    return total


def _simulated(setting: Setting, data, score: Callable, times, seed: int, n: int = 20000) -> tuple[float, float]:
    """The same by simulation: mean and its standard error, no verdict. A step is drawn in proportion to its length, u in it."""
    rng = np.random.default_rng((seed, 23))
    u = rng.uniform(times[-1], times[0], n)
    k = np.searchsorted(-times, -u) - 1
    x0, (alpha, noise), (alpha_t, noise_t) = data.sample(n, rng)[:, 0], _scales(setting, u), _scales(setting, times[k])
    x = alpha * x0 + np.sqrt(noise) * rng.standard_normal(n)
    later = alpha_t / alpha * x + np.sqrt(noise_t - (alpha_t / alpha) ** 2 * noise) * rng.standard_normal(n)
    gap = np.empty(n)
    for i, t in enumerate(times[:-1]):
        gap[k == i] = score(later[k == i, None], float(t))[:, 0]
    for i in range(0, n, 2000):  # the law of X_u differs from row to row
        part = slice(i, i + 2000)
        means, variances = alpha[part, None] * data.means[:, 0], alpha[part, None] ** 2 * data.covs.reshape(-1) + noise[part, None]
        away = means - x[part, None]
        weights = data.weights * np.exp(-(away**2) / (2 * variances)) / np.sqrt(variances)
        gap[part] -= (weights * away / variances).sum(axis=1) / weights.sum(axis=1)
    terms = (times[0] - times[-1]) * setting.diffusion2(u) / 2 * gap**2
    return float(terms.mean()), float(terms.std() / math.sqrt(n))
