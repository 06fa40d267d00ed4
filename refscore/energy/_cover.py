r"""The integral of e^{f} g over cells, cut where Gauss nodes do not resolve it: two rules must agree, and faces must match.

A cell carries two product rules, Gauss-Legendre, and Gauss-Lobatto with fewer nodes. Where they disagree it is cut, along those
axes on which the last coefficients of its Legendre series are large; what is left of the disagreement, summed over all cells, is
the error of the coarser rule, and overstates that of the finer. The coarser has nodes on the faces, so that a kink between a face
and all inner nodes does not go unseen.

What no rule sees is what lies between its nodes, such as an arm of a wide peak where it has become thinner than they are apart:
nodes that all read 0 agree. But arms lead somewhere. The largest e^f that a cell has at nodes on one of its faces lies in a
neighbour too; where no node of that is within a factor e of it, it is cut, along the face, down to the size of the cell that sees.
So arms are followed from cell to cell for as long as they weigh anything. A cell however short must not lose one: whether an arm
weighs anything is asked of it as if it went on to the end of the box or shell, and what is that much must be known to a hundredth
where it leaves. Points that are handed in must be seen in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from refscore import _blocks
from refscore.energy._cells import NOWHERE, Cells, Forest

EPS = float(np.finfo(np.float64).eps)
MAX_NODES = 12_000_000
"""Nodes at which f is asked, at most, in a box or a shell."""

NOTHING = 1e-17
A_DIMENSION = 16
"""Nodes of a cell along an axis, by the finer rule, in more than one dimension."""

_ORDERS = {1: (20, 15), 2: (A_DIMENSION, 13), 3: (A_DIMENSION, 13)}
_TOLERANCE = 3e-15  # of the whole, a cell
_ROUGH = 1e-2  # of its own, a cell: what it sees on its faces is not what is there
_LAST = 4  # coefficients of a series whose size says how well it is resolved
_SMALL = 0.1  # of those along another axis


class Sums(NamedTuple):
    """e^shift (value +- error) for every shell and column of g, (k, c), size is that of |g|."""

    value: np.ndarray
    error: np.ndarray
    size: np.ndarray


class _Found(NamedTuple):
    """What the rules find in each of n cells."""

    sums: np.ndarray  # (n, 4, c): of g, of |g|, of its rounding, of the disagreement of the two rules
    tails: np.ndarray  # (n, d, c): the last coefficients along each axis
    top: np.ndarray  # (n,): the largest f
    face: np.ndarray  # (n, 2d): the largest f on each face, lower ones first, and
    place: np.ndarray  # (n, 2d): at which node of the coarser rule


class Cover:
    """Cells, and what was found in them. f(x), (n,), may be -inf; g(x) is (n, c)."""

    def __init__(self, f: Callable, g: Callable, shift: float, forest: Forest):
        self.f, self.g, self.shift, self.forest = f, g, shift, forest
        self._found: Any = None  # `_Found` of all cells
        d = forest.cells.low.shape[1]
        self._points, self._high, self._at = np.zeros((0, d)), np.zeros(0), np.zeros(0, dtype=np.intp)
        self._beyond = np.zeros((0, 2 * d), dtype=np.intp)  # of each cell the leaves beyond its faces, as far as they are known
        self._hidden = np.zeros(0)  # of each cell, how much mass may be around points that none of its nodes has seen
        self._settled = np.zeros(0, dtype=bool)  # of each cell, whether it is resolved and its faces are seen from beyond

    def of(self, g: Callable) -> Cover:
        """The same cells and points for another g."""
        other = Cover(self.f, g, self.shift, self.forest.copy())
        other.watch(self._points)
        return other

    @property
    def leaves(self) -> Cells:
        """The cells that are not cut."""
        return Cells(*(column[self.forest.leaves] for column in self.forest.cells))

    def watch(self, points: np.ndarray) -> None:
        """Points (k, d) that must not be lost between nodes."""
        self._points = np.concatenate([self._points, points])
        self._high = np.concatenate([self._high, self.f(points).astype(np.float64)])
        self._at = np.concatenate([self._at, np.full(len(points), NOWHERE)])

    def refine(self) -> None:
        """Cut cells until all are resolved, and all that is seen on faces and at points is seen from everywhere."""
        left = MAX_NODES
        self._settled &= (self._beyond != NOWHERE).all(axis=1)  # there may be cells by now
        while True:  # as long as there are nodes left, and cells that can be cut
            left -= self._look()
            whole = self._found.sums[self.forest.leaves, 1].sum(axis=0)
            if not np.isfinite(whole).all():
                break
            rows = np.flatnonzero(self.forest.leaves & ~self._settled)
            axes = self._unseen(rows, whole.max())
            axes[rows] |= self._unresolved(rows, whole)
            axes &= self.forest.divisible()
            cut = np.flatnonzero(axes.any(axis=1))
            worst = cut[np.argsort(-self._found.sums[cut, 3].max(axis=1) - self._hidden[cut], kind="stable")]
            cut = np.sort(worst[np.cumsum(2 ** axes[worst].sum(axis=1)) * _nodes_of_a_cell(axes.shape[1]) <= left])
            if not len(cut):
                break
            self.forest.cut(cut, axes[cut])
            gone = ~self.forest.leaves[: len(self._beyond)]
            self._settled &= ~(gone[self._beyond] & (self._beyond != NOWHERE)).any(axis=1)

    def sums(self) -> Sums:
        """Of every shell."""
        leaves = np.flatnonzero(self.forest.leaves)
        shell = self.forest.cells.shell[leaves]
        parts = self._found.sums[leaves]
        stuck = ~self._settled[leaves] & ~self.forest.divisible()[leaves].any(axis=1)
        tails = self._found.tails[leaves].max(axis=1)
        singular = stuck[:, None] & (tails > parts[:, 1])  # both rules are far off
        parts[:, 3] += np.where(singular, tails, 0.0)
        total = np.zeros((shell.max() + 1, *parts.shape[1:]))
        np.add.at(total, shell, parts)
        np.add.at(total[:, 3], shell, self._hidden[leaves][:, None])
        return Sums(total[:, 0], total[:, 2] + total[:, 3], total[:, 1])

    @property
    def top(self) -> float:
        """The largest f that was found."""
        return -np.inf if self._found is None else float(self._found.top.max())

    def _look(self) -> int:
        """Apply the rules to cells that are new; how many nodes it took."""
        known = 0 if self._found is None else len(self._found.top)
        cells = self.forest.cells
        new = np.arange(known, len(cells.low))
        new = new[self.forest.leaves[new]]
        if not len(new):
            return 0
        found = look(self.f, self.g, self.shift, cells.low[new], cells.high[new])
        n = len(cells.low) - known
        fresh = [np.zeros((n, *a.shape[1:]), a.dtype) for a in found]
        for a, b in zip(fresh, found, strict=True):
            a[new - known] = b
        self._found = _Found(*(fresh if self._found is None else map(np.concatenate, zip(self._found, fresh, strict=True))))
        self._beyond = np.concatenate([self._beyond, np.full((n, self._beyond.shape[1]), NOWHERE)])
        pieces = known + np.flatnonzero(self.forest.parent[known:] != NOWHERE)
        self._beyond[pieces] = self._beyond[self.forest.parent[pieces]]  # or not far from it
        self._hidden = np.concatenate([self._hidden, np.zeros(n)])
        self._settled = np.concatenate([self._settled, np.zeros(n, dtype=bool)])
        return len(new) * _nodes_of_a_cell(cells.low.shape[1])

    def _unresolved(self, rows: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """(len(rows), d): along which axes these cells are too wide for their nodes."""
        _, size, rounding, change = self._found.sums[rows].swapaxes(0, 1)
        tails = self._found.tails[rows]
        rough, part = np.maximum(change, tails.max(axis=1)), self.forest.part(rows)[:, None]
        open_ = (change > _TOLERANCE * whole + 4 * rounding) | ((rough > _ROUGH * size) & (rough > _TOLERANCE * part * whole))
        self._settled[rows] &= ~open_.any(axis=1)
        return ((tails >= _SMALL * tails.max(axis=1, keepdims=True)) & open_[:, None]).any(axis=2)

    def _unseen(self, rows: np.ndarray, whole: float) -> np.ndarray:
        """(n, d): along which axes cells are to be cut, as they have no node near the points and what these cells see at faces."""
        cells, found = self.forest.cells, self._found
        n, d = cells.low.shape
        width = cells.high - cells.low
        self._at = self.forest.locate(self._points, np.ones(self._points.shape), self._at)
        beyond = self.forest.locate(*self._on_faces(rows), self._beyond[rows].ravel())
        self._beyond[rows] = beyond.reshape(-1, 2 * d)
        narrower = width[beyond] > 1.5 * np.repeat(width[rows], 2 * d, axis=0)
        normal = np.arange(len(beyond)), np.tile(np.arange(2 * d) % d, len(rows))
        narrower[normal] = False
        narrower |= ~narrower.any(axis=1, keepdims=True)
        extent = width[beyond]
        extent[normal] = self.forest.reach[beyond][normal]  # who knows how far an arm goes on
        at = np.concatenate([self._at, beyond])
        value = np.concatenate([self._high, found.face[rows].ravel()])
        with np.errstate(over="ignore"):
            mass = np.prod(np.concatenate([width[self._at], extent]), axis=1) * np.exp(value - self.shift)
        lost = (at != NOWHERE) & (value > found.top[at] + 1) & (mass > NOTHING * whole)
        self._hidden = np.zeros(n)
        np.maximum.at(self._hidden, at[lost], mass[lost])
        self._settled[rows] = ~lost[len(self._points) :].reshape(-1, 2 * d).any(axis=1)
        axes = np.zeros((n, d), dtype=bool)
        np.logical_or.at(axes, at[lost], np.concatenate([np.ones(self._points.shape, dtype=bool), narrower])[lost])
        return axes

    def _on_faces(self, leaves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The places of the largest f on all faces, and the side beyond: outwards across the face, inwards along it; (n 2d, d)."""
        d = self.forest.cells.low.shape[1]
        low, high = (a[leaves][:, None] for a in self.forest.cells[:2])
        unit = _rule(d, 1)[0][self._found.place[leaves]]
        x = np.where(unit == 1, high, low + (high - low) * unit)
        side = np.where(unit == 1, -1, 1)
        face = np.arange(2 * d)
        side[:, face, face % d] *= -1
        return x.reshape(-1, d), side.reshape(-1, d)


