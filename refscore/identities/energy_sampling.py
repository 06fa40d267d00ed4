"""Identities of section G: what needs no Z, the score of an unnormalised model and Langevin dynamics with it (G3)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian
from refscore.energy import AnalyticEnergy, EnergyModel
from refscore.identities import _textbook
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._energy_models import confined
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.identities.langevin_bias import fixed_point


@identity(
    id="G3",
    systems=("G3", "F1"),
    title="The score of an energy-based model needs no Z: Langevin dynamics, and the bias of its step",
    statement=r"\nabla_x\log p = \nabla_x f - \nabla_x\log Z = \nabla_x f;\quad [\eta^2]\,E f(x') = -E[g\,Lf]",
    source="[e, 'Score function does not depend on Z']",
    method="gradients by hand against complex steps of a plain E; chains with and without a constant, bit by bit; stationary laws "
    "against a Nystrom matrix; the bias g against the eta^2 coefficient of one step, by Cauchy's integral",
    catches=(
        "score_sign", "ebm_score_over_z", "langevin_noise_sqrt_eta", "langevin_noise_std_eta", "langevin_half_drift_full_noise",
        "bias_without_information", "bias_divergence_sign", "bias_with_half_the_square", "bias_halved",
    ),
)
def without_z(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 75))
    for case in confined(seed):
        d = case.model.dim
        x = rng.standard_normal((6, d))
        right = -_textbook.gradient(lambda y, case=case: case.plain(case.model.parameters, y), x)
        size = 4 + np.abs(right).max()
        yield Comparison(f"score: {case.name}", ops.score(case.model, x), right, 256 * EPS * size, size)
        moved = EnergyModel(AnalyticEnergy(lambda y, e=case.model.energy: e(y) - 3e5, case.model.energy.gradient), d)
        one, other = (ops.langevin(lambda y, m=m: ops.score(m, y), 0.1, 9).simulate(x, 3) for m in (case.model, moved))
        yield Comparison(f"nine steps with and without a constant: {case.name}", one, other, 0.0)
    yield from _settled(ops, seed)
    yield from _bias(ops)


DOUBLE_WELL = AnalyticEnergy(
    lambda x: x[:, 0] ** 4 / 4 - x[:, 0] ** 2 / 2 - x[:, 0] / 5, lambda x: x**3 - x - 0.2, lambda x: (3 * x**2 - 1)[:, :, None]
)


def _settled(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    """One network, held by a quadratic energy: the law that the chain settles at, at 31 points; and how far it is from p."""
    case = next(c for c in confined(seed) if "trained" in c.name)
    y = np.linspace(-2.5, 2.9, 31)
    rows: list[tuple] = []

    def plain(x: np.ndarray) -> np.ndarray:
        return -_textbook.gradient(lambda z: case.plain(case.model.parameters, z), x[:, None])[:, 0]

    for eta in (0.3, 0.15, 0.075):
        law, error = ops.stationary(ops.langevin(lambda x: ops.score(case.model, x), eta, 20), Gaussian([0.3], 1.1))
        fine, rough = (fixed_point(plain, eta, order, 10.0) for order in (21, 17))
        right = fine.density(y)
        bound = np.abs(right - rough.density(y)) + (2 * error + 1e-13) / math.sqrt(4 * math.pi * eta)
        found = np.exp(ops.logpdf(law, y[:, None]))
        yield Comparison(f"stationary density, eta = {eta}: {case.name}", found, right, bound, right.max())
        x, w = gauss_legendre(-8.0, 8.0, 200, 8)
        p = np.exp(case.model.logpdf(x[:, None]))
        distance = float(w @ np.abs(fine.density(x) - p)) / 2
        rows.append((eta, distance, distance / eta))
    information = float((w * p) @ case.model.score(x[:, None])[:, 0] ** 2)
    g = ops.langevin_bias(case.model, x[:, None], information)
    rows.append(("-> 0", 0.0, float((w * p) @ np.abs(g)) / 2))
    yield Table("where Langevin dynamics of a trained energy settles: total variation from p", ("eta", "TV", "TV/eta"), rows)


def _bias(ops: Operations) -> Iterator[Comparison]:
    """A double well, f = x^3 + x^2/2: E f(x') is of degree 3 in eta."""
    model = EnergyModel(DOUBLE_WELL, 1)
    y, w = gauss_legendre(-5.0, 5.0, 60)
    s = -(y**3 - y - 0.2)
    p = w * np.exp(-(y**4 / 4 - y**2 / 2 - y / 5))
    p /= p.sum()
    z, weights = np.polynomial.hermite_e.hermegauss(4)
    weights = weights / weights.sum()
    circle = 0.3 * np.exp(2j * np.pi * np.arange(5) / 5)
    coefficient = 0.0
    for eta in circle:
        after = [y + eta * s + np.sqrt(2 * eta) * u for u in z]
        coefficient += sum(c * (p @ (v**3 + v**2 / 2)) for c, v in zip(weights, after)) / eta**2 / 5
    g = ops.langevin_bias(model, y[:, None], float(p @ s**2))
    generator = (3 * y**2 + y) * s + 6 * y + 1
    size = float(p @ np.abs(generator)) * 4
    yield Comparison("order eta^2 after one step: double well", coefficient.real, -float((p * g) @ generator), 1e-11 * size, size)
    yield Comparison("E g = 0: double well", float(p @ g), 0.0, 1e-11, 1.0)
