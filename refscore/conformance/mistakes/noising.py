"""What is made of alpha and sigma: corrupted points, the conditional score, parametrisations, Tweedie's formula."""

from __future__ import annotations

import numpy as np

from refscore.conformance.mistakes._registry import Undefined, mistake
from refscore.conformance.reference import Reference
from refscore.conformance.spec import column, converted


def _scales(self, t):
    return column(self.process.alpha(t)), column(self.process.sigma(t))


def _early(self, t):
    if not hasattr(self.process, "betas"):
        raise Undefined("times have no neighbours")
    return _scales(self, np.asarray(t) - 1)


@mistake("corrupt", wrong="sigma^2 z", right="sigma z", seen="How-Diffusion-Models-Work#1: (1 - alpha-bar) z")
def corrupt_variance(self, x0, t, noise):
    alpha, sigma = _scales(self, t)
    return alpha * x0 + sigma**2 * noise


@mistake("corrupt", wrong="z", right="sigma z", seen="scale of the noise forgotten")
def corrupt_noise_unscaled(self, x0, t, noise):
    return _scales(self, t)[0] * x0 + noise


@mistake("corrupt", wrong="x0", right="alpha x0", seen="VE's formula for any process")
def corrupt_signal_kept(self, x0, t, noise):
    return x0 + _scales(self, t)[1] * noise


@mistake("corrupt", wrong="alpha^2 x0", right="alpha x0", seen="alpha-bar without its root")
def corrupt_signal_squared(self, x0, t, noise):
    alpha, sigma = _scales(self, t)
    return alpha**2 * x0 + sigma * noise


@mistake("corrupt", wrong="sqrt(alpha) x0", right="alpha x0", seen="rooted twice")
def corrupt_signal_rooted(self, x0, t, noise):
    alpha, sigma = _scales(self, t)
    return np.sqrt(alpha) * x0 + sigma * noise


@mistake("corrupt", wrong="alpha and sigma exchanged", right="alpha x0 + sigma z", seen="time the other way round in one place")
def corrupt_exchanged(self, x0, t, noise):
    alpha, sigma = _scales(self, t)
    return sigma * x0 + alpha * noise


@mistake("corrupt", wrong="alpha (x0 + sigma z)", right="alpha x0 + sigma z", seen="scaled after the noise, common with VE code")
def corrupt_scaled_after(self, x0, t, noise):
    alpha, sigma = _scales(self, t)
    return alpha * (x0 + sigma * noise)


@mistake("corrupt", wrong="sqrt(1 - alpha^2) z", right="sigma z", seen="alpha^2 + sigma^2 = 1 assumed, common")
def corrupt_variance_preserving(self, x0, t, noise):
    alpha = _scales(self, t)[0]
    return alpha * x0 + np.sqrt(np.maximum(1 - alpha**2, 0)) * noise


@mistake("corrupt", wrong="(1 - alpha) z", right="sigma z", seen="straight lines assumed")
def corrupt_straight_lines(self, x0, t, noise):
    alpha = _scales(self, t)[0]
    return alpha * x0 + (1 - alpha) * noise


@mistake("corrupt", wrong="-sigma z", right="+sigma z", seen="sign of the noise")
def corrupt_noise_subtracted(self, x0, t, noise):
    alpha, sigma = _scales(self, t)
    return alpha * x0 - sigma * noise


@mistake("corrupt", wrong="one noise for all rows", right="each row its own", seen="randn(d) broadcast over the batch")
def corrupt_shared_noise(self, x0, t, noise):
    alpha, sigma = _scales(self, t)
    return alpha * x0 + sigma * noise[:1]


@mistake("corrupt", wrong="the first row's time for all", right="each row at its own time", seen="t[0], common")
def corrupt_one_time(self, x0, t, noise):
    alpha, sigma = _scales(self, np.full(len(x0), np.ravel(t)[0]))
    return alpha * x0 + sigma * noise


@mistake("corrupt", wrong="index i - 1", right="index i", seen="lucidrains#18: alpha-bar shifted by one")
def corrupt_one_early(self, x0, t, noise):
    alpha, sigma = _early(self, t)
    return alpha * x0 + sigma * noise


