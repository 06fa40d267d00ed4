r"""Stochastic gradient Langevin dynamics: each step draws one of C(N, n) Gaussian kernels (systems F2).

With the score from a minibatch S of n out of N data, s_S = s_0 + N/n sum_{i in S} s_i, a step's law given x is the average of
N(x + eta/2 s_S(x), eta I) over all S. Its mean is the step with all data, and its covariance exceeds eta I by

    eta^2/4 Cov s_S,      Cov s_S = N (N - n)/n G,      G = 1/(N - 1) sum_i (s_i - s-bar)(s_i - s-bar)'.

For s_i = P_i (y_i - x) everything is affine, and the law's moments follow a closed recursion. It settles too wide, for two
reasons: the step (F1) and the minibatch; both are of first order in eta for fixed steps, since the noise of the gradient enters as
eta^2 per step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from refscore.densities import Gaussian
from refscore.identities import _models, _targets
from refscore.identities._calculus import EPS, gauss_legendre
from refscore.identities._nystrom import LAW_ERROR, by_hand, normal
from refscore.identities._operations import Operations
from refscore.identities._registry import Comparison, Table, identity

STEPS = np.array([0.13, 0.31, 0.07, 0.22, 0.05])
SHARES = {"half_eta": 0.5, "eta": 1.0}


class Posterior(NamedTuple):
    """A score that is a sum over data rows: what a user passes to ``sgld``."""

    name: str
    dim: int
    datum_score: Callable
    data: np.ndarray
    prior_score: Callable


def _posteriors(ops: Operations, seed: int) -> Iterator[Posterior]:
    """Gaussian likelihoods of different precision, with slopes that are not symmetric; and networks, random and trained."""
    for d in _targets.DIMENSIONS:
        yield linear(d, seed)
    rng = np.random.default_rng((seed, 71))
    for d in (1, 2):
        network = _models.random_network(d, seed, takes_time=True)
        prior = _targets.mixture(d)

        def score(x, y, network=network):
            return ops.forward(network, x, y[:, 0])

        data = rng.standard_normal((5, 1))
        yield Posterior(f"random network, d = {d}", d, score, data, lambda x, prior=prior: ops.score(prior, x))
    trained = _models.trained_network(_targets.mixture(2), seed)
    data = rng.standard_normal((5, 2))
    yield Posterior("trained network, d = 2", 2, lambda x, y: ops.forward(trained, x + y), data, lambda x: -x)


def linear(d: int, seed: int, n: int = 5) -> Posterior:
    """s(x, y) = (y_1..d - x) W(y) with a matrix of its own for every datum, which the last column of the data chooses."""
    rng = np.random.default_rng((seed, 72, d))
    matrices = 0.15 * rng.standard_normal((n, d, d)) + 0.25 * np.eye(d)
    data = np.column_stack([1.1 * rng.standard_normal((n, d)) + 0.4, np.arange(n)])

    def score(x, y):
        return np.einsum("nj,njk->nk", y[:, :d] - x, matrices[y[:, d].astype(int)])

    return Posterior(f"linear, d = {d}", d, score, data, lambda x: 0.3 - x)


@identity(
    id="F2.sgld",
    systems=("F2",),
    title="SGLD: Langevin steps with minibatch scores; its kernel, the covariance of its gradient noise, its moments and its law",
    statement=r"x \leftarrow x + \tfrac{\eta_k}{2}\Big(s_0 + \tfrac{N}{n}\sum_{i\in S} s_i\Big) + \sqrt{\eta_k}\,z,\quad "
    r"\mathrm{Cov}\, s_S = \tfrac{N(N-n)}{n}\,\tfrac{1}{N-1}\sum_i (s_i - \bar s)(s_i - \bar s)^\top,\quad "
    r"\eta_k = a (c + k)^{-\gamma}",
    source="[c], [e]; Welling & Teh 2011, eq. 2 and 4",
    method="kernels with chosen noise and minibatch against the formula; mean and covariance over all minibatches against closed "
    "forms; moments against the enumerated recursion; laws in one dimension against a Nystrom method with averaged kernels",
    catches=(
        "sgld_without_scaling", "sgld_mean_over_minibatch", "sgld_prior_scaled", "sgld_prior_forgotten", "sgld_noise_std_eta",
        "sgld_noise_sqrt_2eta", "sgld_full_drift", "sgld_steps_constant", "sgld_noise_of_next_step", "sgld_full_batch",
        "sgld_convention_ignored", "sgld_score_sign", "sgld_first_rows_only", "steps_increase", "steps_from_one",
        "steps_gamma_halved", "steps_shift_outside", "moments_with_replacement", "moments_without_minibatch",
        "moments_divided_by_N", "moments_variance_not_squared", "law_one_step_short",
    ),
)
def stochastic_gradients(ops: Operations, seed: int) -> Iterator[Comparison | Table]:
    rng = np.random.default_rng((seed, 73))
    yield from _schedule(ops)
    for posterior in _posteriors(ops, seed):
        for convention in SHARES:
            chain = ops.sgld(posterior.datum_score, posterior.data, 2, STEPS, posterior.prior_score, convention)
            yield from _step_by_step(chain, posterior, convention, rng)
            yield from _over_minibatches(chain, posterior, convention, rng)
    for d in _targets.DIMENSIONS:
        for batch in (1, 2, 5):
            yield from _moments(ops, linear(d, seed), batch, _targets.gaussian(d))
    yield from _law(ops, seed)
    yield _where_it_settles(ops, seed)


def _schedule(ops: Operations) -> Iterator[Comparison]:
    for a, c, gamma in ((0.3, 1.7, 0.55), (0.05, 10.0, 1.0)):
        found, right = ops.decreasing_steps(a, c, gamma, 13), np.array([a / math.exp(gamma * math.log(c + k)) for k in range(13)])
        yield Comparison(f"a (c + k)^-gamma, a = {a}, c = {c}, gamma = {gamma}", found, right, 32 * EPS * right, right)


def _parts(posterior: Posterior, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """s_0 (m, d) and all s_i (N, m, d)."""
    each = [posterior.datum_score(x, np.tile(row, (len(x), 1))) for row in posterior.data]
    return posterior.prior_score(x), np.array(each)


def _step_by_step(chain, posterior: Posterior, convention: str, rng) -> Iterator[Comparison]:
    """Another minibatch for every row; some ten roundings a datum."""
    n_data, share = len(posterior.data), SHARES[convention]
    x = rng.standard_normal((6, posterior.dim)) + 0.3
    found, right, size = [], [], []
    for k, step in enumerate(STEPS):
        index = np.array([rng.permutation(n_data)[:2] for _ in range(len(x))])
        z = rng.standard_normal(x.shape)
        found.append(chain.step(k, x, z, index) if k < len(chain) else np.full_like(x, np.inf))
        prior, each = _parts(posterior, x)
        picked = sum(each[index[:, j], np.arange(len(x))] for j in range(2))
        noise = math.sqrt(2 * share * step) * z
        right.append(x + share * step * (prior + n_data / 2 * picked) + noise)
        size.append(np.abs(x) + share * step * (np.abs(prior) + n_data * np.abs(each).sum(axis=0)) + np.abs(noise))
        x = right[-1]
    scale = np.array(size)
    case = f"{posterior.name}, convention {convention}"
    yield Comparison(f"number of steps: {case}", len(chain), len(STEPS), 0.0)
    yield Comparison(f"step by step: {case}", np.array(found), np.array(right), 32 * EPS * scale, scale)


def _over_minibatches(chain, posterior: Posterior, convention: str, rng) -> Iterator[Comparison]:
    """Mean and covariance over the ten pairs out of five data."""
    x, share, n_data = rng.standard_normal((4, posterior.dim)) + 0.3, SHARES[convention], len(posterior.data)
    for k in (0, 3):
        means, drift = chain.means(k, x), share * STEPS[k]
        prior, each = _parts(posterior, x)
        case = f"{posterior.name}, convention {convention}, step {k}"
        whole = x + drift * (prior + each.sum(axis=0))
        scale = np.abs(x) + drift * (np.abs(prior) + n_data * np.abs(each).sum(axis=0))
        yield Comparison(f"number of minibatches: {case}", len(means), math.comb(n_data, 2), 0.0)
        yield Comparison(f"mean over minibatches: {case}", means.mean(axis=0), whole, 32 * EPS * scale, scale)
        yield Comparison(f"mean with all data: {case}", chain.mean(k, x), whole, 32 * EPS * scale, scale)
        away, apart = means - means.mean(axis=0), each - each.mean(axis=0)
        found = np.einsum("bmi,bmj->mij", away, away) / len(means)
        G = np.einsum("bmi,bmj->mij", apart, apart) / (n_data - 1)
        size, right = 1 + float(scale.max()) ** 2, drift**2 * n_data * (n_data - 2) / 2 * G
        yield Comparison(f"covariance of the gradient noise: {case}", found, right, 128 * EPS * size, size)


def _moments(ops: Operations, posterior: Posterior, batch: int, start: Gaussian) -> Iterator[Comparison]:
    """Against the recursion over all minibatches: E and Cov of N(A_S x + c_S, v I), S drawn."""
    chain = ops.sgld(posterior.datum_score, posterior.data, batch, STEPS, posterior.prior_score)
    mean, cov = ops.minibatch_moments(chain, start)
    right, wide, d = start.mean, start.cov, start.dim
    probes = np.concatenate([np.zeros((1, d)), np.eye(d)])
    prior, each = _parts(posterior, probes)
    for step in STEPS:
        maps = [probes + step / 2 * (prior + len(each) / batch * each[list(S)].sum(axis=0))
                for S in combinations(range(len(each)), batch)]
        c = np.array([at[0] for at in maps])
        A = np.array([(at[1:] - at[0]).T for at in maps])
        moved = A @ right + c
        second = (A @ (wide + np.outer(right, right)) @ A.transpose(0, 2, 1)).mean(axis=0)
        cross = np.einsum("bi,bj->ij", A @ right, c) / len(c)
        second = second + cross + cross.T + c.T @ c / len(c) + step * np.eye(d)
        right = moved.mean(axis=0)
        wide = second - np.outer(right, right)
    case = f"{posterior.name}, {batch} of {len(each)} data"
    scale = 1 + float(np.abs(right).max() + np.trace(wide) + np.trace(start.cov)) + float(np.abs(posterior.data).max()) ** 2
    yield Comparison(f"mean after {len(STEPS)} steps: {case}", mean, right, 512 * EPS * scale, scale)
    yield Comparison(f"covariance after {len(STEPS)} steps: {case}", cov, wide, 512 * EPS * scale, scale)


def _law(ops: Operations, seed: int) -> Iterator[Comparison]:
    """In one dimension: density at 41 points against Gauss-Legendre nodes and the mean of ten kernels."""
    network = _models.random_network(1, seed, "tanh", takes_time=True)
    data = np.array([[-1.0], [0.2], [0.9], [1.7], [-0.3]])
    posterior = Posterior("random network, d = 1", 1, lambda x, y: 0.4 * ops.forward(network, x, y[:, 0]), data, lambda x: 0.2 - x)
    start = Gaussian([0.3], 1.2)
    law = ops.law(ops.sgld(posterior.datum_score, data, 2, STEPS, posterior.prior_score), start)
    y = np.linspace(-2.9, 3.1, 41)
    values = []
    for order in (21, 17):
        x, w = gauss_legendre(-10.0, 10.0, math.ceil(20 / (1.6 * math.sqrt(STEPS.min()))), order)
        prior, each = (a[..., 0] for a in _parts(posterior, x[:, None]))
        p, ends = by_hand(start, 1.0, 0.0)[0](x), x
        for k, step in enumerate(STEPS):
            ends = x if k + 1 < len(STEPS) else y
            kernels = [normal(ends[:, None] - (x + step / 2 * (prior + len(each) / 2 * (each[i] + each[j]))), step)
                       for i, j in combinations(range(len(each)), 2)]
            p = np.mean(kernels, axis=0) @ (w * p)
        values.append(p)
    bound = np.abs(values[0] - values[1]) + (LAW_ERROR + 16 * EPS * len(STEPS)) / math.sqrt(2 * math.pi * STEPS[-1])
    found = np.exp(ops.logpdf(law, y[:, None]))
    yield Comparison(f"density of the law: {posterior.name}", found, values[0], bound, values[0].max())


def _where_it_settles(ops: Operations, seed: int) -> Table:
    """N = 20 observations of a mean: variance over the posterior's, started at the posterior."""
    data = np.random.default_rng((seed, 74)).standard_normal((20, 1)) + 1.0
    exact = 1 / (1 + len(data))  # prior N(0, 1), likelihood N(y; x, 1)
    start, rows = Gaussian([data.sum() * exact], exact), []
    for case, steps in (
        ("eta = 0.04", np.full(40, 0.04)), ("eta = 0.01", np.full(160, 0.01)),
        ("0.1 (2 + k)^-0.6, 40 steps", ops.decreasing_steps(0.1, 2.0, 0.6, 40)),
        ("0.1 (2 + k)^-0.6, 160 steps", ops.decreasing_steps(0.1, 2.0, 0.6, 160)),
        ("0.1 (2 + k)^-0.6, 640 steps", ops.decreasing_steps(0.1, 2.0, 0.6, 640)),
    ):
        ratios = [ops.minibatch_moments(ops.sgld(lambda x, y: y - x, data, n, steps, lambda x: -x), start)[1][0, 0] / exact
                  for n in (1, 5, 20)]
        rows.append((case, *(float(r) for r in ratios)))
    return Table("posterior of a mean, N = 20 data: variance of SGLD's last state over the posterior's variance",
                 ("steps", "n = 1", "n = 5", "n = 20, Langevin"), rows)
