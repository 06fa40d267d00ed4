r"""What laws with noisy edges compute on one block of rows: pure functions of (law, rows), for `_blocks.map_rows`.

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

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from refscore.densities._edges import UNIT, Edge

if TYPE_CHECKING:
    from refscore.densities._smoothed import Smoothed


@dataclass(frozen=True, eq=False)
class Rows:
    """The edges of a law at a block of rows, with what mixes them, (k, n, d): the side on which each lies, the logarithm of
    its share, and its posterior weight r."""

    edges: list[Edge]
    sides: np.ndarray
    shares: np.ndarray
    weights: np.ndarray

    @classmethod
    def at(cls, law: Smoothed, x: np.ndarray) -> Rows:
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


def _smaller(rows: Rows, posterior: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Where the terms of the form by slopes are the smaller ones; a single edge has no other form than its own."""
    return (slopes < posterior) & (len(rows.edges) == 2)


def log_coordinates(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return law._plain(x)[0]
    with np.errstate(all="ignore"):
        rows = Rows.at(law, x)
        return rows.best(rows.shares + rows.log_density) - np.log(rows.best(rows.weights)) - math.log(law.noise)


def log_density(law: Smoothed, x: np.ndarray) -> np.ndarray:
    return log_coordinates(law, x).sum(axis=1)


def log_density_error(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return law._plain(x)[1].sum(axis=1) + law.dim * UNIT * np.abs(log_density(law, x))
    with np.errstate(all="ignore"):
        rows = Rows.at(law, x)
        strongest = rows.best(rows.weights)
        terms = np.abs(rows.best(rows.shares)) + np.abs(rows.best(rows.log_density)) + abs(math.log(law.noise)) + 4
        error = rows.best(rows.log_error) + (1 - strongest) * rows.doubt + (law.dim + 4 + law._ulps) * UNIT * terms
        return error.sum(axis=1)


def score(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return _plain_slope(law, x)
    with np.errstate(all="ignore"):
        rows = Rows.at(law, x)
        posterior, terms = rows.averages(rows.sides * rows.score, np.abs(rows.score))
        slopes, slope_terms = rows.averages(rows.sides * rows.slope, np.abs(rows.slope))
        return _within_range(law, np.where(_smaller(rows, terms, slope_terms), slopes, posterior) / law.noise, x)


def score_error(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return (2 + law._ulps) * UNIT * np.abs(_plain_slope(law, x))
    with np.errstate(all="ignore"):
        rows = Rows.at(law, x)
        terms, error = rows.averages(np.abs(rows.score), rows.score_error)
        slope_terms, slope_error = rows.averages(np.abs(rows.slope), rows.slope_error)
        smaller = _smaller(rows, terms, slope_terms)
        gap = np.where(smaller, np.abs(rows.slope).sum(axis=0), rows.mean.sum(axis=0))
        wrong_weight = np.minimum(1, rows.weights[0] * rows.weights[-1] * rows.doubt) * (len(rows.edges) == 2)
        total = np.where(smaller, slope_error, error) + (10 + law._ulps) * UNIT * np.where(smaller, slope_terms, terms)
        return (wrong_weight * gap + total) / law.noise


def slopes(law: Smoothed, x: np.ndarray) -> np.ndarray:
    if law.noise == 0:
        return np.zeros_like(_plain_slope(law, x))
    with np.errstate(all="ignore"):
        rows = Rows.at(law, x)
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


def draw(law: Smoothed, n: int, rng: np.random.Generator) -> np.ndarray:
    x = law._draw(n, rng)
    return x + law.noise * rng.standard_normal(x.shape) if law.noise else x


def _within_range(law: Smoothed, value: np.ndarray, x: np.ndarray) -> np.ndarray:
    if not np.isfinite(value).all():
        row = x[np.argwhere(~np.isfinite(value))[0, 0]]
        raise OverflowError(f"at x = {row} the distance over the noise {law.noise} exceeds float64: rescale the coordinates")
    return value


def offset(law: Smoothed, x: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """((x - place)/noise, a bound on its error)."""
    with np.errstate(over="ignore"):
        v = (x - place) / law.noise
    return _within_range(law, v, x), UNIT * ((3 + law._ulps) * np.abs(v) + law._ulps * np.abs(place) / law.noise)
