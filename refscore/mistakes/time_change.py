"""Mistakes in conversions between processes (systems E6)."""

from __future__ import annotations

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.processes import time_change


def _where(process, function, value):
    """The time of ``process`` where an increasing function of it has the value, or the end that is nearer."""
    low, high = np.zeros_like(value), np.full_like(value, min(process.t_max, 30.0))
    for _ in range(60):
        middle = (low + high) / 2
        below = function(middle) < value
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _ratio(process):
    return lambda t: process.sigma(t) / np.maximum(process.alpha(t), 1e-300)


@mistake("time_change", wrong="sigma_u/alpha_u = (sigma_t/alpha_t)^2", right="sigma_u/alpha_u = sigma_t/alpha_t",
         seen="SNR = alpha^2/sigma^2 on one side, alpha/sigma on the other")
def time_change_of_squares(source, target, t):
    u = _where(target, _ratio(target), _ratio(source)(t) ** 2)
    return u, source.sigma(t) / target.sigma(u)


@mistake("time_change", wrong="sigma_u = sigma_t", right="sigma_u/alpha_u = sigma_t/alpha_t",
         seen="noise levels matched, as between two VE processes, where alpha differs")
def time_change_by_sigma(source, target, t):
    return _where(target, target.sigma, source.sigma(t)), np.ones_like(np.asarray(t, dtype=float))


@mistake("time_change", wrong="alpha_u = alpha_t", right="sigma_u/alpha_u = sigma_t/alpha_t",
         seen="right between two VP schedules only")
def time_change_by_alpha(source, target, t):
    u = _where(target, lambda s: -target.alpha(s), -source.alpha(t))
    return u, np.ones_like(u)


@mistake("time_change", wrong="u = t", right="sigma_u/alpha_u = sigma_t/alpha_t",
         seen="a model called with the other process's time")
def time_change_same_time(source, target, t):
    u = np.minimum(np.asarray(t, dtype=float), target.t_max * 0.999)
    return u, source.alpha(t) / target.alpha(u)


@mistake("time_change", wrong="1/c", right="c", seen="x_u = c x_t for x_t = c x_u")
def time_change_scale_inverted(source, target, t):
    u, scale = time_change(source, target, t)
    return u, 1 / scale


@mistake("time_change", wrong="alpha^A_t/alpha^B_t", right="alpha^A_t/alpha^B_u", seen="scales taken at one time")
def time_change_scale_at_one_time(source, target, t):
    u, _ = time_change(source, target, t)
    return u, source.alpha(t) / target.alpha(np.minimum(t, target.t_max * 0.999))


@mistake("time_change", wrong="c = 1", right="c = alpha_t/alpha_u", seen="right between variance-preserving processes only")
def time_change_without_scale(source, target, t):
    u, scale = time_change(source, target, t)
    return u, np.ones_like(scale)


@mistake("time_change", wrong="sigma_t^2/sigma_u^2", right="sigma_t/sigma_u", seen="variances for standard deviations")
def time_change_scale_of_sigma_squared(source, target, t):
    u, scale = time_change(source, target, t)
    return u, scale**2


def _carried(score, source, target, rule):
    def carried(x, t):
        u, scale = time_change(source, target, t)
        return rule(score, x, t, u, scale[:, None] if np.ndim(scale) else scale)

    return carried


@mistake("ConvertedScore", wrong="s(x, u)/c", right="s(x/c, u)/c", seen="time converted, input not")
def converted_score_point_unscaled(score, source, target):
    return _carried(score, source, target, lambda s, x, t, u, c: s(x, u) / c)


@mistake("ConvertedScore", wrong="s(x/c, u)", right="s(x/c, u)/c", seen="the rule of eps used for scores")
def converted_score_unscaled(score, source, target):
    return _carried(score, source, target, lambda s, x, t, u, c: s(x / c, u))


@mistake("ConvertedScore", wrong="c s(c x, u)", right="s(x/c, u)/c", seen="scale of the other direction")
def converted_score_scale_inverted(score, source, target):
    return _carried(score, source, target, lambda s, x, t, u, c: s(x * c, u) * c)


@mistake("ConvertedScore", wrong="s(x/c, t)/c", right="s(x/c, u)/c", seen="input scaled, time not converted")
def converted_score_at_its_own_time(score, source, target):
    return _carried(score, source, target, lambda s, x, t, u, c: s(x / c, np.minimum(t, target.t_max * 0.999)) / c)


@mistake("ConvertedScore", wrong="s(x/c, u)/c^2", right="s(x/c, u)/c", seen="a score taken for a second derivative")
def converted_score_squared_scale(score, source, target):
    return _carried(score, source, target, lambda s, x, t, u, c: s(x / c, u) / c**2)
