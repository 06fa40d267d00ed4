r"""The law of y = m(x), x ~ p on the line, for a smooth increasing map m: a change of variables.

    log q(y) = log p(x) - log m'(x),     s_q(y) = (s_p(x) - m''(x)/m'(x))/m'(x),     Q(y) = P(x),     x = m^{-1}(y)

What becomes of a law in noise-free steps: a deterministic sampler, or the last step of a noisy one (systems H5). Total
variation does not see the coordinates: TV(m#p, q) = TV(p, m^{-1}#q).

m is a black box, and is replaced by polynomials on panels (`_increasing`), from 9.5 standard deviations below the lowest component
of p to as many above the highest; beyond, where 2e-21 of the mass is, by its tangents. If the polynomials are m + delta, the law
moves in total variation by 1/2 int |(p delta/m')'| dx, of which int p |delta'|/m' is the main part: that is ``error``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from refscore import _blocks, _panels, _validate
from refscore.densities import _increasing
from refscore.densities.gaussian_mixture import GaussianMixture

_PANELS_PER_STD = 0.5
_ROW_BYTES = 4 * 8 * _panels.ORDER  # a row's series and its derivatives


class PushForward:
    """The law of transform(x), x ~ base.

    Parameters
    ----------
    base : Gaussian or GaussianMixture in one dimension
    transform : callable, (n, 1) -> (n, 1)
        Increasing, with a derivative above 0, and smooth: analytic around the real axis, so that polynomials find it. It is seen at
        points only, 40 on each panel of at most two standard deviations of the narrowest component around.

    Raises
    ------
    TypeError, ValueError
        A base that is no mixture on the line, a map that is not callable, has the wrong shape, is not finite or not increasing.

    Source: systems H5; [b, "Probability flow"].
    """

    def __init__(self, base: GaussianMixture, transform: Callable):
        if not isinstance(base, GaussianMixture) or base.dim != 1:
            raise TypeError(f"base is {base!r}: pass a Gaussian or a GaussianMixture in one dimension")
        if not callable(transform):
            raise TypeError(f"transform is {transform!r}: pass a map of points (n, 1) to (n, 1)")
        self.base, self.transform = base, transform
        self._map = _increasing.resolved(self._values, base.grid(_PANELS_PER_STD))

    def __repr__(self) -> str:
        return f"PushForward({self.base!r}, {self.transform!r})"

    @property
    def dim(self) -> int:
        """Dimension, 1."""
        return 1

    @cached_property
    def error(self) -> float:
        """Estimate of how far the law is from that of the map itself, in total variation (module docstring)."""
        mass = np.diff(self.base.cdf(self._map.edges[:, None]))
        return float(mass @ self._map.slope_error)

    @cached_property
    def mean(self) -> np.ndarray:
        """E y, (1,)."""
        return self.expectation(lambda y: y)[0]

    @cached_property
    def cov(self) -> np.ndarray:
        """Var y, (1, 1)."""
        return self.expectation(lambda y: (y - self.mean) ** 2)[0][:, None]

    def logpdf(self, y) -> np.ndarray:
        """log q(y), (n,)."""
        x, slope, _ = self._preimage(y)
        return self.base.logpdf(x) - np.log(slope)

    def score(self, y) -> np.ndarray:
        """d/dy log q(y), (n, 1)."""
        x, slope, bend = self._preimage(y)
        return (self.base.score(x) - (bend / slope)[:, None]) / slope[:, None]

    def logpdf_error(self, y) -> np.ndarray:
        """An estimate of |logpdf(y) - its exact value|, (n,): of the base, of the slope of the map, and of the preimage."""
        x, slope, bend = self._preimage(y)
        panel = np.clip(np.searchsorted(self._map.edges, x[:, 0], side="right") - 1, 0, len(self._map.slope_error) - 1)
        moved = 8 * _panels.EPS * (np.abs(np.asarray(y)[:, 0]) / slope + np.abs(x[:, 0]))
        steep = np.abs(self.base.score(x)[:, 0]) + np.abs(bend / slope)
        return self.base.logpdf_error(x) + self._map.slope_error[panel] + moved * steep

    def cdf(self, y) -> np.ndarray:
        """P(Y <= y), (n,)."""
        return self.base.cdf(self._preimage(y)[0])

    def sf(self, y) -> np.ndarray:
        """P(Y > y), (n,): accurate where `cdf` is 1 to rounding."""
        return self.base.sf(self._preimage(y)[0])

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, 1). ``rng``: int seed or numpy Generator."""
        return self._image(self.base.sample(n, rng))

    def expectation(self, f, **options) -> tuple:
        """E f(y) and an error estimate, by `GaussianMixture.expectation` of f(m(x)), with its options."""
        return self.base.expectation(lambda x: f(self._image(x)), **options)

    def nodes(self, spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (N, 1) and weights (N,) with sum w f(y) ~ E f: images of those of the base."""
        x, weights = self.base.nodes(spacing)
        return self._image(x), weights

    def grid(self, per_std: float) -> np.ndarray:
        """Sorted points that resolve the law: images of those of the base."""
        return self._map(self.base.grid(per_std))[0]

    def _image(self, x: np.ndarray) -> np.ndarray:
        return _blocks.map_rows(self._map.__call__, x[:, 0], row_bytes=_ROW_BYTES)[0][:, None]

    def _preimage(self, y) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, slope, bend = _blocks.map_rows(self._map.inverse, _validate.batch(y, 1, "y")[:, 0], row_bytes=_ROW_BYTES)
        return x[:, None], slope, bend

    def _values(self, x: np.ndarray) -> np.ndarray:
        y = np.asarray(self.transform(x[:, None]), dtype=np.float64)
        if y.shape != (len(x), 1):
            raise ValueError(f"transform returned shape {y.shape} for {len(x)} points: return shape ({len(x)}, 1)")
        return y[:, 0]
