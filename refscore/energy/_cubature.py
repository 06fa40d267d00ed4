r"""Integrals of e^{f} g over a box or all of R^d, d <= 3: cells with Gauss nodes, cut where they do not resolve it.

A cell carries two product rules, Gauss-Legendre, and Gauss-Lobatto with fewer nodes, and is cut into 2^d halves until they agree;
what is left of the disagreement, summed over all cells, is the error of the coarser one, and overstates that of the finer. The
coarser has nodes on the faces, so that a kink between a face and all inner nodes does not go unseen. All of space is a box and,
around it, shells: each twice as wide as the one before. Shells that shrink end the sum (a remainder is left, as of a geometric
series); shells that do not shrink are an integral that does not exist.

What no rule sees is a narrow peak between its nodes. So before anything is integrated, descents are made on E = -f from points on
all scales, in logarithms, where a peak is a wide basin, and from points that are handed in; more of them start in each shell. A
cell that contains a point so found, at which e^f is more than e times what it is at all of the cell's nodes, is cut, whatever its
sum says, and so are the cells next to one whose rules disagree widely. What remains unseen is a peak that no descent leads to, such
as a needle within a wide well: beyond a few of its widths f gives no hint of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from refscore import _blocks

EPS = float(np.finfo(np.float64).eps)
MAX_NODES = 12_000_000
"""Nodes of one level of cells, at most."""

_ORDERS = {1: (20, 15), 2: (16, 13), 3: (16, 13)}
_TOLERANCE = 3e-15  # of the whole, a cell
_STARTS = 24
_SCALES = 2.0 ** np.arange(0, 9)
_FARTHEST = 1e6  # where descents end that would go on for ever
_ROUNDS = 70
_ROUGH = 1e-3  # of its own, a cell: its nodes do not see what is next to them
_LEVELS = 60
_SHELLS = 100
_FAR_SHELLS = 40
_DOUBT = 0.1  # of a shell's mass
_STEADY = 0.98
_SHALLOW = 60.0  # e^-60 of the largest e^f is nothing
_NOTHING = 1e-17


class Cells(NamedTuple):
    """Boxes [low, high], (n, d) each, and the shell that each belongs to, 0 for the box in the middle."""

    low: np.ndarray
    high: np.ndarray
    shell: np.ndarray

    def take(self, rows) -> Cells:
        return Cells(*(column[rows] for column in self))

    def halved(self) -> Cells:
        """The 2^d halves of every cell, side by side."""
        d = self.low.shape[1]
        corners = np.stack(np.meshgrid(*[[0, 1]] * d, indexing="ij"), axis=-1).reshape(-1, d)
        half = (self.high - self.low)[:, None] / 2
        low = self.low[:, None] + corners * half
        return Cells(low.reshape(-1, d), (low + half).reshape(-1, d), np.repeat(self.shell, 2**d))


class Integral(NamedTuple):
    """e^shift (value +- error) for every column of g, size is that of |g|, and the cells that were taken.

    ``converges`` is False for columns whose outermost shells do not shrink.
    """

    value: np.ndarray
    error: np.ndarray
    size: np.ndarray
    converges: np.ndarray
    shift: float
    cells: Cells


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


def nodes(low: np.ndarray, high: np.ndarray, rule: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """All nodes (n N, d) of the cells, and the weights of dx, by the finer rule (0) or the coarser one."""
    d = low.shape[1]
    unit, w = _rule(d, rule)
    x = low[:, None] + (high - low)[:, None] * unit
    return x.reshape(-1, d), (np.prod(high - low, axis=1)[:, None] * w).ravel()


def integrate(f: Callable, g: Callable, cells: Cells, seen: np.ndarray, shift: float, total: Any = 0.0) -> Integral:
    """The integral of e^f g over the cells; ``total``, of what else is integrated, counts towards the whole.

    f(x), (n,), may be -inf; g(x) is (n, c). ``seen`` (k, d): points that must not be lost between nodes.
    """
    seen = seen[((seen >= cells.low.min(axis=0)) & (seen <= cells.high.max(axis=0))).all(axis=1)]
    high = f(seen).astype(np.float64)
    sums: Any = 0.0  # (4, c): of g, of |g|, of its rounding, of the disagreement of the two rules
    done: list[Cells] = []
    for level in range(_LEVELS):
        parts, top = _sums(f, g, cells, shift)
        whole = total + (sums + parts.sum(axis=0))[1]
        if not np.isfinite(whole).all():
            return Integral(whole, whole, whole, np.zeros(len(whole), dtype=bool), float(top.max()), cells)
        hidden = _hidden(cells, seen, high, top, shift)
        _, size, rounding, change = parts.swapaxes(0, 1)
        resolved = (change <= _TOLERANCE * whole + 4 * rounding).all(axis=1) & (hidden <= _NOTHING * whole.max())
        rough = (change > _ROUGH * size).any(axis=1) | (hidden > 0)
        resolved &= ~_beside(cells, ~resolved & rough)
        halves = cells.take(~resolved).halved()
        if level == _LEVELS - 1 or len(halves.low) * _ORDERS[seen.shape[1]][0] ** seen.shape[1] > MAX_NODES:
            resolved[:] = True
        parts[:, 3] += hidden[:, None]
        sums = sums + parts[resolved].sum(axis=0)
        done.append(cells.take(resolved))
        if resolved.all():
            break
        cells = halves
    kept = Cells(*(np.concatenate(column) for column in zip(*done, strict=True)))
    return Integral(sums[0], sums[2] + sums[3], sums[1], np.ones(len(sums[0]), dtype=bool), shift, kept)


def _sums(f: Callable, g: Callable, cells: Cells, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Of every cell the sums of w e^{f - shift} times g and |g|, the rounding of the latter, and how far off the coarser rule is,
    (n, 4, c); and the largest f at its nodes."""
    d = cells.low.shape[1]
    return _blocks.map_rows(partial(_block, f, g, shift), cells.low, cells.high, row_bytes=8 * _ORDERS[d][0] ** d * 12)


