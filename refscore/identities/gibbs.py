r"""Block Gibbs sampling of restricted Boltzmann machines (systems G4): its draws, its transition matrix, how fast it mixes."""

from __future__ import annotations

import math

import numpy as np

from refscore.identities._inequalities import holds
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities._two_layers import EPS, TwoLayers, data, machines, trained

SWEEPS = 3


@identity(
    id="G4.gibbs",
    systems=("G4",),
    title="Block Gibbs: each layer is drawn given the other as it is now, each unit 1 with its conditional probability",
    statement=r"z_j = 1\{u_j < p(z_j = 1|x)\},\quad x'_i = 1\{w_i < p(x_i = 1|z)\},\quad x \leftarrow x'",
    source="[e, RBM]; Geman & Geman 1984; Hinton 2002",
    method="uniforms on both sides of sums over all states; three sweeps vs unit by unit in plain floats",
    catches=("rbm_gibbs_visible_from_mean", "rbm_gibbs_both_at_once", "rbm_gibbs_hidden_bias_missing",
             "rbm_gibbs_visible_bias_missing", "rbm_gibbs_one_sweep_short", "rbm_gibbs_one_sweep_more", "rbm_gibbs_uniform_above",
             "rbm_gibbs_most_likely", "rbm_gibbs_mean_returned", "rbm_gibbs_same_uniforms", "rbm_gibbs_spins",
             "rbm_gibbs_layers_reused"),
)
def gibbs_draws(ops, seed):
    """Where a unit turns from 1 to 0 is its probability: that is the law of the draw, without drawing."""
    rng = np.random.default_rng((seed, 9))
    for name, rbm in machines(seed):
        table, chain = TwoLayers(rbm), ops.gibbs(rbm, SWEEPS)
        of_z, of_x = table.forth @ table.z, table.back @ table.x
        for what, draw, given, mean in (("z given x", chain.hidden, table.x, of_z), ("x given z", chain.visible, table.z, of_x)):
            slack = table.rounding * mean
            yield Comparison(f"{what}, u below: {name}", draw(given, mean - slack), np.ones_like(mean), 0.0)
            above = np.minimum(mean + slack, 1 - EPS)
            yield Comparison(f"{what}, u above: {name}", draw(given, above), (mean + slack >= 1) * 1.0, 0.0)
        u, w = (rng.random((SWEEPS, len(table.x), len(bias))) for bias in (rbm.c, rbm.b))
        yield Comparison(f"number of sweeps: {name}", len(chain), SWEEPS, 0.0)
        n = len(chain)
        got = chain.run(table.x, np.resize(u, (n, *u.shape[1:])), np.resize(w, (n, *w.shape[1:])))
        want = [_by_hand(rbm, row, u[:, i], w[:, i]) for i, row in enumerate(table.x)]
        yield Comparison(f"{SWEEPS} sweeps: {name}", got, np.array(want), 0.0)


def _by_hand(rbm, x, u, w) -> list[float]:
    for of_hidden, of_visible in zip(u, w, strict=True):
        z = [float(at < _sigma(rbm.c[j] + math.fsum(x * rbm.W[:, j]))) for j, at in enumerate(of_hidden)]
        x = np.array([float(at < _sigma(rbm.b[i] + math.fsum(rbm.W[i] * z))) for i, at in enumerate(of_visible)])
    return list(x)


def _sigma(a: float) -> float:
    return 1 / (1 + math.exp(-a))


