r"""Products of densities on the line: p(x) = prod_i p_i(x_i), independent coordinates, a box with its 2 d faces.

    log p = sum_i log p_i(x_i)      s_i = (log p_i)'(x_i)      Ds diagonal      corruption: product of the corruptions

The same in other orthonormal axes: x = R u, R = ``axes`` with one axis a column, and the coordinates u = R'x are independent;
s(x) = R s(u), Ds(x) = R Ds(u) R'. A mixture whose components differ along one common axis of their covariances is such a product
(`Product.of`): a mixture on that axis, a Gaussian on each of the others. What no rotation changes (total variation, KL, Fisher
divergence) is between products in the same axes what it is between their factors in the coordinate axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refscore import _validate
from refscore.densities.gaussian import Gaussian
from refscore.densities.gaussian_mixture import GaussianMixture
from refscore.densities.unnormalized import Face

_NEGLIGIBLE = 1e-18
_SAME = 1e-12
"""Up to which, relative to the law, means and covariances count as equal, and off-diagonal entries as zero."""


class Product:
    """The law of independent coordinates u_i ~ factors[i], x = axes u.

    Parameters
    ----------
    factors : sequence of densities on the line, one a coordinate (`UnnormalizedDensity`, `GaussianMixture`, `PushForward`, ...)
    axes : (d, d), optional
        Orthonormal, one axis a column; the coordinate axes by default.

    Raises TypeError for other factors, ValueError for axes that are not orthonormal. Source: systems B3, H5.
    """

    def __init__(self, factors: Sequence, axes=None):
        self.factors = tuple(factors)
        for i, factor in enumerate(self.factors):
            if getattr(factor, "dim", None) != 1 or not hasattr(factor, "logpdf"):
                raise TypeError(f"factors[{i}] is {factor!r}: pass densities on the line, one a coordinate")
        if not self.factors:
            raise ValueError("factors is empty: pass one density a coordinate")
        self.axes = None if axes is None else _orthonormal(axes, self.dim)

    @classmethod
    def of(cls, mixture: GaussianMixture, axes=None) -> Product:
        """``mixture`` as a product in the given axes, up to 1e-12 of its size.

        Raises ValueError where it is none: covariances that are not diagonal in these axes, components that differ along two of
        them.
        """
        if not isinstance(mixture, GaussianMixture):
            raise TypeError(f"mixture is {type(mixture).__name__}: pass a Gaussian or a GaussianMixture")
        turn = np.eye(mixture.dim) if axes is None else _orthonormal(axes, mixture.dim)
        means, variances = mixture.means @ turn, np.broadcast_to(mixture.spectrum, mixture.means.shape)
        if mixture.covs.ndim == 3 or (axes is not None and mixture.covs.ndim == 2):
            full = mixture.covs if mixture.covs.ndim == 3 else mixture.covs[:, None, :] * np.eye(mixture.dim)
            full = turn.T @ full @ turn
            variances = np.diagonal(full, axis1=1, axis2=2)
            crossed = np.abs(full - variances[:, None, :] * np.eye(mixture.dim)).max()
            if not crossed <= _SAME * np.abs(full).max():
                raise ValueError(f"a covariance of the mixture has entries up to {crossed:.3g} off the diagonal in these axes: its "
                                 "coordinates are not independent")
        same = (np.ptp(means, axis=0) <= _SAME * np.abs(means).max()) & (np.ptp(variances, axis=0) <= _SAME * variances.max(axis=0))
        if (~same).sum() > 1:
            raise ValueError(f"the components differ along the axes {np.flatnonzero(~same).tolist()}, and should along one: pass "
                             "Product([...]) of mixtures on the line for what is a product in several axes")
        return cls([Gaussian(means[0, [i]], variances[0, i]) if same[i] else
                    GaussianMixture(mixture.weights, means[:, [i]], variances[:, i]) for i in range(mixture.dim)], axes)

    @property
    def dim(self) -> int:
        """Dimension d, the number of factors."""
        return len(self.factors)

    @property
    def mean(self) -> np.ndarray:
        """E x, (d,)."""
        return self._turned(np.concatenate([factor.mean for factor in self.factors]))

    @property
    def cov(self) -> np.ndarray:
        """Cov x, (d, d), diagonal in the axes."""
        return self._turned(self._turned(np.diag([factor.cov[0, 0] for factor in self.factors])).T)

    def logpdf(self, x) -> np.ndarray:
        """log p(x), (n,)."""
        return np.sum(self._each("logpdf", x), axis=0)

    def logpdf_error(self, x) -> np.ndarray:
        """A bound on the error of `logpdf`, (n,): those of the factors, and rounding of their sum."""
        rounding = self.dim * float(np.finfo(float).eps) * np.sum(np.abs(self._each("logpdf", x)), axis=0)
        return np.sum(self._each("logpdf_error", x), axis=0) + rounding

    def score(self, x) -> np.ndarray:
        """grad log p(x), (n, d)."""
        return self._turned(np.concatenate(self._each("score", x), axis=1))

    def score_jacobian(self, x) -> np.ndarray:
        """D s(x), (n, d, d), diagonal in the axes."""
        diagonal = np.stack(self._each("score_divergence", x), axis=1)[:, :, None] * np.eye(self.dim)
        return self._turned(self._turned(diagonal).transpose(0, 2, 1))

    def score_divergence(self, x) -> np.ndarray:
        """tr D s(x), (n,)."""
        return np.sum(self._each("score_divergence", x), axis=0)

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, d). ``rng``: int seed or numpy Generator."""
        rng = _validate.generator(rng)
        return self._turned(np.concatenate([factor.sample(n, rng) for factor in self.factors], axis=1))

    def corrupted(self, alpha: float, sigma: float) -> Product:
        """The law of alpha x + sigma z: the product of the factors' corruptions."""
        return Product([factor.corrupted(alpha, sigma) for factor in self.factors], self.axes)

    def nodes(self, spacing: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (N, d) and weights (N,) with sum w f(x) ~ E f: all combinations of the factors' nodes
        of weight above 1e-18 (what they drop is felt by f that are singular at an end)."""
        x, weights = _grid(self._line(spacing))
        return self._turned(x), weights

    def faces(self, spacing: float = 1.0) -> list[Face]:
        """Each end of each factor with nodes of all other factors on it. ValueError in turned axes."""
        if self.axes is not None:
            raise ValueError("faces are told by the coordinate axis that they stand on: pass a Product without axes")
        line = self._line(spacing)
        out = []
        for axis, factor in enumerate(self.factors):
            for end in factor.faces():
                points, weights = _grid([*line[:axis], (end.points, np.ones(1)), *line[axis + 1:]])
                out.append(Face(axis, end.normal, points, weights * end.weights, weights * end.doubt))
        return out

    def _line(self, spacing: float) -> list[tuple[np.ndarray, np.ndarray]]:
        return [factor.nodes(spacing, _NEGLIGIBLE) for factor in self.factors]

    def _each(self, method: str, x) -> list[np.ndarray]:
        x = _validate.batch(x, self.dim)
        u = x if self.axes is None else x @ self.axes
        return [getattr(factor, method)(u[:, [i]]) for i, factor in enumerate(self.factors)]

    def _turned(self, u: np.ndarray) -> np.ndarray:
        """From coordinates in the axes, last, to x."""
        return u if self.axes is None else u @ self.axes.T


def _orthonormal(axes, dim: int) -> np.ndarray:
    axes = _validate.finite(np.array(axes, dtype=np.float64), "axes")
    if axes.shape != (dim, dim) or not np.abs(axes.T @ axes - np.eye(dim)).max() <= _SAME:
        raise ValueError(f"axes has shape {axes.shape}: pass ({dim}, {dim}) with orthonormal columns, such as eigh(C)[1]")
    axes.flags.writeable = False
    return axes


def _grid(line: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """All combinations, grown one coordinate at a time; what becomes negligible is dropped on the way."""
    x, weights = np.zeros((1, 0)), np.ones(1)
    for points, w in line:
        kept = np.outer(weights, w) > _NEGLIGIBLE
        left, right = np.nonzero(kept)
        x, weights = np.column_stack([x[left], points[right]]), weights[left] * w[right]
    return x, weights
