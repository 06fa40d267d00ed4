r"""Gaussian mixtures: p(x) = sum_k w_k N(x; m_k, C_k), the law on which everything can be computed.

    log p = log sum_k e^{l_k},  l_k = log w_k - 1/2 (x - m_k)'C_k^{-1}(x - m_k) - 1/2 log det(2 pi C_k)
    s     = grad log p = sum_k r_k C_k^{-1}(m_k - x),          r = softmax(l)
    Ds    = Cov_r(s_k) - sum_k r_k C_k^{-1},                   div s = tr Ds

Closed under Gaussian corruption x~ = alpha x + sigma z: weights stay, m -> alpha m, C -> alpha^2 C + sigma^2 I
(systems A2, A3). `_components` holds the arithmetic, which is accurate to |x| = 1e150 and sigma = 1e-150.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from refscore import _blocks, _quadrature, _validate
from refscore.densities import _cells, _expectation, _grid, _rows
from refscore.densities._components import Components
from refscore.densities._literal import literal

_VARIANCES = 1e-304, 1e304  # so that neither a variance nor its inverse leaves the range of float64


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Mixture of K Gaussians in d dimensions.

    Parameters
    ----------
    weights : (K,) non-negative, summing to one
    means : (K, d)
    covs : (K,) isotropic variances, (K, d) variances along the axes, or (K, d, d) covariances

    Raises
    ------
    ValueError
        Weights that are negative or do not sum to one, shapes that disagree, a covariance that is not symmetric and
        positive definite, variances outside [1e-304, 1e304].

    Source: systems A2, A3; [a, sec. 3], [b, sec. 1].
    """

    weights: Any
    means: Any
    covs: Any
    _parts: Components = field(init=False, repr=False)

    def __post_init__(self):
        weights, means, covs = (np.array(a, dtype=np.float64) for a in (self.weights, self.means, self.covs))
        if weights.ndim != 1 or means.ndim != 2 or len(weights) != len(means) or not means.size:
            raise ValueError(f"weights {weights.shape} and means {means.shape}: pass (K,) and (K, d) with the same K >= 1, d >= 1")
        for name, array in (("weights", weights), ("means", means), ("covs", covs)):
            _validate.finite(array, name)
        if (weights < 0).any() or abs(weights.sum() - 1) > 1e-12 + 1e-15 * len(weights):
            raise ValueError(f"weights must be non-negative and sum to 1 (smallest {weights.min()}, sum {weights.sum()}): "
                             "pass weights / weights.sum()")
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
        spectrum, axes, defect = _spectrum(covs, *means.shape)
        self._set(weights, Components(log_weights, means, covs, spectrum, axes, defect))

    @classmethod
    def rounded(cls, weights, means, covs, mean_ulps: float, cov_ulps: float) -> GaussianMixture:
        """A mixture whose parameters are known to so many units in the last place: the error bounds take it into account."""
        exact = GaussianMixture(weights, means, covs)
        return object.__new__(cls)._set(exact.weights, replace(exact._parts, mean_ulps=mean_ulps, cov_ulps=cov_ulps))

    def _set(self, weights: np.ndarray, parts: Components):
        for name, value in (("weights", weights), ("means", parts.means), ("covs", parts.covs)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_parts", parts)
        return self

    def __repr__(self) -> str:
        return f"GaussianMixture(weights={literal(self.weights)}, means={literal(self.means)}, covs={literal(self.covs)})"

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.means.shape[1]

    @property
    def spectrum(self) -> np.ndarray:
        """Variances of the components along their axes, (K, d), or (K, 1) when they are isotropic."""
        return self._parts.spectrum

    @property
    def mean(self) -> np.ndarray:
        """E x = sum_k w_k m_k, (d,)."""
        return self.weights @ self.means

    @property
    def cov(self) -> np.ndarray:
        """Cov x = sum_k w_k [C_k + (m_k - m)(m_k - m)'], (d, d)."""
        away = self.means - self.mean
        within = np.tensordot(self.weights, self.covs, axes=1)
        within = within if self.covs.ndim == 3 else np.eye(self.dim) * within
        return within + (self.weights[:, None] * away).T @ away

    def logpdf(self, x) -> np.ndarray:
        """log p(x), (n,). Where it lies below -1.8e308 (|x|/sigma above 1e154) it is -inf, its correct rounding."""
        x = _validate.batch(x, self.dim)
        return _blocks.map_rows(partial(_rows.log_density, self._parts), x, row_bytes=self._row_bytes(1))

    def score(self, x) -> np.ndarray:
        """grad log p(x) = sum_k r_k C_k^{-1}(m_k - x), (n, d)."""
        x = _validate.batch(x, self.dim)
        return _blocks.map_rows(partial(_rows.score, self._parts), x, row_bytes=self._row_bytes(1))

    def score_jacobian(self, x) -> np.ndarray:
        """D s(x) = grad^2 log p(x) = Cov_r(s_k) - sum_k r_k C_k^{-1}, (n, d, d), symmetric."""
        x = _validate.batch(x, self.dim)
        return _blocks.map_rows(partial(_rows.jacobian, self._parts), x, row_bytes=self._row_bytes(2 * self.dim))

    def score_divergence(self, x) -> np.ndarray:
        """div s(x) = tr D s(x), (n,)."""
        x = _validate.batch(x, self.dim)
        return _blocks.map_rows(partial(_rows.divergence, self._parts), x, row_bytes=self._row_bytes(2 * self.dim))

    def score_spread(self, x) -> np.ndarray:
        """sum_k r_k |s_k(x) - s(x)|^2, (n,): how far apart the scores of the components are given x; div s + sum_k r_k tr C_k^{-1}.

        Summed from positive terms: where one component explains x it is small, and still known to its leading digits.
        """
        x = _validate.batch(x, self.dim)
        return _blocks.map_rows(partial(_rows.spread, self._parts), x, row_bytes=self._row_bytes(2 * self.dim))

    def logpdf_error(self, x) -> np.ndarray:
        """A bound on |logpdf(x) - its exact value|, (n,)."""
        x = _validate.batch(x, self.dim)
        return _blocks.map_rows(partial(_rows.log_density_error, self._parts), x, row_bytes=self._row_bytes(8 * self.dim))

    def score_error(self, x) -> np.ndarray:
        """A bound on |score(x) - its exact value|, entry by entry, (n, d)."""
        x = _validate.batch(x, self.dim)
        return _blocks.map_rows(partial(_rows.score_error, self._parts), x, row_bytes=self._row_bytes(8 * self.dim))

    def cdf(self, x) -> np.ndarray:
        """P(X <= x) in one dimension, (n,), by the normal distribution function (Cephes, as in SciPy)."""
        return self._tail(x, 1.0)

    def sf(self, x) -> np.ndarray:
        """P(X > x) in one dimension, (n,): accurate where `cdf` is 1 to rounding."""
        return self._tail(x, -1.0)

    def grid(self, per_std: float) -> np.ndarray:
        """Sorted points on the line, at least ``per_std`` in a standard deviation of the narrowest component around."""
        self._on_the_line("a grid")
        return _grid.around(self.weights, self.means[:, 0], self.covs.reshape(-1), _validate.positive(per_std, "per_std"))

    def _tail(self, x, side: float) -> np.ndarray:
        self._on_the_line("the distribution function")
        x = _validate.batch(x, 1)
        return _blocks.map_rows(partial(_rows.tail, self._parts, self.weights, side), x, row_bytes=self._row_bytes(1))

    def _on_the_line(self, what: str) -> None:
        if self.dim != 1:
            raise ValueError(f"{what} is defined for d = 1, this density has d = {self.dim}: project it first")

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, d). ``rng``: int seed or numpy Generator."""
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        return _blocks.map_rows(partial(_rows.draw, self._parts, self.weights), n=n, rng=rng, row_bytes=32 * (self.dim + 1))

    def corrupted(self, alpha: float, sigma: float):
        """The law of alpha x + sigma z, z ~ N(0, I): means alpha m_k, covariances alpha^2 C_k + sigma^2 I (systems A3).

        alpha >= 0 and sigma >= 0, not both zero.
        """
        alpha, sigma = _validate.positive(alpha, "alpha", zero=True), _validate.positive(sigma, "sigma", zero=True)
        parts = self._parts
        s2 = sigma * sigma
        spectrum = alpha * (alpha * parts.spectrum) + s2
        _check_range(spectrum, f"covariance after corruption with alpha = {alpha}, sigma = {sigma}")
        covs = alpha * (alpha * parts.covs) + (s2 * np.eye(self.dim) if parts.covs.ndim == 3 else s2)
        return object.__new__(type(self))._set(self.weights, Components(
            parts.log_weights, alpha * parts.means, covs, spectrum, parts.axes, alpha * (alpha * parts.defect),
            parts.mean_ulps + (0 if _is_power_of_two(alpha) else 1), parts.cov_ulps + 4))

    def nodes(self, spacing: float, laws=()) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (N, d) and weights (N,) with sum w f(x) ~ E f: a lattice of the given spacing in every whitened component.

        ``spacing`` in standard deviations, at most 0.9. How fine it must be depends on f: halve it and compare. Where components of
        ``laws`` are much narrower than one of p in which they lie, that one has boxes in place of the lattice, as in `expectation`.
        """
        narrow = _cells.narrow_within(self, tuple(laws))
        u, w = _quadrature.normal_lattice(self.dim, _spacing(spacing))
        found = [_cells.nodes(narrow[k]) if k in narrow else (u, w) for k in range(len(self.means))]
        x = [self.placed(k, at) for k, (at, _) in enumerate(found)]
        return np.concatenate(x), np.concatenate([weight * shares for weight, (_, shares) in zip(self.weights, found, strict=True)])

    def joint_nodes(self, alpha: float, sigma: float, spacing: float, degree: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nodes (x0, noise, weights) of the joint law of data and noise, x~ = alpha x0 + sigma noise.

        Exact, up to the lattice's error in x~, for integrands that are polynomials of ``degree`` in the noise at given x~:
        degree 2 for all denoising objectives and their gradients, 4 for their variances. Given x~ and the component, the noise is
        N(sigma/c y, alpha^2 lambda/c) along each axis (y = x~ - alpha m, c = alpha^2 lambda + sigma^2), and the nodes of
        `_quadrature.normal_rule` carry its moments.
        """
        alpha, sigma = _validate.positive(alpha, "alpha", zero=True), _validate.positive(sigma, "sigma")
        u, w = _quadrature.normal_lattice(self.dim, _spacing(spacing))
        corners, shares = _quadrature.normal_rule(self.dim, _validate.count(degree, "degree"))
        x0, noise = [], []
        for k, mean in enumerate(self.means):  # every node of u with every corner
            lam = self._parts.spectrum[k]
            root = np.sqrt(alpha * alpha * lam + sigma * sigma)
            along, across = self._rotate(k, sigma / root * u), self._rotate(k, alpha * np.sqrt(lam) / root * corners)
            noise.append((along[:, None] + across).reshape(-1, self.dim))
            along, across = self._rotate(k, alpha * lam / root * u), self._rotate(k, sigma * np.sqrt(lam) / root * corners)
            x0.append((mean + along[:, None] - across).reshape(-1, self.dim))
        return np.concatenate(x0), np.concatenate(noise), np.outer(self.weights, np.outer(w, shares)).ravel()

    def expectation(self, f, *, tolerance: float = 1e-11, max_nodes: int = 4_000_000, laws=None):
        """E f(x) and an error estimate: by lattices in every component, by boxes where something much narrower lies within.

        Parameters
        ----------
        f : callable, (n, d) -> (n, ...)
            Smooth on the scale of the components: analytic around the real axis, without features much narrower than half a
            standard deviation of the component they lie in (a spike between the nodes is not seen) other than those of ``laws``.
        tolerance : float
            Nodes are added until the error estimate is below ``tolerance`` times E|f|, or ``max_nodes`` is reached.
        max_nodes : int
            The largest lattice, and the number of nodes in all boxes.
        laws : sequence of densities, optional
            Those that f is built from; p itself by default. Components that lie within one of p more than sixteen times as wide (in
            the plane four times) are resolved there (`_cells`), and where lattices fail in the plane and in space, twice as wide.
            Pass () for an f that does not vary on their scale, such as a polynomial.

        Returns
        -------
        value, error : arrays of f's trailing shape (floats for scalar f)
            The error is an estimate, see `_expectation` and `_cells`. A RuntimeWarning says when it is above ``tolerance``.

        Raises
        ------
        ValueError
            When even coarse lattices or boxes need more than ``max_nodes`` nodes (dimension too high, or thin components
            askew within wide ones), or f returns a wrong shape.
        """
        value, error, size = _expectation.expectation(self, f, (self,) if laws is None else tuple(laws), tolerance, max_nodes)
        if not (error <= tolerance * size).all():
            warnings.warn(f"expectation: the error estimate {np.max(error):.1e} is above tolerance {tolerance:.0e} times E|f|: "
                          "f is not smooth on the scale of the density, or max_nodes is too small", RuntimeWarning, stacklevel=2)
        return _scalar(value), _scalar(error)

    def placed(self, k: int, u: np.ndarray) -> np.ndarray:
        """m_k + C_k^{1/2} u, (n, d), for standard coordinates u along the axes of component k; narrow ones keep their digits."""
        return self.means[k] + self._rotate(k, u * np.sqrt(self._parts.spectrum[k]))

    def _rotate(self, k: int, y: np.ndarray) -> np.ndarray:
        """From the axes of component k to the coordinates."""
        if self._parts.axes is None:
            return y
        with _blocks.one_blas_thread:
            return y @ self._parts.axes[k].T

    def _row_bytes(self, width: int) -> int:
        """Temporaries of a row, ``width`` numbers a component; small enough for 256 rows in 16 MiB, and for 32 in any case.

        Fewer rows would spend their time on calls: the logits are computed in place, and outside the cache not much slower.
        """
        needed = 8 * len(self.means) * max(self.dim if self.covs.ndim == 3 else 1, width)
        return min(needed, _blocks.BLOCK_BYTES // max(32, min(256, (1 << 24) // needed)))


def _spectrum(covs: np.ndarray, count: int, dim: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """(lambda, Q, norm of C - Q diag(lambda) Q') of covariances in any of the three forms."""
    shapes = {(count,): "isotropic", (count, dim): "diagonal", (count, dim, dim): "full"}
    if covs.shape not in shapes:
        raise ValueError(f"covs has shape {covs.shape}: pass (K,) variances, (K, d) variances or (K, d, d) covariances "
                         f"with K = {count}, d = {dim}")
    if covs.ndim < 3:
        spectrum = covs.reshape(count, -1)
        _check_range(spectrum, "covs")
        return spectrum, None, np.zeros(count)
    if not (np.abs(covs - covs.transpose(0, 2, 1)) <= 1e-12 * np.abs(covs).max(axis=(1, 2), keepdims=True)).all():
        raise ValueError("covs must be symmetric: pass (C + C.transpose(0, 2, 1)) / 2")
    spectrum, axes = np.linalg.eigh(covs)
    if not (spectrum > 0).all():
        k = int(np.argmin(spectrum.min(axis=1)))
        raise ValueError(f"covs[{k}] is not positive definite (smallest eigenvalue {spectrum[k].min():.3g}): "
                         "a degenerate law has no density; add sigma^2 to the diagonal")
    _check_range(spectrum, "covs")
    scale = spectrum.max(axis=1)
    relative = spectrum[:, None, :] / scale[:, None, None]
    rebuilt = (axes * relative) @ axes.transpose(0, 2, 1)
    magnitude = (np.abs(axes) * relative) @ np.abs(axes).transpose(0, 2, 1)
    skew = axes.transpose(0, 2, 1) @ axes - np.eye(dim)
    norms = [np.sqrt((a * a).sum(axis=(1, 2))) for a in (covs / scale[:, None, None] - rebuilt, magnitude, skew)]
    rounding = 2.0**-53
    return spectrum, axes, scale * (norms[0] + (dim + 4) * rounding * norms[1] + 2 * (norms[2] + dim * rounding))


def _check_range(spectrum: np.ndarray, what: str) -> None:
    low, high = _VARIANCES
    if not ((spectrum >= low) & (spectrum <= high)).all():
        raise ValueError(f"{what}: variances must lie in [{low}, {high}] (given {spectrum.min()} to {spectrum.max()}): "
                         "rescale the coordinates")


def _spacing(spacing) -> float:
    spacing = _validate.positive(spacing, "spacing")
    if spacing > 0.9:
        raise ValueError(f"spacing is {spacing}: pass at most 0.9 standard deviations (the weights then sum to 1 within 1e-10)")
    return spacing


def _is_power_of_two(value: float) -> bool:
    """Multiplication by such a number is exact."""
    return math.frexp(value)[0] == 0.5


def _scalar(value):
    return float(value) if np.ndim(value) == 0 else value
