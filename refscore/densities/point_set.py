r"""Point sets: the empirical law p = sum_i w_i delta(x - x_i) of n data points.

It has no density and no score. Its corruption does: x~ = alpha x + sigma z has the law sum_i w_i N(alpha x_i, sigma^2 I), a
mixture with n components, whose score is that of the ideal denoiser (systems A4):

    s(x~) = (alpha E[x | x~] - x~)/sigma^2,  E[x | x~] = sum_i r_i x_i,  r = softmax(log w_i - |x~ - alpha x_i|^2/(2 sigma^2)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refscore import _quadrature, _validate
from refscore.densities._literal import literal
from refscore.densities.gaussian_mixture import GaussianMixture


@dataclass(frozen=True, eq=False)
class PointSet:
    """Empirical law of n points in d dimensions.

    Parameters
    ----------
    points : (n, d)
    weights : (n,), optional
        Non-negative, summing to one; equal when left out.

    Raises
    ------
    ValueError
        Shapes that disagree, non-finite entries, weights that do not sum to one; and every request for the density or
        the score of the points themselves.

    Source: systems A4; [e, "data lie on a lower-dimensional manifold"].
    """

    points: Any
    weights: Any = None

    def __post_init__(self):
        points = _validate.batch(self.points, name="points").copy()
        if not points.size:
            raise ValueError(f"points has shape {points.shape}: pass at least one point with at least one coordinate")
        weights = np.array(_validate.row_weights(self.weights, len(points), "weights"))
        if abs(weights.sum() - 1) > 1e-12 + 1e-15 * len(weights):
            raise ValueError(f"weights sum to {weights.sum()}: pass weights / weights.sum()")
        for name, value in (("points", points), ("weights", weights)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"PointSet(points={literal(self.points)}, weights={literal(self.weights)})"

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.points.shape[1]

    @property
    def spectrum(self) -> np.ndarray:
        """Variances of the points, seen as components of a mixture, (n, 1): zeros."""
        return np.zeros((len(self.points), 1))

    @property
    def mean(self) -> np.ndarray:
        """Weighted mean, (d,)."""
        return self.weights @ self.points

    @property
    def cov(self) -> np.ndarray:
        """Weighted covariance sum_i w_i (x_i - m)(x_i - m)', (d, d)."""
        away = self.points - self.mean
        return (self.weights[:, None] * away).T @ away

    def logpdf(self, x):
        """Refused: a point set has no density."""
        raise ValueError("a point set has no density and no score: use .corrupted(alpha, sigma), the law of alpha x + sigma z")

    score = score_jacobian = score_divergence = logpdf_error = score_error = logpdf

    def sample(self, n: int, rng) -> np.ndarray:
        """n draws with replacement, (n, d). ``rng``: int seed or numpy Generator."""
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        cumulative = np.cumsum(self.weights)
        index = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
        return self.points[index]

    def corrupted(self, alpha: float, sigma: float) -> GaussianMixture:
        """The law of alpha x + sigma z: sum_i w_i N(alpha x_i, sigma^2 I). alpha >= 0, sigma > 0."""
        alpha, sigma = _validate.positive(alpha, "alpha", zero=True), _validate.positive(sigma, "sigma")
        variances = np.full(len(self.points), sigma * sigma)
        return GaussianMixture.rounded(self.weights, alpha * self.points, variances, mean_ulps=float(alpha != 1), cov_ulps=1)

    def joint_nodes(self, alpha: float, sigma: float, spacing: float, degree: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nodes (x0, noise, weights) of the joint law of data and noise: every point with the lattice of the noise.

        Use as `GaussianMixture.joint_nodes`; given x~ and the point the noise is known, so that ``degree`` does not matter.
        """
        u, w = _quadrature.normal_lattice(self.dim, spacing)
        x0 = np.repeat(self.points, len(u), axis=0)
        return x0, np.tile(u, (len(self.points), 1)), np.outer(self.weights, w).ravel()

    def expectation(self, f):
        """(sum_i w_i f(x_i), bound on its rounding error); f maps (n, d) to (n, ...)."""
        y = np.asarray(f(self.points), dtype=np.float64)
        if y.ndim < 1 or len(y) != len(self.points):
            raise ValueError(f"f returned shape {y.shape}: return one row a point, shape ({len(self.points)}, ...)")
        value = np.tensordot(self.weights, y, axes=1)
        error = len(y) * np.finfo(float).eps * np.tensordot(self.weights, np.abs(y), axes=1)
        return (float(value), float(error)) if np.ndim(value) == 0 else (value, error)
