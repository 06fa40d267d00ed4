"""Mistakes in distances between laws: KL, total variation and Wasserstein (systems H1, H6)."""

from __future__ import annotations

import math

import numpy as np

from refscore.densities import Gaussian, GaussianMixture, PointSet, Product
from refscore.distances import kl, total_variation, wasserstein2
from refscore.mistakes._registry import mistake


def _gaussian(*laws) -> bool:
    return all(isinstance(law, GaussianMixture) and len(law.means) == 1 for law in laws)


def _factor(cov: np.ndarray) -> np.ndarray:
    """C^{1/2}."""
    spectrum, axes = np.linalg.eigh(cov)
    return (axes * np.sqrt(spectrum)) @ axes.T


def _variance(law) -> float:
    """Of the first coordinate; the covariance itself of a million dimensions is not formed."""
    return float(np.ravel(law.covs[0])[0])


# ---- KL --------------------------------------------------------------------------------------------------------------


@mistake("kl", wrong="1/2 [KL(p || q) + KL(q || p)]", right="KL(p || q)", seen="Jeffreys' divergence taken for it")
def kl_symmetrised(p, q, **options):
    (one, error), (other, doubt) = kl(p, q, **options), kl(q, p, **options)
    return (one + other) / 2, (error + doubt) / 2


@mistake("kl", wrong="tr - d + log det + |delta|^2", right="half of it", seen="the 1/2 of the Gaussian density forgotten")
def kl_without_half(p, q, **options):
    value, error = kl(p, q, **options)
    return (2 * value, 2 * error) if _gaussian(p, q) else (value, error)


@mistake("kl", wrong="log det C_p/C_q", right="log det C_q/C_p", seen="sign of the log-determinants, common in derivations")
def kl_log_det_sign(p, q, **options):
    value, error = kl(p, q, **options)
    return (value + np.linalg.slogdet(p.cov)[1] - np.linalg.slogdet(q.cov)[1] if _gaussian(p, q) else value), error


@mistake("kl", wrong="tr C_q^{-1} C_p without - d", right="- d",
         seen="a constant left out because gradients do not see it")
def kl_dimension_forgotten(p, q, **options):
    value, error = kl(p, q, **options)
    return (value + p.dim / 2 if _gaussian(p, q) else value), error


@mistake("kl", wrong="delta' C_p^{-1} delta", right="delta' C_q^{-1} delta", seen="precision of the wrong law")
def kl_means_in_units_of_p(p, q, **options):
    value, error = kl(p, q, **options)
    if not _gaussian(p, q):
        return value, error
    away = p.mean - q.mean
    return value + float(away @ (np.linalg.solve(p.cov, away) - np.linalg.solve(q.cov, away))) / 2, error


@mistake("kl", wrong="KL of Gaussians with the same moments", right="KL of the laws", seen="FID's assumption; moment matching")
def kl_of_moments(p, q, **options):
    return kl(*(Gaussian(law.mean, law.cov) for law in (p, q)), **options)


@mistake("kl", wrong="diagonals of the covariances", right="the covariances", seen="mean-field code used for full covariances")
def kl_of_diagonals(p, q, **options):
    if not _gaussian(p, q) or p.dim == 1:
        return kl(p, q, **options)
    return kl(*(Gaussian(law.mean, np.diag(law.cov).copy()) for law in (p, q)), **options)


# ---- total variation -------------------------------------------------------------------------------------------------


@mistake("total_variation", wrong="sqrt(KL/2)", right="1/2 int |p - q|", seen="Pinsker's upper bound taken for the value")
def total_variation_by_pinsker(p, q):
    value, error = kl(p, q)
    return min(1.0, math.sqrt(value / 2)), error


@mistake("total_variation", wrong="H = (1 - int sqrt(pq))^{1/2}", right="H^2 <= TV <= H sqrt(2 - H^2)",
         seen="two distances between 0 and 1 with the same topology")
def total_variation_is_hellinger(p, q):
    if not _gaussian(p, q) or p.covs.ndim == 3:
        return total_variation(p, q)
    a, c = (np.broadcast_to(law.covs[0], p.dim) for law in (p, q))
    affinity = 0.25 * np.log(a * c / ((a + c) / 2) ** 2).sum() - ((p.mean - q.mean) ** 2 / (4 * (a + c))).sum()
    return math.sqrt(-math.expm1(affinity)), 1e-15


@mistake("total_variation", wrong="int min(p, q)", right="1 - int min(p, q)", seen="overlap and distance confused")
def total_variation_is_overlap(p, q):
    value, error = total_variation(p, q)
    return 1 - value, error


def _first_coordinate(p, q) -> tuple[float, float]:
    if isinstance(p, Product):
        return total_variation(p.factors[0], q.factors[0])
    return total_variation(*(Gaussian(law.means[0, :1], _variance(law)) for law in (p, q)))


@mistake("total_variation", wrong="d TV of one coordinate", right="of order sqrt(d) TV",
         seen="the union bound taken for the value: bounds linear in d")
