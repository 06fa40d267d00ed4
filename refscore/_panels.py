r"""Integrals over pieces of the line: one substitution, Gauss panels, and every feature at the end of a piece.

A piece (l, r) is carried onto the whole line by

    l, r finite   x = l + (r - l)/(1 + e^{-u})        r infinite   x = l + e^u        l infinite   x = r - e^{-u}

so that whatever is integrable on it decays as u -> +-inf: like e^{a u} where p ~ |x - l|^{a-1} at an end, however small
a > 0, and like e^{-a u} where p ~ x^{-1-a} far out. What does not decay is not integrable: the same test for a singular
end, for a heavy tail and for a moment that does not exist. Distances from an end are resolved down to 1e-150: a piece
that is cut at a peak resolves it, however narrow it is and wherever it lies (`cut_at_peaks`).

The line is cut into panels with ORDER Gauss-Legendre nodes each. The Legendre coefficients of the integrand come with the
nodes; a panel whose last two are not negligible is halved. Their sum over all panels, times the width, is the error of
the quadrature: it bounds the error of the interpolant, and the integral is far better as a rule. To it come rounding (of
log g, eps |log g|, and of x, eps |x (g f)'|: near an end that is not zero x itself is not known better), and what lies
beyond |u| = 345, where x is 1e150 and its square still a float.

What no rule sees is a peak between all nodes, away from every cut.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

ORDER = 20
EPS = float(np.finfo(np.float64).eps)
TOLERANCE = 3e-14
_END = 345.0
_EDGES = np.array([0.0, 4.0, 8.0, 16.0, 32.0, 64.0, 160.0, _END])
_EDGES = np.concatenate([-_EDGES[:0:-1], _EDGES])
_HOPELESS = 1e-3
_LEVELS = 48
_PEAKS = 16


class Panels(NamedTuple):
    """Panels [u_start, u_stop] of pieces, each belonging to one of several integrals that are computed together."""

    pieces: np.ndarray  # (m, 2) ends of the piece
    u: np.ndarray  # (m, 2)
    owner: np.ndarray  # (m,) which integral

    @classmethod
    def of(cls, pieces: np.ndarray, owner=None) -> Panels:
        """The coarsest panels of pieces (k, 2); all of one integral unless told otherwise."""
        m = len(_EDGES) - 1
        owner = np.zeros(len(pieces), dtype=np.intp) if owner is None else owner
        u = np.tile(np.column_stack([_EDGES[:-1], _EDGES[1:]]), (len(pieces), 1))
        return cls(np.repeat(pieces, m, axis=0), u, np.repeat(owner, m))

    def take(self, rows) -> Panels:
        return Panels(self.pieces[rows], self.u[rows], self.owner[rows])

    def halved(self) -> Panels:
        """Each panel cut in two, side by side."""
        middle = self.u.mean(axis=1)
        u = np.stack([self.u[:, 0], middle, middle, self.u[:, 1]], axis=1).reshape(-1, 2)
        return Panels(np.repeat(self.pieces, 2, axis=0), u, np.repeat(self.owner, 2))

    @property
    def width(self) -> np.ndarray:
        return self.u[:, 1] - self.u[:, 0]

    def at(self, u) -> tuple[np.ndarray, np.ndarray]:
        """x and log dx/du at u (m, k)."""
        left, right = self.pieces[:, :1], self.pieces[:, 1:]
        with np.errstate(over="ignore", invalid="ignore"):
            small = np.exp(-np.abs(u))
            length = right - left
            inside = np.isfinite(length)
            far = np.where(np.isfinite(left), np.exp(u), np.exp(-u))  # distance to the only end
            distance = np.where(inside, length * (small / (1 + small)), far)
            from_left = np.where(inside, u < 0, np.isfinite(left))
            x = np.where(from_left, left + distance, right - distance)
            x = np.clip(x, np.nextafter(left, right), np.nextafter(right, left))
            slope = np.where(inside, np.log(length) - np.abs(u) - 2 * np.log1p(small), np.where(from_left, u, -u))
        return x, slope


@lru_cache(maxsize=1)
def rule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss nodes and weights on [-1, 1], and the matrix (ORDER, ORDER) from values to Legendre coefficients."""
    z, w = np.polynomial.legendre.leggauss(ORDER)
    degrees = np.arange(ORDER)[:, None]
    return z, w, (degrees + 0.5) * w * np.polynomial.legendre.legvander(z, ORDER - 1).T


def nodes(panels: Panels) -> tuple[np.ndarray, np.ndarray]:
    """x and the log of the quadrature weight of dx, both (m, ORDER)."""
    z, w, _ = rule()
    half = panels.width[:, None] / 2
    x, slope = panels.at(panels.u.mean(axis=1)[:, None] + half * z)
    return x, slope + np.log(half * w)


