r"""Chains that may refuse a step, on the line: law, acceptance rate (systems F2).

A proposal with density q(x, y) = N(y; m(x), v) is taken with probability a(x, y) = min(1, e^L), where
L(x, y) = log p(y) + log q(y, x) - log p(x) - log q(x, y), and what is refused stays:

    p_{k+1}(y) = int p_k(x) q(x, y) a(x, y) dx + (1 - A(y)) p_k(y),      A(x) = int q(x, z) a(x, z) dz.

The law has a density but is no mixture: values at Gauss-Legendre nodes of panels (`panel_law`). Where L changes sign a has a kink,
which no rule of high order may straddle. L(x, x) = 0, so that there is always one at y = x; the others, roots of L(x, y)/(y - x),
are bracketed between nodes (or found beside a dip) and bisected. A panel that holds kinks is cut there, and on the pieces p_k is
taken from its polynomial. As y moves kinks meet and vanish, which leaves A and p_{k+1} with singularities like (y - y_0)^{3/2} at
places that do not depend on k: panels are halved until A is resolved on each.

Error: everything is done again with a lower order; the difference, what is missing from the mass, and what a polynomial leaves of
A. What it cannot see are features of log p or m between the nodes of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from refscore.densities import GaussianMixture
from refscore.laws.panel_law import PanelLaw, crossings, gauss, lagrange, tails

if TYPE_CHECKING:  # a chain is handed over as an object: laws share no code with samplers
    from refscore.samplers import MetropolisChain

_ORDERS = 16, 12
_PANEL = 1.4  # standard deviations of the proposal, or of the narrowest component
_REACH = 9.0
_FLOOR = 45.0  # below its top log p need not be covered: e^-45 = 3e-20
_TOLERANCE = 1e-13
_MOST_NODES = 6000
_HALVINGS = 40
_SECTIONS = 36


class _Kernel(NamedTuple):
    """One step: log p and the proposal's mean as functions of points (n,), and its variance."""

    log_p: Any
    mean: Any
    v: float

    def at(self, x: np.ndarray) -> _Points:
        return _Points(x, self.log_p(x), self.mean(x))

    def log_ratio(self, x: _Points, y: _Points) -> np.ndarray:
        """L(x, y)."""
        return y.log_p - x.log_p + ((y.x - x.mean) ** 2 - (x.x - y.mean) ** 2) / (2 * self.v)

    def taken(self, x: _Points, y: _Points) -> np.ndarray:
        """q(x, y) a(x, y)."""
        exponent = -((y.x - x.mean) ** 2) / (2 * self.v) + np.minimum(self.log_ratio(x, y), 0.0)
        return np.exp(exponent) / np.sqrt(2 * np.pi * self.v)


class _Points(NamedTuple):
    """Points with log p and the proposal's mean there."""

    x: np.ndarray
    log_p: np.ndarray
    mean: np.ndarray

    def at(self, index) -> _Points:
        """Some of them, or all along one axis of a table."""
        return _Points(self.x[index], self.log_p[index], self.mean[index])


def law(chain: MetropolisChain, initial) -> tuple[PanelLaw | GaussianMixture, float]:
    """The law of the last state and an estimate of its error in total variation.

    Raises
    ------
    ValueError
        In more than one dimension; for steps that differ; for a law that needs more than 6000 nodes.
    """
    if not len(chain):
        return initial, 0.0
    kernel = _kernel(chain, initial, "initial")
    (fine, fine_error), (coarse, _) = (_run(kernel, len(chain), initial, order) for order in _ORDERS)
    return fine, fine_error + fine.distance(coarse)


