r"""An increasing function of the line, seen at points only, as polynomials on panels: with derivatives and inverse.

On each panel f is the Legendre series through ORDER Gauss nodes; a panel is halved until the last two coefficients vanish against
the panel's rise, and the slope varies by a moderate factor. Differentiation magnifies an error of the series: (root mean square of
P_k')^2 = k (k + 1)/2, so noise of size t in every coefficient becomes t (ORDER^3/6)^{1/2} in the slope. Where halving no longer
helps, the noise of f is reached. Where a series does not increase (the last, narrow panel at a kink) the chord takes its place.
A panel keeps its image whatever is between, so that the relative error of the slope counts for one at most.

Beyond the ends f goes on as its tangent. Points between the nodes, and the ends of the panels, are tried afterwards: what the
series misses there counts as error. What no point sees stays unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre

from refscore import _panels
from refscore._panels import EPS, ORDER

RESOLVED, NOISE = 1e-14, 1e-10
"""Last coefficients over the rise of a panel: small enough; and small enough to be noise, if halving does not help."""

STEEPER = 32.0
"""Slopes on one panel differ by no more, so that relative errors of the slope mean something."""

_LEVELS = 40
_MAX_PANELS = 1 << 13


class Increasing(NamedTuple):
    """f on panels [edges_j, edges_{j+1}], values at the edges, series (m, ORDER), and the slope's error, relative to the slope."""

    edges: np.ndarray
    values: np.ndarray
    series: np.ndarray
    slope_error: np.ndarray

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """f, f' and f'' at x, each (n,)."""
        row = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, len(self.series) - 1)
        middle, half = self._panel(row)
        return self._at(row, np.clip((x - middle) / half, -1, 1), x)

    def inverse(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x with f(x) = y, and f' and f'' there, each (n,)."""
        row = np.clip(np.searchsorted(self.values, y, side="right") - 1, 0, len(self.series) - 1)
        middle, half = self._panel(row)
        series = self.series[row].T
        z = _panels.inverse(series, legendre.legder(series), y, 4 * EPS * np.abs(series).sum(axis=0))  # the rounding of the sum
        x = middle + half * z
        value, slope, bend = self._at(row, z, x)
        outside = (y < self.values[0]) | (y > self.values[-1])
        return np.where(outside, x + (y - value) / slope, x), slope, np.where(outside, 0.0, bend)

    def _panel(self, row) -> tuple[np.ndarray, np.ndarray]:
        return (self.edges[row] + self.edges[row + 1]) / 2, (self.edges[row + 1] - self.edges[row]) / 2

    def _at(self, row, z, x) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        middle, half = self._panel(row)
        series = self.series[row].T
        value, slope, bend = (legendre.legval(z, legendre.legder(series, k), tensor=False) / half**k for k in range(3))
        beyond = (x < self.edges[0]) | (x > self.edges[-1])
        return np.where(beyond, value + slope * (x - middle - half * z), value), slope, np.where(beyond, 0.0, bend)


def resolved(f: Callable, edges: np.ndarray) -> Increasing:
    """``f``, (n,) -> (n,), between the first and the last of ``edges`` (ascending), panels refined until it is resolved.

    Raises ValueError where f does not increase from point to point.
    """
    z, _, transform = _panels.rule()
    low, high = edges[:-1], edges[1:]
    before = np.full(len(low), np.inf)
    done: list[tuple[np.ndarray, ...]] = []
    for level in range(_LEVELS):
        x = (low + high)[:, None] / 2 + (high - low)[:, None] / 2 * z
        y = f(x.ravel()).reshape(x.shape)
        _check_increasing(x, y)
        rise = y[:, -1] - y[:, 0]
        line = np.stack([(y[:, 0] + y[:, -1]) / 2, rise / (z[-1] - z[0])], axis=1)  # the chord; rounding of ``transform`` is felt
        series = (y - line[:, :1] - line[:, 1:] * z) @ transform.T  # by the rest alone
        series[:, :2] += line
        tail = np.abs(series[:, -2:]).max(axis=1)
        rounding = EPS * (np.abs(y).max(axis=1) + np.abs(x).max(axis=1) * rise / (high - low))
        enough = (tail <= np.maximum(RESOLVED * rise, rounding)) | ((tail <= NOISE * rise) & (tail > before / 2))
        secant = np.diff(y, axis=1) / np.diff(x, axis=1)
        enough &= secant.max(axis=1) <= STEEPER * secant.min(axis=1)
        enough |= rise <= rounding / NOISE
        if level == _LEVELS - 1 or 2 * (~enough).sum() + sum(len(part[0]) for part in done) > _MAX_PANELS:
            enough[:] = True
        done.append((low[enough], high[enough], series[enough], np.maximum(tail, rounding)[enough]))
        low, high, before = low[~enough], high[~enough], np.repeat(tail[~enough], 2)
        if not len(low):
            break
        middle = (low + high) / 2
        low, high = np.stack([low, middle], axis=1).ravel(), np.stack([middle, high], axis=1).ravel()
    low, high, series, tail = (np.concatenate(arrays) for arrays in zip(*done, strict=True))
    order = np.argsort(low)
    return _tried(f, np.append(low[order], high.max()), series[order], tail[order])


def _tried(f: Callable, edges: np.ndarray, series: np.ndarray, tail: np.ndarray) -> Increasing:
    """The series against f at the ends of the panels and between the nodes."""
    z = _panels.rule()[0]
    half = np.diff(edges)[:, None] / 2
    between = (z[1:] + z[:-1]) / 2
    x = edges[:-1, None] + half * (1 + between)
    values = f(np.concatenate([edges, x.ravel()]))
    values, inside = values[: len(edges)], values[len(edges) :].reshape(x.shape)
    missed = np.abs(legendre.legval(between, series.T) - inside).max(axis=1)
    ends = np.array([-1.0, 1.0])
    at_ends = np.abs(legendre.legval(ends, series.T) - np.stack([values[:-1], values[1:]], axis=1)).max(axis=1)
    tail = np.maximum(tail, np.maximum(missed, at_ends) / 4)  # ORDER coefficients of noise t make 4 t at a point
    _check_increasing(edges[None], values[None])
    slope = legendre.legval(np.concatenate([ends, z, between]), legendre.legder(series.T)) / half
    lowest = slope.min(axis=1)
    bad = ~(lowest > 0)
    series[bad] = 0
    series[bad, 0], series[bad, 1] = (values[1:] + values[:-1])[bad] / 2, np.diff(values)[bad] / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        error = tail * np.sqrt(ORDER**3 / 6) / half[:, 0] / lowest
    return Increasing(edges, values, series, np.where(bad, 1.0, np.minimum(error, 1.0)))


def _check_increasing(x: np.ndarray, y: np.ndarray) -> None:
    if not np.isfinite(y).all():
        bad = ~np.isfinite(y)
        raise ValueError(f"the map is {y[bad][0]} at x = {x[bad][0]:.6g}: it must be finite where the law is")
    fall = np.diff(y, axis=1)
    if not (fall > 0).all():
        j, k = np.unravel_index(int(np.argmin(fall)), fall.shape)
        raise ValueError(f"the map is not increasing: from x = {x[j, k]:.6g} to {x[j, k + 1]:.6g} it goes from {y[j, k]:.6g} to "
                         f"{y[j, k + 1]:.6g}, so that several points have one image")
