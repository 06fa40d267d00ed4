"""The posterior over the components of a mixture, row by row, and what follows from it (see `_components`)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from refscore.densities._components import Components

_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Rows x with their reference component j, and the other components that may matter: (row, k, l_k - l_j)."""

    parts: Components
    x: np.ndarray
    reference: np.ndarray
    rows: np.ndarray
    k: np.ndarray
    log_ratio: np.ndarray

    @cached_property
    def weights(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(r of the listed components, r of the reference, log sum_k e^{l_k - l_j})."""
        n = len(self.x)
        top = np.zeros(n, dtype=np.longdouble)
        np.maximum.at(top, self.rows, self.log_ratio)
        listed = np.exp((self.log_ratio - top[self.rows]).astype(np.float64))
        own = np.exp(-top.astype(np.float64))
        total = own + sum_by_row(self.rows, listed, n)
        return listed / total[self.rows], own / total, top.astype(np.float64) + np.log(total)

    def steps(self) -> Iterator[tuple[slice, np.ndarray]]:
        """(piece of the list, s_k - s_j there), zero where the weight is (it may have overflowed, and does not matter)."""
        for piece in pieces(len(self.k), self.x.shape[1]):
            rows = self.rows[piece]
            step = self.parts.step(self.x[rows], self.k[piece], self.reference[rows])
            yield piece, np.where(self.weights[0][piece, None] > 0, step, 0.0)

    @cached_property
    def mean_step(self) -> np.ndarray:
        """sum_k r_k (s_k - s_j), (n, d)."""
        total = np.zeros(self.x.shape)
        for piece, step in self.steps():
            total += sum_by_row(self.rows[piece], self.weights[0][piece, None] * step, len(total))
        return total

    def log_density(self) -> np.ndarray:
        height, _ = self.parts.log_height_at(self.reference, self.x)
        return height + self.weights[2] - 0.5 * self.x.shape[1] * _LOG_2PI

    def score(self) -> np.ndarray:
        return self.parts.solve(self.reference, self.parts.means[self.reference] - self.x) + self.mean_step

    def jacobian(self) -> np.ndarray:
        n, dim = self.x.shape
        listed, own, _ = self.weights
        precision, full = self.parts.precision, self.parts.axes is not None
        value = own[:, None, None] * self.mean_step[:, :, None] * self.mean_step[:, None, :]
        spread = own[:, None, None] * precision[self.reference] if full else own[:, None] * precision[self.reference]
        for piece, step in self.steps():
            rows, r = self.rows[piece], listed[piece]
            away = step - self.mean_step[rows]
            value += sum_by_row(rows, r[:, None, None] * away[:, :, None] * away[:, None, :], n)
            spread = spread + sum_by_row(rows, r.reshape(-1, *[1] * (precision.ndim - 1)) * precision[self.k[piece]], n)
        if full:
            return value - spread
        value[:, range(dim), range(dim)] -= spread
        return value

    def spread_less(self, known: np.ndarray) -> np.ndarray:
        """sum_k r_k (|s_k - s|^2 - known_k), (n,): with known = tr C_k^{-1} the divergence of s."""
        listed, own, _ = self.weights
        value = own * ((self.mean_step**2).sum(axis=1) - known[self.reference])
        for piece, step in self.steps():
            rows, r = self.rows[piece], listed[piece]
            away = step - self.mean_step[rows]
            value += sum_by_row(rows, r * ((away * away).sum(axis=1) - known[self.k[piece]]), len(value))
        return value


def pieces(count: int, dim: int) -> Iterator[slice]:
    """Cuts of a list of (row, component) pairs, so that arrays with d numbers a pair stay in the cache."""
    size = max(1, 2**16 // dim)
    return (slice(i, i + size) for i in range(0, count, size))


def sum_by_row(rows: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Sums of values (m, ...) by row index; ``rows`` ascends."""
    total = np.zeros((n, *values.shape[1:]))
    if len(rows):
        starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
        total[rows[starts]] = np.add.reduceat(values, starts, axis=0)
    return total