def _conditional(self, xt, x0, t):
    alpha, sigma = _scales(self, t)
    return xt - alpha * x0, alpha, sigma


@mistake("conditional_score", wrong="+(xt - alpha x0)/sigma^2", right="-(xt - alpha x0)/sigma^2",
         seen="acids-ircam/diffusion_models#7, #11; pml2-book#253: the gradient in the clean point")
def conditional_sign(self, xt, x0, t):
    r, _, sigma = _conditional(self, xt, x0, t)
    return r / sigma**2


@mistake("conditional_score", wrong="/sigma", right="/sigma^2", seen="sigma for its square; also eps instead of the score")
def conditional_over_sigma(self, xt, x0, t):
    r, _, sigma = _conditional(self, xt, x0, t)
    return -r / sigma


@mistake("conditional_score", wrong="/sigma^3", right="/sigma^2", seen="lecture c, NCSN slide: -eps/sigma^2")
def conditional_over_cube(self, xt, x0, t):
    r, _, sigma = _conditional(self, xt, x0, t)
    return -r / sigma**3


@mistake("conditional_score", wrong="/sigma^4", right="/sigma^2", seen="variance squared")
def conditional_over_fourth(self, xt, x0, t):
    r, _, sigma = _conditional(self, xt, x0, t)
    return -r / sigma**4


@mistake("conditional_score", wrong="not divided", right="/sigma^2", seen="division forgotten")
def conditional_not_scaled(self, xt, x0, t):
    return -_conditional(self, xt, x0, t)[0]


@mistake("conditional_score", wrong="/(2 sigma^2)", right="/sigma^2", seen="the exponent's 1/2 kept in its gradient")
def conditional_halved(self, xt, x0, t):
    r, _, sigma = _conditional(self, xt, x0, t)
    return -r / (2 * sigma**2)


@mistake("conditional_score", wrong="xt - x0", right="xt - alpha x0", seen="alpha forgotten")
def conditional_without_alpha(self, xt, x0, t):
    return -(xt - x0) / _scales(self, t)[1] ** 2


@mistake("conditional_score", wrong="xt - alpha^2 x0", right="xt - alpha x0", seen="alpha-bar without its root")
def conditional_alpha_squared(self, xt, x0, t):
    alpha, sigma = _scales(self, t)
    return -(xt - alpha**2 * x0) / sigma**2


@mistake("conditional_score", wrong="alpha (xt - alpha x0)/sigma^2", right="-(xt - alpha x0)/sigma^2",
         seen="lecture e: the gradient in the clean point")
def conditional_in_clean_point(self, xt, x0, t):
    r, alpha, sigma = _conditional(self, xt, x0, t)
    return alpha * r / sigma**2


@mistake("conditional_score", wrong="xt/alpha - x0", right="xt - alpha x0", seen="rescaled first")
def conditional_rescaled(self, xt, x0, t):
    alpha, sigma = _scales(self, t)
    return -(xt / alpha - x0) / sigma**2


@mistake("conditional_score", wrong="/(1 - alpha^2)", right="/sigma^2", seen="alpha^2 + sigma^2 = 1 assumed")
def conditional_variance_preserving(self, xt, x0, t):
    r, alpha, _ = _conditional(self, xt, x0, t)
    return -r / np.maximum(1 - alpha**2, 1e-300)


@mistake("conditional_score", wrong="index i - 1", right="index i", seen="lucidrains#18: alpha-bar shifted by one")
def conditional_one_early(self, xt, x0, t):
    alpha, sigma = _early(self, t)
    with np.errstate(divide="ignore", invalid="ignore"):
        return -(xt - alpha * x0) / sigma**2


@mistake("conditional_score", wrong="the first row's time for all", right="each row at its own time", seen="t[0], common")
def conditional_one_time(self, xt, x0, t):
    alpha, sigma = _scales(self, np.full(len(xt), np.ravel(t)[0]))
    return -(xt - alpha * x0) / sigma**2


@mistake("conditional_score", wrong="the score of N(0, sigma^2)", right="of N(alpha x0, sigma^2)", seen="mean forgotten")
def conditional_without_mean(self, xt, x0, t):
    return -xt / _scales(self, t)[1] ** 2


