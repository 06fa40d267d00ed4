r"""Total variation of products of any laws on the line, from their Hellinger transform on the line s = 1/2 + iu.

    TV = 1/(2 pi) int F du,   F(u) = (1 - phi(1/2 + iu))/(1/4 + u^2),   phi(s) = prod_i int p_i^s q_i^{1-s} dx,

see `_hellinger`. Without a closed form phi does not continue off the line; two facts make up for it.

F has no poles, for phi is one at s = 0 and s = 1, and its Fourier transform vanishes beyond the range of L = sum_i log p_i/q_i: the
trapezoidal rule with a spacing below pi over that range is exact. On equally spaced u = a B + b, a factor of phi is a product of
matrices, sum_x e^{i a B L(x)} m(x) e^{i b L(x)}, with the square root of the number of exponentials.

Where the nodes in x cease to resolve p^s, phi is a sum of oscillations u^{-d/2} e^{iul}, l the values at which L stands still, and
need not be summed to its end: with phi w for phi, w falling smoothly from 1 to 0 before u = U, what is lost is of order
e^{-(l U/24)^2}.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from refscore import _blocks, _quadrature
from refscore.distances._gaussian_pair import UNIT
from refscore.distances._hellinger import what_is_left

_LEVELS = 3, 4, 5, 6, 7
_ENOUGH = 1e-11
_MASS = -40.0  # log densities below it are no part of the range of L
_RESOLVED = -18.0  # e^-18 of sqrt(pq), at 1/u^2 of its worth: nodes may be as steep as they like
_CLOSE = 64
_STEEPNESS = 12.0  # erfc(6) = 2e-17
_MOST_WAVES = 1 << 18


def total_variation_of(pairs: list[tuple[Any, Any, int]]) -> tuple[float, float]:
    """TV and an error estimate for pairs of laws on the line, and how many coordinates have each."""
    value, error = 0.0, math.inf
    for level in _LEVELS:
        value, error = _on_nodes([(_Table(p, q, 2.0**level), count) for p, q, count in pairs])
        if error <= _ENOUGH:
            break
    return min(max(value, 0.0), 1.0), error


class _Table:
    """L = log p/q at the nodes of a pair."""

    def __init__(self, p, q, per_std: float):
        points = np.unique(np.concatenate([p.grid(per_std), q.grid(per_std)]))
        x, weights = _quadrature.panels(np.append(points[:-1:2], points[-1]), 1)
        log_p, log_q = p.logpdf(x[:, None]), q.logpdf(x[:, None])
        kept = np.maximum(log_p, log_q) > -700
        log_p, log_q, weights = np.maximum(log_p[kept], -1e4), np.maximum(log_q[kept], -1e4), weights[kept]
        gap = log_p - log_q
        self.columns = np.stack([gap, 8 * UNIT * (4 + np.abs(log_p) + np.abs(log_q)), log_q, weights], axis=1)
        self.gap, self.mass = gap, weights * np.exp((log_p + log_q) / 2)
        self.range = float(np.abs(gap[np.maximum(log_p, log_q) > _MASS]).max())
        self.step = float(np.abs(np.diff(gap))[(log_p + log_q)[1:] / 2 > _RESOLVED].max(initial=0.0))
        self.doubt = float(self.mass @ self.columns[:, 1])

    def waves(self, width: float, count: int) -> np.ndarray:
        """phi at u = 0, width, ..., (count,)."""
        block = math.isqrt(count) + 1
        coarse = np.exp(1j * np.outer(np.arange(-(-count // block)) * (block * width), self.gap)) * self.mass
        return (coarse @ np.exp(1j * np.outer(np.arange(block) * width, self.gap)).T).ravel()[:count]

    def lacking(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """1 - phi = int (1 - s) q + s p - p^s q^{1-s} dx, to relative accuracy where p and q are close, and its rounding error."""
        value, error = _blocks.sum_rows(partial(_lacking, 0.5 + 1j * u), self.columns, row_bytes=160 * len(u))
        return value, error


def _on_nodes(tables: list[tuple[_Table, int]]) -> tuple[float, float]:
    reach = sum(n * table.range for table, n in tables)
    if reach == 0:
        return 0.0, 64 * UNIT
    end, dies = _end(tables)
    width = 0.97 * math.pi / reach
    count = math.ceil(end / width) + 1
    if count > _MOST_WAVES:
        raise ValueError(f"the product needs its Hellinger transform at {count} points, more than {_MOST_WAVES}: its factors "
                         "differ too much, or are too many")
    u = width * np.arange(count)
    phi = np.prod([table.waves(width, count) ** n for table, n in tables], axis=0).real
    close = [(*table.lacking(u[:_CLOSE]), n) for table, n in tables]
    lacking = -np.expm1(sum(n * np.log1p(-value) for value, _, n in close)).real
    values = [_trapezoid(u, width, phi, lacking, c) for c in ((math.inf,) * 3 if dies else (end / 2, end / math.sqrt(2), end))]
    changes = [abs(a - b) / max(b, 1e-300) for a, b in zip(values, values[1:], strict=False)]
    doubt = np.abs(phi) * (1 + u) * sum(n * table.doubt for table, n in tables)
    doubt[:_CLOSE] = sum(n * error for _, error, n in close)
    rounding = width * float((doubt / (u * u + 0.25)).sum()) + 64 * UNIT * values[-1]
    return values[-1], rounding + values[-1] * what_is_left(*changes)


def _end(tables: list[tuple[_Table, int]]) -> tuple[float, bool]:
    """To where phi is summed, and whether it has died away there; else it is where nodes cease to resolve it."""
    scan = np.geomspace(1e-3, 1.0, 60) / (max(table.step for table, _ in tables) or 1.0)
    size = sum(n * np.log(np.abs(np.exp(1j * np.outer(scan, table.gap)) @ table.mass) + 1e-300) for table, n in tables)
    matters = np.flatnonzero(size > _MASS)
    first = int(matters[-1]) + 1 if matters.size else 0
    return float(scan[min(first, len(scan) - 1)]), first < len(scan)


def _trapezoid(u: np.ndarray, width: float, phi: np.ndarray, lacking: np.ndarray, end: float) -> float:
    """1/pi int_0^inf (1 - phi w)/(1/4 + u^2) du; beyond the last node the sum of 1/(1/4 + u^2) by the Euler-Maclaurin formula."""
    from scipy.special import erfc

    window = erfc(_STEEPNESS * (u / end - 0.5)) / 2 if math.isfinite(end) else np.ones(len(u))
    above = 1 - phi * window
    first = slice(0, len(lacking))
    above[first] = np.where(window[first] > 1 - 1e-15, lacking, above[first])
    above[0] /= 2
    edge = float(u[-1]) + width / 2
    rest = 2 * math.atan(1 / (2 * edge)) - width**2 / 12 * edge / (edge * edge + 0.25) ** 2
    return (width * float((above / (u * u + 0.25)).sum()) + rest) / math.pi


def _lacking(s: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
    gap, error, log_q, weights = columns.T[:, :, None]
    q = weights * np.exp(log_q)
    p, between = weights * np.exp(gap + log_q), weights * np.exp(s * gap + log_q)
    close = np.abs(gap[:, 0]) < 1
    lacking = np.where(close[:, None], 0.0, (1 - s) * q + s * p - between)
    lacking[close] = q[close] * (s * _exp_gap(gap[close] + 0j) - _exp_gap(s * gap[close]))
    slope = np.where(close[:, None], np.abs(p - between), p + np.abs(between))
    return [lacking.sum(axis=0), (np.abs(s) * slope * error + 4 * UNIT * np.abs(lacking)).sum(axis=0)]


def _exp_gap(z: np.ndarray) -> np.ndarray:
    """k(z) = e^z - 1 - z without cancellation, by its series for |z| <= 1/2."""
    result = np.empty_like(z)
    near = np.abs(z) <= 0.5
    x, far = z[near], z[~near]
    tail = np.zeros_like(x)
    for k in range(15, 1, -1):
        tail = (tail * x + 1) / k
    result[near], result[~near] = x * x * tail, np.expm1(far) - far
    return result