def coefficients(panels: Panels, log_g: Callable, shift: float) -> np.ndarray:
    """Legendre coefficients (m, ORDER) of e^{log_g(x) - shift} dx/du on every panel."""
    z, _, transform = rule()
    x, slope = panels.at(panels.u.mean(axis=1)[:, None] + panels.width[:, None] / 2 * z)
    values = log_g(x.ravel()).reshape(x.shape)
    return np.exp(values + slope - shift) @ transform.T


class Integral(NamedTuple):
    """e^shift (value +- error) of every owner; size is the integral of the absolute value; panels as they were left.

    Where ``converges`` is False, what lies beyond |u| = 345, or what rounding of x leaves open, is no small part of the size.
    """

    value: np.ndarray  # (owners, c)
    error: np.ndarray
    size: np.ndarray
    converges: np.ndarray  # (owners, c)
    shift: np.ndarray  # (owners,)
    panels: Panels


def integrate(log_g: Callable, f: Callable, panels: Panels, owners: int = 1, max_nodes: int = 4_000_000) -> Integral:
    """Integrals of e^{log_g} f over each owner's panels, refined until all columns of f are resolved.

    ``log_g(x, owner)`` (k,) and ``f(x, owner)`` (k, c) take points x (k,), each of which belongs to an owner. f is not
    asked where e^{log_g} dx vanishes against the rest: a moment may overflow there. No level has more than ``max_nodes`` nodes.
    """
    _, _, transform = rule()
    shift = np.full(owners, -np.inf)
    done: list[Panels] = []
    sums: np.ndarray | None = None  # (4, owners, c) of the panels that are done: value, size, quadrature error, all other errors
    for level in range(_LEVELS):
        x, log_w = nodes(panels)
        owner = np.repeat(panels.owner, ORDER)
        logs = log_g(x.ravel(), owner).reshape(x.shape)
        highest = shift.copy()
        np.maximum.at(highest, panels.owner, (logs + log_w).max(axis=1))
        drop, shift = _drop(shift, highest), highest
        weight = np.exp(logs + log_w - np.where(np.isfinite(shift), shift, 0.0)[panels.owner][:, None])  # those of the rule within
        seen = weight.ravel() > 0
        values = f(x.ravel()[seen], owner[seen])
        columns = values.shape[1]
        sums = np.zeros((4, owners, columns)) if sums is None else sums * np.exp(drop)[:, None]
        y = np.zeros((x.size, columns))
        y[seen] = values * weight.ravel()[seen, None]
        y = y.reshape(*x.shape, columns)
        density = y / rule()[1][:, None]  # a panel's width/2 times the integrand
        tail = 2 * np.abs(np.einsum("kj,mjc->mkc", transform[-2:], density)).sum(axis=1)
        size = np.abs(y)
        noise = _noise(x, np.where(weight > 0, logs, 0.0), log_w, y)
        total = sums[1].copy()
        np.add.at(total, panels.owner, size.sum(axis=1))
        rest = noise + _beyond(panels, density / panels.width[:, None, None] * 2, total[panels.owner])
        parts = np.stack([y.sum(axis=1), size.sum(axis=1), tail, rest])
        resolved = (tail <= TOLERANCE * total[panels.owner] + 2 * ORDER * noise).all(axis=1)
        resolved |= panels.width < 1e-13 * (1 + np.abs(panels.u).max(axis=1))
        if level == _LEVELS - 1 or 2 * ORDER * (~resolved).sum() > max_nodes:
            resolved[:] = True
        for k in range(4):
            np.add.at(sums[k], panels.owner[resolved], parts[k][resolved])
        done.append(panels.take(resolved))
        panels = panels.take(~resolved).halved()
        if not len(panels.u):
            break
    assert sums is not None
    left = Panels(*(np.concatenate(arrays) for arrays in zip(*done, strict=True)))
    return Integral(sums[0], sums[2] + sums[3], sums[1], sums[3] <= _HOPELESS * sums[1], shift, left)


def _drop(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(before), before - np.where(np.isfinite(after), after, 0.0), 0.0)


