"""Mistakes in objectives, Tweedie's formulas and parametrisations (systems B)."""

from __future__ import annotations

import numpy as np

from refscore import objectives, processes
from refscore.mistakes._registry import mistake


def _scaled(result, factor):
    """A value, or (value, gradient), times a factor."""
    if isinstance(result, tuple):
        return result[0] * factor, [g * factor for g in result[1]]
    return result * factor


@mistake("esm", wrong="E||s - s_p||^2", right="1/2 E||s - s_p||^2",
         seen="lecture a against b: the half is a convention, not both at once")
def esm_without_half(model, x, true_score, **options):
    return objectives.esm(model, x, true_score, **options | {"half": False})


@mistake("esm", wrong="mean over dimensions", right="sum over dimensions", seen="losses wrong by a factor d in published packages")
def esm_mean_over_dims(model, x, true_score, **options):
    return objectives.esm(model, x, true_score, **options | {"over_dims": "mean"})


@mistake("esm", wrong="sum over the batch", right="mean over the batch", seen="common")
def esm_sum_over_batch(model, x, true_score, **options):
    return _scaled(objectives.esm(model, x, true_score, **options), len(x))


@mistake("esm", wrong="1/2 E||s - s_p||", right="1/2 E||s - s_p||^2", seen="norm taken for its square")
def esm_norm_not_squared(model, x, true_score, **options):
    weights = options.get("sample_weight")
    lengths = np.linalg.norm(model(x) - true_score, axis=1)
    value = 0.5 * float(lengths.mean() if weights is None else weights @ lengths)
    return (value, objectives.esm(model, x, true_score, **options)[1]) if options.get("grad") else value


@mistake("ism", wrong="1/2||s||^2 + 2 tr Ds", right="1/2||s||^2 + tr Ds", seen="common: the factors of the two conventions mixed")
def ism_trace_doubled(model, x, **options):
    return _combined(model, x, 1.0, 2.0, options)


@mistake("ism", wrong="||s||^2 + tr Ds", right="1/2||s||^2 + tr Ds", seen="common: the factors of the two conventions mixed")
def ism_square_without_half(model, x, **options):
    return _combined(model, x, 2.0, 1.0, options)


@mistake("ism", wrong="1/2||s||^2 - tr Ds", right="1/2||s||^2 + tr Ds", seen="sign lost in the integration by parts")
def ism_trace_sign(model, x, **options):
    return _combined(model, x, 1.0, -1.0, options)


@mistake("ism", wrong="1/2||s||^2 + tr Ds / d", right="1/2||s||^2 + tr Ds", seen="mean over dimensions applied to the trace alone")
def ism_trace_over_d(model, x, **options):
    return _combined(model, x, 1.0, 1.0 / np.shape(x)[1], options)


def _combined(model, x, square, trace, options):
    """square 1/2||s||^2 + trace tr Ds, from E[1/2||s||^2 + tr Ds] and 1/2 E||s||^2 (explicit against zero)."""
    both = objectives.ism(model, x, **options)
    squares = objectives.esm(model, x, np.zeros_like(x), **options)
    if isinstance(both, tuple):
        gradient = [trace * b + (square - trace) * s for b, s in zip(both[1], squares[1], strict=True)]
        return trace * both[0] + (square - trace) * squares[0], gradient
    return trace * both + (square - trace) * squares


@mistake("dsm", wrong="target +z/sigma", right="-z/sigma", seen="acids-ircam/diffusion_models#7, #11; lebellig/flow-matching#2")
def dsm_target_sign(model, x0, sigma, noise, **options):
    noise = np.asarray(noise)
    return objectives.dsm(model, x0 + 2 * sigma * noise, sigma, -noise, **options)


@mistake("dsm", wrong="target -z/sigma^2", right="-z/sigma", seen="lecture c, NCSN slide")
def dsm_target_over_sigma_squared(model, x0, sigma, noise, **options):
    return _explicit(model, x0 + sigma * noise, -noise / sigma**2, sigma, options)


@mistake("dsm", wrong="E||s - target||^2", right="1/2 E||s - target||^2", seen="lecture b, against its own ESM")
def dsm_without_half(model, x0, sigma, noise, **options):
    return objectives.dsm(model, x0, sigma, noise, **options | {"half": False})


@mistake("dsm", wrong="mean over dimensions", right="sum over dimensions", seen="losses wrong by a factor d in published packages")
def dsm_mean_over_dims(model, x0, sigma, noise, **options):
    return objectives.dsm(model, x0, sigma, noise, **options | {"over_dims": "mean"})


