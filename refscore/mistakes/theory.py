"""Mistakes in laws of chains and in distances between laws (systems H5, H6)."""

from __future__ import annotations

import numpy as np

from refscore.densities import Gaussian
from refscore.distances import total_variation
from refscore.laws import law
from refscore.mistakes._registry import mistake
from refscore.samplers import Chain, reverse_sde


def _with_noise(chain: Chain, v) -> Chain:
    return Chain(chain.score, chain.times, chain.a, chain.b, v)


@mistake("law", wrong="A C A + v I", right="A C A' + v I",
         seen="right for symmetric A only, so for every exact score; common in Kalman filters")
def law_without_transpose(chain, initial, **options):
    if len(initial.means) > 1 or initial.dim == 1:
        return law(chain, initial, **options)
    mean, cov, unit = initial.mean, initial.cov, np.eye(initial.dim)
    for k in range(len(chain)):
        shift = chain.mean(k, np.zeros((1, initial.dim)))[0]
        slope = (chain.mean(k, unit) - shift).T
        mean, cov = slope @ mean + shift, slope @ cov @ slope + chain.v[k] * unit
    spectrum, axes = np.linalg.eigh((cov + cov.T) / 2)
    return Gaussian(mean, (axes * np.maximum(spectrum, 1e-3)) @ axes.T)


@mistake("law", wrong="A C A' + 2 v I", right="A C A' + v I", seen="sqrt(2 eta) of Langevin for the sqrt(v) of the kernel")
def law_variance_twice(chain, initial, **options):
    return law(_with_noise(chain, 2 * chain.v), initial, **options)


@mistake("law", wrong="A C A' + sqrt(v) I", right="A C A' + v I", seen="stochrare#26: std = variance")
def law_std_for_variance(chain, initial, **options):
    return law(_with_noise(chain, np.sqrt(chain.v)), initial, **options)


@mistake("law", wrong="started from N(0, I)", right="started from p_T",
         seen="lecture a, sec. 4: N(0, sigma_T^2 I) is p_T only if alpha_T = 0")
def law_from_standard_normal(chain, initial, **options):
    return law(chain, Gaussian(np.zeros(initial.dim), 1.0), **options)


@mistake("law", wrong="N - 1 steps", right="N steps", seen="range(N - 1), common; lucidrains#18 is its neighbour")
def law_one_step_short(chain, initial, **options):
    return law(chain[:-1], initial, **options)


@mistake("law", wrong="last step without noise", right="noise in every step that has it",
         seen="DDPM's rule for its last step taken over")
def law_without_last_noise(chain, initial, **options):
    return law(_with_noise(chain, np.append(chain.v[:-1], 1e-3 * chain.v[-1])), initial, **options)


@mistake("law", wrong="Gaussian with the mean and covariance of the law", right="the law",
         seen="moment closure taken for the law, common in filters")
def law_gaussian_of_same_moments(chain, initial, **options):
    exact = law(chain, initial, **options)
    return Gaussian(exact.mean, exact.cov)


@mistake("total_variation", wrong="int |p - q|", right="1/2 int |p - q|", seen="two conventions; the one in [0, 1] has the 1/2")
def total_variation_not_halved(p, q, **options):
    value, error = total_variation(p, q, **options)
    return 2 * value, 2 * error


@mistake("total_variation", wrong="sup |P - Q|", right="1/2 int |p - q|",
         seen="Kolmogorov's distance, equal only if p - q has one root")
def total_variation_by_kolmogorov(p, q, **options):
    if p.dim != 1:
        return total_variation(p, q, **options)
    x = np.linspace(-12, 12, 4801)[:, None]
    return float(np.abs(p.cdf(x) - q.cdf(x)).max()), total_variation(p, q, **options)[1]


@mistake("total_variation", wrong="1/2 |int p - q| from the median of q on", right="1/2 int |p - q|",
         seen="sums of signed differences cancel")
def total_variation_signed(p, q, **options):
    if p.dim != 1:
        return total_variation(p, q, **options)
    x = q.mean[None]
    return float(np.abs(p.cdf(x) - q.cdf(x))[0]), total_variation(p, q, **options)[1]


@mistake("reverse_sde", wrong="h off by the number of points, T/(N + 1)", right="T/N", seen="linspace(0, T, N) taken for N steps")
def reverse_sde_steps_off_by_one(process, score, times, scheme):
    chain = reverse_sde(process, score, times, scheme)
    steps = len(chain)
    shrink = steps / (steps + 1)
    return Chain(score, chain.times, chain.a ** shrink, chain.b * shrink, chain.v * shrink)
