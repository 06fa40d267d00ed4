"""Identities of section G: the likelihood's gradient of an unnormalised model, and contrastive divergence in its place (G2)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from refscore.densities import Gaussian
from refscore.energy import BinaryEnergyModel, EnergyModel, QuadraticEnergy
from refscore.identities import _plain, _targets
from refscore.identities._calculus import EPS
from refscore.identities._energy_models import Confined, confined, log_sum, proposal, quadratic, states
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity
from refscore.networks import EnergyMLP


@identity(
    id="G2.gradient",
    systems=("G2", "G1"),
    title="The likelihood's gradient: the model's mean of grad E minus the data's",
    statement=r"\nabla_\theta\tfrac1n\sum_i\log p_\theta(x_i) = E_{model}\nabla_\theta E - E_{data}\nabla_\theta E",
    source="[e, 'Gradient of log-likelihood']",
    method="means on the nodes of Z, reverse mode, against complex steps of log Z on a lattice, a plain forward pass; closed forms",
    catches=(
        "ebm_gradient_descends", "ebm_gradient_of_constant_z", "ebm_gradient_of_z_for_log_z", "ebm_gradient_sum_over_data",
        "ebm_gradient_of_model_under_data", "ebm_gradient_adds_phases", "ebm_likelihood_without_z",
    ),
)
def likelihood_gradient(ops: Operations, seed: int) -> Iterator[Comparison]:
    rng = np.random.default_rng((seed, 73))
    for case in confined(seed):
        x = rng.standard_normal((5, case.model.dim)) + 0.2
        value, gradient = ops.log_likelihood(case.model, x, grad=True)
        sides = []
        if case.model.dim == 2 and "trained" in case.name:  # too many parameters for its lattice
            continue
        for spacing in (0.17, 0.24) if case.model.dim == 1 else (0.21, 0.3):
            lattice, cell = case.lattice(spacing)

            def log_likelihood(p, lattice=lattice, cell=cell, x=x, case=case):
                return -case.plain(p, x).mean(axis=-1) - log_sum(-case.plain(p, lattice)) - math.log(cell)

            sides.append((float(log_likelihood(case.model.parameters)), _plain.gradient(log_likelihood, case.model.parameters)))
        (right, slopes), (rough, rough_slopes) = sides
        size = 1 + abs(right) + float(np.abs(case.model.exponent(x)).max())
        yield Comparison(f"log-likelihood: {case.name}", value, right, abs(rough - right) + 256 * EPS * size, size)
        for i, (a, b, c) in enumerate(zip(gradient, slopes, rough_slopes, strict=True)):
            size = 4 + float(np.abs(b).max())
            yield Comparison(f"gradient in array {i + 1}: {case.name}", a, b, float(np.abs(b - c).max()) + 1024 * EPS * size, size)
    for d in (1, 2, 3):
        energy = quadratic(d)
        model = EnergyModel(energy, d, proposal=proposal(d))
        x = rng.standard_normal((6, d))
        away = x - energy.mean
        _, (dm, dP) = ops.log_likelihood(model, x, grad=True)
        yield Comparison(f"in m: quadratic, d = {d}", dm, energy.precision @ away.mean(axis=0), 1e-12, 4.0)
        right = (np.linalg.inv(energy.precision) - away.T @ away / len(x)) / 2
        yield Comparison(f"in P: quadratic, d = {d}", dP, right, 1e-12, 4.0)
    yield from _of_binary_units(ops, rng)


def _of_binary_units(ops: Operations, rng) -> Iterator[Comparison]:
    """A network of five units: 32 states."""
    network = EnergyMLP((5, 4, 1), "tanh", rng)
    x, everything = rng.integers(0, 2, (7, 5)).astype(float), states(5)

    def log_likelihood(p):
        E = _plain.forward(p, np.concatenate([x, everything]), np.tanh)[..., 0]
        return -E[..., :7].mean(axis=-1) - log_sum(-E[..., 7:])

    value, gradient = ops.log_likelihood(BinaryEnergyModel(network.energy, 5), x, grad=True)
    yield Comparison("log-likelihood: network of binary units", value, float(log_likelihood(network.parameters)), 1e-13, 4.0)
    for i, (a, b) in enumerate(zip(gradient, _plain.gradient(log_likelihood, network.parameters), strict=True)):
        yield Comparison(f"gradient in array {i + 1}: network of binary units", a, b, 1e-13, 1 + np.abs(b).max())


@identity(
    id="G2.contrastive",
    systems=("G2", "F1", "F2"),
    title="Contrastive divergence with k steps of a chain: its exact expectation, and where it comes to rest",
    statement=r"E\,\mathrm{CD}_k = E_{p_k}\nabla E - E_{data}\nabla E;\quad "
    r"\text{Langevin rests at } P - \tfrac{\eta}{2}P^2 = S^{-1}\text{ for every } k,\ \text{MALA at } P = S^{-1}",
    source="[e, 'Contrastive divergence']; Hinton 2002; Tieleman 2008",
    method="the chain's exact law after k steps against sums over steps; means over the negatives against the plain formula",
    catches=(
        "contrastive_step_descends", "contrastive_step_restarted", "contrastive_step_returns_start",
        "contrastive_step_one_step_short",
        "contrastive_step_sums", "contrastive_step_negatives_alone", "langevin_noise_sqrt_eta", "langevin_half_drift_full_noise",
        "langevin_score_sign", "score_sign", "ebm_score_over_z",
    ),
)
def contrastive(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 74))
    for case in confined(seed):
        yield from _steps(ops, case, rng)
    for d in (1, 2, 3):
        for k in (1, 7):
            yield from _after(ops, d, k)
    yield from _at_rest(ops)
    yield _bias_of_cd(ops)


def _steps(ops: Operations, case: Confined, rng) -> Iterator[Comparison]:
    """One call from the data and one from the negatives of the first; the chain is simulated here step by step."""
    x, (m, k, eta) = rng.standard_normal((12, case.model.dim)), (5, 3, 0.07)
    chain = ops.langevin(lambda y: ops.score(case.model, y), eta, k)
    for name, start in (("CD", x), ("PCD", rng.standard_normal((m, case.model.dim)) + 0.4)):
        gradient, negatives = ops.contrastive_step(case.model, x, chain, start, 11)
        y = chain.simulate(start, 11)
        yield Comparison(f"{name}-{k}, negatives: {case.name}", negatives, y, 0.0)

        def loss(p, y=y):
            return case.plain(p, y).mean(axis=-1) - case.plain(p, x).mean(axis=-1)

        for i, (a, b) in enumerate(zip(gradient, _plain.gradient(loss, case.model.parameters), strict=True)):
            size = 4 + float(np.abs(b).max()) + float((y**2).max())
            yield Comparison(f"{name}-{k}, gradient in array {i + 1}: {case.name}", a, b, 1024 * EPS * size, size)


def _after(ops: Operations, d: int, k: int) -> Iterator[Comparison]:
    """E 1/2 (x - m)(x - m)' after k steps from data N(mu, S), by the law and by x_k - m = A^k (x_0 - m) + sum A^j sqrt(2 eta) z."""
    energy, data, eta = quadratic(d), _targets.gaussian(d), 0.23
    model = EnergyModel(energy, d)
    law = ops.law(ops.langevin(lambda x: ops.score(model, x), eta, k), data)
    left = (law.cov + np.outer(law.mean - energy.mean, law.mean - energy.mean)) / 2
    A = np.eye(d) - eta * energy.precision
    powers = [np.linalg.matrix_power(A, j) for j in range(k + 1)]
    away = powers[k] @ (data.mean - energy.mean)
    cov = powers[k] @ data.cov @ powers[k].T + 2 * eta * sum((B @ B.T for B in powers[:k]), np.zeros((d, d)))
    right = (cov + np.outer(away, away)) / 2
    size = 1 + np.abs(right).max()
    yield Comparison(f"negative phase of P, CD-{k}, d = {d}", left, right, k * 256 * EPS * size, size)
    left, right = -energy.precision @ (law.mean - energy.mean), -energy.precision @ away
    yield Comparison(f"negative phase of m, CD-{k}, d = {d}", left, right, k * 256 * EPS * size, size)


