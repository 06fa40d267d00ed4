"""Mistakes in the variational bound of DDPM and its terms (systems E5)."""

from __future__ import annotations

import numpy as np

from refscore import objectives
from refscore.mistakes._registry import mistake


def _loss(model, process, x0, index, noise, variance, **options):
    return objectives.variational_loss(model, process, x0, index, noise, variance, **options)


def _constants(process, x0, index, variance):
    """What `variational_loss` adds to the squared error, one number a row."""
    zero, rows = np.zeros_like(x0), len(x0)
    return _loss(lambda x, i: zero, process, x0, np.broadcast_to(index, rows), zero, variance, over_batch="none")


def _total(rows, options):
    """Rows as the loss would return them."""
    if options.get("over_batch") == "none":
        return rows
    weight = options.get("sample_weight")
    if options.get("over_batch") == "sum" and weight is None:
        return float(rows.sum())
    return float(rows.mean() if weight is None else weight @ rows)


def _rescaled(factor, model, process, x0, index, noise, variance, options):
    """The squared errors of the rows times ``factor`` (n,); the gradient by way of a chain of row losses."""
    rows = np.broadcast_to(index, len(x0))
    constant = _constants(process, x0, rows, variance)
    plain = {k: v for k, v in options.items() if k not in ("grad", "over_batch", "sample_weight")}
    each = _loss(model, process, x0, rows, noise, variance, over_batch="none", **plain) - constant
    value = _total(factor * each + constant, options)
    if not options.get("grad"):
        return value
    weight = options.get("sample_weight")
    weight = np.full(len(x0), 1 / len(x0)) if weight is None else weight
    return value, _loss(model, process, x0, rows, noise, variance, grad=True, sample_weight=weight * factor, **plain)[1]


@mistake("variational_loss", wrong="beta^2/(beta~ (1 - beta) ..)", right="beta^2/(2 beta~ (1 - beta) ..)",
         seen="the half of the Gaussian's exponent forgotten")
def variational_without_half(model, process, x0, index, noise, variance="beta_tilde", **options):
    return _rescaled(np.full(len(x0), 2.0), model, process, x0, index, noise, variance, options)


@mistake("variational_loss", wrong="v = beta", right="v = beta~", seen="'fixed_small' and 'fixed_large' mixed up")
def variational_beta_for_posterior(model, process, x0, index, noise, variance="beta_tilde", **options):
    return _loss(model, process, x0, index, noise, "beta", **options)


@mistake("variational_loss", wrong="beta/(2 v (1 - beta))", right="beta^2/(2 v (1 - beta))", seen="square forgotten")
def variational_beta_not_squared(model, process, x0, index, noise, variance="beta_tilde", **options):
    factor = 1 / np.broadcast_to(process.beta(index), len(x0))
    return _rescaled(factor, model, process, x0, index, noise, variance, options)


@mistake("variational_loss", wrong="||eps - eps_theta||^2", right="w_i ||eps - eps_theta||^2",
         seen="L_simple reported as the bound")
def variational_unweighted(model, process, x0, index, noise, variance="beta_tilde", **options):
    rows = np.broadcast_to(index, len(x0))
    beta = process.beta(rows)
    ratio = process.variance(np.maximum(rows - 1, 0)) / process.variance(rows)
    v = np.where((rows > 1) & (variance == "beta_tilde"), ratio * beta, beta)
    weight = beta**2 / (2 * v * (1 - beta) * process.variance(rows))
    return _rescaled(1 / weight, model, process, x0, rows, noise, variance, options)


@mistake("variational_loss", wrong="without d/2 (r - 1 - log r)", right="the KL of two variances as well",
         seen="the formula for v = beta~ used with v = beta")
def variational_variances_ignored(model, process, x0, index, noise, variance="beta_tilde", **options):
    rows = np.broadcast_to(index, len(x0))
    excess = _total(np.where(rows > 1, _constants(process, x0, rows, variance), 0.0), options)
    result = _loss(model, process, x0, index, noise, variance, **options)
    return (result[0] - excess, result[1]) if isinstance(result, tuple) else result - excess


def _decoder_changed(per_dimension, model, process, x0, index, noise, variance, options):
    rows = np.broadcast_to(index, len(x0))
    extra = _total(np.where(rows == 1, np.shape(x0)[1] * per_dimension, 0.0), options)
    result = _loss(model, process, x0, index, noise, variance, **options)
    return (result[0] + extra, result[1]) if isinstance(result, tuple) else result + extra


@mistake("variational_loss", wrong="L_0 without 1/2 log(2 pi beta_1)", right="the log-density",
         seen="an error instead of a likelihood")
def variational_decoder_without_normaliser(model, process, x0, index, noise, variance="beta_tilde", **options):
    constant = -np.log(2 * np.pi * process.beta(1)) / 2
    return _decoder_changed(constant, model, process, x0, index, noise, variance, options)


