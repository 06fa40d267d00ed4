"""Boxes that are cut into boxes: a forest whose leaves cover what is integrated over, and which leaf a point lies in.

A cell is cut in the middle of some of its axes, all at once. Edges are floats that both neighbours share, so that widths,
which are differences of edges, add up to the whole however small they are; an axis a few roundings wide is cut no more.

A point on an edge lies in two cells or more. Which one is meant says its side, -1 or 1 an axis: the lower one or the upper.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NOWHERE = -1
_NARROWEST = 64  # roundings of its edges, an axis that may be cut


class Cells(NamedTuple):
    """Boxes [low, high], (n, d) each, and the shell that each belongs to, 0 for the box in the middle."""

    low: np.ndarray
    high: np.ndarray
    shell: np.ndarray


class Forest:
    """Cells, numbered as they come, whole ones and those that were cut."""

    def __init__(self, d: int):
        self._corners = corners(d).astype(bool)
        self.cells = Cells(np.zeros((0, d)), np.zeros((0, d)), np.zeros(0, dtype=np.intp))
        self.reach = np.zeros((0, d))
        """Of each cell the width of the one that was planted."""
        self.parent = np.zeros(0, dtype=np.intp)
        """Of each cell the one it was cut from, NOWHERE if it was planted."""
        self._children = np.zeros((0, 2**d), dtype=np.intp)
        self._roots: list[np.ndarray] = []

    def copy(self) -> Forest:
        """Another one, which may be cut on its own."""
        other = Forest(self._corners.shape[1])
        other.cells, other.reach, other.parent = self.cells, self.reach, self.parent
        other._children, other._roots = self._children.copy(), list(self._roots)
        return other

    @property
    def leaves(self) -> np.ndarray:
        """(n,): which cells are not cut."""
        return self._children[:, 0] == NOWHERE

    def plant(self, cells: Cells) -> None:
        """More cells, beside all others."""
        self._roots.append(len(self.cells.low) + np.arange(len(cells.low)))
        self._append(cells, cells.high - cells.low, np.full(len(cells.low), NOWHERE))

    def cut(self, rows: np.ndarray, axes: np.ndarray) -> None:
        """Cut these leaves in the middle of these axes, (len(rows), d) of bool."""
        low, high = (a[rows][:, None] for a in (self.cells.low, self.cells.high))
        middle, cut, upper = low + (high - low) / 2, axes[:, None], self._corners
        exists = ~(upper & ~cut).any(axis=2)
        number = len(self.cells.low) + np.cumsum(exists).reshape(exists.shape) - 1
        bits = 1 << np.arange(axes.shape[1])
        self._children[rows] = np.take_along_axis(number, (upper & cut) @ bits, axis=1)
        low, high = np.where(cut & upper, middle, low)[exists], np.where(cut & ~upper, middle, high)[exists]
        parent = np.repeat(rows, exists.sum(axis=1))
        self._append(Cells(low, high, self.cells.shell[parent]), self.reach[parent], parent)

    def divisible(self) -> np.ndarray:
        """(n, d): which axes of all cells are wide enough to be cut."""
        low, high, _ = self.cells
        return high - low > _NARROWEST * np.spacing(np.maximum(np.abs(low), np.abs(high)))

    def part(self, rows: np.ndarray) -> np.ndarray:
        """(len(rows),): how thin these cells are, beside the ones that were planted."""
        return ((self.cells.high[rows] - self.cells.low[rows]) / self.reach[rows]).min(axis=1)

    def locate(self, x: np.ndarray, side: np.ndarray, at: np.ndarray) -> np.ndarray:
        """The leaf that each row of x lies in, NOWHERE if in none. ``at``: where to begin, cells not far from it, or NOWHERE."""
        at = at.copy()
        out = np.flatnonzero(at != NOWHERE)
        while len(out):  # up, until it is inside
            out = out[~_within(x[out], side[out], self.cells.low[at[out]], self.cells.high[at[out]]).all(axis=1)]
            at[out] = self.parent[at[out]]
            out = out[at[out] != NOWHERE]
        for roots in self._roots:
            lost = np.flatnonzero(at == NOWHERE)
            if not len(lost):
                break
            low, high = self.cells.low[roots], self.cells.high[roots]
            box = low.min(axis=0), high.max(axis=0)
            lost = lost[_within(x[lost], side[lost], *box).all(axis=1)]
            inside = np.stack([_within(x[lost], side[lost], *edges).all(axis=1) for edges in zip(low, high, strict=True)], axis=1)
            at[lost] = np.where(inside.any(axis=1), roots[inside.argmax(axis=1)], NOWHERE)
        bits = 1 << np.arange(x.shape[1])
        open_ = np.flatnonzero(at != NOWHERE)
        while len(open_ := open_[self._children[at[open_], 0] != NOWHERE]):
            low, high = self.cells.low[at[open_]], self.cells.high[at[open_]]
            middle = low + (high - low) / 2
            upper = (x[open_] > middle) | ((x[open_] == middle) & (side[open_] > 0))
            at[open_] = self._children[at[open_], upper @ bits]
        return at

    def _append(self, cells: Cells, reach: np.ndarray, parent: np.ndarray) -> None:
        self.cells = Cells(*(np.concatenate(pair) for pair in zip(self.cells, cells, strict=True)))
        self.reach = np.concatenate([self.reach, reach])
        self.parent = np.concatenate([self.parent, parent])
        fresh = np.full((len(cells.low), self._children.shape[1]), NOWHERE)
        self._children = np.concatenate([self._children, fresh])


def corners(d: int) -> np.ndarray:
    """The corners of the unit cube, (2^d, d); axis i of corner k is the i-th binary digit of k, from the last."""
    return (np.arange(2**d)[:, None] >> np.arange(d)) & 1


def _within(x: np.ndarray, side: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return ((low < x) & (x < high)) | ((x == low) & (side > 0)) | ((x == high) & (side < 0))
