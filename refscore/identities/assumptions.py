r"""The hypotheses of the theorem of Chen et al. 2023, checked for targets and networks (systems H7).

A1  every grad log q_t is L-Lipschitz: the certified constant lies between the steepest slope on a lattice of (x, t) and little more
A2  the second moment is finite
A3  the score's error is at most eps at every time of the grid: quadrature by hand, for the exact, a random and a trained score

A1 can fail for the tamest data: where the precisions of two components cross (one larger along one axis, the other along another),
|grad^2 log q_t| grows like |x|^2 along the surface on which both count alike, at every t, and there is no L.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS
from refscore.identities._inequalities import holds
from refscore.identities._nystrom import by_hand
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities.convergence import PROCESS, WIDE, T, network_score
from refscore.identities.samplers import exact_score
from refscore.identities.theory import SKEWED, STANDARD, _scales


@identity(
    id="H7",
    systems=("H7",),
    title="The hypotheses A1-A3 of the theorem, checked for a target and a network",
    statement=r"L = \max_{t \le T}\sup_x \|\nabla^2\log q_t(x)\|,\quad m_2^2 = E_q\|x\|^2,\quad "
    r"\epsilon^2 = \max_k E_{q_{kh}}\|s_{kh} - \nabla\log q_{kh}\|^2",
    source="[e, 'Assumptions' A1-A3]; Chen et al. 2023",
    method="the certified constant between the largest slope on a lattice of (x, t) and 1.003 times it, exactly for Gaussians; "
    "moments on nodes; score errors by trapezoidal sums with scores by hand, for a trained, a random and the exact score",
    catches=(
        "lipschitz_at_the_data", "lipschitz_at_the_end", "lipschitz_of_variances", "lipschitz_of_components_alone",
        "lipschitz_of_the_average", "second_moment_squared", "second_moment_centred", "second_moment_per_dimension",
        "score_errors_half", "score_errors_root", "score_errors_at_the_data",
    ),
)
def hypotheses(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    yield from _lipschitz(ops)
    for d in _targets.DIMENSIONS:
        for name, data in _targets.targets(d).items():
            x, w = data.nodes(0.7)
            right = math.sqrt(w @ (x * x).sum(axis=1))
            yield Comparison(f"m_2, {name}, d = {d}", ops.second_moment(data), right, 1e-12, 1.0)
    points = np.array([[0.3, -1.0], [2.0, 0.4], [-0.7, 0.1]])
    yield Comparison("m_2, points", ops.second_moment(PointSet(points)), math.sqrt((points**2).sum() / 3), 16 * EPS)
    yield from _score_errors(ops, seed)


def _lipschitz(ops: Operations) -> Iterator[Comparison | Table]:
    rows: list[tuple] = []
    gaussians = {3.0: _targets.gaussian(1), 2.0: _targets.gaussian(3), 1.5: Gaussian([7.0], 5.0), 0.4: Gaussian([0, 1], [3, 2])}
    for end, law in gaussians.items():
        found, decay = ops.score_lipschitz(law, end), np.exp(-2 * np.linspace(0, end, 101))
        right = max(float(np.linalg.norm(np.linalg.inv(a * law.cov + (1 - a) * np.eye(law.dim)), 2)) for a in decay)
        yield Comparison(f"Gaussian in d = {law.dim}, T = {end}", list(found), [right, right], 64 * EPS * right, right)
    near = GaussianMixture([0.5, 0.5], [[-0.6], [0.6]], [0.5, 0.5])
    for name, data in (("mixture", WIDE), ("skewed mixture", SKEWED), ("one cluster in two", near)):
        attained, certified = ops.score_lipschitz(data, T)
        force = max(_steepest(data, t) for t in (0.0, *np.geomspace(1e-3, T, 40)))
        components = max(float(1 / ops.marginal(PROCESS, data, t).covs.min()) for t in (0.0, T))
        yield holds(f"attained, {name}", attained, certified, 1e-12)
        yield holds(f"no slope is steeper, {name}", force, certified, 1e-12, 1 + force)
        yield holds(f"certified at most 1.003 of it, {name}", certified, max(1.003 * force, components), 1e-12, 1 + force)
        yield holds(f"attained at least 0.99 of it, {name}", 0.99 * force, attained, 1e-12, 1 + force)
        rows.append((name, attained, force, certified, components))
    crossed = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]])
    for data, infinite in ((crossed, True), (WIDE, False)):
        yield Comparison(f"no constant exists: {infinite}", math.isinf(ops.score_lipschitz(data, 1.0).certified), infinite, 0.0)
    far = ops.score_jacobian(crossed, np.array([[10.0, 10.0], [100.0, 100.0]]))
    steep = [float(np.abs(np.linalg.eigvalsh(J)).max()) for J in far]
    rows.append(("precisions cross, |x| = 14, 141", steep[0], steep[1], math.inf, 1.0))
    columns = ("data", "attained", "on a lattice", "certified", "components")
    yield Table("Lipschitz constant of grad log q_t over 0 <= t <= 3", columns, rows)


def _steepest(data: GaussianMixture, t: float) -> float:
    """max |(log q_t)''| = |Var_r(s_k) - E_r P_k| on a lattice, by hand."""
    alpha, noise = _scales(STANDARD, t)
    x, variances = np.linspace(-8, 8, 4001)[:, None], alpha**2 * data.covs.reshape(-1) + noise
    s = (alpha * data.means[:, 0] - x) / variances
    r = data.weights * np.exp(-0.5 * s * s * variances) / np.sqrt(variances)
    r /= r.sum(axis=1, keepdims=True)
    return float(np.abs((r * s * s).sum(axis=1) - (r * s).sum(axis=1) ** 2 - (r / variances).sum(axis=1)).max())


def _score_errors(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    network = _models.random_network(1, seed, "tanh", takes_time=True)
    times = np.linspace(T, 0, 13)[:-1]
    models = {
        "exact": exact_score(ops, PROCESS, WIDE),
        "random": lambda x, t: ops.forward(network, x / 2, np.full(len(x), t)) - x,
        "trained": network_score(ops, WIDE, seed),
    }
    columns = []
    for name, score in models.items():
        values, errors = ops.score_errors(WIDE, score, times)
        right, lost = np.array([[_score_error(WIDE, score, float(t), n) for n in (60, 90)] for t in times]).T
        right, lost = lost, np.abs(lost - right) + 1e-13
        yield Comparison(f"eps_k^2, {name} score", values, right, errors + lost, 1 + right)
        columns.append(values)
    rows = [(float(t), *(float(c[k]) for c in columns)) for k, t in enumerate(times)]
    yield Table("E|s - grad log q_t|^2, mixture, A3 wants the largest", ("t", *models), rows,
                Picture(x="t", y=("random", "trained"), log=True, ylabel="squared score error"))


def _score_error(data: GaussianMixture, score: Callable, t: float, n: int) -> float:
    """By the trapezoidal rule on [-11, 11] with n nodes a unit."""
    x = np.arange(-11 * n, 11 * n + 1) / n
    density, exact = by_hand(data, *_scales(STANDARD, t))
    return float(density(x) @ (score(x[:, None], t)[:, 0] - exact(x)) ** 2 / n)
