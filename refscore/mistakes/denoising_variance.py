"""Mistakes in the variance of the denoising loss and of its gradient (systems B11)."""

from __future__ import annotations

import numpy as np

from refscore.densities import Gaussian
from refscore.mistakes._registry import mistake
from refscore.objectives import dsm, dsm_process, dsm_variance


def _changed(found, change):
    """The loss's variance changed, the gradient's left alone."""
    if isinstance(found[0], tuple):
        return (change(found[0][0]), found[0][1]), found[1]
    return change(found[0]), found[1]


class _Level:
    """One noise level as a process."""

    def __init__(self, alpha, sigma):
        self.alpha, self.sigma = (lambda t: np.full(len(t), alpha)), (lambda t: np.full(len(t), sigma))


def _rows(model, density, alpha, sigma, weight, degree):
    x0, noise, w = density.joint_nodes(alpha, sigma, 0.2 if density.dim < 3 else 0.4, degree)
    rows = dsm_process(lambda x, t: model(x), _Level(alpha, sigma), x0, 0.5, noise, weight, over_batch="none")
    return rows, w


@mistake("dsm_variance", wrong="E loss^2", right="E loss^2 - (E loss)^2", seen="uncentred second moment taken for the variance")
def variance_second_moment(model, density, alpha, sigma, weight="one", **options):
    rows, w = _rows(model, density, alpha, sigma, weight, 4)
    return _changed(dsm_variance(model, density, alpha, sigma, weight=weight, **options), lambda v: v + float(w @ rows) ** 2)


@mistake("dsm_variance", wrong="standard deviation", right="variance", seen="std for variance")
def variance_root(*arguments, **options):
    return _changed(dsm_variance(*arguments, **options), np.sqrt)


@mistake("dsm_variance", wrong="Var ||.||^2", right="Var 1/2 ||.||^2", seen="the half of the loss counts squared in its variance")
def variance_without_quarter(*arguments, **options):
    return _changed(dsm_variance(*arguments, **options), lambda v: 4 * v)


@mistake("dsm_variance", wrong="mean over dimensions", right="sum over dimensions",
         seen="losses wrong by a factor d in published packages")
def variance_over_d(*arguments, **options):
    return dsm_variance(*arguments, **options | {"over_dims": "mean"})


@mistake("dsm_variance", wrong="lambda Var", right="lambda^2 Var", seen="a weight taken out of a variance once")
def variance_weight_once(model, density, alpha, sigma, weight="one", **options):
    factor = sigma**-2 if weight == "sigma2" else 1.0
    return _changed(dsm_variance(model, density, alpha, sigma, weight=weight, **options), lambda v: factor * v)


@mistake("dsm_variance", wrong="data taken for Gaussian", right="the law of the data",
         seen="two moments of the data do not fix the fourth moment of the residual")
def variance_of_gaussian_target(model, density, alpha, sigma, **options):
    if not density.spectrum.any():
        return dsm_variance(model, density, alpha, sigma, **options)
    return dsm_variance(model, Gaussian(density.mean, density.cov), alpha, sigma, **options)


@mistake("dsm_variance", wrong="E||r||^4 with noise nodes exact to degree 2", right="exact to degree 4",
         seen="a quadrature fit for the loss used for its square")
def variance_by_two_moments(model, density, alpha, sigma, weight="one", **options):
    rows, w = _rows(model, density, alpha, sigma, weight, 2)
    wrong = float(w @ (rows - w @ rows) ** 2)
    return _changed(dsm_variance(model, density, alpha, sigma, weight=weight, **options), lambda v: wrong)


@mistake("dsm_variance", wrong="d/(2 sigma^4)", right="d/(2 sigma^4) + 2 ISM/sigma^2 + ...",
         seen="leading term taken for the whole")
def variance_of_noise_alone(model, density, alpha, sigma, weight="one", **options):
    leading = density.dim / 2 if weight == "sigma2" else density.dim / (2 * sigma**4)
    return _changed(dsm_variance(model, density, alpha, sigma, weight=weight, **options), lambda v: leading)


@mistake("dsm_variance", wrong="E g^2", right="E g^2 - (E g)^2", seen="Adam's second moment taken for the gradient's variance")
def gradient_second_moment(model, density, alpha, sigma, weight="one", **options):
    found = dsm_variance(model, density, alpha, sigma, weight=weight, **options)
    if not options.get("grad"):
        return found
    x0, noise, w = density.joint_nodes(alpha, sigma, 0.2 if density.dim < 3 else 0.4)
    mean = dsm(model, alpha * x0, sigma, noise, weight=weight, sample_weight=w, grad=True)[1]
    return found[0], ([v + m * m for v, m in zip(found[1][0], mean, strict=True)], found[1][1])
