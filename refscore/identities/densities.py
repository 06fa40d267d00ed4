r"""Identities of section A: densities, their scores, and their corruption."""

from __future__ import annotations

import numpy as np

from refscore.densities import Gaussian, GaussianMixture, PointSet
from refscore.identities import _textbook
from refscore.identities._registry import Comparison, identity
from refscore.identities._targets import DIMENSIONS, targets

EPS = np.finfo(float).eps


def _forms(d: int, seed: int) -> dict[str, GaussianMixture]:
    """Gaussians and mixtures with covariances of all three forms."""
    rng = np.random.default_rng((seed, d))
    covs = {"isotropic": rng.uniform(0.4, 1.5, 3), "diagonal": rng.uniform(0.4, 1.5, (3, d))}
    factor = rng.standard_normal((3, d, d)) / np.sqrt(d)
    covs["full"] = factor @ factor.transpose(0, 2, 1) + 0.3 * np.eye(d)
    means = rng.standard_normal((3, d)) + 0.5
    forms: dict[str, GaussianMixture] = {f"Gaussian, {form} covariance": Gaussian(means[0], c[0]) for form, c in covs.items()}
    return forms | {f"mixture, {form} covariances": GaussianMixture([0.2, 0.3, 0.5], means, c) for form, c in covs.items()}


@identity(
    id="A2",
    systems=("A1", "A2"),
    title="Gaussians and mixtures: log-density, score, Hessian, divergence",
    statement=r"\nabla\log p = \sum_k r_k C_k^{-1}(m_k - x),\quad \nabla^2\log p = \mathrm{Cov}_r(s_k) - \sum_k r_k C_k^{-1}",
    source="[a, sec. 3], [b, sec. 1]",
    method="differences to the strongest component vs textbook formula by complex step; total mass by quadrature",
    catches=("score_sign", "score_covariance_for_precision", "logpdf_normaliser_without_d", "logpdf_determinant_not_halved",
             "jacobian_without_posterior_covariance", "divergence_over_d"),
)
def score_of_mixtures(ops, seed):
    """log p, s, Ds and tr Ds against the textbook formula and its complex-step derivatives; the density integrates to 1."""
    for d in (*DIMENSIONS, 5):
        for name, density in _forms(d, seed).items():
            x = density.mean + 1.5 * np.random.default_rng((seed, d, 1)).standard_normal((20, d))
            bound = _textbook.rounding(density, x)
            log_p = _textbook.log_density(density, x)
            value = ops.logpdf(density, x)
            yield Comparison(f"log p: {name}, d = {d}", value, log_p, bound[:, 0] * (1 + np.abs(log_p)), 1 + np.abs(log_p))
            s = _textbook.gradient(lambda z, p=density: _textbook.log_density(p, z), x)
            steep = 1 + np.abs(s).max()
            yield Comparison(f"score: {name}, d = {d}", ops.score(density, x), s, bound * steep, steep)
            hessian = _textbook.gradient(lambda z, p=density: _textbook.score(p, z), x)
            steep = (1 + np.abs(s).max()) ** 2 + np.abs(hessian).max()
            yield Comparison(f"Ds: {name}, d = {d}", ops.score_jacobian(density, x), hessian, bound[:, :, None] * steep, steep)
            trace = np.trace(hessian, axis1=1, axis2=2)
            yield Comparison(f"tr Ds: {name}, d = {d}", ops.score_divergence(density, x), trace, d * bound[:, 0] * steep, d * steep)
    for d in (1, 2):
        for name, density in targets(d).items():
            # a rectangle grid over all mass to 1e-30 with spacing below half the smallest standard deviation
            deviation = np.sqrt(np.linalg.eigvalsh(_textbook.matrices(density)).min())
            reach = 12 * np.sqrt(np.diagonal(_textbook.matrices(density), axis1=1, axis2=2).max())
            line = np.arange(-reach, reach, 0.4 * deviation)
            grid = np.stack(np.meshgrid(*[line + m for m in density.mean], indexing="ij"), axis=-1).reshape(-1, d)
            mass = np.exp(ops.logpdf(density, grid)).sum() * (0.4 * deviation) ** d
            yield Comparison(f"total mass: {name}, d = {d}", mass, 1.0, 1e-13 * d, 1.0)


