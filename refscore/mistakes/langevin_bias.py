"""Mistakes about where Langevin dynamics settles (systems F1, X11)."""

from __future__ import annotations

import numpy as np

from refscore.densities import Gaussian
from refscore.distances import fisher_information
from refscore.laws import langevin_stationary, law_with_error
from refscore.mistakes._registry import mistake


def _along_axes(target, variances):
    """The target with other variances along the axes of its covariance."""
    spectrum, axes = np.linalg.eigh(target.cov)
    return Gaussian(target.mean, (axes * variances(spectrum)) @ axes.T)


def _eta(step, convention):
    return step if convention == "eta" else step / 2


@mistake("langevin_stationary", wrong="N(m, C)", right="N(m, C (I - eta/2 C^{-1})^{-1})",
         seen="lecture c: samples of the recursion 'will come from p'")
def stationary_law_is_the_target(target, step, convention="eta"):
    return target


@mistake("langevin_stationary", wrong="C (I - eta/4 C^{-1})^{-1} for the step eta", right="C (I - eta/2 C^{-1})^{-1}",
         seen="the formula of one convention with the step of the other")
def stationary_eta_for_half_eta(target, step, convention="eta"):
    return langevin_stationary(target, step / 2, convention)


@mistake("langevin_stationary", wrong="C (I + eta/2 C^{-1})^{-1}: too narrow", right="C (I - eta/2 C^{-1})^{-1}: too wide",
         seen="the sign of the implicit Euler scheme")
def stationary_too_narrow(target, step, convention="eta"):
    return _along_axes(target, lambda c: c / (1 + _eta(step, convention) / (2 * c)))


@mistake("langevin_stationary", wrong="the step is eta in both conventions", right="eta, or half the step",
         seen="lectures c and e against b and d: eps/2 and eps")
def stationary_convention_ignored(target, step, convention="eta"):
    return langevin_stationary(target, step if convention == "eta" else step * 1.5, convention)


@mistake("langevin_stationary", wrong="c/(1 - eta/2c) with c the standard deviation", right="c the variance",
         seen="sigma for sigma^2, common")
def stationary_std_for_variance(target, step, convention="eta"):
    return _along_axes(target, lambda c: c / (1 - _eta(step, convention) / (2 * np.sqrt(c))))


@mistake("langevin_stationary", wrong="C/(1 - eta/2c) with c the largest variance", right="each direction by its own variance",
         seen="one dimension's formula taken for all")
def stationary_inflates_alike(target, step, convention="eta"):
    return _along_axes(target, lambda c: c / (1 - _eta(step, convention) / (2 * (c.max() if len(c) > 1 else 2 * c))))


@mistake("stationary", wrong="the law after one round", right="the law that stays", seen="'converged' because the loop ended")
def stationary_after_one_round(chain, initial, **options):
    return law_with_error(chain, initial)


def _parts(density, x, information=None):
    if information is None:
        information = fisher_information(density)[0]
    return density.score_divergence(x), (density.score(x) ** 2).sum(axis=1), information


@mistake("langevin_bias", wrong="div s/2 + |s|^2/4", right="div s/2 + |s|^2/4 + I(p)/4", seen="mass not conserved")
def bias_without_information(density, x, information=None):
    divergence, square, _ = _parts(density, x, information)
    return divergence / 2 + square / 4


@mistake("langevin_bias", wrong="-div s/2 + |s|^2/4 - 3 I(p)/4", right="div s/2 + |s|^2/4 + I(p)/4", seen="sign of the divergence")
def bias_divergence_sign(density, x, information=None):
    divergence, square, information = _parts(density, x, information)
    return -divergence / 2 + square / 4 - 3 * information / 4


@mistake("langevin_bias", wrong="div s/2 + |s|^2/2", right="div s/2 + |s|^2/4 + I(p)/4",
         seen="ISM's integrand, whose mean vanishes too")
def bias_with_half_the_square(density, x, information=None):
    divergence, square, _ = _parts(density, x, information)
    return divergence / 2 + square / 2


@mistake("langevin_bias", wrong="div s/2 + |s|/4 + c", right="div s/2 + |s|^2/4 + I(p)/4", seen="norm not squared, common")
def bias_norm_not_squared(density, x, information=None):
    divergence, square, information = _parts(density, x, information)
    return divergence / 2 + np.sqrt(square) / 4 + information / 4


@mistake("langevin_bias", wrong="div s/4 + |s|^2/8 + I(p)/8", right="div s/2 + |s|^2/4 + I(p)/4",
         seen="the step eta of one convention, the bias of the other")
def bias_halved(density, x, information=None):
    divergence, square, information = _parts(density, x, information)
    return divergence / 4 + square / 8 + information / 8