@mistake("dsm", wrong="x~ = x + sigma^2 z", right="x~ = x + sigma z",
         seen="How-Diffusion-Models-Work#1: variance taken for standard deviation")
def dsm_noise_scaled_by_variance(model, x0, sigma, noise, **options):
    return _explicit(model, x0 + sigma**2 * noise, -noise / sigma, sigma, options)


@mistake("dsm", wrong="grad_x log q(x~|x) = +(x~ - x)/sigma^2", right="grad_x~ log q(x~|x)",
         seen="lecture e, NCSN slide; probml/pml2-book#253")
def dsm_gradient_in_clean_point(model, x0, sigma, noise, **options):
    return _explicit(model, x0 + sigma * noise, noise / sigma, sigma, options)


def _explicit(model, x, target, sigma, options):
    """Explicit score matching to a given target, with the weight that DSM would have used."""
    options = dict(options)
    factor = sigma**2 if options.pop("weight", "one") == "sigma2" else 1.0
    return _scaled(objectives.esm(model, x, target, **options), factor)


class _Changed:
    """A process with some of its functions exchanged."""

    def __init__(self, process, **functions):
        self.process, self.functions = process, functions

    def __getattr__(self, name):
        return self.functions.get(name) or getattr(self.process, name)


@mistake("dsm_process", wrong="x_t = x0 + sigma z", right="x_t = alpha x0 + sigma z",
         seen="variance-exploding corruption in a variance-preserving model")
def dsm_process_alpha_missing(model, process, x0, t, noise, weight="one", **options):
    changed = _Changed(process, alpha=lambda time: np.ones_like(np.asarray(time, dtype=float)))
    return objectives.dsm_process(model, changed, x0, t, noise, weight, **options)


@mistake("dsm_process", wrong="weight 1/sigma^2", right="weight sigma^2",
         seen="lecture d: 1/(2 sigma^2) said to balance the scales")
def dsm_process_weight_inverted(model, process, x0, t, noise, weight="one", **options):
    changed = (lambda time: process.sigma(time) ** -2) if isinstance(weight, str) and weight == "sigma2" else weight
    return objectives.dsm_process(model, process, x0, t, noise, changed, **options)


@mistake("dsm_process", wrong="weight sigma^4", right="weight sigma^2", seen="lecture a, sec. 3: 1/sigma^2 twice in the eps-form")
def dsm_process_weight_fourth_power(model, process, x0, t, noise, weight="one", **options):
    changed = (lambda time: process.sigma(time) ** 4) if isinstance(weight, str) and weight == "sigma2" else weight
    return objectives.dsm_process(model, process, x0, t, noise, changed, **options)


@mistake("conditional_score", wrong="+(x_t - alpha x0)/sigma^2", right="-(x_t - alpha x0)/sigma^2",
         seen="acids-ircam/diffusion_models#7")
def conditional_score_sign(process, xt, x0, t):
    return -process.conditional_score(xt, x0, t)


@mistake("conditional_score", wrong="-(x_t - alpha x0)/sigma", right="-(x_t - alpha x0)/sigma^2",
         seen="lecture c, NCSN slide, the other way round")
def conditional_score_over_sigma(process, xt, x0, t):
    return process.conditional_score(xt, x0, t) * np.reshape(process.sigma(t), (-1, 1))


@mistake("conditional_score", wrong="-(x_t - x0)/sigma^2", right="-(x_t - alpha x0)/sigma^2",
         seen="kernel of the variance-exploding process")
def conditional_score_alpha_missing(process, xt, x0, t):
    return process.conditional_score(xt, np.asarray(x0) / np.reshape(process.alpha(t), (-1, 1)), t)


@mistake("conditional_score", wrong="alpha and sigma at the first time for all", right="at the time of each row",
         seen="a batch of distinct times given to a formula for one")
def conditional_score_first_time_for_all(process, xt, x0, t):
    return process.conditional_score(xt, x0, np.ravel(t)[0])


@mistake("corrupt", wrong="alpha and sigma at the first time for all", right="at the time of each row",
         seen="a batch of distinct times given to a formula for one")
def corrupt_first_time_for_all(process, x0, t, noise):
    return process.corrupt(x0, np.ravel(t)[0], noise)


