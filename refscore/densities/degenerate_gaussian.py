r"""The degenerate Gaussian: the law of m + F u, u ~ N(0, I_k), whose factor F has rank r < d: data on a subspace.

It has no density, hence no score (systems A5; [e]: "datapoints would lie on a lower dimensional manifold, data score hence
would be undefined"). Its corruption does: with F = Q diag(S) V', the law of alpha x + sigma z is

    N(alpha m, Q diag(alpha^2 S^2 + sigma^2) Q'),     S_i = 0 along the d - r normal directions.

So the score pulls along the subspace with a slope that stays bounded, and off it like -n/sigma^2, n the distance to it:

    E||s||^2 = sum_{i <= r} 1/(alpha^2 S_i^2 + sigma^2) + (d - r)/sigma^2.

The covariance is never formed to be taken apart again: it would lose sigma^2 against alpha^2 S^2 from sigma = 1e-8 S downwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refscore import _blocks, _validate
from refscore.densities._components import UNIT, Components
from refscore.densities.gaussian import Gaussian


@dataclass(frozen=True, eq=False)
class DegenerateGaussian:
    """Gaussian law on a subspace of dimension r < d.

    Parameters
    ----------
    mean : (d,)
    factor : (d, k)
        Of rank below d; singular values below max(d, k) eps times the largest count as zero.

    Raises
    ------
    ValueError
        Shapes that disagree, non-finite entries, a factor of rank d (that law is a `Gaussian`); and every request for the
        density or the score of the uncorrupted law.

    Source: systems A5; [e, "datapoints would lie on a lower dimensional manifold"].
    """

    mean: Any
    factor: Any
    _parts: Components = field(init=False, repr=False)

    def __post_init__(self):
        mean, factor = np.array(self.mean, dtype=np.float64), np.array(self.factor, dtype=np.float64)
        if mean.ndim != 1 or not mean.size or factor.ndim != 2 or len(factor) != len(mean) or not factor.size:
            raise ValueError(f"mean has shape {mean.shape}, factor {factor.shape}: pass (d,) and (d, k) with the same d, k >= 1")
        _validate.finite(mean, "mean")
        _validate.finite(factor, "factor")
        axes, singular, _ = np.linalg.svd(factor)
        spread = np.zeros(len(mean))
        spread[: len(singular)] = singular
        spread[spread <= max(factor.shape) * np.finfo(float).eps * spread[0]] = 0
        if spread.all():
            raise ValueError(f"factor has full rank {len(mean)} (smallest singular value {spread.min():.3g}), so the law is not "
                             "degenerate: use Gaussian(mean, factor @ factor.T)")
        cov, root, spectrum = factor @ factor.T, axes * spread, spread**2
        # what rounding hides in both products and in the orthogonality of the axes
        rounding = 4 * (sum(factor.shape) + 8) * UNIT * np.sqrt(len(mean)) * spectrum.sum()
        defect = np.array([np.linalg.norm(cov - root @ root.T) + rounding])
        parts = Components(np.zeros(1), mean[None], cov[None], spectrum[None], axes[None], defect)
        for name, value in (("mean", mean), ("factor", factor), ("_parts", parts)):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        """Dimension d of the space."""
        return len(self.mean)

    @property
    def rank(self) -> int:
        """Dimension r of the subspace."""
        return int((self._parts.spectrum > 0).sum())

    @property
    def spectrum(self) -> np.ndarray:
        """Variances along the axes, (1, d), the last d - r of them zero."""
        return self._parts.spectrum

    @property
    def cov(self) -> np.ndarray:
        """F F', (d, d), of rank r."""
        return self._parts.covs[0]

    def logpdf(self, x):
        """Refused: a law on a subspace has no density."""
        raise ValueError(f"a Gaussian on a subspace of dimension {self.rank} in {self.dim} has no density and no score: "
                         "use .corrupted(alpha, sigma), the law of alpha x + sigma z")

    score = score_jacobian = score_divergence = logpdf_error = score_error = logpdf

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws m + F u, (n, d). ``rng``: int seed or numpy Generator."""
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        return _blocks.map_rows(self._draw, n=n, rng=rng, row_bytes=16 * sum(self.factor.shape))

    def _draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.mean + rng.standard_normal((n, self.factor.shape[1])) @ self.factor.T

    def corrupted(self, alpha: float, sigma: float) -> Gaussian:
        """The law of alpha x + sigma z, exactly: N(alpha m, alpha^2 F F' + sigma^2 I), by its axes. alpha >= 0, sigma > 0.

        Its ``score_error`` allows for any perturbation of F F' by rounding, which for sigma below 1e-8 of the spread is a
        large bound on a small error: the axes, turned by 1e-16 at most, move the score by 1e-16 |x - m|/sigma^2.
        """
        sigma = _validate.positive(sigma, "sigma")
        return object.__new__(Gaussian)._set(np.ones(1), self._parts).corrupted(alpha, sigma)

    def expectation(self, f, **options):
        """E f(x) and an error estimate: `Gaussian.expectation` over the r coordinates in the subspace, ``options`` as there."""
        axes = self._parts.axes
        assert axes is not None
        root = (axes[0] * np.sqrt(self._parts.spectrum[0]))[:, : max(1, self.rank)]
        return Gaussian(np.zeros(root.shape[1]), 1.0).expectation(lambda u: f(self.mean + u @ root.T), **options)
