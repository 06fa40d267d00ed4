"""Identities of section G: p = e^f/Z with f = -E, by quadrature and by enumeration, and what Z costs (G1)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from refscore.densities import Gaussian, GaussianMixture
from refscore.energy import AnalyticEnergy, BinaryEnergyModel, EnergyModel, QuadraticEnergy
from refscore.identities import _plain, _targets, _textbook
from refscore.identities._calculus import EPS
from refscore.identities._energy_models import MEAN, PRECISION, confined, gaussian_log_z, log_sum, proposal, quadratic, states
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.networks import EnergyMLP

_FAR = GaussianMixture([0.4, 0.6], [[-7.0], [5.0]], [0.05**2, 0.1**2])


def _coupled_quartic_log_z() -> float:
    """int e^{-x^4/4 - y^4/4 + xy}: the series of e^{xy}, term by term, int x^n e^{-x^4/4} = 4^{(n+1)/4} Gamma((n+1)/4)/2."""
    moments = [(n + 1) / 4 * math.log(4) + math.lgamma((n + 1) / 4) - math.log(2) for n in range(0, 120, 2)]
    return float(log_sum(np.array([2 * m - math.lgamma(2 * i + 1) for i, m in enumerate(moments)])))


class _Case(NamedTuple):
    name: str
    model: EnergyModel
    log_z: float
    error: float  # of log_z


def _cases(ops: Operations, seed: int) -> Iterator[_Case]:
    for d in (1, 2, 3):
        base = quadratic(d)
        for constant in (0.0, -250.0) if d < 3 else (3.7,):
            moved = AnalyticEnergy(lambda x, q=base, c=constant: q(x) + c, base.gradient)
            name = f"quadratic + {constant:g}, d = {d}"
            yield _Case(name, EnergyModel(moved, d, proposal=proposal(d)), gaussian_log_z(base.precision) - constant, 32 * EPS)
    for d in (1, 2):
        target = _targets.mixture(d)
        energy = AnalyticEnergy(lambda x, p=target: 1.3 - _textbook.log_density(p, x), lambda x, p=target: -_textbook.score(p, x))
        yield _Case(f"mixture, d = {d}", EnergyModel(energy, d), -1.3, 32 * EPS)
        c = np.array([1.3, -0.7])[:d]
        box = np.array([(-0.5, 2.0), (0.3, 1.4)])[:d]
        linear = AnalyticEnergy(lambda x, c=c: x @ c, lambda x, c=c: np.broadcast_to(c, x.shape))
        log_z = sum(math.log((math.exp(-k * low) - math.exp(-k * high)) / k) for k, (low, high) in zip(c, box))
        yield _Case(f"linear on a box, d = {d}", EnergyModel(linear, d, box=box), log_z, 32 * EPS)
    wells = AnalyticEnergy(lambda x: -_textbook.log_density(_FAR, x), lambda x: -_textbook.score(_FAR, x))
    yield _Case("two narrow wells", EnergyModel(wells, 1), 0.0, 1e-13)
    quartic = AnalyticEnergy(lambda x: (x**4).sum(axis=1) / 4 - x[:, 0] * x[:, 1], lambda x: x**3 - x[:, ::-1])
    yield _Case("coupled quartic, d = 2", EnergyModel(quartic, 2), _coupled_quartic_log_z(), 64 * EPS)
    for case in confined(seed):
        (fine, cell), (rough, wider) = (case.lattice(h) for h in ((0.17, 0.24) if case.model.dim == 1 else (0.21, 0.3)))
        parameters = case.model.parameters
        right = log_sum(-case.plain(parameters, fine)) + math.log(cell)
        change = abs(right - log_sum(-case.plain(parameters, rough)) - math.log(wider))
        yield _Case(case.name, case.model, float(right), float(change) + 256 * EPS)


@identity(
    id="G1.partition",
    systems=("G1", "A7"),
    title="p = e^f/Z on R^d and on boxes: Z by quadrature, wherever the mass lies, and what follows from it",
    statement=r"Z = \int e^{-E(x)}dx,\quad \log p = -E - \log Z,\quad E_p g = \tfrac1Z\int e^{-E} g,\quad "
    r"\log Z(E + c) = \log Z(E) - c",
    source="[e, 'Energy-based models']",
    method="adaptive cells and shells against closed forms, a series, and lattices with a plain forward pass",
    catches=(
        "ebm_partition_of_positive_energy", "ebm_partition_of_half_the_box", "ebm_partition_without_volume",
        "ebm_partition_without_determinant", "ebm_partition_negated", "ebm_partition_of_the_deepest_well", "ebm_logpdf_adds_log_z",
        "ebm_logpdf_of_positive_energy", "ebm_logpdf_not_normalised", "ebm_expectation_times_z",
    ),
)
def partition(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 71))
    rows = []
    for name, model, log_z, known in _cases(ops, seed):
        value, error = ops.log_partition(model)
        size = 1 + abs(log_z)
        yield Comparison(f"log Z: {name}", value, log_z, error + known + 8 * EPS * size, size)
        x = rng.uniform(0.3, 1.4, (6, model.dim))
        right = -np.asarray(model.energy(x)) - log_z
        scale = 1 + np.abs(right) + abs(log_z)
        yield Comparison(f"log p: {name}", ops.logpdf(model, x), right, error + known + 8 * EPS * scale, scale)
        rows.append((name, model.dim, len(model.nodes()[0]), float(value), float(error), abs(float(value) - log_z)))
    for d in (1, 2):
        model, cov = EnergyModel(quadratic(d), d), np.linalg.inv(PRECISION[:d, :d])
        value, error = ops.expectation(model, lambda x: (x[:, :, None] * x[:, None]))
        right = cov + np.outer(MEAN[:d], MEAN[:d])
        yield Comparison(f"E xx': quadratic, d = {d}", value, right, error + 64 * EPS, 1 + np.abs(right).max())
    columns = ("energy", "d", "nodes", "log Z", "estimate", "off")
    yield Table("log Z by quadrature: nodes that carry mass, error estimate and error", columns, rows)


@identity(
    id="G1.enumeration",
    systems=("G1",),
    title="p = e^f/Z on binary vectors: Z by enumeration",
    statement=r"Z = \sum_{x \in \{0,1\}^v} e^{-E(x)}",
    source="[e, 'Energy-based models']",
    method="sums over blocks of states against one state after another, and against a product of 2 x 2 transfer matrices",
    catches=("ebm_partition_of_positive_energy", "ebm_partition_without_volume", "ebm_partition_negated",
             "ebm_partition_of_the_deepest_well", "ebm_logpdf_adds_log_z", "ebm_logpdf_of_positive_energy",
             "ebm_logpdf_not_normalised"),
)
def enumeration(ops: Operations, seed: int) -> Iterator[Comparison]:
    rng = np.random.default_rng((seed, 72))
    for v in (1, 4, 7):
        A, b = rng.standard_normal((v, v)), rng.standard_normal(v)
        network = EnergyMLP((v, 5, 1), "tanh", rng)
        for name, energy, plain in (
            ("quadratic", QuadraticEnergy(b, A + A.T), lambda x, A=A, b=b: (x - b) @ A @ (x - b)),
            ("network", network.energy, lambda x, n=network: _plain.forward(n.parameters, x[None], np.tanh)[0, 0]),
        ):
            model = BinaryEnergyModel(energy, v)
            right = np.array([-plain(x) for x in states(v)])
            log_z = math.log(math.fsum(np.exp(right - right.max()))) + right.max()
            value, error = ops.log_partition(model)
            size = 1 + np.abs(right).max()
            yield Comparison(f"log Z: {name}, v = {v}", value, log_z, error + 32 * EPS * size, size)
            bound = error + 64 * EPS * size
            yield Comparison(f"log p: {name}, v = {v}", ops.logpdf(model, states(v)), right - log_z, bound, 2 * size)
    b, J = rng.standard_normal(12), 0.8
    model = BinaryEnergyModel(AnalyticEnergy(lambda x: -x @ b - J * (x[:, 1:] * x[:, :-1]).sum(axis=1)), 12)
    row = np.array([1.0, math.exp(b[0])])
    for bias in b[1:]:
        row = row @ np.array([[1.0, math.exp(bias)], [1.0, math.exp(bias + J)]])
    value, error = ops.log_partition(model)
    yield Comparison("log Z: a chain of 12 units", value, math.log(row.sum()), error + 64 * EPS, 1 + abs(math.log(row.sum())))


@identity(
    id="G1.curse",
    systems=("G1",),
    title="The curse of dimensionality: the nodes that Z takes are a number per dimension to the power of d",
    statement=r"N(\varepsilon, d) = n(\varepsilon)^d",
    source="[e, 'Curse of dimensionality']",
    method="the sum over all n^d nodes of a lattice, by transfer matrices (neighbours alone are coupled), against closed forms",
    catches=("ebm_partition_negated", "ebm_partition_without_determinant"),
)
def curse(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    """E = sum 0.7 x_i^2 + 0.5 x_i x_{i+1}: what a lattice of n points a dimension over +-7 gives, for the n that is just enough."""
    rows = []
    for d in range(1, 7):
        precision = 1.4 * np.eye(d) + 0.5 * (np.eye(d, k=1) + np.eye(d, k=-1))
        log_z = gaussian_log_z(precision)
        needed = [next(n for n in range(4, 200) if abs(_lattice_log_z(n, d) - log_z) < tolerance) for tolerance in (1e-6, 1e-10)]
        rows.append((d, *needed, float(needed[0]) ** d, float(needed[1]) ** d))
        if d < 3:
            model = EnergyModel(QuadraticEnergy(np.zeros(d), precision), d, proposal=Gaussian(np.zeros(d), 0.6 * np.eye(d)))
            value, error = ops.log_partition(model)
            yield Comparison(f"cells against the lattice, d = {d}", value, _lattice_log_z(40, d), error + 1e-12, 1 + abs(log_z))
    for d in (1, 2, 3):
        line = _line(9)[0]
        x = np.stack([g.ravel() for g in np.meshgrid(*[line] * d, indexing="ij")], axis=1)
        E = 0.7 * (x**2).sum(axis=1) + 0.5 * (x[:, 1:] * x[:, :-1]).sum(axis=1)
        direct = log_sum(-E) + d * math.log(line[1] - line[0])
        yield Comparison(f"all 9^{d} nodes one by one", _lattice_log_z(9, d), direct, 256 * EPS, 1 + abs(direct))
    picture = Picture("d", ("nodes, 1e-6", "nodes, 1e-10"), log=True, ylabel="nodes")
    columns = ("d", "n, 1e-6", "n, 1e-10", "nodes, 1e-6", "nodes, 1e-10")
    yield Table("nodes of a lattice that log Z takes to 1e-6 and to 1e-10", columns, rows, picture=picture)


def _line(n: int) -> tuple[np.ndarray, float]:
    line = np.linspace(-7.0, 7.0, n)
    return line, line[1] - line[0]


def _lattice_log_z(n: int, d: int) -> float:
    """The sum over n^d nodes: what one coordinate sends to the next, d - 1 times."""
    line, h = _line(n)
    bond = np.exp(-0.5 * line[:, None] * line)
    row = np.exp(-0.7 * line**2)
    for _ in range(d - 1):
        row = (row @ bond) * np.exp(-0.7 * line**2)
    return float(np.log(row.sum()) + d * math.log(h))