def _block(f: Callable, g: Callable, shift: float, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fine, top = _by_rule(f, g, shift, low, high, 0)
    coarse, coarse_top = _by_rule(f, g, shift, low, high, 1)
    with np.errstate(invalid="ignore"):
        change = np.abs(fine[:, :1] - coarse[:, :1])
    return np.concatenate([fine, change], axis=1), np.maximum(top, coarse_top)


def _by_rule(f: Callable, g: Callable, shift: float, low: np.ndarray, high: np.ndarray, rule: int) -> tuple[np.ndarray, np.ndarray]:
    x, w = nodes(low, high, rule)
    logs = f(x)
    eps = float(np.finfo(logs.dtype).eps)
    with np.errstate(over="ignore"):
        weight = w * np.exp(logs.astype(np.float64) - shift)
    there = weight > 0  # elsewhere g is not asked: a moment may overflow far out
    values = g(x[there]) * weight[there, None]
    y = np.zeros((3, len(x), values.shape[1]))
    y[0, there], y[1, there] = values, np.abs(values)
    y[2, there] = eps * (4 + np.abs(logs[there, None])) * y[1, there]
    return y.reshape(3, len(low), -1, values.shape[1]).sum(axis=2).swapaxes(0, 1), logs.reshape(len(low), -1).max(axis=1)


def _hidden(cells: Cells, seen: np.ndarray, high: np.ndarray, top: np.ndarray, shift: float) -> np.ndarray:
    """(n,): how much mass there may be around points that none of a cell's nodes has seen."""
    hidden = np.zeros(len(top))
    volume = np.prod(cells.high - cells.low, axis=1)
    for point, value in zip(seen, high, strict=True):
        inside = ((cells.low <= point) & (point <= cells.high)).all(axis=1) & (value > top + 1)
        if inside.any():
            with np.errstate(over="ignore"):
                hidden[inside] = np.maximum(hidden[inside], volume[inside] * np.exp(value - shift))
    return hidden


def _beside(cells: Cells, marked: np.ndarray) -> np.ndarray:
    """(n,): whether a cell touches a marked one of its size. Sizes of neighbours then differ by two at most: a narrow peak at the
    edge of its cell has a tail in the next, where no wide cell would see it."""
    beside = np.zeros(len(marked), dtype=bool)
    for shell in np.unique(cells.shell[marked]):
        rows = np.flatnonzero(cells.shell == shell)
        width = cells.high[rows[0]] - cells.low[rows[0]]
        place = np.rint((cells.low[rows] - cells.low[rows].min(axis=0)) / width).astype(np.int64) + 1
        stride = np.cumprod(np.concatenate([[1], place.max(axis=0)[:-1] + 2]))
        key, d = place @ stride, len(width)
        around = np.stack(np.meshgrid(*[[-1, 0, 1]] * d, indexing="ij"), axis=-1).reshape(-1, d) @ stride
        beside[rows] = np.isin(key, (key[marked[rows]][:, None] + around).ravel())
    return beside


def over_box(f: Callable, gradient: Callable | None, box: np.ndarray, starts: np.ndarray) -> Integral:
    """The integral of e^f over the box (2, d); descents begin at ``starts`` (k, d) too."""
    low, high = box
    anywhere = low + (high - low) * np.random.default_rng(0).random((4 * _STARTS, len(low)))
    lengths = np.full(len(anywhere) + len(starts), (high - low).min() / 4)
    seen = _descend(f, gradient, np.concatenate([anywhere, starts]), lengths, box)
    return _settled(lambda shift: integrate(f, one, _box(box), seen, shift), _largest(f, seen))


def over_space(f: Callable, gradient: Callable | None, d: int, starts: np.ndarray) -> Integral:
    """The integral of e^f over R^d, in coordinates in which the origin and lengths of about 1 are where to begin.

    Descents begin at ``starts`` (k, d) too.
    """
    scales = np.concatenate([np.repeat(_SCALES, _STARTS), np.full(len(starts), 0.1)])
    points = scales[: -len(starts) or None, None] * np.random.default_rng(0).standard_normal((len(scales) - len(starts), d))
    everywhere = _FARTHEST * np.array([-np.ones(d), np.ones(d)])
    seen = _descend(f, gradient, np.concatenate([points, starts]), scales / 32, everywhere)
    return _settled(lambda shift: _by_shells(f, gradient, seen, shift), _largest(f, seen))


def _settled(compute: Callable, shift: float) -> Integral:
    """``compute(shift)``, again with a higher one where e^{f - shift} overflows: where nodes lie far above all descents."""
    for _ in range(3):
        found = compute(shift)
        if np.isfinite(found.size).all() or not found.shift > shift:
            break
        shift = found.shift
    return found


def _by_shells(f: Callable, gradient: Callable | None, seen: np.ndarray, shift: float) -> Integral:
    d, rng = seen.shape[1], np.random.default_rng(1)
    box = _first_box(f, seen)
    if _escapes(f, box, shift):
        nothing = np.full(1, np.nan)
        return Integral(nothing, nothing, nothing, np.zeros(1, dtype=bool), shift, _box(box))
    parts = [integrate(f, one, _box(box), seen, shift)]
    if not parts[0].converges.all():
        return parts[0]
    for k in range(1, _SHELLS + 1):
        cells, box = _shell(box, k)
        low, high = cells.low, cells.high
        starts = (low + (high - low) * rng.random((2, *low.shape))).reshape(-1, d)
        found = _descend(f, gradient, starts, np.full(len(starts), (box[1] - box[0]).min() / 16), box)
        parts.append(integrate(f, one, cells, np.concatenate([seen, found]), shift, sum(p.size for p in parts)))
        whole = sum(p.size for p in parts)
        if (parts[-1].error > _DOUBT * np.maximum(parts[-1].size, 1e-10 * whole)).any():  # who knows what the next one is like
            return joined(parts)._replace(converges=np.zeros(1, dtype=bool))
        if not parts[-1].converges.all():
            return parts[-1]
        if k > 1 and _remainder(*parts[-2:]) <= _NOTHING * whole:
            break
    return joined(parts)


def _escapes(f: Callable, box: np.ndarray, shift: float) -> bool:
    """Whether the shells around 2^34 to 2^39 times the box do not shrink, at first sight."""
    mass = []
    for k in range(_FAR_SHELLS - 6, _FAR_SHELLS):
        cells, _ = _shell(box.mean(axis=0) + 2.0**k * (box - box.mean(axis=0)), k)
        with np.errstate(over="ignore", invalid="ignore"):
            mass.append(float(_sums(f, one, cells, shift)[0][:, 1].sum()))
    return all(outer > 0 and not outer <= _STEADY * inner for inner, outer in itertools.pairwise(mass))


def joined(parts: list[Integral]) -> Integral:
    """One integral of a box and its shells, in order, with what may lie beyond the last."""
    value, error, size = (np.sum([getattr(p, name) for p in parts], axis=0) for name in ("value", "error", "size"))
    cells = Cells(*(np.concatenate(column) for column in zip(*(p.cells for p in parts), strict=True)))
    if len(parts) == 1:
        return Integral(value, error, size, np.isfinite(value), parts[0].shift, cells)
    rest = _remainder(*parts[-2:])
    return Integral(value, error + rest, size, np.isfinite(size) & (rest <= 1e-3 * size), parts[0].shift, cells)


def _remainder(inner: Integral, outer: Integral) -> np.ndarray:
    """What lies beyond two successive shells, were it to shrink as the last has: outer rate/(1 - rate); inf if it has not."""
    last = outer.size + outer.error
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(last > 0, last / inner.size, 0.0)
        return np.where(rate < _STEADY, last * rate / np.maximum(1 - rate, 1e-3), np.inf)


def one(x: np.ndarray) -> np.ndarray:
    """g = 1."""
    return np.ones((len(x), 1))


def _largest(f: Callable, seen: np.ndarray) -> float:
    shift = float(f(seen).max())
    if shift == -math.inf:
        raise ValueError("energy is +inf at all points that were tried: there is no mass to normalise; pass a box, or a proposal, "
                         "where it is finite")
    return shift


def _box(box: np.ndarray) -> Cells:
    return Cells(box[:1], box[1:], np.zeros(1, dtype=np.intp)).halved()


def _shell(box: np.ndarray, k: int) -> tuple[Cells, np.ndarray]:
    """The cells around the box that make it twice as wide, and the wider box."""
    low, high = box
    d, reach = len(low), (high - low) / 2
    place = np.stack(np.meshgrid(*[np.arange(-1, 3)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    place = place[((place < 0) | (place > 1)).any(axis=1)]
    corner = low + place * reach
    return Cells(corner, corner + reach, np.full(len(place), k)), np.array([low - reach, high + reach])


def _first_box(f: Callable, seen: np.ndarray) -> np.ndarray:
    """A box around all deep wells: along each axis as far as f falls by 60, but not beyond 16 times as far as it falls by one."""
    values = f(seen)
    deep = values >= values.max() - _SHALLOW
    wells, values = seen[deep], values[deep]
    steps = 2.0 ** (np.arange(-120, 121) / 4)
    low, high = wells.min(axis=0), wells.max(axis=0)
    for i in range(seen.shape[1]):
        for sign, bound, wider in ((-1, low, np.minimum), (1, high, np.maximum)):
            moved = np.repeat(wells, len(steps), axis=0)
            moved[:, i] += sign * np.tile(steps, len(wells))
            fall = values[:, None] - f(moved).reshape(len(wells), -1)
            width = np.minimum(_first(fall > _SHALLOW, steps), 16 * _first(fall > 1, steps))
            bound[i] = wider(bound[i], wider.reduce(wells[:, i] + sign * width))
    return np.array([low, high])


def _first(happens: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The first step at which it happens, row by row; the last one if it never does."""
    return steps[np.where(happens.any(axis=1), np.argmax(happens, axis=1), -1)]


def _descend(f: Callable, gradient: Callable | None, x: np.ndarray, length: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Where steps along the gradient of f lead from the rows of x within the box: longer ones when f has risen, shorter when not.

    Without a gradient the steps have random directions.
    """
    x = np.clip(x, *box)
    rng, value = np.random.default_rng(2), f(x)
    rounds, longer, shorter = (_ROUNDS, 1.6, 0.3) if gradient is not None else (4 * _ROUNDS, 2.0, 0.84)
    for _ in range(rounds):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            slope = gradient(x) if gradient is not None else rng.standard_normal(x.shape)
            size = np.linalg.norm(slope, axis=1)
            moves = (length > 0) & np.isfinite(length / size)
            y = x.copy()
            y[moves] += (length / size)[moves, None] * slope[moves]
            y = np.clip(y, *box)
        after = f(y)
        better = after > value
        x, value = np.where(better[:, None], y, x), np.where(better, after, value)
        length = length * np.where(better, longer, shorter)
    return x
