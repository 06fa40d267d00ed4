"""Mistakes in contrastive divergence with Gibbs chains (systems G2)."""

from __future__ import annotations

import numpy as np

from refscore.energy import RBM, cd_gradient, contrastive_gradient, expected_cd_gradient, gibbs, gibbs_law, pcd_gradient
from refscore.mistakes._registry import mistake

_ASCENT = "E_data - E_negatives: the likelihood grows"


def _moments(x, z):
    return [x.T @ z / len(x), x.mean(axis=0), z.mean(axis=0)]


def _difference(a, b):
    return [p - n for p, n in zip(a, b, strict=True)]


def _scaled(gradient, factor):
    return [factor * g for g in gradient]


def _drawn(mean, seed=0):
    return (np.random.default_rng(seed).random(mean.shape) < mean) * 1.0


@mistake("cd_gradient", wrong="p(z | x_{k-1}) with x_k", right="p(z | x_k)", seen="rbms#31: the hidden units that led to x_k")
def cd_hidden_given_previous_visible(rbm, x, k, rng):
    before = gibbs(rbm, k - 1).simulate(x, rng)
    after = gibbs(rbm, k).simulate(x, rng)
    return _difference(_moments(x, rbm.hidden_mean(x)), _moments(after, rbm.hidden_mean(before)))


@mistake("cd_gradient", wrong="z_k drawn", right="E[z|x_k]", seen="rbms#31: a sample for the mean")
def cd_hidden_sampled(rbm, x, k, rng):
    after = gibbs(rbm, k).simulate(x, rng)
    return _difference(_moments(x, rbm.hidden_mean(x)), _moments(after, _drawn(rbm.hidden_mean(after))))


@mistake("cd_gradient", wrong="z_0 drawn in the positive phase", right="E[z|x_0]", seen="the chain's first draw reused, common")
def cd_positive_hidden_sampled(rbm, x, k, rng):
    after = gibbs(rbm, k).simulate(x, rng)
    return _difference(_moments(x, _drawn(rbm.hidden_mean(x))), _moments(after, rbm.hidden_mean(after)))


@mistake("cd_gradient", wrong="E[x|z] for x_k", right="x_k drawn", seen="reconstructions in the negative phase, common")
def cd_visible_mean(rbm, x, k, rng):
    mean = rbm.visible_mean(_drawn(rbm.hidden_mean(gibbs(rbm, k - 1).simulate(x, rng))))
    return _difference(_moments(x, rbm.hidden_mean(x)), _moments(mean, 1 / (1 + np.exp(-(mean @ rbm.W + rbm.c)))))


@mistake("cd_gradient", wrong="E_negatives - E_data", right=_ASCENT, seen="the gradient of a loss taken for a direction of ascent")
def cd_descent(*arguments):
    return _scaled(cd_gradient(*arguments), -1)


@mistake("cd_gradient", wrong="k - 1 sweeps", right="k sweeps", seen="range(1, k)")
def cd_one_sweep_short(rbm, x, k, rng):
    return contrastive_gradient(rbm, x, gibbs(rbm, k - 1).simulate(x, rng))


@mistake("cd_gradient", wrong="sum over the batch", right="mean", seen="x'z without division by n")
def cd_sum_over_batch(rbm, x, k, rng):
    return _scaled(cd_gradient(rbm, x, k, rng), len(x))


@mistake("cd_gradient", wrong="the positive phase", right="minus the negative phase", seen="Hebb's rule")
def cd_positive_phase_alone(rbm, x, k, rng):
    return _moments(x, rbm.hidden_mean(x))


@mistake("cd_gradient", wrong="E[z|x] without c", right="sigma(c + W'x)", seen="biases left out")
def cd_biases_left_out(rbm, x, k, rng):
    return contrastive_gradient(RBM(rbm.W, rbm.b, 0 * rbm.c), x, gibbs(rbm, k).simulate(x, rng))


@mistake("pcd_gradient", wrong="chains start at the data", right="where they were left", seen="CD under the name of PCD")
def pcd_restarted_at_data(rbm, x, chains, k, rng):
    return pcd_gradient(rbm, x, np.resize(x, chains.shape), k, rng)


@mistake("pcd_gradient", wrong="returns the chains that it was given", right="k sweeps further", seen="the state not stored")
def pcd_chains_not_kept(rbm, x, chains, k, rng):
    return pcd_gradient(rbm, x, chains, k, rng)[0], np.asarray(chains)


@mistake("pcd_gradient", wrong="sum over the chains / n", right="/ n'", seen="one batch size for both phases")
def pcd_divided_by_batch(rbm, x, chains, k, rng):
    after = gibbs(rbm, k).simulate(chains, rng)
    negative = _scaled(_moments(after, rbm.hidden_mean(after)), len(after) / len(x))
    return _difference(_moments(x, rbm.hidden_mean(x)), negative), after


