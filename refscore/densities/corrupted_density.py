r"""The law of x~ = alpha x + sigma z, z ~ N(0, 1), for x with any density on the line, by quadrature.

With z(x) = (x~ - alpha x)/sigma, the noise that leads from x to x~, and E[. | x~] the mean over x given x~,

    q(x~)   = int p(x) phi(z(x))/sigma dx
    s(x~)   = -E[z | x~]/sigma                              (systems B10)
    Ds(x~)  = (Var[z | x~] - 1)/sigma^2                     (the second-order Tweedie formula, B12)

so that one set of three integrals a point gives all of them, each with its error. Deviations of z are taken as
-alpha/sigma (x - c) from a point c near the mean of x, as z - E z loses all digits where the noise dominates. q has full support
and is smooth, whatever kinks, jumps, gaps and ends p has.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refscore import _blocks, _panels, _quadrature, _validate

_ROW_BYTES = 1 << 13
_LIMIT = 1e150  # of `_panels`: the clean law is not looked at beyond


class CorruptedDensity:
    """The law of alpha x + sigma z, by quadrature over x given x~ for every point.

    Parameters
    ----------
    clean : UnnormalizedDensity
        The law of x.
    alpha, sigma : float
        Signal scale, at least 0, and standard deviation of the noise, above 0.

    Raises ValueError where log q or an error exceeds float64, and where the noise is narrower than the spacing of floats at x.
    Source: systems A6, B10, B12; [a, "proof of DSM"].
    """

    def __init__(self, clean: Any, alpha: float, sigma: float):
        self.clean = clean
        self.alpha, self.sigma = _validate.positive(alpha, "alpha", zero=True), _validate.positive(sigma, "sigma")

    @property
    def dim(self) -> int:
        """Dimension, 1."""
        return 1

    @property
    def mean(self) -> np.ndarray:
        """alpha E x, (1,)."""
        return self.alpha * self.clean.mean

    @property
    def cov(self) -> np.ndarray:
        """alpha^2 Var x + sigma^2, (1, 1)."""
        return self.alpha**2 * self.clean.cov + self.sigma**2

    @property
    def support(self) -> tuple[tuple[float, float], ...]:
        """The whole line, whatever the support of the clean law."""
        return ((-math.inf, math.inf),)

    def faces(self, spacing: float = 1.0) -> list:
        """None: the law has full support."""
        return []

    def logpdf(self, x) -> np.ndarray:
        """log q(x), (n,)."""
        return self._values(x)[0][0]

    def score(self, x) -> np.ndarray:
        """s(x) = -E[z | x]/sigma, (n, 1)."""
        return self._values(x)[0][1][:, None]

    def score_jacobian(self, x) -> np.ndarray:
        """s'(x) = (Var[z | x] - 1)/sigma^2, (n, 1, 1)."""
        return self._values(x)[0][2][:, None, None]

    def score_divergence(self, x) -> np.ndarray:
        """s'(x), (n,)."""
        return self._values(x)[0][2]

    def logpdf_error(self, x) -> np.ndarray:
        """Error estimate of `logpdf`, (n,)."""
        return self._values(x)[1][0]

    def score_error(self, x) -> np.ndarray:
        """Error estimate of `score`, (n, 1)."""
        return self._values(x)[1][1][:, None]

    def score_jacobian_error(self, x) -> np.ndarray:
        """Error estimate of `score_jacobian`, (n, 1, 1)."""
        return self._values(x)[1][2][:, None, None]

    def expectation(self, f, *, tolerance: float = 1e-10) -> tuple[Any, Any]:
        """E f(x) and an error estimate: over the noise on a lattice (`_quadrature`), over the clean x by panels.

        f maps (n, 1) to (n, ...) and must be smooth on the scale of the noise; two lattices are compared.
        """
        lattices = [_quadrature.normal_lattice(1, spacing) for spacing in (0.45, 0.32)]

        def smoothed(x):
            means = []
            for z, w in lattices:
                y = np.asarray(f((self.alpha * x + self.sigma * z[:, 0]).reshape(-1, 1)), dtype=np.float64)
                means.append(np.tensordot(y.reshape(*x.shape[:1], len(w), *y.shape[1:]), w, axes=(1, 0)))
            return np.stack(means, axis=1)

        value, error = self.clean.expectation(smoothed, tolerance=tolerance)
        result = value[1], error[1] + 2 * np.abs(value[1] - value[0])
        return (float(result[0]), float(result[1])) if np.ndim(result[0]) == 0 else result

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, 1). ``rng``: int seed or numpy Generator."""
        rng = _validate.generator(rng)
        x = self.clean.sample(n, rng)
        return self.alpha * x + self.sigma * rng.standard_normal(x.shape)

    def corrupted(self, alpha: float, sigma: float) -> CorruptedDensity:
        """Corrupted once more: alpha alpha' and hypot(alpha' sigma, sigma') of the same clean law."""
        alpha, sigma = _validate.positive(alpha, "alpha", zero=True), _validate.positive(sigma, "sigma")
        return CorruptedDensity(self.clean, alpha * self.alpha, math.hypot(alpha * self.sigma, sigma))

    def _values(self, x) -> tuple[tuple, tuple]:
        """(log q, s, s') and their errors."""
        x = _validate.batch(x, 1)
        out = _blocks.map_rows(self._rows, x, row_bytes=_ROW_BYTES)
        return tuple(out[:, :3].T), tuple(out[:, 3:].T)

    def _rows(self, x: np.ndarray) -> np.ndarray:
        y, slope = x[:, 0], self.alpha / self.sigma
        cuts, owners = self._cut(y)

        def noise(points, owner):
            return (y[owner] - self.alpha * points) / self.sigma

        def log_g(points, owner):
            with np.errstate(over="ignore"):
                return self.clean._log(points) - 0.5 * noise(points, owner) ** 2

        def first(points, owner):
            return np.stack([np.ones_like(points), slope * points], axis=1)

        found = _panels.integrate(log_g, first, _panels.Panels.of(cuts, owners), len(y))
        if not (found.value[:, 0] > 0).all():
            far = y[int(np.argmin(found.value[:, 0]))]
            raise ValueError(f"at x = {far} log q lies below the range of float64: rescale the coordinates")
        centre = found.value[:, 1] / found.value[:, 0] / slope if slope > 0 else np.zeros(len(y))

        def central(points, owner):
            z = slope * (centre[owner] - points)
            return np.stack([np.ones_like(z), z, z * z], axis=1)

        found = _panels.integrate(log_g, central, found.panels, len(y))
        mass = found.value[:, :1]
        _, mean, square = (found.value / mass).T
        e0, e1, e2 = ((found.error + found.size * found.error[:, :1] / mass) / mass).T
        log_z, error_z = self.clean.log_normalizer()
        log_q = found.shift + np.log(mass[:, 0]) - log_z - math.log(self.sigma) - 0.5 * math.log(2 * math.pi)
        rounding = 4 * _panels.EPS * (np.abs(found.shift) + abs(log_z) + np.abs(log_q))
        z = noise(centre, slice(None))
        rounding_z = _panels.EPS * (4 * np.abs(z) + slope * np.abs(centre))
        rows = np.stack([
            log_q, -(z + mean) / self.sigma, (square - mean**2 - 1) / self.sigma**2,
            e0 + error_z + rounding, (e1 + rounding_z) / self.sigma,
            (e2 + 2 * np.abs(mean) * e1 + 4 * _panels.EPS) / self.sigma**2,
        ], axis=1)
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            raise ValueError(f"at x = {y[int(np.argmax(bad))]} with alpha = {self.alpha}, sigma = {self.sigma} log q, its "
                             "derivatives or their errors exceed float64: rescale the coordinates, or add more noise")
        return rows

    def _cut(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pieces of the clean law for every row, cut once more where the noise kernel peaks, and their owners."""
        pieces = np.tile(self.clean._cuts, (len(y), 1))
        owner = np.repeat(np.arange(len(y)), len(self.clean._cuts))
        if self.alpha == 0:
            return pieces, owner
        with np.errstate(over="ignore"):
            peak = (y / self.alpha)[owner]
        within = (pieces[:, 0] < peak) & (peak < pieces[:, 1]) & (np.abs(peak) < _LIMIT)
        unseen = within & (self.sigma < np.spacing(np.abs(y))[owner])
        if unseen.any():
            raise ValueError(f"sigma is {self.sigma}, below the spacing of floats at x = {y[owner][int(np.argmax(unseen))]}: noise "
                             "that narrow is lost in the rounding of x; take more noise, or the clean law at x/alpha")
        first = np.where(within, peak, pieces[:, 1])
        both = np.concatenate([np.column_stack([pieces[:, 0], first]), np.column_stack([peak, pieces[:, 1]])[within]])
        return both, np.concatenate([owner, owner[within]])