def acceptance_rate(chain: MetropolisChain, density: GaussianMixture) -> tuple[float, float]:
    """The probability that a step from ``density`` is taken, E A(x), and an error estimate, in one dimension.

    Parameters
    ----------
    chain : MetropolisChain
        Such as `refscore.samplers.mala` returns.
    density : Gaussian or GaussianMixture
        Where the chain is; its stationary law, if it is one.
    """
    kernel = _kernel(chain, density, "density")
    values = []
    for order in _ORDERS:
        base = _base(kernel, density, order)
        edges, left = _resolved(kernel, density, base, order)
        nodes, weights = gauss(edges, order)
        accepted = _accepted(kernel, kernel.at(nodes), base, order)
        values.append((float((weights * np.exp(density.logpdf(nodes[:, None]))) @ accepted), left))
    return values[0][0], abs(values[0][0] - values[1][0]) + values[0][1] + 64 * float(np.finfo(float).eps)


def _kernel(chain: MetropolisChain, law: Any, name: str) -> _Kernel:
    if not isinstance(law, GaussianMixture):
        raise TypeError(f"{name} is {type(law).__name__}: pass a Gaussian or a GaussianMixture")
    if not hasattr(chain, "log_ratio"):
        raise TypeError(f"chain is {type(chain).__name__}, which takes every step: pass what mala returns")
    if law.dim > 1:
        raise ValueError(f"the law of a chain that may refuse steps is known in one dimension, here are {law.dim}: simulate")
    proposal = chain.proposal
    if not len(chain) or any(np.ptp(getattr(proposal, name)) for name in ("times", "a", "b", "v")):
        raise ValueError("the steps of the chain differ, or there are none: pass a chain of equal steps")

    def log_p(x: np.ndarray) -> np.ndarray:
        value = np.asarray(chain.logpdf(x.reshape(-1, 1)), dtype=np.float64).reshape(x.shape)
        if not np.isfinite(value).all():
            raise ValueError("logpdf is not finite everywhere: the law is computed for p > 0 on the whole line")
        return value

    return _Kernel(log_p, lambda x: proposal.mean(0, x.reshape(-1, 1)).reshape(x.shape), float(proposal.v[0]))


def _base(kernel: _Kernel, initial: GaussianMixture, order: int) -> np.ndarray:
    """Edges of equal panels over all of initial and of p, and where log p turns."""
    stds = np.sqrt(initial.covs.reshape(-1))
    low, high = float((initial.means[:, 0] - _REACH * stds).min()), float((initial.means[:, 0] + _REACH * stds).max())
    start, stop = low, high
    for _ in range(60):
        x = np.linspace(start, stop, 2001)
        near = x[(values := kernel.log_p(x)) > values.max() - _FLOOR]
        if start < near[0] and near[-1] < stop:
            break
        wider = (stop - start) / 2
        start, stop = start - wider * (near[0] == start), stop + wider * (near[-1] == stop)
    low, high = min(low, float(near[0])), max(high, float(near[-1]))
    count = int(np.ceil((high - low) / (_PANEL * min(np.sqrt(kernel.v), float(stds.min())))))
    if count * order > _MOST_NODES:
        raise ValueError(f"the law needs {count * order} nodes, more than {_MOST_NODES}: the steps are too short, or a component "
                         "too narrow, for the range of the law")
    return np.union1d(np.linspace(low, high, count + 1), _extrema(kernel.log_p, np.linspace(low, high, 2001)))


def _extrema(f: Any, x: np.ndarray) -> np.ndarray:
    """Where f is largest or smallest between its neighbours: kinks cross there, and panels had better end there."""
    up = np.diff(f(x)) > 0
    at = np.flatnonzero(up[1:] != up[:-1])
    sign = np.where(up[at], -1.0, 1.0)
    return _bottom(lambda z: sign * f(z), x[at], x[at + 2])


