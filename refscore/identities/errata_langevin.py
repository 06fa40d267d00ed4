r"""An erratum of the sources about Langevin dynamics: that its samples come from p (X11).

[c] writes that for small enough eta samples of x + eta/2 s + sqrt(eta) z "will come from p". For no eta > 0 do they: a chain
that starts at p leaves it at once, and settles at a law whose distance from p is of first order in eta. For N(m, c) it is
N(m, c'), c' = c/(1 - eta/4c). Two Gaussians of one mean cross at m +- r, r^2 = c c' log(c'/c)/(c' - c), so that

    TV = erf(r/sqrt(2c)) - erf(r/sqrt(2c')) = eta phi(1)/(4c) + O(eta^2).

What the source says next, that p is stationary for the Langevin SDE, is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from refscore.densities import Gaussian
from refscore.identities import _targets
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._errata import refuted
from refscore.identities._nystrom import LAW_ERROR, Nystrom, Step, by_hand, nystrom, tv_by_quadrature
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.langevin_bias import TARGET, fixed_point, tv_of_variances


@identity(
    id="X11",
    systems=("X11", "F1"),
    title="[c] samples of the Langevin recursion do not 'come from p', however small eta > 0: their law is off by O(eta)",
    statement=r"\mathrm{TV}(p_\eta, p) = \tfrac{\eta}{4} E_p|g| + O(\eta^2) > 0;\quad "
    r"N(m, c):\ \tfrac{\eta}{4c}\,\varphi(1) + O(\eta^2)",
    source="[c, 'Langevin dynamics']: 'for small enough eta samples ... will come from p'",
    method="total variation of the chain's law from p, settled and after a few steps from p itself, against closed forms and a "
    "Nystrom method; the leading constant against the normal density at 1",
    catches=(
        "stationary_after_one_round", "langevin_noise_sqrt_eta", "langevin_half_drift_full_noise", "langevin_convention_ignored",
        "law_variance_twice", "law_one_step_short", "total_variation_not_halved", "total_variation_by_kolmogorov",
        "bias_without_information", "bias_halved", "bias_norm_not_squared",
    ),
)
def samples_come_from_p(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    target = _targets.gaussian(1)
    m, c = float(target.mean[0]), float(target.cov[0, 0])
    rows: list[tuple] = []
    for step in (0.4, 0.04, 0.004):
        chain = ops.langevin(lambda x: ops.score(target, x), step, 13, "half_eta")
        settled, error = ops.stationary(chain, Gaussian([0.3], 1.0))
        distance, doubt = ops.total_variation(settled, target)
        exact = tv_of_variances(c, c / (1 - step / (4 * c)))
        yield refuted(f"the chain settles at p, N(m, c), eta = {step:g}", distance, 0.0, exact, error + doubt + 64 * EPS)
        rows.append(("N(m, c)", step, distance, distance / step))
    limit = _mean_size(ops, target, m + math.sqrt(c) * np.array([-1, 1])) / 4
    yield Comparison("TV/eta as eta falls, N(m, c)", limit, math.exp(-0.5) / math.sqrt(2 * math.pi) / (4 * c), 256 * EPS)
    rows.append(("N(m, c)", "-> 0", "-> 0", limit))
    yield from _mixture(ops, rows)
    yield Table("how far from p the Langevin recursion of [c] settles", ("p", "eta", "TV", "TV/eta"), rows)


def _mean_size(ops: Operations, target, roots: np.ndarray) -> float:
    """E|g|, by Gauss-Legendre between the roots of g."""
    density = by_hand(target, 1.0, 0.0)[0]
    edges = np.concatenate([[-10.0], roots, [10.0]])
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        y, w = gauss_legendre(low, high, 24)
        total += abs(float((w * density(y)) @ ops.langevin_bias(target, y[:, None])))
    return total


def _twice(laws: list[Nystrom], density: Callable) -> tuple[float, float]:
    """TV of the first from ``density``, and what the quadrature and the second law leave in doubt."""
    (exact, estimate), (rough, _) = (tv_by_quadrature(law.density, density, 9.0) for law in laws)
    return exact, estimate + abs(exact - rough)


def _mixture(ops: Operations, rows: list[tuple]) -> Iterator[Comparison]:
    density, score = by_hand(TARGET, 1.0, 0.0)
    for step in (0.4, 0.2):
        chain = ops.langevin(lambda x: ops.score(TARGET, x), step, 20, "half_eta")
        settled, error = ops.stationary(chain, TARGET)
        distance, doubt = ops.total_variation(settled, TARGET)
        exact, estimate = _twice([fixed_point(score, step / 2, order, 9.0) for order in (21, 17)], density)
        bound = error + doubt + estimate + 1e-13
        yield refuted(f"the chain settles at p, a mixture, eta = {step:g}", distance, 0.0, exact, bound)
        rows.append(("two modes", step, distance, distance / step))
    for n_steps in (1, 7):
        law = ops.law(chain[:n_steps], TARGET)
        distance, doubt = ops.total_variation(law, TARGET)
        steps = [Step(1.0, step / 2, step, score)] * n_steps
        exact, estimate = _twice([nystrom(steps, density, order, 9.0)[0] for order in (21, 17)], density)
        case = f"started at p it stays there, a mixture, {n_steps} steps of eta = {step:g}"
        yield refuted(case, distance, 0.0, exact, doubt + estimate + LAW_ERROR + n_steps * 16 * EPS)
        rows.append((f"two modes, {n_steps} steps from p", step, distance, distance / step))
