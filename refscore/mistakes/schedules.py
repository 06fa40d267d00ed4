"""Mistakes in schedules of noise: cosine, any beta, sub-VP, VE, paths (systems E3); each is right for every other process."""

from __future__ import annotations

import math

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.processes import VE, VP, Path, SubVP, VPCosine, VPSchedule


def _angle(process, t, s):
    return np.pi / 2 * (np.asarray(t) + s) / (1 + s)


@mistake("alpha", wrong="alpha-bar = cos", right="alpha-bar = cos^2", seen="pml2-book#489")
def vp_cosine_not_squared(process, t):
    return np.sqrt(process.alpha(t)) if isinstance(process, VPCosine) else process.alpha(t)


@mistake("alpha", wrong="s = 0.08", right="s = 0.008", seen="pml2-book#489")
def vp_cosine_offset_tenfold(process, t):
    return VPCosine(10 * process.s).alpha(t) if isinstance(process, VPCosine) else process.alpha(t)


@mistake("alpha", wrong="f(t)", right="f(t)/f(0)", seen="the published f read as alpha-bar: alpha_0 is not 1")
def vp_cosine_not_normalised(process, t):
    return np.cos(_angle(process, t, process.s)) if isinstance(process, VPCosine) else process.alpha(t)


@mistake("alpha", wrong="cos(pi/2 (t + s))", right="cos(pi/2 (t + s)/(1 + s))", seen="offset added, period kept: alpha_1 < 0")
def vp_cosine_offset_outside_the_period(process, t):
    if not isinstance(process, VPCosine):
        return process.alpha(t)
    return np.cos(np.pi / 2 * (np.asarray(t) + process.s)) / np.cos(np.pi / 2 * process.s)


@mistake("diffusion", wrong="g^2 = 1 - alpha-bar_t/alpha-bar_{t-h}, h = 1/1000", right="g^2 = beta(t)",
         seen="the chain's beta, a step's and not a rate, in the SDE")
def vp_cosine_beta_as_in_the_chain(process, t):
    if not isinstance(process, VPCosine):
        return process.diffusion(t)
    before = np.maximum(np.asarray(t) - 1e-3, 0)
    return np.sqrt(process.transition(before, t)[1])


@mistake("alpha", wrong="B_t = t (beta(0) + beta(t))/2", right="B_t = int_0^t beta", seen="the formula of linear beta used for any")
def alpha_clock_by_trapezoid(process, t):
    if not hasattr(process, "beta"):
        return process.alpha(t)
    t = np.asarray(t)
    return np.exp(-t * (process.beta(np.full_like(t, 1e-12)) + process.beta(t)) / 4)


@mistake("alpha", wrong="exp(-1/2 sum beta(t_i) dt) over 1000 steps, from the left", right="exp(-1/2 int_0^t beta)",
         seen="the clock of DDPM's chain taken for the process's")
def alpha_clock_by_left_rectangle(process, t):
    if not isinstance(process, VPSchedule):
        return process.alpha(t)
    edges = np.multiply.outer(np.asarray(t, dtype=float), (np.arange(1000) + 1e-9) / 1000)
    return np.exp(-0.5 * np.asarray(t) * process.schedule(edges.ravel()).reshape(edges.shape).mean(axis=-1))


@mistake("sigma", wrong="B_t = t beta(t/2)", right="B_t = int_0^t beta", seen="the formula of linear beta used for any")
def sigma_clock_by_midpoint(process, t):
    if not hasattr(process, "beta") or isinstance(process, SubVP):
        return process.sigma(t)
    t = np.asarray(t)
    return np.sqrt(-np.expm1(-t * process.beta(t / 2)))


@mistake("sigma", wrong="sqrt(1 - e^{-B})", right="1 - e^{-B}", seen="VP's sigma; the paper prints a variance: [1 - e^{-B}]^2 I")
def subvp_sigma_of_vp(process, t):
    return np.sqrt(process.sigma(t)) if isinstance(process, SubVP) else process.sigma(t)


@mistake("diffusion", wrong="sqrt(beta)", right="sqrt(beta (1 - e^{-2B}))", seen="VP's g with sub-VP's sigma")
def subvp_diffusion_of_vp(process, t):
    return np.sqrt(process.beta(t)) if isinstance(process, SubVP) else process.diffusion(t)


@mistake("diffusion", wrong="sqrt(beta (1 - e^{-B}))", right="sqrt(beta (1 - e^{-2B}))", seen="the exponent of the mean")
def subvp_diffusion_with_one_clock(process, t):
    return np.sqrt(process.beta(t) * process.sigma(t)) if isinstance(process, SubVP) else process.diffusion(t)


@mistake("transition", wrong="1 - e^{-h}", right="(1 - e^{-h}) (1 - e^{-B_s - B_t})", seen="VP's variance of a step")
def subvp_transition_of_vp(process, s, t):
    alpha, variance = process.transition(s, t)
    return alpha, (1 - alpha**2 if isinstance(process, SubVP) else variance)


@mistake("transition", wrong="(1 - e^{-h})^2", right="(1 - e^{-h}) (1 - e^{-B_s - B_t})",
         seen="the law from time 0 taken for one of differences of time")
