"""Mistakes in DDPM's chain, its posteriors and schedules, and in ancestral sampling (systems E4, F4)."""

from __future__ import annotations

import numpy as np

from refscore import processes
from refscore.mistakes._registry import mistake
from refscore.samplers import Chain, ddpm


def _bar(process, i):
    return process.alpha(i) ** 2


def _is_chain(process):
    return isinstance(process, processes.DDPM)


def _before(index):
    return np.maximum(np.asarray(index) - 1, 0)


@mistake("alpha", wrong="sqrt(alpha-bar_{i-1})", right="sqrt(alpha-bar_i)", seen="lucidrains#18: alpha-bar shifted by one")
def ddpm_alpha_shifted(process, t):
    return process.alpha(_before(t)) if _is_chain(process) else process.alpha(t)


@mistake("alpha", wrong="alpha-bar_i", right="sqrt(alpha-bar_i)", seen="the papers' alpha-bar used as the signal's scale")
def ddpm_alpha_bar_without_root(process, t):
    return process.alpha(t) ** 2 if _is_chain(process) else process.alpha(t)


@mistake("alpha", wrong="exp(-sum beta/2)", right="prod sqrt(1 - beta)", seen="cumsum for cumprod: the limit of small steps")
def ddpm_alpha_sum_for_product(process, t):
    if not _is_chain(process):
        return process.alpha(t)
    return np.exp(-np.append(0.0, np.cumsum(process.betas))[np.asarray(t, dtype=int)] / 2)


@mistake("alpha", wrong="cumprod in float32", right="in float64", seen="diffusers#3005")
def ddpm_alpha_float32(process, t):
    if not _is_chain(process):
        return process.alpha(t)
    bars = np.append(np.float32(1), np.cumprod(1 - process.betas.astype(np.float32)))
    return np.sqrt(bars[np.asarray(t, dtype=int)].astype(np.float64))


@mistake("alpha", wrong="sqrt(1 - beta_i)", right="sqrt(alpha-bar_i)", seen="alpha for alpha-bar, common")
def ddpm_alpha_of_one_step(process, t):
    if not _is_chain(process):
        return process.alpha(t)
    return np.sqrt(1 - np.append(0.0, process.betas)[np.asarray(t, dtype=int)])


@mistake("sigma", wrong="sqrt(1 - alpha-bar_{i-1})", right="sqrt(1 - alpha-bar_i)", seen="lucidrains#18: alpha-bar shifted by one")
def ddpm_sigma_shifted(process, t):
    return process.sigma(_before(t)) if _is_chain(process) else process.sigma(t)


@mistake("sigma", wrong="1 - alpha-bar_i", right="sqrt(1 - alpha-bar_i)", seen="How-Diffusion-Models-Work#1")
def ddpm_sigma_is_variance(process, t):
    return process.variance(t) if _is_chain(process) else process.sigma(t)


@mistake("sigma", wrong="sqrt(1 - sqrt(alpha-bar_i))", right="sqrt(1 - alpha-bar_i)", seen="the signal's scale taken for alpha-bar")
def ddpm_sigma_of_root(process, t):
    return np.sqrt(1 - process.alpha(t)) if _is_chain(process) else process.sigma(t)


@mistake("sigma", wrong="sqrt(1 - cumprod(1 - beta))", right="sqrt(-expm1(sum log1p(-beta)))",
         seen="DiffEqNoiseProcess#159: 1 - exp(-x); beta below eps is lost")
def ddpm_sigma_by_cancellation(process, t):
    if not _is_chain(process):
        return process.sigma(t)
    return np.sqrt(1 - np.append(1.0, np.cumprod(1 - process.betas)))[np.asarray(t, dtype=int)]


def _moments(process, index, previous):
    """Indices, alpha-bars at both, and the step between them."""
    previous = np.asarray(index) - 1 if previous is None else np.asarray(previous)
    return previous, _bar(process, previous), _bar(process, index), *process.transition(previous, index)


def _rows(weight):
    return np.reshape(weight, (-1, 1))


@mistake("posterior", wrong="beta (1 - alpha-bar_{i-1})", right="beta (1 - alpha-bar_{i-1})/(1 - alpha-bar_i)",
         seen="varun-ml/diffusion-models-tutorial#1")
def posterior_variance_not_normalised(process, x0, xt, index, previous=None):
    mean, variance = process.posterior(x0, xt, index, previous)
    return mean, variance * process.variance(index)


