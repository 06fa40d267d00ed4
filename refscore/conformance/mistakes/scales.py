"""alpha, sigma, drift and diffusion: a square or its root, beta or its half, an index or an end too far.

Written through the right values, so that each mistake exists for every process; where it coincides with what is right
(alpha^2 + sigma^2 = 1 holds for VP) it is no mistake there.
"""

from __future__ import annotations

import numpy as np

from refscore.conformance.mistakes._registry import Undefined, mistake
from refscore.conformance.spec import column
from refscore.processes import VE


def rate(self, t):
    """f(x, t)/x."""
    return self.process.drift(np.ones((np.size(t), 1)), t)[:, 0]


def _previous(self, t, step):
    """The index before or after, where the process has indices, within its ends."""
    if not hasattr(self.process, "betas"):
        raise Undefined("times have no neighbours")
    return np.clip(np.asarray(t) + step, 0, len(self.process))


@mistake("alpha", wrong="alpha^2", right="alpha", seen="alpha-bar without its root")
def alpha_squared(self, t):
    return self.process.alpha(t) ** 2


@mistake("alpha", wrong="sqrt(alpha)", right="alpha", seen="rooted twice, or exp(-B/4) for exp(-B/2)")
def alpha_rooted(self, t):
    return np.sqrt(self.process.alpha(t))


@mistake("alpha", wrong="1/alpha", right="alpha", seen="sign in exp(-B/2)")
def alpha_inverted(self, t):
    return 1 / self.process.alpha(t)


@mistake("alpha", wrong="1 - sigma", right="alpha", seen="straight lines assumed")
def alpha_of_straight_lines(self, t):
    return 1 - self.process.sigma(t)


@mistake("alpha", wrong="sqrt(1 - sigma^2)", right="alpha", seen="alpha^2 + sigma^2 = 1 assumed")
def alpha_variance_preserving(self, t):
    return np.sqrt(np.maximum(1 - self.process.sigma(t) ** 2, 0))


@mistake("alpha", wrong="alpha_{i-1}", right="alpha_i", seen="lucidrains#18: alpha-bar shifted by one")
def alpha_one_early(self, t):
    return self.process.alpha(_previous(self, t, -1))


@mistake("alpha", wrong="sqrt(1 - beta_i)", right="sqrt of the product", seen="alpha for alpha-bar: cumprod forgotten")
def alpha_of_one_step(self, t):
    return np.sqrt(1 - self.process.beta(t)) if hasattr(self.process, "betas") else _undefined()


@mistake("alpha", wrong="exp(-B) with B = beta(t) t", right="the integral of beta", seen="beta(t) t for its integral")
def alpha_without_integral(self, t):
    return np.exp(rate(self, t) * t) if not hasattr(self.process, "betas") else _undefined()


def _undefined():
    raise Undefined("the process has no such thing")


@mistake("sigma", wrong="sigma^2", right="sigma", seen="abides#10; stochrare#26: std = variance")
def sigma_is_variance(self, t):
    return self.process.sigma(t) ** 2


@mistake("sigma", wrong="sqrt(sigma)", right="sigma", seen="rooted twice")
def sigma_rooted(self, t):
    return np.sqrt(self.process.sigma(t))


@mistake("sigma", wrong="1 - alpha^2", right="its root", seen="How-Diffusion-Models-Work#1")
def sigma_without_root(self, t):
    return 1 - self.process.alpha(t) ** 2


@mistake("sigma", wrong="1 - alpha", right="sqrt(1 - alpha^2)", seen="straight lines assumed; square forgotten")
def sigma_of_straight_lines(self, t):
    return 1 - self.process.alpha(t)


@mistake("sigma", wrong="sqrt(1 - alpha)", right="sqrt(1 - alpha^2)", seen="alpha for alpha-bar")
def sigma_of_alpha(self, t):
    return np.sqrt(np.maximum(1 - self.process.alpha(t), 0))


@mistake("sigma", wrong="sqrt(1 - alpha^2)", right="sigma", seen="alpha^2 + sigma^2 = 1 assumed, common")
def sigma_variance_preserving(self, t):
    middle = 0.4 * min(float(self.process.t_max), 1.0)
    if hasattr(self.process, "betas") or abs(self.process.alpha(middle) ** 2 + self.process.sigma(middle) ** 2 - 1) < 1e-9:
        _undefined()  # right, but for the digits that are lost where alpha is nearly 1
    return np.sqrt(np.maximum(1 - self.process.alpha(t) ** 2, 0))


@mistake("sigma", wrong="sqrt(sigma(t)^2 - sigma(0)^2)", right="sigma(t)",
         seen="VE that starts at the data, not at sigma_min: its process is VE(sigma_min, sigma_max, start='data')")
def sigma_from_data(self, t):
    if getattr(self.process, "start", "data") == "data":
        _undefined()
    return VE(self.process.sigma_min, self.process.sigma_max, "data").sigma(t)


