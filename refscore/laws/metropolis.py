r"""Chains that may refuse a step, on the line: law, acceptance rate (systems F2).

A proposal with density q(x, y) = N(y; m(x), v) is taken with probability a(x, y) = min(1, e^L), where
L(x, y) = log p(y) + log q(y, x) - log p(x) - log q(x, y), and what is refused stays:

    p_{k+1}(y) = int p_k(x) q(x, y) a(x, y) dx + (1 - A(y)) p_k(y),      A(x) = int q(x, z) a(x, z) dz.

The law has a density but is no mixture: values at Gauss-Legendre nodes of panels (`PanelLaw`). Where L changes sign a has a kink,
which no rule of high order may straddle. L(x, x) = 0, so that there is always one at y = x; the others, roots of L(x, y)/(y - x),
are bracketed between nodes (or found beside a dip) and bisected. A panel that holds kinks is cut there, and on the pieces p_k is
taken from its polynomial. As y moves kinks meet and vanish, which leaves A and p_{k+1} with singularities like (y - y_0)^{3/2} at
places that do not depend on k: panels are halved until A is resolved on each. Where m jumps, as at the kink of a Laplace law's
log p, so do a, A and p_{k+1}: panels end there.

Error: everything is done again with a lower order; the difference, what is missing from the mass, and what a polynomial leaves of
A. What it cannot see are features of log p or m between the nodes of both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from refscore import _blocks
from refscore._progress import progress
from refscore.densities import GaussianMixture, PanelLaw
from refscore.densities.panel_law import gauss, lagrange, tails

if TYPE_CHECKING:  # a chain is handed over as an object: laws share no code with samplers
    from refscore.samplers import MetropolisChain

_ORDERS = 16, 12
_PANEL = 1.4  # standard deviations of the proposal, or of the narrowest component
_REACH = 9.0
_FLOOR = 45.0  # below its top log p need not be covered: e^-45 = 3e-20
_TOLERANCE = 1e-13
_NOISE = 0.5
_COARSEST = 1e-8
_MOST_NODES = 6000
_HALVINGS = 40
_SECTIONS = 36
_BISECTIONS = 28  # of a gap between nodes: an error e of a kink costs e^2
_TO_FLOATS = 70
_JUMP = 1e-8  # standard deviations of the proposal
_EPS = float(np.finfo(np.float64).eps)
_APART = 2.0**-24  # of a panel: what lies nearer to its end is there
_BESIDE = 2.0**-20
_TABLE = 1 << 19  # entries of a block of rows against all nodes; `_kinks` holds about a dozen such tables at a time


class _Kernel(NamedTuple):
    """One step of a chain, all steps of which are alike; points are (n,)."""

    chain: Any

    @property
    def v(self) -> float:
        """The proposal's variance."""
        return float(self.chain.proposal.v[0])

    def log_p(self, x: np.ndarray) -> np.ndarray:
        value = np.asarray(self.chain.logpdf(x.reshape(-1, 1)), dtype=np.float64).reshape(x.shape)
        if not np.isfinite(value).all():
            raise ValueError("logpdf is not finite everywhere: the law is computed for p > 0 on the whole line")
        return value

    def mean(self, x: np.ndarray) -> np.ndarray:
        """The proposal's mean; where the score refuses a point, as at a kink, the next floats are asked."""
        rows = x.reshape(-1, 1)
        try:
            mean = self.chain.proposal.mean(0, rows)
        except ValueError:
            mean = self.chain.proposal.mean(0, np.nextafter(rows, np.inf))
        return mean.reshape(x.shape)

    def at(self, x: np.ndarray) -> _Points:
        return _Points(x, self.log_p(x), self.mean(x))

    def log_ratio(self, x: _Points, y: _Points) -> np.ndarray:
        """L(x, y)."""
        return y.log_p - x.log_p + ((y.x - x.mean) ** 2 - (x.x - y.mean) ** 2) / (2 * self.v)

    def clear_log_ratio(self, x: _Points, y: _Points) -> np.ndarray:
        """L(x, y), and 0 where it is nothing but rounding: as everywhere on one side of a Laplace law."""
        there, back = np.abs(y.x - x.mean), np.abs(x.x - y.mean)
        size = np.abs(y.log_p) + np.abs(x.log_p) + (there + back) * (there + back + np.abs(x.x) + np.abs(y.x)) / (2 * self.v)
        value = self.log_ratio(x, y)
        return np.where(np.abs(value) <= 8 * _EPS * size, 0.0, value)

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
    return fine, fine_error + _difference(fine, coarse) / 2


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
    return values[0][0], abs(values[0][0] - values[1][0]) + values[0][1] + 64 * _EPS


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
    return _Kernel(chain)


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
    if (grain := _grain(kernel, np.array([low, high]))) > _COARSEST:
        raise ValueError(f"the law lies around {(low + high) / 2:.3g}, where floats are {grain:.0e} standard deviations of a step "
                         "apart: shift it to the origin, with score(x + m), logpdf(x + m) and the start less m")
    count = int(np.ceil((high - low) / (_PANEL * min(np.sqrt(kernel.v), float(stds.min())))))
    if count * order > _MOST_NODES:
        raise ValueError(f"the law needs {count * order} nodes, more than {_MOST_NODES}: the steps are too short, or a component "
                         "too narrow, for the range of the law")
    x, edges = np.linspace(low, high, 2001), np.linspace(low, high, count + 1)
    places = _jumps(kernel.mean, x, _JUMP * float(np.sqrt(kernel.v)))
    places = np.append(places, _away(_extrema(kernel.log_p, x), places, 2 * (x[1] - x[0])))
    return np.union1d(_away(edges, places, 1e-6 * (edges[1] - edges[0])), places)


