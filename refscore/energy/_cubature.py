r"""Integrals of e^{f} over a box or all of R^d, d <= 3: where to look, and when to stop; `_cover` has the rules.

All of space is a box and, around it, shells: each twice as wide as the one before. Shells that shrink end the sum (a remainder is
left, as of a geometric series); shells that do not shrink are an integral that does not exist.

What no rule sees is a narrow peak between its nodes. So before anything is integrated, descents are made on E = -f from points on
all scales, in logarithms, where a peak is a wide basin, and from points that are handed in; more of them start in each shell. Where
they end must be seen by the nodes of the cell there. What remains unseen is a peak that no descent leads to and no arm, such as a
needle within a wide well: beyond a few of its widths f gives no hint of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from refscore.energy._cells import Cells, Forest, corners
from refscore.energy._cover import NOTHING, Cover, Sums, look

_STARTS = 24
_SCALES = 2.0 ** np.arange(0, 9)
_FARTHEST = 1e6  # where descents end that would go on for ever
_ROUNDS = 70
_SHELLS = 100
_FAR_SHELLS = 40
_DOUBT = 0.1  # of a shell's mass
_STEADY = 0.98
_STILL = 16
_SHALLOW = 60.0  # e^-60 of the largest e^f is nothing


class Integral(NamedTuple):
    """e^shift (value +- error) for every column of g, size is that of |g|, and the cells that were taken.

    ``converges`` is False for columns whose outermost shells do not shrink.
    """

    value: np.ndarray
    error: np.ndarray
    size: np.ndarray
    converges: np.ndarray
    shift: float
    cover: Cover


def over_box(f: Callable, gradient: Callable | None, box: np.ndarray, starts: np.ndarray) -> Integral:
    """The integral of e^f over the box (2, d); descents begin at ``starts`` (k, d) too."""
    low, high = box
    anywhere = low + (high - low) * np.random.default_rng(0).random((4 * _STARTS, len(low)))
    lengths = np.full(len(anywhere) + len(starts), (high - low).min() / 4)
    seen = _descend(f, gradient, np.concatenate([anywhere, starts]), lengths, box)

    def within(shift: float) -> Integral:
        cover = Cover(f, one, shift, Forest(len(low)))
        cover.watch(seen)
        cover.forest.plant(_halves(box))
        cover.refine()
        return joined(cover.sums(), cover)

    return _settled(within, _largest(f, seen))


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
        if np.isfinite(found.size).all() or not found.cover.top > shift:
            break
        shift = found.cover.top
    return found


def _by_shells(f: Callable, gradient: Callable | None, seen: np.ndarray, shift: float) -> Integral:
    d, rng = seen.shape[1], np.random.default_rng(1)
    box = _first_box(f, seen)
    cover = Cover(f, one, shift, Forest(d))
    if _escapes(f, box, shift):
        nothing = np.full(1, np.nan)
        return Integral(nothing, nothing, nothing, np.zeros(1, dtype=bool), shift, cover)
    cells = _halves(box)
    for k in range(_SHELLS + 1):
        if k:
            cells, box = _shell(box, k)
            low, high = cells.low, cells.high
            starts = (low + (high - low) * rng.random((2, *low.shape))).reshape(-1, d)
            seen = _descend(f, gradient, starts, np.full(len(starts), (box[1] - box[0]).min() / 16), box)
        cover.watch(seen)
        cover.forest.plant(cells)
        cover.refine()
        sums = cover.sums()
        whole = sums.size.sum(axis=0)
        if not np.isfinite(whole).all():
            break
        if k and (sums.error[-1] > _DOUBT * np.maximum(sums.size[-1], 1e-10 * whole)).any():  # who knows what the next is like
            return joined(sums, cover)._replace(converges=np.zeros(1, dtype=bool))
        if k > 1 and (_remainder(sums) <= NOTHING * whole).all() or _stands_still(sums.size[-_STILL:]):
            break
    return joined(sums, cover)


def _stands_still(size: np.ndarray) -> bool:
    """Whether so many shells are as large as the one before: they will not shrink any more."""
    return len(size) == _STILL and bool((np.abs(np.diff(size, axis=0)) <= (1 - _STEADY) * size[:-1]).all() and (size > 0).all())


def _escapes(f: Callable, box: np.ndarray, shift: float) -> bool:
    """Whether the shells around 2^34 to 2^39 times the box do not shrink, at first sight."""
    mass = []
    for k in range(_FAR_SHELLS - 6, _FAR_SHELLS):
        cells, _ = _shell(box.mean(axis=0) + 2.0**k * (box - box.mean(axis=0)), k)
        with np.errstate(over="ignore", invalid="ignore"):
            mass.append(float(look(f, one, shift, cells.low, cells.high).sums[:, 1].sum()))
    return all(outer > 0 and not outer <= _STEADY * inner for inner, outer in itertools.pairwise(mass))


def joined(sums: Sums, cover: Cover) -> Integral:
    """One integral of a box and its shells, in order, with what may lie beyond the last."""
    value, error, size = (a.sum(axis=0) for a in sums)
    if len(sums.value) == 1:
        return Integral(value, error, size, np.isfinite(size), cover.shift, cover)
    rest = _remainder(sums)
    return Integral(value, error + rest, size, np.isfinite(size) & (rest <= 1e-3 * size), cover.shift, cover)


def _remainder(sums: Sums) -> np.ndarray:
    """What lies beyond the last two shells, were it to shrink as the last has: outer rate/(1 - rate); inf if it has not."""
    last = sums.size[-1] + sums.error[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(last > 0, last / sums.size[-2], 0.0)
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


def _halves(box: np.ndarray) -> Cells:
    """The 2^d halves of a box."""
    edges = np.array([box[0], box[0] + (box[1] - box[0]) / 2, box[1]])
    return _grid(edges, corners(box.shape[1]), 0)


def _grid(edges: np.ndarray, place: np.ndarray, shell: int) -> Cells:
    """Cells (n, d) between edges (m, d), their lower corners the edges of these numbers."""
    low, high = (np.take_along_axis(edges, place + i, axis=0) for i in (0, 1))
    return Cells(low, high, np.full(len(place), shell))


def _shell(box: np.ndarray, k: int) -> tuple[Cells, np.ndarray]:
    """The cells around the box that make it twice as wide, and the wider box."""
    low, high = box
    reach = (high - low) / 2
    edges = np.array([low - reach, low, low + reach, high, high + reach])
    place = np.stack(np.meshgrid(*[np.arange(4)] * len(low), indexing="ij"), axis=-1).reshape(-1, len(low))
    return _grid(edges, place[((place < 1) | (place > 2)).any(axis=1)], k), edges[[0, -1]]


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