@mistake("pcd_gradient", wrong="E_chains - E_data", right=_ASCENT, seen="the sign of a loss")
def pcd_descent(*arguments):
    gradient, chains = pcd_gradient(*arguments)
    return _scaled(gradient, -1), chains


@mistake("pcd_gradient", wrong="k - 1 sweeps", right="k sweeps", seen="range(1, k)")
def pcd_one_sweep_short(rbm, x, chains, k, rng):
    after = gibbs(rbm, k - 1).simulate(chains, rng)
    return contrastive_gradient(rbm, x, after), after


@mistake("contrastive_gradient", wrong="E_negatives - E_data", right=_ASCENT, seen="the sign of a loss")
def contrastive_gradient_descent(*arguments):
    return _scaled(contrastive_gradient(*arguments), -1)


@mistake("contrastive_gradient", wrong="1/n' for all negatives", right="their weights", seen="weights accepted and not used")
def contrastive_gradient_weights_ignored(rbm, x, negatives, weights=None):
    return contrastive_gradient(rbm, x, negatives)


@mistake("contrastive_gradient", wrong="sums", right="means", seen="x'z without division by n")
def contrastive_gradient_sum(rbm, x, negatives, weights=None):
    return _scaled(contrastive_gradient(rbm, x, negatives, weights), len(x))


@mistake("contrastive_gradient", wrong="1 where E[z|x] > 1/2", right="E[z|x]", seen="binary hidden units taken literally")
def contrastive_gradient_hidden_rounded(rbm, x, negatives, weights=None):
    positive, negative = ((rbm.hidden_mean(rows) > 0.5) * 1.0 for rows in (x, negatives))
    weights = np.full(len(negatives), 1 / len(negatives)) if weights is None else weights
    against = [negatives.T @ (weights[:, None] * negative), weights @ negatives, weights @ negative]
    return _difference(_moments(x, positive), against)


@mistake("expected_cd_gradient", wrong="q T^(k-1)", right="q T^k", seen="range(1, k)")
def expected_cd_one_sweep_short(rbm, x, k, chains=None):
    start = gibbs_law(rbm, x if chains is None else chains, k - 1)
    states = ((np.arange(len(start))[:, None] >> np.arange(len(rbm.b) - 1, -1, -1)) & 1) * 1.0
    return contrastive_gradient(rbm, x, states, start)


@mistake("expected_cd_gradient", wrong="q T^(k+1)", right="q T^k", seen="'CD-k' counted from CD-0")
def expected_cd_one_sweep_more(rbm, x, k, chains=None):
    return expected_cd_gradient(rbm, x, k + 1, chains)


@mistake("expected_cd_gradient", wrong="the likelihood's gradient", right="with the bias", seen="'CD estimates the gradient'")
def expected_cd_exact_gradient(rbm, x, k, chains=None):
    return rbm.log_likelihood(x, grad=True)[1]


@mistake("expected_cd_gradient", wrong="a uniform start", right="the data, or the chains", seen="chains from noise")
def expected_cd_uniform_start(rbm, x, k, chains=None):
    return expected_cd_gradient(rbm, x, k, np.full(2 ** len(rbm.b), 2.0 ** -len(rbm.b)))


@mistake("expected_cd_gradient", wrong="E_negatives - E_data", right=_ASCENT, seen="the sign of a loss")
def expected_cd_descent(*arguments):
    return _scaled(expected_cd_gradient(*arguments), -1)


@mistake("expected_cd_gradient", wrong="sum over the batch", right="mean", seen="x'z without division by n")
def expected_cd_sum(rbm, x, k, chains=None):
    return _scaled(expected_cd_gradient(rbm, x, k, chains), len(x))


@mistake("expected_cd_gradient", wrong="chains start at the data", right="where they are", seen="CD under the name of PCD")
def expected_cd_chains_ignored(rbm, x, k, chains=None):
    return expected_cd_gradient(rbm, x, k)


@mistake("expected_cd_gradient", wrong="E[z] before the last half of a sweep", right="E[z|x_k]", seen="rbms#31")
def expected_cd_hidden_given_previous(rbm, x, k, chains=None):
    W, b, c = expected_cd_gradient(rbm, x, k, chains)
    before = gibbs_law(rbm, x if chains is None else chains, k - 1)
    states = ((np.arange(len(before))[:, None] >> np.arange(len(rbm.b) - 1, -1, -1)) & 1) * 1.0
    return [W, b, contrastive_gradient(rbm, x, states, before)[2]]