def _away(x: np.ndarray, places: np.ndarray, distance: float) -> np.ndarray:
    """What of x lies beside none of the ``places``."""
    return x[(np.abs(x[:, None] - places) > distance).all(axis=1)]


def _jumps(f: Callable, x: np.ndarray, least: float) -> np.ndarray:
    """Where f jumps by more than ``least``: gaps of x are halved towards the larger change, and the change stays.

    Of two jumps in one gap one is found.
    """
    low, high, values = x[:-1], x[1:], f(x)
    below, above = values[:-1], values[1:]
    for _ in range(_TO_FLOATS):
        jumps = np.abs(above - below) > least
        low, high, below, above = low[jumps], high[jumps], below[jumps], above[jumps]
        middle = (low + high) / 2
        here = f(middle)
        left = np.abs(here - below) > np.abs(above - here)
        low, below = np.where(left, low, middle), np.where(left, below, here)
        high, above = np.where(left, middle, high), np.where(left, here, above)
    return np.unique(high)


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
    with progress(steps, f"law after {steps} steps on {len(nodes)} nodes") as shown:
        for k in range(steps):
            values = inflow @ values + stays * values
            shown(k + 1)
    return PanelLaw(edges, values.reshape(-1, order)), abs(float(weights @ values) - 1) + steps * left


def _difference(p: PanelLaw, q: PanelLaw) -> float:
    """int |p - q|, by the nodes on common panels: an error estimate, where signs change between them."""
    nodes, weights = gauss(np.union1d(p.edges, q.edges), _ORDERS[0])
    return float(weights @ np.abs(p.density(nodes[:, None]) - q.density(nodes[:, None])))


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
        good = rest <= max(_TOLERANCE, _NOISE * _grain(kernel, base))
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


def _grain(kernel: _Kernel, edges: np.ndarray) -> float:
    """The spacing of floats where the law is, in standard deviations of the proposal: what it moves A by is no structure."""
    return _EPS * float(np.abs(edges).max()) / float(np.sqrt(kernel.v))


def _accepted(kernel: _Kernel, x: _Points, edges: np.ndarray, order: int) -> np.ndarray:
    """A(x), (n,): the integral over y of what is taken, panels cut at the kinks."""
    nodes, weights = gauss(edges, order)
    function = partial(_accepted_rows, kernel, kernel.at(nodes), _asked(kernel, nodes, edges), weights, edges, order)
    return _by_rows(function, x, len(nodes), "acceptance")


def _asked(kernel: _Kernel, nodes: np.ndarray, edges: np.ndarray) -> _Points:
    """Where the sign of L is asked for: at the nodes, and on both sides of the edges, at which it may jump."""
    beside = _BESIDE * np.diff(edges)
    return kernel.at(np.sort(np.concatenate([nodes, edges[:-1] + beside, edges[1:] - beside])))


