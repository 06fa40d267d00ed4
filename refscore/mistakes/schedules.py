"""Mistakes about schedules, sub-VP, VE, paths given by their scales, and the change from one process to another."""

from __future__ import annotations

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.processes import VE, ConvertedScore, Path, SubVP, VPCosine, VPSchedule, time_change


@mistake("alpha", wrong="offset s = 0.08", right="s = 0.008", seen="pml2-book#489")
def cosine_offset_ten_times(process, t):
    return VPCosine(10 * process.s).alpha(t) if isinstance(process, VPCosine) else process.alpha(t)


@mistake("alpha", wrong="exp(-1/2 sum beta(t_i) dt) over 1000 steps, from the left", right="exp(-1/2 int_0^t beta)",
         seen="the clock of DDPM's chain taken for the process's")
def schedule_by_left_rectangle(process, t):
    if not isinstance(process, VPSchedule):
        return process.alpha(t)
    edges = np.multiply.outer(np.asarray(t, dtype=float), (np.arange(1000) + 1e-9) / 1000)
    return np.exp(-0.5 * np.asarray(t) * process.schedule(edges.ravel()).reshape(edges.shape).mean(axis=-1))


@mistake("sigma", wrong="sqrt(1 - e^{-B})", right="1 - e^{-B}", seen="VP's standard deviation used for sub-VP")
def sub_vp_std_of_vp(process, t):
    return np.sqrt(process.sigma(t)) if isinstance(process, SubVP) else process.sigma(t)


@mistake("diffusion", wrong="sqrt(beta)", right="sqrt(beta (1 - e^{-2B}))", seen="VP's diffusion used for sub-VP")
def sub_vp_diffusion_of_vp(process, t):
    return np.sqrt(process.beta(t)) if isinstance(process, SubVP) else process.diffusion(t)


@mistake("diffusion", wrong="sqrt(beta (1 - e^{-B}))", right="sqrt(beta (1 - e^{-2B}))", seen="alpha^2 for alpha^4")
def sub_vp_diffusion_exponent_halved(process, t):
    return np.sqrt(process.beta(t) * process.sigma(t)) if isinstance(process, SubVP) else process.diffusion(t)


@mistake("sigma", wrong="sigma(t) where it starts from the data, and vice versa", right="sqrt(sigma(t)^2 - sigma_min^2)",
         seen="the kernel of VE that is published starts from sigma_min; libraries mix both")
def ve_start_confused(process, t):
    if not isinstance(process, VE):
        return process.sigma(t)
    return VE(process.sigma_min, process.sigma_max, "data" if process.start == "sigma_min" else "sigma_min").sigma(t)


@mistake("diffusion", wrong="sigma(t)", right="sigma(t) sqrt(2 log(sigma_max/sigma_min))", seen="g taken for sigma, common")
def ve_diffusion_is_sigma(process, t):
    return process.sigma_min ** (1 - t) * process.sigma_max**t if isinstance(process, VE) else process.diffusion(t)


@mistake("sigma", wrong="sigma_min + t (sigma_max - sigma_min)", right="sigma_min (sigma_max/sigma_min)^t",
         seen="linear where the ladder is geometric")
def ve_linear_ladder(process, t):
    if not isinstance(process, VE):
        return process.sigma(t)
    return process.sigma_min + np.asarray(t) * (process.sigma_max - process.sigma_min)


@mistake("diffusion", wrong="g^2 = (sigma^2)'", right="g^2 = (sigma^2)' + 2 r sigma^2", seen="VE's formula used beside a drift")
def path_diffusion_without_drift(process, t):
    g2 = process.diffusion(t) ** 2
    return np.sqrt(np.abs(g2 - 2 * process.rate(t) * process.variance(t))) if isinstance(process, Path) else np.sqrt(g2)


@mistake("diffusion", wrong="g^2 = (sigma^2)' - 2 r sigma^2", right="g^2 = (sigma^2)' + 2 r sigma^2", seen="sign of alpha'/alpha")
def path_diffusion_sign(process, t):
    g2 = process.diffusion(t) ** 2
    return np.sqrt(np.abs(g2 - 4 * process.rate(t) * process.variance(t))) if isinstance(process, Path) else np.sqrt(g2)


@mistake("diffusion", wrong="g = sigma(t)", right="g^2 = alpha^2 (sigma^2/alpha^2)'", seen="flow matching with noise sigma")
def path_diffusion_of_sigma(process, t):
    return process.sigma(t) if isinstance(process, Path) else process.diffusion(t)


def _matched(source, target, t, ratio):
    """time_change with another quantity equal: by bisection, as there."""
    wanted = ratio(source, t)
    low, high = np.zeros_like(wanted), np.full_like(wanted, min(target.t_max, 1.0) * (1 - 1e-12))
    for _ in range(80):
        middle = (low + high) / 2
        below = ratio(target, middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high, source.alpha(t) / target.alpha(high)


@mistake("time_change", wrong="sigma equal", right="sigma/alpha equal", seen="noise levels matched without the signal's scale")
def time_change_by_sigma(source, target, t):
    return _matched(source, target, np.asarray(t), lambda p, u: p.sigma(u))


@mistake("time_change", wrong="sigma^2/alpha equal", right="sigma/alpha equal", seen="signal-to-noise ratio with one square")
def time_change_by_snr_of_variance(source, target, t):
    return _matched(source, target, np.asarray(t), lambda p, u: p.sigma(u) ** 2 / p.alpha(u))


@mistake("time_change", wrong="c = alpha_B/alpha_A", right="c = alpha_A/alpha_B", seen="scale the wrong way round")
def time_change_scale_inverted(source, target, t):
    u, c = time_change(source, target, t)
    return u, 1 / c


@mistake("time_change", wrong="c = 1", right="c = alpha_A/alpha_B", seen="time changed, scale forgotten")
def time_change_scale_of_sigma_zero(source, target, t):
    u, c = time_change(source, target, t)
    return u, np.ones_like(c)


@mistake("time_change", wrong="u = t", right="u with sigma/alpha equal",
         seen="a network trained along one process and sampled along another")
def time_change_same_time(source, target, t):
    u = np.minimum(t, target.t_max)
    return u, source.alpha(t) / target.alpha(u)


@mistake("ConvertedScore", wrong="s(x/c, u)", right="s(x/c, u)/c", seen="chain rule forgotten")
def converted_score_not_divided(score, source, target):
    right = ConvertedScore(score, source, target)
    return lambda x, t: right(x, t) * time_change(source, target, t)[1]


@mistake("ConvertedScore", wrong="s(x, u)/c", right="s(x/c, u)/c", seen="points not rescaled")
def converted_score_at_x(score, source, target):
    def wrong(x, t):
        u, c = time_change(source, target, t)
        return score(x, u) / c

    return wrong


@mistake("ConvertedScore", wrong="s(x/c, u)/c^2", right="s(x/c, u)/c", seen="the Jacobian's factor used for the score")
def converted_score_squared_scale(score, source, target):
    right = ConvertedScore(score, source, target)
    return lambda x, t: right(x, t) / time_change(source, target, t)[1]