def _convert(self, value, xt, t, source, target, meaning):
    """score = -k eps, xt = a x0 + b eps, v = p eps - q x0, with ``meaning(alpha, sigma)`` = (k, a, b, p, q)."""
    if source == target:
        return value
    k, a, b, p, q = meaning(*_scales(self, t))
    if source == "v":
        x0, eps = (p * xt - b * value) / (a * p + b * q), (q * xt + a * value) / (a * p + b * q)
    elif source == "x0":
        x0, eps = value, (xt - a * value) / b
    else:
        eps = value if source == "eps" else -value / k
        x0 = (xt - b * eps) / a
    return {"score": -k * eps, "eps": eps, "x0": x0, "v": p * eps - q * x0}[target]


@mistake("convert", wrong="score = +eps/sigma", right="-eps/sigma", seen="sign, common")
def convert_score_sign(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (-1 / s, a, s, a, s))


@mistake("convert", wrong="score = -eps/sigma^2", right="-eps/sigma", seen="lecture c, NCSN slide")
def convert_score_over_variance(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (1 / s**2, a, s, a, s))


@mistake("convert", wrong="score = -eps", right="-eps/sigma", seen="division forgotten")
def convert_score_not_scaled(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (1 + 0 * s, a, s, a, s))


@mistake("convert", wrong="score = -sigma eps", right="-eps/sigma", seen="multiplied for divided")
def convert_score_times_sigma(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (s, a, s, a, s))


@mistake("convert", wrong="xt = x0 + sigma eps", right="alpha x0 + sigma eps", seen="alpha forgotten, VE's formula")
def convert_without_alpha(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (1 / s, 1 + 0 * a, s, a, s))


@mistake("convert", wrong="xt = alpha x0 + sigma^2 eps", right="alpha x0 + sigma eps", seen="How-Diffusion-Models-Work#1")
def convert_noise_variance(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (1 / s, a, s**2, a, s))


@mistake("convert", wrong="xt = alpha^2 x0 + sigma eps", right="alpha x0 + sigma eps", seen="alpha-bar without its root")
def convert_alpha_squared(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (1 / s, a**2, s, a, s))


@mistake("convert", wrong="v = alpha x0 - sigma eps", right="alpha eps - sigma x0", seen="x0 and eps exchanged")
def convert_v_exchanged(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (1 / s, a, s, -s, -a))


@mistake("convert", wrong="v = sigma eps - alpha x0", right="alpha eps - sigma x0", seen="alpha and sigma exchanged")
def convert_v_scales_exchanged(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (1 / s, a, s, s, a))


@mistake("convert", wrong="v = alpha eps + sigma x0", right="alpha eps - sigma x0", seen="sign of x0")
def convert_v_plus(self, value, xt, t, source, target):
    return _convert(self, value, xt, t, source, target, lambda a, s: (1 / s, a, s, a, -s))


@mistake("convert", wrong="x0 = alpha xt - sigma v", right="divided by alpha^2 + sigma^2",
         seen="alpha^2 + sigma^2 = 1 assumed, common")
def convert_v_variance_preserving(self, value, xt, t, source, target):
    if source != "v" or target == "v":
        return _right(self, value, xt, t, source, target)
    alpha, sigma = _scales(self, t)
    eps = sigma * xt + alpha * value
    return {"x0": alpha * xt - sigma * value, "eps": eps, "score": -eps / sigma}[target]


@mistake("convert", wrong="what is given, whatever is asked for", right="converted", seen="the same parametrisation assumed")
def convert_nothing(self, value, xt, t, source, target):
    return value


@mistake("convert", wrong="xt where source and target are the same", right="the value", seen="the last case of many, never tried")
def convert_same_is_state(self, value, xt, t, source, target):
    return xt if source == target else Reference.convert(self, value, xt, t, source, target)


@mistake("convert", wrong="source and target exchanged", right="from source to target", seen="order of two arguments")
def convert_backwards(self, value, xt, t, source, target):
    return _right(self, value, xt, t, target, source)


@mistake("convert", wrong="the first row's time for all", right="each row at its own time", seen="t[0], common")
def convert_one_time(self, value, xt, t, source, target):
    return _right(self, value, xt, np.full(len(xt), np.ravel(t)[0]), source, target)


