r"""The posterior over data points as finite sums, with their rounding bounds: second route of the data identities.

Given x~ = alpha x_i + sigma z with i uniform, the posterior weights r_i = softmax_i l_i need only differences, and
with j a point near x~/alpha

    l_i - l_j = alpha (x_i - x_j).(2 x~ - alpha (x_i + x_j)) / (2 sigma^2),

which does not cancel far from the data. If every l_i is off by at most e_i then E_r f is off, to first order, by at
most sum_i r_i (e_i + sum_k r_k e_k) |f_i - E_r f|: small in the tails, where the f_i that still have weight agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import softmax

UNIT = 2.0**-53
_BLOCK = 1 << 20
_NEGLIGIBLE = 1e-30
_ULPS = 24  # of alpha, sigma, the quotient and the exponential together


@dataclass(frozen=True)
class FinitePosterior:
    """Posterior weights over the points that matter, given one x~.

    points (k, d), weights (k,), doubt (k,): bound on the error of each log weight.
    """

    x: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    doubt: np.ndarray

    def expect(self, f: Callable, error: Callable | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(E_r f, bound on its error, E_r |f|), entry by entry; f and its ``error`` map points (b, d) to (b, ...)."""
        value, size = self._sum(f), self._sum(lambda p: np.abs(f(p)))
        mean_doubt = float(self.weights @ self.doubt)
        spread = self._sum(lambda p: np.abs(f(p) - value), self.weights * (self.doubt + mean_doubt))
        bound = 1.01 * spread + (len(self.weights) + 8) * UNIT * size + len(self.points) * _NEGLIGIBLE * size
        return value, bound + (0.0 if error is None else self._sum(error)), size

    def _sum(self, f: Callable, weights: np.ndarray | None = None) -> np.ndarray:
        weights = self.weights if weights is None else weights
        rows = max(1, _BLOCK // self.points.shape[1])
        cuts = range(0, len(self.points), rows)
        return sum(np.tensordot(weights[i : i + rows], f(self.points[i : i + rows]), axes=1) for i in cuts)  # type: ignore


def posterior(points: np.ndarray, x: np.ndarray, alpha: float, sigma: float) -> FinitePosterior:
    """The posterior over ``points`` (n, d) given x~ = ``x`` (d,)."""
    rows = max(1, _BLOCK // points.shape[1])
    cuts = range(0, len(points), rows)
    squares = np.concatenate([((alpha * points[i : i + rows] - x) ** 2).sum(axis=1) for i in cuts])
    near = points[int(np.argmin(squares))]
    logits, doubt = np.empty(len(points)), np.empty(len(points))
    for i in cuts:
        block = points[i : i + rows]
        step, middle = block - near, 2 * x - alpha * (block + near)
        factor = alpha / (2 * sigma * sigma)
        logits[i : i + rows] = factor * (step * middle).sum(axis=1)
        reach = 2 * np.abs(x) + alpha * np.abs(block + near)
        doubt[i : i + rows] = (points.shape[1] + _ULPS) * UNIT * factor * (np.abs(step) * reach).sum(axis=1)
    weights = softmax(logits)
    matters = weights > _NEGLIGIBLE
    doubt += _ULPS * UNIT * (1 + np.abs(logits - logits.max()))
    return FinitePosterior(x, points[matters], weights[matters], doubt[matters])


@dataclass(frozen=True)
class Lattice:
    """The corrupted law of points in one or two dimensions on a lattice: what its integrals need.

    nodes (N, p), weights (N,) = density times cell, score (N, p) = E[c | x~], variance (N,) = tr Cov[c | x~] of the
    conditional scores c = -(x~ - alpha x_i)/sigma^2; ``even`` marks the lattice of twice the spacing. ``rounding``
    bounds the relative error of the weights, and the errors of score * sigma and variance * sigma^2.
    """

    nodes: np.ndarray
    weights: np.ndarray
    score: np.ndarray
    variance: np.ndarray
    even: np.ndarray
    rounding: float

    def coarser(self) -> Lattice:
        """The lattice of twice the spacing."""
        e = self.even
        weights = self.weights[e] * 2.0 ** self.nodes.shape[1]
        return Lattice(self.nodes[e], weights, self.score[e], self.variance[e], e[e], self.rounding)


def lattice(points: np.ndarray, alpha: float, sigma: float, per_sigma: float, most: float) -> Lattice | None:
    """Nodes of spacing sigma/per_sigma within 9 sigma of a corrupted point (outside lies 2e-19 of each); None when
    nodes times points exceed ``most``.

    The trapezoidal sum over all nodes converges geometrically in the spacing (Trefethen & Weideman 2014, thm. 5.1).
    """
    dim, h, centres = points.shape[1], sigma / per_sigma, alpha * points
    low, high = np.floor((centres.min(0) - 9 * sigma) / h), np.ceil((centres.max(0) + 9 * sigma) / h)
    if np.prod(high - low + 1) > 4_000_000:
        return None
    axes = [np.arange(a, b + 1) for a, b in zip(low, high)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, dim)
    distance, _ = cKDTree(centres).query(index * h, distance_upper_bound=9 * sigma)
    index = index[np.isfinite(distance)]
    if float(len(index)) * len(points) > most:
        return None
    density, score, variance = _posterior_moments(index * h, centres, sigma)
    # a log weight is off by u |offset| (|x| + |centre|)/sigma plus a few u offset^2; pairwise sums add log2 of a length
    largest = float(np.abs(index).max()) / per_sigma
    logs = np.log2(len(points) + 1) + np.log2(len(index) + 1)
    rounding = dim * UNIT * (_ULPS + 20 * (2 * largest + 10) + 16 + logs)
    return Lattice(index * h, h**dim * density, score, variance, (index % 2 == 0).all(axis=1), float(rounding))


def _posterior_moments(nodes: np.ndarray, centres: np.ndarray, sigma: float):
    """(density (N,), E[c | x~] (N, p), tr Cov[c | x~] (N,)) by sums over all centres."""
    count, dim = nodes.shape
    density, score, variance = np.empty(count), np.empty((count, dim)), np.empty(count)
    rows = max(1, _BLOCK // len(centres))
    for i in range(0, count, rows):
        block = slice(i, i + rows)
        offsets = [(centres[:, k] - nodes[block, k, None]) / sigma for k in range(dim)]
        height = -0.5 * sum(o**2 for o in offsets)
        top = height.max(axis=1)
        ratio = np.exp(height - top[:, None])
        total = ratio.sum(axis=1)
        ratio /= total[:, None]
        means = [(ratio * o).sum(axis=1) for o in offsets]
        density[block] = np.exp(top) * total / (len(centres) * (sigma * np.sqrt(2 * np.pi)) ** dim)
        score[block] = np.stack(means, axis=1) / sigma
        variance[block] = sum((ratio * (o - m[:, None]) ** 2).sum(axis=1) for o, m in zip(offsets, means)) / sigma**2
    return density, score, variance
