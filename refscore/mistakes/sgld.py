"""Mistakes in stochastic gradient Langevin dynamics (systems F2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refscore.laws import minibatch_moments
from refscore.mistakes._registry import mistake
from refscore.mistakes.langevin import _with
from refscore.samplers import PosteriorScore, decreasing_steps, sgld


@dataclass(frozen=True, eq=False)
class _Estimate(PosteriorScore):
    """A posterior score whose estimate from a minibatch is prior_share s_0 + data_share sum_S s_i, from other rows perhaps."""

    prior_share: float = 1.0
    scaled: bool = True
    by_batch: bool = True
    first: bool = False

    def estimate(self, x, index):
        if self.first:
            index = np.broadcast_to(np.arange(index.shape[1]), index.shape)
        total = np.sum([self.term(x, rows) for rows in index.T], axis=0)
        total *= ((len(self.data) if self.scaled else 1.0) / (index.shape[1] if self.by_batch else 1.0))
        return total if self.prior_score is None else total + self.prior_share * self.prior_score(x)


def _estimated(datum_score, data, batch, steps, prior_score=None, convention="half_eta", **changed):
    chain = sgld(datum_score, data, batch, steps, prior_score, convention)
    score = _Estimate(datum_score, data, prior_score, **changed)
    return replace(chain, full=_with(chain.full, score=score))


def _kernels(chain, **changed):
    return replace(chain, full=_with(chain.full, **changed))


@mistake("sgld", wrong="s_0 + sum_S s_i", right="s_0 + N/n sum_S s_i", seen="the factor N/n forgotten: a posterior of n data")
def sgld_without_scaling(*arguments):
    return _estimated(*arguments, scaled=False, by_batch=False)


@mistake("sgld", wrong="s_0 + 1/n sum_S s_i", right="s_0 + N/n sum_S s_i", seen="a mean loss handed to a sampler, common")
def sgld_mean_over_minibatch(*arguments):
    return _estimated(*arguments, scaled=False)


@mistake("sgld", wrong="N s_0 + N/n sum_S s_i", right="s_0 + N/n sum_S s_i", seen="weight decay scaled together with the loss")
def sgld_prior_scaled(datum_score, data, *arguments):
    return _estimated(datum_score, data, *arguments, prior_share=float(len(data)))


@mistake("sgld", wrong="N/n sum_S s_i", right="s_0 + N/n sum_S s_i", seen="the prior left out")
def sgld_prior_forgotten(*arguments):
    return _estimated(*arguments, prior_share=0.0)


@mistake("sgld", wrong="the first n rows in every step", right="a minibatch drawn anew", seen="an iterator made in the loop")
def sgld_first_rows_only(*arguments):
    return _estimated(*arguments, first=True)


@mistake("sgld", wrong="all data in every step", right="n of them", seen="the estimate computed and not used")
def sgld_full_batch(datum_score, data, batch, *arguments):
    chain = sgld(datum_score, data, batch, *arguments)

    @dataclass(frozen=True, eq=False)
    class Whole(PosteriorScore):
        def estimate(self, x, index):
            return super().estimate(x, np.broadcast_to(np.arange(len(self.data)), (len(x), len(self.data))))

    return _kernels(chain, score=Whole(chain.score.datum_score, chain.score.data, chain.score.prior_score))


@mistake("sgld", wrong="x + eta/2 s + eta z", right="x + eta/2 s + sqrt(eta) z", seen="google-research/ibc#6: variance for std")
def sgld_noise_std_eta(*arguments):
    chain = sgld(*arguments)
    return _kernels(chain, v=chain.v**2)


@mistake("sgld", wrong="x + eta/2 s + sqrt(2 eta) z", right="x + eta/2 s + sqrt(eta) z", seen="the noise of the other convention")
def sgld_noise_sqrt_2eta(*arguments):
    chain = sgld(*arguments)
    return _kernels(chain, v=2 * chain.v)


@mistake("sgld", wrong="x + eta s + sqrt(eta) z", right="x + eta/2 s + sqrt(eta) z", seen="the drift of the other convention")
def sgld_full_drift(*arguments):
    chain = sgld(*arguments)
    return _kernels(chain, b=2 * chain.full.b)


@mistake("sgld", wrong="eta_0 throughout", right="eta_k", seen="a schedule that nobody steps")
def sgld_steps_constant(*arguments):
    chain = sgld(*arguments)
    return _kernels(chain, b=np.full_like(chain.full.b, chain.full.b[0]), v=np.full_like(chain.v, chain.v[0]))


@mistake("sgld", wrong="drift eta_k/2, noise sqrt(eta_{k+1})", right="one eta_k for both", seen="the schedule stepped between")
def sgld_noise_of_next_step(*arguments):
    chain = sgld(*arguments)
    return _kernels(chain, v=np.append(chain.v[1:], chain.v[-1]))


@mistake("sgld", wrong="eta/2 in both conventions", right="the convention that was asked for", seen="lectures c, e: eta/2 and eta")
def sgld_convention_ignored(datum_score, data, batch, steps, prior_score=None, convention="half_eta"):
    return sgld(datum_score, data, batch, steps, prior_score)


@mistake("sgld", wrong="x - eta/2 s", right="x + eta/2 s", seen="descent of the log posterior")
def sgld_score_sign(*arguments):
    chain = sgld(*arguments)
    return _kernels(chain, b=-chain.full.b)


@mistake("decreasing_steps", wrong="a (c + k)^gamma", right="a (c + k)^-gamma", seen="the sign of the exponent: steps grow")
def steps_increase(a, c, gamma, n_steps):
    return a * (c + np.arange(n_steps)) ** gamma


@mistake("decreasing_steps", wrong="k = 1, ..., n", right="k = 0, ..., n - 1", seen="counters that start at 1")
def steps_from_one(a, c, gamma, n_steps):
    return decreasing_steps(a, c + 1, gamma, n_steps)


@mistake("decreasing_steps", wrong="a (c + k)^(-gamma/2)", right="a (c + k)^-gamma", seen="a schedule for the std")
def steps_gamma_halved(a, c, gamma, n_steps):
    return a * (c + np.arange(n_steps)) ** (-gamma / 2)


@mistake("decreasing_steps", wrong="a (1 + k/c)^-gamma", right="a (c + k)^-gamma", seen="a taken for the first step")
def steps_shift_outside(a, c, gamma, n_steps):
    return a * (1 + np.arange(n_steps) / c) ** -gamma


def _minibatch_share(change):
    """Moments with the variance that minibatches add multiplied by ``change(N, n)``: in one step, and so in all."""

    def wrong(chain, initial):
        mean, cov = minibatch_moments(chain[:1], initial)
        for k in range(len(chain)):
            step = chain[k : k + 1]
            whole = minibatch_moments(replace(step, batch=len(step.score.data)), initial)[1]
            mean, cov = minibatch_moments(step, initial)
            cov = whole + change(len(step.score.data), step.batch) * (cov - whole)
            initial = type(initial)(mean, cov)
        return mean, cov

    return wrong


mistake("minibatch_moments", wrong="Cov s_S = N (N - 1)/n G", right="N (N - n)/n G", name="moments_with_replacement",
        seen="draws with replacement")(_minibatch_share(lambda N, n: (N - 1) / (N - n) if N > n else 1.0))
mistake("minibatch_moments", wrong="no noise from minibatches", right="Cov s_S = N (N - n)/n G", name="moments_without_minibatch",
        seen="'the noise of the gradient is negligible'")(_minibatch_share(lambda N, n: 0.0))
mistake("minibatch_moments", wrong="G with 1/N", right="G with 1/(N - 1)", name="moments_divided_by_N",
        seen="numpy.var's default")(_minibatch_share(lambda N, n: (N - 1) / N))
mistake("minibatch_moments", wrong="Cov s_S = (N - n)/n G", right="N (N - n)/n G", name="moments_variance_not_squared",
        seen="the factor N of a sum taken once and not squared")(_minibatch_share(lambda N, n: 1 / N))
