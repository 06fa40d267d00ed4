"""Mistakes in densities: scores, normalisers, and what noise does to a law (systems A)."""

from __future__ import annotations

import numpy as np

from refscore.densities import GaussianMixture, PointSet
from refscore.identities import _textbook
from refscore.mistakes._registry import mistake


@mistake("score", wrong="-s", right="s", seen="lecture e, NCSN slide: gradient in x instead of x~")
def score_sign(density, x):
    return -density.score(x)


@mistake("score", wrong="C (m - x)", right="C^{-1} (m - x)", seen="variance taken for precision")
def score_covariance_for_precision(density, x):
    return np.einsum("nij,nj->ni", np.linalg.inv(density.score_jacobian(x)), density.score(x))


@mistake("logpdf", wrong="-1/2 log 2 pi", right="-d/2 log 2 pi", seen="ncsn, likelihood pieces")
def logpdf_normaliser_without_d(density, x):
    return density.logpdf(x) + 0.5 * (density.dim - 1) * np.log(2 * np.pi)


@mistake("logpdf", wrong="-log det C", right="-1/2 log det C", seen="neighbour of the normaliser without d")
def logpdf_determinant_not_halved(density, x):
    terms = _textbook.log_terms(density, x) - 0.5 * np.log(np.linalg.det(_textbook.matrices(density)))
    return np.logaddexp.reduce(terms, axis=1)


@mistake("score_jacobian", wrong="-sum r_k P_k", right="Cov_r(s_k) - sum r_k P_k",
         seen="posterior weights held fixed in the derivative")
def jacobian_without_posterior_covariance(density, x):
    terms = _textbook.log_terms(density, x)
    weights = np.exp(terms - np.logaddexp.reduce(terms, axis=1)[:, None])
    return -np.einsum("nk,kij->nij", weights, np.linalg.inv(_textbook.matrices(density)))


@mistake("score_divergence", wrong="mean of the diagonal", right="its sum", seen="factor d in losses that average over dimensions")
def divergence_over_d(density, x):
    return density.score_divergence(x) / density.dim


@mistake("corrupted", wrong="C + sigma I", right="C + sigma^2 I", seen="How-Diffusion-Models-Work#1, the other way round")
def corrupted_sigma_for_variance(density, alpha, sigma):
    return density.corrupted(alpha, np.sqrt(sigma))


@mistake("corrupted", wrong="alpha C + sigma^2 I", right="alpha^2 C + sigma^2 I", seen="neighbour of the variance mistake")
def corrupted_alpha_not_squared(density, alpha, sigma):
    law = density.corrupted(np.sqrt(alpha), sigma)
    return GaussianMixture(law.weights, law.means * np.sqrt(alpha), law.covs)


@mistake("corrupted", wrong="means m", right="means alpha m",
         seen="variance-exploding formula used for a variance-preserving process")
def corrupted_means_not_scaled(density, alpha, sigma):
    law = density.corrupted(alpha, sigma)
    return GaussianMixture(law.weights, law.means / alpha, law.covs)


@mistake("corrupted", wrong="equal weights", right="w_i", seen="importance weights of the data forgotten")
def corrupted_point_weights_dropped(density, alpha, sigma):
    return PointSet(density.points).corrupted(alpha, sigma)


@mistake("corrupted", wrong="alpha (x + sigma z)", right="alpha x + sigma z", seen="noise added before the signal is scaled")
def corrupted_noise_scaled_too(density, alpha, sigma):
    return density.corrupted(alpha, alpha * sigma)


@mistake("corrupted", wrong="C + (sigma^2 + 1e-6) I", right="C + sigma^2 I",
         seen="a jitter that makes the Cholesky factor of a singular covariance exist")
def corrupted_with_jitter(density, alpha, sigma):
    return density.corrupted(alpha, np.hypot(sigma, 1e-3))


@mistake("score", wrong="Q Q's, the part along the data", right="s", seen="the score taken for that of the law inside its subspace")
def score_along_the_manifold_only(density, x):
    values, axes = np.linalg.eigh(density.cov)
    along = axes[:, values > values[0] * (1 + 1e-6)]
    return density.score(x) @ along @ along.T


@mistake("score", wrong="-n/(alpha^2 S^2 + sigma^2), -y/sigma^2", right="-n/sigma^2, -y/(alpha^2 S^2 + sigma^2)",
         seen="eigenvalues in the order of the other routine: eigh ascends, svd descends")
def score_normal_and_tangential_swapped(density, x):
    values, axes = np.linalg.eigh(density.cov)
    return (density.mean - x) @ axes / values[::-1] @ axes.T
