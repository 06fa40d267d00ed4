"""Mistakes in ladders of noise levels (systems C1)."""

from __future__ import annotations

import math

import numpy as np

from refscore.mistakes._registry import mistake
from refscore.processes import geometric_ladder, ladder_levels, ladder_overlap, ladder_ratio


@mistake("geometric_ladder", wrong="levels in arithmetic progression", right="in geometric progression",
         seen="linspace for geomspace")
def ladder_linear(sigma_max, sigma_min, levels):
    return np.linspace(sigma_max, sigma_min, levels)


@mistake("geometric_ladder", wrong="sigma_1 (sigma_L/sigma_1)^{(i-1)/L}", right="sigma_1 (sigma_L/sigma_1)^{(i-1)/(L-1)}",
         seen="endpoint=False, common: sigma_L is not reached")
def ladder_with_a_ratio_too_many(sigma_max, sigma_min, levels):
    return sigma_max * (sigma_min / sigma_max) ** (np.arange(levels) / levels)


@mistake("geometric_ladder", wrong="from the smallest to the largest", right="from the largest to the smallest",
         seen="lecture d: sigma_1 < ... < sigma_L")
def ladder_increasing(sigma_max, sigma_min, levels):
    return geometric_ladder(sigma_max, sigma_min, levels)[::-1]


@mistake("geometric_ladder", wrong="sigma_i^2 between the ends", right="sigma_i between the ends",
         seen="variance for standard deviation")
def ladder_of_variances(sigma_max, sigma_min, levels):
    return np.sqrt(geometric_ladder(sigma_max, sigma_min, levels))


@mistake("ladder_overlap", wrong="overlap of N(0, sigma_i^2) in one dimension", right="in d dimensions",
         seen="a ratio tuned on toy data and kept for images: Song & Ermon 2019, ten levels, against 2020, hundreds")
def overlap_in_one_dimension(sigmas, dim):
    return ladder_overlap(sigmas, 1)


@mistake("ladder_overlap", wrong="int |p - q|", right="1/2 int |p - q|", seen="two conventions; the one in [0, 1] has the 1/2")
def overlap_without_half(sigmas, dim):
    found = ladder_overlap(sigmas, dim)
    return found._replace(tv=2 * found.tv)


@mistake("ladder_overlap", wrong="N(0, sigma_i I)", right="N(0, sigma_i^2 I)", seen="standard deviation for variance, common")
def overlap_of_variances(sigmas, dim):
    return ladder_overlap(np.sqrt(sigmas), dim)


@mistake("ladder_overlap", wrong="Gamma law of shape d", right="of shape d/2", seen="chi^2 with d degrees of freedom is Gamma(d/2)")
def overlap_d_for_half_d(sigmas, dim):
    return ladder_overlap(sigmas, 2 * dim)


@mistake("ladder_overlap", wrong="2 Phi(sqrt(d/2) lambda) - 1", right="P(d/2, a) - P(d/2, b)",
         seen="Song & Ermon 2020, sec. 3.2: shells taken for Gaussians, right as d grows")
def overlap_of_shells(sigmas, dim):
    found = ladder_overlap(sigmas, dim)
    apart = [math.sqrt(dim) / 2 * math.log(a / b) for a, b in zip(sigmas[:-1], sigmas[1:], strict=True)]
    return found._replace(tv=np.array([math.erf(a) for a in apart]), common=np.array([math.erfc(a) for a in apart]))


@mistake("ladder_overlap", wrong="chi^2(p_i || p_{i+1})", right="chi^2(p_{i+1} || p_i)", seen="arguments of a divergence swapped")
def overlap_chi2_swapped(sigmas, dim):
    found = ladder_overlap(sigmas, dim)
    back = np.minimum(found.log_chi2_back, 1e300)
    return found._replace(log_chi2=back, log_chi2_back=found.log_chi2)


@mistake("ladder_overlap", wrong="overlap of the first pair for all", right="of every pair", seen="true of geometric ladders alone")
def overlap_of_the_first_pair_for_all(sigmas, dim):
    found = ladder_overlap(sigmas, dim)
    return type(found)(*(np.full_like(entry, entry[0]) for entry in found))


@mistake("ladder_overlap", wrong="a large number", right="infinite where sigma_i^2 >= 2 sigma_{i+1}^2", seen="nan_to_num")
def overlap_back_always_finite(sigmas, dim):
    found = ladder_overlap(sigmas, dim)
    return found._replace(log_chi2_back=np.nan_to_num(found.log_chi2_back))


@mistake("ladder_overlap", wrong="1 - TV, rounded", right="int min(p, q) without cancellation", seen="1 - x for what is small")
def overlap_by_subtraction(sigmas, dim):
    found = ladder_overlap(sigmas, dim)
    return found._replace(common=1 - found.tv)


@mistake("ladder_ratio", wrong="ratio with that total variation", right="ratio with that overlap, 1 - TV",
         seen="distance for overlap")
def ratio_for_total_variation(overlap, dim):
    return ladder_ratio(1 - overlap, dim)


@mistake("ladder_ratio", wrong="ratio in one dimension", right="in d dimensions", seen="a ratio tuned on toy data")
def ratio_in_one_dimension(overlap, dim):
    return ladder_ratio(overlap, 1)


@mistake("ladder_levels", wrong="the number of ratios", right="one more", seen="fence posts")
def levels_without_the_first(sigma_max, sigma_min, dim, overlap):
    return ladder_levels(sigma_max, sigma_min, dim, overlap) - 1


@mistake("ladder_levels", wrong="rounded down", right="rounded up", seen="int() for ceil()")
def levels_rounded_down(sigma_max, sigma_min, dim, overlap):
    return 1 + int(math.log(sigma_max / sigma_min) / math.log(ladder_ratio(overlap, dim)))
