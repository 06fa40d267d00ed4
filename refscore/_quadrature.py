r"""Expectations under the standard normal law by the trapezoidal rule on a lattice.

    E f(z) = (2 pi)^{-d/2} int f(u) e^{-|u|^2/2} du  ~  h^d (2 pi)^{-d/2} sum_{u in h Z^d} f(u) e^{-|u|^2/2}

For f analytic in the strip |Im u_i| < a the error decays like e^{-2 pi a/h} (for entire f like e^{-2 pi^2/h^2}), that
is, geometrically in the number of nodes a dimension: Trefethen & Weideman, "The exponentially convergent trapezoidal
rule", SIAM Review 56 (2014), theorem 5.1. Gauss-Hermite nodes converge like e^{-2 a sqrt(2 n)}, slower for the scores of
mixtures and networks, whose poles lie near the real axis. The lattice is cut at |u| = radius (RADIUS by default), beyond
which the normal law has less than 3e-19 of its mass in one dimension; what a growing f loses there is seen in the shell
just inside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

RADIUS = 9.0

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_MANY = 1 << 12  # panels of an interval
_EPS = float(np.finfo(np.float64).eps)

ROUNDING = 1024 * float(np.finfo(np.float64).eps)
"""Relative rounding error of a sum over nodes: the square root of their number, at most 1e6."""


def lattice_size(dim: int, spacing: float, radius: float = RADIUS) -> float:
    """About how many nodes `normal_lattice` has: the volume of the ball over that of a cell."""
    return math.pi ** (dim / 2) / math.gamma(dim / 2 + 1) * (radius / spacing) ** dim


@lru_cache(maxsize=8)
def normal_lattice(dim: int, spacing: float, radius: float = RADIUS) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (N, dim) and weights (N,) with sum w f(u) ~ E f(z), z ~ N(0, I); both read-only.

    The lattice is shifted by a third of a cell, so that no symmetry of f hides a wrong sign.
    """
    reach = math.ceil(radius / spacing)
    line = (np.arange(-reach - 1, reach + 2) + 1 / 3) * spacing
    squares = np.zeros(1)
    nodes = np.zeros((1, 0))
    for _ in range(dim):  # grow one dimension at a time and drop what has left the ball: no cube is ever stored
        squares = (squares[:, None] + line**2).ravel()
        nodes = np.column_stack([np.repeat(nodes, len(line), axis=0), np.tile(line, len(nodes))])
        inside = squares <= radius**2
        squares, nodes = squares[inside], nodes[inside]
    weights = np.exp(-0.5 * squares) * (spacing / math.sqrt(2 * math.pi)) ** dim
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights


def simplex(dim: int) -> np.ndarray:
    """The dim + 1 corners (dim + 1, dim) of a regular simplex with mean zero and covariance I under equal weights."""
    steps = np.arange(1, dim + 1)
    corners = np.zeros((dim + 1, dim))
    for i in steps:  # Helmert's rows: (1, ..., 1, -i, 0, ...)/sqrt(i (i + 1)), orthonormal and orthogonal to the ones
        corners[:i, i - 1] = 1.0
        corners[i, i - 1] = -i
    return corners * np.sqrt((dim + 1) / (steps * (steps + 1)))