def _right(self, value, xt, t, source, target):
    return converted(value, xt, self.process.alpha(t), self.process.sigma(t), source, target)


def _denoised(self, model, xt, t):
    alpha, sigma = self.process.alpha(t), self.process.sigma(t)
    return self.score_at(model, xt, (t,), alpha, sigma), column(alpha), column(sigma)


@mistake("denoise", wrong="the score", right="(xt + sigma^2 s)/alpha", seen="sony/ctm#1")
def denoise_is_score(self, model, xt, t):
    return _denoised(self, model, xt, t)[0]


@mistake("denoise", wrong="xt + sigma s", right="xt + sigma^2 s", seen="sony/ctm#1")
def denoise_sigma_not_squared(self, model, xt, t):
    s, alpha, sigma = _denoised(self, model, xt, t)
    return (xt + sigma * s) / alpha


@mistake("denoise", wrong="xt - sigma^2 s", right="xt + sigma^2 s", seen="sign; the rule for eps on a score")
def denoise_sign(self, model, xt, t):
    s, alpha, sigma = _denoised(self, model, xt, t)
    return (xt - sigma**2 * s) / alpha


@mistake("denoise", wrong="not divided by alpha", right="/alpha", seen="VE's formula for any process")
def denoise_without_alpha(self, model, xt, t):
    s, _, sigma = _denoised(self, model, xt, t)
    return xt + sigma**2 * s


@mistake("denoise", wrong="/alpha^2", right="/alpha", seen="alpha-bar without its root")
def denoise_over_alpha_squared(self, model, xt, t):
    s, alpha, sigma = _denoised(self, model, xt, t)
    return (xt + sigma**2 * s) / alpha**2


@mistake("denoise", wrong="alpha (xt + sigma^2 s)", right="/alpha", seen="multiplied for divided")
def denoise_times_alpha(self, model, xt, t):
    s, alpha, sigma = _denoised(self, model, xt, t)
    return (xt + sigma**2 * s) * alpha


@mistake("denoise", wrong="xt/alpha + sigma^2 s", right="(xt + sigma^2 s)/alpha", seen="bracket")
def denoise_bracket(self, model, xt, t):
    s, alpha, sigma = _denoised(self, model, xt, t)
    return xt / alpha + sigma**2 * s


@mistake("denoise", wrong="xt + sigma^2 s/2", right="xt + sigma^2 s", seen="the probability flow's half")
def denoise_halved(self, model, xt, t):
    s, alpha, sigma = _denoised(self, model, xt, t)
    return (xt + sigma**2 * s / 2) / alpha


@mistake("denoise", wrong="(1 - alpha^2) s", right="sigma^2 s", seen="alpha^2 + sigma^2 = 1 assumed")
def denoise_variance_preserving(self, model, xt, t):
    s, alpha, _ = _denoised(self, model, xt, t)
    return (xt + (1 - alpha**2) * s) / alpha


@mistake("denoise", wrong="beta s", right="sigma^2 s", seen="one step of the chain for all of it")
def denoise_one_step(self, model, xt, t):
    if not hasattr(self.process, "betas"):
        raise Undefined("times have no steps")
    s, _, _ = _denoised(self, model, xt, t)
    beta = column(self.process.beta(t))
    return (xt + beta * s) / np.sqrt(1 - beta)


@mistake("denoise", wrong="the noise", right="the clean point", seen="the other term of xt = alpha x0 + sigma eps")
def denoise_is_noise(self, model, xt, t):
    s, _, sigma = _denoised(self, model, xt, t)
    return -sigma * s


@mistake("denoise", wrong="xt", right="(xt + sigma^2 s)/alpha", seen="model forgotten")
def denoise_nothing(self, model, xt, t):
    return xt


@mistake("denoise", wrong="the first row's time for all", right="each row at its own time", seen="t[0], common")
def denoise_one_time(self, model, xt, t):
    t = np.full(len(xt), np.ravel(t)[0])
    s, alpha, sigma = _denoised(self, model, xt, t)
    return (xt + sigma**2 * s) / alpha