@mistake("corrupt", wrong="x0 + sigma z", right="alpha x0 + sigma z", seen="variance-exploding formula along a process")
def corrupt_alpha_missing(process, x0, t, noise):
    return process.corrupt(np.asarray(x0) / np.reshape(process.alpha(t), (-1, 1)), t, noise)


@mistake("corrupt", wrong="alpha x0 + sigma^2 z", right="alpha x0 + sigma z", seen="How-Diffusion-Models-Work#1")
def corrupt_variance_for_std(process, x0, t, noise):
    return process.corrupt(x0, t, np.reshape(process.sigma(t), (-1, 1)) * noise)


@mistake("posterior_mean", wrong="E[x0|x_t] = score", right="(x_t + sigma^2 score)/alpha", seen="sony/ctm#1")
def tweedie_score_only(xt, score, alpha, sigma):
    return score


@mistake("posterior_mean", wrong="x_t + sigma score", right="x_t + sigma^2 score", seen="sony/ctm#1")
def tweedie_sigma_not_squared(xt, score, alpha, sigma):
    return processes.posterior_mean(xt, score / sigma, alpha, sigma)


@mistake("posterior_mean", wrong="x_t + sigma^2 score", right="(x_t + sigma^2 score)/alpha",
         seen="formula for alpha = 1 used along a process")
def tweedie_alpha_missing(xt, score, alpha, sigma):
    return alpha * processes.posterior_mean(xt, score, alpha, sigma)


@mistake("posterior_mean", wrong="(x_t - sigma^2 score)/alpha", right="(x_t + sigma^2 score)/alpha",
         seen="neighbour: sign of the eps convention")
def tweedie_sign(xt, score, alpha, sigma):
    return processes.posterior_mean(xt, -score, alpha, sigma)


@mistake("posterior_mean", wrong="alpha and sigma of the first row for all", right="a level a row",
         seen="a batch of distinct times given to a formula for one")
def tweedie_first_level_for_all(xt, score, alpha, sigma):
    return processes.posterior_mean(xt, score, np.ravel(alpha)[0], np.ravel(sigma)[0])


@mistake("posterior_covariance", wrong="alpha and sigma of the first row for all", right="a level a row",
         seen="a batch of distinct times given to a formula for one")
def tweedie_covariance_first_level_for_all(score_jacobian, alpha, sigma):
    return processes.posterior_covariance(score_jacobian, np.ravel(alpha)[0], np.ravel(sigma)[0])


@mistake("posterior_covariance", wrong="sigma^2/alpha^2 (I + sigma Ds)", right="sigma^2/alpha^2 (I + sigma^2 Ds)",
         seen="neighbour of the first order")
def tweedie_covariance_sigma_once(score_jacobian, alpha, sigma):
    return processes.posterior_covariance(score_jacobian / sigma, alpha, sigma)


@mistake("posterior_covariance", wrong="sigma^2/alpha (I + sigma^2 Ds)", right="sigma^2/alpha^2 (I + sigma^2 Ds)",
         seen="neighbour of the first order")
def tweedie_covariance_alpha_once(score_jacobian, alpha, sigma):
    return alpha * processes.posterior_covariance(score_jacobian, alpha, sigma)


@mistake("convert", wrong="s = eps/sigma", right="s = -eps/sigma", seen="common")
def convert_score_eps_sign(process, value, xt, t, source, target):
    result = process.convert(value, xt, t, source, target)
    return -result if {source, target} == {"score", "eps"} else result


@mistake("convert", wrong="s = -eps/sigma^2", right="s = -eps/sigma", seen="lecture c, NCSN slide")
def convert_score_over_sigma_squared(process, value, xt, t, source, target):
    result = process.convert(value, xt, t, source, target)
    return result / np.reshape(process.sigma(t), (-1, 1)) if (source, target) == ("eps", "score") else result


@mistake("convert", wrong="x0 = x_t - sigma eps", right="x0 = (x_t - sigma eps)/alpha", seen="common")
def convert_x0_alpha_missing(process, value, xt, t, source, target):
    result = process.convert(value, xt, t, source, target)
    return result * np.reshape(process.alpha(t), (-1, 1)) if target == "x0" and source != "x0" else result


@mistake("convert", wrong="v = sigma x0 - alpha eps", right="v = alpha eps - sigma x0", seen="two papers' signs mixed")
def convert_v_sign(process, value, xt, t, source, target):
    result = process.convert(value, xt, t, source, target)
    return -result if (source == "v") != (target == "v") and target == "v" else result