@identity(
    id="G4.transition",
    systems=("G4", "G2"),
    title="The transition matrix of a Gibbs sweep: reversible, with eigenvalues in [0, 1] that both layers share",
    statement=r"T(x'|x) = \sum_z p(x'|z)p(z|x),\quad p(x)T(x'|x) = p(x')T(x|x'),\quad "
    r"\mathrm{spec}\,T = \{s_i^2\},\ s_i\ \text{singular values of}\ p(x,z)/\sqrt{p(x)p(z)}",
    source="[e, RBM]; Levin, Peres and Wilmer 2009, chapter 12",
    method="conditionals in closed form, summed in blocks, vs the table of all pairs of states",
    catches=("gibbs_matrix_transposed", "gibbs_matrix_two_sweeps", "gibbs_matrix_half_sweep_from_marginal",
             "gibbs_matrix_biases_swapped", "gibbs_matrix_unnormalised", "gibbs_spectrum_not_squared",
             "gibbs_spectrum_of_the_symmetric_part",
             "gibbs_spectrum_ascending", "spectral_gap_second_eigenvalue", "spectral_gap_of_a_half_sweep", "spectral_gap_smallest"),
)
def transition(ops, seed):
    """T of either layer, what it leaves alone, its spectrum."""
    rows = []
    for name, rbm in machines(seed):
        table = TwoLayers(rbm)
        slack, joint = table.rounding, table.px[:, None] * table.T
        T = ops.gibbs_matrix(rbm)
        yield Comparison(f"T, {name}", T, table.T, slack * table.T, table.T)
        back = table.back @ table.forth
        yield Comparison(f"T of the hidden layer, {name}", ops.gibbs_matrix(rbm.swapped), back, slack * back, back)
        yield Comparison(f"rows sum to 1, {name}", T.sum(axis=1), np.ones(len(T)), slack)
        yield Comparison(f"p T = p, {name}", table.px @ T, table.px, 2 * slack * table.px, table.px)
        flow = table.px[:, None] * T
        yield Comparison(f"p(x) T(x'|x) symmetric, {name}", flow, flow.T, 2 * slack * joint, joint)
        values = table.spectrum()[0]
        number = min(len(table.x), len(table.z))
        for layer, machine in (("", rbm), (", layers exchanged", rbm.swapped)):
            found = ops.gibbs_spectrum(machine)
            yield Comparison(f"eigenvalues, {name}{layer}", found, values[:number], table.slack)
        yield Comparison(f"1 - l_2, {name}", ops.spectral_gap(rbm), 1 - values[1], table.slack)
        rows.append((name, *(float(v) for v in values[1:4]), 1 - float(values[1])))
    columns = ("machine", "l_2", "l_3", "l_4", "gap")
    yield Table("second to fourth eigenvalue of a Gibbs sweep", columns, [row for row in rows if len(row) == len(columns)])


@identity(
    id="G4.mixing",
    systems=("G4", "G2"),
    title="The law after k Gibbs sweeps, and a bound of its distance from the model's",
    statement=r"TV(qT^k, p) \le \tfrac12\sqrt{\chi^2(qT^k, p)} \le \tfrac12 \lambda_2^k\sqrt{\chi^2(q, p)},\quad "
    r"\chi^2(q, p) = \sum_x q^2/p - 1",
    source="Levin, Peres and Wilmer 2009, chapter 12",
    method="two passes over the pairs of states a sweep vs powers of the spectrum of the table",
    catches=("gibbs_law_one_sweep_short", "gibbs_law_transposed", "gibbs_law_of_the_hidden_layer", "gibbs_law_uniform_start",
             "mixing_bound_without_half", "mixing_bound_chi2_not_rooted", "mixing_bound_one_sweep_late", "mixing_bound_half_rate",
             "mixing_bound_chi2_exchanged"),
)
def mixing(ops, seed):
    """From rows of data, and from a law close to p, where the bound is not 1."""
    for name, rbm in machines(seed):
        table = TwoLayers(rbm)
        values, vectors = table.spectrum()
        values, root, slack = np.maximum(values, 0), np.sqrt(table.px), table.slack
        for what, start in (("data", data(len(rbm.b))), ("near p", _tilted(table))):
            law = table.law(start) if np.ndim(start) == 2 else start
            inner = (law / root) @ vectors
            reach = float(np.abs(inner).max())  # an eigenvector's error, and what it is multiplied by
            scale, chi2 = max(1.0, reach), float((((law - table.px) / root) ** 2).sum())
            for k in (1, 2, 5, 13):
                turn = 1 + k * values[1] ** (k - 1)  # what an error of l_2 is multiplied by
                right = root * (vectors @ (values**k * inner))
                found = ops.gibbs_law(rbm, start, k)
                yield Comparison(f"law after {k} sweeps from {what}, {name}", found, right, slack * reach, scale)
                bound = min(1.0, values[1] ** k * math.sqrt(chi2) / 2)
                given = ops.mixing_bound(rbm, start, k)
                yield Comparison(f"bound after {k} sweeps from {what}, {name}", given, bound, 2 * turn * slack * reach, scale)
                distance = np.abs(found - table.px).sum() / 2
                yield holds(f"TV after {k} sweeps from {what}, {name}", distance, given, slack * reach, scale)
    yield _decay(ops, trained(seed))


def _tilted(table: TwoLayers) -> np.ndarray:
    """p with weights between 3/4 and 5/4 that are not symmetric in anything."""
    law = table.px * (1 + np.linspace(-1, 1, len(table.px)) ** 3 / 4)
    return law / law.sum()


def _decay(ops, rbm) -> Table:
    start, table, rows = data(len(rbm.b))[:1], TwoLayers(rbm), []
    for k in range(1, 33):
        distance = float(np.abs(ops.gibbs_law(rbm, start, k) - table.px).sum() / 2)
        rows.append((k, distance, ops.mixing_bound(rbm, start, k)))
    return Table("a trained machine, from one state: distance to its law after k sweeps", ("k", "TV", "bound"), rows,
                 Picture(x="k", y=("TV", "bound"), log=True, ylabel="total variation"))
