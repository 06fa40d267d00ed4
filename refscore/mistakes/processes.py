"""Mistakes in processes: alpha, sigma, transition, drift and diffusion (systems E1-E3).

Written for any linear SDE dX = -r X dt + g dW by way of its own r, g, alpha and sigma, so that OU and VP share them.
"""

from __future__ import annotations

import numpy as np

from refscore.mistakes._registry import mistake


@mistake("sigma", wrong="sigma_t^2", right="sigma_t", seen="stochrare#26; abides#10: std = variance in the OU step")
def sigma_is_variance(process, t):
    return process.sigma(t) ** 2


@mistake("sigma", wrong="sigma^2/beta (1 - e^{-2 beta t})", right="sigma^2/(2 beta) (1 - e^{-2 beta t})",
         seen="g^2 and 2 beta mixed up")
def sigma_without_half(process, t):
    return np.sqrt(2) * process.sigma(t)


@mistake("sigma", wrong="1 - exp(-x)", right="-expm1(-x)", seen="DiffEqNoiseProcess#159")
def sigma_by_cancellation(process, t):
    rate = process.rate(t)
    if not np.all(rate):
        return process.sigma(t)
    return np.sqrt(process.diffusion(t) ** 2 / (2 * rate) * (1 - process.alpha(t) ** 2))


@mistake("sigma", wrong="sqrt(1 - alpha)", right="sqrt(1 - alpha^2), times its stationary size", seen="alpha for alpha-bar")
def sigma_alpha_not_squared(process, t):
    alpha = process.alpha(t)
    return process.sigma(t) / np.sqrt(1 + alpha)


@mistake("alpha", wrong="e^{-beta t/2}", right="e^{-beta t}", seen="beta and beta/2 mixed up between OU and VP")
def alpha_rate_halved(process, t):
    return np.sqrt(process.alpha(t))


@mistake("alpha", wrong="e^{-2 beta t} (VP: e^{-B})", right="e^{-beta t} (VP: e^{-B/2})",
         seen="beta and beta/2 mixed up between OU and VP")
def alpha_rate_doubled(process, t):
    return process.alpha(t) ** 2


@mistake("alpha", wrong="alpha^2 + sigma^2 = 1 taken for granted: sqrt(1 - sigma_t^2)", right="e^{-int r}",
         seen="VP formulas used for OU")
def alpha_from_sigma(process, t):
    return np.sqrt(np.abs(1 - process.sigma(t) ** 2))


@mistake("alpha", wrong="e^{-r(t) t}", right="e^{-int_0^t r}", seen="rate not integrated, right for a constant one only")
def alpha_beta_not_integrated(process, t):
    return np.exp(-process.rate(t) * np.asarray(t))


@mistake("drift", wrong="+r x", right="-r x", seen="sign of f, common")
def drift_sign(process, x, t):
    return -process.drift(x, t)


@mistake("drift", wrong="-beta(t) x for VP, -2 beta x for OU", right="-beta(t)/2 x, -beta x",
         seen="beta and beta/2 mixed up, common")
def drift_doubled(process, x, t):
    return 2 * process.drift(x, t)


@mistake("drift", wrong="-r(t_1) x_i", right="-r(t_i) x_i",
         seen="(n, 1) * (n,) broadcasting mended by t[0]; bayesflow#787 is its neighbour")
def drift_first_time_for_all(process, x, t):
    return process.drift(x, np.ravel(t)[0])


@mistake("diffusion", wrong="g^2", right="g", seen="g and g^2 mixed up, common")
def diffusion_is_variance(process, t):
    return process.diffusion(t) ** 2


@mistake("diffusion", wrong="g/sqrt(2)", right="g", seen="beta for 2 beta in the standard OU process")
def diffusion_halved(process, t):
    return process.diffusion(t) / np.sqrt(2)


@mistake("transition", wrong="sigma_t^2", right="V(s, t), from s on", seen="stochrare#26: a step uses the moments from time 0")
def transition_from_time_zero(process, s, t):
    return process.transition(s, t)[0], process.sigma(t) ** 2


@mistake("transition", wrong="alpha_t", right="alpha_t/alpha_s", seen="alpha-bar for alpha, common in DDPM code")
def transition_alpha_from_time_zero(process, s, t):
    return process.alpha(t), process.transition(s, t)[1]


@mistake("transition", wrong="sqrt(V)", right="V", seen="stochrare#26: std = variance")
def transition_std_for_variance(process, s, t):
    alpha, variance = process.transition(s, t)
    return alpha, np.sqrt(variance)


@mistake("transition", wrong="sigma_t^2 - sigma_s^2", right="sigma_t^2 - alpha_ts^2 sigma_s^2",
         seen="variance-exploding formula used for OU and VP")
def transition_variances_subtracted(process, s, t):
    return process.transition(s, t)[0], process.sigma(t) ** 2 - process.sigma(s) ** 2


@mistake("exponential_step", wrong="b/2", right="b = int e^R g^2", seen="weight of the probability flow, which has half the score")
def exponential_step_weight_halved(process, t, s):
    a, b, v = process.exponential_step(t, s)
    return a, b / 2, v


@mistake("exponential_step", wrong="b = int e^{2R} g^2", right="b = int e^R g^2", seen="variance taken for the score's weight")
def exponential_step_weight_is_variance(process, t, s):
    a, _, v = process.exponential_step(t, s)
    return a, v, v


@mistake("exponential_step", wrong="V(s, t)", right="e^{2R} V(s, t)", seen="variance of the forward step; equal without drift")
def exponential_step_forward_variance(process, t, s):
    a, b, v = process.exponential_step(t, s)
    return a, b, v / a**2


@mistake("exponential_step", wrong="sqrt(v)", right="v", seen="stochrare#26: std = variance")
def exponential_step_std_for_variance(process, t, s):
    a, b, v = process.exponential_step(t, s)
    return a, b, np.sqrt(v)


@mistake("exponential_step", wrong="a = e^{-R}", right="a = e^R", seen="alpha of the forward step; equal without drift")
def exponential_step_alpha_forwards(process, t, s):
    a, b, v = process.exponential_step(t, s)
    return 1 / a, b, v