@mistake("posterior", wrong="beta", right="beta~", seen="the sampler's upper choice taken for the posterior")
def posterior_variance_is_beta(process, x0, xt, index, previous=None):
    mean, variance = process.posterior(x0, xt, index, previous)
    return mean, variance * 0 + _moments(process, index, previous)[-1]


@mistake("posterior", wrong="sqrt(beta~)", right="beta~", seen="std = variance, common")
def posterior_std(process, x0, xt, index, previous=None):
    mean, variance = process.posterior(x0, xt, index, previous)
    return mean, np.sqrt(variance)


@mistake("posterior", wrong="weights of x_0 and x_i exchanged", right="beta sqrt(alpha-bar_{i-1}) belongs to x_0",
         seen="posterior_mean_coef1 and coef2 mixed up")
def posterior_weights_swapped(process, x0, xt, index, previous=None):
    return process.posterior(xt, x0, index, previous)


@mistake("posterior", wrong="alpha-bar_{i-1} beta/(1 - alpha-bar_i) x_0", right="with sqrt(alpha-bar_{i-1})",
         seen="root forgotten, common")
def posterior_alpha_bar_without_root(process, x0, xt, index, previous=None):
    previous_index, before, *_ = _moments(process, index, previous)
    return process.posterior(_rows(np.sqrt(before)) * x0, xt, index, previous)


@mistake("posterior", wrong="sqrt(alpha-bar_i) in the weight of x_i", right="sqrt(1 - beta_i)", seen="alpha-bar for alpha, common")
def posterior_alpha_bar_for_alpha(process, x0, xt, index, previous=None):
    _, before, *_ = _moments(process, index, previous)
    return process.posterior(x0, _rows(np.sqrt(before)) * xt, index, previous)


@mistake("posterior", wrong="alpha-bar_i in place of alpha-bar_{i-1}", right="alpha-bar_{i-1}",
         seen="lucidrains#18: alpha-bar shifted by one")
def posterior_shifted(process, x0, xt, index, previous=None):
    _, before, after, a, added = _moments(process, index, previous)
    mean = _rows(np.sqrt(after) * added / (1 - after)) * x0 + _rows(a) * xt
    return mean, np.broadcast_to(added, len(mean))


@mistake("posterior", wrong="q(x_i | x_{i+1}, x_0)", right="q(x_{i-1} | x_i, x_0)", seen="0-based arrays indexed by i")
def posterior_of_next_state(process, x0, xt, index, previous=None):
    later = np.minimum(np.asarray(index) + 1, len(process))
    return process.posterior(x0, xt, later, None if previous is None else np.minimum(np.asarray(previous) + 1, later - 1))


def _cosine(n, s, power=2.0, shift=0.0):
    f = np.cos(np.pi / 2 * ((np.arange(n + 1) + shift) / n + s) / (1 + s)).clip(0) ** power
    return np.clip(1 - f[1:] / f[:-1], 0, 0.999)


@mistake("cosine_betas", wrong="f = cos", right="f = cos^2", seen="pml2-book#489")
def cosine_not_squared(n=1000, s=0.008, beta_max=0.999):
    return _cosine(n, s, power=1.0)


@mistake("cosine_betas", wrong="s = 0.08", right="s = 0.008", seen="pml2-book#489")
def cosine_offset_tenfold(n=1000, s=0.008, beta_max=0.999):
    return _cosine(n, 10 * s)


@mistake("cosine_betas", wrong="f(i+1)/f(i)", right="f(i)/f(i-1)", seen="0-based index in a 1-based formula")
def cosine_shifted(n=1000, s=0.008, beta_max=0.999):
    return _cosine(n, s, shift=1.0)


@mistake("linear_betas", wrong="steps of (beta_max - beta_min)/N", right="/(N - 1), both ends included",
         seen="arange for linspace, common")
def linear_without_its_end(n=1000, beta_min=1e-4, beta_max=0.02):
    return np.linspace(beta_min, beta_max, n, endpoint=False)


@mistake("linear_betas", wrong="linear in sqrt(beta)", right="linear in beta", seen="'scaled_linear' and 'linear' mixed up")
def linear_of_roots(n=1000, beta_min=1e-4, beta_max=0.02):
    return processes.quadratic_betas(n, beta_min, beta_max)


