"""The chain with indices: a step of DDPM, and the posterior that it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore.conformance.mistakes._registry import mistake


@dataclass(frozen=True)
class Step:
    """One call of ddpm_step."""

    of: Any
    model: Any
    x: np.ndarray
    index: int
    noise: np.ndarray

    @property
    def eps(self):
        return -self.sigma * self.of.score_now(self.model, self.x, self.index)

    @property
    def beta(self):
        return self.of.process.beta(self.index)

    @property
    def alpha(self):
        return self.of.process.alpha(self.index)

    @property
    def sigma(self):
        return self.of.process.sigma(self.index)

    @property
    def before(self):
        """(alpha, sigma) of index - 1."""
        return self.of.process.alpha(self.index - 1), self.of.process.sigma(self.index - 1)

    @property
    def tilde(self):
        return self.beta * (self.before[1] / self.sigma) ** 2

    @property
    def variance(self):
        return self.tilde if self.of.conventions["variance"] == "beta_tilde" else self.beta

    def step(self, eps=None, c=None, keep=None, variance=None, noise=None, silent=None):
        """keep (x - c eps) + sqrt(variance) z, right where nothing is given."""
        c = self.beta / self.sigma if c is None else c
        keep = 1 / np.sqrt(1 - self.beta) if keep is None else keep
        eps = self.eps if eps is None else eps
        variance = self.variance if variance is None else variance
        silent = self.index == 1 if silent is None else silent
        kick = 0.0 if silent else np.sqrt(variance) * (self.noise if noise is None else noise)
        return keep * (self.x - c * eps) + kick


def ancestral(wrong: str, right: str, seen: str):
    """Decorator: enter a function of a `Step` as a mistake of ddpm_step."""
    def register(function):
        def wrong_step(self, model, x, index, noise):
            return function(Step(self, model, x, index, noise))

        mistake("ddpm_step", wrong=wrong, right=right, seen=seen, name=function.__name__)(wrong_step)
        return function

    return register


@ancestral("noise at i = 1 too", "no noise at the last step", "lucidrains#81, common")
def ddpm_noise_at_the_end(a):
    return a.step(silent=False, variance=a.beta if a.index == 1 else None)


@ancestral("no noise at i = 2", "none at i = 1 alone", "index > 2 for index > 1: counted from the wrong end")
def ddpm_silent_too_early(a):
    return a.step(silent=a.index <= 2)


@ancestral("no noise at i = N", "none at i = 1", "the chain's other end")
def ddpm_silent_at_start(a):
    return a.step(silent=a.index in (1, len(a.of.process)))


@ancestral("no noise", "sqrt(variance) z", "noise forgotten")
def ddpm_without_noise(a):
    return a.step(silent=True)


@ancestral("noise of std variance", "its root", "abides#10: std = variance")
def ddpm_noise_variance(a):
    return a.step(variance=a.variance**2)


@ancestral("noise of std 1", "sqrt(variance)", "scale of the noise forgotten")
def ddpm_noise_unscaled(a):
    return a.step(variance=1.0)


@ancestral("variance 1 - alpha-bar", "beta", "the marginal's noise for the step's")
def ddpm_noise_marginal(a):
    return a.step(variance=a.sigma**2)


@ancestral("variance of index i - 1", "of index i", "lucidrains#18: shifted by one")
def ddpm_variance_before(a):
    if a.index == 1:
        return a.step()
    return a.step(variance=Step(a.of, a.model, a.x, a.index - 1, a.noise).variance)


@ancestral("beta/(1 - alpha-bar) eps", "beta/sqrt(1 - alpha-bar) eps", "root forgotten")
def ddpm_not_rooted(a):
    return a.step(c=a.beta / a.sigma**2)


@ancestral("sqrt(beta) eps", "beta/sqrt(1 - alpha-bar) eps", "one step's noise taken off")
def ddpm_removes_step_noise(a):
    return a.step(c=np.sqrt(a.beta))


@ancestral("sqrt(1 - alpha-bar) eps", "beta/sqrt(1 - alpha-bar) eps", "all of the noise taken off at once")
def ddpm_removes_all_noise(a):
    return a.step(c=a.sigma)


@ancestral("beta eps", "beta/sqrt(1 - alpha-bar) eps", "division forgotten")
def ddpm_beta_alone(a):
    return a.step(c=a.beta)


@ancestral("sqrt(1 - alpha-bar_{i-1})", "sqrt(1 - alpha-bar_i)", "lucidrains#18: alpha-bar shifted by one")
def ddpm_sigma_before(a):
    with np.errstate(divide="ignore", invalid="ignore"):
        return a.step(c=a.beta / a.before[1])


@ancestral("sqrt(1 - alpha-bar) of index i - 1, and of N at i = 1", "of index i", "an array from 0 read at i - 1: index -1")
def ddpm_sigma_before_wraps(a):
    return a.step(c=a.beta / (a.before[1] if a.index > 1 else a.of.process.sigma(len(a.of.process))))


@ancestral("beta/2", "beta", "beta for beta/2 of the SDE")
def ddpm_beta_halved(a):
    return a.step(c=a.beta / a.sigma / 2)


@ancestral("+ eps", "- eps", "sign of the noise, common")
def ddpm_eps_sign(a):
    return a.step(c=-a.beta / a.sigma)


@ancestral("1/(1 - beta)", "1/sqrt(1 - beta)", "root forgotten")
def ddpm_keep_not_rooted(a):
    return a.step(keep=1 / (1 - a.beta))


@ancestral("sqrt(1 - beta)", "1/sqrt(1 - beta)", "multiplied for divided")
def ddpm_keep_inverted(a):
    return a.step(keep=np.sqrt(1 - a.beta))


@ancestral("1/sqrt(alpha-bar)", "1/sqrt(1 - beta)", "alpha-bar for alpha")
def ddpm_keep_marginal(a):
    return a.step(keep=1 / a.alpha)


@ancestral("x not divided", "1/sqrt(1 - beta)", "factor forgotten")
def ddpm_keep_one(a):
    return a.step(keep=1.0)


@ancestral("beta and alpha-bar of index i + 1", "of index i", "lucidrains#18: shifted by one")
def ddpm_one_late(a):
    later = Step(a.of, a.model, a.x, min(a.index + 1, len(a.of.process)), a.noise)
    score = a.of.score_at(a.model, a.x, (np.full(len(a.x), a.index),), a.alpha, a.sigma)
    return later.step(eps=-a.sigma * score, silent=a.index == 1)


@ancestral("the model told i - 1", "i", "index from 0 for the model alone")
def ddpm_model_before(a):
    score = a.of.score_at(a.model, a.x, (np.full(len(a.x), a.index - 1),), a.alpha, a.sigma)
    return a.step(eps=-a.sigma * score)


@ancestral("one noise for all rows", "each row its own", "randn(d) broadcast over the batch")
def ddpm_shared_noise(a):
    return a.step(noise=a.noise[:1])


@ancestral("noise added before the division by sqrt(1 - beta)", "after it", "bracket")
def ddpm_noise_divided(a):
    return a.step(variance=a.variance / (1 - a.beta))


def posterior(wrong: str, right: str, seen: str):
    """Decorator: enter a function of (p, x0, xt, index) -> (mean, variance) as a mistake of the posterior."""
    def register(function):
        def wrong_posterior(self, x0, xt, index):
            mean, variance = function(Posterior(self, x0, xt, index))
            return mean, np.full(len(xt), variance)

        mistake("posterior", wrong=wrong, right=right, seen=seen, name=function.__name__)(wrong_posterior)
        return function

    return register


class Posterior:
    """One call of posterior: the mean's weights of x0 and xt, and the variance."""

    def __init__(self, of, x0, xt, index):
        self.p, self.x0, self.xt, self.index = of.process, x0, xt, index
        self.beta = self.p.beta(index)
        self.alpha, self.sigma = self.p.alpha(index), self.p.sigma(index)
        self.alpha_1, self.sigma_1 = self.p.alpha(index - 1), self.p.sigma(index - 1)
        self.clean = self.alpha_1 * self.beta / self.sigma**2
        self.noisy = np.sqrt(1 - self.beta) * (self.sigma_1 / self.sigma) ** 2
        self.variance = self.beta * (self.sigma_1 / self.sigma) ** 2

    def answer(self, clean=None, noisy=None, variance=None):
        mean = (self.clean if clean is None else clean) * self.x0 + (self.noisy if noisy is None else noisy) * self.xt
        return mean, self.variance if variance is None else variance