def _noise(x: np.ndarray, log_g: np.ndarray, log_w: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What rounding of log g, of the weight and of x makes of the terms y (m, ORDER, c), summed over each panel, (m, c)."""
    size, weight = np.abs(y), np.exp(log_w)[:, :, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        steep = np.abs(np.diff(y / weight, axis=1)) / np.abs(np.diff(x, axis=1))[:, :, None]  # of the integrand in x
        steep = np.maximum(steep[:, np.r_[0, : ORDER - 1]], steep[:, np.r_[: ORDER - 1, -1]])
        moved = np.fmin(size, EPS * np.abs(x)[:, :, None] * steep * weight)  # NaN: neighbours that are the same float
    return (EPS * (2 + np.abs(log_g) + np.abs(log_w))[:, :, None] * size + moved).sum(axis=1)


def _beyond(panels: Panels, g: np.ndarray, total: np.ndarray) -> np.ndarray:
    """What lies beyond |u| = 345, (m, c), from the last two nodes: g/rate of decay, inf where nothing decays.

    Nothing, where g at the last node times the whole range of u is below rounding of the total.
    """
    z = rule()[0]
    out = np.zeros((len(g), g.shape[2]))
    for side, (last, before) in ((0, (0, 1)), (1, (-1, -2))):
        at_end = np.abs(panels.u[:, side]) == _END
        step = np.abs(z[last] - z[before]) * panels.width[at_end] / 2
        end, inner = np.abs(g[at_end][:, last]), np.abs(g[at_end][:, before])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rate = np.log(inner / end) / step[:, None]
            rest = np.where(rate > 0, end / rate, np.inf)
        out[at_end] += np.where(end * 2 * _END <= EPS * total[at_end], 0.0, rest)
    return out


def inverse(values: np.ndarray, slopes: np.ndarray, wanted: np.ndarray, enough) -> np.ndarray:
    """z (n,) in [-1, 1] where increasing Legendre series, columns of ``values`` (k, n), are within ``enough`` of ``wanted`` (n,).

    Newton's method with the series of the ``slopes``, held between bisections. What is wanted beyond an end is found there.
    """
    from numpy.polynomial import legendre

    enough = np.broadcast_to(enough, wanted.shape)
    low, high = -np.ones(len(wanted)), np.ones(len(wanted))
    first, last = (legendre.legval(end, values, tensor=False) - wanted for end in (low, high))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(first >= -enough, -1.0, np.where(last <= enough, 1.0, (low * last - high * first) / (last - first)))
    rows = np.flatnonzero((first < -enough) & (last > enough))
    for _ in range(60):  # bisections; Newton needs about six
        gap = legendre.legval(z[rows], values[:, rows], tensor=False) - wanted[rows]
        rows, gap = rows[np.abs(gap) > enough[rows]], gap[np.abs(gap) > enough[rows]]
        if not len(rows):
            break
        at = z[rows]
        low[rows], high[rows] = np.where(gap < 0, at, low[rows]), np.where(gap < 0, high[rows], at)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = at - gap / legendre.legval(at, slopes[:, rows], tensor=False)
        z[rows] = np.where((step > low[rows]) & (step < high[rows]), step, (low[rows] + high[rows]) / 2)
    return z


def survey(left: float, right: float) -> np.ndarray:
    """Points of a piece on all its scales: those of the substitution, from 1e-130 to 1e130 and as close to finite ends."""
    line = np.linspace(-300, 300, 9601)
    if np.isfinite(left) or np.isfinite(right):
        return np.unique(Panels(np.array([[left, right]]), np.zeros((1, 2)), np.zeros(1)).at(line[None])[0])
    return np.sinh(line)


def cut_at_peaks(log_g: Callable, pieces: np.ndarray) -> np.ndarray:
    """Pieces (k, 2), cut at the local maxima of log_g that a search by zooming finds; no piece is left infinite on both sides."""
    found = []
    for left, right in pieces:
        grid = survey(left, right)
        values = log_g(grid)
        inner = np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:])) + 1
        inner = inner[np.argsort(-values[inner], kind="stable")][:_PEAKS]
        low, high = grid[inner - 1], grid[inner + 1]
        for _ in range(16):  # each round narrows the bracket 16 times
            points = low + (high - low) * np.linspace(0, 1, 33)[:, None]
            best = np.argmax(log_g(points.ravel()).reshape(points.shape), axis=0)
            rows = np.arange(len(inner))
            peaks = points[best, rows]
            low, high = points[np.maximum(best - 1, 0), rows], points[np.minimum(best + 1, 32), rows]
        cuts = np.unique(peaks) if len(inner) else np.zeros(0)
        cuts = cuts[(cuts > left) & (cuts < right)]
        if not len(cuts) and not np.isfinite(left) and not np.isfinite(right):
            cuts = grid[[int(np.argmax(values))]]
        edges = np.concatenate([[left], cuts, [right]])
        found.append(np.column_stack([edges[:-1], edges[1:]]))
    return np.concatenate(found)


def warn_unless_resolved(error, size, tolerance: float, what: str) -> None:
    if not (np.asarray(error) <= tolerance * np.asarray(size)).all():
        worst = float(np.max(error / np.maximum(size, np.finfo(float).tiny)))
        warnings.warn(f"{what}: the error estimate is {worst:.1e} of the integral of the absolute value: cut the support where "
                      "there are kinks, jumps or narrow peaks, support=((low, cut), (cut, high))", RuntimeWarning, stacklevel=3)