def _by_rows(function: Callable, x: _Points, count: int, what: str) -> np.ndarray:
    """``function`` of blocks of x, each row of which is set against ``count`` nodes."""
    row_bytes = _blocks.BLOCK_BYTES // max(1, _TABLE // count)
    return _blocks.map_rows(function, *x, row_bytes=row_bytes, label=f"{what} of {len(x.x)} points by {count} nodes")


def _accepted_rows(
    kernel: _Kernel, y: _Points, asked: _Points, weights: np.ndarray, edges: np.ndarray, order: int, *block: np.ndarray
) -> np.ndarray:
    x = _Points(*block)
    rows, panels, sub, w = _pieces(kernel, x, asked, edges, order)
    whole = kernel.taken(x.at(np.s_[:, None]), y.at(None)) * weights
    whole.reshape(len(x.x), -1, order)[rows, panels] = 0
    total = whole.sum(axis=1)
    if len(rows):
        np.add.at(total, rows, (kernel.taken(x.at(np.s_[rows, None]), kernel.at(sub)) * w).sum(axis=1))
    return total


def _inflow(kernel: _Kernel, y: _Points, edges: np.ndarray, order: int) -> np.ndarray:
    """(n, n): what the values of a law at the nodes y send to the nodes y, panels cut at the kinks."""
    _, weights = gauss(edges, order)
    function = partial(_inflow_rows, kernel, y, _asked(kernel, y.x, edges), weights, edges, order)
    return _by_rows(function, y, len(y.x), "kernel")


def _inflow_rows(
    kernel: _Kernel, x: _Points, asked: _Points, weights: np.ndarray, edges: np.ndarray, order: int, *block: np.ndarray
) -> np.ndarray:
    y = _Points(*block)
    rows, panels, sub, w = _pieces(kernel, y, asked, edges, order)
    matrix = kernel.taken(x.at(None), y.at(np.s_[:, None])) * weights
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
    inside = np.minimum(places - edges[panels], edges[panels + 1] - places) > _APART * np.diff(edges)[panels]
    rows, places, panels = rows[inside], places[inside], panels[inside]  # a change of sign by a jump needs no cut
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
        return kernel.clear_log_ratio(x.at(rows), kernel.at(places)) / np.where(away == 0, 1.0, away)

    away = y.x - x.x[:, None]
    same = np.abs(away) < 1e-13 * (1 + np.abs(y.x))
    R = kernel.clear_log_ratio(x.at(np.s_[:, None]), y.at(None)) / np.where(same, 1.0, away)
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
    dip = (0 < size[:, 1:-1]) & (size[:, 1:-1] <= size[:, :-2]) & (size[:, 1:-1] <= size[:, 2:]) & matters[:, 1:-1]
    dip &= (sign[:, 1:-1] == sign[:, :-2]) & (sign[:, 1:-1] == sign[:, 2:])
    dip &= size[:, :-2] + size[:, 2:] > 3 * size[:, 1:-1]  # else it is too shallow to reach 0 between nodes
    i, j = np.nonzero(dip)
    a, b, above = y.x[j], y.x[j + 2], sign[i, j + 1]
    bottom = _bottom(lambda z: np.where(above, 1, -1) * quotient(i, z), a, b)
    through = (quotient(i, bottom) >= 0) != above
    rows = np.concatenate([rows, i[through], i[through]])
    low, high = np.concatenate([low, a[through], bottom[through]]), np.concatenate([high, bottom[through], b[through]])
    own = (x.x > y.x[0]) & (x.x < y.x[-1])
    places = _crossings(lambda z: quotient(rows, z) >= 0, low, high)
    return np.concatenate([rows, np.flatnonzero(own)]), np.concatenate([places, x.x[own]])


def _bottom(function: Any, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where ``function`` is least in each interval, by golden section."""
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(_SECTIONS if len(low) else 0):
        c, d = high - ratio * (high - low), low + ratio * (high - low)
        lower = np.less(*function(np.stack([c, d])))
        low, high = np.where(lower, low, c), np.where(lower, d, high)
    return (low + high) / 2


def _crossings(positive: Callable, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A place in each interval (low, high) where ``positive``, points to booleans, changes."""
    if not len(low):
        return low
    before = positive(low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        as_before = positive(middle) == before
        low, high = np.where(as_before, middle, low), np.where(as_before, high, middle)
    return (low + high) / 2
