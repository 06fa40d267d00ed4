"""Mistakes about the two ends of a sampler: what it starts from, and that it stops before time 0."""

from __future__ import annotations

import numpy as np

from refscore import bounds
from refscore.densities import Gaussian
from refscore.distances import total_variation
from refscore.mistakes._registry import mistake


@mistake("start_error", wrong="N(0, I)", right="N(0, sigma_T^2 I)", seen="[d], erratum X14; common where sigma_T is not 1")
def start_from_standard_normal(process, density, T):
    return total_variation(process.marginal(density, T), Gaussian(np.zeros(density.dim), 1.0))


@mistake("start_error", wrong="N(0, sigma_T I)", right="N(0, sigma_T^2 I)", seen="stochrare#26: std = variance")
def start_variance_is_std(process, density, T):
    return total_variation(process.marginal(density, T), Gaussian(np.zeros(density.dim), float(process.sigma(T))))


@mistake("start_error", wrong="N(alpha_T m, sigma_T^2 I)", right="N(0, sigma_T^2 I)", seen="data centred without saying so")
def start_matches_the_mean(process, density, T):
    law = process.marginal(density, T)
    return total_variation(law, Gaussian(law.mean, float(process.sigma(T)) ** 2))


@mistake("start_error", wrong="x_0 + sigma_T z against sigma_T z", right="alpha_T x_0 + sigma_T z",
         seen="VE's kernel used for VP, common")
def start_forgets_alpha(process, density, T):
    sigma = float(process.sigma(T))
    return total_variation(density.corrupted(1.0, sigma), Gaussian(np.zeros(density.dim), sigma**2))


@mistake("start_error", wrong="int |p - q|", right="1/2 int |p - q|", seen="two conventions; the one in [0, 1] has the 1/2")
def start_not_halved(process, density, T):
    value, error = bounds.start_error(process, density, T)
    return 2 * value, 2 * error


@mistake("stop_error", wrong="TV(p_t, N(0, sigma_t^2))", right="TV(p_t, p_0)", seen="the two ends of a chain exchanged")
def stop_is_the_start(process, density, t_min, *, rescaled=False):
    return bounds.start_error(process, density, t_min)


@mistake("stop_error", wrong="alpha x", right="x/alpha", seen="scaled the wrong way")
def stop_rescaled_by_alpha(process, density, t_min, *, rescaled=False):
    law = process.marginal(density, t_min)
    return total_variation(law.corrupted(float(process.alpha(t_min)), 0.0) if rescaled else law, density)


@mistake("stop_error", wrong="x_0 + sigma_t z", right="alpha_t x_0 + sigma_t z", seen="VE's kernel used for VP, common")
def stop_forgets_to_shrink(process, density, t_min, *, rescaled=False):
    return total_variation(density.corrupted(1.0, float(process.sigma(t_min))), density)


@mistake("stop_error", wrong="alpha_t x_0", right="alpha_t x_0 + sigma_t z", seen="'t_min is tiny, so there is no noise left'")
def stop_by_the_noise_alone(process, density, t_min, *, rescaled=False):
    return total_variation(density.corrupted(1.0 if rescaled else float(process.alpha(t_min)), 0.0), density)
