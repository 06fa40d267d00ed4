"""Mistakes in the Metropolis-adjusted Langevin algorithm (systems F2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refscore.laws import acceptance_rate, law
from refscore.mistakes._registry import mistake
from refscore.mistakes.langevin import _with
from refscore.samplers import MetropolisChain, mala


def _squares(chain, k, x, y, mean):
    """|x - m(y)|^2 and |y - m(x)|^2."""
    return ((x - chain.proposal.mean(k, y)) ** 2).sum(axis=1), ((y - mean) ** 2).sum(axis=1)


def _with_ratio(ratio):
    """MALA with another log r, ``ratio(log p(y) - log p(x), |x - m(y)|^2, |y - m(x)|^2, v)``."""

    class Wrong(MetropolisChain):
        def _log_ratio(self, k, x, y, mean):
            return ratio(self.logpdf(y) - self.logpdf(x), *_squares(self, k, x, y, mean), float(self.proposal.v[k]))

    def wrong(*arguments):
        chain = mala(*arguments)
        return Wrong(chain.proposal, chain.logpdf)

    return wrong


mistake("mala", wrong="r = p(y)/p(x)", right="r = p(y) q(y, x)/(p(x) q(x, y))", name="mala_proposal_forgotten",
        seen="random-walk Metropolis, whose proposal is symmetric")(_with_ratio(lambda p, back, there, v: p))
mistake("mala", wrong="r = p(y) q(x, y)/(p(x) q(y, x))", right="r = p(y) q(y, x)/(p(x) q(x, y))", name="mala_proposal_reversed",
        seen="which argument of q is the condition, common")(_with_ratio(lambda p, back, there, v: p - (there - back) / (2 * v)))
mistake("mala", wrong="1/r", right="r", name="mala_ratio_sign",
        seen="old minus new")(_with_ratio(lambda p, back, there, v: -p + (back - there) / (2 * v)))
mistake("mala", wrong="log q = -|.|^2/v", right="log q = -|.|^2/2v", name="mala_variance_for_twice",
        seen="|.|^2/(4 eta) and |.|^2/(2 eta)")(_with_ratio(lambda p, back, there, v: p - (back - there) / v))
mistake("mala", wrong="r = q(y, x)/q(x, y)", right="r = p(y) q(y, x)/(p(x) q(x, y))", name="mala_target_forgotten",
        seen="acceptance of the proposal's own reversal")(_with_ratio(lambda p, back, there, v: -(back - there) / (2 * v)))


class _ReverseAtX(MetropolisChain):
    def _log_ratio(self, k, x, y, mean):
        back, there = ((x - (y + mean - x)) ** 2).sum(axis=1), ((y - mean) ** 2).sum(axis=1)
        return self.logpdf(y) - self.logpdf(x) - (back - there) / (2 * float(self.proposal.v[k]))


@mistake("mala", wrong="q(y, x) with the score at x", right="with the score at y", seen="one gradient kept for both directions")
def mala_reverse_mean_at_x(*arguments):
    chain = mala(*arguments)
    return _ReverseAtX(chain.proposal, chain.logpdf)


def _choosing(choose):
    """MALA that goes to ``choose(taken, x, y, mean, log uniform, log r)``."""

    class Wrong(MetropolisChain):
        def _chosen(self, k, x, y, mean, uniform):
            log_r = self._log_ratio(k, x, y, mean)
            with np.errstate(divide="ignore"):
                return choose((np.log(uniform) < log_r)[:, None], x, y, mean, uniform[:, None], log_r[:, None])

    def wrong(*arguments):
        chain = mala(*arguments)
        return Wrong(chain.proposal, chain.logpdf)

    return wrong


mistake("mala", wrong="refused proposals are kept", right="the chain stays where it was", name="mala_reject_moves",
        seen="acceptance counted but not applied")(_choosing(lambda taken, x, y, mean, u, log_r: y))
mistake("mala", wrong="a refused step ends at x + eta s", right="at x", name="mala_reject_goes_to_mean",
        seen="the drift done in place before the test")(_choosing(lambda taken, x, y, mean, u, log_r: np.where(taken, y, mean)))
mistake("mala", wrong="taken where u < log r", right="where log u < log r", name="mala_uniform_not_logged",
        seen="logarithms introduced on one side only")(_choosing(lambda taken, x, y, mean, u, log_r: np.where(u < log_r, y, x)))
mistake("mala", wrong="taken where log u > log r", right="where log u < log r", name="mala_accepts_below",
        seen="the comparison reversed")(_choosing(lambda taken, x, y, mean, u, log_r: np.where(taken, x, y)))


@mistake("mala", wrong="eta in both conventions", right="the convention that was asked for", seen="eta/2 and eta")
def mala_convention_ignored(score, logpdf, step, n_steps, *convention):
    return mala(score, logpdf, step, n_steps)


@mistake("mala", wrong="proposal x + eta s + sqrt(eta) z", right="x + eta s + sqrt(2 eta) z",
         seen="exact nevertheless, but another chain: acceptance hides the mistake")
def mala_noise_sqrt_eta(*arguments):
    chain = mala(*arguments)
    return replace(chain, proposal=_with(chain.proposal, v=chain.proposal.v / 2))


@mistake("mala", wrong="n - 1 steps", right="n steps", seen="range(1, n), common")
def mala_one_step_short(score, logpdf, step, n_steps, *convention):
    return mala(score, logpdf, step, max(n_steps - 1, 1), *convention)


@mistake("acceptance_rate", wrong="P(r > 1)", right="E min(1, r) = 2 P(r > 1)", seen="sure steps counted only")
def acceptance_of_one_side(chain, density):
    rate, error = acceptance_rate(chain, density)
    return rate / 2, error


@mistake("acceptance_rate", wrong="acceptance at the mean of p", right="its mean under p", seen="E f(x) for f(E x)")
def acceptance_at_the_mean(chain, density):
    z, w = np.polynomial.hermite_e.hermegauss(60)
    x = np.full((60, 1), density.mean[0])
    y = chain.proposal.mean(0, x) + np.sqrt(chain.proposal.v[0]) * z[:, None]
    return float(w @ np.exp(np.minimum(chain.log_ratio(0, x, y), 0)) / w.sum()), acceptance_rate(chain, density)[1]


@mistake("acceptance_rate", wrong="min(1, E r) = 1", right="E min(1, r)", seen="Jensen: E r = 1")
def acceptance_of_mean_ratio(chain, density):
    return 1.0, acceptance_rate(chain, density)[1]


@mistake("law", wrong="the law of the proposals", right="what is refused stays", seen="kernels taken without acceptance")
def law_ignores_rejection(chain, initial, **options):
    return law(chain.proposal if hasattr(chain, "proposal") else chain, initial, **options)