def _run(kernel: _Kernel, steps: int, initial: GaussianMixture, order: int) -> tuple[PanelLaw, float]:
    base = _base(kernel, initial, order)
    edges, left = _resolved(kernel, initial, base, order)
    nodes, weights = gauss(edges, order)
    points = kernel.at(nodes)
    inflow = _inflow(kernel, points, edges, order)
    stays = 1 - _accepted(kernel, points, base, order)
    values = np.exp(initial.logpdf(nodes[:, None]))
    for _ in range(steps):
        values = inflow @ values + stays * values
    return PanelLaw(edges, values.reshape(-1, order)), abs(float(weights @ values) - 1) + steps * left


def _resolved(kernel: _Kernel, initial: GaussianMixture, base: np.ndarray, order: int) -> tuple[np.ndarray, float]:
    """Edges of panels on each of which A is a polynomial, by halving; and what is left of it, weighted with the initial density
    and with p, made 1 at its top."""
    top = kernel.log_p(np.linspace(base[0], base[-1], 2001)).max()
    todo, done, left = list(zip(base[:-1], base[1:])), [], 0.0
    for _ in range(_HALVINGS):
        ends = np.array(todo)
        middle, half = ends.mean(axis=1), np.diff(ends)[:, 0] / 2
        x = (middle[:, None] + half[:, None] * np.polynomial.legendre.leggauss(order)[0]).ravel()
        points = kernel.at(x)
        weight = np.exp(np.minimum(points.log_p - top, 0)) + np.exp(initial.logpdf(x[:, None]))
        rest = tails(_accepted(kernel, points, base, order).reshape(-1, order)) * half * weight.reshape(-1, order).max(axis=1)
        good = rest <= _TOLERANCE
        done += [todo[i] for i in np.flatnonzero(good)]
        left += float(rest[good].sum())
        todo = [piece for i in np.flatnonzero(~good) for piece in ((ends[i, 0], middle[i]), (middle[i], ends[i, 1]))]
        if not todo:
            break
        if (len(done) + len(todo)) * order > _MOST_NODES:
            left += float(rest[~good].sum())
            done += todo
            break
    edges = np.sort(np.array([start for start, _ in done] + [base[-1]]))
    return edges, left


def _accepted(kernel: _Kernel, x: _Points, edges: np.ndarray, order: int) -> np.ndarray:
    """A(x), (n,): the integral over y of what is taken, panels cut at the kinks."""
    nodes, weights = gauss(edges, order)
    y = kernel.at(nodes)
    rows, panels, sub, w = _pieces(kernel, x, y, edges, order)
    whole = kernel.taken(x.at(np.s_[:, None]), y.at(None)) * weights
    whole.reshape(len(x.x), -1, order)[rows, panels] = 0
    total = whole.sum(axis=1)
    if len(rows):
        np.add.at(total, rows, (kernel.taken(x.at(np.s_[rows, None]), kernel.at(sub)) * w).sum(axis=1))
    return total


def _inflow(kernel: _Kernel, y: _Points, edges: np.ndarray, order: int) -> np.ndarray:
    """(n, n): what the values of a law at the nodes y send to the nodes y, panels cut at the kinks."""
    _, weights = gauss(edges, order)
    rows, panels, sub, w = _pieces(kernel, y, y, edges, order)
    matrix = kernel.taken(y.at(None), y.at(np.s_[:, None])) * weights
    cells = matrix.reshape(len(y.x), -1, order)
    cells[rows, panels] = 0
    if len(rows):
        middle, half = (edges[1:] + edges[:-1])[panels] / 2, np.diff(edges)[panels] / 2
        basis = lagrange((sub - middle[:, None]) / half[:, None], order)
        sent = kernel.taken(kernel.at(sub), y.at(np.s_[rows, None])) * w
        np.add.at(cells, (rows, panels), np.einsum("rs,rsj->rj", sent, basis))
    return matrix