def total_variation_sum_over_coordinates(p, q):
    if not (isinstance(p, Product) or _gaussian(p, q)):
        return total_variation(p, q)
    value, error = _first_coordinate(p, q)
    return min(1.0, p.dim * value), error


@mistake("total_variation", wrong="1 - (1 - TV)^d", right="the overlap of products is no product of overlaps",
         seen="min(ab, cd) >= min(a, c) min(b, d) taken for an equality")
def total_variation_as_if_independent_tests(p, q):
    if not (isinstance(p, Product) or _gaussian(p, q)):
        return total_variation(p, q)
    value, error = _first_coordinate(p, q)
    return -math.expm1(p.dim * math.log1p(-min(value, 1 - 1e-16))), error


@mistake("total_variation", wrong="2 Phi(delta/2) - 1 with the mean covariance", right="for equal covariances only",
         seen="linear discriminant analysis with pooled covariance")
def total_variation_pooled_covariance(p, q):
    if not _gaussian(p, q):
        return total_variation(p, q)
    if p.covs.ndim == q.covs.ndim < 3:
        pooled = (p.covs[0] + q.covs[0]) / 2
    else:
        pooled = (p.cov + q.cov) / 2
    return total_variation(Gaussian(p.mean, pooled), Gaussian(q.mean, pooled))


@mistake("total_variation", wrong="ratios of the sorted eigenvalues", right="eigenvalues of C_q^{-1} C_p",
         seen="right where covariances commute, which random ones do not")
def total_variation_of_sorted_spectra(p, q):
    if not _gaussian(p, q) or max(p.covs.ndim, q.covs.ndim) < 3:
        return total_variation(p, q)
    return total_variation(*(Gaussian(law.mean, np.linalg.eigvalsh(law.cov)) for law in (p, q)))


# ---- Wasserstein -----------------------------------------------------------------------------------------------------


@mistake("wasserstein2", wrong="W_2^2", right="W_2", seen="FID is the square; POT's ot.emd2 with squared costs too")
def w2_squared(p, q):
    value, error = wasserstein2(p, q)
    return value**2, error


@mistake("wasserstein2", wrong="tr[A + C - 2 A^{1/2} C A^{1/2}]", right="tr[A + C - 2 (A^{1/2} C A^{1/2})^{1/2}]",
         seen="the outer root forgotten")
def w2_bures_without_root(p, q):
    value, error = wasserstein2(p, q)
    if not _gaussian(p, q):
        return value, error
    bures = np.trace(p.cov + q.cov - 2 * p.cov @ q.cov)
    return math.sqrt(abs(float(((p.mean - q.mean) ** 2).sum() + bures))), error


@mistake("wasserstein2", wrong="|A^{1/2} - C^{1/2}|_F", right="Bures' distance", seen="the formula of covariances that commute")
def w2_as_if_commuting(p, q):
    value, error = wasserstein2(p, q)
    if not _gaussian(p, q):
        return value, error
    return math.hypot(float(np.linalg.norm(p.mean - q.mean)), float(np.linalg.norm(_factor(p.cov) - _factor(q.cov)))), error


@mistake("wasserstein2", wrong="|m_p - m_q|", right="and Bures' distance", seen="the lower bound by the means taken for the value")
def w2_means_only(p, q):
    return float(np.linalg.norm(p.mean - q.mean)), wasserstein2(p, q)[1]


@mistake("wasserstein2", wrong="|A - C|_F", right="Bures' distance of A and C", seen="distance of covariances as matrices")
def w2_of_covariances(p, q):
    value, error = wasserstein2(p, q)
    if not _gaussian(p, q):
        return value, error
    return math.hypot(float(np.linalg.norm(p.mean - q.mean)), float(np.linalg.norm(p.cov - q.cov))), error


@mistake("wasserstein2", wrong="W_1 = int |F - G| dx", right="W_2", seen="scipy.stats.wasserstein_distance is W_1")
def w2_first_order(p, q):
    value, error = wasserstein2(p, q)
    if p.dim > 1 or isinstance(p, PointSet):
        return value, error
    x = np.linspace(-15, 15, 6001)[:, None]
    return float(np.abs(p.cdf(x) - q.cdf(x)).sum() * 30 / 6000), error


@mistake("wasserstein2", wrong="points paired as they come", right="the best pairing",
         seen="mean squared error between two samples")
def w2_points_in_given_order(p, q):
    value, error = wasserstein2(p, q)
    if not (isinstance(p, PointSet) and isinstance(q, PointSet) and len(p.points) == len(q.points)):
        return value, error
    return math.sqrt(float(((p.points - q.points) ** 2).sum(axis=1).mean())), error


@mistake("wasserstein2", wrong="mean over coordinates", right="sum over coordinates", seen="mse_loss averages over dimensions too")
def w2_per_coordinate(p, q):
    value, error = wasserstein2(p, q)
    return value / math.sqrt(p.dim), error