def normal_rule(dim: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Few nodes (N, dim) and weights (N,) that integrate polynomials up to ``degree`` under N(0, I) exactly.

    The simplex up to degree 2, from there on products of Gauss-Hermite rules, (degree//2 + 1)^dim nodes.
    """
    if degree <= 2:
        return simplex(dim), np.full(dim + 1, 1 / (dim + 1))
    line, weight = np.polynomial.hermite_e.hermegauss(degree // 2 + 1)
    grids = np.meshgrid(*[line] * dim, indexing="ij")
    weights = np.prod(np.meshgrid(*[weight / math.sqrt(2 * math.pi)] * dim, indexing="ij"), axis=0)
    return np.stack([g.ravel() for g in grids], axis=1), weights.ravel()


def refined(compute, spacing: float, *, finest: float, enough: float = 3e-11):
    """``compute(spacing)``, a dict of arrays, on ever finer lattices until no entry moves by ``enough`` of its size.

    The error of a lattice is e^{-2 pi a/h} times a phase, so a change c relative to the value becomes c^sqrt(2) as the spacing
    h shrinks by sqrt 2. A phase can make one change small by accident: what counts is the envelope e' = max(c', e^sqrt(2)) of all
    changes so far. And a steep part of the integrand may hide a shallow one, so that the rate of decay may fall by half: what is
    left is taken to be twice e' sqrt(e'/e). Returns the dict of the finest lattice and a dict of these bounds, plus rounding.
    """
    spacing = finest * 2 ** (round(2 * math.log2(spacing / finest)) / 2)  # so that the last lattice worth its time is met
    values = [compute(spacing)]
    envelope: dict[str, float] = {}
    while True:
        spacing /= math.sqrt(2)
        values.append(compute(spacing))
        last, before = values[-1], envelope
        size = {k: 1 + float(np.abs(last[k]).max()) for k in last}
        envelope = {}
        for k in last:
            change = float(np.abs(np.asarray(last[k]) - values[-2][k]).max()) / size[k]
            envelope[k] = max(change, ROUNDING, min(before.get(k, 0.0), 1.0) ** math.sqrt(2))
        if before:
            bound = {k: size[k] * (ROUNDING + 2 * envelope[k] * math.sqrt(min(1.0, envelope[k] / before[k]))) for k in last}
            if spacing < 1.2 * finest or all(bound[k] <= enough * size[k] for k in last):
                return last, bound


def panels(breaks: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss-Legendre on every interval between ``breaks`` (ascending), each cut into ``cells``, of 8 nodes."""
    edges = np.concatenate([np.linspace(a, b, cells + 1)[:-1] for a, b in itertools.pairwise(breaks)] + [breaks[-1:]])
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half = np.diff(edges)[:, None] / 2
    return ((edges[:-1] + edges[1:])[:, None] / 2 + half * nodes).ravel(), (half * weights).ravel()


class Panels(NamedTuple):
    """Pieces [edges_i, ...) of intervals, the integral over each, and of which interval it is a piece, in no order."""

    edges: np.ndarray
    values: np.ndarray
    which: np.ndarray


def adaptive(f: Callable, low: np.ndarray, high: np.ndarray, tolerance: float = 64 * _EPS) -> tuple[Panels, np.ndarray]:
    """int f over each interval [low_i, high_i], (n,), in pieces; and how far off each integral may be (n,), by the changes.

    Gauss-Legendre nodes on panels that are halved until the sum of the halves agrees with the whole: steps and kinks end up
    between panels, an integrable singularity in a row of ever smaller ones. ``tolerance`` is relative to a panel, and not below the
    noise of f, which no halving removes. f(u, i), both (m,), gives the integrand of interval i
    at u; the ends of an interval are never asked for. What the nodes cannot see is a spike between them.
    """
    which, error, size = np.arange(len(low)), np.zeros(len(low)), np.zeros(len(low))
    whole = _gauss(f, low, high, which)
    found: list[Panels] = []
    while len(low):
        middle = low + (high - low) / 2
        left, right = _gauss(f, low, middle, which), _gauss(f, middle, high, which)
        both = left + right
        change = np.abs(both - whole)
        np.maximum.at(size, which, np.abs(both))
        good = change <= tolerance * np.abs(both)
        done = good | (change <= _EPS / 64 * size[which]) | (middle <= low) | (middle >= high)
        if sum(len(part.edges) for part in found) + len(low) > _MANY * len(error):
            done[:] = True
        found.append(Panels(low[done], both[done], which[done]))
        np.add.at(error, which[done & ~good], change[done & ~good])
        low, high = np.concatenate([low[~done], middle[~done]]), np.concatenate([middle[~done], high[~done]])
        whole, which = np.concatenate([left[~done], right[~done]]), np.tile(which[~done], 2)
    return Panels(*(np.concatenate(column) for column in zip(*found, strict=True))), error


def integrals(f: Callable, low: np.ndarray, high: np.ndarray, tolerance: float = 64 * _EPS) -> tuple[np.ndarray, np.ndarray]:
    """int f over each interval, (n,), and how far off it may be, (n,); see `adaptive`."""
    pieces, error = adaptive(f, low, high, tolerance)
    total = np.bincount(pieces.which, pieces.values, len(low))
    return total, error + tolerance * np.abs(total)


def gauss(f: Callable, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """int f over each interval by twenty nodes, as it stands: for pieces of what `adaptive` has resolved."""
    return _gauss(f, low, high, np.arange(len(low)))


def _gauss(f: Callable, low: np.ndarray, high: np.ndarray, which: np.ndarray) -> np.ndarray:
    half = (high - low) / 2
    some = half > 0
    u = low[some, None] + half[some, None] * (_NODES + 1)
    total = np.zeros_like(half)
    total[some] = half[some] * (f(u.ravel(), np.repeat(which[some], len(_NODES))).reshape(u.shape) @ _WEIGHTS)
    return total