@posterior("variance beta (1 - ab_{i-1})/(1 - ab_{i-1})", "/(1 - ab_i)", "varun-ml/diffusion-models-tutorial#1: beta for beta~")
def posterior_variance_beta(a):
    return a.answer(variance=a.beta)


@posterior("variance beta (1 - ab_i)/(1 - ab_{i-1})", "(1 - ab_{i-1})/(1 - ab_i)", "ratio inverted")
def posterior_variance_inverted(a):
    with np.errstate(divide="ignore"):
        return a.answer(variance=a.beta * (a.sigma / a.sigma_1) ** 2)


@posterior("variance beta (1 - ab_{i-1})", "divided by (1 - ab_i)", "division forgotten")
def posterior_variance_not_divided(a):
    return a.answer(variance=a.beta * a.sigma_1**2)


@posterior("the standard deviation", "the variance", "root of the variance returned")
def posterior_std(a):
    return a.answer(variance=np.sqrt(a.variance))


@posterior("the variance at i = 1 replaced by that at i = 2", "0 at i = 1", "clipped for the sake of its logarithm")
def posterior_variance_clipped(a):
    return a.answer(variance=a.variance if a.index > 1 else a.p.beta(2) * (a.p.sigma(1) / a.p.sigma(2)) ** 2)


