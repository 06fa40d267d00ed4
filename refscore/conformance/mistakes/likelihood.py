"""Log-likelihoods along the flow: one term of three gone, turned or mistaken for another."""

from __future__ import annotations

import numpy as np

from refscore.conformance.generating import ACCURACY, ScoreOf, span
from refscore.conformance.mistakes._registry import mistake
from refscore.samplers import probability_flow

_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


def _end(self) -> float:
    return float(self.process.sigma(span(self.process, self.conventions)[1]))


def _prior(end: np.ndarray, scale: float) -> np.ndarray:
    return -0.5 * ((end / scale) ** 2).sum(axis=1) - end.shape[1] * (_HALF_LOG_2PI + np.log(scale))


@mistake("log_likelihood", wrong="log p_T(x_T) alone", right="log p_T(x_T) + int div", seen="torchebm#169")
def likelihood_without_divergence(self, model, x):
    return self.flow_likelihood(model, x).prior


@mistake("log_likelihood", wrong="log p_T(x_T) - int div", right="log p_T(x_T) + int div", seen="torchebm#169")
def likelihood_divergence_sign(self, model, x):
    terms = self.flow_likelihood(model, x)
    return terms.prior - terms.divergence


@mistake("log_likelihood", wrong="int div alone", right="log p_T(x_T) + int div", seen="the prior forgotten")
def likelihood_without_prior(self, model, x):
    return self.flow_likelihood(model, x).divergence


@mistake("log_likelihood", wrong="-1/2 |x|^2/sigma^2 for the prior", right="with -d/2 log(2 pi sigma^2)", seen="ncsn")
def likelihood_prior_without_constant(self, model, x):
    terms = self.flow_likelihood(model, x)
    return terms.total - _prior(np.zeros_like(x), _end(self))


@mistake("log_likelihood", wrong="-1/2 log(2 pi sigma^2) for the prior's constant", right="d times that", seen="ncsn")
def likelihood_constant_of_one_dimension(self, model, x):
    terms = self.flow_likelihood(model, x)
    d = x.shape[1]
    return terms.total - (1 - 1 / d) * _prior(np.zeros_like(x), _end(self))


@mistake("log_likelihood", wrong="-log p", right="log p", seen="a loss returned in place of a log-likelihood")
def likelihood_negative(self, model, x):
    return -self.log_likelihood(model, x)


@mistake("log_likelihood", wrong="log_2 p", right="natural logarithm", seen="bits for nats")
def likelihood_in_bits(self, model, x):
    return self.log_likelihood(model, x) / np.log(2)


@mistake("log_likelihood", wrong="log p/d", right="log p", seen="per dimension, as tables have it")
def likelihood_per_dimension(self, model, x):
    return self.log_likelihood(model, x) / x.shape[1]


@mistake("log_likelihood", wrong="-log_2 p/d", right="log p in nats", seen="bits per dimension")
def likelihood_bits_per_dimension(self, model, x):
    return -self.log_likelihood(model, x) / (x.shape[1] * np.log(2))


@mistake("log_likelihood", wrong="prior N(0, I)", right="N(0, sigma_T^2 I)", seen="a variance-exploding process, common")
def likelihood_standard_prior(self, model, x):
    terms = self.flow_likelihood(model, x)
    return _prior(terms.end, 1.0) + terms.divergence


@mistake("log_likelihood", wrong="prior of variance sigma_T", right="sigma_T^2", seen="standard deviation and variance mixed up")
def likelihood_prior_variance_is_std(self, model, x):
    terms = self.flow_likelihood(model, x)
    return _prior(terms.end, np.sqrt(_end(self))) + terms.divergence


@mistake("log_likelihood", wrong="flow f - g^2 s", right="f - 1/2 g^2 s", seen="the reverse SDE's drift without its noise")
def likelihood_flow_without_half(self, model, x):
    return _along(self, model, x, twice=True)


@mistake("log_likelihood", wrong="int div(-1/2 g^2 s)", right="int div(f - 1/2 g^2 s)", seen="trace of the score alone")
def likelihood_without_drift_divergence(self, model, x):
    start, end = span(self.process, self.conventions)
    shrunk = np.log(self.process.alpha(end)) - np.log(self.process.alpha(start))
    return self.log_likelihood(model, x) - x.shape[1] * shrunk


@mistake("log_likelihood", wrong="int div from T down to t_min", right="from x at t_min up to T", seen="x taken for noise")
def likelihood_of_the_noise(self, model, x):
    start, end = span(self.process, self.conventions)
    flow = probability_flow(self.process, ScoreOf(self, model))
    data = flow.integrate(x, end, start, rtol=ACCURACY, atol=ACCURACY)
    return _prior(x, _end(self)) + flow.log_likelihood(data, start, end, rtol=ACCURACY, atol=ACCURACY).divergence


class _Twice(ScoreOf):
    def __call__(self, x, t):
        return 2 * super().__call__(x, t)

    def divergence(self, x, t):
        return 2 * super().divergence(x, t)


def _along(self, model, x, twice: bool):
    start, end = span(self.process, self.conventions)
    flow = probability_flow(self.process, (_Twice if twice else ScoreOf)(self, model))
    return flow.log_likelihood(x, start, end, rtol=ACCURACY, atol=ACCURACY).total