@mistake("variational_loss", wrong="1/2 log(2 pi sqrt(beta_1))", right="1/2 log(2 pi beta_1)", seen="std = variance, common")
def variational_decoder_std(model, process, x0, index, noise, variance="beta_tilde", **options):
    return _decoder_changed(-np.log(process.beta(1)) / 4, model, process, x0, index, noise, variance, options)


def _times(factor, result):
    return (factor * result[0], [factor * g for g in result[1]]) if isinstance(result, tuple) else factor * result


@mistake("variational_loss", wrong="in bits", right="in nats", seen="bits a dimension and nats mixed up")
def variational_in_bits(model, process, x0, index, noise, variance="beta_tilde", **options):
    return _times(1 / np.log(2), _loss(model, process, x0, index, noise, variance, **options))


@mistake("variational_loss", wrong="mean over dimensions", right="sum over dimensions", seen="mse_loss's default reduction")
def variational_mean_over_dims(model, process, x0, index, noise, variance="beta_tilde", **options):
    return _times(1 / np.shape(x0)[1], _loss(model, process, x0, index, noise, variance, **options))


@mistake("variational_loss", wrong="weight of i - 1", right="of i", seen="0-based arrays indexed by i - 1 twice")
def variational_shifted(model, process, x0, index, noise, variance="beta_tilde", **options):
    rows = np.broadcast_to(index, len(x0))

    def ratio(i):
        return process.beta(i) / (1 - process.beta(i)) / process.variance(i)

    return _rescaled(ratio(np.maximum(rows - 1, 1)) / ratio(rows), model, process, x0, index, noise, variance, options)


@mistake("variational_loss", wrong="gradient of L_simple", right="of the weighted terms", seen="weight applied to the value alone")
def variational_gradient_unweighted(model, process, x0, index, noise, variance="beta_tilde", **options):
    result = _loss(model, process, x0, index, noise, variance, **options)
    if not isinstance(result, tuple):
        return result
    return result[0], objectives.ddpm_simple(model, process, x0, index, noise, grad=True)[1]


@mistake("prior_loss", wrong="sqrt(alpha-bar_N) |x_0|^2", right="alpha-bar_N |x_0|^2", seen="root in one place too many")
def prior_alpha_bar_with_root(process, x0, *, sample_weight=None):
    weight = np.full(len(x0), 1 / len(x0)) if sample_weight is None else sample_weight
    alpha, squares = float(process.alpha(len(process))), float(weight @ (x0**2).sum(axis=1))
    return objectives.prior_loss(process, x0, sample_weight=sample_weight) + (alpha - alpha**2) / 2 * squares


def _prior_constant(process, x0, sample_weight):
    return objectives.prior_loss(process, np.zeros_like(x0), sample_weight=sample_weight)


@mistake("prior_loss", wrong="(sigma^2 - 1 - log sigma^2)/2", right="times d", seen="-1/2 log 2 pi sigma^2 -> times d, ncsn")
def prior_without_dimension(process, x0, *, sample_weight=None):
    d = np.shape(x0)[1]
    more = _prior_constant(process, x0, sample_weight) * (1 - 1 / d)
    return objectives.prior_loss(process, x0, sample_weight=sample_weight) - more


@mistake("prior_loss", wrong="alpha-bar_N |x_0|^2/2", right="with d (sigma^2 - 1 - log sigma^2)/2", seen="only means compared")
def prior_without_logarithm(process, x0, *, sample_weight=None):
    return objectives.prior_loss(process, x0, sample_weight=sample_weight) - _prior_constant(process, x0, sample_weight)


@mistake("prior_loss", wrong="-log sigma", right="-log sigma^2", seen="std = variance, common")
def prior_logarithm_of_std(process, x0, *, sample_weight=None):
    weight = 1.0 if sample_weight is None else np.sum(sample_weight)
    shift = weight * np.shape(x0)[1] * float(np.log(process.sigma(len(process)))) / 2
    return objectives.prior_loss(process, x0, sample_weight=sample_weight) + shift


@mistake("variational_bound", wrong="average of the terms", right="their sum", seen="mean over t, as in training")
def bound_averages_its_terms(model, process, x0, noise, variance="beta_tilde", **options):
    found = objectives.variational_bound(model, process, x0, noise, variance, **options)
    return found._replace(total=found.total / (len(process) + 1))


@mistake("variational_bound", wrong="without L_N", right="with L_N", seen="a constant in training, part of the bound")
def bound_without_prior(model, process, x0, noise, variance="beta_tilde", **options):
    found = objectives.variational_bound(model, process, x0, noise, variance, **options)
    return found._replace(total=found.total - found.prior)


@mistake("variational_bound", wrong="sum from i = 2", right="with L_0", seen="the decoder left out")
def bound_without_decoder(model, process, x0, noise, variance="beta_tilde", **options):
    found = objectives.variational_bound(model, process, x0, noise, variance, **options)
    return found._replace(total=found.total - found.decoder)