def _rests_at(variance: float, eta: float) -> float:
    """The precision P with P - eta P^2/2 = 1/S, that is S = 1/(P (1 - eta P/2))."""
    return (1 - math.sqrt(1 - 2 * eta / variance)) / eta


def _at_rest(ops: Operations) -> Iterator[Comparison]:
    """Data N(mu, S). At its rest the chain leaves the data's law alone, and the expected gradient is 0 for every k."""
    mean, variance = 0.6, 0.8
    data = Gaussian([mean], variance)
    for eta in (0.05, 0.2, 0.35):
        model = EnergyModel(QuadraticEnergy([mean], [[_rests_at(variance, eta)]]), 1)
        for k in (1, 3, 13):
            law = ops.law(ops.langevin(lambda x, model=model: ops.score(model, x), eta, k), data)
            change = float(law.cov[0, 0] + (law.mean[0] - mean) ** 2 - variance) / 2
            yield Comparison(f"Langevin, eta = {eta}, at its rest, CD-{k} of P", change, 0.0, k * 256 * EPS)
    model = EnergyModel(QuadraticEnergy([mean], [[1 / variance]]), 1)
    chain = ops.mala(lambda x: ops.score(model, x), model.exponent, 0.35, 3)
    law = ops.law(chain, data)
    value, error = ops.expectation(law, lambda x: np.cos(1.3 * x[:, 0]))
    right = math.cos(1.3 * mean) * math.exp(-(1.3**2) * variance / 2)
    yield Comparison("MALA at the largest likelihood, E cos(1.3 x) after 3 steps", value, right, error + 1e-11)


def _bias_of_cd(ops: Operations) -> Table:
    """E CD-k of P minus the likelihood's gradient, 1/2 (E_{p_k} - E_p)(x - m)^2, for N(0.6, 0.8) data and a model N(0, 1)."""
    data, model = Gaussian([0.6], 0.8), EnergyModel(QuadraticEnergy([0.0], [[1.0]]), 1)
    rows: list[tuple] = []
    for k in (1, 2, 4, 8, 16, 32):
        row: list[float] = [k]
        for eta in (0.05, 0.2):
            chain = ops.langevin(lambda x: ops.score(model, x), eta, k)
            law = ops.law(chain, data)
            row.append(float(law.cov[0, 0] + law.mean[0] ** 2 - 1) / 2)
            adjusted = ops.law(ops.mala(lambda x: ops.score(model, x), model.exponent, eta, k), data)
            row.append(float(ops.expectation(adjusted, lambda x: x[:, 0] ** 2)[0] - 1) / 2)
        rows.append(tuple(row))
    rows.append(("infinity", 0.5 * (1 / (1 - 0.05 / 2) - 1), 0.0, 0.5 * (1 / (1 - 0.2 / 2) - 1), 0.0))
    columns = ("k", "Langevin, eta 0.05", "MALA, eta 0.05", "Langevin, eta 0.2", "MALA, eta 0.2")
    return Table("bias of CD-k in P, data N(0.6, 0.8), model N(0, 1)", columns, rows)
