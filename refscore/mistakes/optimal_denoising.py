"""Mistakes in the optimal denoising error and in the least denoising loss (systems B11, B12)."""

from __future__ import annotations

import numpy as np

from refscore.densities import Gaussian
from refscore.distances import fisher_information
from refscore.mistakes._registry import mistake
from refscore.objectives import irreducible_loss
from refscore.processes import denoising_error


def _times(pair, factor):
    return factor * pair[0], factor * pair[1]


@mistake("denoising_error", wrong="mean over dimensions", right="sum over dimensions",
         seen="losses wrong by a factor d in published packages")
def mmse_over_d(density, alpha, sigma, **options):
    return _times(denoising_error(density, alpha, sigma, **options), 1 / density.dim)


@mistake("denoising_error", wrong="sigma^2 (d - sigma^2 I)", right="sigma^2/alpha^2 (d - sigma^2 I)",
         seen="lecture e states Tweedie for alpha = 1; used along a process")
def mmse_alpha_missing(density, alpha, sigma, **options):
    return _times(denoising_error(density, alpha, sigma, **options), alpha**2)


@mistake("denoising_error", wrong="sigma^2/alpha (d - sigma^2 I)", right="sigma^2/alpha^2 (d - sigma^2 I)",
         seen="neighbour of Tweedie's first order, where alpha stands once")
def mmse_alpha_once(density, alpha, sigma, **options):
    return _times(denoising_error(density, alpha, sigma, **options), alpha)


@mistake("denoising_error", wrong="sigma/alpha^2 (d - sigma^2 I)", right="sigma^2/alpha^2 (d - sigma^2 I)",
         seen="standard deviation for variance")
def mmse_sigma_once(density, alpha, sigma, **options):
    return _times(denoising_error(density, alpha, sigma, **options), 1 / sigma)


@mistake("denoising_error", wrong="root mean squared error", right="mean squared error", seen="std for variance")
def mmse_root(density, alpha, sigma, **options):
    value, error = denoising_error(density, alpha, sigma, **options)
    return np.sqrt(value), error


@mistake("denoising_error", wrong="sum_k w_k tr V_k", right="plus the variance of the components' means",
         seen="posterior of a mixture taken for that of its components: the weights held fixed")
def mmse_within_components(density, alpha, sigma, **options):
    lam = density.spectrum * np.ones(density.dim)
    variance = (sigma**2 * lam / (alpha**2 * lam + sigma**2)).sum(axis=1)
    return float(density.weights @ variance), denoising_error(density, alpha, sigma, **options)[1]


@mistake("denoising_error", wrong="error of the best linear denoiser", right="error of the posterior mean",
         seen="Wiener filter: a Gaussian of the same moments")
def mmse_of_the_linear_denoiser(density, alpha, sigma, **options):
    return denoising_error(Gaussian(density.mean, density.cov), alpha, sigma, **options)


@mistake("denoising_error", wrong="E||x_0 - x'||^2, x' drawn from the posterior", right="E||x_0 - E[x_0|x~]||^2",
         seen="a sample of the posterior taken for its mean: twice the error")
def mmse_of_a_posterior_sample(density, alpha, sigma, **options):
    return _times(denoising_error(density, alpha, sigma, **options), 2)


@mistake("denoising_error", wrong="tr Cov E[x_0|x~]", right="E tr Cov[x_0|x~]", seen="the two halves of the law of total variance")
def mmse_of_the_posterior_mean(density, alpha, sigma, **options):
    value, error = denoising_error(density, alpha, sigma, **options)
    return float(np.trace(density.cov)) - value, error


@mistake("irreducible_loss", wrong="d/sigma^2 - I(q)", right="1/2 (d/sigma^2 - I(q))", seen="the two conventions mixed")
def irreducible_without_half(density, alpha, sigma, **options):
    return irreducible_loss(density, alpha, sigma, **options | {"half": False})


def _instead(density, alpha, sigma, options, new, old):
    """lambda/2 (new - old) in place of lambda/2 (d/sigma^2 - I(q)): the weight is kept."""
    value, error = irreducible_loss(density, alpha, sigma, **options)
    plain, _ = irreducible_loss(density, alpha, sigma, tolerance=options.get("tolerance", 1e-11))
    return value * 0.5 * (new - old) / plain, error


@mistake("irreducible_loss", wrong="1/2 (d/sigma^2 - I(p))", right="1/2 (d/sigma^2 - I(q))",
         seen="lecture d: ESM on the data density for ESM on the corrupted one")
def irreducible_of_the_data(density, alpha, sigma, **options):
    return _instead(density, alpha, sigma, options, density.dim / sigma**2, fisher_information(density, tolerance=1e-9)[0])


@mistake("irreducible_loss", wrong="1/2 (1/sigma^2 - I(q))", right="1/2 (d/sigma^2 - I(q))", seen="right for d = 1 only")
def irreducible_without_d(density, alpha, sigma, **options):
    information = fisher_information(density.corrupted(alpha, sigma), tolerance=1e-9)[0]
    return _instead(density, alpha, sigma, options, 1 / sigma**2, information)


@mistake("irreducible_loss", wrong="d/(2 sigma^2)", right="1/2 (d/sigma^2 - I(q))",
         seen="the mean square of the target taken for the least loss: zero is not the best model")
def irreducible_noise_alone(density, alpha, sigma, **options):
    return _instead(density, alpha, sigma, options, density.dim / sigma**2, 0.0)


@mistake("irreducible_loss", wrong="mmse/(2 sigma^4)", right="alpha^2 mmse/(2 sigma^4)",
         seen="formula for alpha = 1 along a process")
def irreducible_alpha_missing(density, alpha, sigma, **options):
    return _times(irreducible_loss(density, alpha, sigma, **options), alpha**-2)


@mistake("irreducible_loss", wrong="mean over dimensions", right="sum over dimensions",
         seen="losses wrong by a factor d in published packages")
def irreducible_over_dims(density, alpha, sigma, **options):
    return irreducible_loss(density, alpha, sigma, **options | {"over_dims": "mean"})


@mistake("irreducible_loss", wrong="C for every weight", right="lambda C", seen="the constant of the score loss under a noise loss")
def irreducible_weight_ignored(density, alpha, sigma, **options):
    return irreducible_loss(density, alpha, sigma, **options | {"weight": "one"})


@mistake("irreducible_loss", wrong="C/sigma^2", right="sigma^2 C", seen="lecture d: 1/(2 sigma^2) said to balance the scales")
def irreducible_weight_inverted(density, alpha, sigma, **options):
    inverted = sigma**-4 if options.get("weight") == "sigma2" else 1.0
    return _times(irreducible_loss(density, alpha, sigma, **options), inverted)
