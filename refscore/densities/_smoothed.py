r"""Products of one-dimensional laws plus Gaussian noise: what Laplace, uniform and two-sided exponential laws share.

In every coordinate the density is a mixture of edges (`_edges`): one box, or two flanks that meet. As for every mixture,
with r_i the posterior weights of the edges at x and s_i their scores,

    s = sum_i r_i s_i,      Ds = sum_i r_i Ds_i + Var_r(s_i).

Two flanks that meet make a continuous density, of slopes k_i in the logarithm, and its derivative may be taken before the noise
comes in: the score is the posterior mean of the data's own slope,

    s = sum_i r_i k_i,      Ds = Var_r(k_i) - sum_i r_i |k_i| H_i.

The first form adds terms of size 1/sigma, which cancel where the noise is narrow; the second terms of size 1/scale, which
cancel where it is wide. Each entry is taken from the form whose terms are smaller, and that is what its error bound says too.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from refscore import _blocks, _quadrature, _validate
from refscore.densities._edges import UNIT, Edge

_RANGE = 1e-152, 1e152  # so that the square of a width stays in the range of float64
STEEPEST = 1e300  # noise/scale of a flank that alpha = 0 has folded up: as good as infinite


class Smoothed:
    """A law with independent coordinates, plus noise times N(0, I); closed under corruption.

    A law of this kind names its parameters (arrays (d,), in ``_parameters``), all of which corruption multiplies by alpha, and has
    ``_edges(x)``: what `Rows` mixes; ``_plain(x)``: (log-density, its error, slope or NaN) of every coordinate without noise;
    ``_draw(n, rng)`` and ``_moments()`` (mean, variances) without noise; ``_breaks(i)``: where to cut coordinate i for
    quadrature; ``_break``: what is wrong where the slope is NaN.
    """

    _parameters: tuple[str, ...] = ()
    _break: str = ""
    _edges: Callable[..., Iterator[tuple]]
    _plain: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]
    _draw: Callable[..., np.ndarray]
    _moments: Callable[..., tuple[np.ndarray, np.ndarray]]
    _breaks: Callable[..., np.ndarray]
    noise: float = 0.0
    """Standard deviation of the Gaussian noise that corruption has added."""
    _ulps: float = 0.0  # units in the last place by which parameters and noise may be off

    def __repr__(self):
        parameters = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.init)  # type: ignore[arg-type]
        return f"{type(self).__name__}({parameters}, noise={self.noise!r})"

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(getattr(self, self._parameters[0]))

    @property
    def mean(self) -> np.ndarray:
        """E x, (d,)."""
        return self._moments()[0]

    @property
    def cov(self) -> np.ndarray:
        """Cov x, diagonal, (d, d)."""
        return np.diag(self._moments()[1] + self.noise * self.noise)

    def logpdf(self, x) -> np.ndarray:
        """log p(x), (n,). Below -1.8e308 it is -inf, its correct rounding; so it is where there is no density at all."""
        return self._map(_log_density, x)

    def score(self, x) -> np.ndarray:
        """grad log p(x), (n, d). Without noise it is refused where log p is not differentiable."""
        return self._map(_score, x)

    def score_jacobian(self, x) -> np.ndarray:
        """D s(x), diagonal, (n, d, d). Without noise the second derivative where it exists: what a kink adds is no function."""
        return self.score_slopes(x)[:, :, None] * np.eye(self.dim)

    def score_divergence(self, x) -> np.ndarray:
        """div s(x) = tr D s(x), (n,)."""
        return self.score_slopes(x).sum(axis=1)

    def score_slopes(self, x) -> np.ndarray:
        """The diagonal of D s(x), (n, d): coordinate i of the score depends on x_i alone."""
        return self._map(_slopes, x)

    def logpdf_error(self, x) -> np.ndarray:
        """A bound on |logpdf(x) - its exact value|, (n,)."""
        return self._map(_log_density_error, x)

    def score_error(self, x) -> np.ndarray:
        """A bound on |score(x) - its exact value|, entry by entry, (n, d)."""
        return self._map(_score_error, x)

    def _map(self, function, x) -> np.ndarray:
        x = _validate.batch(x, self.dim)
        return _blocks.map_rows(partial(function, self), x, row_bytes=400 * self.dim)

    def sample(self, n: int, rng) -> np.ndarray:
        """n independent draws, (n, d). ``rng``: int seed or numpy Generator."""
        n, rng = _validate.count(n, "n"), _validate.generator(rng)
        return _blocks.map_rows(partial(_draw, self), n=n, rng=rng, row_bytes=64 * self.dim)

    def corrupted(self, alpha: float, sigma: float):
        """The law of alpha x + sigma z, z ~ N(0, I): of the same class, exactly. alpha >= 0 and sigma >= 0, not both zero."""
        alpha, sigma = _validate.positive(alpha, "alpha", zero=True), _validate.positive(sigma, "sigma", zero=True)
        noise = math.hypot(alpha * self.noise, sigma)
        if alpha == 0 or noise > 0:
            in_range(np.array([noise]), f"noise after corruption with alpha = {alpha}, sigma = {sigma}")
        parameters = {name: alpha * getattr(self, name) for name in self._parameters}
        exact = math.frexp(alpha)[0] in (0.0, 0.5) and self.noise == 0  # nothing is rounded by 0 or a power of two
        return copy.copy(self)._set(noise, self._ulps + (0 if exact else 3), **parameters)

    def _set(self, noise: float, ulps: float, **parameters: np.ndarray):
        for name, value in parameters.items():
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "noise", noise)
        object.__setattr__(self, "_ulps", ulps)
        return self

    def nodes(self, spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (N, d) and weights (N,) with sum w f(x) ~ E f: Gauss-Legendre panels between the kinks of every coordinate.

        ``spacing``: length of the panels, relative to what the density varies on there (noise or scale), at most 1. How fine it
        must be depends on f: halve it and compare.
        """
        spacing = _validate.positive(spacing, "spacing")
        if spacing > 1:
            raise ValueError(f"spacing is {spacing}: pass at most 1, a panel as long as the noise or the scale of the law")
        nodes, weights = np.zeros((1, 0)), np.ones(1)
        for i, (x, w) in enumerate(self._lines(math.ceil(1 / spacing))):
            log_p = self._map(_log_coordinates, np.tile(x[:, None], (1, self.dim)))[:, i]
            nodes = np.column_stack([np.repeat(nodes, len(x), axis=0), np.tile(x, len(nodes))])
            weights = np.outer(weights, w * np.exp(log_p)).ravel()
        return nodes, weights

    def _lines(self, cells: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return [_quadrature.panels(self._breaks(i), cells) for i in range(self.dim)]

    def expectation(self, f, *, tolerance: float = 1e-11, max_nodes: int = 4_000_000):
        """E f(x) and an error estimate, by `nodes` of ever finer spacing.

        Parameters
        ----------
        f : callable, (n, d) -> (n, ...)
            Smooth on the scale of the density (a spike between the nodes is not seen), and growing less than e^{|x|/scale}.
        tolerance : float
            Panels are halved until the error estimate is below ``tolerance`` times E|f|, or ``max_nodes`` is reached.
        max_nodes : int
            The largest number of nodes.

        Returns
        -------
        value, error : arrays of f's trailing shape (floats for scalar f)
            The error is an estimate: what the last halving changed, or ten times that when it does not shrink as it does for
            smooth f, and rounding. A RuntimeWarning says when it is above ``tolerance``.

        Raises
        ------
        ValueError
            When two spacings need more than ``max_nodes`` nodes (dimension too high), or f returns a wrong shape.
        """
        values: list[np.ndarray] = []
        changes: list[np.ndarray] = []
        for cells in (1, 2, 4, 8, 16, 32, 64):
            if math.prod(len(x) for x, _ in self._lines(cells)) > max_nodes:
                break
            x, w = self.nodes(1 / cells)
            y = np.asarray(f(x), dtype=np.float64)
            if y.ndim < 1 or len(y) != len(x):
                raise ValueError(f"f returned shape {y.shape} for {len(x)} points: return shape ({len(x)}, ...)")
            _validate.finite(y, "f(x)")
            values.append(np.tensordot(w, y, axes=1))
            size = np.tensordot(w, np.abs(y), axes=1)
            changes.append(np.abs(values[-1] - values[-2]) if len(values) > 1 else size)
            # rounding of f, of every weight (a logarithm up to 100), and of a pairwise sum
            error = np.where(changes[-1] <= changes[-2] / 64, 1, 10) * changes[-1] + 256 * UNIT * size if len(values) > 1 else size
            if (error <= tolerance * size).all():
                break
        if len(values) < 2:
            raise ValueError(f"quadrature in dimension {self.dim} needs more than max_nodes = {max_nodes} nodes: "
                             "raise max_nodes, or average f over sample(n, rng) and report the standard error")
        if not (error <= tolerance * size).all():
            warnings.warn(f"expectation: the error estimate {np.max(error):.1e} is above tolerance {tolerance:.0e} times E|f|: "
                          "f is not smooth on the scale of the density, or max_nodes is too small", RuntimeWarning, stacklevel=2)
        return (float(values[-1]), float(error)) if values[-1].ndim == 0 else (values[-1], error)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The edges of a law at a block of rows, with what mixes them, (k, n, d): the side on which each lies, the logarithm of
    its share, and its posterior weight r."""

    edges: list[Edge]
    sides: np.ndarray
    shares: np.ndarray
    weights: np.ndarray

    @classmethod
    def at(cls, law: Smoothed, x: np.ndarray) -> _Rows:
        *places, edges = zip(*law._edges(x), strict=True)
        sides, shares = (np.stack([np.broadcast_to(a, x.shape) for a in arrays]) for arrays in places)
        heights = np.minimum(shares + np.stack([e.relative for e in edges]), 1e300)
        weights = np.exp(heights - heights.max(axis=0))
        return cls(list(edges), sides, shares, weights / weights.sum(axis=0))

    def __getattr__(self, name: str) -> np.ndarray:
        """That quantity of every edge, (k, n, d)."""
        return np.stack([getattr(e, name) for e in self.edges])

    def averages(self, *quantities: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple((self.weights * q).sum(axis=0) for q in quantities)

    def spread(self, gap: np.ndarray) -> np.ndarray:
        """Var_r of what differs by ``gap`` between two edges; 0 for a single one."""
        return (self.weights[0] * gap) * (self.weights[1] * gap) if len(self.edges) == 2 else np.zeros_like(gap)

    def best(self, quantity: np.ndarray) -> np.ndarray:
        """The quantity of the strongest edge, (n, d)."""
        return np.take_along_axis(quantity, self.weights.argmax(axis=0)[None], axis=0)[0]

    @property
    def doubt(self) -> np.ndarray:
        """Error of the logarithm of the ratio of two posterior weights."""
        return np.expm1(np.minimum((self.relative_error + 4 * UNIT * (1 + np.abs(self.shares))).sum(axis=0), 700))


def _smaller(rows: _Rows, posterior: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Where the terms of the form by slopes are the smaller ones; a single edge has no other form than its own."""
    return (slopes < posterior) & (len(rows.edges) == 2)


def _log_coordinates(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return law._plain(x)[0]
    with np.errstate(all="ignore"):
        rows = _Rows.at(law, x)
        return rows.best(rows.shares + rows.log_density) - np.log(rows.best(rows.weights)) - math.log(law.noise)


def _log_density(law: Smoothed, x: np.ndarray) -> np.ndarray:
    return _log_coordinates(law, x).sum(axis=1)


def _log_density_error(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return law._plain(x)[1].sum(axis=1) + law.dim * UNIT * np.abs(_log_density(law, x))
    with np.errstate(all="ignore"):
        rows = _Rows.at(law, x)
        strongest = rows.best(rows.weights)
        terms = np.abs(rows.best(rows.shares)) + np.abs(rows.best(rows.log_density)) + abs(math.log(law.noise)) + 4
        error = rows.best(rows.log_error) + (1 - strongest) * rows.doubt + (law.dim + 4 + law._ulps) * UNIT * terms
        return error.sum(axis=1)


def _score(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return _plain_slope(law, x)
    with np.errstate(all="ignore"):
        rows = _Rows.at(law, x)
        posterior, terms = rows.averages(rows.sides * rows.score, np.abs(rows.score))
        slopes, slope_terms = rows.averages(rows.sides * rows.slope, np.abs(rows.slope))
        return np.where(_smaller(rows, terms, slope_terms), slopes, posterior) / law.noise


def _score_error(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return (2 + law._ulps) * UNIT * np.abs(_plain_slope(law, x))
    with np.errstate(all="ignore"):
        rows = _Rows.at(law, x)
        terms, error = rows.averages(np.abs(rows.score), rows.score_error)
        slope_terms, slope_error = rows.averages(np.abs(rows.slope), rows.slope_error)
        smaller = _smaller(rows, terms, slope_terms)
        gap = np.where(smaller, np.abs(rows.slope).sum(axis=0), rows.mean.sum(axis=0))
        wrong_weight = np.minimum(1, rows.weights[0] * rows.weights[-1] * rows.doubt) * (len(rows.edges) == 2)
        total = np.where(smaller, slope_error, error) + (10 + law._ulps) * UNIT * np.where(smaller, slope_terms, terms)
        return (wrong_weight * gap + total) / law.noise


def _slopes(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return np.zeros_like(_plain_slope(law, x))
    with np.errstate(all="ignore"):
        rows = _Rows.at(law, x)
        bend, edge = rows.averages(rows.curvature, np.abs(rows.slope) * rows.pull)
        spread, slope_spread = rows.spread(rows.mean.sum(axis=0)), rows.spread(np.abs(rows.slope).sum(axis=0))
        smaller = _smaller(rows, spread - bend, slope_spread + edge)
        return np.where(smaller, slope_spread - edge, spread + bend) / law.noise / law.noise


def _plain_slope(law: Smoothed, x: np.ndarray) -> np.ndarray:
    slope = law._plain(x)[2]
    if np.isnan(slope).any():
        row, i = np.argwhere(np.isnan(slope))[0]
        raise ValueError(f"x = {x[row]}: log p is not differentiable at {x[row, i]} in coordinate {i}, {law._break}; "
                         "use .corrupted(alpha, sigma), whose score exists everywhere")
    return slope


def _draw(law: Smoothed, n: int, rng: np.random.Generator) -> np.ndarray:
    x = law._draw(n, rng)
    return x + law.noise * rng.standard_normal(x.shape) if law.noise else x


def offset(law: Smoothed, x: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((x - place)/noise, a bound on its error)."""
    with np.errstate(over="ignore"):
        v = (x - place) / law.noise
    if not np.isfinite(v).all():
        row = x[np.argwhere(~np.isfinite(v))[0, 0]]
        raise OverflowError(f"at x = {row} the distance over the noise {law.noise} exceeds float64: rescale the coordinates")
    return v, UNIT * ((3 + law._ulps) * np.abs(v) + law._ulps * np.abs(place) / law.noise)


def coordinates(*parameters: tuple[str, Any]) -> list[np.ndarray]:
    """Scalars and arrays (d,), given with their names, as finite float64 arrays (d,)."""
    arrays = [np.atleast_1d(np.asarray(value, dtype=np.float64)) for _, value in parameters]
    shapes = {a.shape for a in arrays} - {(1,)}
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        given = ", ".join(f"{name} {np.shape(value)}" for name, value in parameters)
        raise ValueError(f"shapes {given}: pass scalars, or arrays with one entry a coordinate, shape (d,)")
    for (name, _), a in zip(parameters, arrays, strict=True):
        _validate.finite(a, name)
    return [np.array(a) for a in np.broadcast_arrays(*arrays)]


def in_range(widths: np.ndarray, name: str) -> None:
    """Refuse widths that are not positive, or whose squares leave float64."""
    low, high = _RANGE
    if not ((widths >= low) & (widths <= high)).all():
        raise ValueError(f"{name} must lie in [{low}, {high}] (given {widths.min()} to {widths.max()}): rescale the coordinates")
