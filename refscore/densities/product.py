r"""Products of densities on the line: p(x) = prod_i p_i(x_i), independent coordinates, a box with its 2 d faces.

    log p = sum_i log p_i(x_i)      s_i = (log p_i)'(x_i)      Ds diagonal      corruption: product of the corruptions
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refscore import _validate
from refscore.densities.unnormalized import Face

_NEGLIGIBLE = 1e-18


class Product:
    """The law of independent coordinates x_i ~ factors[i].

    Parameters
    ----------
    factors : sequence of densities on the line, one a coordinate (`UnnormalizedDensity`, `TruncatedGaussian`, `Beta`)

    Raises TypeError for anything else. Source: systems B3.
    """

    def __init__(self, factors: Sequence):
        self.factors = tuple(factors)
        for i, factor in enumerate(self.factors):
            if getattr(factor, "dim", None) != 1 or not hasattr(factor, "logpdf"):
                raise TypeError(f"factors[{i}] is {factor!r}: pass densities on the line, one a coordinate")
        if not self.factors:
            raise ValueError("factors is empty: pass one density a coordinate")

    @property
    def dim(self) -> int:
        """Dimension d, the number of factors."""
        return len(self.factors)

    @property
    def mean(self) -> np.ndarray:
        """E x, (d,)."""
        return np.concatenate([factor.mean for factor in self.factors])

    @property
    def cov(self) -> np.ndarray:
        """Cov x, (d, d), diagonal."""
        return np.diag([factor.cov[0, 0] for factor in self.factors])

    def logpdf(self, x) -> np.ndarray:
        """log p(x), (n,)."""
        return np.sum(self._each("logpdf", x), axis=0)

    def logpdf_error(self, x) -> np.ndarray:
        """A bound on the error of `logpdf`, (n,): those of the factors, and rounding of their sum."""
        rounding = self.dim * float(np.finfo(float).eps) * np.sum(np.abs(self._each("logpdf", x)), axis=0)
        return np.sum(self._each("logpdf_error", x), axis=0) + rounding

    def score(self, x) -> np.ndarray:
        """grad log p(x), (n, d)."""
        return np.concatenate(self._each("score", x), axis=1)

    def score_jacobian(self, x) -> np.ndarray:
        """D s(x), (n, d, d), diagonal."""
        return np.stack(self._each("score_divergence", x), axis=1)[:, :, None] * np.eye(self.dim)

    def score_divergence(self, x) -> np.ndarray:
        """tr D s(x), (n,)."""
        return np.sum(self._each("score_divergence", x), axis=0)

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, d). ``rng``: int seed or numpy Generator."""
        rng = _validate.generator(rng)
        return np.concatenate([factor.sample(n, rng) for factor in self.factors], axis=1)

    def corrupted(self, alpha: float, sigma: float) -> Product:
        """The law of alpha x + sigma z: the product of the factors' corruptions."""
        return Product([factor.corrupted(alpha, sigma) for factor in self.factors])

    def nodes(self, spacing: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (N, d) and weights (N,) with sum w f(x) ~ E f: all combinations of the factors' nodes
        of weight above 1e-18 (what they drop is felt by f that are singular at an end)."""
        return _grid(self._line(spacing))

    def faces(self, spacing: float = 1.0) -> list[Face]:
        """Each end of each factor with nodes of all other factors on it."""
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
        return [getattr(factor, method)(x[:, [i]]) for i, factor in enumerate(self.factors)]


def _grid(line: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """All combinations, grown one coordinate at a time; what becomes negligible is dropped on the way."""
    x, weights = np.zeros((1, 0)), np.ones(1)
    for points, w in line:
        kept = np.outer(weights, w) > _NEGLIGIBLE
        left, right = np.nonzero(kept)
        x, weights = np.column_stack([x[left], points[right]]), weights[left] * w[right]
    return x, weights