@posterior("variance beta at i = 1", "0 at i = 1", "beta where beta~ vanishes, so that its logarithm exists")
def posterior_variance_beta_first(a):
    return a.answer(variance=a.variance if a.index > 1 else a.beta)


@posterior("sigma ratio not squared", "(1 - ab_{i-1})/(1 - ab_i)", "roots of 1 - alpha-bar")
def posterior_ratio_rooted(a):
    return a.answer(noisy=np.sqrt(1 - a.beta) * a.sigma_1 / a.sigma, variance=a.beta * a.sigma_1 / a.sigma)


@posterior("ab_{i-1} beta/(1 - ab_i) x0", "sqrt(ab_{i-1})", "root forgotten")
def posterior_clean_squared(a):
    return a.answer(clean=a.alpha_1**2 * a.beta / a.sigma**2)


@posterior("sqrt(ab_i) beta/(1 - ab_i) x0", "sqrt(ab_{i-1})", "lucidrains#18: alpha-bar shifted by one")
def posterior_clean_shifted(a):
    return a.answer(clean=a.alpha * a.beta / a.sigma**2)


@posterior("beta/sqrt(1 - ab_i) x0", "beta/(1 - ab_i)", "the step's coefficient of eps")
def posterior_clean_rooted(a):
    return a.answer(clean=a.alpha_1 * a.beta / a.sigma)


@posterior("(1 - beta)(1 - ab_{i-1})/(1 - ab_i) xt", "sqrt(1 - beta)", "root forgotten")
def posterior_noisy_squared(a):
    return a.answer(noisy=(1 - a.beta) * (a.sigma_1 / a.sigma) ** 2)


@posterior("(1 - ab_{i-1})/(1 - ab_i) xt", "sqrt(1 - beta) times that", "factor forgotten")
def posterior_noisy_unscaled(a):
    return a.answer(noisy=(a.sigma_1 / a.sigma) ** 2)


@posterior("sqrt(ab_i)(1 - ab_{i-1})/(1 - ab_i) xt", "sqrt(1 - beta_i)", "alpha-bar for alpha")
def posterior_noisy_marginal(a):
    return a.answer(noisy=a.alpha * (a.sigma_1 / a.sigma) ** 2)


@posterior("x0 and xt exchanged", "as in the contract", "order of two arguments")
def posterior_exchanged(a):
    return a.answer(clean=a.noisy, noisy=a.clean)


@posterior("of index i - 1", "of index i", "lucidrains#18: shifted by one")
def posterior_one_early(a):
    earlier = a.index - 1 if a.index > 1 else len(a.p)  # betas[-1] is the last of them
    return Posterior(_Holder(a.p), a.x0, a.xt, earlier).answer()


@posterior("q(x_{i-1} | x_0): without xt", "given xt too", "the marginal for the posterior")
def posterior_is_marginal(a):
    return a.answer(clean=a.alpha_1, noisy=0.0, variance=a.sigma_1**2)


@dataclass(frozen=True)
class _Holder:
    process: Any