def _pieces(kernel: _Kernel, x: _Points, y: _Points, edges: np.ndarray, order: int) -> tuple[np.ndarray, ...]:
    """Panels cut at the kinks of row x: (rows, panels) of every piece, with nodes and weights (pieces, order) on it."""
    rows, places = _kinks(kernel, x, y)
    panels = np.clip(np.searchsorted(edges, places) - 1, 0, len(edges) - 2)
    cell = rows * (len(edges) - 1) + panels
    cut = np.unique(cell)
    keys = np.concatenate([cell, cut, cut])
    ends = np.concatenate([places, edges[cut % (len(edges) - 1)], edges[cut % (len(edges) - 1) + 1]])
    sorted_by_cell = np.lexsort((ends, keys))
    keys, ends = keys[sorted_by_cell], ends[sorted_by_cell]
    inside = (keys[1:] == keys[:-1]) & (ends[1:] > ends[:-1])
    start, stop, keys = ends[:-1][inside], ends[1:][inside], keys[:-1][inside]
    u, w = np.polynomial.legendre.leggauss(order)
    half = (stop - start) / 2
    return keys // (len(edges) - 1), keys % (len(edges) - 1), (start + half)[:, None] + half[:, None] * u, half[:, None] * w


def _kinks(kernel: _Kernel, x: _Points, y: _Points) -> tuple[np.ndarray, np.ndarray]:
    """Row and place of all kinks in y of a(x, y) that matter: y = x itself, and roots of R = L(x, y)/(y - x)."""

    def quotient(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """R at places (..., len(rows))."""
        away = places - x.x[rows]
        return kernel.log_ratio(x.at(rows), kernel.at(places)) / np.where(away == 0, 1.0, away)

    away = y.x - x.x[:, None]
    same = np.abs(away) < 1e-13 * (1 + np.abs(y.x))
    R = kernel.log_ratio(x.at(np.s_[:, None]), y.at(None)) / np.where(same, 1.0, away)
    if y.x.size > 1:  # at y = x the quotient is 0/0: its neighbour's sign does
        i, j = np.nonzero(same)
        R[i, j] = R[i, np.where(j > 0, j - 1, 1)]
    matters = -((y.x - x.mean[:, None]) ** 2) / (2 * kernel.v) > -_FLOOR
    matters |= (-((x.x[:, None] - y.mean) ** 2) / (2 * kernel.v) > -_FLOOR) | same
    sign = R >= 0
    change = (sign[:, 1:] != sign[:, :-1]) & (matters[:, 1:] | matters[:, :-1])
    rows, left = np.nonzero(change)
    low, high = y.x[left], y.x[left + 1]
    size = np.abs(R)
    dip = (size[:, 1:-1] <= size[:, :-2]) & (size[:, 1:-1] <= size[:, 2:]) & matters[:, 1:-1]
    dip &= (sign[:, 1:-1] == sign[:, :-2]) & (sign[:, 1:-1] == sign[:, 2:])
    dip &= size[:, :-2] + size[:, 2:] > 3 * size[:, 1:-1]  # else it is too shallow to reach 0 between nodes
    i, j = np.nonzero(dip)
    a, b, above = y.x[j], y.x[j + 2], sign[i, j + 1]
    bottom = _bottom(lambda z: np.where(above, 1, -1) * quotient(i, z), a, b)
    through = (quotient(i, bottom) >= 0) != above
    rows = np.concatenate([rows, i[through], i[through]])
    low, high = np.concatenate([low, a[through], bottom[through]]), np.concatenate([high, bottom[through], b[through]])
    own = (x.x > y.x[0]) & (x.x < y.x[-1])
    places = crossings(lambda z: quotient(rows, z) >= 0, low, high)
    return np.concatenate([rows, np.flatnonzero(own)]), np.concatenate([places, x.x[own]])


def _bottom(function: Any, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where ``function`` is least in each interval, by golden section."""
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(_SECTIONS if len(low) else 0):
        c, d = high - ratio * (high - low), low + ratio * (high - low)
        lower = np.less(*function(np.stack([c, d])))
        low, high = np.where(lower, low, c), np.where(lower, d, high)
    return (low + high) / 2
