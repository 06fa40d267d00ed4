r"""Contrastive divergence with Gibbs chains (systems G2): its two phases, its expectation, and its bias as numbers.

With T = sum_i l_i D^-1/2 e_i e_i' D^1/2 (D = diag p) the negative phase after k sweeps from a law q has the mean

    sum_i l_i^k (q D^-1/2 e_i) (e_i' D^1/2 g),       whose first term, l_1 = 1, is E_model g:

the others are the bias of CD-k. They are gone when q = p, and as k grows.
"""

from __future__ import annotations

import numpy as np

from refscore.energy import RBM, gibbs
from refscore.identities._enumeration import EPS, states
from refscore.identities._registry import Comparison, Picture, Table, identity
from refscore.identities._two_layers import TwoLayers, data, machines, trained

NAMES = ("W", "b", "c")
_COUNTS = (5, 1, 1, 2, 1, 2, 4, 2) * 2


@identity(
    id="G2.cd",
    systems=("G2", "G4"),
    title="CD-k and PCD: the mean of E[(xz', x, z)|x] at the data minus that at the states where k sweeps lead",
    statement=r"\tfrac1n\sum_i g(x_0^i) - \tfrac1{n'}\sum_j g(x_k^j),\quad g(x) = (xE[z|x]', x, E[z|x])",
    source="[e, 'Contrastive Divergence']; Hinton 2002; Tieleman 2008",
    method="sums over row blocks vs a table of g, looked up at the states of the same chains",
    catches=("cd_hidden_given_previous_visible", "cd_hidden_sampled", "cd_visible_mean", "cd_descent", "cd_one_sweep_short",
             "cd_sum_over_batch", "cd_positive_phase_alone", "cd_biases_left_out", "cd_positive_hidden_sampled",
             "pcd_restarted_at_data", "pcd_chains_not_kept", "pcd_divided_by_batch", "pcd_descent", "pcd_one_sweep_short",
             "contrastive_gradient_descent", "contrastive_gradient_weights_ignored", "contrastive_gradient_sum",
             "contrastive_gradient_hidden_rounded"),
)
def two_phases(ops, seed):
    """The chains run once, from a seed; what is made of their states is compared."""
    rng = np.random.default_rng((seed, 17))
    for name, rbm in machines(seed):
        table, x = TwoLayers(rbm), data(len(rbm.b))
        slack = table.rounding
        positive = table.mean(table.law(x))
        for k in (1, 3):
            law = table.law(gibbs(rbm, k).simulate(x, seed + k))
            found = ops.cd_gradient(rbm, x, k, seed + k)
            yield from _compare(f"CD-{k}, {name}", found, positive, table.mean(law), slack)
            chains = table.x[rng.integers(0, len(table.x), 10)]
            for call in ("first", "second"):
                before, chains = chains, gibbs(rbm, k).simulate(chains, seed + 5)
                found, after = ops.pcd_gradient(rbm, x, before, k, seed + 5)
                yield from _compare(f"PCD-{k}, {call} call, {name}", found, positive, table.mean(table.law(chains)), slack)
                yield Comparison(f"chains of PCD-{k} after the {call} call, {name}", after, chains, 0.0)
        weights = rng.dirichlet(np.ones(len(table.x)))
        found = ops.contrastive_gradient(rbm, x, table.x, weights)
        yield from _compare(f"any law, {name}", found, positive, table.mean(weights), slack)
        some = table.x[rng.integers(0, len(table.x), 11)]
        found = ops.contrastive_gradient(rbm, x, some)
        yield from _compare(f"any states, {name}", found, positive, table.mean(table.law(some)), slack)


def _compare(case, found, positive, negative, slack):
    for what, got, a, b in zip(NAMES, found, positive, negative, strict=True):
        yield Comparison(f"d{what}: {case}", got, a - b, slack)