@identity(
    id="A3",
    systems=("A3",),
    title="Corruption of a mixture by Gaussian noise is a mixture, exactly",
    statement=r"\alpha X + \sigma Z \sim \sum_k w_k N(\alpha m_k, \alpha^2 C_k + \sigma^2 I)",
    source="[a, sec. 3], [b, sec. 1], [c, denoising score matching], [e, denoising score matching]",
    method="closed form vs quadrature of p(x0) N(x; alpha x0, sigma^2 I) over x0, score by complex step",
    catches=("corrupted_sigma_for_variance", "corrupted_alpha_not_squared", "corrupted_means_not_scaled"),
)
def closure_under_corruption(ops, seed):
    """Log-density and score of the corrupted law against the convolution integral."""
    rng = np.random.default_rng((seed, 3))
    for d in DIMENSIONS:
        for name, density in targets(d).items():
            for alpha, sigma in ((1.0, 0.5), (0.6, 0.8), (0.3, 0.9)):
                law = ops.corrupted(density, alpha, sigma)
                x = alpha * density.mean + rng.standard_normal((6, d))
                # in whitened coordinates the integrand is Gaussian of precision at most 1 + (alpha 1.1/sigma)^2
                spacing = 0.72 / np.sqrt(1 + (1.1 * alpha / sigma) ** 2)
                x0, w = _textbook.nodes(density, spacing)

                def log_integral(z, x0=x0, w=w, alpha=alpha, sigma=sigma, d=d):
                    rows = []
                    for row in z:  # one point at a time: the sum over x0 is long
                        square = ((row - alpha * x0) ** 2).sum(axis=1)
                        rows.append(np.log((w * np.exp(-square / (2 * sigma**2))).sum()))
                    return np.array(rows) - d * np.log(sigma * np.sqrt(2 * np.pi))

                log_p = log_integral(x)
                # the lattice's error is e^{-2 pi^2/0.72^2} = 3e-17 of the largest term; exponents up to 40 matter, each good
                # to 8 eps of itself (7e-14), and up to 2e5 terms are summed pairwise or in blocks (1e-13): 1e-12 holds them
                bound = 1e-12 * (1 + np.abs(log_p))
                case = f"{name}, d = {d}, alpha = {alpha}, sigma = {sigma}"
                yield Comparison(f"log p: {case}", ops.logpdf(law, x), log_p, bound, 1 + np.abs(log_p))
                s = _textbook.gradient(log_integral, x)
                steep = 1 + np.abs(s).max()
                yield Comparison(f"score: {case}", ops.score(law, x), s, 1e-12 * steep / sigma, steep / sigma)


@identity(
    id="A4",
    systems=("A4",),
    title="Corrupted point set: its score is the ideal denoiser's",
    statement=r"s(\tilde x) = (\alpha\sum_i r_i x_i - \tilde x)/\sigma^2,\ "
              r"r = \mathrm{softmax}(\log w_i - |\tilde x - \alpha x_i|^2/2\sigma^2)",
    source="[e, multi-scale noise perturbations]; Karras et al. 2022, eq. 57",
    method="mixture with one component a point vs the posterior mean by scipy's logsumexp",
    catches=("corrupted_sigma_for_variance", "corrupted_means_not_scaled", "score_sign", "corrupted_point_weights_dropped"),
)
def ideal_denoiser(ops, seed):
    """Weighted points with duplicates, several noise levels, d = 1, 3, 8: log-density and score by direct sums."""
    from scipy.special import logsumexp

    for d in (1, 3, 8):
        rng = np.random.default_rng((seed, d, 4))
        z = rng.standard_normal((60, d))
        points = z * np.sqrt(np.abs(z)) + 0.5
        points[7] = points[3]
        weights = rng.dirichlet(np.ones(60))
        for alpha, sigma in ((1.0, 1.0), (0.8, 0.3), (1.0, 0.05)):
            law = ops.corrupted(PointSet(points, weights), alpha, sigma)
            x = alpha * points[:12] + sigma * rng.standard_normal((12, d)) * np.array([1.0, 3.0])[np.arange(12) % 2, None]
            squares = ((x[:, None] - alpha * points) ** 2).sum(axis=2) / (2 * sigma**2)
            logs = np.log(weights) - squares
            log_p = logsumexp(logs, axis=1) - d * np.log(sigma * np.sqrt(2 * np.pi))
            posterior = np.exp(logs - logsumexp(logs, axis=1)[:, None])
            s = (alpha * posterior @ points - x) / sigma**2
            # an exponent q that matters (within 40 of the least) carries (d + 8) eps q from the sum of squares, and
            # 2 eps |x|/sigma sqrt(2 q d) from the rounding of alpha x_i; both routes do, and the score that times
            # |s_k - s| <= 2 sqrt(2 q)/sigma, besides 4 eps |x|/sigma^2 of its own
            q = squares.min(axis=1) + 40
            reach = (np.abs(x).max() + alpha * np.abs(points).max()) / sigma
            loss = 2 * EPS * ((d + 8) * q + 2 * reach * np.sqrt(2 * q * d))
            case = f"d = {d}, alpha = {alpha}, sigma = {sigma}"
            yield Comparison(f"log p: {case}", ops.logpdf(law, x), log_p, loss + 4 * EPS * np.abs(log_p), 1 + np.abs(log_p))
            bound = (2 * loss * np.sqrt(2 * q) + 4 * EPS * reach)[:, None] / sigma
            yield Comparison(f"score: {case}", ops.score(law, x), s, bound, 1 / sigma + np.abs(s).max())