@mistake("quadratic_betas", wrong="linear in beta", right="linear in sqrt(beta)", seen="'linear' and 'scaled_linear' mixed up")
def quadratic_not_squared(n=1000, beta_min=1e-4, beta_max=0.02):
    return processes.linear_betas(n, beta_min, beta_max)


def changed(chain, **numbers):
    return Chain(**{name: numbers.get(name, getattr(chain, name)) for name in ("score", "times", "a", "b", "v")})


def _sigmas(process, chain):
    return process.sigma(chain.times)


@mistake("ddpm", wrong="noise in the last step", right="none from x_1 to x_0", seen="lucidrains#81")
def ddpm_noise_in_last_step(process, eps_model, variance="beta", **options):
    chain = ddpm(process, eps_model, variance, **options)
    return changed(chain, v=np.append(chain.v[:-1], process.beta(1)))


@mistake("ddpm", wrong="beta (1 - alpha-bar_{i-1})", right="beta (1 - alpha-bar_{i-1})/(1 - alpha-bar_i)",
         seen="varun-ml/diffusion-models-tutorial#1")
def ddpm_variance_not_normalised(process, eps_model, variance="beta", **options):
    chain = ddpm(process, eps_model, variance, **options)
    return chain if variance == "beta" else changed(chain, v=chain.v * _sigmas(process, chain) ** 2)


@mistake("ddpm", wrong="noise of std v", right="of variance v", seen="std = variance, common")
def ddpm_std_is_variance(process, eps_model, variance="beta", **options):
    chain = ddpm(process, eps_model, variance, **options)
    return changed(chain, v=chain.v**2)


@mistake("ddpm", wrong="beta~ for beta and the converse", right="as named", seen="'fixed_small' and 'fixed_large' mixed up")
def ddpm_variances_swapped(process, eps_model, variance="beta", **options):
    return ddpm(process, eps_model, "beta" if variance == "beta_tilde" else "beta_tilde", **options)


@mistake("ddpm", wrong="beta/(1 - alpha-bar) eps", right="beta/sqrt(1 - alpha-bar) eps", seen="root forgotten, common")
def ddpm_noise_weight_without_root(process, eps_model, variance="beta", **options):
    chain = ddpm(process, eps_model, variance, **options)
    return changed(chain, b=chain.b / _sigmas(process, chain))


@mistake("ddpm", wrong="x - beta/sqrt(1 - alpha-bar) eps", right="divided by sqrt(1 - beta)", seen="factor forgotten, common")
def ddpm_without_growth(process, eps_model, variance="beta", **options):
    chain = ddpm(process, eps_model, variance, **options)
    return changed(chain, a=np.ones_like(chain.a), b=chain.b / chain.a)


@mistake("ddpm", wrong="divided by 1 - beta", right="by sqrt(1 - beta)", seen="the papers' alpha_t without its root")
def ddpm_growth_without_root(process, eps_model, variance="beta", **options):
    chain = ddpm(process, eps_model, variance, **options)
    return changed(chain, a=chain.a**2, b=chain.b * chain.a)


@mistake("ddpm", wrong="eps(x_i, i - 1)", right="eps(x_i, i)", seen="0-based index handed to a model trained on 1..N")
def ddpm_score_at_next_index(process, eps_model, variance="beta", **options):
    chain = ddpm(process, eps_model, variance, **options)
    return changed(chain, times=np.maximum(chain.times - 1, 1))


@mistake("ddpm", wrong="from x_N to x_1", right="to x_0", seen="range(N - 1, 0, -1)")
def ddpm_one_step_short(process, eps_model, variance="beta", **options):
    return ddpm(process, eps_model, variance, **options)[:-1]


@mistake("ddpm", wrong="i = 1, ..., N", right="i = N, ..., 1", seen="reversed() forgotten")
def ddpm_indices_reversed(process, eps_model, variance="beta", **options):
    chain = ddpm(process, eps_model, variance, **options)
    return changed(chain, times=chain.times[::-1], a=chain.a[::-1], b=chain.b[::-1])


@mistake("ddpm", wrong="x + beta/sqrt(1 - alpha-bar) eps", right="x - beta/sqrt(1 - alpha-bar) eps", seen="sign of the score")
def ddpm_noise_sign(process, eps_model, variance="beta", **options):
    chain = ddpm(process, eps_model, variance, **options)
    return changed(chain, b=-chain.b)