@identity(
    id="G2.cd_bias",
    systems=("G2", "G4"),
    title="The expectation of CD-k and PCD, and their bias: it dies out with a sweep's eigenvalues, and is 0 from the model's law",
    statement=r"E\,\mathrm{CD}_k - \nabla\tfrac1n\sum_i\log p(x_i) = -\sum_{i\ge2}\lambda_i^k\,(qD^{-1/2}e_i)(e_i^\top D^{1/2}g)",
    source="[e, 'Contrastive Divergence']; Carreira-Perpinan & Hinton 2005",
    method="laws of the chains in blocks of states vs eigenvectors of the table's transition matrix",
    catches=("expected_cd_one_sweep_short", "expected_cd_one_sweep_more", "expected_cd_exact_gradient", "expected_cd_uniform_start",
             "expected_cd_descent", "expected_cd_sum", "expected_cd_chains_ignored", "expected_cd_hidden_given_previous"),
)
def bias(ops, seed):
    """From data, from chains elsewhere, from p itself; independent units whose law the data have exactly."""
    for name, rbm in machines(seed):
        table, x = TwoLayers(rbm), data(len(rbm.b))
        values, vectors = table.spectrum()
        values, root = np.maximum(values, 0), np.sqrt(table.px)
        positive, model = table.mean(table.law(x)), table.mean(table.px)
        exact = [a - b for a, b in zip(positive, model, strict=True)]
        for what, chains in (("data", None), ("chains", table.x[[0, -1, -1]]), ("the model's law", table.px)):
            law = table.law(x) if chains is None else table.law(chains) if np.ndim(chains) == 2 else chains
            inner = (law / root) @ vectors[:, 1:]
            reach = max(1.0, float(np.abs(inner).max()))  # an eigenvector's error, and what it is multiplied by
            slack = 2 * table.slack * reach
            for k in (1, 2, 5):
                left_over = root * (vectors[:, 1:] @ (values[1:] ** k * inner))
                found = ops.expected_cd_gradient(rbm, x, k, chains)
                for part, got, right, off in zip(NAMES, found, exact, table.mean(left_over), strict=True):
                    yield Comparison(f"d{part}, {k} sweeps from {what}, {name}", got, right - off, slack, reach)
    yield from _models_own_law(ops)
    yield _decay(ops, trained(seed))
    yield _fixed_point(ops)


def _models_own_law(ops):
    """Units that are 1 with probabilities 1/8, 3/8 and 1/2, without couplings: rows that have this law, each equally likely."""
    p = np.array([0.125, 0.375, 0.5])
    rows = np.concatenate([np.repeat(s[None], round(64 * np.prod(np.where(s > 0, p, 1 - p))), axis=0) for s in states(3)])
    rbm = RBM(np.zeros((3, 2)), np.log(p / (1 - p)), [0.4, -1.1])
    for k in (1, 3):
        for part, got in zip(NAMES, ops.expected_cd_gradient(rbm, rows, k), strict=True):
            yield Comparison(f"d{part}, {k} sweeps, data with the model's law", got, np.zeros_like(got), 256 * EPS)


def _size(arrays) -> float:
    return float(np.sqrt(sum((a**2).sum() for a in arrays)))


def _decay(ops, rbm) -> Table:
    x, rows = data(len(rbm.b)), []
    exact = ops.log_likelihood(rbm, x, grad=True)[1]
    rate = ops.gibbs_spectrum(rbm)[1]
    for k in (1, 2, 3, 5, 8, 13, 21, 34):
        found = ops.expected_cd_gradient(rbm, x, k)
        rows.append((k, _size([a - b for a, b in zip(found, exact, strict=True)]), float(rate**k), _size(exact)))
    return Table("bias of CD-k on a trained machine, beside the likelihood's gradient", ("k", "bias", "l_2^k", "gradient"), rows,
                 Picture(x="k", y=("bias", "l_2^k"), log=True, ylabel="norm"))


def _fixed_point(ops) -> Table:
    """Biases learnt at couplings that stay: where CD vanishes the likelihood's gradient does not."""
    from scipy.optimize import root

    x, W, rows = np.repeat(states(4), _COUNTS, axis=0), 1.5 * np.random.default_rng(0).standard_normal((4, 2)), []
    directions: list = [("likelihood", lambda rbm: ops.log_likelihood(rbm, x, grad=True)[1])]
    directions += [(f"CD-{k}", lambda rbm, k=k: ops.expected_cd_gradient(rbm, x, k)) for k in (1, 2, 5)]
    at = best = np.zeros(6)
    for name, direction in directions:
        at = root(lambda p, of=direction: np.concatenate(of(RBM(W, p[:4], p[4:]))[1:]), at, tol=1e-13).x
        best = at if name == "likelihood" else best
        rbm = RBM(W, at[:4], at[4:])
        value, exact = ops.log_likelihood(rbm, x, grad=True)
        rows.append((name, _size(direction(rbm)[1:]), _size(exact[1:]), float(np.abs(at - best).max()), value))
    columns = ("vanishes", "its norm", "norm of the likelihood's", "biases off by", "log-likelihood")
    return Table("4 visible and 2 hidden units, couplings fixed: biases at which a gradient vanishes", columns, rows)