def subvp_transition_is_stationary(process, s, t):
    alpha, variance = process.transition(s, t)
    return alpha, ((1 - alpha**2) ** 2 if isinstance(process, SubVP) else variance)


@mistake("exponential_step", wrong="2 (e^{h/2} - 1)", right="2 (e^{h/2} - 1) less its e^{-2B} part",
         seen="VP's integrator for sub-VP")
def subvp_weight_of_vp(process, t, s):
    a, b, v = process.exponential_step(t, s)
    return a, (VP(process.beta_min, process.beta_max).exponential_step(t, s)[1] if isinstance(process, SubVP) else b), v


def _log_ratio(process):
    return math.log(process.sigma_max / process.sigma_min)


@mistake("diffusion", wrong="sigma(t) sqrt(2)", right="sigma(t) sqrt(2 log(sigma_max/sigma_min))",
         seen="the ladder's ratio forgotten")
def ve_diffusion_without_log_ratio(process, t):
    g = process.diffusion(t)
    return g / math.sqrt(_log_ratio(process)) if isinstance(process, VE) else g


@mistake("diffusion", wrong="sigma(t) sqrt(L)", right="sigma(t) sqrt(2 L)", seen="g^2 = sigma' sigma for (sigma^2)'")
def ve_diffusion_without_two(process, t):
    return process.diffusion(t) / math.sqrt(2) if isinstance(process, VE) else process.diffusion(t)


@mistake("diffusion", wrong="2 L sigma(t)", right="sqrt(2 L) sigma(t)", seen="g^2 = 2 L sigma^2, root taken of sigma^2 only")
def ve_diffusion_factor_outside_the_root(process, t):
    g = process.diffusion(t)
    return math.sqrt(2 * _log_ratio(process)) * g if isinstance(process, VE) else g


@mistake("sigma", wrong="sigma(t) from the data, sqrt(sigma(t)^2 - sigma_min^2) from sigma_min", right="the other way round",
         seen="the SDE started at the data with the kernel as published; they differ by sigma_min^2")
def ve_other_start(process, t):
    if not isinstance(process, VE):
        return process.sigma(t)
    other = "data" if process.start == "sigma_min" else "sigma_min"
    return VE(process.sigma_min, process.sigma_max, other).sigma(t)


@mistake("sigma", wrong="sigma_max (sigma_min/sigma_max)^t", right="sigma_min (sigma_max/sigma_min)^t",
         seen="ladders fall with the index, VE rises with time")
def ve_sigma_backwards(process, t):
    return process.sigma(1 - np.asarray(t)) if isinstance(process, VE) else process.sigma(t)


@mistake("sigma", wrong="sigma_min + t (sigma_max - sigma_min)", right="geometric", seen="linear levels, as of beta in VP")
def ve_sigma_linear(process, t):
    if not isinstance(process, VE):
        return process.sigma(t)
    return process.sigma_min + np.asarray(t) * (process.sigma_max - process.sigma_min)


@mistake("transition", wrong="(sigma_t - sigma_s)^2", right="sigma_t^2 - sigma_s^2", seen="standard deviations subtracted")
def ve_transition_of_differences(process, s, t):
    alpha, variance = process.transition(s, t)
    return alpha, ((process.sigma(t) - process.sigma(s)) ** 2 if isinstance(process, VE) else variance)


def _with_decay(process, t, times):
    """sqrt|(sigma^2)' + times r sigma^2| of a path; the right one has times = 2."""
    if not isinstance(process, Path):
        return process.diffusion(t)
    return np.sqrt(np.abs(process.diffusion(t) ** 2 + (times - 2) * process.rate(t) * process.sigma(t) ** 2))


@mistake("diffusion", wrong="g^2 = (sigma^2)'", right="(sigma^2)' - 2 alpha'/alpha sigma^2", seen="VE's formula for any path")
def path_diffusion_without_decay(process, t):
    return _with_decay(process, t, 0)


@mistake("diffusion", wrong="(sigma^2)' + 2 alpha'/alpha sigma^2", right="(sigma^2)' - 2 alpha'/alpha sigma^2", seen="sign, common")
def path_diffusion_sign(process, t):
    return _with_decay(process, t, -2)


@mistake("diffusion", wrong="(sigma^2)' - alpha'/alpha sigma^2", right="(sigma^2)' - 2 alpha'/alpha sigma^2",
         seen="r for 2 r: variances decay twice as fast as means")
def path_diffusion_decay_once(process, t):
    return _with_decay(process, t, 1)


@mistake("diffusion", wrong="g = sigma(t)", right="g^2 = (sigma^2)' - 2 alpha'/alpha sigma^2",
         seen="noise level taken for the diffusion")
def path_diffusion_of_sigma(process, t):
    return process.sigma(t) if isinstance(process, Path) else process.diffusion(t)


@mistake("drift", wrong="alpha' x", right="alpha'/alpha x", seen="velocity of the mean for x_0 = x in place of x_t = x")
def path_rate_is_the_slope(process, x, t):
    drift = process.drift(x, t)
    return drift * np.reshape(process.alpha(t), (-1, 1)) if isinstance(process, Path) else drift