@mistake("sigma", wrong="sigma/alpha", right="sigma", seen="noise-to-signal ratio for the noise")
def sigma_over_alpha(self, t):
    return self.process.sigma(t) / self.process.alpha(t)


@mistake("sigma", wrong="alpha", right="sigma", seen="sin and cos exchanged")
def sigma_is_alpha(self, t):
    return self.process.alpha(t)


@mistake("sigma", wrong="g", right="sigma", seen="the SDE's coefficient for the marginal's")
def sigma_is_diffusion(self, t):
    return self.process.diffusion(t)


@mistake("sigma", wrong="sigma_{i-1}", right="sigma_i", seen="lucidrains#18: alpha-bar shifted by one")
def sigma_one_early(self, t):
    return self.process.sigma(_previous(self, t, -1))


@mistake("sigma", wrong="sqrt(beta_i)", right="sqrt(1 - product)", seen="one step's noise for all of it")
def sigma_of_one_step(self, t):
    return np.sqrt(self.process.beta(t)) if hasattr(self.process, "betas") else _undefined()


@mistake("sigma", wrong="sqrt(1 - exp(-x)), digits lost near t = 0", right="sqrt(-expm1(-x))", seen="DiffEqNoiseProcess#159")
def sigma_cancels(self, t):
    a, s = self.process.alpha(t), self.process.sigma(t)
    return np.sqrt(np.maximum((a**2 + s**2) - a**2, 0))


@mistake("drift", wrong="-f", right="f", seen="sign, common")
def drift_sign(self, x, t):
    return -self.process.drift(x, t)


@mistake("drift", wrong="2 f", right="f", seen="beta for beta/2, common")
def drift_doubled(self, x, t):
    return 2 * self.process.drift(x, t)


@mistake("drift", wrong="f/2", right="f", seen="beta/4 for beta/2")
def drift_halved(self, x, t):
    return self.process.drift(x, t) / 2


@mistake("drift", wrong="-1/2 g x", right="-1/2 g^2 x", seen="sqrt(beta) for beta")
def drift_rooted(self, x, t):
    return -column(self.process.diffusion(t)) * x / 2


@mistake("drift", wrong="-1/2 g^2 x", right="f", seen="VP's drift for any process")
def drift_variance_preserving(self, x, t):
    return -column(self.process.diffusion(t)) ** 2 * x / 2


@mistake("drift", wrong="0", right="f", seen="VE's drift for any process")
def drift_variance_exploding(self, x, t):
    return np.zeros_like(x)


@mistake("drift", wrong="f without x", right="f(x, t)", seen="the rate for the drift")
def drift_without_state(self, x, t):
    return self.process.drift(np.ones_like(x), t)


@mistake("drift", wrong="at the time of the first row", right="each row at its own time", seen="t[0], common")
def drift_one_time(self, x, t):
    return self.process.drift(x, np.full(len(x), np.ravel(t)[0]))


@mistake("drift", wrong="log alpha of t, times x", right="d log alpha/dt", seen="derivative forgotten")
def drift_not_differentiated(self, x, t):
    return column(np.log(self.process.alpha(t))) * x


@mistake("diffusion", wrong="g^2", right="g", seen="g^2 where g belongs, common")
def diffusion_squared(self, t):
    return self.process.diffusion(t) ** 2


@mistake("diffusion", wrong="sqrt(g)", right="g", seen="rooted twice")
def diffusion_rooted(self, t):
    return np.sqrt(self.process.diffusion(t))


@mistake("diffusion", wrong="sqrt(2) g", right="g", seen="g^2 = 2 beta, Langevin's factor")
def diffusion_times_root_2(self, t):
    return np.sqrt(2) * self.process.diffusion(t)


@mistake("diffusion", wrong="g/sqrt(2)", right="g", seen="g^2 = beta/2: halved with the drift")
def diffusion_over_root_2(self, t):
    return self.process.diffusion(t) / np.sqrt(2)


@mistake("diffusion", wrong="sigma", right="g", seen="the marginal's standard deviation for the SDE's coefficient")
def diffusion_is_sigma(self, t):
    return self.process.sigma(t)


@mistake("diffusion", wrong="sqrt(d sigma^2/dt)", right="sqrt(d sigma^2/dt - 2 sigma^2 d log alpha/dt)",
         seen="VE's formula for any process")
def diffusion_variance_exploding(self, t):
    g, s = self.process.diffusion(t), self.process.sigma(t)
    return np.sqrt(np.maximum(g**2 + 2 * s**2 * rate(self, t), 0))


@mistake("diffusion", wrong="sqrt(-2 d log alpha/dt)", right="sqrt(d sigma^2/dt - 2 sigma^2 d log alpha/dt)",
         seen="VP's formula for any process")
def diffusion_variance_preserving(self, t):
    return np.sqrt(-2 * rate(self, t))


@mistake("diffusion", wrong="d sigma/dt", right="g", seen="derivative of the standard deviation")
def diffusion_is_slope(self, t):
    g, s = self.process.diffusion(t), self.process.sigma(t)
    return g**2 / (2 * s) + s * rate(self, t)
