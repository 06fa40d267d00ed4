"""Mistakes in DDIM (systems F4)."""

from __future__ import annotations

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.mistakes.ddpm import changed
from refscore.processes import DDPM
from refscore.samplers import ddim


def _steps(process, indices):
    """(t, s, alpha_ts, V, sigma_t, sigma_s)."""
    indices = np.arange(len(process), -1, -1) if indices is None else np.asarray(indices)
    t, s = indices[:-1], indices[1:]
    return t, s, *process.transition(s, t), process.sigma(t), process.sigma(s)


def _with_direction(process, eps_model, indices, eta, kept, v=None, **options):
    """The chain whose weight of eps is ``kept`` in place of sqrt(sigma_s^2 - v)."""
    chain = ddim(process, eps_model, indices, eta, **options)
    _, _, shrink, _, before, _ = _steps(process, indices)
    return changed(chain, b=before * (before / shrink - kept), v=chain.v if v is None else v)


def _kept(process, indices, v):
    return np.sqrt(np.maximum(_steps(process, indices)[5] ** 2 - v, 0))


@mistake("ddim", wrong="v = eta (..)", right="v = eta^2 (..)", seen="sigma^2 and eta mixed up; equal at 0 and 1")
def ddim_eta_not_squared(process, eps_model, indices=None, eta=0.0, **options):
    return ddim(process, eps_model, indices, np.sqrt(eta), **options)


@mistake("ddim", wrong="eta^2 (1 - alpha-bar_t)", right="eta^2 (1 - ab_s)/(1 - ab_t) (1 - ab_t/ab_s)", seen="CoursIA#16158")
def ddim_variance_without_ratio(process, eps_model, indices=None, eta=0.0, **options):
    _, _, _, _, before, _ = _steps(process, indices)
    v = (eta * before) ** 2
    return _with_direction(process, eps_model, indices, eta, _kept(process, indices, v), v, **options)


@mistake("ddim", wrong="sqrt(1 - alpha-bar_s) eps", right="sqrt(1 - alpha-bar_s - v) eps",
         seen="the direction of eta = 0 with noise added")
def ddim_direction_keeps_all_noise(process, eps_model, indices=None, eta=0.0, **options):
    return _with_direction(process, eps_model, indices, eta, _steps(process, indices)[5], **options)


@mistake("ddim", wrong="(1 - alpha-bar_s - v) eps", right="its root", seen="root forgotten, common")
def ddim_direction_without_root(process, eps_model, indices=None, eta=0.0, **options):
    v = ddim(process, eps_model, indices, eta, **options).v
    return _with_direction(process, eps_model, indices, eta, _kept(process, indices, v) ** 2, **options)


@mistake("ddim", wrong="alpha-bar_{t-1}", right="alpha-bar_s, s the next index of the subsequence",
         seen="steps of the full grid taken on a subsequence")
def ddim_consecutive_indices(process, eps_model, indices=None, eta=0.0, **options):
    if not isinstance(process, DDPM) or indices is None:
        return ddim(process, eps_model, indices, eta, **options)
    parts = [ddim(process, eps_model, [t, t - 1], eta, **options) for t in np.asarray(indices, dtype=int)[:-1]]
    return changed(parts[0], **{name: np.concatenate([getattr(p, name) for p in parts]) for name in ("times", "a", "b", "v")})


@mistake("ddim", wrong="noise of std v", right="of variance v", seen="std = variance, common")
def ddim_std_is_variance(process, eps_model, indices=None, eta=0.0, **options):
    chain = ddim(process, eps_model, indices, eta, **options)
    return changed(chain, v=chain.v**2)


@mistake("ddim", wrong="x0-hat", right="sqrt(alpha-bar_s) x0-hat", seen="factor forgotten; equal in the last step")
def ddim_x0_not_scaled(process, eps_model, indices=None, eta=0.0, **options):
    chain = ddim(process, eps_model, indices, eta, **options)
    _, s, shrink, _, before, _ = _steps(process, indices)
    grown, kept = 1 / process.alpha(s), before / shrink - chain.b / before
    return changed(chain, a=chain.a * grown, b=before * (before / shrink * grown - kept))


@mistake("ddim", wrong="x + sigma eps", right="x - sigma eps", seen="sign of the score")
def ddim_noise_sign(process, eps_model, indices=None, eta=0.0, **options):
    chain = ddim(process, eps_model, indices, eta, **options)
    return changed(chain, b=-chain.b)


@mistake("ddim", wrong="eps(x_t, s)", right="eps(x_t, t)", seen="t - 1 for t, common")
def ddim_score_at_next_index(process, eps_model, indices=None, eta=0.0, **options):
    chain = ddim(process, eps_model, indices, eta, **options)
    ends = _steps(process, indices)[1]
    return changed(chain, times=np.where(ends > 0, ends, chain.times))


@mistake("ddim", wrong="eta taken for 0", right="eta", seen="an argument that is not handed on")
def ddim_eta_ignored(process, eps_model, indices=None, eta=0.0, **options):
    return ddim(process, eps_model, indices, 0.0, **options)


@mistake("ddim", wrong="sqrt(1 - alpha-bar_t - v) eps", right="sqrt(1 - alpha-bar_s - v) eps",
         seen="noise level of the start where that of the end belongs")
def ddim_direction_at_start(process, eps_model, indices=None, eta=0.0, **options):
    chain = ddim(process, eps_model, indices, eta, **options)
    before = _steps(process, indices)[4]
    return _with_direction(process, eps_model, indices, eta, np.sqrt(before**2 - chain.v), **options)