def _nodes_of_a_cell(d: int) -> int:
    return sum(n**d for n in _ORDERS[d])


@lru_cache(maxsize=8)
def _rule(d: int, rule: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (N, d) in the unit cube and weights (N,): products of Gauss-Legendre (0) or Gauss-Lobatto (1)."""
    from numpy.polynomial import legendre

    n = _ORDERS[d][rule]
    if rule == 0:
        z, w = legendre.leggauss(n)
    else:
        last = np.eye(n)[n - 1]
        z = np.concatenate([[-1.0], np.sort(legendre.legroots(legendre.legder(last))), [1.0]])
        w = 2 / (n * (n - 1) * legendre.legval(z, last) ** 2)
    grid = np.meshgrid(*[(z + 1) / 2] * d, indexing="ij")
    weights = np.prod(np.meshgrid(*[w / 2] * d, indexing="ij"), axis=0)
    return np.stack([axis.ravel() for axis in grid], axis=1), weights.ravel()


@lru_cache(maxsize=3)
def _last(d: int) -> np.ndarray:
    """(2 m + 1) P_m at the nodes of the finer rule along an axis, for the last m, (_LAST, n)."""
    from numpy.polynomial import legendre

    n = _ORDERS[d][0]
    m = np.arange(n - _LAST, n)
    return ((2 * m + 1) * legendre.legvander(legendre.leggauss(n)[0], n - 1)[:, m]).T


@lru_cache(maxsize=3)
def _faces(d: int) -> np.ndarray:
    """The nodes of the coarser rule on each face, lower ones first, (2 d, n^(d - 1))."""
    unit = _rule(d, 1)[0]
    return np.stack([np.flatnonzero(unit[:, i] == end) for end in (0, 1) for i in range(d)])


def nodes(low: np.ndarray, high: np.ndarray, rule: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """All nodes (n N, d) of the cells, and the weights of dx, by the finer rule (0) or the coarser one."""
    d = low.shape[1]
    unit, w = _rule(d, rule)
    x = low[:, None] + (high - low)[:, None] * unit
    return x.reshape(-1, d), (np.prod(high - low, axis=1)[:, None] * w).ravel()


def look(f: Callable, g: Callable, shift: float, low: np.ndarray, high: np.ndarray) -> _Found:
    """What the rules find in these cells."""
    d = low.shape[1]
    return _Found(*_blocks.map_rows(partial(_block, f, g, shift), low, high, row_bytes=8 * _ORDERS[d][0] ** d * 12))


def _block(f: Callable, g: Callable, shift: float, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, ...]:
    n, d = low.shape
    fine, logs, y = _by_rule(f, g, shift, low, high, 0)
    coarse, coarse_logs, _ = _by_rule(f, g, shift, low, high, 1)
    with np.errstate(invalid="ignore"):
        change = np.abs(fine[:, :1] - coarse[:, :1])
    grid = y.reshape(n, *[_ORDERS[d][0]] * d, -1)
    with np.errstate(invalid="ignore"):
        tails = [np.abs(np.tensordot(grid, _last(d), axes=(1 + i, 1))).sum(axis=(*range(1, d), -1)) for i in range(d)]
    on_faces = coarse_logs[:, _faces(d)]
    best = on_faces.argmax(axis=2)
    place = _faces(d)[np.arange(2 * d), best]
    top = np.maximum(logs.max(axis=1), coarse_logs.max(axis=1))
    return np.concatenate([fine, change], axis=1), np.stack(tails, axis=1), top, on_faces.max(axis=2), place


def _by_rule(f: Callable, g: Callable, shift: float, low, high, rule: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sums (n, 3, c) of w e^{f - shift} times g and |g| and of the rounding of the latter; f, (n, N); what is summed."""
    x, w = nodes(low, high, rule)
    logs = f(x)
    eps = float(np.finfo(logs.dtype).eps)
    logs = logs.astype(np.float64)
    with np.errstate(over="ignore"):
        weight = w * np.exp(logs - shift)
    there = weight > 0  # elsewhere g is not asked: a moment may overflow far out
    values = g(x[there]) * weight[there, None]
    y = np.zeros((3, len(x), values.shape[1]))
    y[0, there], y[1, there] = values, np.abs(values)
    y[2, there] = eps * (4 + np.abs(logs[there, None])) * y[1, there]
    logs = logs.reshape(len(low), -1)
    return y.reshape(3, len(low), -1, values.shape[1]).sum(axis=2).swapaxes(0, 1), logs, y[0]
